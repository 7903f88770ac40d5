from __future__ import annotations

import pickle
import signal
import threading

import pytest

from xeo.ops.stop import Interrupted, Stop


def test_a_signal_waits_until_it_is_asked_for(caplog):
    def work():
        with Stop() as stop:
            stop.check()
            signal.raise_signal(signal.SIGINT)
            assert "stopping when the blocks at work are written" in caplog.text
            stop.check()

    with pytest.raises(Interrupted, match="stopped by SIGINT") as caught:
        work()
    assert caught.value.signum == signal.SIGINT
    assert isinstance(caught.value, KeyboardInterrupt)
    assert not isinstance(caught.value, Exception)


def test_the_second_one_acts_at_once():
    def work():
        with Stop():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        work()
    assert type(caught.value) is KeyboardInterrupt


def test_handlers_are_put_back():
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with Stop():
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_signal_that_came_too_late_is_not_swallowed():
    with pytest.raises(KeyboardInterrupt), Stop():
        signal.raise_signal(signal.SIGINT)


def test_handlers_that_somebody_chose_are_left_alone():
    def mine(*_):
        pass

    before = signal.signal(signal.SIGTERM, mine)
    try:
        with Stop():
            assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


def test_other_threads_get_no_handlers():
    seen = []

    def work():
        with Stop() as stop:
            seen.append(signal.getsignal(signal.SIGINT))
            stop.check()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


def test_it_pickles():
    again = pickle.loads(pickle.dumps(Interrupted(signal.SIGTERM)))
    assert again.signum == signal.SIGTERM
    assert str(again) == "stopped by SIGTERM"

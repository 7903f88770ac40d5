import contextlib
import threading

import numpy as np
import pytest

pytest.importorskip("av")

from xeo.codecs.streams import (
    ENCODERS,
    check_encoder,
    coarse_for,
    decode_stream,
    encode_stream,
    error_of,
    rate_for,
)
from xeo.errors import CodecError, MissingDependencyError, OptionError

SIZE = (64, 72)


def pictures(count=5, bits=12, size=SIZE):
    t, y, x = np.indices((count, *size))
    level = np.sin(x / 9 + t / 4) + np.cos(y / 7)
    return (2 ** (bits - 1) + level * 2 ** (bits - 3)).astype(np.uint16)


def coded(count=5, encoder="x265", rate=10.0, **how):
    some = pictures(count, ENCODERS[encoder].bits)
    return some, *encode_stream(iter(some), SIZE, encoder, "medium", rate, **how)


def decoded(head, body, encoder="x265", dates=5, count=None, size=SIZE):
    found = decode_stream(head, body, size, encoder, dates, count or dates)
    return np.stack([picture.copy() for picture in found])


@pytest.mark.parametrize("encoder", sorted(ENCODERS))
def test_pictures_come_back_nearly(encoder):
    some, head, body = coded(encoder=encoder)
    error = decoded(head, body, encoder).astype(float) - some
    assert np.sqrt((error**2).mean()) < error_of(10, encoder)


@pytest.mark.parametrize("encoder", ["x265", "x264"])
@pytest.mark.parametrize("safe", [False, True])
def test_less_rate_is_less_error_and_more_bytes(encoder, safe):
    found = []
    for rate in (2, 12, 22):
        some, head, body = coded(encoder=encoder, rate=rate, safe=safe)
        error = decoded(head, body, encoder).astype(float) - some
        found.append(((error**2).mean(), -len(body)))
    assert found == sorted(found)


def test_the_same_bytes_every_time_in_any_thread():
    found = []
    threads = [threading.Thread(target=lambda: found.append(coded()[1:])) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [coded()[1:]] * 3


def test_nothing_is_decoded_beyond_what_is_wanted():
    _, head, body = coded()
    first = decoded(head, body, count=2)
    assert len(first) == 2
    np.testing.assert_array_equal(first, decoded(head, body)[:2])
    # All that comes after the packets that two pictures need may be missing.
    assert len(decoded(head, body[: len(body) - 1] + b"", count=1, dates=5)) == 1


def test_groups_have_the_same_head_and_little_around_packets():
    _, head, body = coded()
    _, other, one = coded(count=1)
    assert head == other
    assert head.startswith(b"\0\0\0\1")
    assert b"\0\0\1" not in body
    assert len(one) < 200


@pytest.mark.parametrize("cut", [0, 1, 2, 10, 100])
def test_streams_that_are_cut_are_refused(cut):
    _, head, body = coded()
    with pytest.raises(CodecError, match=r"damaged|cannot be"):
        decoded(head, body[:cut])


def test_pictures_of_another_size_are_refused_before_there_is_room_for_them():
    _, head, body = coded()
    with pytest.raises(CodecError, match=r"expected pictures of \(64, 64\)|cannot be decoded"):
        decoded(head, body, size=(64, 64))
    large = pictures(1, size=(1024, 1024))
    head, body = encode_stream(iter(large), (1024, 1024), "x265", "ultrafast", 30.0)
    with pytest.raises(CodecError, match="cannot be decoded"):
        decoded(head, body, dates=1)


def test_more_packets_than_pictures_are_refused():
    _, head, body = coded()
    with pytest.raises(CodecError, match="packet"):
        decoded(head, body, dates=3)


@pytest.mark.parametrize("encoder", sorted(ENCODERS))
def test_changed_bytes_are_refused_or_pictures(encoder):
    some, head, body = coded(encoder=encoder)
    rng = np.random.default_rng(0)
    for _ in range(60):
        hurt = bytearray(body)
        for at in rng.integers(0, len(hurt), 3):
            hurt[at] = rng.integers(256)
        with contextlib.suppress(CodecError):
            assert decoded(head, bytes(hurt), encoder).shape == some.shape


def test_unknown_names():
    with pytest.raises(OptionError, match=r"expected encoder to be one of .*'x265'.*got 'vp9'"):
        check_encoder("vp9", "medium")
    with pytest.raises(OptionError, match=r"preset of x265 .* got 'quick'"):
        check_encoder("x265", "quick")
    with pytest.raises(OptionError, match=r"preset of svtav1 .* got 'slow'"):
        check_encoder("svtav1", "slow")


def test_a_pyav_without_the_encoder(monkeypatch):
    import dataclasses

    other = dataclasses.replace(ENCODERS["x265"], library="libnone")
    monkeypatch.setitem(ENCODERS, "x265", other)
    with pytest.raises(MissingDependencyError, match="libnone"):
        coded()


@pytest.mark.parametrize("encoder", sorted(ENCODERS))
def test_rates_and_errors_go_together(encoder):
    errors = [error_of(rate, encoder) for rate in (5, 15, 25)]
    assert errors == sorted(errors)
    rates = [rate_for(error, encoder) for error in (1e-9, 1, 10, 1e9)]
    assert rates == sorted(rates)
    assert rates[0] == ENCODERS[encoder].best
    assert rates[-1] == ENCODERS[encoder].worst
    assert coarse_for(-99, encoder) == 0
    assert 2 ** coarse_for(20, encoder) <= error_of(20, encoder)

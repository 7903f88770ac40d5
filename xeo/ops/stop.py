"""Stop between two blocks rather than anywhere: SIGINT and SIGTERM while a store is written."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType
from typing import Any

_LOG = logging.getLogger(__name__)
#: The signals, and the handler each has where nobody chose another.
_DEFAULTS: dict[int, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}


class Interrupted(KeyboardInterrupt):
    """A signal stopped the work between two blocks.

    Not an `xeo.errors.XeoError`: like its parent it must pass every ``except Exception``.

    Parameters
    ----------
    signum : int
        The signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.signum).name}"


class Stop:
    """Inside the block, the first SIGINT or SIGTERM is kept until `check` is called.

    A second one acts at once, as it would have without this. Handlers that an application
    chose itself stay as they are, and so do all of them outside the main thread.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._replaced: list[int] = []

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            self._replaced = [s for s, old in _DEFAULTS.items() if signal.getsignal(s) is old]
            for signum in self._replaced:
                signal.signal(signum, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._restore()
        if self.signum is not None and kind is None:
            # It came too late to stop anything, and is not ours to swallow.
            signal.raise_signal(self.signum)

    def check(self) -> None:
        """Raise `Interrupted` if a signal came."""
        if self.signum is not None:
            raise Interrupted(self.signum)

    def _note(self, signum: int, _: FrameType | None) -> None:
        self.signum = signum
        self._restore()
        _LOG.warning("stopping when the blocks at work are written; once more stops at once")

    def _restore(self) -> None:
        for signum in self._replaced:
            signal.signal(signum, _DEFAULTS[signum])
        self._replaced = []

"""The ffmpeg program, fed with pictures."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import threading
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xeo.errors import MissingDependencyError, StoreError
from xeo.lazy import require


def program(*, purpose: str) -> str:
    """Return the path of an ffmpeg program: that on the PATH, or that of imageio-ffmpeg.

    Raises
    ------
    MissingDependencyError
        If there is none.
    """
    found = shutil.which("ffmpeg")
    if found is None and importlib.util.find_spec("imageio_ffmpeg") is not None:
        exe = require("imageio_ffmpeg", purpose=purpose).get_ffmpeg_exe
        try:
            found = str(exe())
        except RuntimeError:
            found = None
    if found is None:
        raise MissingDependencyError(
            f"expected the program ffmpeg to {purpose}, but it is neither on the PATH nor in "
            'imageio-ffmpeg. Try: pip install "xarray-eo[video]"'
        )
    return found


class Encoder:
    """One ffmpeg process that makes a video of raw pictures; use it as a context manager.

    Parameters
    ----------
    path : Path
        File to write.
    shape : (int, int)
        Rows and columns of a picture.
    pixels : str
        Format of what is written, ``"gbrp12le"``.
    options : dict
        Of the output.
    """

    def __init__(
        self, path: Path, shape: tuple[int, int], pixels: str, options: dict[str, Any]
    ) -> None:
        self.path, self.shape = path, shape
        self._pixels, self._options = pixels, options
        self._said: deque[bytes] = deque(maxlen=20)
        self._process: Any = None
        self._listener: threading.Thread | None = None

    def __enter__(self) -> Encoder:
        ffmpeg = require("ffmpeg", purpose="write an archive of xarrayvideo")
        rows, columns = self.shape
        given = ffmpeg.input(
            "pipe:", format="rawvideo", pix_fmt=self._pixels, s=f"{columns}x{rows}", framerate=30
        )
        # A name alone could be taken for a protocol or an option.
        made = given.output(f"file:{self.path}", loglevel="error", **self._options)
        self._process = made.overwrite_output().run_async(
            cmd=program(purpose="write video"), pipe_stdin=True, pipe_stderr=True
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        return self

    def write(self, picture: npt.NDArray[Any]) -> None:
        """Add one picture.

        Raises
        ------
        StoreError
            If ffmpeg has stopped.
        """
        try:
            self._process.stdin.write(np.ascontiguousarray(picture).data)
        except OSError as err:
            raise self._failed() from err

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            self._process.kill()
        # Where it has stopped by itself, its exit status says so below.
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait()
        self._stopped()
        if kind is None and self._process.returncode:
            raise self._failed()

    def _listen(self) -> None:
        # A pipe that nobody reads fills up and stops the process.
        for line in self._process.stderr:
            self._said.append(line)

    def _stopped(self) -> None:
        if self._listener is not None:
            self._listener.join()
        self._process.stderr.close()

    def _failed(self) -> StoreError:
        self._process.wait()
        if self._listener is not None:
            self._listener.join()
        said = b"".join(self._said).decode("utf-8", "replace").strip()
        return StoreError(
            f"ffmpeg could not write {self.path.name!r} (exit status {self._process.returncode}): "
            f"{said or 'it said nothing'}"
        )

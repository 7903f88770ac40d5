"""Dates drawn on pictures, without a font file."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

#: Rows of 5 dots, top to bottom, as octal-like bit masks; the leftmost dot is 16.
_GLYPHS = {
    "0": (14, 17, 19, 21, 25, 17, 14),
    "1": (4, 12, 4, 4, 4, 4, 14),
    "2": (14, 17, 1, 2, 4, 8, 31),
    "3": (31, 2, 4, 2, 1, 17, 14),
    "4": (2, 6, 10, 18, 31, 2, 2),
    "5": (31, 16, 30, 1, 1, 17, 14),
    "6": (6, 8, 16, 30, 17, 17, 14),
    "7": (31, 1, 2, 4, 8, 8, 8),
    "8": (14, 17, 17, 14, 17, 17, 14),
    "9": (14, 17, 17, 15, 1, 2, 12),
    "-": (0, 0, 0, 14, 0, 0, 0),
    ":": (0, 4, 4, 0, 4, 4, 0),
    " ": (0, 0, 0, 0, 0, 0, 0),
}


def lettering(text: str) -> npt.NDArray[np.bool_]:
    """Return text as dots, with a margin of one dot.

    Parameters
    ----------
    text : str
        Digits, ``-``, ``:`` and spaces; others become spaces.

    Returns
    -------
    array of bool, shape (9, 6 * len(text) + 1)
    """
    dots = np.zeros((9, 6 * len(text) + 1), bool)
    for i, letter in enumerate(text):
        rows = np.array(_GLYPHS.get(letter, _GLYPHS[" "]), np.uint8)
        dots[1:8, 6 * i + 1 : 6 * i + 6] = np.unpackbits(rows[:, None], axis=1)[:, 3:]
    return dots


def caption(picture: Bytes, text: str) -> Bytes:
    """Write text into the upper left corner, white on black.

    Parameters
    ----------
    picture : array of uint8, shape (y, x, 3)
    text : str
        As for `lettering`.

    Returns
    -------
    array of uint8, shape (y, x, 3)
        A copy; without the text where it would take more than half of the height or not fit.
    """
    out = picture.copy()
    dots = lettering(text)
    ny, nx = picture.shape[:2]
    # A third of the width can be read from afar and hides little.
    scale = max(1, nx // (3 * dots.shape[1]))
    scale = min(scale, nx // dots.shape[1], ny // (2 * dots.shape[0]))
    if text and scale:
        large = np.repeat(np.repeat(dots, scale, axis=0), scale, axis=1)
        out[: large.shape[0], : large.shape[1]] = np.where(large, 255, 0)[..., None]
    return out

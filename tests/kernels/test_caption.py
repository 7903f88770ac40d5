from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xeo.kernels.caption import caption, lettering

TEXTS = st.text("0123456789-: x", max_size=16)


def test_letters_by_hand():
    drawn = ["".join(".#"[int(dot)] for dot in row) for row in lettering("17")[1:8, 1:12]]
    assert drawn == [
        "..#...#####",
        ".##.......#",
        "..#......#.",
        "..#.....#..",
        "..#....#...",
        "..#....#...",
        ".###...#...",
    ]


def test_letters_differ():
    drawn = {letter: lettering(letter).tobytes() for letter in "0123456789-: "}
    assert len(set(drawn.values())) == len(drawn)
    assert lettering("?").tobytes() == drawn[" "]


@given(TEXTS, st.integers(1, 90), st.integers(1, 300))
def test_only_a_corner_is_written(text, ny, nx):
    picture = np.full((ny, nx, 3), 77, np.uint8)
    before = picture.copy()
    out = caption(picture, text)
    np.testing.assert_array_equal(picture, before)
    changed = (out != before).any(axis=-1)
    assert set(np.unique(out)) <= {0, 77, 255}
    assert not changed[ny // 2 :].any()
    if changed.any():
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        assert changed[: rows[-1] + 1, : columns[-1] + 1].all()
    if text and nx >= 6 * len(text) + 1 and ny >= 18:
        assert changed.any()

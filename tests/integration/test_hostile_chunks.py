"""Changed and hostile bytes: an array or a clear error, within time and memory."""

import json

import pytest

pytest.importorskip("imagecodecs")
pytest.importorskip("av")

from tests.codecs import fuzz

#: Enough to meet each way of damage to each codec; ``python -m tests.codecs.fuzz`` runs more.
_COUNT = 1200


@pytest.mark.skipif(not fuzz.POSSIBLE, reason="needs fork and limits of memory, as Linux has them")
def test_changed_chunks_do_no_harm():
    assert fuzz.run(_COUNT) == {}


@pytest.mark.skipif(not fuzz.POSSIBLE, reason="needs fork and limits of memory, as Linux has them")
def test_seeds_that_once_did_harm_do_none():
    for seed in json.loads(fuzz.KEPT.read_text()):
        assert fuzz.run(1, seed) == {}

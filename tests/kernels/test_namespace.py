import numpy as np
import pytest
import torch

from xeo.kernels.namespace import as_float, namespace_of


def test_arrays_lead_to_their_library():
    assert namespace_of(np.zeros(1)) is np
    assert namespace_of(torch.nn.Parameter(torch.zeros(1))) is torch


def test_what_is_no_array_is_refused():
    with pytest.raises(TypeError, match="expected an array of numpy, cupy or torch, got list"):
        namespace_of([1])


@pytest.mark.parametrize(
    ("given", "made"),
    [("u2", "f4"), ("f2", "f4"), ("f4", "f4"), ("f8", "f8"), ("i4", "f8"), (">f4", "f4")],
)
def test_floats_are_wide_enough(given, made):
    assert as_float(np.zeros(2, given)).dtype == made


def test_floats_are_not_copied():
    x = np.zeros(2, "f4")
    assert as_float(x) is x
    assert as_float(torch.zeros(2, dtype=torch.bfloat16)).dtype == torch.float32

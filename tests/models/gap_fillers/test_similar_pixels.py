import numpy as np
import pytest

from xeo.errors import OptionError
from xeo.kernels.hide import far_from, hide
from xeo.models.gap_fillers.linear import Linear
from xeo.models.gap_fillers.similar_pixels import SimilarPixels
from xeo.spec import Batch
from xeo.testing import EmbedderTests


class TestSimilarPixels(EmbedderTests):
    model = SimilarPixels(reach=2)
    array_kinds = ("numpy", "torch")


def test_reach_is_the_halo():
    assert SimilarPixels(reach=3).spec.halo == 8


@pytest.mark.parametrize(
    "options", [{"reach": 0}, {"length": 0}, {"ratio": -1}, {"freedom": 0}, {"rounds": -1}]
)
def test_refused(options):
    with pytest.raises(OptionError, match="Try: "):
        SimilarPixels(**options)


@pytest.mark.parametrize("name", ["flanders_a_s2", "flanders_b_s2"])
def test_beats_lines_on_real_clouds(data_dir, name):
    xr, zarr = pytest.importorskip("xarray"), pytest.importorskip("zarr")
    bands = ["B02", "B03", "B04", "B08", "B11"]
    with zarr.storage.ZipStore(data_dir / f"{name}.zarr.zip", mode="r") as store:
        cube = xr.open_zarr(store)[[*bands, "SCL"]].load()
    x = np.stack([cube[band].values for band in bands], 1).astype("f4") / 1e4
    unsure = ~np.isin(cube.SCL.values, (4, 5, 6))
    bad = unsure & (cube.SCL.values != 7)
    errors = {Linear(): [], SimilarPixels(): []}
    for seed in range(3):
        hidden = hide(bad, seed, dates=0.2, whole=0.0)
        scored = hidden & far_from(unsure, 3)
        gone = np.broadcast_to((bad | hidden)[:, None], x.shape)
        given = np.where(gone, np.nan, x)
        batch = Batch(
            {"image": given[None]}, time={"image": cube.time.values}, mask={"image": gone[None]}
        )
        for model, found in errors.items():
            filled = model(batch)[0]
            error = np.concatenate([filled - x, ndvi(filled) - ndvi(x)], 1)
            found.append(np.moveaxis(error, 1, -1)[scored])
    line, ours = (np.sqrt((np.concatenate(one) ** 2).mean(0)) for one in errors.values())
    assert (ours < 0.9 * line).all()


def ndvi(x):
    return (x[:, 3:4] - x[:, 2:3]) / (x[:, 3:4] + x[:, 2:3])

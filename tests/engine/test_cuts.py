"""Several arrays out of one job."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import xarray as xr

import xeo
from xeo.engine.cuts import Cut
from xeo.engine.job import Made
from xeo.ops.apply import Options, Output, prepare
from xeo.spec import ModelSpec

OTHER = np.array(["2020-01-02", "2020-02-03", "2020-02-04"], "datetime64[ns]")


@dataclass(frozen=True)
class Ranks:
    """The mean of all dates times the number of the wanted date, for each band."""

    spec: ClassVar[ModelSpec] = ModelSpec(
        name="ranks", time="sequence", channels_per_band=1, missing="nan", needs=("time",)
    )

    def __call__(self, batch, /):
        (x,) = batch.values()
        count = x.shape[1] if batch.at is None else len(batch.at)
        numbers = np.arange(1, count + 1, dtype="f4")[:, None, None, None]
        seen = np.maximum((~np.isnan(x)).sum(axis=1), 1)
        return (np.nansum(x, axis=1) / seen)[:, None] * numbers


def finish(values):
    return values


@pytest.fixture
def cube():
    rng = np.random.default_rng(0)
    time = np.array(["2020-01-01", "2020-01-20", "2020-03-01", "2020-03-02"], "datetime64[ns]")
    values = rng.random((4, 2, 20, 30), dtype="f4")
    values[:, :, 3, 4] = np.nan
    coords = {
        "time": time,
        "band": ["red", "nir"],
        "y": np.arange(20, 0, -1.0),
        "x": np.arange(30.0),
    }
    return xr.DataArray(values, dims=("time", "band", "y", "x"), coords=coords)


def made_of(cube, at=OTHER):
    prepared = prepare(cube, Ranks(), Options(chunk=8), finish=finish, dtype="float32", at=at)
    outputs = {
        "both": Output({}, channels=(0, 2)),
        "nir": Output({"units": "1"}, channels=1),
        "codes": Output({}, channels=0, dtype="uint8", missing=9),
    }
    return prepared.variables(outputs, "band")


@pytest.mark.parametrize("at", [OTHER, None])
def test_variables_and_dates_in_memory(cube, at):
    made = made_of(cube, at)
    expected = cube.mean("time", skipna=True)
    assert made["both"].dims == ("time", "band", "y", "x")
    assert made["nir"].dims == made["codes"].dims == ("time", "y", "x")
    np.testing.assert_array_equal(made["time"], cube["time"] if at is None else at)
    for number in range(made.sizes["time"]):
        want = expected.values * (number + 1)
        np.testing.assert_allclose(made["both"][number], want, rtol=1e-6)
        np.testing.assert_allclose(made["nir"][number], want[1], rtol=1e-6)
    assert made["codes"].dtype == np.uint8
    assert (made["codes"][:, 3, 4] == 9).all()


@pytest.mark.parametrize("chunks", [{"time": 1}, {"y": 7, "x": 11}, {"band": 1, "time": 3}])
def test_lazy_is_eager_and_computes_once(cube, chunks, max_computes, tmp_path):
    expected = made_of(cube)
    with max_computes(0):
        lazy = made_of(cube.chunk(chunks))
    assert all(v.chunks is not None for v in lazy.data_vars.values())
    xr.testing.assert_equal(lazy.compute(), expected)
    xeo.write(lazy, tmp_path / "a.zarr", progress=False)
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "a.zarr").compute(), expected)


def test_a_store_is_read_by_the_writer_itself(cube, tmp_path):
    cube.rename("c").to_dataset().to_zarr(tmp_path / "in.zarr", zarr_format=2)
    lazy = made_of(xr.open_zarr(tmp_path / "in.zarr")["c"])
    profile = xeo.write(lazy, tmp_path / "out.zarr", progress=False, profile=True)
    assert profile.blocks == 12  # once, not once for each variable
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "out.zarr").compute(), made_of(cube))


def test_a_cut_casts_and_replaces():
    made = Made(np.array([1.4, np.nan], "f4").reshape(1, 2, 1, 1))
    assert Cut("", "uint8", 1, missing=7).of(made).tolist() == [[[7]]]
    assert Cut("", "float64", (0, 1)).of(made).dtype == np.float64
    assert Cut("", "float32").whole

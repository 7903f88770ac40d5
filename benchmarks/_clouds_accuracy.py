"""Hidden pixels of real cubes: every registered filler beside straight lines."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import zarr
from _real import DATA
from _verdict import Verdict

import xeo

SEEDS = (0, 1, 2, 3)


def accuracy(args: argparse.Namespace) -> Iterator[Verdict]:
    """Score all fillers, with every seed of what is hidden."""
    seeds = SEEDS[:1] if args.quick else SEEDS
    for name, obj, mask in _cubes():
        reports = [
            xeo.evaluate_gap_filling(obj, mask=mask, seed=seed, progress=False) for seed in seeds
        ]
        pooled = _pooled([report.dataset for report in reports])
        print(f"\n### Hidden pixels of {name}, {len(seeds)} drawings\n")
        _show(pooled, reports)
        if name.endswith("clear to SCL and U-Net"):
            yield from _verdicts(name, pooled)


def _cubes() -> Iterator[tuple[str, Any, Any]]:
    for name in ("flanders_a", "flanders_b"):
        ds = _opened(f"{name}_s2")
        scl = ds.eo.cloud_mask("scl", dilate=20)
        both = scl | ds.eo.cloud_mask("unet_rgbiswir", shadows=False)
        yield f"{name}, clear to SCL and U-Net", ds, both
        yield f"{name}, clear to SCL", ds, scl
        yield f"{name}, NDVI filled as such", ds.eo.index("NDVI"), both
    ds = _opened("eolearn_slovenia_ndvi_clouds")
    yield "eolearn_slovenia, NDVI, its mask", ds["NDVI"], ds["CLM"] != 0
    lai = xr.open_dataset(DATA / "s2_lai_po_valley_2015_2024.nc", engine="h5netcdf").load()
    yield "s2_lai_po_valley, LAI", lai["LAI"], False


def _opened(name: str) -> xr.Dataset:
    return xr.open_zarr(zarr.storage.ZipStore(DATA / f"{name}.zarr.zip", mode="r")).load()


def _pooled(found: list[xr.Dataset]) -> xr.Dataset:
    """Return the scores of all drawings together: RMSE by the pixels of each."""
    together = xr.concat(found, "seed", join="override")
    weights = together["count"]
    squares = (together["rmse"] ** 2 * weights).sum("seed") / weights.sum("seed")
    made = together.drop_vars("rmse").mean("seed")
    return made.assign(rmse=np.sqrt(squares))


def _show(pooled: xr.Dataset, reports: list[Any]) -> None:
    bands = [str(band) for band in pooled["band"].values]
    ratio = pooled["rmse"] / pooled["rmse"].sel(filler="linear")
    for kind in ("all", "clouds", "dates"):
        one = ratio.sel(hidden=kind, gap="all").to_pandas()
        if isinstance(one, pd.Series):
            one = one.to_frame(bands[0])
        one["mean"] = one.mean(axis=1)
        print(f"\nRMSE beside linear, hidden: {kind}\n")
        print(f"| | {' | '.join(map(str, one.columns))} |\n|---{'|---' * len(one.columns)}|")
        for name, row in one.sort_values("mean").iterrows():
            print(f"| {name} | {' | '.join(f'{value:.3f}' for value in row)} |")
    print(f"\nThe first drawing, gaps of all lengths:\n\n```\n{reports[0]}\n```", flush=True)


def _verdicts(name: str, pooled: xr.Dataset) -> Iterator[Verdict]:
    ratio = (pooled["rmse"] / pooled["rmse"].sel(filler="linear")).sel(hidden="all", gap="all")
    best = str(ratio.mean("band").idxmin("filler").values)
    for band in ratio["band"].values:
        value = float(ratio.sel(filler=best, band=band))
        yield Verdict(f"{name}: {best}, {band}", "at most 0.90", f"{value:.3f}", value <= 0.9)

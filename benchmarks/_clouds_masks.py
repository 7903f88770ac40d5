"""Agreement of every detector with Sen2Cor's scene classification."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
import zarr
from _real import DATA
from _verdict import Verdict

from xeo import registry
from xeo.errors import BandError, MissingDependencyError, WeightsError

CUBES = ("flanders_a_s2", "flanders_b_s2", "s2_l2a_bolzano_202206")
CLOUD, CIRRUS, CLEAR = (8, 9), (10,), (2, 4, 5, 6, 7, 11)


def masks(args: argparse.Namespace) -> Iterator[Verdict]:
    """Precision, recall and F1 against clouds of SCL, and the part of its thin cirrus found."""
    print("\n### Clouds of SCL (8, 9) among what it calls clear or cloud; thin cirrus (10) apart\n")
    print("| cube | detector | precision | recall | F1 | thin cirrus found |")
    print("|---|---|---|---|---|---|")
    for name in CUBES[: 1 if args.quick else None]:
        ds = xr.open_zarr(zarr.storage.ZipStore(DATA / f"{name}.zarr.zip", mode="r")).load()
        for method in registry.names("cloud_mask"):
            if method == "scl":
                continue
            try:
                found = ds.eo.cloud_mask(method, shadows=False).values
            except (BandError, MissingDependencyError, WeightsError) as err:
                print(f"| {name} | {method} | {str(err).split('.')[0][:90]} | | | |")
                continue
            print(f"| {name} | {method} | {_scores(found, ds['SCL'].values)} |", flush=True)
    yield from ()


def _scores(found: Any, codes: Any) -> str:
    cloud, clear = np.isin(codes, CLOUD), np.isin(codes, CLEAR)
    hit = (found & cloud).sum()
    precision, recall = hit / (found & (cloud | clear)).sum(), hit / cloud.sum()
    f1 = 2 * precision * recall / (precision + recall)
    cirrus = found[np.isin(codes, CIRRUS)].mean()
    return f"{precision:.3f} | {recall:.3f} | {f1:.3f} | {cirrus:.3f}"

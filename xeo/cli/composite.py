"""``xeo composite``."""

from __future__ import annotations

from typing import Any

import click

from xeo import ops
from xeo.cli.run import mask_option, options_but, run, set_option
from xeo.ops.composite import METHODS

_EXAMPLES = """\b
Examples:
  xeo composite cube.zarr months.zarr
  xeo composite cube.zarr seasons.zarr --period QS-DEC --method geomedian
  xeo composite cube.zarr best.zarr --method best_pixel --date-of --set distance=20
"""


@click.command("composite", epilog=_EXAMPLES)
@click.option(
    "--period",
    default="MS",
    show_default=True,
    help="Of pandas: MS months, QS quarters, QS-DEC seasons, YS years, 10D ten days each.",
)
@click.option("--method", type=click.Choice(list(METHODS)), default="median", show_default=True)
@mask_option
@click.option(
    "--start",
    metavar="DATE",
    help="A day in the first period; earlier dates are not used.  [default: the first date]",
)
@click.option(
    "--count/--no-count",
    default=None,
    help="Whether to write the number of clear observations.  [default: where bands are variables]",
)
@click.option(
    "--date-of", is_flag=True, help="Write the date of each pixel, where the method takes one."
)
@set_option
@options_but("valid_fraction", "precision", "backend", "batch")
def composite(**options: Any) -> None:
    """Make one clear picture of each period of CUBE, into the Zarr store OUT.

    CUBE is a Zarr store (folder, zip), a NetCDF or GeoTIFF file; CUBE and OUT are paths or any
    URL that fsspec knows. It is safe to interrupt: the blocks at work are finished, and OUT is
    marked incomplete (its attribute xeo_complete is 0).
    """
    run(ops.composite, **options)

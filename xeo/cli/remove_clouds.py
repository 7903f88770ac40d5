"""``xeo remove-clouds``."""

from __future__ import annotations

from typing import Any

import click

from xeo import ops
from xeo.cli.run import default_of, mask_option, options_but, run, set_option
from xeo.cli.words import names, wanted

_EXAMPLES = """\b
Examples:
  xeo remove-clouds cube.zarr clear.zarr
  xeo remove-clouds cube.zarr regular.zarr --at 10D --quality
  xeo remove-clouds cube.zarr smooth.zarr --method whittaker --set lmbda=1000 --smooth
  xeo remove-clouds cube.zarr few.zarr --mask threshold --bands B04,B08 --limit 30
"""


@click.command("remove-clouds", epilog=_EXAMPLES)
@click.option(
    "--method",
    default=default_of(ops.remove_clouds, "method"),
    show_default=True,
    help="Name of a gap filler, as in xeo models.",
)
@mask_option
@click.option(
    "--at",
    type=wanted,
    metavar="STEP|DATES",
    help="Dates that are wanted: a step such as 5D, or dates with commas between them.  "
    "[default: those of CUBE]",
)
@click.option("--smooth", is_flag=True, help="Replace clear values by estimates too.")
@click.option(
    "--limit",
    type=click.FloatRange(0),
    metavar="DAYS",
    help="Fill nothing that is further from the nearest clear date.",
)
@click.option(
    "--extrapolate", is_flag=True, help="Fill before the first and after the last clear date too."
)
@click.option(
    "--quality", is_flag=True, help="Write how sure, why and how far each value is filled as well."
)
@click.option("--bands", type=names, metavar="A,B,...", help="Which.  [default: all]")
@set_option
@options_but("valid_fraction", "precision", "backend")
def remove_clouds(**options: Any) -> None:
    """Fill what clouds hide in CUBE, into the Zarr store OUT.

    Values of OUT are float32 in physical units, such as reflectance; NaN where nothing was
    filled. CUBE is a Zarr store (folder, zip), a NetCDF or GeoTIFF file; CUBE and OUT are paths
    or any URL that fsspec knows. It is safe to interrupt: the blocks at work are finished, and
    OUT is marked incomplete (its attribute xeo_complete is 0).
    """
    run(ops.remove_clouds, **options)

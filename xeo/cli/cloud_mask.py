"""``xeo cloud-mask``."""

from __future__ import annotations

from typing import Any

import click

from xeo import ops
from xeo.cli.run import options_but, run, set_option

_EXAMPLES = """\b
Examples:
  xeo cloud-mask cube.zarr mask.zarr
  xeo cloud-mask cube.zarr mask.zarr --method threshold --dilate 60 --min-size 4
  xeo cloud-mask cube.zarr mask.zarr --method scl --set 'classes=[3,8,9]'
  xeo cloud-mask cube.zarr chances.zarr --method threshold --probability
"""


@click.command("cloud-mask", epilog=_EXAMPLES)
@click.option(
    "--method", default="auto", show_default=True, help="Name of a detector, as in xeo models."
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    metavar="P",
    help="Probability from which on a pixel is bad.  [default: the detector's]",
)
@click.option(
    "--dilate",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    metavar="METRES",
    help="By which what is bad grows.",
)
@click.option(
    "--min-size",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="PIXELS",
    help="Smaller objects are dropped.",
)
@click.option(
    "--shadows/--no-shadows",
    default=None,
    help="Whether to look for shadows by the sun's angles.  [default: where the detector finds "
    "none, and CUBE has the angles]",
)
@click.option(
    "--heights",
    type=float,
    nargs=2,
    default=(200.0, 2000.0),
    show_default=True,
    metavar="LOW HIGH",
    help="Of clouds that throw shadows, in metres.",
)
@click.option(
    "--dark",
    type=float,
    default=0.15,
    show_default=True,
    metavar="X",
    help="Near-infrared reflectance below which a pixel can be shadow.",
)
@click.option("--probability", is_flag=True, help="Write the probability of the detector instead.")
@set_option
@options_but("valid_fraction")
def cloud_mask(**options: Any) -> None:
    """Write which pixels of CUBE are bad (cloud, shadow, missing) into the Zarr store OUT.

    OUT has the variable cloud_mask, True where bad. CUBE is a Zarr store (folder, zip), a NetCDF
    or GeoTIFF file; CUBE and OUT are paths or any URL that fsspec knows. It is safe to interrupt:
    the blocks at work are finished, and OUT is marked incomplete (its attribute xeo_complete is
    0).
    """
    run(ops.cloud_mask, **options)

"""``xeo embed``."""

from __future__ import annotations

from typing import Any

import click

from xeo import ops
from xeo.cli.run import run, shared_options
from xeo.cli.words import names

_EXAMPLES = """\b
Examples:
  xeo embed cube.zarr vectors.zarr
  xeo embed cube.zarr few.zarr --bands B02,B03,B04 --time 2023-04:2023-09
  xeo embed cube.zarr small.zarr --model presto --dtype int8
  xeo embed cube.zarr vectors.zarr --overwrite --dry-run
  xeo embed cube.zarr seen.zarr --model band_stats --valid-fraction --profile
  xeo embed s3://bucket/cube.zarr here.zarr --storage-option anon=true
"""


@click.command(epilog=_EXAMPLES)
@click.option("--model", default="mosaiks", show_default=True, help="Name, as in xeo models.")
@click.option("--bands", type=names, metavar="A,B,...", help="Which, for a model that takes any.")
@click.option(
    "--overlap",
    type=click.IntRange(0),
    metavar="N",
    help="Pixels by which windows overlap and are blended, for a model of fixed windows.",
)
@click.option(
    "--blend/--no-blend",
    default=None,
    help="Whether windows overlap and are blended.  [default: as the model says]",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16", "int8"]),
    default="float32",
    show_default=True,
    help="Of the vectors; int8 keeps their direction alone.",
)
@shared_options
def embed(**options: Any) -> None:
    """Embed CUBE into the Zarr store OUT.

    CUBE is a Zarr store (folder, zip), a NetCDF or GeoTIFF file; CUBE and OUT are paths or any
    URL that fsspec knows. It is safe to interrupt: the blocks at work are finished, and OUT is
    marked incomplete (its attribute xeo_complete is 0).
    """
    run(ops.embed, **options)

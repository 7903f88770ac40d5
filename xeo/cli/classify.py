"""``xeo classify``."""

from __future__ import annotations

from typing import Any

import click

from xeo import ops
from xeo.cli.run import run, shared_options

_EXAMPLES = """\b
Examples:
  xeo classify cube.zarr classes.zarr
  xeo classify cube.zarr chances.zarr --probability --time 2023-06
"""


@click.command(epilog=_EXAMPLES)
@click.option("--model", default="dynamic_world", show_default=True, help="Name, as in xeo models.")
@click.option("--probability", is_flag=True, help="Write the probability of each class instead.")
@shared_options
def classify(**options: Any) -> None:
    """Map the classes of CUBE into the Zarr store OUT.

    CUBE is a Zarr store (folder, zip), a NetCDF or GeoTIFF file; CUBE and OUT are paths or any
    URL that fsspec knows. It is safe to interrupt: the blocks at work are finished, and OUT is
    marked incomplete (its attribute xeo_complete is 0).
    """
    run(ops.classify, **options)

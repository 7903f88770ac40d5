"""``xeo evaluate-gap-filling``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from xeo import ops
from xeo.cli.run import check_folder, keywords, mask_option, options_but
from xeo.cli.words import names, settings

_EXAMPLES = """\b
Examples:
  xeo evaluate-gap-filling cube.zarr --method linear --method nearest
  xeo evaluate-gap-filling cube.zarr --method linear --mask threshold --json - --quiet
"""
_PICTURES = (".png", ".svg", ".pdf")


@click.command("evaluate-gap-filling", epilog=_EXAMPLES)
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="NAME",
    help="A gap filler, as in xeo models; can be given several times.  [default: all]",
)
@mask_option
@click.option(
    "--share",
    type=click.FloatRange(0, 1),
    default=0.3,
    show_default=True,
    help="Of the dates on which something is hidden.",
)
@click.option(
    "--whole",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Share of these that are hidden wholly; others under the clouds of another date.",
)
@click.option(
    "--margin",
    type=click.IntRange(0),
    default=2,
    show_default=True,
    metavar="PIXELS",
    help="Hidden pixels so near to a bad one are not scored.",
)
@click.option(
    "--sample",
    type=click.IntRange(1),
    default=65_536,
    show_default=True,
    metavar="PIXELS",
    help="How many are looked at.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of what is hidden.")
@click.option("--bands", type=names, metavar="A,B,...", help="Which.  [default: all]")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Write all scores as JSON; - prints them in place of the table.",
)
@click.option(
    "--plot",
    "picture",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Draw the scores: PNG, SVG or PDF, by the end of the name.",
)
@options_but(
    *("out", "batch", "chunk", "device", "precision", "backend", "valid_fraction", "workers"),
    *("overwrite", "dry_run", "profile", "out_storage_option"),
)
def evaluate_gap_filling(
    cube: str,
    *,
    methods: tuple[str, ...],
    json_file: str | None,
    picture: str | None,
    quiet: bool,
    storage_option: tuple[str, ...],
    **options: Any,
) -> None:
    """Score gap fillers on pixels of CUBE that were clear, and are hidden.

    Prints a table, the best method first. CUBE is a Zarr store (folder, zip), a NetCDF or GeoTIFF
    file; a path or any URL that fsspec knows.
    """
    for path in (json_file, picture):
        check_folder(path)
    if picture is not None and Path(picture).suffix.lower() not in _PICTURES:
        raise click.UsageError(f"expected --plot FILE that ends in one of {_PICTURES}")
    reading = settings(storage_option)
    given = keywords(ops.evaluate_gap_filling, reading, **options)
    opened: Any = ops.open_cube(cube, **reading)
    made = ops.evaluate_gap_filling(opened, methods or None, progress=not quiet, **given)
    # By way of pandas, which writes what is missing as null.
    scores = json.loads(made.to_dataframe().to_json(orient="records"))
    if json_file == "-":
        click.echo(json.dumps(scores, indent=2))
    else:
        click.echo(made)
    if json_file not in (None, "-"):
        Path(json_file).write_text(json.dumps(scores, indent=2) + "\n", "utf-8")
    if picture is not None:
        made.plot().savefig(picture, dpi=150)

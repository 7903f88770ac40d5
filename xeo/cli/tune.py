"""``xeo tune``."""

from __future__ import annotations

import json

import click

from xeo import ops
from xeo.cli.group import traceback_option
from xeo.cli.words import said, settings
from xeo.ops.tune import forget as forget_all

_EXAMPLES = """\b
Examples:
  xeo tune dynamic_world
  xeo tune presto --cube cube.zarr --precision fast --seconds 30
  xeo tune --forget
"""


@click.command(epilog=_EXAMPLES)
@click.argument("model", required=False)
@click.option("--cube", metavar="PATH", help="Whose pixels to use.  [default: random numbers]")
@click.option(
    "--verb",
    type=click.Choice(["embed", "classify"]),
    help="What MODEL is used for, where there is one of the name for both.",
)
@click.option(
    "--precision",
    type=click.Choice(["exact", "fast"]),
    default="exact",
    show_default=True,
    help="exact: the model's own numbers; fast: half precision may be used.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="N",
    help="Of timed calls; exporting and compiling come on top.",
)
@click.option("--backend", "backends", multiple=True, metavar="NAME", help="Only this one.")
@click.option("--sensor", multiple=True, metavar="[NODE=]NAME", help="Sensor of the cube.")
@click.option("--units", multiple=True, metavar="[MODALITY=]UNITS", help="Of the cube.")
@click.option("--offset", type=float, help="Added to stored numbers before scaling.")
@click.option(
    "--storage-option",
    multiple=True,
    metavar="KEY=VALUE",
    help="For fsspec, where the cube is a URL: anon=true.",
)
@click.option("--forget", is_flag=True, help="Forget all choices first, and converted programs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@traceback_option
def tune(
    model: str | None,
    cube: str | None,
    verb: str | None,
    precision: str,
    seconds: float,
    backends: tuple[str, ...],
    sensor: tuple[str, ...],
    units: tuple[str, ...],
    offset: float | None,
    storage_option: tuple[str, ...],
    forget: bool,
    as_json: bool,
) -> None:
    """Measure what runs MODEL fastest on this machine, and remember it for later jobs."""
    if forget:
        forget_all()
    if model is None:
        if not forget:
            raise click.UsageError("expected the name of a model, as in xeo models, or --forget")
        return
    found = ops.tune(
        model,
        None if cube is None else ops.open_cube(cube, **settings(storage_option)),
        verb=verb,
        precision=precision,
        seconds=seconds,
        backends=backends or None,
        sensor=said(sensor),
        units=said(units),
        offset=offset,
    )
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else str(found))

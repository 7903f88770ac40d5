"""``xeo inspect``."""

from __future__ import annotations

import json

import click

from xeo import ops
from xeo.cli.group import traceback_option
from xeo.cli.words import settings

_EXAMPLES = """\b
Examples:
  xeo inspect small.zarr
  xeo inspect small.zarr --json
"""


@click.command(epilog=_EXAMPLES)
@click.argument("store")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--storage-option",
    multiple=True,
    metavar="KEY=VALUE",
    help="For fsspec, where STORE is a URL: anon=true.",
)
@traceback_option
def inspect(store: str, as_json: bool, storage_option: tuple[str, ...]) -> None:
    """Tell what each array of a Zarr STORE is coded with, and how small that made it.

    Only metadata and sizes are read, of any Zarr store, whoever wrote it.
    """
    found = ops.inspect(store, storage_options=settings(storage_option) or None)
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else repr(found).partition("> ")[2])

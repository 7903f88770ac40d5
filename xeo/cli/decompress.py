"""``xeo decompress``."""

from __future__ import annotations

import time

import click

from xeo import ops
from xeo.cli.group import traceback_option
from xeo.cli.words import settings

_EXAMPLES = """\b
Examples:
  xeo decompress small.zarr plain.zarr
"""


@click.command(epilog=_EXAMPLES)
@click.argument("src")
@click.argument("dst")
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="Chunks at work at once.  [default: the cores]",
)
@click.option("--overwrite", is_flag=True, help="Replace DST if it is a Zarr store.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@click.option(
    "--storage-option",
    multiple=True,
    metavar="KEY=VALUE",
    help="For fsspec, where SRC or DST is a URL: anon=true.",
)
@click.option(
    "--out-storage-option",
    multiple=True,
    metavar="KEY=VALUE",
    help="For DST alone, in place of --storage-option.",
)
@traceback_option
def decompress(
    src: str,
    dst: str,
    *,
    workers: int | None,
    overwrite: bool,
    quiet: bool,
    storage_option: tuple[str, ...],
    out_storage_option: tuple[str, ...],
) -> None:
    """Write the compressed store SRC as a plain one, DST, for programs without our codecs.

    Bands that were stacked are variables again. It is safe to interrupt or kill: the same command
    goes on where it was.
    """
    start = time.perf_counter()
    reading = settings(storage_option)
    ops.decompress(
        src,
        dst,
        overwrite=overwrite,
        workers=workers,
        progress=not quiet,
        storage_options=reading or None,
        out_storage_options=(settings(out_storage_option) or reading) or None,
    )
    click.echo(f"wrote {dst} in {time.perf_counter() - start:.1f} s")

"""``xeo verify``."""

from __future__ import annotations

import click

from xeo import ops
from xeo.cli.group import traceback_option
from xeo.cli.source import group_option, open_node
from xeo.cli.words import settings

_EXAMPLES = """\b
Examples:
  xeo verify cube.zarr small.zarr
  xeo verify cube.zarr small.zarr --report report.html

\b
Exit codes:
  0    every promise is kept
  1    one is broken, or a chunk is damaged or missing; or xeo cannot compare them
  2    the command line is wrong
"""


@click.command(epilog=_EXAMPLES)
@click.argument("src")
@click.argument("dst")
@group_option
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="Chunks at work at once.  [default: the cores]",
)
@click.option(
    "--report", type=click.Path(dir_okay=False), metavar="FILE", help="Write the report as HTML."
)
@click.option("--quiet", is_flag=True, help="No progress bar, and one line at the end.")
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
@click.pass_context
def verify(
    ctx: click.Context,
    src: str,
    dst: str,
    *,
    group: str | None,
    workers: int | None,
    report: str | None,
    quiet: bool,
    storage_option: tuple[str, ...],
    out_storage_option: tuple[str, ...],
) -> None:
    """Recompute every bound of the store DST against its source SRC.

    Every chunk is read and compared: those that break their bound, are damaged or missing are
    named, with how far off they are.
    """
    reading = settings(storage_option)
    writing = settings(out_storage_option) or reading
    made = ops.verify(
        open_node(src, group, reading),
        dst,
        workers=workers,
        progress=not quiet,
        storage_options=writing or None,
    )
    if report is not None:
        made.save(report)
    click.echo(f"{dst}: {made.summary()}" if quiet else repr(made).partition("> ")[2])
    if made.holds is False:
        ctx.exit(1)

"""``xeo compress``."""

from __future__ import annotations

import time
from functools import reduce
from operator import or_
from typing import Any

import click
import xarray as xr

from xeo import ops
from xeo.cli.group import traceback_option
from xeo.cli.run import check_folder
from xeo.cli.source import group_option, open_node
from xeo.cli.words import by_variable, settings, sizes, values
from xeo.errors import OptionError
from xeo.ops.place import check_apart

_TARGETS = ("max_error", "relative_error", "psnr", "bpppb", "quality", "lossless")
_SETTINGS = ("effort", "encoder", "preset", "keyframes")
_EXAMPLES = """\b
Examples:
  xeo compress cube.zarr small.zarr --max-error 0.002
  xeo compress cube.zarr small.zarr --lossless --report report.html
  xeo compress cube.zarr small.zarr --max-error 0.002 --var B08=max-error:0.005 --var B04=lossless
  xeo compress cube.zarr small.zarr --max-error 0.002 --ignore SCL=3,8,9,10 --dry-run
  xeo compress s3://bucket/cube.zarr small.zarr --max-error 0.002 --storage-option anon=true
"""
_OPTIONS = (
    click.argument("src"),
    click.argument("dst"),
    click.option(
        "--max-error",
        type=float,
        metavar="X",
        help="No value is further off than this, in the units of the values: reflectance, kelvin.",
    ),
    click.option(
        "--relative-error",
        type=float,
        metavar="X",
        help="No value is further off than this part of itself: 0.05 for 5 %.",
    ),
    click.option("--psnr", type=float, metavar="DB", help="Reach this signal-to-noise ratio."),
    click.option("--bpppb", type=float, metavar="BITS", help="Stay below these bits per value."),
    click.option("--quality", type=float, metavar="Q", help="Of video, 0 to 100."),
    click.option("--lossless", is_flag=True, help="Every bit comes back."),
    click.option(
        "--codec",
        type=click.Choice(["auto", "video", "bounded", "lossless"]),
        default="auto",
        show_default=True,
    ),
    click.option("--peak", type=float, metavar="X", help="For --psnr, in the units of the values."),
    click.option(
        "--var",
        multiple=True,
        metavar="NAME=OPTION",
        help="Of one variable: NAME=max-error:X, NAME=lossless, NAME=psnr:X,codec:video. "
        "Classes, flags and masks are lossless unless named.",
    ),
    click.option(
        "--ignore",
        multiple=True,
        metavar="NAME=VALUES",
        help="Pixels where a variable has one of these values are worth nothing: SCL=3,8,9,10.",
    ),
    click.option(
        "--chunk",
        multiple=True,
        metavar="NAME=SIZE",
        help="Chunk along a dimension: time=all. Others are chosen.",
    ),
    click.option(
        "--no-stack", is_flag=True, help="Keep bands that are variables in an array each."
    ),
    click.option("--effort", type=click.IntRange(1, 9), metavar="1-9", help="More is smaller."),
    click.option("--encoder", metavar="NAME", help="Of video.  [default: x265]"),
    click.option("--preset", metavar="NAME", help="Of the encoder of video.  [default: medium]"),
    click.option(
        "--keyframes",
        type=click.IntRange(0),
        metavar="N",
        help="A date in N of a video decodes by itself; 0: only the first.",
    ),
    click.option("--zarr-format", type=click.Choice(["2", "3"]), default="3", show_default=True),
    group_option,
    click.option(
        "--workers",
        type=click.IntRange(1),
        metavar="N",
        help="Chunks at work at once.  [default: the cores]",
    ),
    click.option("--overwrite", is_flag=True, help="Replace DST if it is a Zarr store."),
    click.option(
        "--no-check", is_flag=True, help="Do not read back and compare; no errors are reported."
    ),
    click.option("--dry-run", is_flag=True, help="Estimate from a sample, and write nothing."),
    click.option(
        "--report",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Write the report as HTML.",
    ),
    click.option("--quiet", is_flag=True, help="No progress bar, and one line at the end."),
    click.option(
        "--storage-option",
        multiple=True,
        metavar="KEY=VALUE",
        help="For fsspec, where SRC or DST is a URL: anon=true.",
    ),
    click.option(
        "--out-storage-option",
        multiple=True,
        metavar="KEY=VALUE",
        help="For DST alone, in place of --storage-option.",
    ),
    traceback_option,
)


def _all_options(command: Any) -> Any:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command(epilog=_EXAMPLES)
@_all_options
def compress(
    src: str,
    dst: str,
    *,
    group: str | None,
    var: tuple[str, ...],
    ignore: tuple[str, ...],
    chunk: tuple[str, ...],
    no_stack: bool,
    zarr_format: str,
    workers: int | None,
    overwrite: bool,
    no_check: bool,
    dry_run: bool,
    report: str | None,
    quiet: bool,
    storage_option: tuple[str, ...],
    out_storage_option: tuple[str, ...],
    **options: Any,
) -> None:
    """Write the cube SRC to the small Zarr store DST, which anyone opens with xr.open_zarr.

    SRC is a Zarr store (folder, zip), a NetCDF or GeoTIFF file; SRC and DST are paths or any URL
    that fsspec knows. Numbers are compressed as they are stored; scale, offset, fill value and
    attributes stay. It is safe to interrupt or kill: the same command goes on where it was.
    """
    start = time.perf_counter()
    reading = settings(storage_option)
    writing = settings(out_storage_option) or reading
    keywords = _keywords(var, options) | {"chunks": sizes(chunk), "stack": _stack(no_stack)}
    worthless = values(ignore)
    check_apart(dst, src)
    check_folder(report)
    ds = open_node(src, group, reading)
    keywords |= {"ignore": _mask(ds, worthless), "workers": workers}
    if dry_run:
        click.echo(_plain(ops.estimate(ds, **keywords)))
        click.echo(f"would write {dst}")
        return
    made = ops.compress(
        ds,
        dst,
        zarr_format=int(zarr_format),
        overwrite=overwrite,
        check=not no_check,
        progress=not quiet,
        storage_options=writing or None,
        **keywords,
    )
    if report is not None:
        made.save(report)
    if not quiet:
        click.echo(_plain(made))
    seconds = f"in {time.perf_counter() - start:.1f} s"
    click.echo(f"wrote {dst} {seconds}: {made.summary()}" if quiet else f"wrote {dst} {seconds}")


def _keywords(var: tuple[str, ...], options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the op; settings only where they are given."""
    given = [name for name in _TARGETS if options[name] not in (None, False)]
    if len(given) > 1:
        words = ["--" + name.replace("_", "-") for name in given]
        raise click.UsageError(
            f"expected one of them, got {' and '.join(words)}. A maximum error over video is "
            "--codec video --max-error X; variables can differ: --var NAME=OPTION"
        )
    chosen = {name: options.pop(name) for name in _SETTINGS}
    return by_variable(var, options) | {k: v for k, v in chosen.items() if v is not None}


def _stack(no_stack: bool) -> bool | str:
    return False if no_stack else "auto"


def _mask(ds: xr.Dataset, worthless: dict[str, list[float]]) -> xr.DataArray | None:
    """Return where a variable has one of the values that make pixels worthless."""
    missing = [name for name in worthless if name not in ds.variables]
    if missing:
        raise OptionError(
            f"expected --ignore of variables among {list(map(str, ds.variables))}, got {missing}"
        )
    masks = [ds[name].isin(found) for name, found in worthless.items()]
    return reduce(or_, masks) if masks else None


def _plain(made: Any) -> str:
    """Return the text of a report without the name of its class."""
    return repr(made).partition("> ")[2]

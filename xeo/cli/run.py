"""What ``embed`` and ``classify`` share: their options, and open, run, write."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import click
import xarray as xr

from xeo import ops
from xeo.cli.group import traceback_option
from xeo.cli.words import dates, said, settings
from xeo.ops.place import check_free

_OPTIONS = (
    click.argument("cube"),
    click.argument("out"),
    click.option(
        "--time",
        "dates",
        type=dates,
        metavar="START:END",
        help="Dates to use, ends included; one end may be empty. A single date, month or year "
        "does as well.",
    ),
    click.option("--sensor", multiple=True, metavar="[NODE=]NAME", help="Sensor of the cube."),
    click.option(
        "--units",
        multiple=True,
        metavar="[MODALITY=]UNITS",
        help="What the numbers are in: reflectance, dn, db, power, ...",
    ),
    click.option(
        "--offset",
        type=float,
        help="Added to stored numbers before scaling: -1000 for Sentinel-2 of baseline 04.00 "
        "or later, 0 where that is done.",
    ),
    click.option("--batch", type=click.IntRange(1), metavar="N", help="Windows per model call."),
    click.option(
        "--chunk", type=click.IntRange(1), metavar="N", help="Side of a block, in input pixels."
    ),
    click.option("--device", help="cpu, cuda or cuda:1.  [default: cpu]"),
    click.option(
        "--precision",
        type=click.Choice(["exact", "fast"]),
        default="exact",
        show_default=True,
        help="fast may run the model in half precision, and tells what that costs.",
    ),
    click.option(
        "--backend", metavar="NAME", help="What runs the model: eager, ...  [default: measured]"
    ),
    click.option(
        "--valid-fraction",
        is_flag=True,
        help="Write the fraction of valid pixels of each cell as well.",
    ),
    click.option(
        "--workers",
        type=click.IntRange(1),
        metavar="N",
        help="Blocks at work at once.  [default: the cores]",
    ),
    click.option("--overwrite", is_flag=True, help="Replace OUT if it is a Zarr store."),
    click.option("--dry-run", is_flag=True, help="Print the plan, and do nothing."),
    click.option("--quiet", is_flag=True, help="No progress bar."),
    click.option("--profile", is_flag=True, help="Print where the time went."),
    click.option(
        "--storage-option",
        multiple=True,
        metavar="KEY=VALUE",
        help="For fsspec, where CUBE or OUT is a URL: anon=true.",
    ),
    click.option(
        "--out-storage-option",
        multiple=True,
        metavar="KEY=VALUE",
        help="For OUT alone, in place of --storage-option.",
    ),
    traceback_option,
)


def shared_options(command: Any) -> Any:
    """Add the arguments and options that every command with a model has."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def run(
    verb: Callable[..., Any],
    cube: str,
    out: str,
    *,
    workers: int | None,
    overwrite: bool,
    dry_run: bool,
    quiet: bool,
    profile: bool,
    storage_option: tuple[str, ...],
    out_storage_option: tuple[str, ...],
    sensor: tuple[str, ...],
    units: tuple[str, ...],
    **options: Any,
) -> None:
    """Open a cube, run a verb, write the result.

    Parameters
    ----------
    verb : callable
        An op such as `xeo.embed`.
    cube, out : str
        Paths or URLs.
    **options :
        Of the command line; what is not named here goes to the verb.
    """
    start = time.perf_counter()
    reading = settings(storage_option)
    writing = settings(out_storage_option) or reading
    options |= {"sensor": said(sensor), "units": said(units)}
    check_free(out, overwrite=overwrite, source=cube, storage_options=writing)
    opened = ops.open_cube(cube, **reading)
    if dry_run:
        click.echo(verb(opened, explain=True, **options))
        click.echo(f"would write {out}")
        return
    made = verb(opened, **options)
    seen = ops.write(
        made,
        out,
        overwrite=overwrite,
        workers=workers,
        progress=not quiet,
        profile=True,
        storage_options=writing or None,
    )
    if profile:
        click.echo(seen)
    seconds = time.perf_counter() - start
    click.echo(f"wrote {out}: {_described(made)} in {seconds:.1f} s; {_explained(seen)}")


def _described(made: xr.DataArray | xr.Dataset) -> str:
    """Return the sizes of what was written, and its bytes."""
    first, *others = made.data_vars.values() if isinstance(made, xr.Dataset) else [made]
    sizes = ", ".join(f"{name} {size}" for name, size in first.sizes.items())
    beside = "".join(f", and {one.name}" for one in others)
    nbytes = first.nbytes + sum(one.nbytes for one in others)
    return f"{sizes}{beside}; {nbytes / 1e6:.3g} MB"


def _explained(seen: Any) -> str:
    """Return the side that the others waited for, and what ran the model."""
    # Without a valid pixel it was not run.
    return f"{seen.bound} binds" + (f"; {seen.backend}" if seen.backend else "")

"""What commands that run a verb on a cube share: their options, and open, run, write."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import xarray as xr

from xeo import ops
from xeo.cli.group import traceback_option
from xeo.cli.words import dates, said, settings
from xeo.errors import OptionError, StoreError
from xeo.ops.place import check_free
from xeo.ops.write import can_profile

#: Options by the names that verbs have for them, in the order of the help.
_OPTIONS: dict[str, Callable[[Any], Any]] = {
    "cube": click.argument("cube"),
    "out": click.argument("out"),
    "dates": click.option(
        "--time",
        "dates",
        type=dates,
        metavar="START:END",
        help="Dates to use, ends included; one end may be empty. A single date, month or year "
        "does as well.",
    ),
    "sensor": click.option(
        "--sensor", multiple=True, metavar="[NODE=]NAME", help="Sensor of the cube."
    ),
    "units": click.option(
        "--units",
        multiple=True,
        metavar="[MODALITY=]UNITS",
        help="What the numbers are in: reflectance, dn, db, power, ...",
    ),
    "offset": click.option(
        "--offset",
        type=float,
        help="Added to stored numbers before scaling: -1000 for Sentinel-2 of baseline 04.00 "
        "or later, 0 where that is done.",
    ),
    "batch": click.option(
        "--batch", type=click.IntRange(1), metavar="N", help="Windows per model call."
    ),
    "chunk": click.option(
        "--chunk", type=click.IntRange(1), metavar="N", help="Side of a block, in input pixels."
    ),
    "device": click.option("--device", help="cpu, cuda or cuda:1.  [default: cpu]"),
    "precision": click.option(
        "--precision",
        type=click.Choice(["exact", "fast"]),
        default="exact",
        show_default=True,
        help="fast may run the model in half precision, and tells what that costs.",
    ),
    "backend": click.option(
        "--backend", metavar="NAME", help="What runs the model: eager, ...  [default: measured]"
    ),
    "valid_fraction": click.option(
        "--valid-fraction",
        is_flag=True,
        help="Write the fraction of valid pixels of each cell as well.",
    ),
    "workers": click.option(
        "--workers",
        type=click.IntRange(1),
        metavar="N",
        help="Blocks at work at once.  [default: the cores]",
    ),
    "overwrite": click.option(
        "--overwrite", is_flag=True, help="Replace OUT if it is a Zarr store."
    ),
    "dry_run": click.option("--dry-run", is_flag=True, help="Print the plan, and do nothing."),
    "quiet": click.option("--quiet", is_flag=True, help="No progress bar."),
    "profile": click.option("--profile", is_flag=True, help="Print where the time went."),
    "storage_option": click.option(
        "--storage-option",
        multiple=True,
        metavar="KEY=VALUE",
        help="For fsspec, where CUBE or OUT is a URL: anon=true.",
    ),
    "out_storage_option": click.option(
        "--out-storage-option",
        multiple=True,
        metavar="KEY=VALUE",
        help="For OUT alone, in place of --storage-option.",
    ),
}


def options_but(*left_out: str) -> Callable[[Any], Any]:
    """Return what adds the shared arguments and options that a verb has.

    Parameters
    ----------
    *left_out : str
        Names of those that it lacks.
    """
    kept = [option for name, option in _OPTIONS.items() if name not in left_out]

    def add(command: Any) -> Any:
        for option in reversed([*kept, traceback_option]):
            command = option(command)
        return command

    return add


#: All of them, for verbs that run a model.
shared_options = options_but()
set_option = click.option(
    "--set",
    "set_",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of the method; VALUE is JSON, or else text.",
)
mask_option = click.option(
    "--mask",
    metavar="NAME|STORE|none",
    help="What is bad: a detector of xeo cloud-mask, the OUT of xeo cloud-mask for all "
    "dates of CUBE, or none but missing values.  [default: the best detector that CUBE allows]",
)


def default_of(verb: Callable[..., Any], name: str) -> Any:
    """Return the default of a parameter of a verb."""
    return inspect.signature(verb).parameters[name].default


def check_folder(path: str | None) -> None:
    """Say before hours of work that a file cannot be written.

    Raises
    ------
    StoreError
        If there is no folder for it.
    """
    if path is not None and not Path(path).absolute().parent.is_dir():
        raise StoreError(f"expected a folder to write {path!r} in, found none")


def keywords(
    verb: Callable[..., Any],
    reading: dict[str, Any],
    *,
    sensor: tuple[str, ...],
    units: tuple[str, ...],
    set_: tuple[str, ...] = (),
    **options: Any,
) -> dict[str, Any]:
    """Return options of the command line as keywords of a verb.

    Parameters
    ----------
    verb : callable
        An op such as `xeo.remove_clouds`.
    reading : dict
        Options of fsspec, for a mask that is a store.
    **options :
        Of the command line; those that are not named here stay as they are.
    """
    made = settings(set_)
    taken = sorted(set(made) & set(inspect.signature(verb).parameters))
    if taken:
        raise click.UsageError(
            f"expected --set of settings of the method, got {taken}. "
            f"Try: --{taken[0].replace('_', '-')}"
        )
    if "mask" in options:
        options["mask"] = _mask(options["mask"], reading)
    return {**options, "sensor": said(sensor), "units": said(units), **made}


def _mask(word: str | None, reading: dict[str, Any]) -> Any:
    """Return a mask as verbs take it: the name of a detector, booleans, False or None."""
    if word is None or word.isidentifier():
        return False if word == "none" else word
    opened = ops.open_cube(word, **reading)
    found = opened.get("cloud_mask")
    if not isinstance(found, xr.DataArray):
        raise OptionError(
            f"expected the variable cloud_mask in {word!r}, as xeo cloud-mask writes it, got "
            f"{list(map(str, opened))}. Try: --mask NAME, a detector out of xeo models"
        )
    return found


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
        Of the command line; what is not named here goes to the verb, by way of `keywords`.
    """
    start = time.perf_counter()
    reading = settings(storage_option)
    writing = settings(out_storage_option) or reading
    check_free(out, overwrite=overwrite, source=cube, storage_options=writing)
    options = keywords(verb, reading, **options)
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
        profile=profile or can_profile(made),
        storage_options=writing or None,
    )
    if profile:
        click.echo(seen)
    seconds = time.perf_counter() - start
    click.echo(f"wrote {out}: {_described(made)} in {seconds:.1f} s{_explained(seen)}")


def _described(made: xr.DataArray | xr.Dataset) -> str:
    """Return the sizes of what was written, and its bytes."""
    first, *others = made.data_vars.values() if isinstance(made, xr.Dataset) else [made]
    sizes = ", ".join(f"{name} {size}" for name, size in first.sizes.items())
    named = ", ".join(str(one.name) for one in others)
    # Of many, the names would fill the screen.
    beside = f", and {named if len(others) < 4 else f'{len(others)} others'}" if others else ""
    nbytes = first.nbytes + sum(one.nbytes for one in others)
    return f"{sizes}{beside}; {nbytes / 1e6:.3g} MB"


def _explained(seen: Any) -> str:
    """Return the side that the others waited for, and what ran the model, where that is known."""
    if seen is None:
        return ""
    # Without a valid pixel it was not run.
    return f"; {seen.bound} binds" + (f"; {seen.backend}" if seen.backend else "")

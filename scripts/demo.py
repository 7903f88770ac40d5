"""Embed a real cube from the command line, and paint what the models see.

Reads the cubes in $XEO_DATA (default ../shared/data) and weights in $XEO_WEIGHTS (default
../shared/weights); without cubes it simulates one, and says so. Writes into demo/.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import xarray as xr

import xeo

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "demo"
#: Scene classes of Sen2Cor: nothing, saturated, shadow, three kinds of cloud.
BAD_SCL = (0, 1, 3, 8, 9, 10)
COPERNICUS = "Contains modified Copernicus Sentinel data"


@dataclass(frozen=True)
class Scene:
    """A cube to look at.

    Parameters
    ----------
    name : str
        Of its outputs.
    path : Path
        Of its store.
    title : str
        For people.
    source : str
        Whose data it is.
    months : slice
        Where to look for a clear date.
    models : tuple of str
        Which to run, those whose weights are here.
    year : str
        What a model of the whole season reads.
    """

    name: str
    path: Path
    title: str
    source: str
    months: slice
    models: tuple[str, ...]
    year: str

    def clearest(self) -> str:
        """Return the date with the fewest bad pixels, the last one of those."""
        with xeo.open_cube(self.path) as cube:
            bad = cube["SCL"].sel(time=self.months).isin(BAD_SCL).mean(("y", "x")).compute()
        best = bad.where(bad == bad.min(), drop=True).time.values[-1]
        return str(best)[:10]


def main() -> int:
    """Run the demo."""
    start = time.perf_counter()
    weights = _find_weights()
    DEMO.mkdir(exist_ok=True)
    scenes = [scene for scene in _scenes(weights) if scene.models]
    pictures = [_show(scene) for scene in scenes]
    click.echo(f"\nDone in {time.perf_counter() - start:.0f} s. Look at:")
    for picture in pictures:
        click.echo(f"  {_short(picture)}")
    click.echo("The vectors are in demo/*.zarr: xarray.open_zarr('demo/...')")
    return 0


def _find_weights() -> bool:
    default = ROOT.parent / "shared" / "weights"
    if "XEO_WEIGHTS" not in os.environ and default.is_dir():
        os.environ["XEO_WEIGHTS"] = str(default)
    table = xeo.list_models().set_index("name")
    found = not table.loc[["dynamic_world", "presto"], "weights"].isin(["to download"]).any()
    if not found:
        click.echo("No weights of pretrained models here: only MOSAIKS runs, which needs none.")
    return found


def _scenes(weights: bool) -> list[Scene]:
    data = Path(os.environ.get("XEO_DATA", ROOT.parent / "shared" / "data")).expanduser()
    scenes = [
        Scene(
            "bolzano",
            data / "s2_l2a_bolzano_202206.zarr.zip",
            "South Tyrol near Bolzano, Sentinel-2",
            f"{COPERNICUS} 2022",
            slice("2022-06", "2022-06"),
            ("mosaiks",),
            "2022",
        ),
        Scene(
            "flanders",
            data / "flanders_a_s2.zarr.zip",
            "A village and its fields in Flanders, Sentinel-2",
            f"{COPERNICUS} 2017-2018",
            slice("2018-06-15", "2018-07-15"),
            ("presto", "dynamic_world"),
            "2018",
        ),
    ]
    found = [scene for scene in scenes if scene.path.exists()] or [_simulated(data)]
    runs = scenes[0].models if not weights else (*scenes[0].models, *scenes[1].models)
    return [replace(s, models=tuple(m for m in s.models if m in runs)) for s in found]


def _simulated(data: Path) -> Scene:
    click.echo(f"No real cubes in {data} (XEO_DATA): this one is SIMULATED, by formulas.")
    path = DEMO / "cube.zarr"
    cube = xeo.simulate_cube(dates=12, size=192, chunks={"time": 12, "y": 96, "x": 96})
    cube.to_zarr(path, mode="w", consolidated=False, zarr_format=3)
    return Scene(
        "simulated",
        path,
        "SIMULATED farmland (formulas, no observation)",
        "xeo.simulate_cube",
        slice("2023-05", "2023-09"),
        ("mosaiks", "dynamic_world"),
        "2023",
    )


def _show(scene: Scene) -> Path:
    """Embed a scene from the command line, and draw it."""
    date = scene.clearest()
    made: dict[str, xr.DataArray] = {}
    for model in scene.models:
        days = {"dynamic_world": date, "presto": scene.year}.get(model)
        only = ["--time", days] if days else []
        made[model] = _run(scene, "embed", model, *only)
        if model == "dynamic_world":
            made["classes"] = _run(scene, "classify", model, *only)
    return _draw(scene, date, made)


def _run(scene: Scene, command: str, model: str, *options: str) -> xr.DataArray:
    """Call ``xeo`` as a user would, and open what it wrote."""
    words = "_classes" if command == "classify" else ""
    out = DEMO / f"{scene.name}_{model}{words}.zarr"
    arguments = [command, _short(scene.path), _short(out), "--model", model, *options]
    click.echo(f"\n$ xeo {shlex.join(arguments)} --overwrite")
    done = subprocess.run([sys.executable, "-m", "xeo", *arguments, "--overwrite"], cwd=ROOT)
    if done.returncode:
        sys.exit(done.returncode)
    opened = xr.open_zarr(out)
    (name,) = opened.data_vars
    array = opened[name].load()
    assert opened.attrs["xeo_complete"] == 1, f"{out} is not complete"
    assert len(np.unique(array)) > 2, f"there is nothing in {out}"
    return array


def _draw(scene: Scene, date: str, made: dict[str, xr.DataArray]) -> Path:
    """Draw the cube and what was made of it side by side."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    count = len(made) + 1
    columns = count if count < 4 else 2
    rows = -(-count // columns)
    size = (5.8 * columns + (1.6 if "classes" in made else 0), 5.2 * rows + 0.8)
    figure, grid = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    axes = grid.ravel()
    for ax in axes[count:]:
        ax.set_axis_off()
    with xeo.open_cube(scene.path) as cube:
        cube.eo.plot.rgb(date=date, ax=axes[0])
    axes[0].set_title(f"what we see, {date}\ntrue colour")
    for ax, (model, array) in zip(axes[1:count], made.items(), strict=True):
        _panel(ax, model, array, date)
    figure.suptitle(scene.title, fontsize=16)
    note = ". Within 20 pixels of the border Dynamic World has no context, and errs."
    figure.supxlabel(scene.source + (note if "classes" in made else ""), fontsize=9)
    path = DEMO / f"{scene.name}.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    assert path.stat().st_size > 20_000, f"{path} looks empty"
    return path


def _panel(ax: Axes, model: str, array: xr.DataArray, date: str) -> None:
    only = {"date": date} if "time" in array.dims else {}
    if model == "classes":
        array.eo.plot.classes(**only, ax=ax)
        ax.set_title(f"dynamic_world, {date}\nits classes")
        return
    array.eo.plot.embedding(**only, ax=ax)
    when = date if only else "all dates of the year"
    count = array.sizes["embedding"]
    ax.set_title(f"{model}, {when}\n{count} numbers a cell, the main three as colours")


def _short(path: Path) -> str:
    return os.path.relpath(path, ROOT) if ROOT.parent in path.parents else str(path)


if __name__ == "__main__":
    sys.exit(main())

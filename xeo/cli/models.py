"""``xeo models``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from xeo import ops
from xeo.cli.group import traceback_option
from xeo.errors import UnknownNameError

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = {
    "name": "name",
    "task": "task",
    "bands": "bands",
    "license": "licence",
    "size_mb": "size, MB",
    "weights": "weights",
}


@click.command(
    epilog="""\b
Examples:
  xeo models
  xeo models presto
  xeo models --json
"""
)
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@traceback_option
def models(name: str | None, as_json: bool) -> None:
    """List the models, or all there is to say of NAME.

    A star marks a modality that a model can do without.
    """
    table = ops.list_models()
    if name is not None:
        if name not in set(table["name"]):
            raise UnknownNameError(
                f"expected the name of a model, one of {sorted(set(table['name']))}, got {name!r}"
            )
        table = table[table["name"] == name]
    if as_json:
        # By way of pandas, which writes what is missing as null.
        click.echo(json.dumps(json.loads(table.to_json(orient="records")), indent=2))
    elif name is not None:
        click.echo("\n\n".join(_lines(row) for row in table.to_dict("records")))
    else:
        _draw(table)


def _lines(row: dict[Any, Any]) -> str:
    return "\n".join(f"{key + ':':<10}{value}" for key, value in row.items())


def _draw(table: pd.DataFrame) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD)
    for column, title in _SHOWN.items():
        drawn.add_column(
            title,
            overflow="fold",
            justify="right" if column == "size_mb" else "left",
            no_wrap=column in ("name", "task"),
        )
    for row in table.to_dict("records"):
        drawn.add_row(*(str(row[column]) for column in _SHOWN))
    console = Console()
    # A pipe has no width; a program that reads it wants whole lines.
    console.print(drawn) if console.is_terminal else Console(width=240).print(drawn)

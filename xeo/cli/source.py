"""Open what a command compresses, with the numbers as they are stored."""

from __future__ import annotations

from typing import Any

import click
import xarray as xr

from xeo import ops
from xeo.errors import OptionError

group_option = click.option(
    "--group", metavar="NODE", help="Which node of SRC, where it is a store of several."
)


def open_node(path: str, group: str | None, options: dict[str, Any]) -> xr.Dataset:
    """Open a cube, or one node of a store of several.

    Raises
    ------
    OptionError
        If there are several and none is named, or there is none of that name.
    """
    opened = ops.open_cube(path, raw=True, **options)
    if isinstance(opened, xr.Dataset):
        if group:
            raise OptionError(f"expected a store of several nodes at {path!r}, it has no {group!r}")
        return opened
    nodes = {node.path.lstrip("/"): node for node in opened.subtree if node.data_vars}
    if group is None and set(nodes) == {""}:
        return nodes[""].to_dataset()
    wanted = (group or "").strip("/")
    if group is None or wanted not in nodes:
        got = "none was named" if group is None else f"got {group!r}"
        raise OptionError(
            f"expected one of the nodes {sorted(nodes)} of {path!r}, {got}. "
            f"Try: --group {next(iter(nodes), 'NODE')}"
        )
    return nodes[wanted].to_dataset()

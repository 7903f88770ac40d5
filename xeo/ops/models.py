"""What models there are."""

from __future__ import annotations

import pandas as pd

from xeo import registry, weights
from xeo.errors import MissingDependencyError
from xeo.spec import ModelSpec

COLUMNS = ("name", "task", "bands", "channels", "stride", "license", "size_mb", "weights")


def list_models() -> pd.DataFrame:
    """List the registered models.

    Returns
    -------
    DataFrame
        One row a model, by task and name: ``name``, ``task`` (the verb), ``bands`` (modality
        and number of bands, * where optional), ``channels`` (length of the vector), ``stride``
        (pixels per cell), ``license``, ``size_mb`` (of the weights), and ``weights`` (where
        the file is, ``"to download"``, or ``"none needed"``). A model whose packages are not
        installed says so there.

    Examples
    --------
    >>> xeo.list_models()["name"].tolist()[:2]
    ['dynamic_world', 'fmask']
    """
    rows = [_row(verb, name) for verb in sorted(registry.GROUPS) for name in registry.names(verb)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(verb: str, name: str) -> tuple[object, ...]:
    try:
        spec = registry.resolve(verb, name).spec
    except MissingDependencyError as err:
        return name, verb, "", None, None, "", None, str(err)
    held = weights.get(spec.weights) if spec.weights else None
    channels = str(spec.channels) if spec.channels else f"{spec.channels_per_band} a band"
    return (
        name,
        verb,
        _bands(spec),
        channels,
        spec.stride,
        spec.license,
        round(held.size / 1e6, 1) if held else 0.0,
        _where(spec),
    )


def _bands(spec: ModelSpec) -> str:
    return ", ".join(
        f"{one.modality} {'any' if one.bands is None else len(one.bands)}"
        f"{'*' if one.optional else ''}"
        for one in spec.inputs
    )


def _where(spec: ModelSpec) -> str:
    if spec.weights is None:
        return "none needed"
    return weights.where(spec.weights) or "to download"

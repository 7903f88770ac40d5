"""Kinds of arguments: what a shell can write, as what the ops take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click
import numpy as np


def names(text: str) -> tuple[str, ...]:
    """Return the names in a text with commas between them."""
    found = tuple(word.strip() for word in text.split(","))
    if not all(found):
        raise click.BadParameter(f"expected names with commas between them, got {text!r}")
    return found


def dates(text: str) -> Any:
    """Return ``"2023-04:2023-09"`` as a slice, and a single date, month or year as it is."""
    # 2023-06-01T10:30 is one moment, not a span; between moments stands a slash.
    mark = "/" if "/" in text or "T" in text else ":"
    ends = [_date(part.strip()) for part in text.split(mark)]
    if len(ends) > 2 or not any(ends):
        raise click.BadParameter(f"expected START:END, got {text!r}. Try: 2023-04:2023-09")
    return ends[0] if len(ends) == 1 else slice(*ends)


def _date(text: str) -> str | None:
    if text in ("", ".."):
        return None
    try:
        np.datetime64(text)
    except ValueError:
        raise click.BadParameter(
            f"expected a date such as 2023, 2023-06 or 2023-06-30, got {text!r}"
        ) from None
    return text


def wanted(text: str) -> Any:
    """Return ``"5D"`` as it is, and ``"2023-06-01,2023-07-01"`` as a list of dates."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 1 and not parts[0][:4].isdecimal():
        return parts[0]
    found = [_date(part) for part in parts]
    if None in found:
        raise click.BadParameter(f"expected a step, or dates with commas between, got {text!r}")
    return found


def said(words: Sequence[str]) -> Any:
    """Return ``["dn"]`` as ``"dn"``, and ``["a=dn", "b=db"]`` as a mapping."""
    plain = [word for word in words if "=" not in word]
    if len(plain) > 1 or (plain and len(words) > 1):
        raise click.UsageError(f"expected one value, or NAME=VALUE for each, got {list(words)}")
    return plain[0] if plain else dict(_pair(word) for word in words) or None


def settings(words: Sequence[str]) -> dict[str, Any]:
    """Return ``["anon=true", "key=abc"]`` as keywords; values are JSON where they can be."""
    return {key: _value(text) for key, text in map(_pair, words)}


def _pair(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not (key and equals):
        raise click.UsageError(f"expected NAME=VALUE, got {word!r}")
    return key, value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


#: What ``--var`` can say of a variable, and what it stands for.
_TARGETS = ("max-error", "relative-error", "psnr", "bpppb", "quality")


def by_variable(words: Sequence[str], shared: dict[str, Any]) -> dict[str, Any]:
    """Return options of `compress` with what is said of single variables.

    Parameters
    ----------
    words : sequence of str
        ``["B02=max-error:0.002", "SCL=lossless", "t2m=psnr:50,codec:video"]``.
    shared : dict
        Options of all other variables.

    Returns
    -------
    dict
    """
    own: dict[str, dict[Any, Any]] = {}
    for word in words:
        name, said = _pair(word)
        for one in said.split(","):
            key, value = _option(one.strip(), word)
            own.setdefault(key, {})[name] = value
    made = dict(shared)
    for key, values in own.items():
        made[key] = {**({} if shared.get(key) is None else {...: shared[key]}), **values}
    return made


def _option(text: str, word: str) -> tuple[str, Any]:
    key, colon, value = text.partition(":")
    if key == "lossless" and not colon:
        return key, True
    if key == "codec" and value in ("auto", "video", "bounded", "lossless"):
        return key, value
    if key in (*_TARGETS, "peak") and value:
        try:
            return key.replace("-", "_"), float(value)
        except ValueError:
            pass
    raise click.UsageError(
        f"expected NAME=OPTION with lossless, codec:CODEC, peak:X or one of "
        f"{', '.join(f'{one}:X' for one in _TARGETS)}, got {word!r}. Try: B02=max-error:0.002"
    )


def sizes(words: Sequence[str]) -> dict[str, int] | None:
    """Return ``["y=256", "time=all"]`` as sizes of chunks, -1 for all."""
    made = {}
    for name, text in map(_pair, words):
        if text == "all":
            made[name] = -1
        elif text.isdecimal() and int(text) > 0:
            made[name] = int(text)
        else:
            raise click.UsageError(f"expected NAME=SIZE, 1 or more or all, got {name}={text}")
    return made or None


def values(words: Sequence[str]) -> dict[str, list[float]]:
    """Return ``["SCL=3,8,9"]`` as the values of each variable."""
    made: dict[str, list[float]] = {}
    for name, text in map(_pair, words):
        try:
            made.setdefault(name, []).extend(_number(one) for one in text.split(","))
        except ValueError:
            raise click.UsageError(
                f"expected NAME=VALUES, numbers with commas between them, got {name}={text}"
            ) from None
    return made


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number

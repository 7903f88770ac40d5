"""What compressing a cube gave and what it cost: of each variable, date and band."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xeo.errors import OptionError, StoreError, UnknownNameError
from xeo.ops.figures import (
    APART,
    VariableReport,
    number,
    spell_bound,
    spell_bytes,
    spell_largest,
    to_json,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Report", "VariableReport"]


@dataclass(frozen=True, repr=False)
class Report:
    """What `compress` and `verify` return: text, HTML, figures and pictures of what was stored.

    Parameters
    ----------
    variables : tuple of VariableReport
        One for each array of the store.
    source : DataArray or Dataset, optional
        The original, for `plot` and dates.
    store : str
        Where the arrays are.
    storage_options : mapping
        For fsspec, where that is a URL.
    """

    variables: tuple[VariableReport, ...]
    source: xr.DataArray | xr.Dataset | None = None
    store: str = ""
    storage_options: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> VariableReport:
        """Return what is known of an array, or of the array that holds a variable.

        Raises
        ------
        UnknownNameError
            If there is none of that name.
        """
        for one in self.variables:
            if name == one.name or name in one.members:
                return one
        raise UnknownNameError(
            f"expected one of {[one.name for one in self.variables]}, got {name!r}"
        )

    @property
    def holds(self) -> bool | None:
        """Whether every promise is kept; None if nothing was compared."""
        known = [one.holds for one in self.variables if one.holds is not None]
        return all(known) if known else None

    @property
    def size(self) -> int:
        """Bytes stored of all arrays that codecs of ours hold."""
        return sum(one.size for one in self.variables)

    @property
    def raw(self) -> int:
        """Bytes of the values of these arrays in memory."""
        return sum(one.raw for one in self.variables)

    @property
    def ratio(self) -> float:
        """Raw bytes per stored byte; NaN where not counted."""
        return self.raw / self.size if self.size else math.nan

    @property
    def bpppb(self) -> float:
        """Stored bits per value; NaN where not counted."""
        values = sum(one.values for one in self.variables if one.size)
        return 8 * self.size / values if values else math.nan

    @property
    def seconds(self) -> float:
        """Seconds of coding and checking, added up over threads."""
        return sum(one.coding_seconds + one.checking_seconds for one in self.variables)

    def dates(self, name: str) -> NDArray[Any]:
        """Return the label of each date that the figures of an array tell apart.

        Parameters
        ----------
        name : str
            Of the array.

        Returns
        -------
        array
            Dates, or whatever the coordinate holds; numbers where there is none.
        """
        one = self[name]
        count = one.fidelity.shape[0] if one.fidelity else 0
        found = self._labels(one, "t")
        return found if found is not None and len(found) == count else np.arange(count)

    def bands(self, name: str) -> list[str]:
        """Return the label of each band that the figures of an array tell apart."""
        one = self[name]
        count = one.fidelity.shape[1] if one.fidelity else 0
        found = one.members if one.stacked else self._labels(one, "b")
        if found is None or len(found) != count:
            return [one.name] if count == 1 else [str(n) for n in range(count)]
        return [str(label) for label in found]

    def _labels(self, one: VariableReport, role: str) -> NDArray[Any] | None:
        if self.source is None or one.axes.count(role) != 1:
            return None
        dim = one.dims[one.axes.index(role)]
        return np.asarray(self.source.coords[dim]) if dim in self.source.coords else None

    def to_dict(self) -> dict[str, Any]:
        """Return all figures as JSON can say them; infinite and missing ones are None.

        Returns
        -------
        dict
        """
        return {
            "store": self.store,
            "holds": self.holds,
            "bytes_stored": self.size,
            "bytes_raw": self.raw,
            "ratio": to_json(self.ratio),
            "bpppb": to_json(self.bpppb),
            "seconds": self.seconds,
            "variables": [one.to_dict() for one in self.variables],
        }

    def to_dataset(self) -> xr.Dataset:
        """Return the figures as arrays.

        Returns
        -------
        Dataset
            Those of the whole over ``variable``, those of dates and bands over ``variable`` and
            ``date`` or ``band`` with ``_by_date`` and ``_by_band`` in their names. NaN where a
            variable has no such date or band.
        """
        coded = [one for one in self.variables if one.coded]
        names = [one.name for one in coded]
        figures = [one.figures() for one in coded]
        made = xr.Dataset(coords={"variable": ("variable", np.array(names, dtype=object))})
        for key in figures[0] if figures else ():
            made[key] = ("variable", np.array([one[key] for one in figures], float))
        parts = [made]
        for by, labels in (("date", self.dates), ("band", self.bands)):
            each = [self._apart(one, by, labels(one.name)) for one in coded if one.fidelity]
            if each:
                parts.append(xr.concat(_comparable(each, by), "variable", join="outer"))
        whole = xr.merge(parts, join="outer", compat="no_conflicts")
        return whole.reindex(variable=made["variable"]).assign_attrs(store=self.store)

    def _apart(self, one: VariableReport, by: str, labels: Any) -> xr.Dataset:
        """Return figures of one array by date or by band."""
        made = {
            f"{name}_by_{by}": ((by,), getattr(one, name)(by))
            for name in APART
            if not (name == "angle" and by == "band")
        }
        labels = np.asarray(labels)
        labels = labels.astype(object) if labels.dtype.kind == "U" else labels
        ds = xr.Dataset(made, coords={by: labels, "variable": one.name})
        return ds.expand_dims("variable")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report as an HTML page that needs nothing else.

        Parameters
        ----------
        path : str or path
            ``"report.html"``.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        from xeo.ops.report_html import page

        title = f"Compressed: {self.store}" if self.store else "Compressed"
        try:
            Path(path).write_text(page(title, self._repr_html_()), "utf-8")
        except OSError as err:
            raise StoreError(f"expected a file to write at {os.fspath(path)!r}: {err}") from err

    def plot(self, variable: str | None = None, date: Any = None) -> Figure:
        """Draw original, decoded and error, the worst pixel, and the rate-distortion curve.

        Parameters
        ----------
        variable : str, optional
            Which array or variable; None for the one that takes most bytes.
        date : int, str or datetime, optional
            Position or label of a date; None for the worst by PSNR.

        Returns
        -------
        Figure
            Above the whole picture and the curve, measured on a part of the cube; below what
            is around the worst pixel, and how errors are distributed.

        Raises
        ------
        OptionError
            If there is no such date, or no array that a codec of ours holds, or the original
            is not known.
        UnknownNameError
            If there is no such variable.
        MissingDependencyError
            Without matplotlib.
        """
        from xeo.ops.report_plot import draw

        coded = [one for one in self.variables if one.coded]
        if self.source is None or not coded:
            raise OptionError(
                "expected a report with its source and an array that a codec of xeo holds, to "
                "draw it, got none. Try: xeo.verify(source, store).plot()"
            )
        chosen = max(coded, key=lambda one: one.size) if variable is None else self[variable]
        if not chosen.coded:
            raise OptionError(f"{chosen.name!r} is {chosen.note or 'left to Zarr'}: no errors")
        figure: Figure = draw(self, chosen, date)
        return figure

    def __repr__(self) -> str:
        lines = [f"<xeo.Report> {self.summary()}", *_table(self.variables)]
        notes = [f"  {one.name}: {one.note}" for one in self.variables if one.note]
        broken = [
            f"  {one.name}: PROMISE BROKEN" + "".join(f"\n    {what}" for what in one.broken)
            for one in self.variables
            if one.holds is False
        ]
        missed = [
            f"  {one.name}: {one.target} {one.value:g} is not reached"
            for one in self.variables
            if one.reached is False
        ]
        return "\n".join(lines + broken + missed + notes)

    def summary(self) -> str:
        """Return the most important figures in a line."""
        kept = {True: "all promises kept", False: "A PROMISE IS BROKEN", None: "not compared"}
        parts = [kept[self.holds]]
        if self.size:
            sizes = f"{spell_bytes(self.raw)} to {spell_bytes(self.size)}"
            parts = [f"{sizes} ({self.ratio:.3g} times smaller), {self.bpppb:.3g} bits a value"]
            parts.append(kept[self.holds])
        return "; ".join(parts)

    def _repr_html_(self) -> str:
        from xeo.ops.report_html import report

        return str(report(self))


def _table(variables: tuple[VariableReport, ...]) -> list[str]:
    """Return lines of text, a column a figure, without columns that nobody has."""
    heads = ("", "codec", "bits/value", "ratio", "PSNR", "max error", "bound", "SSIM", "angle")
    rows = [heads] + [
        (
            one.name, one.codec.removeprefix("xeo."), number(one.bpppb), number(one.ratio),
            number(one.psnr(), " dB"), spell_largest(one), spell_bound(one),
            number(one.ssim(), digits=4), number(one.angle(), "°"),
        )
        for one in variables
    ]  # fmt: skip
    used = [n for n in range(len(heads)) if any(row[n] for row in rows[1:])]
    wide = {n: max(len(row[n]) for row in rows) for n in used}
    return [
        "  " + "  ".join(row[n].ljust(wide[n]) if n < 2 else row[n].rjust(wide[n]) for n in used)
        for row in rows
    ]


def _comparable(each: list[xr.Dataset], by: str) -> list[xr.Dataset]:
    """Make labels such that they can be joined: of one kind, and none twice."""
    if not all(one.indexes[by].is_unique for one in each):
        return [one.assign_coords({by: np.arange(one.sizes[by])}) for one in each]
    if len({one[by].dtype.kind for one in each}) == 1:
        return each
    spell = np.vectorize(str, otypes=[object])
    return [one.assign_coords({by: spell(one[by].values)}) for one in each]

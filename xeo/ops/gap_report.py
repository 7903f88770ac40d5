"""What the evaluation of gap-filling methods found: a table, a picture, the best."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from xeo.errors import OptionError
from xeo.lazy import require
from xeo.ops.gap_scores import MOST
from xeo.ops.report_html import part, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEADS = (
    "method",
    "RMSE",
    "95 % interval",
    "MAE",
    "NDVI RMSE",
    "PSNR dB",
    "SSIM",
    "SAM deg",
    "in 95 % band",
    "filled",
)
#: Scores of which less is better; of the others more is.
_LESS = ("mae", "rmse", "sam")
#: Colours that colour-blind people tell apart (Okabe and Ito, and one of Tol), and marks for all.
_COLOURS = (
    *("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9"),
    *("#d55e00", "#000000", "#999999", "#882255"),
)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")


@dataclass(frozen=True, repr=False)
class GapReport:
    """What `evaluate_gap_filling` returns.

    Parameters
    ----------
    dataset : Dataset
        Scores with dims ``(filler, band, hidden, gap)``: ``mae``, ``rmse``, ``bias`` (units of
        the cube), ``psnr`` (dB), ``ssim``, ``sam`` (degrees; without ``band``), ``coverage``
        (share of the errors within the 95 % band of the uncertainty), ``filled`` (share of the
        hidden pixels), ``count`` (pixels compared), and the 95 % intervals ``rmse_low``,
        ``rmse_high``, ``mae_low``, ``mae_high``. ``hidden`` is ``"clouds"`` (their shapes),
        ``"dates"`` (whole ones) or ``"all"``; ``gap`` the days to the nearest clear date.
    """

    dataset: xr.Dataset

    def ranked(self, by: str = "rmse", *, hidden: str = "all", gap: str = "all") -> pd.Series:
        """Return a figure for each method, the best first.

        Parameters
        ----------
        by : str
            A score of ``dataset``. Errors are averaged over bands as ratios to those of the
            best method for the band (geometric mean), so that no band counts more than others.
            Methods that fill less than half of the pixels come last.
        hidden, gap : str
            Which pixels.

        Raises
        ------
        OptionError
            If there is no such score, or no such pixels.
        """
        if by not in ("mae", "rmse", "psnr", "ssim", "sam"):
            raise OptionError(
                f"expected by to be one of 'mae', 'rmse', 'psnr', 'ssim', 'sam', got {by!r}"
            )
        part = self._part(hidden, gap)
        values = part[by]
        if by in ("mae", "rmse"):
            least = values.min("filler")
            # The best has the ratio 1, also where it makes no error at all.
            ratio = xr.where(values == least, 1.0, values / least)
            values = np.exp(np.log(ratio).mean("band"))
        elif "band" in values.dims:
            values = values.mean("band")
        sign = 1 if by in _LESS else -1
        little = part["filled"].mean("band").values < MOST
        return values.to_series().iloc[np.lexsort((sign * values.values, little))]

    def _part(self, hidden: str, gap: str) -> xr.Dataset:
        """Return the scores of some pixels, dims ``(filler, band)``."""
        for name, value in (("hidden", hidden), ("gap", gap)):
            known = [str(one) for one in self.dataset[name].values]
            if value not in known:
                raise OptionError(f"expected {name} to be one of {known}, got {value!r}")
        return self.dataset.sel(hidden=hidden, gap=gap)

    @property
    def best(self) -> str:
        """The method of the least RMSE."""
        return str(self.ranked().index[0])

    def to_dataframe(self) -> pd.DataFrame:
        """Return all scores, a row for each method, band, kind of hiding and gap length."""
        return self.dataset.to_dataframe().reset_index()

    def table(self, *, hidden: str = "all", gap: str = "all") -> pd.DataFrame:
        """Return one row a method, the best first: scores averaged over bands.

        Parameters
        ----------
        hidden, gap : str
            Which pixels.
        """
        one = self._part(hidden, gap)
        plain = [b for b in one["band"].values if b != "NDVI"] or list(one["band"].values)
        spectral = one.sel(band=plain)
        made = {
            "rmse": spectral["rmse"].mean("band"),
            "rmse_low": spectral["rmse_low"].mean("band"),
            "rmse_high": spectral["rmse_high"].mean("band"),
            "mae": spectral["mae"].mean("band"),
            "psnr": spectral["psnr"].mean("band"),
            "ssim": spectral["ssim"].mean("band"),
            "sam": one["sam"],
            "coverage": spectral["coverage"].mean("band"),
            "filled": spectral["filled"].mean("band"),
        }
        if "NDVI" in one["band"].values and len(plain) < one.sizes["band"]:
            made["ndvi_rmse"] = one["rmse"].sel(band="NDVI", drop=True)
        frame = xr.Dataset(made).to_dataframe().drop(columns=["hidden", "gap"], errors="ignore")
        return frame.loc[self.ranked(hidden=hidden, gap=gap).index]

    def __str__(self) -> str:
        rows = self._rows()
        wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
        bands = ", ".join(map(str, self.dataset["band"].values))
        lines = [f"{self._summary()}, bands: {bands}"]
        for row in rows:
            cells = [
                cell.rjust(width) if n else cell.ljust(width)
                for n, (cell, width) in enumerate(zip(row, wide, strict=True))
            ]
            lines.append(("  " + "  ".join(cells)).rstrip())
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<xeo.GapReport> {self}"

    def _repr_html_(self) -> str:
        heads, *rows = self._rows()
        return part(
            f"<div><b>xeo.GapReport</b> {escape(self._summary())}</div>",
            f"<div class='wide'>{table(heads, rows)}</div>",
        )

    def _summary(self) -> str:
        count = int(self.dataset["count"].sel(hidden="all", gap="all").max())
        mask = self.dataset.attrs.get("mask")
        return f"{count:,} hidden pixels" + (f", mask: {mask}" if mask else "")

    def _rows(self) -> list[tuple[str, ...]]:
        """Return the heads and a row of texts for each method, without empty columns."""
        rows = [
            (
                str(name),
                _spelled(row["rmse"], "#.4g"),
                _interval(row["rmse_low"], row["rmse_high"]),
                _spelled(row["mae"], "#.4g"),
                _spelled(row.get("ndvi_rmse"), "#.4g"),
                _spelled(row["psnr"], ".1f"),
                _spelled(row["ssim"], ".3f"),
                _spelled(row["sam"], ".2f"),
                _spelled(row["coverage"], ".0%"),
                _spelled(row["filled"], ".0%"),
            )
            for name, row in self.table().iterrows()
        ]
        columns = [column for column in zip(_HEADS, *rows, strict=True) if any(column[1:])]
        return list(zip(*columns, strict=True))

    def plot(self, *, by: str = "rmse", bands: Any = None) -> Figure:
        """Draw the scores: each method with its interval, and by the length of the gap.

        Parameters
        ----------
        by : {"rmse", "mae"}
            Which error.
        bands : sequence of str, optional
            Which bands, four at most; None takes the last four, NDVI among them.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        OptionError
            If there is no such error or band.
        """
        known = [str(band) for band in self.dataset["band"].values]
        shown = known[-4:] if bands is None else [str(band) for band in bands]
        if by not in ("rmse", "mae") or not shown or len(shown) > 4 or set(shown) - set(known):
            raise OptionError(
                f"expected by to be 'rmse' or 'mae' and up to four bands of {known}, got "
                f"{by!r}, {shown}"
            )
        figure: Figure = require("matplotlib.figure", purpose="draw a picture").Figure(
            figsize=(max(5.5, 2.9 * len(shown) + 1.6), 3.6 + 0.28 * self.dataset.sizes["filler"]),
            layout="constrained",
        )
        axes: Any = figure.subplots(2, len(shown), squeeze=False)
        order = [str(name) for name in self.ranked(by).index]
        for place, (band, top, bottom) in enumerate(zip(shown, *axes, strict=True)):
            self._intervals(top, band, by, order)
            self._by_gap(bottom, band, by, order)
            top.set_yticks(range(len(order)), order if place == 0 else [])
            bottom.set_ylabel(self._axis(by, band) if place == 0 else "")
        figure.suptitle(f"{self._summary()}; grey: interval of the best", fontsize="medium")
        figure.supxlabel("days to the nearest clear date, and hidden pixels", fontsize="medium")
        return figure

    def _axis(self, by: str, band: str) -> str:
        units = str(self.dataset.attrs.get("units", ""))
        return by.upper() if units in ("", "1") or band == "NDVI" else f"{by.upper()} ({units})"

    def _intervals(self, ax: Any, band: str, by: str, order: list[str]) -> None:
        """Draw each method's error with its interval, that of the first behind all."""
        one = self.dataset.sel(band=band, hidden="all", gap="all", filler=order)
        low, middle, high = (one[name].values for name in (f"{by}_low", by, f"{by}_high"))
        ax.axvspan(low[0], high[0], color="0.92", zorder=0)
        for row in range(len(order)):
            colour, marker, _ = _look(row)
            ax.plot([low[row], high[row]], [row, row], color=colour, linewidth=2)
            ax.plot(middle[row], row, marker, color=colour, markersize=7)
        ax.set(title=band, xlabel=f"{self._axis(by, band)}, 95 % interval")
        ax.set_xlim(left=0)
        ax.set_ylim(len(order) - 0.5, -0.5)
        ax.grid(axis="x", color="0.9")
        _bare(ax)

    def _by_gap(self, ax: Any, band: str, by: str, order: list[str]) -> None:
        """Draw errors by the length of the gap, where there are any."""
        one = self.dataset.sel(band=band, hidden="all").isel(gap=slice(1, None))
        count = one["count"].max("filler").values.astype(int)
        there = np.flatnonzero(count)
        for row, name in enumerate(order):
            colour, marker, line = _look(row)
            values = one[by].sel(filler=name).values[there]
            ax.plot(values, marker + line, color=colour, markersize=5, linewidth=1.2)
        gaps = [str(gap).removesuffix(" d") for gap in one["gap"].values[there]]
        labels = [f"{gap}\n{_short(n)}" for gap, n in zip(gaps, count[there], strict=True)]
        ax.set_xticks(range(len(there)), labels, fontsize="small")
        ax.set_ylim(bottom=0)
        ax.margins(x=0.1)
        ax.grid(axis="y", color="0.9")
        _bare(ax)


def _interval(low: float, high: float) -> str:
    return f"{low:#.3g} to {high:#.3g}" if np.isfinite(low) else ""


def _look(row: int) -> tuple[str, str, str]:
    """Return colour, marker and line of a method: no two alike, in grey neither."""
    count = len(_COLOURS)
    return _COLOURS[row % count], _MARKERS[row % len(_MARKERS)], "-" if row < count else "--"


def _bare(ax: Any) -> None:
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def _short(count: int) -> str:
    """Return a count in four characters or so."""
    return f"{count}" if count < 10_000 else f"{count / 1000:.0f}k"


def _spelled(value: Any, form: str) -> str:
    return "" if value is None or np.isnan(value) else format(float(value), form)

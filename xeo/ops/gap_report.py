"""What the evaluation of gap-filling methods found: a table, a picture, the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from xeo.errors import OptionError
from xeo.lazy import require
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
#: Colours that colour-blind people tell apart (Okabe and Ito).
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000", "#999999")


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
        hidden, gap : str
            Which pixels.

        Raises
        ------
        OptionError
            If there is no such score.
        """
        if by not in ("mae", "rmse", "psnr", "ssim", "sam"):
            raise OptionError(
                f"expected by to be one of 'mae', 'rmse', 'psnr', 'ssim', 'sam', got {by!r}"
            )
        values = self.dataset[by].sel(hidden=hidden, gap=gap)
        if by in ("mae", "rmse"):
            values = xr.ufuncs.exp(xr.ufuncs.log(values / values.min("filler")).mean("band"))
        elif "band" in values.dims:
            values = values.mean("band")
        return values.to_series().sort_values(ascending=by in _LESS)

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
        one = self.dataset.sel(hidden=hidden, gap=gap)
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
        rows = [_HEADS, *self._rows()]
        wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [self._summary()]
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
        return part(
            f"<div>{self._summary()}</div>",
            f"<div class='wide'>{table(_HEADS, self._rows(), 'store')}</div>",
        )

    def _summary(self) -> str:
        count = int(self.dataset["count"].sel(hidden="all", gap="all").max())
        bands = ", ".join(map(str, self.dataset["band"].values))
        return f"{count} hidden pixels of {bands}; mask: {self.dataset.attrs.get('mask', '')}"

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                str(name),
                f"{row['rmse']:.4g}",
                f"{row['rmse_low']:.3g} to {row['rmse_high']:.3g}",
                f"{row['mae']:.4g}",
                _spelled(row.get("ndvi_rmse"), ".4g"),
                _spelled(row["psnr"], ".1f"),
                _spelled(row["ssim"], ".3f"),
                _spelled(row["sam"], ".2f"),
                _spelled(row["coverage"], ".0%"),
                _spelled(row["filled"], ".0%"),
            )
            for name, row in self.table().iterrows()
        ]

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
            figsize=(3.2 * len(shown) + 1.4, 6.4), layout="constrained"
        )
        axes: Any = figure.subplots(2, len(shown), squeeze=False)
        order = list(self.ranked(by).index)
        colours = {name: _COLOURS[n % len(_COLOURS)] for n, name in enumerate(order)}
        for column, band in enumerate(shown):
            self._bars(axes[0, column], band, by, order, colours, first=column == 0)
            self._lines(axes[1, column], band, by, order, colours, first=column == 0)
        handles, labels = axes[1, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", frameon=False)
        return figure

    def _bars(
        self, ax: Any, band: str, by: str, order: list[Any], colours: Any, *, first: bool
    ) -> None:
        one = self.dataset.sel(band=band, hidden="all", gap="all", filler=order)
        values, rows = one[by].values, np.arange(len(order))
        ends = np.abs(np.stack([one[f"{by}_low"].values, one[f"{by}_high"].values]) - values)
        ax.barh(rows, values, xerr=ends, color=[colours[n] for n in order], height=0.7)
        ax.set(title=band, xlabel=by.upper(), yticks=rows, yticklabels=order if first else [])
        ax.invert_yaxis()
        ax.spines[["top", "right"]].set_visible(False)

    def _lines(
        self, ax: Any, band: str, by: str, order: list[Any], colours: Any, *, first: bool
    ) -> None:
        gaps = [str(gap) for gap in self.dataset["gap"].values][1:]
        for number, name in enumerate(order):
            values = self.dataset[by].sel(band=band, hidden="all", gap=gaps, filler=name)
            ax.plot(
                gaps, values, marker="o", markersize=4, color=colours[name], label=str(name),
                linestyle="-" if number < len(_COLOURS) else "--",
            )  # fmt: skip
        ax.set(xlabel="days to the nearest clear date", ylabel=by.upper() if first else "")
        ax.set_ylim(bottom=0)
        ax.tick_params(axis="x", rotation=30)
        ax.spines[["top", "right"]].set_visible(False)


def _spelled(value: Any, form: str) -> str:
    return "" if value is None or not np.isfinite(value) else format(float(value), form)

"""Reports as HTML that looks well in notebooks and on its own, in the light and in the dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from xeo.ops.figures import number, spell_bytes, spell_peak, spell_target

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xeo.ops.figures import VariableReport
    from xeo.ops.report import Report

#: Rows of a table of dates; beyond it the worst are shown.
_ROWS = 200
#: Variables whose details are open at first.
_OPEN = 3
# Notebooks set the colour of text: all else is made of it, so that no theme has to be guessed.
_STYLE = """
.xeo{max-width:62em;font-size:13px;line-height:1.5;--good:#2e9e62;--bad:#dc4c4c;--mark:#3d86c6}
.xeo table{border-collapse:collapse;font-size:12px;font-variant-numeric:tabular-nums;margin:0}
.xeo td,.xeo th{padding:1px 12px 1px 0;text-align:right;background:none;border:0;white-space:nowrap}
.xeo th{font-weight:600;opacity:.65}
.xeo td:first-child,.xeo th:first-child{text-align:left}
.xeo tbody tr:nth-child(odd){background:none}
.xeo:has(.wide){max-width:100%}.xeo .wide{overflow-x:auto}
.xeo .store td:nth-child(-n+5),.xeo .store th:nth-child(-n+5),
.xeo .store td:last-child,.xeo .store th:last-child{text-align:left}
.xeo .facts td{text-align:left;white-space:normal;vertical-align:top}
.xeo .facts td:first-child{opacity:.65;white-space:nowrap}
.xeo summary{cursor:pointer;padding:2px 0}
.xeo details.var{border-top:1px solid color-mix(in srgb,currentColor 18%,transparent);padding:3px 0}
.xeo .head{display:flex;flex-wrap:wrap;gap:4px 28px;align-items:baseline;padding:4px 0 8px}
.xeo .head b{font-size:20px;font-weight:600;display:block;line-height:1.2}
.xeo .head span{opacity:.75}
.xeo .grid{display:flex;flex-wrap:wrap;gap:10px 36px;padding:4px 0 6px 14px;align-items:flex-start}
.xeo .tag{font-size:11px;padding:0 7px;border-radius:8px;margin-left:8px;border:1px solid}
.xeo .tag{border-color:color-mix(in srgb,currentColor 35%,transparent)}
.xeo .good{color:var(--good)}.xeo .bad{color:var(--bad);font-weight:600}
.xeo .dim{opacity:.65}
.xeo .scroll{max-height:260px;overflow:auto;padding-left:14px}
.xeo figure{margin:0 0 10px}.xeo figcaption{font-size:11px;opacity:.65}
.xeo svg text{font-size:10px;fill:currentColor;opacity:.75}
.xeo svg .bar{fill:var(--mark)}.xeo svg .line{fill:none;stroke:var(--mark);stroke-width:1.5}
.xeo svg .axis{stroke:currentColor;opacity:.35}.xeo svg .bound{stroke:var(--bad);stroke-width:1.2}
.xeo svg .worst{fill:var(--bad)}
""".strip()
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width">
<style>:root{{color-scheme:light dark}}body{{font-family:system-ui,sans-serif;margin:2em}}</style>
</head><body><h1 style="font-size:18px">{title}</h1>
{body}
</body></html>
"""


def page(title: str, body: str) -> str:
    """Return a whole HTML page around a part of one."""
    return _PAGE.format(title=escape(title), body=body)


def part(*pieces: str) -> str:
    """Return pieces of HTML with the style that they need."""
    return f"<div class='xeo'><style>{_STYLE}</style>{''.join(pieces)}</div>"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """Return a table of texts, which are escaped."""
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(one)}</td>" for one in row) + "</tr>" for row in rows
    )
    top = f"<thead><tr>{head}</tr></thead>" if heads else ""
    return f"<table class='{kind}'>{top}<tbody>{body}</tbody></table>"


def tiles(found: Iterable[tuple[str, str]]) -> str:
    """Return figures in large letters, each with what it is."""
    made = "".join(f"<div><b>{escape(a)}</b><span>{escape(b)}</span></div>" for a, b in found)
    return f"<div class='head'>{made}</div>"


def shape_of(dims: Sequence[str], shape: Sequence[int]) -> str:
    """Return dims and sizes as xarray spells them."""
    if not dims:
        return "(" + ", ".join(map(str, shape)) + ")"
    return "(" + ", ".join(f"{d}: {n}" for d, n in zip(dims, shape, strict=True)) + ")"


def report(found: Report) -> str:
    """Return the HTML of a report."""
    figures = []
    if found.size:
        figures = [
            (f"{number(found.ratio)} ×", "smaller"),
            (number(found.bpppb), "bits a value"),
            (spell_bytes(found.size), f"of {spell_bytes(found.raw)}"),
        ]
    if found.seconds:
        figures.append((f"{number(found.seconds)} s", "coding and checking, of all threads"))
    where = f"<div class='dim'>{escape(found.store)}</div>" if found.store else ""
    variables = "".join(
        _variable(found, one, opened=n < _OPEN) for n, one in enumerate(found.variables)
    )
    return part(f"<div><b>xeo.Report</b> {_kept(found.holds)}</div>", where, tiles(figures),
                variables)  # fmt: skip


def _kept(holds: bool | None) -> str:
    if holds is None:
        return "<span class='tag dim'>not compared</span>"
    word = "all promises kept" if holds else "a promise is broken"
    return f"<span class='tag {'good' if holds else 'bad'}'>{word}</span>"


def _variable(found: Report, one: VariableReport, *, opened: bool) -> str:
    broken = "" if one.holds is not False else "<span class='tag bad'>broken</span>"
    figures = [
        number(one.bpppb, " bits a value"),
        number(one.ratio, " ×"),
        number(one.psnr(), " dB"),
    ]
    line = (
        f"<b>{escape(one.name)}</b> <span class='dim'>{escape(shape_of(one.dims, one.shape))} "
        f"{escape(one.dtype)}</span><span class='tag'>{escape(one.codec)}</span>{broken} "
        f"<span class='dim'>&nbsp;{escape(' · '.join(f for f in figures if f))}</span>"
    )
    inside = f"<div class='grid'>{table((), _facts(one), 'facts')}"
    inside += f"<div>{_pictures(found, one)}</div></div>"
    if one.fidelity is not None:
        inside += _apart(found, one, "date") + _apart(found, one, "band")
    state = " open" if opened and one.coded else ""
    return f"<details class='var'{state}><summary>{line}</summary>{inside}</details>"


def _facts(one: VariableReport) -> list[tuple[str, str]]:
    units = f" {one.units}" if one.units else ""
    settings = {k: v for k, v in one.settings.items() if k not in ("axes", "nodata")}
    missing = one.fidelity.missing.sum() if one.fidelity else 0
    facts = [
        ("asked", spell_target(one) + (" (not reached)" if one.reached is False else "")),
        ("largest error", number(one.max_error(), units) + _off(one)),
        ("RMSE", number(one.rmse(), units)),
        ("mean error", number(one.bias(), units)),
        ("PSNR", f"{number(one.psnr(), ' dB')}, peak {spell_peak(one)}" if one.fidelity else ""),
        ("SSIM", number(one.ssim(), digits=5)),
        ("spectral angle", number(one.angle(), "°")),
        ("with ignored pixels", _with_ignored(one)),
        ("missing values", f"{missing}, {_exact(one)}" if missing else ""),
        ("variables", ", ".join(one.members) if one.stacked else ""),
        ("chunks", " × ".join(map(str, one.chunks))),
        ("settings", ", ".join(f"{k}={_value(v)}" for k, v in settings.items())),
        ("bytes", f"{spell_bytes(one.size)} of {spell_bytes(one.raw)}" if one.size else ""),
        ("seconds", _seconds(one)),
        ("note", one.note),
    ]
    return [(name, text) for name, text in facts if text]


def _off(one: VariableReport) -> str:
    if one.relative_bound is None:
        return ""
    return f", {number(100 * one.max_relative())} % of its value at most"


def _exact(one: VariableReport) -> str:
    assert one.fidelity is not None
    wrong = int(one.fidelity.wrong.sum())
    return f"{wrong} NOT AS THEY WERE" if wrong else "all to the bit"


def _with_ignored(one: VariableReport) -> str:
    if one.fidelity is None or one.fidelity.kept is None:
        return ""
    left_out = int(one.fidelity.count.sum() - one.fidelity.kept.count.sum())
    psnr, largest = one.psnr(ignored=True), one.max_error(ignored=True)
    return f"{left_out} values ignored; with them {number(psnr, ' dB')}, max {number(largest)}"


def _seconds(one: VariableReport) -> str:
    if not one.coding_seconds:
        return ""
    rate = one.values / one.coding_seconds / 1e6
    checked = f", checking {number(one.checking_seconds)}" if one.checking_seconds else ""
    return f"coding {number(one.coding_seconds)} ({number(rate)} Mvalue/s a thread){checked}"


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "(" + ", ".join(map(_value, value)) + ")"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _pictures(found: Report, one: VariableReport) -> str:
    if one.kept is None or not one.kept.count.any():
        return ""
    pictures = [_histogram(one)]
    dates = found.dates(one.name)
    if len(dates) > 1:
        pictures.append(_line(one.psnr("date"), spell_dates(dates)))
    return "".join(pictures)


def histogram_of(one: VariableReport) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return edges, in the units of the bound, and counts of the errors of an array."""
    assert one.kept is not None
    edges, counts = one.kept.distribution()
    if one.relative_bound is not None:
        return edges * 100, counts
    # Whole numbers lie in the middle of their bins.
    whole = 0.5 if np.dtype(one.dtype).kind in "iub" and edges[1] - edges[0] >= 1 else 0.0
    return (edges - whole) * abs(one.scale), counts


def bounds_of(one: VariableReport) -> list[float]:
    """Return the bounds to mark in a histogram of errors."""
    if one.relative_bound is not None:
        return sorted({100 * float(b) for b in np.ravel(one.relative_bound)})
    return [] if one.bound is None or one.lossless else sorted(set(map(float, np.ravel(one.bound))))


def _histogram(one: VariableReport) -> str:
    if not one.max_error():
        return "<figure><figcaption>every value is as it was</figcaption></figure>"
    edges, counts = histogram_of(one)
    used = np.flatnonzero(counts)
    bounds = bounds_of(one)
    reach = max(abs(edges[used[0]]), abs(edges[used[-1] + 1]), *bounds) * 1.04
    width, height = 260, 80
    at = (edges / reach + 1) * width / 2
    tall = counts / counts.max() * (height - 4)
    bars = "".join(
        f"<rect class='bar' x='{at[n]:.1f}' y='{height - tall[n]:.1f}' "
        f"width='{max(at[n + 1] - at[n] - 0.4, 0.4):.1f}' height='{tall[n]:.1f}'/>"
        for n in used
    )
    marks = "".join(
        f"<line class='bound' x1='{x:.1f}' x2='{x:.1f}' y1='0' y2='{height}'/>"
        for b in bounds
        for x in ((1 - b / reach) * width / 2, (1 + b / reach) * width / 2)
    )
    shown = bounds[-1] if bounds else reach / 1.04
    labels = "".join(
        f"<text x='{(v / reach + 1) * width / 2:.1f}' y='{height + 12}' text-anchor='{anchor}'>"
        f"{number(v) if v else '0'}</text>"
        for v, anchor in ((-shown, "start"), (0.0, "middle"), (shown, "end"))
    )
    unit = "%" if one.relative_bound is not None else one.units
    caption = f"errors{f' ({escape(unit)})' if unit else ''}{', bound in red' if bounds else ''}"
    return _svg(width, height + 16, bars + marks + _axis(width, height) + labels, caption)


def _line(values: NDArray[Any], labels: Sequence[str]) -> str:
    """Return a small curve of PSNR over dates, the worst marked."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return ""
    width, height = 260, 80
    low, high = float(finite.min()), float(finite.max())
    # Less than a decibel is no drama.
    spread = max(high - low, 1.0)
    shown = np.nan_to_num(values, nan=math.nan, posinf=high + spread / 10)
    x = np.linspace(4, width - 4, len(values))
    y = height - 16 - (shown - low) / (spread * 1.1) * (height - 24)
    # A date without values breaks the line.
    runs = np.split(np.arange(len(y)), np.flatnonzero(np.isnan(y)))
    lines = "".join(
        "<polyline class='line' points='"
        + " ".join(f"{x[n]:.1f},{y[n]:.1f}" for n in run if not np.isnan(y[n]))
        + "'/>"
        for run in runs
    )
    worst = int(np.nanargmin(shown))
    anchor = "start" if x[worst] < width / 3 else "end" if x[worst] > width * 2 / 3 else "middle"
    mark = (
        f"<circle class='worst' cx='{x[worst]:.1f}' cy='{y[worst]:.1f}' r='3'/>"
        f"<text x='{x[worst]:.1f}' y='{y[worst] + 13:.1f}' text-anchor='{anchor}'>"
        f"{number(low)} dB, {escape(labels[worst])}</text>"
    )
    ends = (
        f"<text x='0' y='{height + 12}'>{escape(labels[0])}</text>"
        f"<text x='{width}' y='{height + 12}' text-anchor='end'>{escape(labels[-1])}</text>"
    )
    drawn = lines + mark + _axis(width, height) + ends
    return _svg(width, height + 16, drawn, f"PSNR by date, {number(low)} to {number(high)} dB")


def _axis(width: int, height: int) -> str:
    return f"<line class='axis' x1='0' x2='{width}' y1='{height}' y2='{height}'/>"


def _svg(width: int, height: int, drawn: str, caption: str) -> str:
    return (
        f"<figure><svg width='{width}' height='{height}' viewBox='0 0 {width} {height}' "
        f"role='img' aria-label='{caption}'>{drawn}</svg>"
        f"<figcaption>{caption}</figcaption></figure>"
    )


def spell_dates(dates: NDArray[Any]) -> list[str]:
    """Return dates as text, with the time of day where days do not tell them apart."""
    if dates.dtype.kind != "M":
        return [str(date) for date in dates]
    for unit in ("D", "m", "ns"):
        text = [str(date).replace("T", " ") for date in dates.astype(f"datetime64[{unit}]")]
        if len(set(text)) == len(text):
            break
    return text


def _apart(found: Report, one: VariableReport, by: str) -> str:
    """Return a table of the figures of each date or band, folded."""
    dated = by == "date"
    labels = spell_dates(found.dates(one.name)) if dated else found.bands(one.name)
    if len(labels) < 2 or one.kept is None or not one.max_error():
        return ""
    axis = 1 if dated else 0
    columns: dict[str, list[str]] = {
        by: labels,
        "values": [str(n) for n in one.kept.count.sum(axis=axis)],
        "missing": [str(n) for n in one.kept.missing.sum(axis=axis)],
        "PSNR (dB)": [number(v, digits=4) for v in one.psnr(by)],
        "RMSE": [number(v) for v in one.rmse(by)],
        "mean error": [number(v) for v in one.bias(by)],
        "max error": [number(v) for v in one.max_error(by)],
        "SSIM": [number(v, digits=5) for v in one.ssim(by)],
    }
    if dated:
        columns["angle (°)"] = [number(v) for v in np.ravel(one.angle(by))]
    columns = {name: cells for name, cells in columns.items() if any(cells)}
    order = np.arange(len(labels))
    title = f"{len(labels)} {by}s"
    if len(labels) > _ROWS:
        order = np.sort(np.argsort(one.psnr(by), kind="stable")[:_ROWS])
        title += f", the {_ROWS} worst"
    rows = ([cells[n] for cells in columns.values()] for n in order)
    inside = table(list(columns), rows)
    return (
        f"<details><summary class='dim' style='padding-left:14px'>{title}</summary>"
        f"<div class='scroll'>{inside}</div></details>"
    )

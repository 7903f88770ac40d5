"""Pages that are written from the code at each build, into ``docs/generated``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

GROUP_WORDS = {
    "embed": "makes embeddings: ``ds.eo.embed(name)``",
    "classify": "gives classes: ``ds.eo.classify(name)``",
    "cloud_mask": "finds clouds: ``ds.eo.cloud_mask(name)``",
    "remove_clouds": "fills gaps: ``ds.eo.remove_clouds(name)``",
}


def write_pages(docs: Path) -> None:
    """Write the reference pages of bands and models, and copy the notebooks."""
    folder = docs / "generated"
    folder.mkdir(exist_ok=True)
    pages = {"bands.rst": bands_page(), "models.rst": models_page()}
    # Sphinx reads only what lies below its own folder.
    for notebook in sorted((docs.parent / "notebooks").glob("*.ipynb")):
        pages[notebook.name] = notebook.read_text("utf-8")
    for name, text in pages.items():
        path = folder / name
        # An unchanged page keeps its time, and Sphinx does not build it again.
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def bands_page() -> str:
    """Return one table for each sensor of ``xeo.bands``."""
    from xeo import bands

    lines = [
        *_heading("Sensors and bands", "="),
        "A band has one name everywhere, that of the STAC ``eo`` extension. A cube may use the",
        "name, the product's label or an alias, in any case and with or without zeros, ``_`` and",
        "``-``: ``B02``, ``b2``, ``band_2`` and ``BLUE`` are all ``blue``. A value is the stored",
        "number times *scale* plus *offset*.",
        "",
    ]
    for (name, title), rows in groupby(bands.table(), lambda row: (row["sensor"], row["title"])):
        lines += _sensor(name, title, list(rows))
    return "\n".join(lines)


def _sensor(name: str, title: str, rows: list[dict[str, Any]]) -> list[str]:
    first = rows[0]
    head = ("band", "label", "centre (µm)", "width (µm)", "gsd (m)", "units", "scale", "offset")
    body = [
        (
            f"``{row['band']}``",
            row["label"],
            row["center_wavelength"],
            row["full_width_half_max"],
            row["gsd"],
            row["units"],
            row["scale"],
            row["offset"],
        )
        for row in rows
    ]
    aliases = [
        f"``{row['band']}`` is also {', '.join(row['aliases'])}" for row in rows if row["aliases"]
    ]
    lines = [
        *_heading(str(title), "-"),
        f"Name ``{name}``, family ``{first['family']}``, nodata {_cell(first['nodata'])}.",
        str(first["note"]).replace("*", r"\*"),
        "",
        *_table(head, body),
    ]
    # The 224 bands of an imaging spectrometer have no aliases worth a line each.
    return lines + (["; ".join(aliases) + ".", ""] if 0 < len(aliases) < 30 else [])


def models_page() -> str:
    """Return one section for each registered model."""
    from xeo import registry

    lines = [
        *_heading("Models", "="),
        "What each registered model says of itself. ``xeo.list_models()`` and ``xeo models`` show",
        "the same with plug-ins of yours, and where the weights lie.",
        "",
    ]
    for verb, words in GROUP_WORDS.items():
        for name in registry.names(verb):
            lines += _model(verb, registry.get(verb, name)(), words)
    return "\n".join(lines)


def _model(verb: str, model: Any, words: str) -> list[str]:
    spec = model.spec
    inputs = "; ".join(_reads(one.modality, one.bands, one.optional) for one in spec.inputs)
    layers = getattr(model, "quality", ())
    facts = [
        ("use", words),
        ("architecture", spec.architecture),
        ("reads", f"the layer {' or '.join(layers)}" if layers else inputs),
        ("window", f"{spec.window} pixels" if spec.window else "any size"),
        ("halo, stride", f"{spec.margin}, {spec.stride} pixels"),
        ("channels", _channels(spec.channels, spec.channels_per_band)),
        ("dates", {"each": "one at a time", "series": "all at once, none in the result",
                   "sequence": "all at once, kept in the result"}[spec.time]),
        ("classes", ", ".join(spec.classes)),
        ("parameters", f"{spec.total_parameters:,}" if spec.total_parameters else ""),
        ("licence", spec.license),
        ("source", spec.citation),
    ]  # fmt: skip
    rows = [(fact, value) for fact, value in facts if value]
    return [*_heading(f"{spec.name} ({verb})", "-"), *_table(("", ""), rows)]


def _reads(modality: str, names: tuple[str, ...] | None, optional: bool) -> str:
    kind = f"{modality} (optional)" if optional else modality
    return f"{kind}: {', '.join(names)}" if names else f"{kind}: any bands"


def _channels(fixed: int, per_band: int) -> str:
    parts = [str(fixed)] if fixed else []
    return " + ".join(parts + ([f"{per_band} for each band"] if per_band else []))


def _heading(text: str, line: str) -> list[str]:
    return [text, line * len(text), ""]


def _cell(value: object) -> str:
    return "none" if value is None else str(value)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    shown = [head, *rows] if any(head) else list(rows)
    lines = [".. list-table::", f"   :header-rows: {int(any(head))}", ""]
    for row in shown:
        cells = ["" if value is None else str(value) for value in row]
        lines += [f"   * - {cells[0]}", *(f"     - {cell}" for cell in cells[1:])]
    return [*lines, ""]

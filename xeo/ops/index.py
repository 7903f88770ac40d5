"""The verb ``index``: spectral indices by their names."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xeo.cube import Cube
from xeo.engine.plan import Plan
from xeo.errors import BandError, OptionError, UnknownNameError
from xeo.kernels.namespace import namespace_of
from xeo.ops.apply import Options, Output, Said, prepare
from xeo.spec import Input, ModelSpec

Parameters = Mapping[str, float | Mapping[str, float]]
_CITATION = (
    "Montero, D. et al. (2023). A standardized catalogue of spectral indices. Scientific Data 10. "
    "doi:10.1038/s41597-023-02096-0"
)
#: Codes of the catalogue to canonical names, the best first.
_BANDS = {
    "A": ("coastal",),
    "B": ("blue",),
    "G": ("green",),
    "G1": ("green05",),
    "Y": ("yellow",),
    "R": ("red",),
    "RE1": ("rededge071",),
    "RE2": ("rededge075",),
    "RE3": ("rededge078",),
    "N": ("nir", "nir08"),
    "N2": ("nir08",),
    "WV": ("nir09",),
    "S1": ("swir16",),
    "S2": ("swir22",),
    "T": ("lwir11",),
    "T1": ("lwir11",),
    "T2": ("lwir12",),
    "VV": ("vv",),
    "VH": ("vh",),
    "HH": ("hh",),
    "HV": ("hv",),
}
#: Where the index's own paper has another number than the catalogue has for all.
_USUAL: dict[str, dict[str, float]] = {
    "SAVI": {"L": 0.5},
    "SARVI": {"L": 0.5},
    "WCI1": {"epsilon": 1e-10},
    "WCI2": {"epsilon": 1e-10},
}


def index(
    obj: xr.DataArray | xr.Dataset,
    *names: str,
    sensor: Said = None,
    units: Said = None,
    offset: float | None = None,
    mask: xr.DataArray | None = None,
    dates: Any = None,
    parameters: Parameters | None = None,
    chunk: int | None = None,
    device: str | None = None,
    explain: bool = False,
) -> xr.DataArray | xr.Dataset | Plan:
    """Compute spectral indices by their names.

    Parameters
    ----------
    obj : DataArray or Dataset
        Cube with dims ``([time,] [band,] y, x)``, as for `xeo.embed`.
    *names : str
        Of the catalogue Awesome Spectral Indices [1]_: ``"NDVI"``, ``"kNDVI"``, ``"NDWI"``,
        ``"EVI"`` and 270 more.
    sensor, units, offset, dates, chunk, device, explain :
        As for `xeo.embed`. Optical bands are read as reflectance, thermal ones in kelvin,
        radar as linear power.
    mask : DataArray, optional
        Pixels to leave out, True is bad, dims ``(time, y, x)`` or fewer.
    parameters : mapping, optional
        Constants other than the usual, such as ``{"alpha": 0.2}``; for one index alone
        ``{"SAVI": {"L": 0.25}}``. ``sigma`` is the length scale of kernel indices.

    Returns
    -------
    DataArray, Dataset or Plan
        float32 with dims ``([time,] y, x)``: a DataArray of the index's name, or for several
        names a Dataset with one variable each. NaN where a band of the formula is missing or
        it has no finite value. Attributes hold the name, formula and reference. Lazy
        if ``obj`` is lazy.

    Raises
    ------
    UnknownNameError
        If the catalogue has no such index.
    BandError
        If the cube lacks a band that an index needs.
    UnitsError
        If nothing says what the numbers are in.
    OptionError
        If there is no name, one is given twice, or a constant is unknown or needed.

    Notes
    -----
    Constants are those of the catalogue, but for SAVI and SARVI, whose papers have ``L = 0.5``,
    and the ``epsilon = 1e-10`` of WCI1 and WCI2. Wavelengths in formulas are the centres of the
    sensor's bands.

    Kernel indices use a radial kernel, whose length scale is half the sum of its two bands,
    pixel by pixel, unless ``sigma`` is given; then kNDVI is ``tanh(NDVI ** 2)`` [2]_.

    References
    ----------
    .. [1] Montero, D. et al. (2023). A standardized catalogue of spectral indices to advance the
       use of remote sensing in Earth system research. *Scientific Data* 10.
       doi:10.1038/s41597-023-02096-0
    .. [2] Camps-Valls, G. et al. (2021). A unified vegetation index for quantifying the
       terrestrial biosphere. *Science Advances* 7. doi:10.1126/sciadv.abc7447

    Examples
    --------
    >>> cube = xeo.simulate_cube(dates=2, size=16)
    >>> cube.eo.index("NDVI").dims
    ('time', 'y', 'x')
    >>> list(cube.eo.index("kNDVI", "NDWI"))
    ['kNDVI', 'NDWI']
    """
    model = _model(obj, names, _one(sensor), parameters or {})
    options = Options(
        sensor, units, offset, mask, dates, chunk=chunk, device=device, backend="eager"
    )
    single = len(names) == 1
    finish = _drop_channel if single else _keep
    prepared = prepare(
        obj, model, options, finish=finish, dtype="float32", outputs=0 if single else None
    )
    if explain:
        return prepared.job.plan
    outputs = {
        name: Output({}, channels=None if single else number)
        for number, name in enumerate(model.names)
    }
    made = prepared.variables(outputs)
    made = made.assign({name: made[name].assign_attrs(_attributes(name)) for name in model.names})
    return made[model.names[0]] if single else made


@dataclass(frozen=True)
class SpectralIndices:
    """Formulas of the catalogue over the bands of a cube, a channel each.

    Parameters
    ----------
    names : tuple of str
        Of the indices.
    bands : tuple of (str, str)
        Codes of the catalogue and the canonical band that each one is.
    parameters : tuple of (str, tuple)
        For each index its constants, ``(name, value)``.
    """

    names: tuple[str, ...]
    bands: tuple[tuple[str, str], ...]
    parameters: tuple[tuple[str, tuple[tuple[str, float], ...]], ...]

    @cached_property
    def spec(self) -> ModelSpec:
        """Every band once, bad pixels as NaN, one channel for each index."""
        units = {band: _units(code) for code, band in self.bands}
        return ModelSpec(
            "index",
            inputs=(Input("image", tuple(units), tuple(units.values())),),
            channels=len(self.names),
            missing="nan",
            partial=True,
            activation_bytes=16 * (len(units) + len(self.names)),
            tasks=("spectral-index",),
            citation=_CITATION,
        )

    def __call__(self, x: Any, /) -> Any:
        """Return the indices ``(sample, index, y, x)`` of bands ``(sample, band, y, x)``."""
        import spyndex

        xp = namespace_of(x)
        order = list(dict.fromkeys(band for _, band in self.bands))
        seen = {code: x[:, order.index(band)] for code, band in self.bands}
        made = []
        for name, constants in self.parameters:
            given = _Given(seen, dict(constants), xp).all_of(spyndex.indices[name].bands)
            with np.errstate(all="ignore"):
                values = spyndex.computeIndex(name, given)
            made.append(xp.where(xp.isfinite(values), values, xp.nan))
        return xp.asarray(xp.stack(made, axis=1), dtype=x.dtype)


@dataclass(frozen=True)
class _Given:
    """Bands, constants and kernels, as one formula of the catalogue names them."""

    bands: Mapping[str, Any]
    constants: dict[str, float]
    xp: Any = field(repr=False)

    def all_of(self, codes: tuple[str, ...]) -> dict[str, Any]:
        return {code: self._kernel(code) if _is_kernel(code) else self[code] for code in codes}

    def __getitem__(self, code: str) -> Any:
        return self.constants[code] if code in self.constants else self.bands[code]

    def _kernel(self, code: str) -> Any:
        if code[1] == code[2]:
            return 1.0
        a, b = (self[one] for one in code[1:])
        sigma = self.constants.get("sigma", 0.5 * (a + b))
        with np.errstate(all="ignore"):
            return self.xp.exp(-0.5 * ((a - b) / sigma) ** 2)


def _is_kernel(code: str) -> bool:
    return len(code) == 3 and code[0] == "k"


def _parts(codes: tuple[str, ...]) -> list[str]:
    """Return the bands and constants of a formula, those inside of kernels too."""
    found = [part for code in codes for part in (code[1:] if _is_kernel(code) else [code])]
    return list(dict.fromkeys(found))


def _model(
    obj: Any, names: tuple[str, ...], sensor: str | None, parameters: Parameters
) -> SpectralIndices:
    import spyndex

    _check_names(names, list(spyndex.indices))
    cube = Cube.of(obj, sensor=sensor)
    parts = {name: _parts(spyndex.indices[name].bands) for name in names}
    bands: dict[str, str] = {}
    for name, codes in parts.items():
        bands |= _find_bands(cube, name, [code for code in codes if code in _BANDS])
    _check_parameters(parts, parameters)
    constants = tuple(
        (name, tuple(_constants(cube, name, codes, parameters))) for name, codes in parts.items()
    )
    return SpectralIndices(tuple(names), tuple(bands.items()), constants)


def _check_names(names: tuple[str, ...], known: list[str]) -> None:
    if not names:
        raise OptionError("expected the name of an index, got none. Try: index('NDVI')")
    if len(set(names)) < len(names):
        raise OptionError(f"expected each index once, got {list(names)}")
    for name in names:
        if name in known:
            continue
        same = [one for one in known if one.lower() == str(name).lower()]
        near = same or difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise UnknownNameError(
            f"expected the name of one of the {len(known)} indices of spyndex, got {name!r}.{hint} "
            "See https://awesome-ee-spectral-indices.readthedocs.io"
        )


def _find_bands(cube: Cube, name: str, codes: list[str]) -> dict[str, str]:
    """Return the canonical band of each code of one index."""
    places = {code: _find(cube, code) for code in codes}
    found = {code: place[0] for code, place in places.items() if place is not None}
    lacking = [_BANDS[code][0] for code in codes if code not in found]
    if lacking:
        taken = ", ".join(one.name for one in cube.sensors) or "no known sensor"
        needed = [_BANDS[code][0] for code in codes]
        raise BandError(
            f"expected the bands {needed} for {name}, but {lacking} are missing: the cube has "
            f"{cube.labels}, taken for {taken}. Try: rename them, or say sensor='...'"
        )
    return found


def _find(cube: Cube, code: str) -> tuple[str, int] | None:
    """Return the canonical name and the place of the first band that a code can be."""
    for band in _BANDS[code]:
        place = cube.find((band,), (band,))[0]
        if place is not None:
            return band, place
    return None


def _constants(
    cube: Cube, name: str, codes: list[str], parameters: Parameters
) -> list[tuple[str, float]]:
    """Return the constants of one index: given, usual for it, usual for all, or wavelengths."""
    import spyndex

    own = parameters.get(name, {})
    given = {**{k: v for k, v in parameters.items() if not isinstance(v, Mapping)}}
    given |= own if isinstance(own, Mapping) else {}
    found = []
    for code in codes:
        if code in _BANDS:
            continue
        value = given.get(code, _USUAL.get(name, {}).get(code, spyndex.constants[code].default))
        if value is None and code.startswith("lambda"):
            value = _wavelength(cube, code.removeprefix("lambda"))
        if value is None:
            raise OptionError(
                f"expected a value of {code} ({spyndex.constants[code].description}) for {name}, "
                f"got none. Try: parameters={{{code!r}: ...}}"
            )
        found.append((code, float(value)))
    if "sigma" in given:
        found.append(("sigma", float(given["sigma"])))
    return found


def _wavelength(cube: Cube, code: str) -> float | None:
    """Return the centre of a band in nanometres, where the sensor is known."""
    found = _find(cube, code)
    band = None if found is None else cube.meaning(cube.layers[found[1]])[0]
    wave = None if band is None else band.center_wavelength
    return None if wave is None else wave * 1000


def _check_parameters(parts: Mapping[str, list[str]], parameters: Parameters) -> None:
    used = {code for codes in parts.values() for code in codes if code not in _BANDS} | {"sigma"}
    for name, value in parameters.items():
        inner = {name: value} if not isinstance(value, Mapping) else dict(value)
        unknown = sorted(set(inner) - used)
        if isinstance(value, Mapping) and name not in parts:
            unknown = [name]
        if unknown:
            raise OptionError(
                f"expected constants of {list(parts)}, out of {sorted(used)}, got {unknown}"
            )
        for key, number in inner.items():
            if isinstance(number, bool) or not isinstance(number, (int, float, np.number)):
                raise OptionError(f"expected a number for the constant {key!r}, got {number!r}")


def _attributes(name: str) -> dict[str, str]:
    import spyndex

    found = spyndex.indices[name]
    return {
        "long_name": str(found.long_name),
        "units": "1",
        "formula": str(found.formula),
        "references": f"{found.reference} {_CITATION}",
    }


def _units(code: str) -> Any:
    if code.startswith("T"):
        return "kelvin"
    return "power" if code in ("VV", "VH", "HH", "HV") else "reflectance"


def _one(said: Said) -> str | None:
    return said.get("image") if isinstance(said, Mapping) else said


def _keep(vectors: NDArray[Any]) -> NDArray[Any]:
    return vectors


def _drop_channel(vectors: NDArray[Any]) -> NDArray[Any]:
    return vectors[..., 0, :, :]

"""What is known of one stored array: what it costs, and how far it is from the original."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xeo.kernels.fidelity import Fidelity

#: Name of the stored mask of pixels that were not worth bits.
IGNORED = "xeo_ignored"
#: Figures that there are of each date and band, beside those of the whole.
APART = ("psnr", "rmse", "bias", "max_error", "ssim", "angle")


@dataclass(frozen=True)
class VariableReport:
    """What is known of one array of a store.

    Parameters
    ----------
    name : str
        Of the array.
    members : tuple of str
        The variables in it: itself, or those that were stacked.
    dims, shape, dtype :
        As stored.
    codec : str
        Name, or ``"zarr"`` where it is left to Zarr's own.
    settings : mapping
        Of the codec; bounds in stored numbers.
    chunks : tuple of int
        Sizes of its chunks; empty where they are left to Zarr.
    target : str
        What was asked: ``max_error``, ``relative_error``, ``psnr``, ``bpppb``, ``quality``,
        ``lossless``, or nothing.
    value : float
        Of the target, in ``units``.
    scale : float
        Units per stored number.
    units : str
        Of the values, ``"reflectance"``; empty where nothing says.
    peak : float, optional
        For PSNR, in ``units``; None for the range of the values.
    size : int
        Bytes stored, masks and headers included; 0 where not counted.
    fidelity : Fidelity, optional
        In stored numbers; None where nothing was compared.
    coding_seconds, checking_seconds : float
        Added up over all threads.
    note : str
        Why it is stored so.
    broken : tuple of str
        Chunks that are missing, cannot be read or break a promise, and how.
    """

    name: str
    members: tuple[str, ...]
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    codec: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    chunks: tuple[int, ...] = ()
    target: str = ""
    value: float = 0.0
    scale: float = 1.0
    units: str = ""
    peak: float | None = None
    size: int = 0
    fidelity: Fidelity | None = None
    coding_seconds: float = 0.0
    checking_seconds: float = 0.0
    note: str = ""
    broken: tuple[str, ...] = ()

    @property
    def axes(self) -> str:
        """Which dimension is which, a letter each: t, b, y, x."""
        usual = {2: "yx", 3: "tyx"}.get(len(self.dims), "t" * (len(self.dims) - 3) + "byx")
        return str(self.settings.get("axes", usual))

    @property
    def stacked(self) -> bool:
        """Whether it holds more than one variable."""
        return self.members not in ((), (self.name,))

    @property
    def coded(self) -> bool:
        """Whether a codec of ours holds it."""
        return self.codec != "zarr"

    @property
    def values(self) -> int:
        """How many values there are."""
        return math.prod(self.shape)

    @property
    def raw(self) -> int:
        """Bytes of the values as they are in memory; 0 where no codec of ours holds them."""
        return self.values * np.dtype(self.dtype).itemsize if self.coded else 0

    @property
    def ratio(self) -> float:
        """Raw bytes per stored byte; NaN where not counted."""
        return self.raw / self.size if self.size else math.nan

    @property
    def bpppb(self) -> float:
        """Stored bits per pixel per band; NaN where not counted."""
        return 8 * self.size / self.values if self.size and self.values else math.nan

    @property
    def kept(self) -> Fidelity | None:
        """The figures that promises hold for: without pixels that were ignored."""
        return self.fidelity and (self.fidelity.kept or self.fidelity)

    @property
    def bound(self) -> float | tuple[float, ...] | None:
        """The largest absolute error allowed, in ``units``, for all bands or each."""
        bound = self.settings.get("max_error")
        if bound is None:
            return 0.0 if self.lossless else None
        scaled = tuple(float(one) * abs(self.scale) for one in np.ravel(bound))
        return scaled[0] if np.ndim(bound) == 0 else scaled

    @property
    def relative_bound(self) -> float | tuple[float, ...] | None:
        """The largest relative error allowed, for all bands or each."""
        bound = self.settings.get("relative_error")
        if bound is None:
            return None
        return tuple(map(float, bound)) if np.ndim(bound) else float(bound)

    @property
    def lossless(self) -> bool:
        """Whether every bit has to come back."""
        return self.codec == "xeo.lossless"

    @property
    def holds(self) -> bool | None:
        """Whether the bound is met and missing values came back to the bit; None if unknown."""
        found = self.kept
        if self.broken:
            return False
        if found is None:
            return None
        if not found.exact_missing():
            return False
        if self.lossless:
            return not found.max_error()
        pairs = (
            (self.settings.get("max_error"), found.max_error("band")),
            (self.settings.get("relative_error"), found.max_relative("band")),
        )
        return all(b is None or bool((got <= np.asarray(b)).all()) for b, got in pairs)

    @property
    def reached(self) -> bool | None:
        """Whether a rate or a PSNR that was asked for is reached; None if neither was, or unknown.

        A PSNR holds for each chunk: with a peak that is the chunk's own range it is not known.
        """
        if self.target == "bpppb" and self.size:
            return self.bpppb <= self.value
        if self.target == "psnr" and self.kept is not None and self.peak is not None:
            return bool(np.isnan(self.psnr()) or self.psnr() >= self.value - 1e-6)
        return None

    @property
    def full_peak(self) -> float:
        """The peak of PSNR in ``units``: what was set, or the range of all values; NaN if none."""
        if self.peak is not None:
            return self.peak
        if self.fidelity is None or not self.fidelity.count.any():
            return math.nan
        spread = float(self.fidelity.highest.max() - self.fidelity.lowest.min())
        return (spread or 1.0) * abs(self.scale)

    def psnr(self, by: str | None = None, *, ignored: bool = False) -> Any:
        """Return the peak signal-to-noise ratio in decibels.

        Parameters
        ----------
        by : {"date", "band", "both"}, optional
            What to tell apart.
        ignored : bool
            Whether pixels count that were ignored.

        Returns
        -------
        float or array
            NaN where nothing was compared, infinite without errors.
        """
        found = self._figures(ignored)
        peak = self.full_peak / abs(self.scale)
        if found is None or math.isnan(peak):
            return math.nan
        return _plain(found.psnr(peak, by))

    def rmse(self, by: str | None = None, *, ignored: bool = False) -> Any:
        """Return the root mean square error in ``units``; as for `psnr`."""
        found = self._figures(ignored)
        return math.nan if found is None else _plain(found.rmse(by) * abs(self.scale))

    def bias(self, by: str | None = None, *, ignored: bool = False) -> Any:
        """Return the mean error in ``units``; as for `psnr`."""
        found = self._figures(ignored)
        return math.nan if found is None else _plain(found.bias(by) * self.scale)

    def max_error(self, by: str | None = None, *, ignored: bool = False) -> Any:
        """Return the largest absolute error in ``units``; as for `psnr`."""
        found = self._figures(ignored)
        return math.nan if found is None else _plain(found.max_error(by) * abs(self.scale))

    def max_relative(self, by: str | None = None, *, ignored: bool = False) -> Any:
        """Return the largest relative error, NaN where no bound was on it; as for `psnr`."""
        found = self._figures(ignored)
        if found is None or self.relative_bound is None:
            return math.nan
        return _plain(found.max_relative(by))

    def ssim(self, by: str | None = None, *, ignored: bool = False) -> Any:
        """Return the mean structural similarity; as for `psnr`."""
        found = self._figures(ignored)
        return math.nan if found is None else _plain(found.ssim(by))

    def angle(self, by: str | None = None, *, ignored: bool = False) -> Any:
        """Return the mean spectral angle in degrees, of all or by ``"date"``; as for `psnr`."""
        found = self._figures(ignored)
        return math.nan if found is None else _plain(np.rad2deg(found.spectral_angle(by)))

    def _figures(self, ignored: bool) -> Fidelity | None:
        return self.fidelity if ignored else self.kept

    def figures(self) -> dict[str, float]:
        """Return the figures of the whole array by their names."""
        made: dict[str, float] = {
            "bytes_stored": self.size, "bytes_raw": self.raw, "ratio": self.ratio,
            "bpppb": self.bpppb, "peak": self.full_peak,
        }  # fmt: skip
        made |= {name: getattr(self, name)() for name in (*APART, "max_relative")}
        made |= {
            "coding_seconds": self.coding_seconds, "checking_seconds": self.checking_seconds,
        }  # fmt: skip
        return made

    def to_dict(self) -> dict[str, Any]:
        """Return all that is known as JSON can say it; what is no finite number is None."""
        said = {
            "name": self.name, "members": list(self.members), "dims": list(self.dims),
            "shape": list(self.shape), "dtype": self.dtype, "codec": self.codec,
            "settings": dict(self.settings), "chunks": list(self.chunks), "target": self.target,
            "value": self.value, "scale": self.scale, "units": self.units, "values": self.values,
            "bound": self.bound, "relative_bound": self.relative_bound, "holds": self.holds,
            "reached": self.reached, **self.figures(), "note": self.note,
        }  # fmt: skip
        if self.fidelity is not None and self.fidelity.kept is not None:
            said["with_ignored"] = {name: getattr(self, name)(ignored=True) for name in APART}
        return {key: to_json(value) for key, value in said.items()}


def number(value: float, unit: str = "", digits: int = 3) -> str:
    """Return a number as people read it, nothing for NaN."""
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    text = f"{value:.{digits}g}"
    # 1234 rather than 1.23e+03.
    if "e+" in text and abs(value) < 1e6:
        text = f"{value:.0f}"
    return text + unit


def spell_bytes(size: float) -> str:
    """Return a number of bytes as people read it."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(size) < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.3g} {unit}" if abs(size) < 999.5 else f"{size:.0f} {unit}"


def spell_bound(one: VariableReport) -> str:
    """Return the promise of an array in a few characters, nothing if there is none."""
    if one.lossless:
        return "exact"
    if one.relative_bound is not None:
        return _span(np.ravel(one.relative_bound) * 100) + " %"
    return "" if one.bound is None else _span(np.ravel(one.bound))


def spell_largest(one: VariableReport) -> str:
    """Return the largest error as the promise of an array counts it."""
    if one.relative_bound is not None:
        return number(100 * one.max_relative(), " %")
    return number(one.max_error())


def _span(values: Any) -> str:
    ends = [number(float(end)) for end in (np.min(values), np.max(values))]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def spell_target(one: VariableReport) -> str:
    """Return what was asked of an array, with the bound in stored numbers too."""
    units = f" {one.units}" if one.units else ""
    if one.lossless:
        return "every bit"
    if one.bound is not None:
        stored = _span(np.ravel(one.settings["max_error"]))
        told = f"at most {spell_bound(one)}{units} off"
        return told if one.scale == 1 else f"{told} (= {stored} stored)"
    spelled: dict[str, Any] = {
        "relative_error": lambda: f"at most {spell_bound(one)} off",
        "psnr": lambda: f"{one.value:g} dB",
        "bpppb": lambda: f"{one.value:g} bits a value",
        "quality": lambda: f"quality {one.value:g}",
    }
    if one.relative_bound is not None:
        return str(spelled["relative_error"]())
    return str(spelled.get(one.target, lambda: "")())


def spell_peak(one: VariableReport) -> str:
    """Return what PSNR and SSIM take as full range."""
    meaning = one.units if one.peak is not None else f"{one.units}: range of all values"
    return f"{number(one.full_peak)} {meaning}".strip().replace(" :", ":")


def _plain(values: Any) -> Any:
    return float(values) if np.ndim(values) == 0 else values


def to_json(value: Any) -> Any:
    """Return a value as JSON can say it, None for numbers that it cannot."""
    if isinstance(value, dict):
        return {key: to_json(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""The quality layer of Harmonized Landsat Sentinel-2, looked up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from xeo.kernels.bits import has_any_bit, two_bits
from xeo.models.quality_codes import (
    as_probability,
    checked_level,
    checked_names,
    layer_codes,
    quality_spec,
)
from xeo.spec import ModelSpec

#: Names of the flags and their bits. Bit 0, cirrus, is reserved and not used.
FLAGS = {"cloud": 1, "adjacent": 2, "shadow": 3, "snow": 4, "water": 5}
_FILL = 255
_AEROSOL_BIT = 6
_LEVELS = {"moderate": 2, "high": 3}


@dataclass(frozen=True)
class Fmask:
    """Bad pixels by the ``Fmask`` layer of Harmonized Landsat Sentinel-2 (HLS), version 2.

    The first choice for HLS: clouds, what lies next to them, and shadows, by Fmask 4.

    Parameters
    ----------
    flags : sequence of str
        What is bad, of ``"fill"``, ``"cloud"``, ``"adjacent"`` (to cloud or shadow),
        ``"shadow"``, ``"snow"`` and ``"water"``. A missing pixel is always bad.
    aerosol : {"moderate", "high"}, optional
        Also bad where the aerosol level is this or higher.

    Raises
    ------
    OptionError
        If a flag or the level is not known.

    References
    ----------
    .. [1] Qiu, S., Zhu, Z., He, B. (2019). Fmask 4.0: Improved cloud and cloud shadow detection
       in Landsats 4-8 and Sentinel-2 imagery. *Remote Sensing of Environment* 231, 111205.
       doi:10.1016/j.rse.2019.05.024
    .. [2] Masek, J. et al. (2021). HLS Operational Land Imager Surface Reflectance v2.0: user
       guide. NASA LP DAAC. doi:10.5067/HLS/HLSL30.002

    Examples
    --------
    >>> Fmask()(np.array([[[[0.0, 2.0, 255.0]]]])).tolist()
    [[[[0.0, 1.0, 1.0]]]]
    """

    flags: tuple[str, ...] = ("fill", "cloud", "adjacent", "shadow")
    aerosol: str | None = None

    quality: ClassVar[tuple[str, ...]] = ("Fmask",)
    threshold: ClassVar[float] = 0.5
    shadows: ClassVar[bool] = True
    spec: ClassVar[ModelSpec] = quality_spec(
        "fmask",
        citation=(
            "Qiu, S., Zhu, Z., He, B. (2019). Fmask 4.0: Improved cloud and cloud shadow "
            "detection in Landsats 4-8 and Sentinel-2 imagery. Remote Sensing of Environment "
            "231, 111205. doi:10.1016/j.rse.2019.05.024"
        ),
    )

    def __post_init__(self) -> None:
        names = checked_names(self.flags, ("fill", *FLAGS), "flags")
        object.__setattr__(self, "flags", names)
        checked_level(self.aerosol, _LEVELS, "aerosol")

    def __call__(self, x: Any, /) -> Any:
        """Return 1 where bad, ``(sample, 1, y, x)``, of codes of that shape."""
        codes, missing = layer_codes(x, _FILL, self.quality[0])
        bad = has_any_bit(codes, [FLAGS[name] for name in self.flags if name in FLAGS])
        if self.aerosol is not None:
            bad = bad | (two_bits(codes, _AEROSOL_BIT) >= _LEVELS[self.aerosol])
        # The fill code has every bit set and means none of them.
        fill = codes == _FILL
        bad = (bad & ~fill) | missing
        return as_probability(bad | fill if "fill" in self.flags else bad)

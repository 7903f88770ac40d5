"""The pixel quality layer of Landsat Collection 1 surface reflectance, looked up."""

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

#: Names of the flags and their bits.
FLAGS = {
    "fill": 0, "clear": 1, "water": 2, "shadow": 3, "snow": 4, "cloud": 5,
    "terrain_occlusion": 10,
}  # fmt: skip
# Cirrus has a confidence and no flag of its own.
_CONFIDENCE = {"cloud": 6, "cirrus": 8}
_LEVELS = {"medium": 2, "high": 3}


@dataclass(frozen=True)
class PixelQa:
    """Bad pixels by the ``pixel_qa`` layer of Landsat Collection 1 surface reflectance.

    CFMask's clouds and shadows, and cirrus of Landsat 8. Collection 1 was withdrawn by the end
    of 2022; its layer lives on in archives, and its bits are not those of ``QA_PIXEL``.

    Parameters
    ----------
    flags : sequence of str
        What is bad, of ``"fill"`` (also code 0), ``"clear"``, ``"water"``, ``"shadow"``,
        ``"snow"``, ``"cloud"``, ``"cirrus"`` (where its confidence is high) and
        ``"terrain_occlusion"``. A missing pixel is always bad.
    confidence : {"medium", "high"}, optional
        Be stricter: a pixel is bad as well where the confidence in cloud or cirrus, if among
        the flags, is this or higher.

    Raises
    ------
    OptionError
        If a flag or the confidence is not known.

    References
    ----------
    .. [1] U.S. Geological Survey (2020). Landsat 8 Collection 1 Land Surface Reflectance Code
       Product Guide. LSDS-1368.
    .. [2] Foga, S. et al. (2017). Cloud detection algorithm comparison and validation for
       operational Landsat data products. *Remote Sensing of Environment* 194, 379-390.
       doi:10.1016/j.rse.2017.03.026

    Examples
    --------
    >>> clear, cloud, high_cirrus = 322.0, 480.0, 834.0
    >>> PixelQa()(np.array([[[[clear, cloud, high_cirrus]]]])).tolist()
    [[[[0.0, 1.0, 1.0]]]]
    """

    flags: tuple[str, ...] = ("fill", "shadow", "cloud", "cirrus")
    confidence: str | None = None

    quality: ClassVar[tuple[str, ...]] = ("pixel_qa",)
    threshold: ClassVar[float] = 0.5
    shadows: ClassVar[bool] = True
    spec: ClassVar[ModelSpec] = quality_spec(
        "pixel_qa",
        citation=(
            "Foga, S. et al. (2017). Cloud detection algorithm comparison and validation for "
            "operational Landsat data products. Remote Sensing of Environment 194, 379-390. "
            "doi:10.1016/j.rse.2017.03.026"
        ),
    )

    def __post_init__(self) -> None:
        known = dict.fromkeys([*FLAGS, *_CONFIDENCE])
        object.__setattr__(self, "flags", checked_names(self.flags, known, "flags"))
        checked_level(self.confidence, _LEVELS, "confidence")

    def __call__(self, x: Any, /) -> Any:
        """Return 1 where bad, ``(sample, 1, y, x)``, of codes of that shape."""
        codes, missing = layer_codes(x, 65_535, self.quality[0])
        bad = has_any_bit(codes, [FLAGS[name] for name in self.flags if name in FLAGS]) | missing
        if "fill" in self.flags:
            # What lies outside a scene once it is warped: no seen pixel has no flag at all.
            bad = bad | (codes == 0)
        for name in set(self.flags) & set(_CONFIDENCE):
            least = self.confidence or ("high" if name == "cirrus" else None)
            if least is not None:
                bad = bad | (two_bits(codes, _CONFIDENCE[name]) >= _LEVELS[least])
        return as_probability(bad)

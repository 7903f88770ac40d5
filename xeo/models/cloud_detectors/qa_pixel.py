"""The pixel quality layer of Landsat Collection 2, looked up."""

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
    "fill": 0, "dilated_cloud": 1, "cirrus": 2, "cloud": 3, "shadow": 4, "snow": 5, "clear": 6,
    "water": 7,
}  # fmt: skip
_CONFIDENCE = {"cloud": 8, "shadow": 10, "snow": 12, "cirrus": 14}
_LEVELS = {"medium": 2, "high": 3}


@dataclass(frozen=True)
class QaPixel:
    """Bad pixels by the ``QA_PIXEL`` layer of Landsat Collection 2.

    CFMask's clouds, their rims of three pixels, shadows and cirrus (of Landsat 8 and 9). The
    first choice where a Landsat cube has the layer. Bright targets such as beaches, snow and
    buildings can pass for clouds.

    Parameters
    ----------
    flags : sequence of str
        What is bad, of ``"fill"`` (also code 0), ``"dilated_cloud"``, ``"cirrus"``, ``"cloud"``,
        ``"shadow"``, ``"snow"``, ``"clear"`` and ``"water"``. A missing pixel is always bad.
    confidence : {"medium", "high"}, optional
        Be stricter: a pixel is bad as well where the confidence in one of the flags of cloud,
        shadow, snow or cirrus is this or higher. Only clouds have a medium one.

    Raises
    ------
    OptionError
        If a flag or the confidence is not known.

    References
    ----------
    .. [1] U.S. Geological Survey (2022). Landsat 8-9 Collection 2 Level 2 Data Format Control
       Book. LSDS-1328.
    .. [2] Foga, S. et al. (2017). Cloud detection algorithm comparison and validation for
       operational Landsat data products. *Remote Sensing of Environment* 194, 379-390.
       doi:10.1016/j.rse.2017.03.026

    Examples
    --------
    >>> clear, cloud = 21824.0, 22280.0
    >>> QaPixel()(np.array([[[[clear, cloud, 1.0]]]])).tolist()
    [[[[0.0, 1.0, 1.0]]]]
    """

    flags: tuple[str, ...] = ("fill", "dilated_cloud", "cirrus", "cloud", "shadow")
    confidence: str | None = None

    quality: ClassVar[tuple[str, ...]] = ("QA_PIXEL",)
    threshold: ClassVar[float] = 0.5
    shadows: ClassVar[bool] = True
    spec: ClassVar[ModelSpec] = quality_spec(
        "qa_pixel",
        citation=(
            "Foga, S. et al. (2017). Cloud detection algorithm comparison and validation for "
            "operational Landsat data products. Remote Sensing of Environment 194, 379-390. "
            "doi:10.1016/j.rse.2017.03.026"
        ),
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "flags", checked_names(self.flags, FLAGS, "flags"))
        checked_level(self.confidence, _LEVELS, "confidence")

    def __call__(self, x: Any, /) -> Any:
        """Return 1 where bad, ``(sample, 1, y, x)``, of codes of that shape."""
        codes, missing = layer_codes(x, 65_535, self.quality[0])
        bad = has_any_bit(codes, [FLAGS[name] for name in self.flags]) | missing
        if "fill" in self.flags:
            # What lies outside a scene once it is warped: no seen pixel has no flag at all.
            bad = bad | (codes == 0)
        if self.confidence is not None:
            for name in set(self.flags) & set(_CONFIDENCE):
                bad = bad | (two_bits(codes, _CONFIDENCE[name]) >= _LEVELS[self.confidence])
        return as_probability(bad)

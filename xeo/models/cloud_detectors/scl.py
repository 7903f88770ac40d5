"""The scene classification of Sentinel-2 Level-2A, looked up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from xeo.errors import OptionError
from xeo.kernels.bits import is_any_of
from xeo.models.quality_codes import as_probability, layer_codes, quality_spec
from xeo.spec import ModelSpec

#: Names of the codes, from 0.
CLASSES = (
    "no_data", "saturated_or_defective", "dark_area", "cloud_shadows", "vegetation",
    "not_vegetated", "water", "unclassified", "cloud_medium_probability",
    "cloud_high_probability", "thin_cirrus", "snow",
)  # fmt: skip
_BAD = (0, 1, 3, 8, 9, 10)


@dataclass(frozen=True)
class SceneClassification:
    """Bad pixels by the scene classification layer (SCL) of Sentinel-2 Level-2A.

    The first choice where a cube has the layer: it costs nothing, and knows thin cirrus and
    shadows. It tends to take bright roofs, sand and snow for clouds, misses the rims of
    clouds (dilate it), and was made at 20 m.

    Parameters
    ----------
    classes : sequence of int or str
        What is bad: codes from 0 to 11, or their names, ``"no_data"``,
        ``"saturated_or_defective"``, ``"dark_area"``, ``"cloud_shadows"``, ``"vegetation"``,
        ``"not_vegetated"``, ``"water"``, ``"unclassified"``, ``"cloud_medium_probability"``,
        ``"cloud_high_probability"``, ``"thin_cirrus"``, ``"snow"``. Default: no data,
        saturated, cloud shadows, clouds of medium and high probability, thin cirrus. A missing
        pixel is always bad.

    Raises
    ------
    OptionError
        If a class is not known.

    References
    ----------
    .. [1] Main-Knorn, M. et al. (2017). Sen2Cor for Sentinel-2. *Proc. SPIE* 10427, 1042704.
       doi:10.1117/12.2278218

    Examples
    --------
    >>> SceneClassification()(np.array([[[[4.0, 9.0, np.nan]]]])).tolist()
    [[[[0.0, 1.0, 1.0]]]]
    """

    classes: tuple[int | str, ...] = _BAD

    quality: ClassVar[tuple[str, ...]] = ("SCL",)
    threshold: ClassVar[float] = 0.5
    shadows: ClassVar[bool] = True
    spec: ClassVar[ModelSpec] = quality_spec(
        "scl",
        citation=(
            "Main-Knorn, M. et al. (2017). Sen2Cor for Sentinel-2. Proc. SPIE 10427, 1042704. "
            "doi:10.1117/12.2278218"
        ),
    )

    def __post_init__(self) -> None:
        given: Any = self.classes
        listed = given if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
        object.__setattr__(self, "classes", tuple(dict.fromkeys(map(_code, listed))))

    def __call__(self, x: Any, /) -> Any:
        """Return 1 where bad, ``(sample, 1, y, x)``, of codes of that shape."""
        codes, missing = layer_codes(x, len(CLASSES) - 1, self.quality[0])
        return as_probability(is_any_of(codes, self.classes) | missing)  # type: ignore[arg-type]


def _code(given: Any) -> int:
    if isinstance(given, str) and given in CLASSES:
        return CLASSES.index(given)
    whole = not isinstance(given, str | bool) and given in range(len(CLASSES))
    if not whole:
        raise OptionError(
            f"expected classes of the scene classification: codes from 0 to "
            f"{len(CLASSES) - 1} or some of {CLASSES}, got {given!r}"
        )
    return int(given)

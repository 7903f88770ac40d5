"""Clouds by thresholds on green and red, after Braaten and others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from xeo.errors import DimensionError, OptionError
from xeo.kernels.namespace import as_float, namespace_of
from xeo.spec import Input, ModelSpec

#: How far beyond a threshold a test is as good as sure (0.95), in reflectance and in an index.
_SOFT = 0.1
_STEEP = 2.944 / _SOFT


@dataclass(frozen=True)
class Threshold:
    """Clouds by their brightness and whiteness in green and red, without any training.

    For cubes of few bands, of any sensor, where neither a quality layer nor a network helps. A
    pixel is cloud where green is above ``green`` and the normalised difference of green and red
    above ``ratio``, or where green is above ``bright`` whatever its colour: the cloud test of
    MSScvm [1]_. Where there is a band ``swir16``, what its normalised difference with green
    says is snow [2]_ is no cloud. It misses thin clouds and finds no shadows.

    Parameters
    ----------
    green, bright : float
        Reflectance.
    ratio : float
        Of (green - red) / (green + red). Soil is below, vegetation above, but dark. Published
        as 0 for top-of-atmosphere reflectance; clouds of surface reflectance are less blue.
    snow : float
        Of (green - swir16) / (green + swir16); above it a bright pixel is snow. Published as
        0.4 for snow in general, which clouds of ice reach too; 1 leaves the test out.

    Raises
    ------
    OptionError
        If ``bright`` is below ``green``, or an index is not between -1 and 1.

    Notes
    -----
    The probability is a logistic function of the distance to the nearest threshold, 0.5 on it
    and 0.95 at 0.1 beyond: it orders pixels, and is not calibrated. A missing pixel is bad; a
    missing ``swir16`` leaves the snow test out. ``green`` and ``bright`` are the published
    ones. ``ratio`` and ``snow`` lie in the middle of what agrees best with the scene
    classification of three Sentinel-2 Level-2A cubes; from -0.15 to -0.05 and from 0.6 on
    it makes little difference which.

    References
    ----------
    .. [1] Braaten, J. D., Cohen, W. B., Yang, Z. (2015). Automated cloud and cloud shadow
       identification in Landsat MSS imagery for temperate ecosystems. *Remote Sensing of
       Environment* 169, 128-138. doi:10.1016/j.rse.2015.08.006
    .. [2] Hall, D. K., Riggs, G. A., Salomonson, V. V. (1995). Development of methods for
       mapping global snow cover using moderate resolution imaging spectroradiometer data.
       *Remote Sensing of Environment* 54, 127-140. doi:10.1016/0034-4257(95)00137-P

    Examples
    --------
    >>> cloud, soil = [0.5, 0.5, 0.4], [0.1, 0.15, 0.3]
    >>> Threshold()(np.array([cloud, soil]).T[None, :, None]).round(2).ravel()
    array([0.96, 0.01], dtype=float32)
    """

    green: float = 0.175
    bright: float = 0.39
    ratio: float = -0.05
    snow: float = 0.6

    threshold: ClassVar[float] = 0.5
    shadows: ClassVar[bool] = False
    spec: ClassVar[ModelSpec] = ModelSpec(
        name="threshold",
        inputs=(
            Input(
                bands=("green", "red", "swir16"),
                units="reflectance",
                optional_bands=("swir16",),
            ),
        ),
        channels=1,
        missing="nan",
        activation_bytes=128,
        tasks=("cloud-detection",),
        architecture="thresholds",
        license="Apache-2.0",
        citation=(
            "Braaten, J. D., Cohen, W. B., Yang, Z. (2015). Automated cloud and cloud shadow "
            "identification in Landsat MSS imagery for temperate ecosystems. Remote Sensing of "
            "Environment 169, 128-138. doi:10.1016/j.rse.2015.08.006"
        ),
    )

    def __post_init__(self) -> None:
        if not 0 <= self.green <= self.bright < 2:
            raise OptionError(
                "expected reflectance from 0 to 2, green not above bright, got green="
                f"{self.green}, bright={self.bright}. Try: divide digital numbers by 10000"
            )
        if not (-1 <= self.ratio <= 1 and -1 <= self.snow <= 1):
            raise OptionError(
                "expected ratio and snow, normalised differences, from -1 to 1, got "
                f"ratio={self.ratio}, snow={self.snow}"
            )

    def __call__(self, x: Any, /) -> Any:
        """Return the probability of cloud.

        Parameters
        ----------
        x : array, shape (sample, 3, y, x)
            Reflectance, 0 to 1, of green, red and swir16; NaN where missing.

        Returns
        -------
        array, shape (sample, 1, y, x)
            float32, of the kind and on the device of ``x``.

        Raises
        ------
        DimensionError
            If ``x`` has another shape.
        """
        if x.ndim != 4 or x.shape[1] != 3:
            raise DimensionError(
                "expected an array (sample, band, y, x) with the 3 bands green, red and swir16 "
                f"(NaN where there is none), got shape {tuple(x.shape)}"
            )
        xp = namespace_of(x)
        # Dark pixels of surface reflectance may fall below 0, where an index means nothing, and
        # infinity less infinity is nothing either.
        x = xp.clip(as_float(x), 0, 10)
        green, red, swir = x[:, 0:1], x[:, 1:2], x[:, 2:3]
        colour = xp.minimum(green - self.green, _difference(green, red) - self.ratio)
        margin = xp.maximum(colour, green - self.bright)
        no_snow = self.snow - _difference(green, swir)
        margin = xp.where(no_snow == no_snow, xp.minimum(margin, no_snow), margin)
        # Clipped lest the exponential overflow; 1 where there is nothing to see.
        found = 1 / (1 + xp.exp(xp.clip(margin, -2, 2) * -_STEEP))
        return xp.asarray(xp.where(margin == margin, found, 1.0), dtype=xp.float32)


def _difference(a: Any, b: Any) -> Any:
    """Return the normalised difference; 0 where both are 0."""
    total = a + b
    return (a - b) / namespace_of(a).where(total == 0, 1.0, total)

"""Sentinel Hub's cloud detector for Sentinel-2 Level-1C, through its own package."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xeo import options
from xeo.errors import DimensionError, OptionError
from xeo.kernels.namespace import namespace_of
from xeo.lazy import require
from xeo.spec import Input, ModelSpec

_BANDS = (
    "coastal", "blue", "red", "rededge071", "nir", "nir08", "nir09", "cirrus", "swir16", "swir22",
)  # fmt: skip
_PURPOSE = "find clouds with s2cloudless"


@dataclass(frozen=True)
class S2Cloudless:
    """Probability of cloud by s2cloudless: gradient-boosted trees over each pixel's ten bands.

    For Sentinel-2 Level-1C, top-of-atmosphere reflectance, which alone has the cirrus band
    that it needs. It was trained on much of the world and knows thin clouds; it looks at each
    pixel alone, so bright roofs and sand may pass for clouds. It does not look for shadows.
    Slow: some 25 microseconds a pixel on one core; its makers run it at 60 to 160 m.

    Parameters
    ----------
    average_over : int
        Radius in pixels of a disk over which the probability is averaged; 0 leaves it. The
        package's own default is 1.
    dilation_size : int
        Radius in pixels of a disk whose largest probability a pixel takes; 0 leaves it. A mask
        of it is the package's dilated mask.

    Raises
    ------
    OptionError
        If a radius is not a whole number of 0 or more.

    Notes
    -----
    A pixel of nothing but zeros is clear to it: missing pixels are the verb's to mask.

    References
    ----------
    .. [1] Zupanc, A. (2017). Improving cloud detection with machine learning. Sentinel Hub.
       https://github.com/sentinel-hub/sentinel2-cloud-detector
    .. [2] Skakun, S. et al. (2022). Cloud Mask Intercomparison eXercise (CMIX). *Remote Sensing
       of Environment* 274, 112990. doi:10.1016/j.rse.2022.112990
    """

    average_over: int = 0
    dilation_size: int = 0

    threshold: ClassVar[float] = 0.4
    shadows: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("average_over", "dilation_size"):
            value: Any = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 0:
                raise OptionError(f"expected {name} of 0, 1, 2, ... pixels, got {value!r}")

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself."""
        return ModelSpec(
            name="s2cloudless",
            inputs=(Input("sentinel2", bands=_BANDS, units="reflectance"),),
            channels=1,
            halo=self.average_over + self.dilation_size,
            partial=True,
            activation_bytes=256,
            packages=("s2cloudless",),
            tasks=("cloud-detection",),
            architecture="gradient-boosted decision trees",
            license="MIT",
            citation=(
                "Skakun, S. et al. (2022). Cloud Mask Intercomparison eXercise (CMIX). Remote "
                "Sensing of Environment 274, 112990. doi:10.1016/j.rse.2022.112990"
            ),
        )

    def __call__(self, x: Any, /) -> Any:
        """Return the probability of cloud.

        Parameters
        ----------
        x : array, shape (sample, 10, y, x)
            Top-of-atmosphere reflectance, 0 to 1, in the order of ``spec.inputs[0].bands``.

        Returns
        -------
        array, shape (sample, 1, y, x)
            float32, of the kind of ``x``; computed on the CPU.

        Raises
        ------
        DimensionError
            If ``x`` has another shape.
        """
        if x.ndim != 4 or x.shape[1] != len(_BANDS):
            raise DimensionError(
                f"expected an array (sample, band, y, x) with the {len(_BANDS)} bands {_BANDS}, "
                f"got shape {tuple(x.shape)}. Try: select these bands in this order"
            )
        made = [self._one(image) for image in _host(x)]
        out = np.stack(made)[:, None] if made else np.zeros((0, 1, *x.shape[-2:]), np.float32)
        xp = namespace_of(x)
        return xp.asarray(out, device=x.device) if xp.__name__ == "torch" else xp.asarray(out)

    def _one(self, image: NDArray[Any]) -> NDArray[np.float32]:
        detector = _detector(int(self.average_over), int(self.dilation_size))
        pixels = np.ascontiguousarray(image.transpose(1, 2, 0), np.float32)
        found = detector.get_cloud_probability_maps(pixels[None], num_threads=options.threads())[0]
        cv2 = require("cv2", purpose=_PURPOSE)
        if self.average_over:
            found = cv2.filter2D(found, -1, detector.conv_filter, borderType=cv2.BORDER_REFLECT)
        if self.dilation_size:
            found = cv2.dilate(found, detector.dilation_filter)
        return np.asarray(found, np.float32)


def _host(x: Any) -> NDArray[Any]:
    kind = namespace_of(x).__name__
    return np.asarray(x.get() if kind == "cupy" else x.cpu() if kind == "torch" else x)


@lru_cache(maxsize=8)
def _detector(average_over: int, dilation_size: int) -> Any:
    package = require("s2cloudless", purpose=_PURPOSE)
    return package.S2PixelCloudDetector(average_over=average_over, dilation_size=dilation_size)

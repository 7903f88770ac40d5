"""Cloud U-Nets for Landsat and Sentinel-2 by López-Puigdollers and others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from xeo import weights
from xeo.errors import DimensionError
from xeo.lazy import require
from xeo.models import torch_runtime
from xeo.models.networks import cloud_unet
from xeo.spec import ModelSpec

if TYPE_CHECKING:
    import torch

_RGBI = ("blue", "green", "red", "nir")


def _spec(name: str, bands: tuple[str, ...], parameters: int) -> ModelSpec:
    return ModelSpec(
        name=f"unet_{name}",
        bands=bands,
        units="reflectance",
        channels=1,
        halo=cloud_unet.HALO,
        align=cloud_unet.ALIGN,
        # Dark slopes are clipped to 0, which is nodata, in blue alone.
        partial=True,
        activation_bytes=1024,
        weights=f"dl_l8s2_uv_{name}",
        packages=("torch",),
        tasks=("cloud-detection",),
        architecture="U-Net",
        total_parameters=parameters,
        license="MIT",
        citation=(
            "López-Puigdollers, D., Mateo-García, G., Gómez-Chova, L. (2021). Benchmarking deep "
            "learning models for cloud detection in Landsat-8 and Sentinel-2 images. Remote "
            "Sensing 13, 992. doi:10.3390/rs13050992"
        ),
    )


@dataclass(frozen=True)
class UnetRgbi:
    """Probability of cloud by a U-Net that needs blue, green, red and near infrared alone.

    For cubes of four bands without a quality layer. It finds thick clouds well and does **not**
    see thin cirrus: on a date over Bolzano where the scene classification has it on 39 % of
    the image, it finds 0.1 %. It takes snow for cloud, and does not look for shadows.

    Notes
    -----
    Trained on Landsat 8, top-of-atmosphere reflectance at 30 m, and tested by its authors on
    Sentinel-2 Level-1C. Surface reflectance (Level-2A) works nearly as well. Missing pixels
    arrive as 0. It halves the resolution twice, so windows start at multiples of 4 pixels; an
    image of another size is continued by its last row or column.

    References
    ----------
    .. [1] López-Puigdollers, D., Mateo-García, G., Gómez-Chova, L. (2021). Benchmarking deep
       learning models for cloud detection in Landsat-8 and Sentinel-2 images. *Remote Sensing*
       13, 992. doi:10.3390/rs13050992
    """

    threshold: ClassVar[float] = 0.5
    shadows: ClassVar[bool] = False
    spec: ClassVar[ModelSpec] = _spec("rgbi", _RGBI, 97_049)

    def __call__(self, x: Any, /) -> Any:
        """Return the probability of cloud.

        Parameters
        ----------
        x : array, shape (sample, band, y, x)
            Reflectance, 0 to 1, in the order of ``spec.bands``.

        Returns
        -------
        array, shape (sample, 1, y, x)
            float32, of the kind and on the device of ``x``.

        Raises
        ------
        DimensionError
            If ``x`` has another shape.
        WeightsError
            If the weights are nowhere, or not the right ones.
        """
        return _run(self, x)

    def module(self) -> torch.nn.Module:
        """Return the network, for backends that convert it."""
        return _module(self)


@dataclass(frozen=True)
class UnetRgbiSwir:
    """Probability of cloud by a U-Net of six bands, two of them short-wave infrared.

    For cubes without a quality layer. Over Flanders it agrees with the scene classification as
    well as ``unet_rgbi``, which does without the two bands, and no better: it too misses thin
    cirrus, takes snow for cloud and does not look for shadows. Otherwise as ``unet_rgbi``.

    References
    ----------
    .. [1] López-Puigdollers, D., Mateo-García, G., Gómez-Chova, L. (2021). Benchmarking deep
       learning models for cloud detection in Landsat-8 and Sentinel-2 images. *Remote Sensing*
       13, 992. doi:10.3390/rs13050992
    """

    threshold: ClassVar[float] = 0.5
    shadows: ClassVar[bool] = False
    spec: ClassVar[ModelSpec] = _spec("rgbiswir", (*_RGBI, "swir16", "swir22"), 97_153)

    def __call__(self, x: Any, /) -> Any:
        """Return the probability of cloud, ``(sample, 1, y, x)``, of the bands of the spec."""
        return _run(self, x)

    def module(self) -> torch.nn.Module:
        """Return the network, for backends that convert it."""
        return _module(self)


def _run(model: UnetRgbi | UnetRgbiSwir, x: Any) -> Any:
    bands = model.spec.bands or ()
    if x.ndim != 4 or x.shape[1] != len(bands):
        raise DimensionError(
            f"expected an array (sample, band, y, x) with the {len(bands)} bands {bands}, got "
            f"shape {tuple(x.shape)}. Try: select these bands in this order"
        )
    with torch_runtime.inference():
        reflectance = torch_runtime.as_tensor(x)
        network = torch_runtime.module_for(model, lambda: _load(model), reflectance.device)
        return torch_runtime.like(network(reflectance.float()), x)


def _load(model: UnetRgbi | UnetRgbiSwir) -> torch.nn.Module:
    return cloud_unet.build(weights.load(str(model.spec.weights)))


def _module(model: UnetRgbi | UnetRgbiSwir) -> torch.nn.Module:
    library = require("torch", purpose="find clouds with the U-Net")
    return torch_runtime.module_for(model, lambda: _load(model), library.device("cpu"))

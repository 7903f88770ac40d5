"""OmniCloudMask, through its own package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xeo.errors import DimensionError, OptionError
from xeo.lazy import require
from xeo.models import torch_runtime
from xeo.spec import ModelSpec

#: Channels of the package's answer.
CLASSES = ("clear", "thick_cloud", "thin_cloud", "cloud_shadow")
_SMALLEST_WINDOW = 64
_WINDOW_STEP = 32


@dataclass(frozen=True)
class OmniCloudMask:
    """Probability of cloud or shadow by OmniCloudMask, of red, green and near infrared.

    For cubes of any sensor with pixels of 10 to 50 m, of any processing level, and without a
    quality layer: it was trained to generalise over sensors, and tells thick from thin cloud
    and shadow. Two networks of millions of parameters: a GPU pays off. Its package,
    ``pip install "xarray-eo[omnicloudmask]"``, downloads their weights from Hugging Face at
    the first use.

    Parameters
    ----------
    thin : bool
        Whether thin cloud is bad.
    shadow : bool
        Whether cloud shadow is bad.
    nir : {"nir08", "nir"}
        The near infrared: of Sentinel-2 the narrow band B8A, as its makers take it, or the
        wide B08.
    model_folder : str, optional
        Where its files of weights lie, or are downloaded to; None takes the package's own
        place. Bring them here where there is no internet.
    window : int
        Side of the square it reads at once, in pixels, a multiple of 32. Each is standardised
        by its own mean and deviation, so its makers advise large ones.

    Raises
    ------
    OptionError
        If ``nir`` or ``window`` is none of these.

    Notes
    -----
    The probability is one less that of clear sky, or of clear sky and what is not asked for.
    Where it is 0.5 or more the package may still find clear sky the likeliest of its four
    classes. Missing pixels arrive as 0, which the package takes as no data.

    References
    ----------
    .. [1] Wright, N., Duncan, J. M. A., Callow, J. N., Thompson, S. E., George, R. J. (2025).
       Training sensor-agnostic deep learning models for remote sensing: Achieving
       state-of-the-art cloud and cloud shadow identification with OmniCloudMask. *Remote
       Sensing of Environment* 322, 114694. doi:10.1016/j.rse.2025.114694
    """

    thin: bool = True
    shadow: bool = True
    nir: str = "nir08"
    model_folder: str | None = None
    window: int = 512

    threshold: ClassVar[float] = 0.5

    def __post_init__(self) -> None:
        if self.nir not in ("nir08", "nir"):
            raise OptionError(f"expected nir: 'nir08' or 'nir', got {self.nir!r}")
        if self.window < _SMALLEST_WINDOW or self.window % _WINDOW_STEP:
            raise OptionError(
                f"expected a window of {_SMALLEST_WINDOW} pixels or more, a multiple of "
                f"{_WINDOW_STEP}, got {self.window}"
            )

    @property
    def shadows(self) -> bool:
        """Whether it looks for cloud shadows."""
        return self.shadow

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself."""
        return ModelSpec(
            name="omnicloudmask",
            bands=("red", "green", self.nir),
            units="reflectance",
            window=self.window,
            halo=self.window // 16,
            overlap=self.window // 8,
            channels=1,
            activation_bytes=6000,
            packages=("torch", "omnicloudmask"),
            tasks=("cloud-detection",),
            architecture="U-Net",
            license="MIT",
            citation=(
                "Wright, N. et al. (2025). Training sensor-agnostic deep learning models for "
                "remote sensing: Achieving state-of-the-art cloud and cloud shadow "
                "identification with OmniCloudMask. Remote Sensing of Environment 322, 114694. "
                "doi:10.1016/j.rse.2025.114694"
            ),
        )

    def __call__(self, x: Any, /) -> Any:
        """Return the probability that a pixel is bad.

        Parameters
        ----------
        x : array, shape (sample, 3, y, x)
            Reflectance of red, green and near infrared, 0 where missing.

        Returns
        -------
        array, shape (sample, 1, y, x)
            float32, of the kind and on the device of ``x``.

        Raises
        ------
        DimensionError
            If ``x`` has another shape.
        """
        if x.ndim != 4 or x.shape[1] != len(self.spec.bands or ()):
            raise DimensionError(
                f"expected an array (sample, band, y, x) with the bands {self.spec.bands}, got "
                f"shape {tuple(x.shape)}. Try: select these bands in this order"
            )
        library = require("torch", purpose="run OmniCloudMask")
        with torch_runtime.inference():
            tensor = torch_runtime.as_tensor(x)
            host = tensor.float().cpu().numpy()
            made = [self._one(image, str(tensor.device)) for image in host]
            out = np.stack(made)[:, None] if made else np.zeros((0, 1, *x.shape[-2:]), np.float32)
            return torch_runtime.like(library.from_numpy(out).to(tensor.device), x)

    def _one(self, image: NDArray[np.float32], device: str) -> NDArray[np.float32]:
        package = require("omnicloudmask", purpose="find clouds with OmniCloudMask")
        # The package keeps the networks that it has loaded, and cuts no patches of its own
        # where the whole image is one.
        scores = package.predict_from_array(
            image,
            patch_size=min(image.shape[-2:]),
            patch_overlap=0,
            inference_device=device,
            export_confidence=True,
            no_data_value=0,
            apply_no_data_mask=False,
            destination_model_dir=self.model_folder,
        )
        clear, thick, thin, shadow = np.asarray(scores, np.float32)
        bad = thick + self.thin * thin + self.shadow * shadow
        # Its probabilities are clipped, and add up to a little more than 1; all are 0 where
        # there was nothing to see.
        total = clear + thick + thin + shadow
        found: NDArray[np.float32] = (bad / np.where(total > 0, total, 1)).astype(np.float32)
        return found

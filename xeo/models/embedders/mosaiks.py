"""Random convolutional features: no weights, any bands."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.errors import BandError, OptionError
from xeo.kernels.convolve import rectified_features
from xeo.kernels.namespace import namespace_of
from xeo.kernels.whitening import whiten_patches
from xeo.lazy import require
from xeo.models.torch_runtime import inference
from xeo.spec import ModelSpec


@dataclass(frozen=True)
class Filters:
    """A stack of filters that can be hashed, compared and pickled.

    Parameters
    ----------
    data : bytes
        Little-endian float32 in C order.
    shape : tuple of int
        ``(filter, band, side, side)``.
    """

    data: bytes = field(repr=False)
    shape: tuple[int, int, int, int]

    @property
    def array(self) -> NDArray[np.float32]:
        """The filters as a read-only array."""
        return np.frombuffer(self.data, "<f4").reshape(self.shape)


@dataclass(frozen=True)
class Mosaiks:
    """Random convolutional features after MOSAIKS.

    Each of ``features / 2`` random filters is convolved with the image; the positive and the
    negative part of its response are averaged over squares of ``stride`` pixels. A linear
    model on top of these vectors does well in many tasks.

    Any bands in any units will do, and no statistics are needed: without a bias the
    features are homogeneous, so that multiplying a cube by a number (reflectance to digital
    numbers, say) multiplies its vectors by it and changes nothing else. What matters is the
    scale of the bands among themselves: a band in decibels beside one in reflectance
    drowns it. Bring bands of different units to one scale first, or take `from_patches`.

    Missing pixels arrive as 0 and pull the averages of their square towards 0.

    Parameters
    ----------
    features : int
        Length of the vector, even: two for each filter. The first half is of the positive
        parts.
    patch : int
        Side of the filters, in pixels.
    stride : int
        Side of the squares of the average, in pixels.
    seed : int
        Of the Gaussian filters, which have mean 0 and variance ``1 / (band * patch**2)``.
        NumPy keeps the stream of this generator the same in all its releases.
    bias : float
        Subtracted from the responses and from their negatives before rectifying, in units
        of the cube. The paper's own runs use 0.
    patches : Filters, optional
        Filters to use in place of Gaussian ones; see `from_patches`.

    Raises
    ------
    OptionError
        If ``features`` is odd, a size is below 1, or ``patches`` have another size.

    References
    ----------
    .. [1] Rolf, E., Proctor, J., Carleton, T. et al. (2021). A generalizable and accessible
       approach to machine learning with global satellite imagery. *Nature Communications*
       12, 4392. doi:10.1038/s41467-021-24638-z

    Examples
    --------
    >>> Mosaiks(features=4, stride=2)(np.ones((1, 3, 8, 6), "f4")).shape
    (1, 4, 4, 3)
    """

    features: int = 256
    patch: int = 3
    stride: int = 8
    seed: int = 0
    bias: float = 0.0
    patches: Filters | None = None

    def __post_init__(self) -> None:
        if self.features < 2 or self.features % 2:
            raise OptionError(
                f"expected an even number of features, two for each filter, got {self.features}"
            )
        for word in ("patch", "stride"):
            if getattr(self, word) < 1:
                raise OptionError(f"expected {word} of 1 pixel or more, got {getattr(self, word)}")
        if not 0 <= self.seed < 2**32:
            raise OptionError(f"expected a seed from 0 to 4294967295, got {self.seed}")
        self._check_patches()

    def _check_patches(self) -> None:
        if self.patches is None:
            return
        count, _, *sides = self.patches.shape
        if (2 * count, sides) != (self.features, [self.patch, self.patch]):
            raise OptionError(
                f"expected {self.features // 2} filters of {self.patch} pixels a side, got "
                f"{self.patches.shape}. Try: Mosaiks.from_patches(patches)"
            )

    @classmethod
    def from_patches(
        cls,
        patches: Any,
        *,
        features: int | None = None,
        stride: int = 8,
        bias: float = 0.0,
        floor: float = 1e-3,
    ) -> Mosaiks:
        """Make filters of patches drawn from images, as the paper does.

        Each patch loses its mean, gets length 1 and is ZCA-whitened with the covariance of
        all patches, so that filters answer to structure rather than to brightness. The
        model then fits cubes of the same bands only. The filters travel in its pickle:
        ``2 * features * band * side**2`` bytes, 41 kB with 256 features and 9 bands.

        Parameters
        ----------
        patches : array, shape (n, band, side, side)
            Complete values in random order, as of `xeo.kernels.whitening.draw_patches`; many
            more than ``features / 2`` make a better covariance (the paper takes 100,000).
        features : int, optional
            Length of the vector; the first ``features / 2`` patches become filters. None
            takes all.
        stride, bias :
            As of the class.
        floor : float
            Added to the eigenvalues of the covariance of the patches, which have length 1.

        Raises
        ------
        DimensionError
            If ``patches`` is no stack of squares.
        OptionError
            If there are fewer than ``features / 2``, or a value is missing.
        """
        if not namespace_of(patches).isfinite(patches).all():
            raise OptionError("expected complete patches, got missing or infinite values")
        white = whiten_patches(patches, floor)
        features = 2 * len(white) if features is None else features
        if len(white) < features // 2:
            raise OptionError(
                f"expected {features // 2} patches for {features} features, got {len(white)}"
            )
        kept = white[: features // 2].astype("<f4")
        count, band, side, _ = kept.shape
        filters = Filters(kept.tobytes(), (count, band, side, side))
        return cls(2 * count, side, stride, bias=bias, patches=filters)

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself."""
        return ModelSpec(
            name="mosaiks",
            halo=self.patch // 2,
            stride=self.stride,
            channels=self.features,
            padding="edge",
            activation_bytes=256,
            architecture="random convolutional features",
            license="Apache-2.0",
            citation="Rolf et al. (2021), Nature Communications. doi:10.1038/s41467-021-24638-z",
        )

    def __call__(self, x: Any, /) -> Any:
        """Return ``(sample, features, y / stride, x / stride)`` of ``(sample, band, y, x)``."""
        xp = namespace_of(x)
        filters = self._filters(x.shape[1])
        if xp.__name__ == "torch":
            return _with_torch(x, filters, self.stride, self.bias)
        made = rectified_features(x, filters, self.stride, self.bias)
        return made.astype(np.float32, copy=False)

    def _filters(self, bands: int) -> NDArray[np.float32]:
        if self.patches is None:
            return _gaussian(self.seed, self.features // 2, bands, self.patch)
        if bands != self.patches.shape[1]:
            raise BandError(
                f"expected the {self.patches.shape[1]} bands that the patches were drawn from, "
                f"got {bands}"
            )
        return self.patches.array


@lru_cache(maxsize=32)
def _gaussian(seed: int, count: int, bands: int, side: int) -> NDArray[np.float32]:
    # RandomState is frozen: the newer generators may change their stream between releases.
    drawn = np.random.RandomState(seed).standard_normal((count, bands, side, side))
    filters: NDArray[np.float32] = (drawn / np.sqrt(bands * side * side)).astype(np.float32)
    filters.flags.writeable = False
    return filters


def _with_torch(x: Any, filters: NDArray[np.float32], stride: int, bias: float) -> Any:
    """Compute the features of a tensor where it lies.

    On a CPU the kernel is several times faster than this, so numpy arrays do not come here.
    """
    torch = require("torch", purpose="compute features of a tensor")
    functional, side = torch.nn.functional, filters.shape[-1]
    edges = ((side - 1) // 2, side // 2) * 2
    with inference():
        weight = torch.tensor(filters, device=x.device)
        padded = functional.pad(x.float(), edges, mode="replicate")
        response = functional.conv2d(padded, weight)
        parts = [functional.relu(sign * response - bias) for sign in (1, -1)]
        return torch.cat([functional.avg_pool2d(part, stride) for part in parts], 1)

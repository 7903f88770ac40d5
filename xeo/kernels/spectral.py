"""One rotation of the bands that leaves nothing alike in them, in steps that are whole numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Beyond so many bands bytes are too coarse for the rotation.
_FEW = 32


@dataclass(frozen=True)
class Rotation:
    """A Karhunen-Loeve transform over bands that decodes alike everywhere.

    What is stored is the way back, as whole numbers: their products with the whole numbers of a
    picture add up without rounding, in any order, on any machine.

    Parameters
    ----------
    back : array of int8 or int16, shape (component, band)
        Nearly orthogonal; the largest number of its type stands for 1.
    """

    back: NDArray[Any]

    @staticmethod
    def kind(bands: int) -> np.dtype[Any]:
        """Return the type of ``back`` for so many bands."""
        return np.dtype(np.int8 if bands <= _FEW else np.int16)

    @classmethod
    def of(cls, covariance: NDArray[np.float64]) -> Rotation:
        """Find the rotation for a covariance of bands.

        Parameters
        ----------
        covariance : array, shape (band, band)
            Symmetric.

        Returns
        -------
        Rotation
            Components by falling variance.

        References
        ----------
        .. [1] Ready, P. J. and Wintz, P. A. (1973). Information extraction, SNR improvement, and
           data compression in multispectral imagery. IEEE Transactions on Communications 21.
           doi:10.1109/TCOM.1973.1091550
        """
        vectors = np.asarray(np.linalg.eigh(covariance)[1], np.float64)
        forward = vectors.T[::-1]
        # The sign of an eigenvector is anyone's choice: the largest entry is positive.
        largest = np.abs(forward).argmax(1)
        signs = np.sign(forward[np.arange(len(forward)), largest])
        forward = np.multiply(forward, signs[:, None])
        kind = cls.kind(len(forward))
        return cls(np.rint(forward * np.iinfo(kind).max).astype(kind))

    @property
    def components(self) -> int:
        """How many there are."""
        return len(self.back)

    @property
    def unit(self) -> float:
        """What 1 in ``back`` stands for."""
        return 1 / float(np.iinfo(self.back.dtype).max)

    @property
    def forward(self) -> NDArray[np.float64]:
        """From bands to components, shape (component, band)."""
        return np.asarray(np.linalg.inv(self.back.T * self.unit), np.float64)

    @property
    def exact(self) -> np.dtype[Any]:
        """The floats in which products with 13-bit numbers add up exactly."""
        return np.dtype(np.float32 if self.back.dtype == np.int8 else np.float64)


def covariance(
    cube: NDArray[np.float32], valid: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Return how bands vary together within dates.

    Parameters
    ----------
    cube : array of float32, shape (T, B, Y, X)
        Of a size whose squares can be added.
    valid : array of bool, optional
        Pixels that a band lacks are left out.

    Returns
    -------
    array, shape (B, B)
        The mean of each date is removed first: it is coded apart.
    """
    bands = cube.shape[1]
    total = np.zeros((bands, bands))
    for number, date in enumerate(cube):
        flat = date.reshape(bands, -1)
        if valid is not None:
            flat = flat[:, valid[number].reshape(bands, -1).all(0)]
        if flat.shape[1]:
            centred = flat - flat.mean(1, keepdims=True, dtype=np.float64).astype(np.float32)
            total += centred @ centred.T
    return total

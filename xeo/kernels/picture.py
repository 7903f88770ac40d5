"""Numbers to colours: percentile stretch and principal components."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


def stretch(x: Floats, percentiles: tuple[float, float]) -> Floats:
    """Spread each channel between two percentiles over 0 to 1, alike for all dates.

    The ends are the lower quartile, over dates, of each date's percentiles: cloudy dates among
    clear ones would else leave the land black.

    Parameters
    ----------
    x : array, shape (date, ..., channel)
        NaN is missing.
    percentiles : (float, float)
        Of the finite values of a channel and date, 0 to 100; they become 0 and 1.

    Returns
    -------
    array, shape (date, ..., channel)
        NaN where ``x`` is not finite. A channel of one value becomes 0.
    """
    return spread(x, stretch_ends(x, percentiles))


def stretch_ends(x: Floats, percentiles: tuple[float, float]) -> Floats:
    """Return what `stretch` makes 0 and 1 of each channel.

    Parameters
    ----------
    x, percentiles :
        As for `stretch`.

    Returns
    -------
    array, shape (channel, 2)
        NaN for a channel without finite values.
    """
    flat = x.reshape(len(x), -1, x.shape[-1])
    out = np.full((x.shape[-1], 2), np.nan, np.float64)
    for i in range(x.shape[-1]):
        good = np.isfinite(flat[..., i])
        ends = [
            np.percentile(one[fine], percentiles)
            for one, fine in zip(flat[..., i], good, strict=True)
            if fine.any()
        ]
        if ends:
            out[i] = np.quantile(ends, 0.25, axis=0)
    return out


def spread(x: Floats, ends: Floats) -> Floats:
    """Spread channels between two ends over 0 to 1.

    Parameters
    ----------
    x : array, shape (..., channel)
        NaN is missing.
    ends : array, shape (channel, 2)
        As `stretch_ends` returns them.

    Returns
    -------
    array, shape (..., channel)
        NaN where ``x`` is not finite. A channel of one value becomes 0.
    """
    out = np.full(x.shape, np.nan, np.float32)
    for i, (low, high) in enumerate(ends):
        good = np.isfinite(x[..., i])
        if np.isfinite(low):
            scaled = (x[..., i][good] - low) / (high - low if high > low else 1.0)
            out[..., i][good] = np.clip(scaled, 0, 1)
    return out


def principal_components(
    x: Floats, count: int, sample: int = 50_000
) -> tuple[Floats, Floats, Floats]:
    """Project vectors on the directions in which they differ most.

    Parameters
    ----------
    x : array, shape (..., channel)
        A vector with a value that is not finite is missing.
    count : int
        Number of components, at most the number of channels.
    sample : int
        Directions are found from at most so many vectors, evenly spaced among the valid ones.

    Returns
    -------
    projected : array, shape (..., count)
        NaN where a vector is missing.
    axes : array, shape (count, channel)
        Unit vectors. The entry of the largest size is positive in each, so that the same
        vectors always get the same colours.
    mean : array, shape (channel,)
    """
    flat = x.reshape(-1, x.shape[-1])
    valid = np.flatnonzero(np.isfinite(flat).all(axis=1))
    out = np.full((len(flat), count), np.nan, np.float32)
    if not valid.size:
        return out.reshape(*x.shape[:-1], count), np.eye(count, x.shape[-1]), np.zeros(x.shape[-1])
    few = flat[valid[:: -(-valid.size // sample)]].astype(np.float64)
    mean = few.mean(axis=0)
    _, _, rows = np.linalg.svd(few - mean, full_matrices=few.shape[0] < few.shape[1])
    axes = rows[:count]
    axes *= np.sign(np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1))
    out[valid] = (flat[valid] - mean) @ axes.T
    return out.reshape(*x.shape[:-1], count), axes, mean

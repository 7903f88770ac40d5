"""How well decoded cubes match their originals: figures of blocks that add up.

Every figure is a sum, a count or an extreme, so that blocks measured one by one, in any order,
give what the whole cube would.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.errors import DimensionError, OptionError
from xeo.kernels.similarity import WINDOW, Angles, similarity

#: Bins of the histogram of errors on either side of zero.
SIDE = 64
#: Values that are worked on at once: their temporaries stay in the second cache.
_TILE = 32_768
#: Finer steps of a histogram than this are not told apart.
_FINEST = -1000

Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Fidelity:
    """Sums, counts and extremes of errors (decoded less original), per date and band.

    Arrays have the shape (date, band) where nothing else is said. Adding two of the same shape
    joins figures of different places; `place` puts figures among more dates or bands first.

    Parameters
    ----------
    count : array of int64
        Values compared: those that are not missing in the original.
    total, squares : array of float64
        Sums of errors and of their squares.
    largest : array of float64
        Largest absolute error; infinite where a value came back as none.
    relative : array of float64
        Largest error in parts of the absolute original value; 0 where not measured.
    lowest, highest : array of float64
        Range of the original; inf and -inf where nothing was compared.
    missing, wrong : array of int64
        Missing values (NaN, infinite, nodata), and how many of them did not come back to the bit,
        or came where there were none.
    similarity, windows : array of float64, int64
        Sum of the structural similarity, and over how many windows.
    angle, pixels : array of float64, int64, shape (date,)
        Sum of the spectral angle in radians, and over how many pixels.
    histogram : array of int64, shape (band, 2 * SIDE)
        Counts of errors (relative ones where those were asked for); bin i of a band holds those
        from ``(i - SIDE) * 2 ** step`` to below ``(i - SIDE + 1) * 2 ** step``.
    step : array of int64, shape (band,)
        Powers of two, so that histograms of different steps can be added.
    kept : Fidelity, optional
        The same without the pixels that were ignored, where some were.
    """

    count: Counts
    total: Numbers
    squares: Numbers
    largest: Numbers
    relative: Numbers
    lowest: Numbers
    highest: Numbers
    missing: Counts
    wrong: Counts
    similarity: Numbers
    windows: Counts
    angle: Numbers
    pixels: Counts
    histogram: Counts
    step: Counts
    kept: Fidelity | None = None

    @classmethod
    def empty(cls, dates: int, bands: int, *, ignoring: bool = False) -> Fidelity:
        """Return the figures of nothing, to which those of blocks can be added."""
        shape = (dates, bands)

        def none() -> Counts:
            return np.zeros(shape, np.int64)

        def nil() -> Numbers:
            return np.zeros(shape)

        return cls(
            count=none(), total=nil(), squares=nil(), largest=nil(), relative=nil(),
            lowest=np.full(shape, np.inf), highest=np.full(shape, -np.inf),
            missing=none(), wrong=none(), similarity=nil(), windows=none(),
            angle=np.zeros(dates), pixels=np.zeros(dates, np.int64),
            histogram=np.zeros((bands, 2 * SIDE), np.int64),
            step=np.full(bands, _FINEST, np.int64),
            kept=cls.empty(dates, bands) if ignoring else None,
        )  # fmt: skip

    @property
    def shape(self) -> tuple[int, int]:
        """Number of dates and of bands."""
        dates, bands = self.count.shape
        return dates, bands

    def __add__(self, other: Fidelity) -> Fidelity:
        """Join the figures of two blocks of the same dates and bands."""
        if self.shape != other.shape:
            raise DimensionError(
                f"expected figures of {self.shape} dates and bands to add, got {other.shape}. "
                "Try: place(...) first"
            )
        made: dict[str, Any] = {
            field.name: _JOIN.get(field.name, np.add)(
                getattr(self, field.name), getattr(other, field.name)
            )
            for field in fields(self)
            if field.name not in ("histogram", "step", "kept")
        }
        made["step"] = np.maximum(self.step, other.step)
        made["histogram"] = sum(
            _coarsen(one.histogram, made["step"] - one.step) for one in (self, other)
        )
        if self.kept is not None or other.kept is not None:
            # What nobody ignored is kept whole.
            made["kept"] = _bare(self.kept or self) + _bare(other.kept or other)
        return Fidelity(**made)

    def place(
        self, dates: slice, total: int, bands: slice | None = None, total_bands: int | None = None
    ) -> Fidelity:
        """Return the figures as part of more dates, or of more bands.

        Parameters
        ----------
        dates, bands : slice
            Where these are among all; None for ``bands`` if these are all bands.
        total, total_bands : int
            How many there are in all.

        Returns
        -------
        Fidelity
        """
        at_band = slice(None) if bands is None else bands
        empty = Fidelity.empty(total, self.shape[1] if total_bands is None else total_bands)
        for field in fields(self):
            target, values = getattr(empty, field.name), getattr(self, field.name)
            if field.name in ("histogram", "step"):
                target[at_band] = values
            elif field.name in ("angle", "pixels"):
                target[dates] = values
            elif field.name != "kept":
                target[dates, at_band] = values
        if self.kept is None:
            return empty
        return _with(empty, self.kept.place(dates, total, bands, total_bands))

    def bias(self, by: str | None = None) -> Numbers:
        """Return the mean error; ``by`` as for `rmse`."""
        return _ratio(_over(self.total, by), _over(self.count, by))

    def rmse(self, by: str | None = None) -> Numbers:
        """Return the root of the mean squared error.

        Parameters
        ----------
        by : {"date", "band", "both"}, optional
            What to tell apart; None for one figure of all.

        Returns
        -------
        array
            NaN where nothing was compared.
        """
        return np.sqrt(_ratio(_over(self.squares, by), _over(self.count, by)))

    def psnr(self, peak: float | Sequence[float], by: str | None = None) -> Numbers:
        """Return the ratio of the peak to `rmse` in decibels; infinite without errors.

        Parameters
        ----------
        peak : float or sequence of float
            In the units of the values, for all bands or for each.
        by : {"date", "band", "both"}, optional
            As for `rmse`.

        Returns
        -------
        array
        """
        squares = self.squares / np.square(np.asarray(peak, float))
        mean = _ratio(_over(squares, by), _over(self.count, by))
        with np.errstate(divide="ignore"):
            return np.asarray(-10 * np.log10(mean))

    def max_error(self, by: str | None = None) -> Numbers:
        """Return the largest absolute error; ``by`` as for `rmse`."""
        return np.asarray(self.largest.max(axis=_axes(by), initial=0))

    def max_relative(self, by: str | None = None) -> Numbers:
        """Return the largest relative error; ``by`` as for `rmse`."""
        return np.asarray(self.relative.max(axis=_axes(by), initial=0))

    def ssim(self, by: str | None = None) -> Numbers:
        """Return the mean structural similarity, NaN where there is none; as for `rmse`."""
        return _ratio(_over(self.similarity, by), _over(self.windows, by))

    def spectral_angle(self, by: str | None = None) -> Numbers:
        """Return the mean spectral angle in radians, of all or by ``"date"``; NaN without one."""
        if by not in (None, "date"):
            raise OptionError(f"expected by=None or 'date' for angles over bands, got {by!r}")
        axis = 0 if by is None else ()
        return _ratio(self.angle.sum(axis=axis), self.pixels.sum(axis=axis))

    def distribution(self) -> tuple[Numbers, Counts]:
        """Return the histogram of errors of all bands together.

        Returns
        -------
        edges : array, shape (2 * SIDE + 1,)
            Of bins: lower edges, and the end of the last.
        counts : array, shape (2 * SIDE,)
        """
        step = int(self.step.max(initial=_FINEST))
        counts = _coarsen(self.histogram, step - self.step).sum(axis=0)
        edges: Numbers = np.arange(-SIDE, SIDE + 1, dtype=np.float64) * 2.0**step
        return edges, np.asarray(counts)

    def exact_missing(self) -> bool:
        """Tell whether all missing values, and no others, came back to the bit."""
        return not self.wrong.any()


_JOIN = {
    "largest": np.maximum,
    "relative": np.maximum,
    "lowest": np.minimum,
    "highest": np.maximum,
}


def _bare(one: Fidelity) -> Fidelity:
    return _with(one, None)


def _with(one: Fidelity, kept: Fidelity | None) -> Fidelity:
    return Fidelity(**{**{f.name: getattr(one, f.name) for f in fields(one)}, "kept": kept})


def _axes(by: str | None) -> Any:
    known: dict[str | None, Any] = {None: None, "date": 1, "band": 0, "both": ()}
    if by not in known:
        raise OptionError(f"expected by to be one of {list(known)}, got {by!r}")
    return known[by]


def _over(values: NDArray[Any], by: str | None) -> NDArray[Any]:
    return np.asarray(values.sum(axis=_axes(by)))


def _ratio(total: NDArray[Any], count: NDArray[Any]) -> Numbers:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _coarsen(histogram: Counts, shifts: Counts) -> Counts:
    """Double the steps of histograms so many times."""
    out = np.zeros_like(histogram)
    bins = np.arange(-SIDE, SIDE)
    for band, shift in enumerate(shifts):
        if shift == 0:
            out[band] = histogram[band]
        else:
            # Shifting rounds down, as the edges of bins want it.
            np.add.at(out[band], (bins >> min(int(shift), 62)) + SIDE, histogram[band])
    return out


def measure(
    original: NDArray[Any],
    decoded: NDArray[Any],
    *,
    nodata: Sequence[float] = (),
    ignored: NDArray[np.bool_] | None = None,
    relative: bool = False,
    peak: float | Sequence[float] | None = None,
    offset: float | Sequence[float] = 0.0,
) -> Fidelity:
    """Compare a cube with what became of it.

    Parameters
    ----------
    original, decoded : array, shape (date, band, Y, X)
        Booleans, integers or floats, of one dtype.
    nodata : sequence of float
        Values that stand for "nothing here", beside NaN and infinities, which always do. They
        must come back to the bit, and count nowhere else.
    ignored : array of bool, optional
        True for pixels without worth, of a shape that broadcasts to that of the cubes. Figures
        without them are in ``kept``.
    relative : bool
        Whether errors in parts of the value matter: the largest is measured, and the histogram
        is of them.
    peak : float or sequence of float, optional
        What structural similarity takes as the range of values, for all bands or for each; None
        leaves it out.
    offset : float or sequence of float
        Added to the values before spectral angles are taken, which need a true zero.

    Returns
    -------
    Fidelity

    Raises
    ------
    DimensionError
        If the arrays are not cubes of one shape and dtype.
    OptionError
        If ``peak`` is not positive.

    References
    ----------
    .. [1] Wang, Z. et al. (2004). Image quality assessment: from error visibility to structural
       similarity. IEEE Transactions on Image Processing 13. doi:10.1109/TIP.2003.819861
       (here with 7 x 7 windows of equal weights and unbiased variances, those only that lie
       within the block and have no missing pixel)
    .. [2] Kruse, F. A. et al. (1993). The spectral image processing system (SIPS). Remote
       Sensing of Environment 44. doi:10.1016/0034-4257(93)90013-N
    """
    _check(original, decoded, peak)
    dates, bands = original.shape[:2]
    task = _Task(tuple(nodata), relative, _per_band(peak, bands), _per_band(offset, bands))
    everything = Fidelity.empty(dates, bands)
    kept = None if ignored is None else Fidelity.empty(dates, bands)
    shape = original.shape
    tiles = list(_tiles(*shape[2:]))
    # Decoded numbers may be anything: figures become infinite, nothing else happens.
    with np.errstate(over="ignore", invalid="ignore"):
        for date, (start, stop, reach) in product(range(dates), tiles):
            pair = [_native(one[date, :, start:reach]) for one in (original, decoded)]
            task.add(everything, date, pair, stop - start, None)
            if kept is not None and ignored is not None:
                mask = np.broadcast_to(ignored, shape)[date, :, start:reach]
                task.add(kept, date, pair, stop - start, mask)
    return everything if kept is None else _with(everything, kept)


@dataclass(frozen=True)
class _Task:
    """What to measure, and how."""

    nodata: tuple[float, ...]
    relative: bool
    peak: list[float] | None
    offset: list[float]

    def add(
        self, into: Fidelity, date: int, pair: list[NDArray[Any]], own: int, ignored: Any
    ) -> None:
        """Add the figures of some rows of a date; those beyond ``own`` are for windows only."""
        angles = Angles((own, pair[0].shape[2]))
        for band, (x, y) in enumerate(zip(*pair, strict=True)):
            missing, lost = _missing(x, self.nodata), _missing(y, self.nodata)
            bad = missing
            if ignored is not None:
                bad = ignored[band] if missing is None else missing | ignored[band]
                lost = None if lost is None else lost & ~ignored[band]
                missing = None if missing is None else missing & ~ignored[band]
            if missing is not None or lost is not None:
                none, wrong = _compare_missing(x[:own], y[:own], missing, lost)
                into.missing[date, band] += none
                into.wrong[date, band] += wrong
            error = _errors(x, y)
            inside = None if bad is None else bad[:own]
            self._add_errors(into, (date, band), x[:own], error[:own], inside)
            if self.peak is not None:
                total, windows = similarity(x, error, bad, self.peak[band])
                into.similarity[date, band] += total
                into.windows[date, band] += windows
            if len(pair[0]) > 1:
                shifted = x[:own].astype(np.float64)
                shifted += self.offset[band]
                angles.add(shifted, error[:own], inside)
        if len(pair[0]) > 1:
            angle, pixels = angles.total()
            into.angle[date] += angle
            into.pixels[date] += pixels

    def _add_errors(
        self, into: Fidelity, at: tuple[int, int], x: NDArray[Any], e: Numbers, bad: Any
    ) -> None:
        if bad is not None:
            x, e = x[~bad], e[~bad]
        if not x.size:
            return
        e = e.ravel()
        ends = float(e.min()), float(e.max())
        if not math.isfinite(ends[0] + ends[1]):
            e = np.where(np.isfinite(e), e, np.inf)
            ends = float(e.min()), float(e.max())
        largest = max(ends[1], -ends[0])
        into.count[at] += x.size
        into.total[at] += e.sum()
        into.squares[at] += e @ e
        into.largest[at] = max(into.largest[at], largest)
        into.lowest[at] = min(into.lowest[at], float(x.min()))
        into.highest[at] = max(into.highest[at], float(x.max()))
        if self.relative:
            size = np.abs(x.ravel().astype(np.float64))
            share = np.divide(e, size, out=np.where(e == 0, 0.0, np.inf), where=size > 0)
            largest = _largest_share(np.abs(share), np.abs(e), size)
            into.relative[at] = max(into.relative[at], largest)
            e = share
        whole = x.dtype.kind in "iu" and not self.relative
        # Errors of whole numbers are whole.
        _tally(into, at[1], e, largest, 0 if whole else _FINEST)


def _largest_share(share: Numbers, e: Numbers, size: Numbers) -> float:
    """Return the least bound that all errors keep, where ``e <= bound * size`` is computed.

    Quotients are rounded, and may be above a bound that the product keeps.
    """
    largest = float(share.max())
    if not 0 < largest < math.inf:
        return largest
    near = share >= largest * (1 - 1e-15)
    e, size, share = e[near], size[near], share[near]
    tried = [np.nextafter(share, 0), share, np.nextafter(share, np.inf)]
    kept = [one * size >= e for one in tried]
    return float(np.select(kept, tried, largest).max())


def _tally(into: Fidelity, band: int, e: Numbers, largest: float, finest: int) -> None:
    """Count errors into the histogram of a band, whose steps grow if they must."""
    if largest == 0:
        into.histogram[band, SIDE] += e.size
        return
    if not math.isfinite(largest):
        largest = float(np.abs(e[np.isfinite(e)]).max(initial=0))
    # Below this power of two lie all errors, and SIDE steps reach as far.
    step = max(finest, math.frexp(largest)[1] - SIDE.bit_length() + 1)
    if step > into.step[band]:
        shift = np.array([step - into.step[band]])
        into.histogram[band] = _coarsen(into.histogram[band : band + 1], shift)[0]
        into.step[band] = step
    at = e * 2.0 ** -int(into.step[band])
    np.floor(at, out=at)
    at += SIDE
    # Infinite errors are counted among the largest.
    np.minimum(at, 2 * SIDE - 1, out=at)
    into.histogram[band] += np.bincount(at.astype(np.intp), minlength=2 * SIDE)


def _missing(x: NDArray[Any], nodata: tuple[float, ...]) -> Any:
    """Return where values stand for nothing, or None where they all count."""
    bad = None
    if x.dtype.kind == "f":
        fine = np.isfinite(x)
        bad = None if fine.all() else ~fine
    for value in nodata:
        as_stored = _fitting(value, x.dtype)
        if as_stored is None:
            continue
        alike = x == as_stored
        if bad is not None:
            bad |= alike
        elif alike.any():
            bad = alike
    return bad


def _fitting(value: float, dtype: np.dtype[Any]) -> Any:
    """Return a value in a dtype, or None if it has no such value."""
    if not math.isfinite(value):
        return None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return dtype.type(value)
    try:
        stored = dtype.type(int(value))
    except OverflowError:
        return None
    return stored if stored == value else None


def _compare_missing(x: NDArray[Any], y: NDArray[Any], missing: Any, lost: Any) -> tuple[int, int]:
    """Count missing values, and those that differ in any bit or came where none were."""
    gone = np.zeros(x.shape, bool) if missing is None else missing[: len(x)]
    wrong = gone & (_bits(x) != _bits(y))
    if lost is not None:
        wrong |= lost[: len(x)] & ~gone
    return int(gone.sum()), int(wrong.sum())


def _bits(x: NDArray[Any]) -> NDArray[Any]:
    return x.view(f"u{x.dtype.itemsize}")


def _errors(x: NDArray[Any], y: NDArray[Any]) -> Numbers:
    """Return decoded less original in float64, exact for all but the largest numbers."""
    if x.dtype.kind in "iu" and x.dtype.itemsize == 8:
        # As floats two of these may look alike. Differences wrap around to the right number.
        more = y > x
        gap = np.where(more, _bits(y) - _bits(x), _bits(x) - _bits(y)).astype(np.float64)
        return np.asarray(np.where(more, gap, -gap))
    out = np.empty(x.shape)
    np.subtract(y, x, out=out, dtype=np.float64)
    return out


def _native(x: NDArray[Any]) -> NDArray[Any]:
    if x.dtype.kind == "b":
        return x.view(np.uint8)
    return x.astype(x.dtype.newbyteorder("="), copy=False)


def _tiles(ny: int, nx: int) -> Iterator[tuple[int, int, int]]:
    """Cut rows: where each tile starts and stops, and how far its windows reach."""
    rows = max(4 * WINDOW, _TILE // max(nx, 1))
    for start in range(0, ny, rows):
        stop = min(start + rows, ny)
        yield start, stop, min(stop + WINDOW - 1, ny)


def _per_band(value: Any, bands: int) -> Any:
    return None if value is None else np.broadcast_to(np.asarray(value, float), bands).tolist()


def _check(original: NDArray[Any], decoded: NDArray[Any], peak: Any) -> None:
    same = original.shape == decoded.shape and original.dtype == decoded.dtype
    if original.ndim != 4 or not same:
        raise DimensionError(
            "expected two cubes (date, band, y, x) of one shape and dtype, got "
            f"{original.shape} {original.dtype} and {decoded.shape} {decoded.dtype}"
        )
    if peak is not None and not np.all(np.asarray(peak, float) > 0):
        raise OptionError(f"expected a peak above zero, got {peak}")

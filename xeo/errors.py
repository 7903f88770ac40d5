"""Everything that xeo raises or warns.

Each class descends from :class:`XeoError` and from the builtin that a caller who does not
know xeo would catch.
"""

from __future__ import annotations


class XeoError(Exception):
    """Base class of all errors of xeo."""


class XeoWarning(UserWarning):
    """Base class of all warnings of xeo."""


class DimensionError(XeoError, ValueError):
    """Dimensions, sizes, chunks or coordinates do not fit the work."""


class BandError(XeoError, ValueError):
    """Spectral bands are missing, doubled or cannot be told apart."""


class UnitsError(XeoError, ValueError):
    """Units, scale or offset of the values are not known or do not fit."""


class DateError(XeoError, ValueError):
    """Dates are missing, doubled, unsorted or of the wrong kind."""


class GridError(XeoError, ValueError):
    """Coordinates, CRS or GeoTransform are missing or do not fit together."""


class OptionError(XeoError, ValueError):
    """An argument has a value that cannot be used."""


class UnknownNameError(XeoError, LookupError):
    """A registered name was asked for that nobody registered."""


class ModelError(XeoError, RuntimeError):
    """A model broke its own contract, or cannot be used as asked."""


class WeightsError(XeoError, OSError):
    """A file of weights is missing, damaged, unsafe or of another model."""


class StoreError(XeoError, OSError):
    """A store cannot be read or written."""


class CodecError(XeoError, ValueError):
    """The bytes of a chunk are damaged, or not of the codec that reads them."""


class MissingDependencyError(XeoError, ImportError):
    """An optional package is needed and not installed."""

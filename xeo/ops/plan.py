"""The verb ``plan``: how a lazy result will be made."""

from __future__ import annotations

import xarray as xr

from xeo.engine import lazy
from xeo.engine.plan import Plan
from xeo.errors import OptionError


def plan(obj: xr.DataArray | xr.Dataset) -> Plan:
    """Tell how a lazy result of xeo will be made: blocks, windows, reads, memory.

    Parameters
    ----------
    obj : DataArray or Dataset
        What `xeo.embed` or `xeo.classify` returned, as it came.

    Returns
    -------
    Plan
        ``print`` shows it, and so does its method ``explain``. It is as small for a million
        chunks as for one.

    Raises
    ------
    OptionError
        If ``obj`` is in memory, is not of xeo, or was changed since.

    Examples
    --------
    >>> made = xeo.simulate_cube(dates=2, size=32).chunk().eo.embed("band_stats")
    >>> print(made.eo.plan())  # doctest: +ELLIPSIS
    band_stats: 2 x 20 x 8 x 8 float32, ...
    """
    arrays = obj.data_vars.values() if isinstance(obj, xr.Dataset) else (obj,)
    for one in arrays:
        found = lazy.plan_of(one.variable._data)
        if found is not None:
            return found
    raise OptionError(
        "expected a lazy result of xeo.embed or xeo.classify, as it came, to tell its plan, got "
        f"a {type(obj).__name__} that is in memory, of another maker, or changed since. "
        "Try: embed(..., explain=True)"
    )

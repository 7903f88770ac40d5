"""``.eo`` on DataArray, Dataset and DataTree: the verbs, bound."""

from __future__ import annotations

import xarray as xr

from xeo import ops
from xeo.accessors.bind import bind
from xeo.accessors.plot import PlotAccessor


class _Accessor:
    """Holds the object, and nothing else."""

    def __init__(self, obj: xr.DataArray | xr.Dataset | xr.DataTree) -> None:
        self._obj = obj


@xr.register_dataarray_accessor("eo")
class DataArrayAccessor(_Accessor):
    """Earth-observation verbs of a DataArray."""

    embed = bind(xr.DataArray, ops.embed)
    classify = bind(xr.DataArray, ops.classify)
    cloud_mask = bind(xr.DataArray, ops.cloud_mask)
    remove_clouds = bind(xr.DataArray, ops.remove_clouds)
    evaluate_gap_filling = bind(xr.DataArray, ops.evaluate_gap_filling)
    index = bind(xr.DataArray, ops.index)
    composite = bind(xr.DataArray, ops.composite)
    dequantize = bind(xr.DataArray, ops.dequantize)
    draw_patches = bind(xr.DataArray, ops.draw_patches)
    to_video = bind(xr.DataArray, ops.to_video)
    to_xarrayvideo = bind(xr.DataArray, ops.to_xarrayvideo)
    write = bind(xr.DataArray, ops.write)
    plan = bind(xr.DataArray, ops.plan)
    compress = bind(xr.DataArray, ops.compress)
    encoding = bind(xr.DataArray, ops.encoding)

    @property
    def plot(self) -> PlotAccessor:
        """Pictures."""
        return PlotAccessor(self._obj)


@xr.register_dataset_accessor("eo")
class DatasetAccessor(_Accessor):
    """Earth-observation verbs of a Dataset."""

    embed = bind(xr.Dataset, ops.embed)
    classify = bind(xr.Dataset, ops.classify)
    cloud_mask = bind(xr.Dataset, ops.cloud_mask)
    remove_clouds = bind(xr.Dataset, ops.remove_clouds)
    evaluate_gap_filling = bind(xr.Dataset, ops.evaluate_gap_filling)
    index = bind(xr.Dataset, ops.index)
    composite = bind(xr.Dataset, ops.composite)
    draw_patches = bind(xr.Dataset, ops.draw_patches)
    compress = bind(xr.Dataset, ops.compress)
    encoding = bind(xr.Dataset, ops.encoding)
    unstack_bands = bind(xr.Dataset, ops.unstack_bands)
    to_video = bind(xr.Dataset, ops.to_video)
    write = bind(xr.Dataset, ops.write)
    plan = bind(xr.Dataset, ops.plan)
    to_xarrayvideo = bind(xr.Dataset, ops.to_xarrayvideo)

    @property
    def plot(self) -> PlotAccessor:
        """Pictures."""
        return PlotAccessor(self._obj)


@xr.register_datatree_accessor("eo")
class DataTreeAccessor(_Accessor):
    """Earth-observation verbs of a DataTree: one node for each modality."""

    embed = bind(xr.DataTree, ops.embed)
    classify = bind(xr.DataTree, ops.classify)

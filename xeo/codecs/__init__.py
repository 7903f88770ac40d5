"""Zarr codecs for cubes, one file each: lossy video, bounded error, lossless."""

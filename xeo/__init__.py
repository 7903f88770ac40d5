"""Earth-observation models on xarray data cubes, chunk by chunk."""

"""Foreign archives, each opened by a backend of xarray."""

"""Models: one file each, registered by entry points."""

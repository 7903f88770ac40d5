"""``.eo`` and ``.eo.plot``: importing this package registers them."""

from xeo.accessors import eo

__all__ = ["eo"]

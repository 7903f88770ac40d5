"""Sphinx settings. The build needs no network."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed
from pathlib import Path

import sphinx_autosummary_accessors

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from _generate import write_pages  # noqa: E402

from xeo.accessors.eo import DataArrayAccessor, DatasetAccessor  # noqa: E402
from xeo.accessors.plot import PlotAccessor  # noqa: E402

project = "xeo"
author = "The xeo developers"
copyright = "2026, The xeo developers"
release = version = installed("xarray-eo")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_nb",
    "sphinx_autosummary_accessors",
]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
templates_path = ["_templates", sphinx_autosummary_accessors.templates_path]
exclude_patterns = ["_build", "jupyter_execute", "**.ipynb_checkpoints"]
default_role = "autolink"
nitpicky = False

# Notebooks are executed by pytest, not here.
nb_execution_mode = "off"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 2

autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

html_theme = "pydata_sphinx_theme"
html_title = "xeo"
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "xeo"},
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
}

write_pages(HERE)

# Autosummary follows classes; in the code a property puts off what pictures need.
for accessor in (DataArrayAccessor, DatasetAccessor):
    accessor.plot = PlotAccessor

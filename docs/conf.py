"""How the site is built: `make docs`, strictly and without a network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import qnewton

project = "qnewton"
author = "the authors of qnewton"
version = release = qnewton.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    # Ours, in _ext.
    "commands",
    "docstrings",
    "explorer",
    "mathml",
    "queries",
]
exclude_patterns = ["_ext"]

# Every cross-reference that leads nowhere is an error: names of ours must be on a page, and links must have a target.
nitpicky = True
# Foreign names are not looked up, since the build needs no network, and type variables are nowhere.
nitpick_ignore_regex = [
    ("py:.*", r"(?!qnewton\b).*"),
    # Inside of the package: what annotations name, but nobody is meant to import.
    ("py:.*", r"qnewton\.(\w+\.)+_?\w+"),
]

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

highlight_language = "none"  # of a block that does not say

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # what a method does in general is said once, at its abstract class
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_maximum_signature_line_length = 100
python_use_unqualified_type_names = True
add_module_names = False

html_theme = "furo"
html_title = f"qnewton {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False

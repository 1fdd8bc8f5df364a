"""Sphinx builds the docs from Markdown (MyST) and from the docstrings of src/."""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from semiseg._version import __version__

project = "semiseg"
author = "The semiseg authors"
version = release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "gallery/nuclei", "gallery/runs"]
nb_execution_mode = "off"  # the notebooks hold what docs/notebooks.py printed
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["gallery.css"]
html_title = f"semiseg {release}"

myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
# Attributes stay in their class's list, or each NamedTuple field would be described twice.
napoleon_use_ivar = True
# Docstrings write code in single backticks.
default_role = "literal"


def _fences_to_blocks(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Turn the ``` fences of docstrings, such as a drawn folder tree, into literal blocks."""
    result: list[str] = []
    fenced = False
    for line in lines:
        if line.strip().startswith("```"):
            fenced = not fenced
            result += ["", "::", ""] if fenced else [""]
        else:
            result.append(f"    {line}" if fenced else line)
    lines[:] = result


def _skip_fields(
    app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object
) -> bool | None:
    """Leave out the fields of NamedTuples: the class docstring describes them."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def setup(app: Sphinx) -> None:
    """Register the two handlers; Sphinx calls this."""
    app.connect("autodoc-process-docstring", _fences_to_blocks)
    app.connect("autodoc-skip-member", _skip_fields)

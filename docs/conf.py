"""Build the documentation: `python -m sphinx -W docs docs/_build`.

Every page is executed. A warning is an error, a page that fails is an error, and so is
a public name without a docstring, its shapes, or an example that runs.
"""

import importlib.metadata
import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

import jlogreg
import jlogreg.estimators
import jlogreg.plots
import jlogreg.tables
import jlogreg.testing

sys.path.insert(0, str(Path(__file__).parent))
import public_names

project = "jlogreg"
author = copyright = "the authors of jlogreg"
release = version = importlib.metadata.version("jlogreg")
extensions = [
    "mathml",
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "jupyter_execute"]
default_role = "py:obj"  # `fit` in a docstring is a link

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_execution_show_tb = True
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the shapes are in the text, and jaxtyping's are long
napoleon_numpy_docstring = False

html_math_renderer = "mathml"
html_theme = "furo"
html_title = "jlogreg"
html_static_path = ["_static"]
html_css_files = ["figures.css"]
html_copy_source = False


def read_docstring(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Keep |z| from being read as a substitution, and link to the derivation."""
    derivation = ":doc:`the derivation </derivation>`"
    lines[:] = [
        line.replace("|", r"\|").replace("docs/derivation.md", derivation)
        for line in lines
    ]


def check_public_names(app: Sphinx) -> None:
    """Warn of each public name that is not documented, with shapes and an example."""
    logger = logging.getLogger(__name__)
    edges = (jlogreg.estimators, jlogreg.plots, jlogreg.tables, jlogreg.testing)
    modules = (jlogreg, *edges)
    for module in modules:
        for fault in public_names.faults(module):
            logger.warning(fault)


def setup(app: Sphinx) -> None:
    """Hang the checks of this project into the build."""
    app.connect("autodoc-process-docstring", read_docstring)
    app.connect("builder-inited", check_public_names)

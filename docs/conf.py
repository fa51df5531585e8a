"""Build the documentation: `python -m sphinx -W -j 2 docs docs/_build`.

Every page is executed, each by a process of its own. A warning is an error, and so is
a page that fails.
"""

import importlib.metadata
import os
import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))

# Most of the time of a page goes into compiling programs that run once. Without LLVM's
# optimization that takes a third. Pages that print times ask for the usual programs.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false",
)
# The debugger of the kernels warns of Python's frozen modules, and there is none.
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")

project = "jlogreg"
author = copyright = "the authors of jlogreg"
release = version = importlib.metadata.version("jlogreg")
extensions = [
    "mathml",
    "myst_nb",
    "notebooks",
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
html_title = f"jlogreg {version}"
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


def setup(app: Sphinx) -> None:
    """Read docstrings as above."""
    app.connect("autodoc-process-docstring", read_docstring)

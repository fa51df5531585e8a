"""Write every page with code as a notebook beside it, and a link to that below it."""

from pathlib import Path
from typing import Any

import nbformat
from myst_nb.core.read import read_myst_markdown_notebook
from sphinx.application import Sphinx

LINK = '<p><a href="{0}" download="{0}">This page as a notebook</a></p>'


def write_notebook(
    app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any
) -> None:
    """Write the notebook of a page, without outputs."""
    source = Path(app.srcdir, f"{page}.md")
    if not source.exists() or "{code-cell}" not in source.read_text():
        return
    path = Path(app.outdir, f"{page}.ipynb")
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(read_myst_markdown_notebook(source.read_text()), path)
    context["body"] += LINK.format(path.name)


def setup(app: Sphinx) -> dict[str, bool]:
    """Write notebooks as pages are written."""
    app.connect("html-page-context", write_notebook)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

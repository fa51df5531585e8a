"""The documentation is whole; that its pages run is the business of its build."""

import re
from pathlib import Path

import pytest

import jlogreg.plots
from tests.test_docstrings import PUBLIC

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("guides/*.md")])
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# What draws: pyplot, or a plot of the library as the last line of a cell.
DRAWS = re.compile(rf"plt\.show\(\)|^(?:{'|'.join(jlogreg.plots.__all__)})\(", re.M)


def test_the_api_page_names_what_is_public():
    listed = re.findall(
        r"^\.\. auto\w+:: ([\w.]+)$", (DOCS / "api.md").read_text(), re.M
    )
    assert sorted(listed) == sorted(PUBLIC)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_page_is_in_the_index(page):
    index = (DOCS / "index.md").read_text()
    name = str(page.relative_to(DOCS).with_suffix(""))
    assert name == "index" or re.search(rf"^{name}$", index, re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_figure_says_what_to_see(page):
    """A caption, and words for those who do not see it."""
    for cell in CELL.findall(page.read_text()):
        if DRAWS.search(cell):
            assert re.search(r"^    caption: ", cell, re.M), cell
            assert re.search(r"^    alt: ", cell, re.M), cell


def test_figures_are_found():
    cells = [cell for page in PAGES for cell in CELL.findall(page.read_text())]
    assert sum(bool(DRAWS.search(cell)) for cell in cells) >= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page):
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / link).exists(), link

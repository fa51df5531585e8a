"""The pages of the documentation are complete; its build runs them."""

import re
from pathlib import Path

import pytest

import jlogreg.plots
from tests.public_names import PUBLIC

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("guides/*.md")])
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# A figure: of pyplot, or of a plot of the library as the last line of a cell.
DRAWS = re.compile(rf"plt\.show\(\)|^(?:{'|'.join(jlogreg.plots.__all__)})\(", re.M)


def test_the_api_page_names_all_public_names():
    page = (DOCS / "api.md").read_text()
    listed = re.findall(r"^\.\. auto\w+:: ([\w.]+)$", page, re.M)
    assert sorted(listed) == sorted(PUBLIC)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_in_the_index_and_its_links_and_figures_are_complete(page):
    name, text = str(page.relative_to(DOCS).with_suffix("")), page.read_text()
    index = (DOCS / "index.md").read_text()
    assert name == "index" or re.search(rf"^{name}$", index, re.M)
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (page.parent / link).exists(), link
    for cell in filter(DRAWS.search, CELL.findall(text)):
        assert re.search(r"^    caption: ", cell, re.M), cell
        assert re.search(r"^    alt: ", cell, re.M), cell


def test_figures_are_recognized():
    cells = [cell for page in PAGES for cell in CELL.findall(page.read_text())]
    assert sum(bool(DRAWS.search(cell)) for cell in cells) >= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_line_of_a_formula_is_read_as_an_item_of_a_list(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.M)
    text = re.sub(r"\$\$.*?\$\$|`[^`]*`", "", text, flags=re.DOTALL)
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-+*]|\d+\.) )", text):
        assert block.count("$") % 2 == 0, block

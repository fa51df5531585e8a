"""The tables of docs/architecture.md: every folder, and functions that exist."""

import ast
import re

import pytest

from tests.architecture import FLOOR, PACKAGE, ROOT

PAGE = (ROOT / "docs/architecture.md").read_text()
# A row of the walk: step, file, function.
WALK = re.findall(r"^\| \d+ \| `([\w/]+\.py)` \| `([\w.]+)` \|", PAGE, re.M)


def definitions(text):
    """Return the names of the functions, classes and methods of a file."""
    names = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (each for each in node.body if isinstance(each, ast.FunctionDef))
            names.update(f"{node.name}.{method.name}" for method in methods)
    return names


@pytest.mark.parametrize("box", sorted(FLOOR))
def test_every_folder_is_named(box):
    assert f"`{box}`" in PAGE or f"`{box}.py`" in PAGE


def test_the_walk_goes_from_fit_many_to_the_product():
    assert WALK[0] == ("batch/fit_many.py", "fit_many")
    assert WALK[-1] == ("data/design.py", "Dense.forward")


@pytest.mark.parametrize(("file", "name"), WALK)
def test_every_function_of_the_walk_is_in_its_file(file, name):
    assert name in definitions((PACKAGE / file).read_text())


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`(\w+/\w+\.py)`", PAGE))))
def test_every_file_exists(path):
    assert (PACKAGE / path).exists() or (ROOT / path).exists()

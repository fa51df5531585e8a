"""Every public name says what it is and which shapes it has, and has an example."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

import jlogreg
import jlogreg.plots
import jlogreg.testing

PATH = Path(__file__).parent.parent / "docs/public_names.py"
spec = importlib.util.spec_from_file_location("public_names", PATH)
public_names = importlib.util.module_from_spec(spec)
spec.loader.exec_module(public_names)

PUBLIC = dict(
    pair
    for module in (jlogreg, jlogreg.plots, jlogreg.testing)
    for pair in public_names.public(module)
)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_documented_and_its_example_runs(name):
    assert list(public_names.faults_of(name, PUBLIC[name])) == []


def test_the_modules_in_a_module_are_entered():
    assert "jlogreg.loops.dot" in PUBLIC
    assert "jlogreg.plots.qq" in PUBLIC


# --- each fault is caught -------------------------------------------------------------

GOOD = '''
class Pair(NamedTuple):
    """Hold two rows.

    Shapes: both (1, m).

    Examples:
        >>> from planted import Pair
        >>> Pair(1, 2).left
        1
    """

    left: Array
    right: Array


class Colour(IntEnum):
    """Name a colour.

    Examples:
        >>> from planted import Colour
        >>> Colour(1).name
        'RED'
    """

    RED = 1


def double(x: Array) -> Array:
    """Return twice x.

    Shapes: x (1, m), and so the result.

    Examples:
        >>> from planted import double
        >>> double([2, 3])
        [2, 3, 2, 3]
        >>> double(None)
        Traceback (most recent call last):
            ...
        TypeError: unsupported operand type(s) for *: 'NoneType' and ...
    """
    return x * 2


def count(names: list[str]) -> int:
    """Return how many names there are.

    Examples:
        >>> from planted import count
        >>> count(["a"])
        1
    """
    return len(names)
'''
HEAD = """
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple
from jax import Array
from jaxtyping import Float
__all__ = ["Pair", "Colour", "double", "count"]
"""


@pytest.fixture
def faults_in(monkeypatch):
    """Return the faults of a module of this text, imported as `planted`."""

    def faults(text):
        module = ModuleType("planted")
        monkeypatch.setitem(sys.modules, "planted", module)
        exec(text, vars(module))
        return list(public_names.faults(module))

    return faults


def test_a_good_module_has_no_fault(faults_in):
    assert faults_in(HEAD + GOOD) == []


PLANTED = {
    "no docstring of a function": (
        '"""Return how many names there are.\n',
        'f"""Return how many names there are.\n',
        "planted.count has no docstring",
    ),
    "no docstring of a named tuple": (
        '"""Hold two rows.\n',
        'f"""Hold two rows.\n',
        "planted.Pair has no docstring",
    ),
    "no docstring of an enumeration": (
        '"""Name a colour.\n',
        'f"""Name a colour.\n',
        "planted.Colour has no docstring",
    ),
    "no shapes of a function": (
        "Shapes: x (1, m), and so the result.",
        "The result is like x.",
        "planted.double has arrays, but its docstring no Shapes:",
    ),
    "no shapes of a class": (
        "Shapes: both (1, m).",
        "Both are rows.",
        "planted.Pair has arrays, but its docstring no Shapes:",
    ),
    "no example": (
        ">>> from planted import Colour\n        >>> Colour(1).name\n        'RED'",
        "Colour(1).name is 'RED'",
        "planted.Colour has no example: write Examples: and lines that begin with >>>",
    ),
    "no heading of the example": (
        "Examples:\n        >>> from planted import Pair",
        "So:\n        >>> from planted import Pair",
        "planted.Pair has no example: write Examples: and lines that begin with >>>",
    ),
    "an example that is wrong": (
        "[2, 3, 2, 3]",
        "[4, 6]",
        "planted.double has an example that fails: `double([2, 3])` prints "
        "[2, 3, 2, 3], not [4, 6]",
    ),
    "an example that prints nothing": (
        ">>> Pair(1, 2).left",
        ">>> left = Pair(1, 2).left",
        "planted.Pair has an example that fails: `left = Pair(1, 2).left` prints "
        "nothing, not 1",
    ),
    "an example that raises": (
        '>>> count(["a"])',
        ">>> count(1)",
        "planted.count has an example that fails: `count(1)` raises TypeError: object "
        "of type 'int' has no len()",
    ),
    "an example that imports nothing": (
        ">>> from planted import count\n",
        ">>> # count is known\n",
        'planted.count has an example that fails: `count(["a"])` raises NameError: '
        "name 'count' is not defined",
    ),
    "an error with other words": (
        "TypeError: unsupported operand type(s) for *",
        "TypeError: unsupported operand type(s) for +",
        "planted.double has an example that fails: `double(None)` prints TypeError: "
        "unsupported operand type(s) for *: 'NoneType' and 'int', not TypeError: "
        "unsupported operand type(s) for +: 'NoneType' and ...",
    ),
    "an error that is not raised": (
        ">>> double(None)",
        ">>> double(1)",
        "planted.double has an example that fails: `double(1)` prints 2, not "
        "TypeError: unsupported operand type(s) for *: 'NoneType' and ...",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_fault_is_one_line_that_names_it(faults_in, name):
    right, wrong, due = PLANTED[name]
    assert GOOD.count(right) == 1
    assert faults_in(HEAD + GOOD.replace(right, wrong)) == [due]


@pytest.mark.parametrize(
    ("signature", "due"),
    [
        ("x: Any", True),
        ("x: Float[Array, '1 m'] | None = None", True),
        ("**x: tuple[int, list[Array]]", True),
        ("x: Pair", True),
        ("f: Callable[[Array], Array]", False),
        ("x: Colour, y: float | str | None = None", False),
    ],
)
def test_whether_shapes_are_due_is_read_from_the_annotations(faults_in, signature, due):
    text = (HEAD + GOOD).replace("names: list[str]", signature)
    line = "planted.count has arrays, but its docstring no Shapes:"
    assert (line in faults_in(text)) == due


def test_what_is_inherited_is_no_docstring(faults_in):
    """Nor is what dataclasses and named tuples write of themselves."""
    text = """
    __all__ = ["limit", "Plain", "Error", "Tuple"]
    limit = 3
    class Plain:
        size: int
    Plain = dataclass(Plain)
    class Error(ValueError):
        pass
    class Tuple(NamedTuple):
        size: int
    """
    lines = (line[4:] for line in text.splitlines())
    names = ("limit", "Plain", "Error", "Tuple")
    assert faults_in("\n".join([HEAD, *lines])) == [
        f"planted.{name} has no docstring" for name in names
    ]

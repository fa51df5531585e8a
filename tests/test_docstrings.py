"""Every public name has a docstring, its shapes, and an example that runs."""

import sys
from types import ModuleType

import pytest

from tests.public_names import PUBLIC, faults, faults_of


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_documented_and_its_example_runs(name):
    assert list(faults_of(name, PUBLIC[name])) == []


def test_the_modules_in_a_module_are_entered():
    assert "jlogreg.loops.dot" in PUBLIC
    assert "jlogreg.plots.qq" in PUBLIC


# --- each fault is reported -----------------------------------------------------------

HEAD = """
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple
from jax import Array
from jaxtyping import Float
__all__ = ["Pair", "Colour", "double", "count"]
"""
GOOD = '''
class Pair(NamedTuple):
    """Two rows.

    Shapes: both (1, m).

    Examples:
        >>> from planted import Pair
        >>> Pair(1, 2).left
        1
    """

    left: Array
    right: Array


class Colour(IntEnum):
    """A colour.

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


@pytest.fixture
def faults_in(monkeypatch):
    """Return the faults of a module of this text, imported as `planted`."""

    def planted(text):
        module = ModuleType("planted")
        monkeypatch.setitem(sys.modules, "planted", module)
        exec(text, vars(module))
        return list(faults(module))

    return planted


def test_a_good_module_has_no_fault(faults_in):
    assert faults_in(HEAD + GOOD) == []


NO_SHAPES = "has arrays, but its docstring no Shapes:"
NO_EXAMPLE = "has no example: write Examples: and lines that begin with >>>"
FAILS = "has an example that fails:"
OPERANDS = "TypeError: unsupported operand type(s) for"
# A text of GOOD, the text in its place, and the fault.
PLANTED = [
    ('"""Return how', 'f"""Return how', "count has no docstring"),
    ('"""Two rows', 'f"""Two rows', "Pair has no docstring"),
    ('"""A colour', 'f"""A colour', "Colour has no docstring"),
    ("Shapes: x", "Sizes: x", f"double {NO_SHAPES}"),
    ("Shapes: both", "Sizes: both", f"Pair {NO_SHAPES}"),
    (
        ">>> from planted import Colour\n        >>> Colour(1).name",
        "Colour(1).name",
        f"Colour {NO_EXAMPLE}",
    ),
    (
        "Examples:\n        >>> from planted import Pair",
        "So:\n        >>> from planted import Pair",
        f"Pair {NO_EXAMPLE}",
    ),
    (
        "[2, 3, 2, 3]",
        "[4, 6]",
        f"double {FAILS} `double([2, 3])` prints [2, 3, 2, 3], not [4, 6]",
    ),
    (
        ">>> Pair(1, 2).left",
        ">>> left = Pair(1, 2).left",
        f"Pair {FAILS} `left = Pair(1, 2).left` prints nothing, not 1",
    ),
    (
        '>>> count(["a"])',
        ">>> count(1)",
        f"count {FAILS} `count(1)` raises TypeError: object of type 'int' has no len()",
    ),
    (
        ">>> from planted import count\n",
        ">>> # count is known\n",
        f"count {FAILS} `count([\"a\"])` raises NameError: name 'count' is not defined",
    ),
    (
        f"{OPERANDS} *",
        f"{OPERANDS} +",
        f"double {FAILS} `double(None)` prints {OPERANDS} *: 'NoneType' and 'int', not "
        f"{OPERANDS} +: 'NoneType' and ...",
    ),
    (
        ">>> double(None)",
        ">>> double(1)",
        f"double {FAILS} `double(1)` prints 2, not {OPERANDS} *: 'NoneType' and ...",
    ),
]


@pytest.mark.parametrize(("right", "wrong", "fault"), PLANTED)
def test_a_fault_is_one_line_that_names_it(faults_in, right, wrong, fault):
    assert GOOD.count(right) == 1
    assert faults_in(HEAD + GOOD.replace(right, wrong)) == [f"planted.{fault}"]


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ("x: Any", True),
        ("x: Float[Array, '1 m'] | None = None", True),
        ("**x: tuple[int, list[Array]]", True),
        ("x: Pair", True),
        ("f: Callable[[Array], Array]", False),
        ("x: Colour, y: float | str | None = None", False),
    ],
)
def test_annotations_decide_whether_shapes_are_needed(faults_in, signature, expected):
    text = (HEAD + GOOD).replace("names: list[str]", signature)
    assert (f"planted.count {NO_SHAPES}" in faults_in(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "limit = 3",
        "@dataclass\nclass limit:\n    size: int",
        "class limit(ValueError):\n    pass",
        "class limit(NamedTuple):\n    size: int",
    ],
)
def test_an_inherited_or_generated_docstring_does_not_count(faults_in, text):
    module = f"{HEAD}__all__ = ['limit']\n{text}"
    assert faults_in(module) == ["planted.limit has no docstring"]

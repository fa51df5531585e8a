"""A formula is read as mathematics: names, numbers, + - * / ** and four functions."""

import collections
import math
import re
import warnings

import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import iv
from mpmath.libmp import ComplexResult

from experiments.errors import UserError
from experiments.formula.expression import parse

iv.prec = 45  # bits: each step is rounded 256 times as coarsely as float64 does

FUNCTIONS = {
    "exp": iv.exp,
    "log": iv.log,
    "tanh": lambda x: 1 - 2 / (iv.exp(2 * x) + 1),
    "sigmoid": lambda x: 1 / (1 + iv.exp(-x)),
}


def text_of(draw, depth):
    """Return a formula as text, with as few parentheses as chance would have it."""
    kind = draw(st.integers(0, 6)) if depth else 0
    if kind == 0:
        return draw(st.sampled_from(["a", "b", "c", "2", "3", "0.5", "1.25", "1e1"]))
    left = text_of(draw, depth - 1)
    if kind == 1:
        return f"{draw(st.sampled_from(list(FUNCTIONS)))}({left})"
    if kind == 2:
        return f"({left})"
    if kind == 3:
        return f"{draw(st.sampled_from('+-'))}{left}"
    operator = draw(st.sampled_from(["+", "-", "*", "/", "**"]))
    return (
        f"{left}{draw(st.sampled_from(['', ' ']))}{operator} {text_of(draw, depth - 1)}"
    )


FLOATS = {
    "exp": math.exp,
    "log": math.log,
    "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
}


def interval_of(formula, at):
    """Return where the value lies, whatever the roundings.

    Where floats overflow on the way there is an OverflowError first: of exp(10**10) the
    bounds would take as many digits.
    """
    numbers = re.sub(r"[\d.]+(e\d)?", r"mpf('\g<0>')", formula)
    try:
        real = not isinstance(eval(numbers, FLOATS | at | {"mpf": float}), complex)
    except TypeError:  # of a function, on the way
        real = False
    if not real:
        raise ComplexResult
    known = {name: iv.mpf(value) for name, value in at.items()}
    return eval(numbers, FUNCTIONS | known | {"mpf": iv.mpf})


def test_formulas_mean_what_they_mean_in_mathematics():
    """Python's grammar is that of mathematics here, and intervals do the computing."""
    seen = collections.Counter()
    at = {"a": 1.5, "b": -0.75, "c": 2.0}

    @given(st.data())
    def law(data):
        formula = text_of(data.draw, 4)
        names = [name for name in at if name in re.findall(r"\w+", formula)]
        found = float(parse(formula, names)(*(jnp.asarray(at[name]) for name in names)))
        seen["all"] += 1
        try:
            due = interval_of(formula, at)
        except (ZeroDivisionError, ComplexResult, ValueError, OverflowError):
            return
        if not math.isfinite(found) or abs(found) < 1e-200:
            return
        seen["sharp"] += due.delta < 1e-6 * abs(found)
        assert found in due, (formula, found, due)

    law()
    assert seen["sharp"] > 0.5 * seen["all"]


NOT_MATHEMATICS = [
    "a.real", "exp(a)(a)", "a < 2", '"a"', 'f"{a}"', "lambda: a", "lambda", "(b := a)",
    "a = 2", "[a for a in a]", "[a]", "a[0]", "{}", "()", "a, a", "a if a else a",
    "a and a", "1if a else 2", "not a", "~a", "a // 2", "a % 2", "a @ a", "a | a",
    "True", "None", "...", "1j", "*a", "await a", "yield a", "import os", "a; a", "a a",
    "2a", "a +", "a)", "(a", "a\0", "a\n+ 1", "a − 1", "", " ", "# a", '"\\d"',
]  # fmt: skip


@pytest.mark.parametrize("formula", NOT_MATHEMATICS)
def test_what_is_not_mathematics(formula):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(UserError) as caught:
            parse(formula, ["a"])
    assert not seen  # "1if" and "\\d" have Python warn of them
    assert str(caught.value).endswith(
        ": write names, numbers, + - * / **, parentheses and exp, log, sigmoid, tanh"
    )


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("exp", "exp is a function: write exp(...)"),
        ("exp(a, a)", "exp takes one number, in parentheses"),
        ("exp()", "exp takes one number, in parentheses"),
        ("exp(x=a)", "exp takes one number, in parentheses"),
        ("exp(a, x=a)", "exp takes one number, in parentheses"),
        ("a()", "a is not a known function: use one of exp, log, sigmoid, tanh"),
        ("__import__('os')", "__import__ is not a known function: use one "),
        ("1e400 * a", "a number in the formula is too large"),
        ("9" * 400 + "* a", "a number in the formula is too large"),
    ],
)
def test_functions_and_numbers(formula, words):
    with pytest.raises(UserError) as caught:
        parse(formula, ["a"])
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "a, b: no value is given; add a=1 b=1, say"),
        (["b"], "a: no value is given; add a=1, say"),
        (["a", "c", "b", "exp"], "c, exp: not in the formula 'exp(b) + a'"),
    ],
)
def test_names_that_do_not_fit(names, words):
    with pytest.raises(UserError) as caught:
        parse("exp(b) + a", names)
    assert str(caught.value) == words


def test_powers_of_negative_numbers():
    for formula, due in {
        "a ** 2": 4,
        "a ** 3": -8,
        "a ** -1": -0.5,
        "a ** 0": 1,
    }.items():
        assert float(parse(formula, ["a"])(jnp.asarray(-2.0))) == due
    assert math.isnan(parse("a ** 0.5", ["a"])(jnp.asarray(-2.0)))

"""A formula is read as mathematics: names, numbers, + - * / ** and functions."""

import math
import re
import warnings

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.errors import UserError
from experiments.formula.expression import parse

FUNCTIONS = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}
KNOWN = "exp, log, sqrt, abs, max, sin, cos, tanh, sigmoid"
AT = {"a": 1.5, "b": -0.75, "c": 2.0}


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
    operator = draw(st.sampled_from(["+", "-", " * ", "/", "**"]))
    return f"{left}{operator} {text_of(draw, depth - 1)}"


def value_of(formula, kind):
    """Return its value by Python, whose grammar is that of mathematics here."""
    numbers = re.sub(r"[\d.]+(e\d)?", r"kind('\g<0>')", formula)
    known = {name: kind(value) for name, value in AT.items()}
    with np.errstate(all="ignore"):
        return eval(numbers, FUNCTIONS | known | {"kind": kind})


def test_formulas_mean_what_they_mean_in_mathematics():
    """Where float64 and the long double agree, so that no rounding is magnified."""
    compared = []

    @given(st.data())
    def law(data):
        formula = text_of(data.draw, 4)
        names = [name for name in AT if name in re.findall(r"\w+", formula)]
        result = float(
            parse(formula, names)(*(jnp.asarray(AT[name]) for name in names))
        )
        exact, rounded = value_of(formula, np.longdouble), value_of(formula, np.float64)
        clear = np.isfinite(exact) and abs(exact - rounded) <= 1e-12 * abs(exact)
        compared.append(clear)
        if clear and 1e-200 < abs(exact) < 1e200:
            assert result == pytest.approx(float(exact), rel=1e-9), formula

    law()
    assert np.mean(compared) > 0.5


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
        f": write names, numbers, + - * / **, parentheses and {KNOWN}"
    )


@pytest.mark.parametrize(
    ("formula", "names", "message"),
    [
        ("exp", "a", "exp is a function: write exp(...)"),
        ("exp(a, a)", "a", "exp takes one number, in parentheses"),
        ("exp()", "a", "exp takes one number, in parentheses"),
        ("exp(a, x=a)", "a", "exp takes one number, in parentheses"),
        ("max(a)", "a", "max takes two numbers, in parentheses"),
        ("a()", "a", f"a is not a known function: use one of {KNOWN}"),
        ("1e400 * a", "a", "a number in the formula is too large"),
        ("9" * 400 + "* a", "a", "a number in the formula is too large"),
        ("exp(b) + a", "", "a, b: no value is given; add a=1 b=1, say"),
        ("exp(b) + a", "b", "a: no value is given; add a=1, say"),
        ("exp(b) + a", "a c b exp", "c, exp: not in the formula 'exp(b) + a'"),
    ],
)
def test_functions_numbers_and_names_that_do_not_fit(formula, names, message):
    with pytest.raises(UserError) as caught:
        parse(formula, names.split())
    assert str(caught.value) == message


def test_the_larger_of_two():
    larger = parse("max(a, b ** 2)", ["a", "b"])
    assert float(larger(jnp.asarray(3.0), jnp.asarray(-2.0))) == 4
    assert float(larger(jnp.asarray(5.0), jnp.asarray(-2.0))) == 5


def test_powers_of_negative_numbers():
    values = {"a ** 2": 4, "a ** 3": -8, "a ** -1": -0.5, "a ** 0": 1}
    for formula, expected in values.items():
        assert float(parse(formula, ["a"])(jnp.asarray(-2.0))) == expected
    assert math.isnan(parse("a ** 0.5", ["a"])(jnp.asarray(-2.0)))

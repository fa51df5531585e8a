"""The check of ranks accepts strict functions and reports the others.

That it accepts the functions of this library is in laws/test_rank_discipline.py.
"""

import dataclasses
from collections import namedtuple
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from jlogreg.testing import check_rank_discipline

ROWS = dict(zip("zy", np.random.default_rng(2).standard_normal((2, 1, 5)), strict=True))
Z = {"z": ROWS["z"]}
Row = namedtuple("Row", "z y")
Rows = dataclasses.make_dataclass("Rows", "zy")
HELD = [{"rows": kind(**ROWS)} for kind in (dict, Rows, Row)]


def check_y(z, y, let=lambda y: False):
    if y.ndim != 2 and not let(y):
        raise ValueError(f"y has rank {y.ndim}")
    if z.shape != y.shape and not let(y):
        raise ValueError("shapes differ")
    return z.sum() * y.sum()


def strict_sum(z, y, error=ValueError):
    """Accept rows of five alone."""
    for name, array in {"z": z, "y": y}.items():
        if jnp.shape(array) != (1, 5):
            raise error(f"{name} has rank {jnp.ndim(array)}")
    return z.sum() + y.sum()


def lenient_sum(z, y):
    return jnp.sum(z) + jnp.sum(y)


def refuse(z, y):
    raise ValueError("z and y are bad")


def other_error(z, y):
    return z + y if z.ndim else z.nothing


def of_rows(function):
    """Return the function of both rows in a dict, a dataclass or a named tuple."""
    read = {dict: dict, Rows: vars, Row: Row._asdict}
    return lambda rows: function(**read[type(rows)](rows))


ELEMENTS = {"matrices": [], "elements": ["z"]}
RANKS, Y = {"message": "{rank}"}, {"matrices": ["y"]}
type_error = partial(strict_sum, error=TypeError)


@pytest.mark.parametrize(
    ("function", "arguments", "options"),
    [
        (check_y, ROWS, Y),
        (jl.sigmoid, Z, ELEMENTS | {"free": ["z"]}),
        (type_error, ROWS, {"error": TypeError}),
        *((of_rows(strict_sum), rows, RANKS) for rows in HELD),
    ],
)
def test_a_strict_function_passes(function, arguments, options):
    check_rank_discipline(function, arguments, **options)


def is_traced(y, name):
    kinds = "".join(kind.__name__ for kind in type(y).__mro__)
    return y.ndim == 1 and name in kinds


Y_ACCEPTED = [
    (r"0, shape \(\), in mode eager", lambda y: y.ndim == 0),
    (r"1, shape \(5,\), in mode eager", lambda y: y.ndim == 1),
    (r"3, shape \(1, 1, 5\), in mode eager", lambda y: y.ndim == 3),
    (r"2, shape \(5, 1\), in mode", lambda y: y.shape == (5, 1)),
    (r"1, shape \(5,\), in mode jit", partial(is_traced, name="Tracer")),
    (r"1, shape \(5,\), in mode vmap", partial(is_traced, name="BatchTracer")),
]


@pytest.mark.parametrize(("words", "let"), Y_ACCEPTED)
def test_a_wrong_rank_that_is_accepted_is_reported(words, let):
    with pytest.raises(AssertionError, match=f"takes y of rank {words}"):
        check_rank_discipline(partial(check_y, let=let), ROWS, **Y)


@pytest.mark.parametrize("rows", HELD)
def test_a_wrong_rank_inside_an_argument_is_reported(rows):
    with pytest.raises(AssertionError, match=r"takes rows[.]z of rank 0"):
        check_rank_discipline(of_rows(lenient_sum), rows)


@pytest.mark.parametrize(
    ("words", "function", "arguments", "options"),
    [
        ("z of rank 0.* AttributeError", other_error, ROWS, {}),
        (
            "not by a ValueError that matches '.*z",
            lambda z, y: check_y(y, z),
            ROWS,
            {"matrices": ["z"]},
        ),
        ("not by a ValueError", type_error, ROWS, {}),
        ("takes z of rank 0", jl.sigmoid, Z, {"free": ["z"]}),
        (r"takes z of rank 2, shape \(5, 1\)", jl.sigmoid, Z, ELEMENTS),
        ("arguments as they are, by ValueError 'z and", refuse, ROWS, {}),
    ],
)
def test_a_fault_is_reported(words, function, arguments, options):
    with pytest.raises(AssertionError, match=words):
        check_rank_discipline(function, arguments, **options)


def test_a_check_of_nothing_or_of_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="nothing to check"):
        check_rank_discipline(lambda z: z.sum(), {"z": ROWS["z"][0]})
    with pytest.raises(ValueError, match=r"modes may be .*, not \['hasty'\]"):
        check_rank_discipline(strict_sum, ROWS, modes=["eager", "hasty"])

"""The truth about problems: by hand, in closed form, and by other exact code."""

import builtins

import numpy as np
import pytest

from jlogreg.testing import make_problem
from jlogreg.testing.search import oracle
from jlogreg.testing.search.exact.minimum import find_minimum
from jlogreg.testing.search.oracle import Truth, Where, parts_of, truth_of
from jlogreg.testing.search.problems import Hard, make_hard, shape_of
from tests.oracles.high_precision import exact_minimum
from tests.oracles.separation import separation


def hard(X, y, weight=None, offset=None, l2=0.0, dtype=np.float64):
    rows = [None if row is None else np.array([row], dtype) for row in (weight, offset)]
    return Hard(0, np.array(X, dtype), np.array([y], dtype), *rows, np.array(l2), ())


LINE = [[0.0, 1, 2, 3, 4, 5]]
TOUCHING = [[0.0, 1, 2, 2, 3, 4]]
OVERLAP, APART = [0, 0, 1, 0, 1, 1], [0, 0, 0, 1, 1, 1]
TWICE = [[0.0, 1, 2, 3, 4, 5], [1.0, 3, 5, 7, 9, 11]]
ONCE = [[0.0, 1, 2, 3, 4, 5], [1.0, 3, 5, 7, 9, 11 + 2**-49]]
HALF = [0, 0.5, 1, 0, 1, 1]
CASES = {
    "labels overlap": (hard(LINE, OVERLAP), Where.ONE_POINT),
    "a plane between": (hard(LINE, APART), Where.SEPARATED),
    "between two neighbors in the last place": (
        hard([[1.0, 1 + 2**-52, 1]], [0, 1, 0]),
        Where.SEPARATED,
    ),
    "samples on the plane": (hard(TOUCHING, APART), Where.QUASI_SEPARATED),
    "one of the samples on the plane has no weight": (
        hard(TOUCHING, APART, weight=[1, 1, 1, 0, 1, 1]),
        Where.SEPARATED,
    ),
    "a rare feature": (hard([[0, 0, 1, 0, 0, 1]], OVERLAP), Where.QUASI_SEPARATED),
    "a soft label forbids it": (hard(LINE, HALF), Where.ONE_POINT),
    "a soft label on the plane": (
        hard(LINE, [0, 0, 0.5, 1, 1, 1]),
        Where.QUASI_SEPARATED,
    ),
    "one class": (hard(LINE, [1] * 6), Where.ONE_CLASS),
    "one class with a penalty": (hard(LINE, [0] * 6, l2=1.0), Where.ONE_CLASS),
    "separated with a penalty": (hard(LINE, APART, l2=1e-9), Where.ONE_POINT),
    "the feature without a penalty separates": (
        hard([LINE[0], OVERLAP], APART, l2=[[0.0], [1.0]]),
        Where.SEPARATED,
    ),
    "the feature with a penalty separates": (
        hard([LINE[0], [1, 2, 2, 1, 2, 1]], APART, l2=[[1.0], [0.0]]),
        Where.ONE_POINT,
    ),
    "collinear": (hard(TWICE, OVERLAP), Where.MANY_POINTS),
    "collinear but for the last place": (
        hard(ONCE, [0, 0, 1, 0, 1, 0.5]),
        Where.ONE_POINT,
    ),
    "collinear where weighted": (
        hard(ONCE, [0, 1, 1, 0, 1, 1], weight=[1, 1, 1, 1, 1, 0]),
        Where.MANY_POINTS,
    ),
    "collinear with a penalty on one": (
        hard(TWICE, OVERLAP, l2=[[0.0], [1e-12]]),
        Where.ONE_POINT,
    ),
    "a constant": (hard([[3.7] * 6], OVERLAP), Where.MANY_POINTS),
    "collinear and separated": (hard(TWICE, APART), Where.SEPARATED),
}


@pytest.mark.parametrize(("problem", "where"), CASES.values(), ids=CASES)
def test_where_the_minimum_is(problem, where):
    found = truth_of(problem)
    assert found.where == where
    assert (found.minimum is not None) == (where == Where.ONE_POINT)
    assert found.separated == (where in (Where.SEPARATED, Where.ONE_CLASS))


KINDS = {
    **{"well-posed": Where.ONE_POINT, "collinear": Where.MANY_POINTS},
    **{"constant column": Where.MANY_POINTS, "one class": Where.ONE_CLASS},
    **{"separable": Where.SEPARATED, "quasi-separable": Where.QUASI_SEPARATED},
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_problems_have_their_property(kind):
    for seed in range(3):
        made = make_problem(kind, (3, 20), seed=seed, weighted=True)
        assert truth_of(Hard(seed, *made[1:], ())).where == KINDS[kind]


def test_linear_programs_in_double_precision_agree():
    words = {Where.SEPARATED: "complete", Where.QUASI_SEPARATED: "quasi"}
    seen = set()
    for seed in range(30):
        made = make_problem("plain", (2, 9), seed=seed, weighted=True)
        made = made._replace(X=np.round(made.X))
        where = truth_of(Hard(seed, *made[1:], ())).where
        seen.add(where)
        if where != Where.ONE_CLASS:
            assert separation(made) == words.get(where, "")
    assert {*words, Where.ONE_POINT} <= seen


# --- the minimum ----------------------------------------------------------------------

YES = [[0, 0, 0, 1, 1, 1, 1]]
CLOSED = {
    "log-odds of two groups": (
        hard(YES, [1, 0, 0, 1, 1, 1, 0]),
        np.log(6),
        -np.log(2),
    ),
    "an offset in all": (
        hard(YES, [1, 0, 0, 1, 1, 1, 0], offset=[300] * 7),
        np.log(6),
        -np.log(2) - 300,
    ),
    "tiny weights": (
        hard(YES, [1, 0, 0, 1, 1, 1, 0], weight=[1e-36] * 7),
        np.log(6),
        -np.log(2),
    ),
    "a saturated start": (
        hard([[0, 0]], [0, 1], offset=[60, -20], l2=1.0),
        0.0,
        -20.0,
    ),
}


@pytest.mark.parametrize(("problem", "w", "b"), CLOSED.values(), ids=CLOSED)
def test_a_minimum_in_closed_form(problem, w, b):
    minimum = truth_of(problem).minimum
    np.testing.assert_allclose(minimum.w, w, rtol=4e-16)
    np.testing.assert_allclose(minimum.b, b, rtol=4e-16)
    parts = parts_of(problem)
    z = minimum.w @ parts.X + minimum.b + parts.offset
    np.testing.assert_allclose(minimum.z, z, atol=1e-13)


def test_the_minimum_is_that_of_newtons_method_in_other_code():
    compared = 0
    for seed in range(0, 150, 3):
        problem = make_hard(seed, np.float64)
        if shape_of(seed).m > 12 or problem.weight is not None:
            continue
        minimum = truth_of(problem).minimum
        if minimum is None or abs(minimum.z).max() > 30 or minimum.condition > 1e6:
            continue
        theta = exact_minimum(problem).theta
        found = np.append(minimum.w, minimum.b)
        np.testing.assert_allclose(found, theta.astype(float), rtol=1e-14, atol=1e-60)
        compared += 1
    assert compared >= 3


def test_conditions_and_amplification_of_a_feature_with_a_large_mean():
    feature = np.array([[-1.0, 1, -1, 1]])
    X = feature + 1000
    minimum = truth_of(hard(X, [0, 1, 1, 0])).minimum
    assert minimum.condition == pytest.approx(1)
    # The Hessian is that of [x, 1], whose mean squares are 1e6 + 1 and 1.
    correlation = 1000 / np.sqrt(1e6 + 1)
    assert minimum.raw_condition == pytest.approx((1 + correlation) / (1 - correlation))
    # A^T H^-1 has entries 4, and the terms of each sum have the size 1/2.
    np.testing.assert_allclose(minimum.amplification, 4)


def test_a_problem_without_a_minimum_is_no_endless_search(monkeypatch):
    monkeypatch.setattr("jlogreg.testing.search.exact.minimum.MAX_STEPS", 40)
    with pytest.raises(ArithmeticError, match="no minimum was found in 40 steps"):
        find_minimum(*parts_of(hard(LINE, APART))[1:])
    with pytest.raises(ArithmeticError, match="no minimum was found with 6144 bits"):
        find_minimum(*parts_of(hard(TWICE, OVERLAP))[1:])


def test_a_minimum_that_is_not_found_has_no_numbers(monkeypatch):
    monkeypatch.setattr("jlogreg.testing.search.exact.minimum.MOST_BITS", 0)
    assert truth_of(hard(LINE, OVERLAP)) == Truth(Where.ONE_POINT)


def test_without_python_flint_the_error_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "flint":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="pip install python-flint"):
        oracle.truth_of(hard(LINE, APART))

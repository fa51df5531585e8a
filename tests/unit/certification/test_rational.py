"""Exact arithmetic in integers, against fractions and by hand."""

from fractions import Fraction

import numpy as np
import pytest

from jlogreg.certification.rational import (
    common_integers,
    independent_rows,
    is_solvable,
    solve_integers,
    to_integers,
    with_ones,
)


def test_floats_become_integers_in_the_same_ratios():
    rows = np.array([[0.1, -0.3, 0.0, 1e-300], [1e300, 5e-324, 1, -1], [0, 0, 0, 0]])
    integers = to_integers(rows)
    for row, whole in zip(rows[:2], integers[:2], strict=True):
        ratio = whole[-1] / Fraction(row[-1])
        assert [ratio * Fraction(x) for x in row] == whole.tolist()
        assert np.gcd.reduce(whole) == 1
    assert integers[2].tolist() == [0] * 4


def test_fractions_become_integers():
    halves = [Fraction(1, 2), Fraction(-2, 3), Fraction(0)]
    assert common_integers(halves).tolist() == [3, -4, 0]
    assert common_integers([]).tolist() == []


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_system_is_solved_exactly(size):
    random = np.random.default_rng(size)
    A = random.integers(-9, 10, (size, size)).astype(object)
    A[0, 0] = 0 if size > 1 else -3
    target = random.integers(-(10**9), 10**9, size).astype(object)
    x, d = solve_integers(A, target)
    assert d > 0
    assert (A @ x == d * target).all()
    A[-1] = 0
    assert solve_integers(A, target)[1] == 0


@pytest.mark.parametrize(
    ("expected", "target"),
    [
        (True, [2, 3]),
        (True, [0, 0]),
        (False, [-1, 0]),
        (False, [1, -1]),
        (True, [5, 0]),
    ],
)
def test_a_sum_of_columns_with_shares_of_at_least_0(expected, target):
    A = np.array([[1, 0, 2], [0, 1, 1]], object)
    assert is_solvable(A, np.array(target, object)) == expected


def test_remainders_that_depend_on_each_other_are_found():
    random = np.random.default_rng(1)
    x, noise = np.round(100 * random.normal(size=(2, 30)))
    X = np.array([x, x + 2**-30 * noise, x - 2**-30 * noise])
    rows, all_found = independent_rows(to_integers(with_ones(X)))
    assert all_found
    assert len(rows.integers) == 3  # x, noise and ones
    assert np.linalg.matrix_rank(rows.unit) == 3

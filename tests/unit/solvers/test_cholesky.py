"""Factors of small and larger matrices: right, alone and in a batch, also singular."""

import math
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jlogreg.solvers.cholesky import MAX_UNROLLED, factorize, rounding_level
from tests.helpers import EPS, assert_close, entry, same_bits, seeds
from tests.oracles.toy_objective import positive_definite

PROBLEMS = 6
# Written out up to eight, LAPACK's from nine on; one size between suffices.
SIZES = [1, 2, 5, MAX_UNROLLED, MAX_UNROLLED + 1]


def solved(matrix, right):
    factor = factorize(matrix)
    return factor.solve(right), factor


alone, batch = jax.jit(solved), jax.jit(jax.vmap(solved))


@cache
def systems(k, dtype):
    """Return matrices (PROBLEMS, k, k) in several units, and right-hand sides."""
    pairs = [positive_definite(seed, k) for seed in range(PROBLEMS)]
    scale = [10.0 ** random.integers(-3, 4, (k, 1)) for _, random in pairs]
    matrix = [A * c * c.T for (A, _), c in zip(pairs, scale, strict=True)]
    matrix = [np.tril(A) + np.tril(A, -1).T for A in matrix]  # to the last digit
    right = [
        c * r.standard_normal((k, 2)) for (_, r), c in zip(pairs, scale, strict=True)
    ]
    return np.stack(matrix).astype(dtype), np.stack(right).astype(dtype)


def unit_of(matrix):
    """Return a matrix scaled to a diagonal of ones, and the scale."""
    scale = 1 / np.sqrt(np.diag(matrix).astype(np.longdouble))[:, None]
    return matrix * scale * scale.T, scale


def assert_factor(result, matrix, right):
    """Assert that a factor is right to two backward error analyses.

    Higham, Accuracy and Stability of Numerical Algorithms, theorems 10.3 and 10.4: the
    factor is that of a matrix which differs by (k + 1) eps |L| |LT|, and a solution
    that of one which differs by (3 k + 1) eps |L| |LT|. Scaling rounds each entry four
    times more.
    """
    x, factor = jax.tree.map(np.asarray, result)
    k, eps = len(matrix), float(np.finfo(matrix.dtype).eps)
    unit, scale = unit_of(matrix)
    size = np.abs(factor.L) @ np.abs(factor.L).T
    assert_close(factor.scale, scale, 4 * eps * scale)
    assert_close(np.triu(factor.L, 1), np.zeros((k, k)), 0)
    assert (np.diag(factor.L) > 0).all()
    L = factor.L.astype(np.longdouble)
    assert_close(L @ L.T, unit, (k + 5) * eps * size)
    z = x / scale
    assert_close(unit @ z, scale * right, (3 * k + 9) * eps * size @ np.abs(z))


@pytest.mark.parametrize(
    ("k", "dtype"), [*((k, np.float64) for k in SIZES), (2, np.float32)]
)
def test_a_factor_is_right_alone_and_in_a_batch(k, dtype):
    matrix, right = systems(k, dtype)
    together = batch(matrix, right)
    for i in range(PROBLEMS):
        for result in (alone(matrix[i], right[i]), entry(together, i)):
            assert result[1].L.dtype == result[0].dtype == dtype
            assert not result[1].singular
            assert_factor(result, matrix[i], right[i])


# What one column is of two others.
COLLINEAR = {"twice": (1.0, 0.0), "sum": (1.0, -0.3), "zero": (0.0, 0.0), "none": None}


@pytest.mark.parametrize("k", [5, 12])  # written out, and by LAPACK
@settings(max_examples=settings.default.max_examples // 2)
@given(seeds, st.sampled_from([*COLLINEAR]))
def test_a_matrix_of_collinear_columns_is_singular(k, seed, kind):
    random = np.random.default_rng(seed)
    columns = random.standard_normal((3 * k, k)).astype(np.longdouble)
    i, *others = random.permutation(k)[:3]
    if COLLINEAR[kind]:
        columns[:, i] = columns[:, others] @ COLLINEAR[kind]
    columns *= 10.0 ** random.integers(-6, 7, k)  # units
    matrix = (columns.T @ columns).astype(float)  # rounded once
    right = (columns.T @ random.standard_normal((3 * k, 1))).astype(float)
    x, factor = alone(matrix, right)
    assert factor.singular == (kind != "none")
    # The right-hand side is in the range, so that a solution is still found: to the
    # roundings that were added to the diagonal.
    size = np.sqrt(np.diag(matrix))[:, None]
    within = 64 * k**2 * EPS * size * (size.T @ np.abs(x))
    assert_close(matrix @ x, right, within + 64 * k**2 * EPS * np.abs(right))


def systems_with_singular(k):
    """Return systems, four of them without a factor, and which are regular."""
    matrix, right = (array.copy() for array in systems(k, np.float64))
    matrix[1, -1], matrix[1, :, -1] = matrix[1, 0], matrix[1, :, 0]  # a column twice
    matrix[1, -1, -1] = matrix[1, 0, 0]
    matrix[2] = 0
    matrix[3, 0, 1] = matrix[3, 1, 0] = np.nan
    matrix[4, 0, 0] *= -1  # not semidefinite
    return matrix, right, [0, 5]


def unrepaired(matrix, right):
    factor = factorize(matrix, repaired=False)
    return factor.solve(right), factor


@pytest.mark.parametrize("k", [2, 5, MAX_UNROLLED + 1])
def test_a_singular_matrix_gets_the_factor_of_a_little_more_if_asked(k):
    """Of 10 k eps more, where it is one of sums of squares; alone and in a batch.

    The others in the batch do not change by a bit.
    """
    matrix, right = systems(k, np.float64)
    mixed, _, regular = systems_with_singular(k)
    expected, together = batch(matrix, right), batch(mixed, right)
    left = jax.jit(jax.vmap(unrepaired))(mixed, right)
    for result in (together, left):
        np.testing.assert_array_equal(np.flatnonzero(~result[1].singular), regular)
    for i in regular:
        assert same_bits(entry(together, i), entry(expected, i))
        assert_factor(entry(left, i), mixed[i], right[i])
    for i, unit in ((1, unit_of(mixed[1])[0]), (2, mixed[2])):
        for x, factor in (alone(mixed[i], right[i]), entry(together, i)):
            assert factor.singular
            assert np.isfinite(x).all()
            L = np.asarray(factor.L).astype(np.longdouble)
            size, more = np.abs(L) @ np.abs(L).T, 10 * k * EPS * np.eye(k)
            assert_close(L @ L.T, unit + more, (k + 5) * EPS * size)
    assert np.isnan(together[0][3]).all()
    # Without a repair there is no branch for it.
    less, more = (
        str(jax.make_jaxpr(jax.vmap(function))(mixed, right)).count(" cond[")
        for function in (unrepaired, solved)
    )
    assert more == less + 1


def test_the_rounding_error_of_a_remainder_is_the_callers_choice():
    """By default all but 100 + 10 k roundings; what is asked for otherwise."""
    assert rounding_level(1, np.float64) == 110 * EPS
    assert rounding_level(20, np.float32) == 300 * float(np.finfo(np.float32).eps)

    @jax.jit
    def is_singular(off):
        cosine = jnp.sqrt(1 - off)
        matrix = jnp.eye(2) + cosine * (1 - jnp.eye(2))
        return factorize(matrix).singular, factorize(matrix, 1).singular

    # The part of the second column that the first does not explain is `off`.
    table = {0.5: (1, 1), 8: (1, 0), 100: (1, 0), 140: (0, 0)}
    for roundings, expected in table.items():
        assert tuple(map(int, is_singular(roundings * EPS))) == expected, roundings


@pytest.mark.parametrize("k", [MAX_UNROLLED, MAX_UNROLLED + 1])
def test_a_batch_on_a_cpu_calls_lapack_for_none_or_for_one_at_a_time(k):
    """A batched call of it may wait for ever for threads of its own pool."""
    matrix, right = systems(k, np.float64)
    text = str(jax.make_jaxpr(jax.vmap(solved))(matrix, right))
    assert ("cholesky" in text) == ("triangular_solve" in text) == (k > MAX_UNROLLED)
    assert f"f64[{PROBLEMS},{k},{k}] = cholesky" not in text
    if k > MAX_UNROLLED:
        assert f"f64[{k},{k}] = cholesky" in text


@pytest.mark.parametrize("k", [2, MAX_UNROLLED + 1])
@pytest.mark.parametrize("at", [0, 1])
def test_a_column_near_underflow_counts_as_zero(k, at):
    """Up to the border its numbers count as zeros; beyond, as any others."""
    border = 2.0**-970  # tiny / EPS
    for size, zero in [(border, True), (math.nextafter(border, 1), False)]:
        matrix = np.eye(k)
        matrix[at, at] = size
        matrix[at, 1 - at] = matrix[1 - at, at] = 2.0**-490  # semidefinite
        _, factor = alone(matrix, np.ones((k, 2)))
        assert factor.singular == zero
        expected = np.ones((k, 1))
        expected[at] = 1 if zero else 2.0**485
        assert_close(factor.scale, expected, 4 * EPS * expected)
        assert (factor.L[1, 0] == 0) == zero
        if zero:
            added = np.where(np.arange(k) == at, 0.0, 1.0) + 10 * k * EPS
            assert_close(np.diag(factor.L), np.sqrt(added), 4 * EPS)

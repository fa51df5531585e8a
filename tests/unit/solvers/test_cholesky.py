"""Factors of small and larger matrices: right, alone and in a batch, also singular."""

import math
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jlogreg.solvers.cholesky import MAX_UNROLLED, factorize, rounding_level
from tests.helpers import assert_close
from tests.oracles.toy_objective import positive_definite

LANES = 6
# Written out up to eight, LAPACK's from nine on; one size between suffices.
SIZES = [1, 2, 5, MAX_UNROLLED, MAX_UNROLLED + 1]


def solved(matrix, right):
    factor = factorize(matrix)
    return factor.solve(right), factor


alone, batch = jax.jit(solved), jax.jit(jax.vmap(solved))


@cache
def systems(k, dtype):
    """Return matrices (LANES, k, k) in several units, and right-hand sides."""
    drawn = [positive_definite(seed, k) for seed in range(LANES)]
    scale = [10.0 ** random.integers(-3, 4, (k, 1)) for _, random in drawn]
    matrix = [A * c * c.T for (A, _), c in zip(drawn, scale, strict=True)]
    matrix = [np.tril(A) + np.tril(A, -1).T for A in matrix]  # to the last digit
    right = [
        c * r.standard_normal((k, 2)) for (_, r), c in zip(drawn, scale, strict=True)
    ]
    return np.stack(matrix).astype(dtype), np.stack(right).astype(dtype)


def cholesky(A):
    """Return the factor by the textbook's loops, in long double."""
    A = A.astype(np.longdouble)
    L = np.zeros_like(A)
    for j in range(len(A)):
        L[j, j] = np.sqrt(A[j, j] - L[j, :j] @ L[j, :j])
        for i in range(j + 1, len(A)):
            L[i, j] = (A[i, j] - L[i, :j] @ L[j, :j]) / L[j, j]
    return L


def unit_of(matrix):
    """Return a matrix scaled to a diagonal of ones, and the scale."""
    scale = 1 / np.sqrt(np.diag(matrix).astype(np.longdouble))[:, None]
    return matrix * scale * scale.T, scale


def assert_factor(found, matrix, right, added=0.0):
    """Assert that a factor is right to a forward and two backward error analyses.

    Higham, Accuracy and Stability of Numerical Algorithms, theorems 10.3 and 10.4: the
    factor is that of a matrix which differs by (k + 1) eps |L| |LT|, and a solution
    that of one which differs by (3 k + 1) eps |L| |LT|. Scaling rounds each entry four
    times more. Of the factor itself: theorem 10.8, with the condition.
    """
    x, factor = jax.tree.map(np.asarray, found)
    k, eps = len(matrix), float(np.finfo(matrix.dtype).eps)
    unit, scale = unit_of(matrix)
    unit = unit + added * np.eye(k)
    size = np.abs(factor.L) @ np.abs(factor.L).T
    assert_close(factor.scale, scale, 4 * eps * scale)
    assert_close(np.triu(factor.L, 1), np.zeros((k, k)), 0)
    L = factor.L.astype(np.longdouble)
    assert_close(L @ L.T, unit, (k + 5) * eps * size)
    condition = np.linalg.cond(unit.astype(float))
    assert_close(factor.L, cholesky(unit), 2 * k * (k + 5) * eps * condition)
    z = x / scale
    assert_close(unit @ z, scale * right, (3 * k + 9) * eps * size @ np.abs(z))


@pytest.mark.parametrize(
    ("k", "dtype"), [*((k, np.float64) for k in SIZES), (2, np.float32)]
)
def test_a_factor_is_right_alone_and_in_a_batch(k, dtype):
    matrix, right = systems(k, dtype)
    together = batch(matrix, right)
    for lane in range(LANES):
        one = alone(matrix[lane], right[lane])
        here = jax.tree.map(lambda leaf, lane=lane: leaf[lane], together)
        for found in (one, here):
            assert found[1].L.dtype == found[0].dtype == dtype
            assert not found[1].singular
            assert_factor(found, matrix[lane], right[lane])


@pytest.mark.parametrize("k", SIZES[1:])
@pytest.mark.parametrize("fault", ["entry", "transposed", "solution", "scale", "other"])
def test_the_comparison_notices_a_wrong_factor(k, fault):
    matrix, right = systems(k, np.float64)
    x, factor = jax.tree.map(np.array, alone(matrix[0], right[0]))
    assert_factor((x, factor), matrix[0], right[0])
    if fault == "entry":
        factor.L[-1, 0] += 1e-12
    elif fault == "transposed":
        factor = factor._replace(L=factor.L.T)
    elif fault == "solution":
        x[-1, 0] *= 1 + 1e-11
    elif fault == "scale":
        factor.scale[0] *= 1 + 1e-14
    else:
        matrix = matrix + 1e-9 * np.ones((k, k)) * np.abs(matrix)
    with pytest.raises(AssertionError, match="too far"):
        assert_factor((x, factor), matrix[0], right[0])


def spoilt(k):
    """Return lanes of which four have no factor: which, and matrices."""
    matrix, right = (array.copy() for array in systems(k, np.float64))
    matrix[1, -1], matrix[1, :, -1] = matrix[1, 0], matrix[1, :, 0]  # a column twice
    matrix[1, -1, -1] = matrix[1, 0, 0]
    matrix[2] = 0
    matrix[3, 0, 1] = matrix[3, 1, 0] = np.nan
    matrix[4, 0, 0] *= -1  # none is semidefinite
    return [1, 2, 3, 4], matrix, right


@pytest.mark.parametrize("k", [2, 5, MAX_UNROLLED + 1])
def test_singular_neighbours_change_nothing(k):
    """Not a bit, although the batch takes a second factor for their sake."""
    matrix, right = systems(k, np.float64)
    bad, mixed, _ = spoilt(k)
    due, found = batch(matrix, right), batch(mixed, right)
    good = np.setdiff1d(np.arange(LANES), bad)
    np.testing.assert_array_equal(np.flatnonzero(found[1].singular), bad)
    for one, other in zip(jax.tree.leaves(due), jax.tree.leaves(found), strict=True):
        np.testing.assert_array_equal(np.asarray(other)[good], np.asarray(one)[good])
    assert np.isnan(found[0][3]).all()


@pytest.mark.parametrize("k", [2, 5, MAX_UNROLLED + 1])
def test_a_singular_matrix_gets_the_factor_of_a_little_more(k):
    """Of 10 k eps more, where it is one of sums of squares; alone and in a batch."""
    _, mixed, right = spoilt(k)
    eps = float(np.finfo(float).eps)
    together = batch(mixed, right)
    for lane in (1, 2):
        one = alone(mixed[lane], right[lane])
        here = jax.tree.map(lambda leaf, lane=lane: leaf[lane], together)
        unit = mixed[lane] if lane == 2 else np.asarray(unit_of(mixed[lane])[0], float)
        for x, factor in (one, here):
            assert factor.singular
            assert np.isfinite(x).all()
            L = np.asarray(factor.L).astype(np.longdouble)
            size = np.abs(L) @ np.abs(L).T
            more = unit + 10 * k * eps * np.eye(k)
            assert_close(L @ L.T, more, (k + 5) * eps * size)
            if lane == 1:
                with pytest.raises(AssertionError, match="too far"):
                    assert_close(L @ L.T, unit, (k + 5) * eps * size)


def test_how_far_a_column_may_be_explained_is_the_callers():
    """By default all but 100 + 10 k roundings; what is asked for otherwise."""
    eps = float(np.finfo(float).eps)
    assert rounding_level(1, np.float64) == 110 * eps
    assert rounding_level(20, np.float32) == 300 * float(np.finfo(np.float32).eps)

    @jax.jit
    def is_singular(off):
        cosine = jnp.sqrt(1 - off)
        matrix = jnp.array([[1.0, 0.0], [0.0, 1.0]]) + cosine * (1 - jnp.eye(2))
        return factorize(matrix).singular, factorize(matrix, 1).singular

    # The part of the second column that the first does not explain is `off`.
    for roundings, due in [(0.5, (1, 1)), (8, (1, 0)), (100, (1, 0)), (140, (0, 0))]:
        assert tuple(map(int, is_singular(roundings * eps))) == due, roundings


@pytest.mark.parametrize("k", [MAX_UNROLLED, MAX_UNROLLED + 1])
def test_a_batch_on_a_cpu_calls_lapack_for_none_or_for_one_at_a_time(k):
    """A batched call of it may wait for ever for threads of its own pool."""
    matrix, right = systems(k, np.float64)
    text = str(jax.make_jaxpr(jax.vmap(solved))(matrix, right))
    assert ("cholesky" in text) == ("triangular_solve" in text) == (k > MAX_UNROLLED)
    assert f"f64[{LANES},{k},{k}] = cholesky" not in text
    if k > MAX_UNROLLED:
        assert f"f64[{k},{k}] = cholesky" in text


@pytest.mark.parametrize("k", [2, MAX_UNROLLED + 1])
def test_who_needs_no_factor_of_a_singular_matrix_pays_for_none(k):
    bad, mixed, right = spoilt(k)

    def once(matrix, right):
        factor = factorize(matrix, repaired=False)
        return factor.solve(right), factor

    found, due = jax.jit(jax.vmap(once))(mixed, right), batch(mixed, right)
    np.testing.assert_array_equal(found[1].singular, due[1].singular)
    good = np.setdiff1d(np.arange(LANES), bad)
    for lane in good:
        here = jax.tree.map(lambda leaf, lane=lane: leaf[lane], found)
        assert_factor(here, mixed[lane], right[lane])
    texts = (str(jax.make_jaxpr(jax.vmap(f))(mixed, right)) for f in (once, solved))
    less, more = (text.count(" cond[") for text in texts)
    assert more == less + 1


@pytest.mark.parametrize("k", [2, MAX_UNROLLED + 1])
@pytest.mark.parametrize("at", [0, 1])
def test_a_column_near_underflow_is_as_good_as_nothing(k, at):
    """Up to the border its numbers count as zeros; beyond, as any others."""
    eps, border = float(np.finfo(float).eps), 2.0**-970  # tiny / eps
    for size, nothing in [(border, True), (math.nextafter(border, 1), False)]:
        matrix = np.eye(k)
        matrix[at, at] = size
        matrix[at, 1 - at] = matrix[1 - at, at] = 2.0**-490  # semidefinite
        _, factor = alone(matrix, np.ones((k, 2)))
        assert factor.singular == nothing
        due = np.ones((k, 1))
        due[at] = 1 if nothing else 2.0**485
        assert_close(factor.scale, due, 4 * eps * due)
        assert (factor.L[1, 0] == 0) == nothing
        if nothing:
            added = np.where(np.arange(k) == at, 0.0, 1.0) + 10 * k * eps
            assert_close(np.diag(factor.L), np.sqrt(added), 4 * eps)

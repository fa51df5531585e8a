"""The same problem put otherwise has the same cost, gradient, Hessian and fit.

A law returns a problem, the same one put otherwise, and the matrix A and the shift of
theta = A theta' + shift, with theta = (w, b) and theta' that of the other. Then J' = J,
gradient' = A^T gradient, Hessian' = A^T Hessian A; and the minima are related as the
points are. A is a permutation, or has signs or powers of two: products with it are
exact.
"""

from typing import NamedTuple

import jax
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import jlogreg as jl
from jlogreg import Params, Status
from jlogreg.testing import Kind
from tests.helpers import (
    EPS,
    HAZARDS,
    Problem,
    assert_close,
    cost_and_derivatives,
    hessian_slack,
    make_problem,
    seeds,
    select_samples,
    slack,
)
from tests.oracles.numpy_fit import params_slack

# Twelve features and ten samples are fitted in the span of the samples, with twenty in
# the features, and by LAPACK.
FEATURES, FEW, MANY = [3, 12], 10, 20
DTYPES = [np.float32, np.float64]


@jax.jit
def fitted(problem):
    return jl.fit(problem.X, problem.y, init=problem.params, **problem.options)


class Put(NamedTuple):
    """A problem, the same put otherwise, and theta = A theta' + shift."""

    problem: Problem
    other: Problem
    A: np.ndarray
    shift: np.ndarray


def put(problem, *, A=None, shift=0.0, of=None, **changes):
    """Return the problem, and itself or another with changes."""
    A = np.eye(len(problem.X) + 1) if A is None else A
    shift = np.zeros((len(A), 1)) + shift
    theta = np.vstack(problem.params) - shift
    inverse = np.where(A == 0, 0, 1 / np.where(A == 0, 1, A)).T
    there = (inverse @ theta).astype(problem.X.dtype)
    other = (of or problem)._replace(params=Params(there[:-1], there[-1:]), **changes)
    return Put(problem, other, A, shift)


def signs_flipped(problem, random):
    flipped = {"y": 1 - problem.y, "offset": -problem.offset}
    return put(problem, A=-np.eye(len(problem.X) + 1), **flipped)


def samples_permuted(problem, random):
    return put(problem, of=select_samples(problem, random.permutation(MANY)))


def features_permuted(problem, random):
    order = random.permutation(len(problem.X))
    A = np.eye(len(order) + 1)[:, [*order, len(order)]]
    return put(problem, A=A, X=problem.X[order])


def samples_given_again(problem, random):
    """Once more, or several times: as much more weight."""
    once, again = select_samples(problem, np.arange(FEW)), random.integers(0, FEW, FEW)
    times = 1 + np.bincount(again, minlength=FEW).astype(once.X.dtype)
    heavy = once._replace(weight=once.weight * times)
    return put(heavy, of=select_samples(once, [*range(FEW), *again]))


def weights_scaled(problem, random):
    factor = problem.X.dtype.type(10.0 ** random.uniform(-3, 3))
    return put(problem, weight=problem.weight * factor)


def bias_moved_into_the_offset(problem, random):
    b = problem.params.b
    shift = np.append(np.zeros(len(problem.X)), b)[:, None]
    return put(problem, shift=shift, offset=problem.offset + b)


def padded_with_weight_0(problem, random):
    """By samples of anything at all, between the others."""
    once, place = select_samples(problem, np.arange(FEW)), np.arange(MANY)
    kept = np.sort(random.permutation(place)[:FEW])
    out = ~np.isin(place, kept)
    huge = 1e30 if once.X.dtype == np.float32 else 1e300
    garbage = random.choice([np.nan, np.inf, -np.inf, huge, 1.0])
    rows = {}
    for name in ("X", "y", "weight", "offset"):
        row = getattr(once, name)
        rows[name] = np.full((len(row), MANY), garbage, row.dtype)
        rows[name][:, kept] = row
    rows["weight"][:, out] = 0
    return put(once, **rows)


def one_penalty_as_a_column(problem, random):
    return put(problem, l2=np.full_like(problem.params.w, problem.l2))


def units_of_powers_of_two(problem, random):
    """Each feature in units of its own, and its penalty, if there is one, in those."""
    reach = 8 if problem.X.dtype == np.float32 else 30
    unit = 2.0 ** random.integers(-reach, reach + 1, problem.params.w.shape)
    unit = unit.astype(problem.X.dtype)
    l2 = problem.l2 * (1 + random.random(unit.shape)).astype(unit.dtype)
    l2 = l2 * random.choice([0, 1, 1, 1]).astype(unit.dtype)
    A = np.diag([*unit[:, 0], 1.0])
    return put(problem._replace(l2=l2), A=A, X=problem.X * unit, l2=l2 * unit**2)


LAWS = [
    signs_flipped,
    samples_permuted,
    features_permuted,
    samples_given_again,
    weights_scaled,
    bias_moved_into_the_offset,
    padded_with_weight_0,
    one_penalty_as_a_column,
    units_of_powers_of_two,
]
EXACT = units_of_powers_of_two

# A Gram matrix of samples whose features differ in units loses what the bound has not.
FITS = [
    (n, hazard)
    for n in FEATURES
    for hazard in HAZARDS
    if n < FEW or hazard != Kind.ILL_SCALED
]


def drawn(n, dtype, hazard, l2, seed):
    problem = make_problem((n, MANY), dtype, hazard, seed, l2)
    problem = jax.tree.map(np.array, problem)
    if hazard != Kind.SOFT_LABELS:  # both classes, or there is no minimum
        problem.y[0, :2], problem.weight[0, :2] = [0, 1], 1
    return problem, np.random.default_rng(seed)


def wide(problem):
    """Return the problem in float64, without what weighs nothing."""
    rows = {
        name: np.where(problem.weight == 0, 0, getattr(problem, name))
        for name in ("X", "y", "offset")
    }
    return jax.tree.map(lambda leaf: np.asarray(leaf, float), problem._replace(**rows))


def rounding(problem):
    """Return how far its J, gradient and Hessian are off, at most."""
    dtype, clean = problem.X.dtype, wide(problem)
    within = slack(clean, dtype)
    H = hessian_slack(clean) * (np.finfo(dtype).eps / EPS)
    return within.J / 2, np.vstack(within[1:]) / 2, H / 2


def assert_same_values(law, case):
    problem, other, A, _ = case
    J, slope, H = jax.tree.map(np.asarray, cost_and_derivatives(problem))
    expected = J, A.T @ np.vstack(slope), A.T @ H @ A
    J, slope, H = jax.tree.map(np.asarray, cost_and_derivatives(other))
    assert J.dtype == H.dtype == problem.X.dtype
    values = J, np.vstack(slope), H
    if law is EXACT:
        least = np.finfo(problem.X.dtype).tiny / np.finfo(problem.X.dtype).eps ** 2
        for value, same in zip(values, expected, strict=True):
            small = (np.abs(value) < least) & (np.abs(same) < least)  # underflow
            assert ((value == same) | small).all(), "too far: not bit for bit"
        return
    few, more, size = rounding(problem), rounding(other), np.abs(A)
    assert_close(values[0], expected[0], few[0] + more[0])
    assert_close(values[1], expected[1], size.T @ few[1] + more[1])
    assert_close(values[2], expected[2], size.T @ few[2] @ size + more[2])


def far(problem, params):
    """Return how far a fit may be from the minimum."""
    clean, (n, m) = wide(problem), problem.X.shape
    params = jax.tree.map(lambda leaf: np.asarray(leaf, float), params)
    # In the span of the samples products have more terms.
    times = np.finfo(problem.X.dtype).eps / EPS * (n + m if m < n else 1)
    return times * np.vstack(params_slack(clean, params))


def assert_same_fits(law, case):
    problem, other, A, shift = case
    expected, result = fitted(problem), fitted(other)
    if law is EXACT:  # in every number but the largest entry of the gradient
        expected, result = jax.device_get((expected, result))
        w = result.params.w * np.diag(A)[:-1, None].astype(result.cost.dtype)
        result = result._replace(
            params=result.params._replace(w=w), gradient_norm=expected.gradient_norm
        )
        jax.tree.map(np.testing.assert_array_equal, result, expected)
        return
    converged = expected.status == result.status == Status.CONVERGED
    if problem.X.dtype == np.float32:  # too few digits for some, where units differ
        assume(converged)
    assert converged
    here = A @ np.vstack(result.params) + shift
    within = far(problem, expected.params) + np.abs(A) @ far(other, result.params)
    assert_close(here, np.vstack(expected.params), within)


@pytest.mark.parametrize("law", LAWS)
@given(
    st.sampled_from(FEATURES),
    st.sampled_from(DTYPES),
    st.sampled_from(HAZARDS),
    st.sampled_from([0.0, 0.01, 1.0]),
    seeds,
)
def test_values_are_the_same(law, n, dtype, hazard, l2, seed):
    assert_same_values(law, law(*drawn(n, dtype, hazard, l2, seed)))


@pytest.mark.parametrize("law", LAWS)
@given(
    st.sampled_from(FITS),
    st.sampled_from(DTYPES),
    st.sampled_from([0.01, 1.0]),
    seeds,
)
def test_fits_are_the_same(law, kind, dtype, l2, seed):
    n, hazard = kind
    assert_same_fits(law, law(*drawn(n, dtype, hazard, l2, seed)))

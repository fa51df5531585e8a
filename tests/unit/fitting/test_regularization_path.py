"""A path of penalties: each fit is the one alone, only reached sooner."""

from functools import partial

import jax
import numpy as np

import jlogreg as jl
from jlogreg import Status
from tests.helpers import SHAPE, TOL, assert_close, entry, make_problem, stack
from tests.oracles.numpy_fit import assert_minimum

L2 = np.array([[0.3], [10.0], [1e-3], [1.0], [0.0]])
L = len(L2)
PROBLEM = jax.tree.map(np.asarray, make_problem(SHAPE, np.float64, seed=3))
OPTIONS = {"weight": PROBLEM.weight, "offset": PROBLEM.offset, "tol": TOL}


traced_path = jax.jit(partial(jl.regularization_path, **OPTIONS))
traced_fit = jax.jit(partial(jl.fit, **OPTIONS))


def path(y=PROBLEM.y, l2=L2, max_steps=100):
    return jax.device_get(traced_path(PROBLEM.X, y, l2, max_steps=max_steps))


def alone(y=PROBLEM.y, l2=L2, max_steps=100):
    return stack(
        *(traced_fit(PROBLEM.X, y, l2=one, max_steps=max_steps) for one in l2[:, 0])
    )


def assert_minima(result, y=PROBLEM.y, chosen=range(L)):
    """Assert that fits of a path are those of Newton's method in NumPy."""
    for k in chosen:
        assert_minimum(entry(result, k), PROBLEM._replace(y=y, l2=L2[k, 0]), times=2)


def test_a_path_has_a_leading_axis_in_the_order_of_the_penalties():
    result = path()
    assert isinstance(result, jl.Fit)
    assert (result.params.w.shape, result.params.b.shape) == ((L, 3, 1), (L, 1, 1))
    assert {leaf.shape for leaf in jax.tree.leaves(result[1:])} == {(L,)}
    assert_minima(result)
    size = np.abs(result.params.w).sum(axis=(1, 2))
    np.testing.assert_array_equal(np.argsort(size), np.argsort(-L2[:, 0]))
    order = np.array([4, 2, 0, 1, 3])
    other = path(l2=L2[order])
    jax.tree.map(
        lambda leaf, moved: np.testing.assert_array_equal(leaf[order], moved),
        *(result, other),
    )


def test_each_fit_starts_from_the_last():
    """So that near penalties take fewer steps, and the same one again takes one."""
    near = np.linspace(0.5, 0.6, L)[:, None]
    result, expected = path(l2=near), alone(l2=near)
    assert result.steps[-1] == expected.steps[-1]  # the largest, which is the first
    assert (result.steps[:-1] < expected.steps[:-1]).all()
    again = path(l2=np.full((L, 1), 0.5))
    assert (again.steps[1:] == 1).all()
    for leaf in again.params:
        assert_close(leaf, leaf[:1].repeat(L, 0), 1e-12)


def test_a_fit_that_fails_is_no_start():
    result, expected = path(max_steps=2), alone(max_steps=2)
    assert (result.status == Status.MAX_STEPS).sum() >= 3
    order = np.argsort(-L2[:, 0])
    first = np.argmax(result.status[order] > 0)
    for k in order[first:]:
        assert_close(result.params.w[k], expected.params.w[k], 1e-12)


def test_a_penalty_that_fails_does_not_change_the_others():
    apart = (PROBLEM.X[:1] > 0) * 1.0  # without a penalty there is no minimum
    l2 = L2.copy()
    l2[1] = np.nan  # it is traced, so that it cannot raise
    result = path(y=apart, l2=l2)
    expected = [0, Status.BAD_INPUT, 0, 0, Status.SEPARATED]
    assert result.status.tolist() == alone(y=apart, l2=l2).status.tolist() == expected
    assert np.isnan(result.params.w[1]).all()
    assert_minima(result, apart, (0, 2, 3))

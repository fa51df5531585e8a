"""A path of penalties: each fit is the one alone, only found sooner."""

import jax
import numpy as np
import pytest

from jlogreg import (
    Fit,
    Params,
    Status,
    fit,
    regularization_path,
)
from tests.helpers import TOL, assert_close, make_problem
from tests.oracles.numpy_fit import assert_same_fit, numpy_minimum

SHAPE, L = (3, 20), 5
PROBLEM = jax.tree.map(np.asarray, make_problem(SHAPE, np.float64, seed=3))
L2 = np.array([[0.3], [10.0], [1e-3], [1.0], [0.0]])


def options_of(max_steps):
    rows = {"weight": PROBLEM.weight, "offset": PROBLEM.offset}
    return {**rows, "tol": TOL, "max_steps": max_steps}


def path_of(y, l2, max_steps):
    return regularization_path(PROBLEM.X, y, l2, **options_of(max_steps))


def alone_of(y, l2, max_steps):
    return fit(PROBLEM.X, y, l2=l2, **options_of(max_steps))


traced_path, traced_fit = jax.jit(path_of), jax.jit(alone_of)


def path(y=PROBLEM.y, l2=L2, max_steps=100):
    return jax.tree.map(np.asarray, traced_path(y, l2, np.int32(max_steps)))


def alone(y=PROBLEM.y, l2=L2, max_steps=100):
    found = [traced_fit(y, penalty, np.int32(max_steps)) for penalty in l2[:, 0]]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *found)


def lane_of(tree, lane):
    return jax.tree.map(lambda leaf: leaf[lane], tree)


def problem_of(lane, y=PROBLEM.y):
    return PROBLEM._replace(y=y, l2=L2[lane, 0])


def assert_path(found, y=PROBLEM.y):
    """Assert that a path is that of Newton's method in NumPy."""
    for lane in range(L):
        problem, one = problem_of(lane, y), lane_of(found, lane)
        due = numpy_minimum(problem)
        assert_same_fit(one, one._replace(params=due), problem)


def test_a_path_has_a_leading_axis_in_the_order_of_the_penalties():
    found = path()
    assert isinstance(found, Fit)
    assert (found.params.w.shape, found.params.b.shape) == ((L, 3, 1), (L, 1, 1))
    assert {leaf.shape for leaf in found[1:]} == {(L,)}
    assert_path(found)
    size = np.abs(found.params.w).sum(axis=(1, 2))
    np.testing.assert_array_equal(np.argsort(size), np.argsort(-L2[:, 0]))


@pytest.mark.parametrize("planted", ["order", "number"])
def test_the_comparison_notices_a_wrong_path(planted):
    found = path()
    w = found.params.w[::-1] if planted == "order" else found.params.w * (1 + 1e-6)
    wrong = found._replace(params=Params(w, found.params.b))
    with pytest.raises(AssertionError, match="too far"):
        assert_path(wrong)


def test_the_order_of_the_penalties_does_not_matter():
    order = np.array([4, 2, 0, 1, 3])
    found, due = path(l2=L2[order]), path()
    jax.tree.map(
        lambda leaf, other: np.testing.assert_array_equal(leaf, other[order]),
        *(found, due),
    )


def test_each_fit_starts_from_the_last():
    """So that near penalties take fewer steps, and the same one again takes one."""
    near = np.linspace(0.5, 0.6, L)[:, None]
    found, due = path(l2=near), alone(l2=near)
    assert found.steps[-1] == due.steps[-1]  # the largest, which is the first
    assert (found.steps[:-1] < due.steps[:-1]).all()
    again = path(l2=np.full((L, 1), 0.5))
    assert (again.steps[1:] == 1).all()
    jax.tree.map(
        lambda leaf: assert_close(leaf, leaf[:1].repeat(L, 0), 1e-12), again.params
    )


def test_a_fit_that_fails_is_no_start():
    found, due = path(max_steps=2), alone(max_steps=2)
    assert (found.status == Status.MAX_STEPS).sum() >= 3
    started = np.argsort(-L2[:, 0])[np.argmax(found.status[np.argsort(-L2[:, 0])] > 0)]
    for lane in np.flatnonzero(L2[:, 0] <= L2[started, 0]):
        one, other = found.params.w[lane], due.params.w[lane]
        assert_close(one, other, 1e-12)


def test_what_is_wrong_with_one_penalty_is_nothing_to_the_others():
    apart = (PROBLEM.X[:1] > 0) * 1.0  # without a penalty there is no minimum
    l2 = L2.copy()
    l2[1] = np.nan  # it is traced, so that it cannot raise
    found = path(y=apart, l2=l2)
    due = [0, Status.BAD_INPUT, 0, 0, Status.SEPARATED]
    assert found.status.tolist() == alone(y=apart, l2=l2).status.tolist() == due
    assert np.isnan(found.params.w[1]).all()
    for lane in (0, 2, 3):
        problem, one = problem_of(lane, apart), lane_of(found, lane)
        assert_same_fit(one, one._replace(params=numpy_minimum(problem)), problem)


def test_paths_map_over_labels():
    random = np.random.default_rng(5)
    ys = np.stack([PROBLEM.y, 1 - PROBLEM.y, random.random((1, SHAPE[1]))])
    found = jax.jit(jax.vmap(path_of, in_axes=(0, None, None)))(ys, L2, np.int32(100))
    for lane, y in enumerate(ys):
        assert_path(jax.tree.map(lambda leaf, k=lane: np.asarray(leaf)[k], found), y)

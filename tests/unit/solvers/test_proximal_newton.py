"""The proximal Newton method on toys: its model, its end, and the L1 penalty."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from jlogreg import Status
from jlogreg.objective.penalties import L1
from jlogreg.solvers import driver
from jlogreg.solvers.proximal.proximal_newton import CompositeObjective
from jlogreg.solvers.proximal.quadratic_model import minimize_model
from tests.helpers import EPS
from tests.oracles import toy_objective as toys
from tests.oracles.toy_objective import TOL, K, make_toy

minimized = jax.jit(
    lambda H, g, origin, weights: minimize_model(H, g, origin, L1(weights))
)


def by_coordinates(H, g, origin, weights):
    """Return the minimum of the model by many sweeps over the coordinates."""
    point = origin.copy()
    for _ in range(20_000):
        before = point.copy()
        for j in range(len(H)):
            slope = g[j, 0] + H[j] @ (point - origin)[:, 0]
            u = point[j, 0] - slope / H[j, j]
            size = abs(u) - weights[j, 0] / H[j, j]
            point[j] = np.sign(u) * max(size, 0)
        if (point == before).all():
            break
    return point


@pytest.mark.parametrize("seed", range(8))
def test_the_minimum_of_the_model_is_that_of_coordinate_descent(seed):
    H, random = toys.positive_definite(seed, 8)
    g, origin = random.standard_normal((2, 8, 1))
    weights = random.choice([0.0, 0.3, 1.0], (8, 1))
    due = by_coordinates(H, g, origin, weights)
    unit = np.sqrt(np.diag(H))[:, None]
    first, solved = minimized(H, g, origin, weights)
    assert solved
    near = np.abs(unit * (first - due)).max()
    assert near <= 0.5 * np.abs(unit * (origin - due)).max()
    # The nearer the origin is, the more exact is the minimum.
    point = np.asarray(first)
    for _ in range(3):
        point, solved = minimized(H, g + H @ (point - origin), point, weights)
        point = np.asarray(point)
        assert solved
    np.testing.assert_array_equal(point == 0, due == 0)
    assert 0 < (due == 0).sum() < 8
    np.testing.assert_allclose(point, due, atol=1e-12)


def test_unknowns_without_curvature_go_to_their_kink():
    H = np.diag([1.0, 0.0, 0.0])
    point, solved = minimized(
        H, np.zeros((3, 1)), np.full((3, 1), 2.0), np.array([[0.5], [0.1], [0.0]])
    )
    np.testing.assert_array_equal(point, [[1.5], [0.0], [2.0]])
    assert solved


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_penalty_by_definition(dtype):
    random = np.random.default_rng(0)
    weights = np.array([[0.0], [0.5], [2.0], [1.0]], dtype)
    penalty = L1(weights)
    for point in (random.standard_normal((4, 1)), [[0.3], [0.0], [-1.0], [0.0]]):
        point = np.asarray(point, dtype)
        value = float((weights * np.abs(point)).sum())
        np.testing.assert_allclose(penalty.value(point), value, rtol=1e-6)
        np.testing.assert_array_equal(penalty.slope(point), weights * np.sign(point))
        np.testing.assert_array_equal(
            jax.grad(penalty.value)(jnp.asarray(point)), weights * np.sign(point)
        )
        other = np.asarray(random.standard_normal((4, 1)), dtype)
        change = float((weights * (np.abs(other) - np.abs(point))).sum())
        np.testing.assert_allclose(penalty.change(point, other), change, rtol=1e-5)
        # The proximal point is below all others on a grid.
        step = np.asarray(random.uniform(0.1, 2, (4, 1)), dtype)
        grid = np.linspace(-4, 4, 8001)[None]
        costs = (grid - point) ** 2 / (2 * step) + weights * np.abs(grid)
        best = np.take_along_axis(
            np.broadcast_to(grid, costs.shape), costs.argmin(axis=1)[:, None], 1
        )
        np.testing.assert_allclose(penalty.prox(point, step), best, atol=1e-3)
        # The derivative from before, by a difference.
        h, d = dtype(2.0**-8), np.where(point == 0, dtype(0.25), other)
        before = (penalty.value(point) - penalty.value(point - h * d)) / h
        np.testing.assert_allclose(penalty.slope_before(point, d), before, atol=1e-3)
        # The distance to the subdifferential: the nearest of its elements.
        gradient = np.asarray(random.standard_normal((4, 1)), dtype)
        elements = np.where(point == 0, np.linspace(-1, 1, 2001)[None], np.sign(point))
        due = np.abs(gradient + weights * elements).min(axis=1, keepdims=True)
        found = penalty.subdiff_distance(point, gradient)
        np.testing.assert_allclose(found, due, atol=2e-3)
        np.testing.assert_array_equal(
            penalty.generalized_support(point), (point != 0) | (weights == 0)
        )
    part = penalty.part_to_kink(
        np.array([[1.0], [1.0], [-1.0], [0.0]], dtype),
        np.array([[-2.0], [-2.0], [0.5], [3.0]], dtype),
    )
    np.testing.assert_array_equal(part, [[np.inf], [0.5], [np.inf], [np.inf]])


@jax.jit
def run(toy, weights, max_steps, gap=0.0):
    toy, zero = toys.Toy(*toy), jnp.zeros(())
    penalty, start = L1(weights), jnp.zeros((K, 1))

    def none(point, evaluation):
        return jnp.asarray(gap), zero

    at_zero = toy.value(start)
    objective = CompositeObjective(
        toy.evaluate, penalty, none, at_zero, jnp.asarray(TOL)
    )
    return driver.minimize(jl.ProximalNewton(), objective, start, max_steps)


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_a_run_ends_where_zero_is_a_subgradient(kind):
    toy, _ = make_toy(3, kind)
    weights = np.array([[0.0], [0.2], [0.5], [1.0], [3.0]])
    end = run(toy, weights, 100)
    assert end.status == Status.CONVERGED
    gradient = jax.grad(toys.Toy(*toy).value)(end.point)
    distance = L1(weights).subdiff_distance(end.point, gradient)
    assert np.max(distance) <= 1e-12 * np.abs(toy.A).max() ** 2
    assert (np.asarray(end.point) == 0).any()
    if kind == 0:
        assert end.steps <= 3
        H = np.asarray(toy.A).T @ np.asarray(toy.A)
        due = by_coordinates(H, -H @ np.asarray(toy.c), np.zeros((K, 1)), weights)
        np.testing.assert_allclose(end.point, due, atol=1e4 * EPS)


def test_without_a_proof_there_is_no_end():
    toy, _ = make_toy(3, 1)
    end = run(toy, np.full((K, 1), 0.2), 50, gap=1e-3)
    assert end.status != Status.CONVERGED
    assert end.memory == 1e-3
    assert run(toy, np.full((K, 1), 0.2), 50).status == Status.CONVERGED


def test_without_an_end_the_status_says_so():
    end = run(make_toy(3, 3)[0], np.zeros((K, 1)), 100)
    assert end.status in (Status.DIVERGED, Status.MAX_STEPS, Status.SINGULAR)
    assert run(make_toy(3, 1)[0], np.full((K, 1), 0.1), 1).status == Status.MAX_STEPS

"""The derivatives of a minimum are those of the minimum, in whatever it depends on."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.experimental.sparse import BCOO

import jlogreg as jl
from tests.helpers import (
    EPS,
    SHAPE,
    WIDE,
    assert_close,
    fit_problem,
    has_converged,
    make_problem,
    newton,
    seeds,
    slack,
    stack,
)
from tests.oracles.numpy_fit import numpy_hessian, params_slack

FEW = settings(max_examples=settings.default.max_examples // 4)
STEP = 1e-4
MOVING = ("X", "y", "weight", "offset", "l2")
# Where the sparse features are.
PLACES = np.argwhere(np.arange(60).reshape(SHAPE) % 7 != 3)


def solution(way, problem, moved):
    """Return the results of a fit as a function of what is moved."""
    problem = problem._replace(**moved)
    if way == "sparse":
        data = problem.X[tuple(PLACES.T)]
        problem = problem._replace(X=BCOO((data, jnp.asarray(PLACES)), shape=SHAPE))
    return leaves_of(
        fit_problem(jl.NewtonCG() if way == "newton_cg" else jl.Newton(), problem)
    )


def leaves_of(result):
    return {"w": result.params.w, "b": result.params.b, "cost": result.cost}


def forward(way, problem, direction):
    """Return the derivative along a direction in some of the arguments."""
    here = {name: getattr(problem, name) for name in direction}
    return jax.jvp(partial(solution, way, problem), (here,), (direction,))[1]


def forward_and_reverse(way, problem, direction, weights):
    here = {name: getattr(problem, name) for name in direction}
    pullback = jax.vjp(partial(solution, way, problem), here)[1]
    return forward(way, problem, direction), pullback(weights)[0]


together = jax.jit(forward_and_reverse, static_argnums=0)


@partial(jax.jit, static_argnums=1)
def derivative(problem, name, along):
    """Return the derivative in one argument alone."""
    return forward("newton", problem, {name: along})


def movable_problem(seed, l2, shape=SHAPE, column=False):
    """Return a problem inside its ranges, and a direction in which all of it moves."""
    problem = make_problem(shape, np.float64, "soft labels", seed, l2)
    problem = jax.tree.map(np.asarray, problem)
    random = np.random.default_rng(seed)
    l2 = l2 * random.uniform(0.5, 2, (shape[0], 1)) if column else problem.l2
    problem = problem._replace(y=0.1 + 0.8 * problem.y, l2=l2)
    direction = {
        name: random.uniform(-1, 1, np.shape(getattr(problem, name))) for name in MOVING
    }
    # A weight of 0 cannot decrease: it moves one way only.
    direction["weight"] = direction["weight"] * (problem.weight > 0)
    return problem, direction


def movable(**options):
    return st.builds(
        partial(movable_problem, **options), seeds, st.sampled_from([0.05, 1.0])
    )


def moved_by(problem, direction, h):
    new = {key: getattr(problem, key) + h * part for key, part in direction.items()}
    return problem._replace(**new)


def difference(problem, direction, sides):
    """Return the difference of fits on two sides, and how wrong it may be.

    It errs by what grows with h, at least as much as it changes by when h is doubled;
    and by what the fits may be off, over h.
    """

    def over(h):
        ends = [newton(moved_by(problem, direction, side * h)) for side in sides]
        assert all(map(has_converged, ends))
        one, other = map(leaves_of, ends)
        width = (sides[0] - sides[1]) * h
        return {key: (one[key] - np.asarray(other[key])) / width for key in one}

    result = newton(problem)
    near, far = over(STEP), over(2 * STEP)
    off = params_slack(problem, result.params)
    largest = problem._replace(params=result.params, l2=np.max(problem.l2))
    off = {"cost": slack(largest).J, **off._asdict()}
    grown = {key: 2 * np.abs(far[key] - near[key]) for key in near}
    return near, {key: grown[key] + 2 * off[key] / STEP for key in near}


def assert_derivative(result, problem, direction, sides=(1, -1)):
    expected, within = difference(problem, direction, sides)
    for name in expected:
        assert_close(result[name], expected[name], within[name])


def roundings(problem):
    """Return what a solution of a system with the Hessian may lose, relative."""
    H = numpy_hessian(problem, newton(problem).params)
    unit = np.sqrt(np.diag(H))
    return 64 * sum(problem.X.shape) * EPS * np.linalg.cond(H / unit / unit[:, None])


def assert_transposed(along, slope, direction, weights, within):
    """Assert that <weights, J direction> = <JT weights, direction>."""
    sides = [
        sum(np.sum(np.asarray(tree[key]) * other[key]) for key in other)
        for tree, other in [(along, weights), (slope, direction)]
    ]
    size = [np.abs(slope[key] * direction[key]).sum() for key in direction]
    assert_close(*sides, within * sum(size))


def weights_of(problem, seed=1):
    random = np.random.default_rng(seed)
    n = problem.X.shape[0]
    shapes = {"w": (n, 1), "b": (1, 1), "cost": ()}
    return {key: random.standard_normal(shape) for key, shape in shapes.items()}


WAYS = [
    ("newton", SHAPE, False),
    ("newton", SHAPE, True),
    ("newton_cg", SHAPE, False),
    ("newton", WIDE, False),
    ("sparse", SHAPE, False),
]


@pytest.mark.parametrize(("way", "shape", "column"), WAYS)
def test_forward_and_reverse_are_the_difference_and_each_other(way, shape, column):
    """Of everything at once, by every solver."""

    @FEW
    @given(movable(shape=shape, column=column))
    def check(drawn):
        problem, direction = drawn
        if way == "sparse":
            kept = np.zeros(shape)
            kept[tuple(PLACES.T)] = 1
            problem = problem._replace(X=problem.X * kept)
            direction["X"] = direction["X"] * kept
        weights = weights_of(problem)
        along, slope = together(way, problem, direction, weights)
        assert_derivative(along, problem, direction)
        assert_transposed(along, slope, direction, weights, roundings(problem))

    check()


def test_a_weight_of_0_has_the_derivative_of_putting_a_sample_in():
    """That is one way only: a weight is at least 0."""
    problem, _ = movable_problem(1, 0.5)
    out = np.arange(SHAPE[1])[None] < 6
    problem = problem._replace(weight=1.0 - out)
    along = out * np.arange(1.0, 21)
    result = derivative(problem, "weight", along)
    assert_derivative(result, problem, {"weight": along}, sides=(1, 0))


FAULTS = {
    "one class": lambda good: {"y": np.ones_like(good.y)},
    "X": lambda good: {"X": np.where(np.arange(SHAPE[1]) == 3, np.nan, good.X)},
    "y": lambda good: {"y": np.where(np.arange(SHAPE[1]) == 3, np.inf, good.y)},
}


@jax.jit
@partial(jax.grad, has_aux=True)
def masked_slope(l2, problems):
    """Return the derivative of a sum over the fits that converged."""

    def one(problem):
        result = fit_problem(jl.Newton(), problem._replace(l2=l2))
        # A sum, since 0 times the derivative of a square of NaN would be NaN.
        value = result.params.w.sum() + result.params.b.sum() + result.cost
        return jnp.where(has_converged(result), value, 0.0), result.status

    values, status = jax.vmap(one)(problems)
    return values.sum(), status


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fit_that_failed_has_no_derivative_and_can_be_left_out(fault):
    """Of what is differentiated: a sum over all that converged."""
    good, other = (movable_problem(seed, 0.5)[0] for seed in (1, 2))
    bad = good._replace(**FAULTS[fault](good))
    slope, status = masked_slope(0.5, stack(good, bad, other, bad))
    assert (np.asarray(status) == jl.Status.CONVERGED).tolist() == [True, False] * 2
    expected, status = masked_slope(0.5, stack(good, other, good, other))
    assert (np.asarray(status) == jl.Status.CONVERGED).all()
    assert_close(slope, expected / 2, 64 * EPS * np.abs(expected))
    alone = derivative(bad, "l2", np.ones(()))
    assert all(np.isnan(leaf).all() for leaf in alone.values())


def test_where_a_search_starts_and_stops_has_no_derivative():
    problem, direction = movable_problem(3, 0.5)
    X, y, options = problem.X, problem.y, problem.options

    def total(init, tol, X, most):
        result = jl.fit(X, y, init=init, tol=tol, max_steps=most, **options)
        return result.params.w.sum() + result.params.b.sum() + result.cost

    @jax.jit  # also with a traced number of steps
    def slopes(init, tol, X, most):
        return jax.grad(total, (0, 1, 2))(init, tol, X, most)

    *still, moving = slopes(problem.params, 1e-9, X, np.int32(50))
    for leaf in jax.tree.leaves(still):
        assert not np.any(leaf)
    weights = {"w": np.ones((SHAPE[0], 1)), "b": np.ones((1, 1)), "cost": np.ones(())}
    _, expected = together("newton", problem, direction, weights)
    assert_close(
        moving, expected["X"], roundings(problem) * np.abs(expected["X"]).max()
    )

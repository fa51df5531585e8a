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
from jlogreg import Newton, NewtonCG, Status
from jlogreg.testing import check_vmap
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
    """Return what a fit found, as a function of what is moved."""
    problem = problem._replace(**moved)
    if way == "sparse":
        data = problem.X[tuple(PLACES.T)]
        problem = problem._replace(X=BCOO((data, jnp.asarray(PLACES)), shape=SHAPE))
    found = fit_problem(NewtonCG() if way == "newton_cg" else Newton(), problem)
    return {"w": found.params.w, "b": found.params.b, "cost": found.cost}


def forward(way, problem, direction):
    """Return the derivative along a direction in some of the arguments."""
    here = {name: getattr(problem, name) for name in direction}
    return jax.jvp(partial(solution, way, problem), (here,), (direction,))[1]


def forward_and_reverse(way, problem, direction, weights):
    here = {name: getattr(problem, name) for name in direction}
    pullback = jax.vjp(partial(solution, way, problem), here)[1]
    return forward(way, problem, direction), pullback(weights)[0]


together = jax.jit(forward_and_reverse, static_argnums=0)


@jax.jit
def one_by_one(problem, direction):
    """Return the derivatives in each argument alone."""
    return {
        name: forward("newton", problem, {name: direction[name]}) for name in MOVING
    }


def derivative(problem, name, along):
    """Return the derivative in one argument, by what is compiled for all."""
    still = {key: np.zeros(np.shape(getattr(problem, key))) for key in MOVING}
    return one_by_one(problem, {**still, name: along})[name]


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


def leaves_of(found):
    return {"w": found.params.w, "b": found.params.b, "cost": found.cost}


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

    found = newton(problem)
    near, far = over(STEP), over(2 * STEP)
    off = params_slack(problem, found.params)
    largest = problem._replace(params=found.params, l2=np.max(problem.l2))
    off = {"cost": slack(largest).J, **off._asdict()}
    grown = {key: 2 * np.abs(far[key] - near[key]) for key in near}
    return near, {key: grown[key] + 2 * off[key] / STEP for key in near}


def assert_derivative(found, problem, direction, sides=(1, -1)):
    due, within = difference(problem, direction, sides)
    for name in due:
        assert_close(found[name], due[name], within[name])


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


@pytest.mark.parametrize("name", MOVING)
@FEW
@given(movable())
def test_the_derivative_in_each_argument_is_the_difference(name, drawn):
    problem, direction = drawn
    found = one_by_one(problem, direction)[name]
    assert_derivative(found, problem, {name: direction[name]})
    if name == "l2":  # the envelope theorem: the minimum moves, and J does not see it
        w = np.asarray(newton(problem).params.w)
        due = direction["l2"] * np.sum(w**2) / 2
        off = np.sum(np.abs(w) * params_slack(problem, newton(problem).params).w)
        assert_close(found["cost"], due, off + 8 * EPS * np.abs(due))


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


def test_derivatives_of_many_fits_are_those_of_each():
    drawn = [movable_problem(seed, 0.5) for seed in range(3)]
    batch = stack(*drawn)
    weights = weights_of(drawn[0][0])
    few = max(roundings(problem) for problem, _ in drawn)
    one = partial(together, "newton")
    check_vmap(one, *batch, weights, in_axes=(0, 0, None), roundings=few / EPS)


def test_a_weight_of_0_has_the_derivative_of_putting_a_sample_in():
    """That is one way only: a weight is at least 0."""
    problem, _ = movable_problem(1, 0.5)
    out = np.arange(SHAPE[1])[None] < 6
    problem = problem._replace(weight=1.0 - out)
    along = out * np.arange(1.0, 21)
    found = derivative(problem, "weight", along)
    assert_derivative(found, problem, {"weight": along}, sides=(1, 0))


@jax.jit
def second(problem):
    """Return the second derivative in the penalty."""

    def slope(l2):
        return forward("newton", problem._replace(l2=l2), {"l2": jnp.ones(())})

    return jax.jvp(slope, (problem.l2,), (jnp.ones(()),))[1]


@FEW
@given(movable())
def test_the_second_derivative_in_the_penalty_is_a_difference(drawn):
    problem, _ = drawn
    found = second(problem)

    def over(h):
        there = [problem._replace(l2=problem.l2 + side * h) for side in (1, -1)]
        one, other = (derivative(end, "l2", np.ones(())) for end in there)
        return {key: (one[key] - np.asarray(other[key])) / (2 * h) for key in found}

    near, far = over(STEP), over(2 * STEP)
    params = newton(problem).params
    # The first derivative is H^-1 of w, off by what both are off.
    size = 1 + np.linalg.norm(np.linalg.inv(numpy_hessian(problem, params)), 2)
    off = size * np.vstack(params_slack(problem, params)).max() / STEP
    for key, due in near.items():
        assert_close(found[key], due, np.abs(far[key] - due) + off)


FAULTS = {
    "one class": lambda good: {"y": np.ones_like(good.y)},
    "X": lambda good: {"X": np.where(np.arange(SHAPE[1]) == 3, np.nan, good.X)},
    "y": lambda good: {"y": np.where(np.arange(SHAPE[1]) == 3, np.inf, good.y)},
}


@jax.jit
@partial(jax.grad, has_aux=True)
def masked_slope(l2, lanes):
    """Return the derivative of a sum over the fits that converged."""

    def one(problem):
        found = fit_problem(Newton(), problem._replace(l2=l2))
        # A sum, since 0 times the derivative of a square of NaN would be NaN.
        value = found.params.w.sum() + found.params.b.sum() + found.cost
        return jnp.where(has_converged(found), value, 0.0), found.status

    values, status = jax.vmap(one)(lanes)
    return values.sum(), status


@pytest.mark.parametrize("fault", FAULTS)
def test_fits_that_failed_can_be_left_out_of_what_is_differentiated(fault):
    good, other = (movable_problem(seed, 0.5)[0] for seed in (1, 2))
    bad = good._replace(**FAULTS[fault](good))
    slope, status = masked_slope(0.5, stack(good, bad, other, bad))
    assert (np.asarray(status) == Status.CONVERGED).tolist() == [True, False] * 2
    due, status = masked_slope(0.5, stack(good, other, good, other))
    assert (np.asarray(status) == Status.CONVERGED).all()
    assert_close(slope, due / 2, 64 * EPS * np.abs(due))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fit_that_failed_has_no_derivative(fault):
    good, _ = movable_problem(1, 0.5)
    bad = good._replace(**FAULTS[fault](good))
    found = derivative(bad, "l2", np.ones(()))
    assert all(np.isnan(leaf).all() for leaf in found.values())


def test_where_a_search_starts_and_stops_has_no_derivative():
    problem, direction = movable_problem(3, 0.5)
    X, y, options = problem.X, problem.y, problem.options

    def total(init, tol, X, most):
        found = jl.fit(X, y, init=init, tol=tol, max_steps=most, **options)
        return found.params.w.sum() + found.params.b.sum() + found.cost

    @jax.jit  # also with a traced number of steps
    def slopes(init, tol, X, most):
        return jax.grad(total, (0, 1, 2))(init, tol, X, most)

    *still, moving = slopes(problem.params, 1e-9, X, np.int32(50))
    for leaf in jax.tree.leaves(still):
        assert not np.any(leaf)
    weights = {"w": np.ones((SHAPE[0], 1)), "b": np.ones((1, 1)), "cost": np.ones(())}
    _, due = together("newton", problem, direction, weights)
    assert_close(moving, due["X"], roundings(problem) * np.abs(due["X"]).max())

"""Gradient descent: the textbook's steps, in either coordinates, by any optimizer."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given

import jlogreg as jl
from jlogreg import Params, gradient_descent, loops
from jlogreg.data.samples import Samples
from jlogreg.fitting.gradient_descent import _in_features, _in_span, _span_is_cheaper
from jlogreg.solvers.first_order import descend
from tests.helpers import EPS, assert_close, make_problem, problems, slack

STEPS = 20


def rate_of(problem):
    """Return 1 / L, L a bound of the largest eigenvalue of the Hessian.

    With it a step of descent on a convex function brings no two points further apart,
    so that the roundings of the steps add up, and no more.
    """
    X = np.vstack([problem.X, np.ones((1, problem.X.shape[1]))]).astype(float)
    weight = np.asarray(problem.weight, float)
    largest = (weight * (X**2).sum(axis=0)).sum() / weight.sum() / 4
    return 1 / (largest + float(problem.l2))


def slack_after(problem, steps, rate):
    """Return how far two descents may be apart after this many steps, in norm."""
    one = slack(problem)
    eps = float(np.finfo(problem.X.dtype).eps)
    # The iterates move; the slopes are bounded along the way by those at the start.
    norm = float(np.sqrt((one.w**2).sum() + (one.b**2).sum()))
    w, b = (np.asarray(leaf, float) for leaf in problem.params)
    size = np.sqrt((w**2).sum() + (b**2).sum())
    path = steps * rate * np.sqrt((np.asarray(problem.X, float) ** 2).sum() + 1)
    return 4 * steps * (rate * norm + eps * (size + path))


def by_loops(problem, rate, steps):
    """Descend by the textbook's loops, in double precision."""
    w, b = (np.asarray(leaf, float) for leaf in problem.params)
    costs = []
    for _ in range(steps):
        J, slope = loops.value_and_gradient(
            Params(w, b), *problem.arguments[1:], **problem.options
        )
        costs.append(J)
        w, b = w - rate * slope.w, b - rate * slope.b
    return w, b, np.array([costs])


coordinates_of = {"features": _in_features, "span": _in_span}


@partial(jax.jit, static_argnums=0)
def descend_in(name, problem, rate):
    samples = Samples(jl.Dense(problem.X), problem.y, problem.weight, problem.offset)
    coordinates = coordinates_of[name](problem.params, samples, problem.l2)
    end, costs = descend(
        coordinates.value_and_direction, coordinates.start, optax.sgd(rate), STEPS
    )
    return coordinates.params(end), costs.reshape(1, -1)


@given(
    problems(
        hazards=["plain", "zero start", "soft labels"],
        shapes=[(1, 7), (3, 20), (30, 6)],
    )
)
def test_the_iterates_in_the_span_are_those_on_the_features(problem):
    """To rounding, wide or tall, with weights, offset, penalty and any start."""
    rate = jnp.asarray(rate_of(problem), problem.X.dtype)
    span, span_costs = descend_in("span", problem, rate)
    plain, plain_costs = descend_in("features", problem, rate)
    far = slack_after(problem, STEPS, float(rate))
    assert_close(span.w, plain.w, far)
    assert_close(span.b, plain.b, far)
    norm = float(np.sqrt((np.asarray(problem.X, float) ** 2).sum() + 1))
    within = slack(problem).J + (1 + norm) * far
    assert_close(span_costs, plain_costs, within)


@pytest.mark.parametrize("shape", [(30, 6), (3, 20)])
@pytest.mark.parametrize("name", ["features", "span"])
def test_the_iterates_are_the_textbooks(name, shape):
    problem = make_problem(shape, np.float64, seed=5)
    rate = rate_of(problem)
    params, costs = descend_in(name, problem, jnp.asarray(rate))
    w, b, due = by_loops(problem, rate, STEPS)
    assert_close(params.w, w, 1e4 * EPS)
    assert_close(params.b, b, 1e4 * EPS)
    assert_close(costs, due, 1e4 * EPS)


@pytest.mark.parametrize(
    ("shape", "l2"),
    [
        ((64, 8), 0.01),
        ((3, 20), 0.01),
        ((30, 6), 0.0),
        ((30, 6), 0.5),
        ((30, 6), np.full((30, 1), 0.5)),
    ],
)
def test_gradient_descent_is_the_textbooks(shape, l2):
    problem = make_problem(shape, np.float64, seed=2)._replace(l2=l2)
    result = gradient_descent(
        *problem.arguments, learning_rate=0.02, steps=100, **problem.options
    )
    w, b, costs = by_loops(problem, 0.02, 100)
    assert isinstance(result, jl.Descent)
    assert result.costs.shape == (1, 100)
    assert_close(result.params.w, w, 1e4 * EPS)
    assert_close(result.params.b, b, 1e4 * EPS)
    assert_close(result.costs, costs, 1e4 * EPS)
    start = jl.cost(*problem.arguments, **problem.options)
    assert_close(result.costs[0, 0], start, 64 * EPS)


def test_the_wide_problem_is_solved_in_the_span_and_the_tall_one_is_not():
    def samples(n, m):
        return Samples(jl.Dense(np.zeros((n, m))), np.zeros((1, m)))

    assert _span_is_cheaper(samples(12288, 209), 2000)
    assert not _span_is_cheaper(samples(12288, 209), 1)
    assert not _span_is_cheaper(samples(20, 1000), 2000)
    assert _span_is_cheaper(samples(100, 100), 2000)
    assert not _span_is_cheaper(samples(100, 101), 2000)  # a Gram matrix beyond X


def gram_products(problem, **options):
    """Return how many arrays of shape (m, m) the descent makes."""
    m = problem.X.shape[1]
    traced = jax.make_jaxpr(partial(gradient_descent, steps=500, **options))
    text = str(traced(*problem.arguments))
    return text.count(f"f64[{m},{m}]")


@jax.numpy_dtype_promotion("standard")
@pytest.mark.parametrize(
    "optimizer",
    [optax.lbfgs(), optax.adam(0.05), optax.MultiSteps(optax.sgd(0.05), 2)],
)
def test_optimizers_work_in_float32_where_float64_is_at_hand(optimizer):
    problem = make_problem((3, 20), np.float32)
    found = gradient_descent(*problem.arguments, steps=15, optimizer=optimizer)
    assert found.params.w.dtype == found.costs.dtype == np.float32
    assert found.costs[0, -1] < found.costs[0, 0]


@jax.numpy_dtype_promotion("standard")
def test_only_plain_descent_with_one_penalty_is_done_in_the_span():
    """Adam steps each weight by itself, and a penalty a feature leaves the span."""
    problem = make_problem((30, 6), np.float64)
    assert gram_products(problem, learning_rate=0.1) > 0
    assert gram_products(problem, learning_rate=0.1, l2=0.5) > 0
    assert gram_products(problem, learning_rate=0.1, l2=np.ones((30, 1))) == 0
    assert gram_products(problem, learning_rate=0.1, optimizer=optax.adam) == 0


def test_the_span_overflows_no_earlier_than_the_features():
    """The squares of the columns are beyond float32 here, so XT X would be infinite."""
    problem = make_problem((30, 6), np.float32, "zero start", l2=0.0)
    X = np.asarray(problem.X, float)
    X = (X / np.linalg.norm(X, axis=0, keepdims=True) * 2.0**64.5).astype(np.float32)
    problem = problem._replace(X=jnp.asarray(X))
    assert not np.isfinite((problem.X.T @ problem.X).diagonal()).any()
    rate = jnp.asarray(2.0**-126, np.float32)
    _, due = descend_in("features", problem, rate)
    _, found = descend_in("span", problem, rate)
    assert due[0, -1] < 0.9 * due[0, 0]
    np.testing.assert_allclose(found, due, rtol=1e-4)


def test_no_steps_change_nothing():
    problem = make_problem((3, 20), np.float64)
    found = gradient_descent(*problem.arguments, learning_rate=0.1, steps=0)
    assert found.costs.shape == (1, 0)
    assert_close(found.params.w, problem.params.w, 0)
    assert_close(found.params.b, problem.params.b, 0)


def test_one_step_after_another_is_two_steps():
    """So a long descent may be interrupted anywhere."""
    problem = make_problem((30, 6), np.float64)
    descent = partial(gradient_descent, learning_rate=0.02, **problem.options)
    whole = descent(*problem.arguments, steps=60)
    first = descent(*problem.arguments, steps=25)
    second = descent(first.params, *problem.arguments[1:], steps=35)
    assert_close(second.params.w, whole.params.w, 1e4 * EPS)
    costs = jnp.concatenate([first.costs, second.costs], axis=1)
    assert_close(costs, whole.costs, 1e4 * EPS)


@pytest.mark.parametrize(
    ("optimizer", "rate"),
    [
        (optax.adam, 0.05),
        (partial(optax.sgd, momentum=0.9), 0.02),
        (optax.adam(0.05), None),
        (optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.05)), None),
        (optax.sgd(optax.cosine_decay_schedule(0.1, 50)), None),
        (optax.lbfgs(), None),
    ],
)
@jax.numpy_dtype_promotion("standard")  # optax itself promotes its step count
def test_any_optax_optimizer_steps_as_it_does_by_hand(optimizer, rate):
    problem = make_problem((30, 6), np.float64)
    found = gradient_descent(
        *problem.arguments,
        learning_rate=rate,
        steps=12,
        optimizer=optimizer,
        **problem.options,
    )
    update = optax.with_extra_args_support(
        optimizer if rate is None else optimizer(rate)
    )
    X, y = problem.X, problem.y

    @jax.jit
    def step(params, state):
        J, slope = jl.value_and_gradient(params, X, y, **problem.options)
        extra = {
            "value": J,
            "grad": slope,
            "value_fn": lambda params: jl.cost(params, X, y, **problem.options),
        }
        updates, state = update.update(slope, state, params, **extra)
        return optax.apply_updates(params, updates), state, J

    params, state, costs = problem.params, update.init(problem.params), []
    for _ in range(12):
        params, state, J = step(params, state)
        costs.append(float(J))
    assert_close(found.costs, [costs], 1e6 * EPS)
    assert_close(found.params.w, params.w, 1e6 * EPS)


def test_a_rate_that_is_too_large_shows_in_the_costs():
    problem = make_problem((3, 20), np.float64, l2=1.0)
    costs = gradient_descent(
        *problem.arguments, learning_rate=1e3, steps=50, l2=1.0
    ).costs
    assert not costs[0, -1] <= costs[0, 0]


def test_descent_can_be_differentiated_in_its_rate():
    """dJ/d(rate) after one step is minus the squared norm of the gradient."""
    problem = make_problem((3, 20), np.float64)

    def after_one_step(rate):
        params = gradient_descent(*problem.arguments, learning_rate=rate, steps=1)[0]
        return jl.cost(params, problem.X, problem.y)

    slope = jl.gradient(*problem.arguments)
    due = -(jnp.sum(slope.w**2) + jnp.sum(slope.b**2))
    tiny = 1e-12
    assert_close(jax.grad(after_one_step)(tiny), due, 1e-9)
    assert_close(jax.jvp(after_one_step, (tiny,), (1.0,))[1], due, 1e-9)

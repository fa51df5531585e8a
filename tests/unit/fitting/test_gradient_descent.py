"""Gradient descent: the textbook's steps, in either coordinates, by any optimizer."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings

import jlogreg as jl
from jlogreg import gradient_descent
from jlogreg.data.samples import Samples
from jlogreg.fitting.gradient_descent import _in_features, _in_span, _span_is_cheaper
from jlogreg.formulations import problem as fitting_problem
from jlogreg.solvers.first_order import descend
from tests.helpers import (
    EPS,
    assert_close,
    assert_params_close,
    cost_and_gradient,
    make_problem,
    problems,
    same_bits,
)

STEPS = 20
SOME = settings(max_examples=settings.default.max_examples // 2)
TALL, WIDE = (3, 20), (30, 6)
ROUNDINGS = jl.Params(1e4 * EPS, 1e4 * EPS)


def rate_of(problem):
    """Return 1 / L, L a bound of the largest eigenvalue of the Hessian.

    With it a step of descent on a convex function brings no two points further apart,
    so that the roundings of the steps add up, and no more.
    """
    X = np.vstack([problem.X, np.ones((1, problem.X.shape[1]))])
    largest = (problem.weight * (X**2).sum(axis=0)).sum() / problem.weight.sum() / 4
    return 1 / (largest + problem.l2)


def by_hand(problem, rate, steps):
    """Return params and costs of the textbook's steps."""
    params, costs = problem.params, []
    for _ in range(steps):
        J, slope = cost_and_gradient(params, problem)
        costs.append(J)
        params = jl.Params(*(p - rate * d for p, d in zip(params, slope, strict=True)))
    return params, np.array([costs])


@partial(jax.jit, static_argnums=0)
def descend_in(unknowns_of, problem, rate):
    samples = Samples(jl.Dense(problem.X), problem.y, problem.weight, problem.offset)
    unknowns = unknowns_of(problem.params, fitting_problem.Problem(samples, problem.l2))
    optimizer = optax.sgd(rate)
    end, costs = descend(unknowns.value_and_direction, unknowns.start, optimizer, STEPS)
    return unknowns.params(end), costs.reshape(1, -1)


@SOME
@given(
    problems(
        dtypes=(np.float64,),
        hazards=["plain", "zero start", "soft labels"],
        shapes=[(1, 7), TALL, WIDE],
    )
)
def test_the_iterates_are_the_textbooks_on_the_features_and_in_the_span(problem):
    """To rounding, wide or tall, with weights, offset, penalty and any start."""
    rate = rate_of(problem)
    expected, expected_costs = by_hand(problem, rate, STEPS)
    for unknowns_of in (_in_features, _in_span):
        params, costs = descend_in(unknowns_of, problem, rate)
        assert_params_close(params, expected, ROUNDINGS)
        assert_close(costs, expected_costs, 1e4 * EPS)


@pytest.mark.parametrize(
    ("shape", "l2"), [(TALL, 0.01), (WIDE, 0.5), (WIDE, np.full((30, 1), 0.5))]
)
def test_gradient_descent_is_the_textbooks(shape, l2):
    problem = make_problem(shape, np.float64, seed=2)._replace(l2=l2)
    descent = partial(gradient_descent, learning_rate=0.02, **problem.options)
    result = descent(*problem.arguments, steps=60)
    params, costs = by_hand(problem, 0.02, 60)
    assert isinstance(result, jl.Descent)
    assert_params_close(result.params, params, ROUNDINGS)
    assert_close(result.costs, costs, 1e4 * EPS)
    # One step after another is two steps, so a long descent may be interrupted.
    first = descent(*problem.arguments, steps=25)
    second = descent(first.params, *problem.arguments[1:], steps=35)
    assert_params_close(second.params, params, ROUNDINGS)
    both = jnp.concatenate([first.costs, second.costs], axis=1)
    assert_close(both, costs, 1e4 * EPS)


def test_no_steps_change_nothing():
    problem = make_problem(TALL, np.float64)
    result = gradient_descent(*problem.arguments, learning_rate=0.1, steps=0)
    assert result.costs.shape == (1, 0)
    assert same_bits(result.params, problem.params)


@pytest.mark.parametrize(
    ("n", "m", "steps", "expected"),
    [
        (12288, 209, 2000, True),
        (12288, 209, 1, False),
        (20, 1000, 2000, False),
        (100, 100, 2000, True),
        (100, 101, 2000, False),  # a Gram matrix beyond X
    ],
)
def test_a_wide_problem_is_solved_in_the_span(n, m, steps, expected):
    samples = Samples(jl.Dense(np.zeros((n, m))), np.zeros((1, m)))
    assert _span_is_cheaper(samples, steps) == expected


def gram_products(problem, **options):
    """Return how many arrays of shape (m, m) the descent makes."""
    m = problem.X.shape[1]
    traced = jax.make_jaxpr(partial(gradient_descent, steps=500, **options))
    text = str(traced(*problem.arguments))
    return text.count(f"f64[{m},{m}]")


@jax.numpy_dtype_promotion("standard")
def test_only_plain_descent_with_one_penalty_is_done_in_the_span():
    """Adam steps each weight by itself, and a penalty a feature leaves the span."""
    problem = make_problem(WIDE, np.float64)
    assert gram_products(problem, learning_rate=0.1) > 0
    assert gram_products(problem, learning_rate=0.1, l2=0.5) > 0
    assert gram_products(problem, learning_rate=0.1, l2=np.ones((30, 1))) == 0
    assert gram_products(problem, learning_rate=0.1, optimizer=optax.adam) == 0


def test_the_span_overflows_no_earlier_than_the_features():
    """The squares of the columns are beyond float32 here, so XT X would be infinite."""
    problem = make_problem(WIDE, np.float32, "zero start", l2=0.0)
    X = np.asarray(problem.X, float)
    X = (X / np.linalg.norm(X, axis=0, keepdims=True) * 2.0**64.5).astype(np.float32)
    problem = problem._replace(X=jnp.asarray(X))
    assert not np.isfinite((problem.X.T @ problem.X).diagonal()).any()
    rate = jnp.asarray(2.0**-126, np.float32)
    _, expected = descend_in(_in_features, problem, rate)
    _, costs = descend_in(_in_span, problem, rate)
    assert expected[0, -1] < 0.9 * expected[0, 0]
    np.testing.assert_allclose(costs, expected, rtol=1e-4)


@pytest.mark.parametrize(
    "optimizer",
    [optax.lbfgs(), optax.adam(0.05), optax.MultiSteps(optax.sgd(0.05), 2)],
)
@jax.numpy_dtype_promotion("standard")  # optax itself promotes its step count
def test_optimizers_work_in_float32_where_float64_is_at_hand(optimizer):
    problem = make_problem(TALL, np.float32)
    result = gradient_descent(*problem.arguments, steps=15, optimizer=optimizer)
    assert result.params.w.dtype == result.costs.dtype == np.float32
    assert result.costs[0, -1] < result.costs[0, 0]


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
@jax.numpy_dtype_promotion("standard")
def test_any_optax_optimizer_steps_as_it_does_by_hand(optimizer, rate):
    problem = make_problem(WIDE, np.float64)
    result = gradient_descent(
        *problem.arguments,
        learning_rate=rate,
        steps=12,
        optimizer=optimizer,
        **problem.options,
    )
    made = optimizer if rate is None else optimizer(rate)
    update = optax.with_extra_args_support(made)

    @jax.jit
    def step(params, state):
        def cost(params):
            return jl.cost(params, problem.X, problem.y, **problem.options)

        J, slope = jax.value_and_grad(cost)(params)
        extra = {"value": J, "grad": slope, "value_fn": cost}
        updates, state = update.update(slope, state, params, **extra)
        return optax.apply_updates(params, updates), state, J

    params, state, costs = problem.params, update.init(problem.params), []
    for _ in range(12):
        params, state, J = step(params, state)
        costs.append(float(J))
    assert_close(result.costs, [costs], 1e6 * EPS)
    assert_close(result.params.w, params.w, 1e6 * EPS)

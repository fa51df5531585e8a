"""Laws of every fit: it is the minimum, by any method."""

from functools import partial

import jax
import numpy as np
import optax
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import jlogreg as jl
from tests.helpers import (
    SHAPE,
    WIDE,
    assert_close,
    cost_and_gradient,
    fit_problem,
    has_converged,
    newton,
    newton_cg,
    problems,
    slack,
)
from tests.oracles.numpy_fit import assert_minimum, assert_same_fit, gradient_slack

SOME = settings(max_examples=settings.default.max_examples * 2 // 5)
float64s = partial(problems, dtypes=(np.float64,))
with jax.numpy_dtype_promotion("standard"):  # optax itself promotes its step count
    LBFGS = jl.Optax(optax.lbfgs())
lbfgs = jax.jit(partial(fit_problem, LBFGS))


@SOME
@given(float64s(shapes=[SHAPE]))
def test_the_gradient_is_0_and_the_cost_that_of_the_params(problem):
    """So no other point costs less: the cost is convex."""
    result = newton(problem)
    assume(has_converged(result))
    J, gradient = cost_and_gradient(result.params, problem)
    zero = np.zeros((SHAPE[0] + 1, 1))
    assert_close(np.vstack(gradient), zero, gradient_slack(problem, result.params))
    within = slack(problem._replace(params=result.params)).J
    assert_close(result.cost, J, within)


@SOME
@given(float64s(shapes=[SHAPE]))
def test_all_solvers_find_the_minimum_of_newton(problem):
    expected = newton(problem)
    assume(has_converged(expected))
    assert_same_fit(newton_cg(problem), expected, problem, inexact=True)
    with jax.numpy_dtype_promotion("standard"):
        result = lbfgs(problem)
    if has_converged(result):
        assert_same_fit(result, expected, problem, inexact=True)


@SOME
@given(float64s(shapes=[WIDE], hazards=["plain", "soft labels"]))
def test_the_span_of_the_samples_holds_the_minimum(problem):
    problem = problem._replace(l2=np.maximum(problem.l2, 0.01))
    result = newton(problem)
    assume(has_converged(result))  # not with labels of one class
    # Products with the Gram matrix add up more, each of n terms, than w itself does.
    assert_minimum(result, problem, times=2 * sum(WIDE))
    assert_same_fit(newton_cg(problem), result, problem, inexact=True)


@SOME
@given(
    float64s(shapes=[SHAPE, WIDE]),
    st.integers(-3, 6),
    st.sampled_from([0, 1, 2, 100]),
    st.sampled_from([newton, newton_cg]),
)
def test_no_fit_costs_more_than_its_start(problem, reach, max_steps, solve):
    start = jax.tree.map(lambda leaf: leaf * 10.0**reach, problem.params)
    problem = problem._replace(params=start, l2=np.maximum(problem.l2, 1e-3))
    result = solve(problem, np.int32(max_steps))
    end = problem._replace(params=result.params)
    first, last = (cost_and_gradient(p.params, p)[0] for p in (problem, end))
    assert last <= first + slack(problem).J + slack(end).J
    assert result.steps <= max_steps

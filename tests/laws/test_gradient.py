"""The analytic gradient is the gradient: by autodiff, loops and a complex step."""

import jax
import numpy as np
import pytest
from hypothesis import given

import jlogreg as jl
from jlogreg import Params, loops
from jlogreg.testing import Kind, check_gradient
from tests.helpers import (
    assert_close,
    assert_params_close,
    hessian_slack,
    make_problem,
    problems,
    seeds,
    slack,
)

compiled_gradient = jax.jit(jl.gradient)
compiled_both = jax.jit(jl.value_and_gradient)
compiled_cost = jax.jit(jl.cost)
compiled_hessian = jax.jit(jl.hessian)
autodiff_hessian = jax.jit(jax.hessian(jl.cost))
compiled_product = jax.jit(jl.hessian_vector)


def textbook(problem):
    """Return the cost as NumPy writes it for complex parameters."""
    X, y, weight, offset, l2 = (np.asarray(array, float) for array in problem[1:])

    def J(params):
        w, b = params
        z = w.T @ X + b + offset
        losses = np.where(z.real > 0, (1 - y) * z, -y * z) + np.log1p(
            np.exp(np.where(z.real > 0, -z, z))
        )
        return np.sum(weight * losses) / weight.sum() + l2 * np.sum(w * w) / 2

    return J


@given(problems(hazards=list(Kind)))
def test_gradient_is_that_of_the_cost(problem):
    """Against autodiff and a complex step of the textbook's cost."""

    def at(function):
        return lambda params: function(params, *problem[1:3], **problem.options)

    within = Params(*slack(problem)[1:])
    formula = textbook(problem)
    f, slope = at(compiled_cost), at(compiled_gradient)
    check_gradient(f, problem.params, slope, formula=formula, within=within)


@given(problems(hazards=list(Kind)))
def test_cost_and_gradient_equal_the_loops(problem):
    J, slope = compiled_both(*problem.arguments, **problem.options)
    due_J, due = loops.value_and_gradient(*problem.arguments, **problem.options)
    within = slack(problem)
    assert_close(J, due_J, within.J)
    assert_params_close(slope, due, within)
    assert_close(compiled_cost(*problem.arguments, **problem.options), due_J, within.J)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("hazard", Kind)
def test_gradient_equals_the_loops_on_every_hazard(hazard, dtype):
    """Hypothesis draws hazards; this makes sure that none is ever left out."""
    for seed in range(3):
        problem = make_problem((3, 20), dtype, hazard, seed)
        found = compiled_gradient(*problem.arguments, **problem.options)
        due = loops.gradient(*problem.arguments, **problem.options)
        assert_params_close(found, due, slack(problem))


def flattened(tree):
    """Return a Hessian that jax.hessian made as one matrix, in the order w, then b."""
    n = tree.w.w.shape[0]
    return np.block(
        [
            [np.reshape(tree.w.w, (n, n)), np.reshape(tree.w.b, (n, 1))],
            [np.reshape(tree.b.w, (1, n)), np.reshape(tree.b.b, (1, 1))],
        ]
    )


@given(problems())
def test_hessian_equals_autodiff_of_the_cost(problem):
    found = compiled_hessian(*problem.arguments, **problem.options)
    due = flattened(autodiff_hessian(*problem.arguments, **problem.options))
    assert_close(found, due, hessian_slack(problem))


@given(problems(), seeds)
def test_hessian_vector_is_the_hessian_times_the_vector(problem, seed):
    random = np.random.default_rng(seed)
    vector = jax.tree.map(
        lambda leaf: random.standard_normal(leaf.shape).astype(leaf.dtype),
        problem.params,
    )
    found = compiled_product(
        problem.params, Params(*vector), problem.X, problem.y, **problem.options
    )
    H = np.asarray(compiled_hessian(*problem.arguments, **problem.options), float)
    column = np.vstack(vector).astype(float)
    n, eps = len(column), float(np.finfo(problem.X.dtype).eps)
    X = np.vstack([np.abs(problem.X), np.ones((1, problem.X.shape[1]))]).astype(float)
    weight = np.asarray(problem.weight, float)
    size = (X * weight) @ X.T / weight.sum() / 4 + float(problem.l2)
    within = hessian_slack(problem) @ np.abs(column) + 4 * n * eps * size @ np.abs(
        column
    )
    assert_close(np.vstack(found), H @ column, within)

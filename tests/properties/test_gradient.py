"""The analytic gradient is the gradient: by autodiff, by loops, by a complex step."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jlogreg import (
    Params,
    cost,
    gradient,
    hessian,
    hessian_vector,
    loops,
    value_and_gradient,
)
from tests.problems import (
    HAZARDS,
    assert_close,
    assert_params_close,
    make_problem,
    problems,
    slack,
)

compiled_gradient = jax.jit(gradient)
compiled_both = jax.jit(value_and_gradient)
compiled_cost = jax.jit(cost)
autodiff_gradient = jax.jit(jax.grad(cost))
compiled_hessian = jax.jit(hessian)
autodiff_hessian = jax.jit(jax.hessian(cost))
compiled_product = jax.jit(hessian_vector)


@given(problems())
def test_gradient_equals_autodiff_of_the_cost(problem):
    found = compiled_gradient(*problem.arguments, **problem.options)
    due = autodiff_gradient(*problem.arguments, **problem.options)
    assert_params_close(found, due, slack(problem))


@given(problems())
def test_cost_and_gradient_equal_the_loops(problem):
    J, slope = compiled_both(*problem.arguments, **problem.options)
    due_J, due = loops.value_and_gradient(*problem.arguments, **problem.options)
    within = slack(problem)
    assert_close(J, due_J, within.J)
    assert_params_close(slope, due, within)
    assert_close(compiled_cost(*problem.arguments, **problem.options), due_J, within.J)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("hazard", HAZARDS)
def test_gradient_equals_the_loops_on_every_hazard(hazard, dtype):
    """Hypothesis draws hazards; this makes sure that none is ever left out."""
    for seed in range(3):
        problem = make_problem((3, 20), dtype, hazard, seed)
        found = compiled_gradient(*problem.arguments, **problem.options)
        due = loops.gradient(*problem.arguments, **problem.options)
        assert_params_close(found, due, slack(problem))


def test_hazards_are_what_they_say():
    """Assert on the generator, or the hazards above could be empty words."""
    huge = [
        make_problem((3, 20), np.float64, "huge logits", seed) for seed in range(40)
    ]
    largest = [np.abs(p.params.w.T @ p.X).max() for p in huge]
    assert min(largest) >= 99
    assert max(largest) > 5e3
    assert not make_problem((3, 20), np.float64, "zero start").params.w.any()
    soft = make_problem((3, 20), np.float64, "soft labels").y
    assert ((soft > 0) & (soft < 1)).all()
    scaled = np.abs(make_problem((30, 6), np.float64, "scaled features").X).max(axis=1)
    assert scaled.max() / scaled.min() > 1e4


def complex_step_gradient(problem, step=1e-30):
    """Differentiate a cost written in complex NumPy: no subtraction, no rounding.

    f'(x) = Im f(x + ih) / h to h^2, so the derivative is as exact as the value.
    """
    w, b = np.asarray(problem.params.w), np.asarray(problem.params.b)
    X, y, weight, offset, l2 = (np.asarray(array) for array in problem[1:])

    def J(w, b):
        z = w.T @ X + b + offset
        losses = np.where(z.real > 0, (1 - y) * z, -y * z) + np.log1p(
            np.exp(np.where(z.real > 0, -z, z))
        )
        return np.sum(weight * losses) / weight.sum() + l2 * np.sum(w * w) / 2

    dw = np.zeros_like(w)
    for j in range(w.shape[0]):
        nudge = np.zeros(w.shape, complex)
        nudge[j, 0] = 1j * step
        dw[j, 0] = J(w + nudge, b).imag / step
    return Params(w=dw, b=np.full((1, 1), J(w, b + 1j * step).imag / step))


@given(problems(dtypes=(np.float64,)))
def test_gradient_equals_a_complex_step(problem):
    found = compiled_gradient(*problem.arguments, **problem.options)
    assert_params_close(found, complex_step_gradient(problem), slack(problem))


@pytest.mark.parametrize("planted", [1e-6, -1e-9])
def test_the_comparison_notices_a_wrong_gradient(planted):
    problem = make_problem((3, 20), np.float64)
    found = gradient(*problem.arguments, **problem.options)
    wrong = Params(w=found.w * (1 + planted), b=found.b)
    with pytest.raises(AssertionError, match="too far"):
        assert_params_close(wrong, complex_step_gradient(problem), slack(problem))


def flattened(tree):
    """Return a Hessian that jax.hessian made as one matrix, in the order w, then b."""
    n = tree.w.w.shape[0]
    return np.block(
        [
            [np.reshape(tree.w.w, (n, n)), np.reshape(tree.w.b, (n, 1))],
            [np.reshape(tree.b.w, (1, n)), np.reshape(tree.b.b, (1, 1))],
        ]
    )


def hessian_slack(problem):
    """Return how far two roundings of the Hessian may be apart, elementwise.

    The curvature a (1 - a) is at most 1/4 and moves by at most error_z / 10.
    """
    X = np.vstack([np.abs(problem.X), np.ones((1, problem.X.shape[1]))]).astype(float)
    w = np.abs(np.vstack(problem.params).astype(float))
    weight = np.asarray(problem.weight, float)
    eps = float(np.finfo(problem.X.dtype).eps)
    size_z = w.T @ X + np.abs(np.asarray(problem.offset, float))
    error = eps * ((len(X) + 2) * size_z / 10 + (X.shape[1] + 8) / 4)
    return 2 * ((X * weight * error) @ X.T / weight.sum() + 4 * eps * float(problem.l2))


@given(problems())
def test_hessian_equals_autodiff_of_the_cost(problem):
    found = compiled_hessian(*problem.arguments, **problem.options)
    due = flattened(autodiff_hessian(*problem.arguments, **problem.options))
    assert_close(found, due, hessian_slack(problem))


@given(problems(), st.integers(0, 2**32 - 1))
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

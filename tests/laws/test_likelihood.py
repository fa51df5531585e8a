"""From the likelihood of one sample to the cost of m: the derivation, step by step."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given

from jlogreg import (
    Params,
    cost,
    likelihood,
    log_likelihood,
    log_loss,
    logits,
    predict_proba,
)
from tests.helpers import assert_close, problems

likelihoods = jax.jit(likelihood)
WELL_SCALED = ["plain", "zero start", "soft labels"]


@given(problems(dtypes=(np.float64,), hazards=WELL_SCALED))
def test_likelihood_is_a_to_the_y_times_one_minus_a_to_the_rest(problem):
    """Equation (4), with a from its definition 1 / (1 + exp(-z))."""
    z = np.asarray(logits(problem.params, problem.X))
    a, y = 1 / (1 + np.exp(-z)), np.asarray(problem.y)
    due = a**y * (1 - a) ** (1 - y)
    # 1 - a is off by eps, which is eps / (1 - a) of it.
    within = 16 * np.finfo(float).eps * due * (1 + np.abs(z) + 1 / (1 - a) + 1 / a)
    assert_close(likelihoods(jnp.asarray(z), problem.y), due, within)


@given(problems(dtypes=(np.float64,), hazards=WELL_SCALED))
def test_likelihoods_of_the_two_labels_sum_to_one(problem):
    z = logits(problem.params, problem.X)
    both = likelihoods(z, jnp.zeros_like(z)) + likelihoods(z, jnp.ones_like(z))
    assert_close(both, np.ones(z.shape), 8 * np.finfo(float).eps)
    a = predict_proba(problem.params, problem.X)
    within = 8 * np.finfo(float).eps * np.asarray(a)
    assert_close(likelihoods(z, jnp.ones_like(z)), a, within)


@given(problems(dtypes=(np.float64,), hazards=WELL_SCALED))
def test_logarithm_of_the_likelihood_is_minus_the_loss(problem):
    """Equations (5) and (6)."""
    z = logits(problem.params, problem.X)
    p = np.asarray(likelihoods(z, problem.y))
    within = 32 * np.finfo(float).eps * (1 + np.abs(z))
    assert_close(log_likelihood(z, problem.y), np.log(p), within)
    assert_close(log_loss(z, problem.y), -np.log(p), within)


@given(problems(dtypes=(np.float64,), hazards=WELL_SCALED))
def test_exp_of_minus_m_times_the_cost_is_the_product_of_the_likelihoods(problem):
    """Equation (7): samples are independent, so their likelihoods multiply."""
    params, X, y = problem.arguments
    m = X.shape[1]
    p = np.asarray(likelihoods(logits(params, X), y))
    J = float(cost(params, X, y))
    due = float(np.prod(p))
    # A relative error of m J eps in the exponent, one of 16 eps (1 + |z|) a factor.
    size = m * J + float(np.sum(1 + np.abs(logits(params, X))))
    assert_close(np.exp(-m * J), due, 32 * np.finfo(float).eps * size * due)


def test_maximum_likelihood_estimate_of_a_coin_is_the_share_of_heads():
    """With no features the likelihood is largest where a = mean(y), as it must be."""
    y = jnp.array([[1.0, 1.0, 1.0, 0.0]])
    X = jnp.zeros((1, 4))
    grid = jnp.linspace(0.01, 0.99, 99)
    J = [
        float(
            cost(
                Params(w=jnp.zeros((1, 1)), b=jnp.log(a / (1 - a)).reshape(1, 1)), X, y
            )
        )
        for a in grid
    ]
    assert float(grid[int(np.argmin(J))]) == float(grid[74])
    assert abs(float(grid[74]) - 0.75) < 1e-12

"""From the likelihood of one sample to the cost of m: the derivation, step by step."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given

import jlogreg as jl
from tests.helpers import EPS, assert_close, problems

likelihoods = jax.jit(jl.likelihood)
WELL_SCALED = problems((np.float64,), hazards=["plain", "zero start", "soft labels"])


@given(WELL_SCALED)
def test_likelihood_is_a_to_the_y_times_one_minus_a_to_the_rest(problem):
    """Equation (4), with a from its definition 1 / (1 + exp(-z))."""
    z = np.asarray(jl.logits(problem.params, problem.X))
    a, y = 1 / (1 + np.exp(-z)), np.asarray(problem.y)
    due = a**y * (1 - a) ** (1 - y)
    # 1 - a is off by eps, which is eps / (1 - a) of it.
    within = 16 * EPS * due * (1 + np.abs(z) + 1 / (1 - a) + 1 / a)
    assert_close(likelihoods(jnp.asarray(z), problem.y), due, within)


@given(WELL_SCALED)
def test_likelihoods_of_the_two_labels_sum_to_one(problem):
    z = jl.logits(problem.params, problem.X)
    both = likelihoods(z, jnp.zeros_like(z)) + likelihoods(z, jnp.ones_like(z))
    assert_close(both, np.ones(z.shape), 8 * EPS)
    a = jl.predict_proba(problem.params, problem.X)
    within = 8 * EPS * np.asarray(a)
    assert_close(likelihoods(z, jnp.ones_like(z)), a, within)


@given(WELL_SCALED)
def test_logarithm_of_the_likelihood_is_minus_the_loss(problem):
    """Equations (5) and (6)."""
    z = jl.logits(problem.params, problem.X)
    p = np.asarray(likelihoods(z, problem.y))
    within = 32 * EPS * (1 + np.abs(z))
    assert_close(jl.log_likelihood(z, problem.y), np.log(p), within)
    assert_close(jl.log_loss(z, problem.y), -np.log(p), within)


@given(WELL_SCALED)
def test_exp_of_minus_m_times_the_cost_is_the_product_of_the_likelihoods(problem):
    """Equation (7): samples are independent, so their likelihoods multiply."""
    params, X, y = problem.arguments
    m = X.shape[1]
    p = np.asarray(likelihoods(jl.logits(params, X), y))
    J = float(jl.cost(params, X, y))
    due = float(np.prod(p))
    # A relative error of m J eps in the exponent, one of 16 eps (1 + |z|) a factor.
    size = m * J + float(np.sum(1 + np.abs(jl.logits(params, X))))
    assert_close(np.exp(-m * J), due, 32 * EPS * size * due)

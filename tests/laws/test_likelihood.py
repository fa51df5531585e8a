"""From the likelihood of one sample to the cost of m: the derivation, step by step."""

import jax
import numpy as np
from hypothesis import given

import jlogreg as jl
from tests.helpers import EPS, assert_close, problems

likelihoods = jax.jit(jl.likelihood)
WELL_SCALED = problems((np.float64,), hazards=["plain", "zero start", "soft labels"])


@given(WELL_SCALED)
def test_likelihood_is_a_to_the_y_times_one_minus_a_to_the_rest(problem):
    """Equation (4), with a from its definition 1 / (1 + exp(-z)); of both labels."""
    z = np.asarray(jl.logits(problem.params, problem.X))
    a, y = 1 / (1 + np.exp(-z)), np.asarray(problem.y)
    assert_close(jl.predict_proba(problem.params, problem.X), a, 8 * EPS * a)
    for labels in (y, np.zeros_like(y), np.ones_like(y)):
        expected = a**labels * (1 - a) ** (1 - labels)
        # 1 - a is off by eps, which is eps / (1 - a) of it.
        within = 16 * EPS * expected * (1 + np.abs(z) + 1 / (1 - a) + 1 / a)
        assert_close(likelihoods(z, labels), expected, within)


@given(WELL_SCALED)
def test_the_cost_is_minus_the_logarithm_of_the_likelihood(problem):
    """Equations (5) to (7): samples are independent, so their likelihoods multiply."""
    z = jl.logits(problem.params, problem.X)
    p = np.asarray(likelihoods(z, problem.y))
    within = 32 * EPS * (1 + np.abs(z))
    assert_close(jl.log_likelihood(z, problem.y), np.log(p), within)
    assert_close(jl.log_loss(z, problem.y), -np.log(p), within)
    J, m, product = float(jl.cost(*problem.arguments)), p.size, np.prod(p)
    # A relative error of m J eps in the exponent, one of 16 eps (1 + |z|) a factor.
    size = m * J + float(np.sum(1 + np.abs(z)))
    assert_close(np.exp(-m * J), product, 32 * EPS * size * product)

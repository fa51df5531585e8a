"""Tails of the normal and of the chi-square distribution, as logarithms.

A p-value of 10^-4000 is no floating-point number, but its logarithm is; equations (27)
and (33) of docs/derivation.md.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr, logsumexp, ndtri, xlogy
from jaxtyping import Array

__all__ = ["log10_chi2_tail", "log10_p_value", "normal_quantile", "p_of_log10"]

LOG_10 = math.log(10)
# Terms of the asymptotic series of a tail: with 3, the default of JAX, three of the 16
# digits of log p are lost at z = 30.
SERIES = 8


def log10_p_value(z: Array) -> Array:
    """Return the logarithm to the base 10 of the two-sided p, which does not underflow.

    Shapes: z of any shape, and so the result.
    """
    return _log_two_sided(jnp.abs(z)) / LOG_10


def log10_chi2_tail(x: Array, df: int) -> Array:
    """Return log10 of the probability that a chi-square variable exceeds x.

    Shapes: x of any shape, at least 0, and so the result; df degrees of freedom, at
    least 1. For even df the tail is a finite sum of Poisson probabilities, for odd df
    one of the same kind beside the tail of a normal variable (Abramowitz and Stegun,
    26.4.4 and 26.4.5), so all terms are positive: equation (33).
    """
    x = jnp.where(x >= 0, x, jnp.nan)
    # The terms (x/2)^j e^(-x/2) / Gamma(j + 1), with j = 0, 1, ... or 1/2, 3/2, ...
    first = 0.5 if df % 2 else 0.0
    steps = [first + j for j in range((df - df % 2) // 2)]
    shape = (-1, *(1 for _ in range(x.ndim)))
    j = jnp.asarray(np.reshape(steps, shape), x.dtype)
    gammas = np.reshape([math.lgamma(step + 1) for step in steps], shape)
    terms = xlogy(j, x[None] / 2) - x[None] / 2 - jnp.asarray(gammas, x.dtype)
    if df % 2:
        terms = jnp.concatenate([_log_two_sided(jnp.sqrt(x))[None], terms])
    # Rounding may put the sum of all terms above 1.
    log_p = logsumexp(terms, axis=0)
    return jnp.where(log_p > 0, 0.0, log_p) / LOG_10


def _log_two_sided(size: Array) -> Array:
    """Return log P(|Z| > size) of a normal variable Z."""
    return log_ndtr(-size, SERIES) + math.log(2)


def p_of_log10(log10_p: Array) -> Array:
    """Return p, which is 0 where it underflows."""
    return jnp.exp(log10_p * LOG_10)


def normal_quantile(level: float | Array, dtype: Any) -> Array:
    """Return the z within which a normal variable lies with this probability."""
    if isinstance(level, float):
        return jnp.asarray(NormalDist().inv_cdf((1 + level) / 2), dtype)
    return ndtri((1 + level) / 2)

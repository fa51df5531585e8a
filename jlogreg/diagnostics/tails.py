"""The result of a test: tails of the normal and chi-square distribution, in logarithms.

A p-value of 10^-4000 is no floating-point number, but its logarithm is; equations (27)
and (39) of docs/derivation.md.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr, logsumexp, ndtri, xlogy
from jaxtyping import Array, Float, Int

from jlogreg.base.checks import check_number, check_range
from jlogreg.base.programs import program
from jlogreg.diagnostics.sandwich import solve_definite

__all__ = [
    "HypothesisTest",
    "check_level",
    "chi2_test",
    "log10_chi2_tail",
    "log10_p_value",
    "log_upper_tail",
    "normal_quantile",
    "p_of_log10",
    "quadratic_form",
]

# The highest level of an interval: at 1 its ends are infinite.
HIGHEST_LEVEL = 0.999999
LOG_10 = math.log(10)
# Terms of the asymptotic series of a tail: with 3, the default of JAX, three of the 16
# digits of log p are lost at z = 30.
SERIES = 8


class HypothesisTest(NamedTuple):
    """The result of a test, or of several.

    Shapes: all (), or (n + 1, 1) for a test of each unknown; for K problems with a
    leading axis. If the hypothesis is true, statistic is distributed like chi-square
    with df degrees of freedom; p is the probability of a value as large or larger, and
    log10_p its logarithm to the base 10, which does not underflow. Where the status is
    not CONVERGED the numbers are NaN.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> from jlogreg.inference import wald_test
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> found = wald_test(fit(X, y), X, y, "all")
        >>> f"{found.statistic:.2f}", int(found.df), f"{found.p:.2f}"
        ('1.77', 1, '0.18')
    """

    statistic: Float[Array, ""]
    df: Int[Array, ""]
    p: Float[Array, ""]
    log10_p: Float[Array, ""]
    status: Int[Array, ""]


def chi2_test(
    statistic: Array, df: int, status: Array, reached: Array
) -> HypothesisTest:
    """Return the result of a test whose statistic is chi-square; equation (39).

    NaN where there is no answer.
    """
    statistic = jnp.where(reached, statistic, jnp.nan)
    log10_p = log10_chi2_tail(statistic, df)
    degrees = jnp.full(statistic.shape, df, jnp.int32)
    statuses = jnp.broadcast_to(status, statistic.shape)
    p = p_of_log10(log10_p)
    return HypothesisTest(statistic, degrees, p, log10_p, statuses)


def quadratic_form(vector: Float[Array, "q 1"], matrix: Float[Array, "q q"]) -> Array:
    """Return vectorT matrix^-1 vector; NaN where the matrix is singular."""
    return jnp.sum(vector * solve_definite(matrix, vector))


@partial(program, inline=True)
def log10_p_value(z: Array) -> Array:
    """Return the logarithm to the base 10 of the two-sided p, which does not underflow.

    Shapes: z of any shape, and so the result.
    """
    return _log_two_sided(jnp.abs(z)) / LOG_10


@partial(program, static_argnums=1, inline=True)
def log10_chi2_tail(x: Array, df: int) -> Array:
    """Return log10 of the probability that a chi-square variable exceeds x.

    Shapes: x of any shape, at least 0, and so the result; df degrees of freedom, at
    least 1. For even df the tail is a finite sum of Poisson probabilities, for odd df
    one of the same kind beside the tail of a normal variable (Abramowitz and Stegun,
    26.4.4 and 26.4.5), so all terms are positive: equation (39).
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
    return log_upper_tail(size) + math.log(2)


def log_upper_tail(z: Array) -> Array:
    """Return log P(Z > z) of a normal variable Z.

    Shapes: z of any shape, and so the result.
    """
    return log_ndtr(-z, SERIES)


@partial(program, inline=True)
def p_of_log10(log10_p: Array) -> Array:
    """Return p, which is 0 where it underflows."""
    return jnp.exp(log10_p * LOG_10)


def check_level(level: Any, dtype: Any) -> Float[Array, ""]:
    """Return the level of an interval, between 0 and 1; NaN where it is traced.

    Raises:
        DtypeError, RankError: if it is not a number.
        ValueError: if it is out of range.
    """
    checked = check_number("level", level, dtype)
    return check_range("level", checked, 0.0, HIGHEST_LEVEL, above=True)


@partial(program, inline=True)
def normal_quantile(level: Float[Array, ""]) -> Float[Array, ""]:
    """Return the z within which a normal variable lies with this probability."""
    return -ndtri((1 - level) / 2)

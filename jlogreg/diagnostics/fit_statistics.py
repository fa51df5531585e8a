"""How well a fit describes its labels: likelihood, information criteria, pseudo-R2."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from jlogreg.base.arrays import at_least
from jlogreg.base.checks import AnyArray
from jlogreg.base.programs import program
from jlogreg.data.design import Dense, Design
from jlogreg.diagnostics.fitted import (
    Fitted,
    Given,
    answer_of,
    is_reached,
    reached_status,
)
from jlogreg.diagnostics.residuals import unit_deviance
from jlogreg.fitting.fit import Fit
from jlogreg.fitting.options import check_limits
from jlogreg.formulations.primal import primal_objective
from jlogreg.formulations.problem import Problem, prepare
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss, log_loss_dz2, sigmoid
from jlogreg.objective.sums import curvature_total
from jlogreg.solvers.driver import minimize
from jlogreg.solvers.newton import Newton

__all__ = ["FitStatistics", "fit_statistics", "statistics_of"]


class FitStatistics(NamedTuple):
    """Numbers that describe a whole fit.

    Shapes: all (); for K problems (K,). log_likelihood is in nats, and null that of the
    bias alone; deviance and null_deviance are twice what the saturated model has more;
    pearson is the sum of the squares of Pearson's residuals; unknowns the number of
    free parameters, or with a penalty the effective one, the trace of A^-1 I;
    aic = 2 unknowns - 2 log_likelihood; bic = unknowns log(V) - 2 log_likelihood;
    mcfadden, cox_snell, nagelkerke and tjur are four kinds of R2 for labels: the share
    of the null log-likelihood that is explained; 1 - exp(-2 / V of the difference); the
    same over its largest value; and the difference of the mean probabilities of both
    labels. Where the fit has not converged they are NaN.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> from jlogreg.inference import fit_statistics
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> found = fit_statistics(fit(X, y), X, y)
        >>> f"{found.aic:.2f}", f"{found.mcfadden:.2f}"
        ('8.96', '0.40')
    """

    log_likelihood: Float[Array, ""]
    null: Float[Array, ""]
    deviance: Float[Array, ""]
    null_deviance: Float[Array, ""]
    pearson: Float[Array, ""]
    unknowns: Float[Array, ""]
    aic: Float[Array, ""]
    bic: Float[Array, ""]
    mcfadden: Float[Array, ""]
    cox_snell: Float[Array, ""]
    nagelkerke: Float[Array, ""]
    tjur: Float[Array, ""]
    status: Int[Array, ""]


def fit_statistics(
    fit: Fit,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
    jeffreys: Any = 0.0,
    bias: bool = True,
) -> FitStatistics:
    """Return log-likelihood, deviance, AIC, BIC and pseudo-R2 of a fit.

    Shapes: fit, X, y, weight, offset, l2 and jeffreys as for `covariance`, as in the
    fit; result FitStatistics of (), for K problems of (K,). The weights are
    frequencies. The log-likelihood of counts, of labels k/n with the weights n, is that
    of the single labels, without the logarithms of the binomial coefficients. Equation
    (44) of docs/derivation.md (Akaike, IEEE Trans. Automat. Contr. 19, 1974; Schwarz,
    Ann. Statist. 6, 1978; Nagelkerke, Biometrika 78, 1991; Tjur, Am. Statistician 63,
    2009).

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a number is out of range, NaN or infinite, or if the fit is not
            the minimum for these arguments. Where that is traced the result is NaN.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> from jlogreg.inference import fit_statistics
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> one, two = (fit_statistics(fit(x, y), x, y) for x in (X[:0], X))
        >>> print(f"AIC falls by {one.aic - two.aic:.2f}")
        AIC falls by 1.36
    """
    given = {"l2": l2, "jeffreys": jeffreys, "bias": bias}
    found: FitStatistics = answer_of(_statistics, fit, X, y, weight, offset, **given)
    return found


@partial(program, inline=True)
def _statistics(given: Given) -> tuple[FitStatistics, Array, Array]:
    fitted = Fitted.of(given)
    reached, distance = is_reached(fitted)
    return statistics_of(fitted, reached), reached, distance


def statistics_of(
    fitted: Fitted, reached: Array, otherwise: float = math.nan
) -> FitStatistics:
    """Return the statistics of a fit, `otherwise` where it is not the minimum."""
    samples = fitted.problem.samples
    z, y, V = samples.logits(fitted.params), samples.y, fitted.total()
    z0 = _null_logits(fitted)

    def total(row: Array) -> Array:
        return fitted.unit * samples.weighted(row).sum()

    # Log-likelihoods and deviances, of the fit and of the bias alone; (44).
    likelihood, null = (-total(log_loss(FAST, each, y)) for each in (z, z0))
    deviance, null_deviance = (total(unit_deviance(each, y)) for each in (z, z0))
    a, s = sigmoid(FAST, z), log_loss_dz2(FAST, z)
    pearson = total(jnp.square(y - a) / jnp.where(s > 0, s, 1.0))
    k = _unknowns(fitted)
    # Pseudo-R2, by the gain of log-likelihood a sample, and by mean probabilities.
    gain = 2 * (likelihood - null) / V
    cox_snell, most = -jnp.expm1(-gain), -jnp.expm1(2 * null / V)
    tjur = total(y * a) / total(y) - total((1 - y) * a) / total(1 - y)
    numbers = [
        *(likelihood, null, deviance, null_deviance, pearson, k),
        *(2 * k - 2 * likelihood, k * jnp.log(V) - 2 * likelihood),
        *(1 - likelihood / null, cox_snell, cox_snell / most, tjur),
    ]
    answered = (jnp.where(reached, number, otherwise) for number in numbers)
    status = reached_status(fitted.status, reached)
    return FitStatistics._make([*answered, status])


def _null_logits(fitted: Fitted) -> Float[Array, "1 m"]:
    """Return the logits of the fit of the bias alone, or of nothing without one."""
    samples = fitted.problem.samples
    nothing = jnp.zeros_like(samples.y)
    if fitted.problem.free is not None:
        return samples.add_offset(nothing)
    alone = samples._replace(X=Dense(nothing[:0]))
    # At the minimum the likelihood does not change with the bias.
    alone = lax.stop_gradient(alone)
    if alone.offset is None:
        # Its probability is the mean label; of labels that are all equal, nearly so.
        y = alone.y
        totals = (alone.weighted(row).sum() for row in (y, 1 - y))
        least = float(np.finfo(y.dtype).tiny)
        ones, zeros = (jnp.log(at_least(total, least)) for total in totals)
        return nothing + (ones - zeros)
    problem = Problem(alone, jnp.zeros((), nothing.dtype))
    limits = check_limits(Newton(), None, None, nothing.dtype)
    cost = primal_objective(problem, prepare(alone), limits.tol)
    newton, start = Newton(keep_factor=False), jnp.zeros((1, 1), nothing.dtype)
    end = minimize(newton, cost, start, limits.max_steps)
    return samples.add_offset(nothing + end.point)


def _unknowns(fitted: Fitted) -> Float[Array, ""]:
    """Return the number of unknowns, or the trace of A^-1 I if there is a penalty."""
    problem = fitted.problem
    k = jnp.asarray(fitted.unknowns(), fitted.unit.dtype)
    curvature = curvature_total(fitted.params, problem.samples)
    # A known bias explains nothing: its row is 0.
    explained = fitted.solve(curvature / jnp.asarray(fitted.samples_total, k.dtype))
    effective = jnp.trace(explained)
    return jnp.where((problem.l2 > 0).any(), effective, k)

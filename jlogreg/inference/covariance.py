"""The Fisher information, and the covariance and standard errors of estimates."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jlogreg.base.params import Params
from jlogreg.base.status import Status
from jlogreg.certification.certificate import (
    block_sums,
    measure,
    prepare_known,
    sample_blocks,
    to_long_double,
)
from jlogreg.data.design import Design
from jlogreg.data.samples import Samples
from jlogreg.fitting.fit import Fit
from jlogreg.fitting.implicit import inverse_hessian
from jlogreg.formulations.problem import Problem
from jlogreg.objective.cost import hessian

__all__ = [
    "information",
    "penalized_covariance",
    "standard_errors",
    "variance_of_weight",
]

# With more features the covariance matrix is not formed.
MAX_COVARIANCE_FEATURES = 512
# Parameters within this distance of the maximum of the likelihood, in standard errors,
# count as the maximum.
MAX_DISTANCE = 0.01


def information(params: Params, samples: Samples) -> np.ndarray:
    """Return the Fisher information, summed on the host in double precision.

    Shapes: params w (n, 1), b (1, 1); result (n + 1, n + 1), the bias last. The sum in
    equation (27) of docs/derivation.md.
    """
    point = np.concatenate([to_long_double(params.w), to_long_double(params.b)])
    zero = np.zeros_like(point)
    sums = (block_sums(part, point, zero) for part in sample_blocks(samples))
    return np.sum([each.curvature for each in sums], axis=0)


def standard_errors(
    fit: Fit, samples: Samples, bias: bool
) -> tuple[np.ndarray | None, str]:
    """Return the standard errors (n + 1, 1), or None and why there are none.

    Without a bias they are (n, 1). A weight counts how often its sample occurs; V is
    their sum, or m. V gT H^-1 g is the square of the distance from the maximum of the
    likelihood, in standard errors; equations (18) and (27).
    """
    n, _ = samples.X.shape
    if fit.status != Status.CONVERGED:
        return None, "the fit has no answer"
    if n > MAX_COVARIANCE_FEATURES:
        return None, f"there are more than {MAX_COVARIANCE_FEATURES} features"
    X, y, weight, offset = samples
    reached = measure(*prepare_known(fit.params, X, y, weight, offset, 0.0), bias)
    total = to_long_double(samples.weights()).sum()
    if not math.sqrt(total) * reached.decrement <= MAX_DISTANCE:
        return None, (
            "a penalty, other weights or another offset led away from the maximum of "
            "the likelihood of X and y"
        )
    # Invert the information, scaled to a diagonal of ones.
    matrix = information(fit.params, samples)
    matrix = matrix if bias else matrix[:-1, :-1]
    scale = 1 / np.sqrt(np.diag(matrix))[:, None]
    variances = np.diag(np.linalg.inv(matrix * scale * scale.T))[:, None]
    return scale * np.sqrt(variances), ""


def variance_of_weight(problem: Problem, params: Params, j: int) -> Float[Array, 1]:
    """Return the variance of the estimate of one weight, the inverse information's.

    Shapes: params w (n, 1), b (1, 1); result (1,). Equation (27) of docs/derivation.md,
    by one linear solve with H.
    """
    unit = jnp.zeros((params.w.shape[0] + 1, 1), params.w.dtype).at[j].set(1.0)
    return inverse_hessian(problem, params, unit)[j] / problem.samples.total_weight()


def penalized_covariance(
    params: Params, X: Design | Array, y: Array, l2: float
) -> np.ndarray:
    """Return the covariance of a penalised estimate, the bias last.

    Shapes: params w (n, 1), b (1, 1); X (n, m), y (1, m); result (n + 1, n + 1). It is
    H^-1 F H^-1 / m, with the Hessian H of the cost, and F that of the mean loss alone,
    the Fisher information of a sample: the variation of the estimate from one draw of m
    samples to another (le Cessie and van Houwelingen, Ridge estimators in logistic
    regression, Appl. Statist. 41, 1992). Without a penalty it is the inverse Hessian
    over m.
    """
    H, F = (
        np.asarray(hessian(params, X, y, l2=penalty), np.float64)
        for penalty in (l2, 0.0)
    )
    return np.linalg.solve(H, np.linalg.solve(H, F).T) / X.shape[1]

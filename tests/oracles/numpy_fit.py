"""Fit in NumPy: Newton's method on the textbook's formulas, and the error of a fit.

Nothing here uses jlogreg's mathematics: it is the independent side of a comparison.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jlogreg import Params, Status
from tests.helpers import EPS, TOL, Problem, assert_close, select_samples, slack

__all__ = [
    "Wald",
    "assert_minimum",
    "assert_same_fit",
    "augmented",
    "gradient_slack",
    "numpy_hessian",
    "numpy_minimum",
    "numpy_wald",
    "params_slack",
]


def augmented(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Return X above a row of ones, and each sample's share of the total weight."""
    X = np.vstack([problem.X, np.ones((1, problem.X.shape[1]))])
    weight = np.asarray(problem.weight)
    return X, weight / weight.sum()


def ridge(problem: Problem) -> np.ndarray:
    """Return the penalty of each parameter, 0 for the bias."""
    return np.vstack([np.broadcast_to(problem.l2, (len(problem.X), 1)), [[0.0]]])


def numpy_hessian(problem: Problem, params: Any) -> np.ndarray:
    """Return the Hessian of the cost, with a row and a column of the bias last."""
    X, share = augmented(problem)
    z = np.vstack(params).T @ X + problem.offset
    q = np.exp(-np.abs(z)) / (1 + np.exp(-np.abs(z))) ** 2
    return (X * share * q) @ X.T + np.diag(ridge(problem)[:, 0])


def numpy_minimum(problem: Problem) -> Params:
    """Return the minimum by Newton's method; no step moves a logit by more than 2."""
    X, share = augmented(problem)
    point = np.zeros((len(X), 1))
    for _ in range(100):
        a = 1 / (1 + np.exp(-(point.T @ X + problem.offset)))
        gradient = X @ (share * (a - problem.y)).T + ridge(problem) * point
        step = np.linalg.solve(numpy_hessian(problem, [point]), gradient)
        point = point - step / max(1, np.abs(step.T @ X).max() / 2)
        if np.abs(step.T @ X).max() < 2 * EPS:
            break
    return Params(point[:-1], point[-1:])


def gradient_slack(problem: Problem, params: Any, inexact: bool = False) -> np.ndarray:
    """Return how far from 0 the gradient may be at the end of a fit, (n + 1, 1).

    Besides rounding (`slack`): the last step moved no logit by more than TOL, so what
    Newton's method leaves of the gradient is at most the largest |a''| = 1 / (6 sqrt 3)
    times half the squares of that. Conjugate gradients leave the square root of the
    gradient more, all measured by the bound M of the Hessian that preconditions them.
    """
    X, share = augmented(problem)
    one = slack(problem._replace(params=params, l2=np.max(problem.l2)))
    few = np.vstack([one.w, one.b]) + np.abs(X) @ share.T * TOL**2 / 20
    if inexact:
        bound = (X**2).mean(axis=1, keepdims=True) / 4
        bound[:-1] += np.max(problem.l2)
        few += (np.sqrt(share.max() * X.shape[1]) * TOL) ** 1.5 * np.sqrt(bound)
    return few


def params_slack(problem: Problem, params: Any, inexact: bool = False) -> Params:
    """Return how far a fit may be from the minimum: the inverse Hessian times that."""
    H = numpy_hessian(problem, params)
    unit = 1 / np.sqrt(np.diag(H))
    inverse = np.linalg.inv(H * unit * unit[:, None]) * unit * unit[:, None]
    far = np.abs(inverse) @ gradient_slack(problem, params, inexact)
    return Params(w=2 * far[:-1], b=2 * far[-1:])


def assert_minimum(
    result: Any,
    problem: Problem,
    expected: Params | None = None,
    *,
    inexact: bool = False,
    times: float = 1.0,
) -> None:
    """Assert that a fit converged to the minimum, by default to NumPy's.

    times: how many times `params_slack` it may be off.
    """
    assert result.status == Status.CONVERGED
    expected = numpy_minimum(problem) if expected is None else expected
    within = params_slack(problem, expected, inexact)
    assert_close(result.params.w, expected.w, times * within.w)
    assert_close(result.params.b, expected.b, times * within.b)


def assert_same_fit(
    result: Any, expected: Any, problem: Problem, inexact: bool = False
) -> None:
    """Assert that two fits of a problem converged to the same minimum."""
    assert expected.status == Status.CONVERGED
    assert_minimum(result, problem, expected.params, inexact=inexact, times=2)


class Wald(NamedTuple):
    """The last feature's estimate and standard error, and the error of a fit's own."""

    estimate: float
    estimate_slack: float
    standard_error: float
    standard_error_slack: float


def numpy_wald(problem: Problem, dtype: Any, tol: float | None = None) -> Wald:
    """Return estimate and standard error of the last feature, without a penalty.

    A fit ends when a step d moved no logit by more than tol and had a decrement of at
    most tol. No curvature changes then by more than a factor of e^tol, so the variance
    is right to that, and what is left of each sample's slope is at most tol / 2 times
    its curvature times what the step moved it; by Cauchy and Schwarz the estimate is
    off by at most the root of the inverse Hessian's diagonal times tol^2 / 2. To these
    come roundings: of the gradient (`slack`), times the inverse Hessian; of the Hessian
    and its factor, in the last step and the variance: a sum of m terms, whose
    curvatures err by those of the logits.
    """
    # Samples without weight may be infinite.
    problem = select_samples(problem, problem.weight[0] > 0)
    params = numpy_minimum(problem)
    eps = float(np.finfo(dtype).eps)
    tol = 2 * eps**0.5 if tol is None else tol
    one = slack(problem._replace(params=params), dtype)
    inverse = np.linalg.inv(numpy_hessian(problem, params))
    root = np.sqrt(inverse[-2, -2])
    error = root / np.sqrt(problem.weight.sum())
    X, share = augmented(problem)
    z = np.vstack(params).T @ X + problem.offset
    size = np.abs(np.vstack(params)).T @ np.abs(X) + np.abs(problem.offset) + 1
    k, m = X.shape
    q = share * np.exp(-np.abs(z))
    off = (m + k * k) * eps * (np.abs(X) * q * size) @ np.abs(X).T
    lost = (np.abs(inverse) @ off @ np.abs(inverse))[-2, -2] / inverse[-2, -2]
    far = 4 * (np.abs(inverse) @ np.vstack([one.w, one.b]))[-2, 0]
    far += root * (tol**2 / 2 * np.exp(tol) + tol * lost)
    within = (np.expm1(tol) / 2 + 4 * lost) * error
    return Wald(params.w[-1, 0], far, error, within)

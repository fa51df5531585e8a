"""Draw problems for the property tests, and compute how far roundings may carry.

The problems are those of `jlogreg.testing`, weighted all.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from jlogreg import Params, testing
from jlogreg.testing import Kind, Problem
from jlogreg.testing.assertions import assert_close
from jlogreg.testing.strategies import SHAPES

__all__ = [
    "HAZARDS",
    "Problem",
    "Slack",
    "assert_close",
    "assert_params_close",
    "make_problem",
    "problems",
    "slack",
]

HAZARDS = [
    Kind.PLAIN,
    Kind.ZERO_START,
    Kind.HUGE_LOGITS,
    Kind.SOFT_LABELS,
    Kind.ILL_SCALED,
]


def problems(dtypes=(np.float32, np.float64), shapes=SHAPES, hazards=HAZARDS):
    return testing.problems(hazards, shapes=shapes, dtypes=dtypes, weighted=True)


def make_problem(shape, dtype, hazard="plain", seed=0, l2=0.01) -> Problem:
    """Return a problem as JAX's own arrays."""
    made = testing.make_problem(hazard, shape, dtype, seed=seed, l2=l2, weighted=True)
    return jax.device_put(made)


class Slack(NamedTuple):
    """Hold how far two roundings of the same quantity may be apart."""

    J: float
    w: np.ndarray
    b: np.ndarray


def slack(problem: Problem, dtype: Any = None) -> Slack:
    """Return the distance that rounding explains, by a forward error analysis.

    A sum of k terms computed in any order is off by at most k eps times the sum of the
    terms' sizes. A logit is such a sum of n + 2 terms; its error moves the loss by at
    most as much, and dz by at most a quarter. Each elementwise function is good to 4
    eps of its value or, where a label is subtracted, of 1. Both sides of a comparison
    may err.
    """
    params, X, y, weight, offset, l2 = (
        problem.params,
        *(np.asarray(array, float) for array in problem[1:]),
    )
    del y
    w, b = np.asarray(params.w, float), np.asarray(params.b, float)
    n, m = X.shape
    eps = float(np.finfo(dtype or problem.X.dtype).eps)
    size_z = np.abs(w).T @ np.abs(X) + np.abs(b) + np.abs(offset)
    error_z = (n + 2) * eps * size_z
    error_dz = error_z / 4 + (m + 4) * eps
    error_loss = error_z + (m + 4) * eps * (size_z + 1)
    total = weight.sum()
    penalty = l2 * np.sum(w**2) / 2
    J = np.sum(weight * error_loss) / total + (n + 4) * eps * penalty
    dw = np.abs(X) @ (weight * error_dz).T / total + 4 * eps * l2 * np.abs(w)
    db = np.sum(weight * error_dz) / total
    return Slack(J=2 * float(J), w=2 * dw, b=2 * np.full((1, 1), db))


def assert_params_close(found: Params, due: Params, within: Slack) -> None:
    assert_close(found.w, due.w, within.w)
    assert_close(found.b, due.b, within.b)

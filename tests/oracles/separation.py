"""Whether a plane separates the labels of a problem, by linear programs."""

import numpy as np
from scipy.optimize import linprog

__all__ = ["separation", "with_ones"]


def with_ones(problem):
    """Return X with a row of ones below, without samples of weight 0."""
    X = np.vstack([problem.X, np.ones_like(problem.y)]).astype(float)
    return X[:, problem.weight[0] > 0]


def separation(problem):
    """Return "complete", "quasi" or "", for how planes separate the labels.

    With s = 2 y - 1: "complete" if some plane has s z >= 1 everywhere, "quasi" if some
    has s z >= 0 everywhere and more somewhere.
    """
    s = 2 * problem.y[:, problem.weight[0] > 0].astype(float) - 1
    A = -(s * with_ones(problem)).T
    zeros = np.zeros(A.shape[0])
    if linprog(np.zeros(A.shape[1]), A, zeros - 1, bounds=(None, None)).status == 0:
        return "complete"
    least = linprog(A.sum(axis=0), A, zeros, bounds=(-1, 1)).fun
    return "quasi" if least < -1e-6 else ""

"""Build problems from their solution, so that no solver is asked for it.

At the minimum the residuals d = y - a, weighted by v, cancel along every feature that
is not penalised and along the bias, and bear the penalty along the others:

    sum(v d) = 0,    sum(v d x_j) = l2_j w_j sum(v)    for every feature j.

Read from right to left that is a recipe: draw residuals which cancel where they must,
then each penalised weight is what the second equation says, the other parameters are
free, and the labels are y = a + d. Residuals small enough keep them between 0 and 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jlogreg import Params
from tests.helpers import Problem


def known(X: np.ndarray, l2: Any, random: np.random.Generator) -> Problem:
    """Return a problem on X (n, m), penalised by l2, at its minimum.

    The minimum is the only one if no other parameters that are not penalised have the
    same logits.
    """
    n, m = X.shape
    ridge = np.broadcast_to(np.asarray(l2, float), (n, 1))
    free = ridge == 0
    weight = random.choice([0.5, 1.0, 2.0, 3.0], (1, m))
    offset = random.standard_normal((1, m))
    own = random.choice([-1.0, 1.0], (n, 1)) * random.uniform(0.5, 1.5, (n, 1))
    b = random.standard_normal((1, 1))
    pull = cancelling(np.vstack([X[free[:, 0]], np.ones((1, m))]), random) / 2
    while True:
        borne = X @ pull.T / weight.sum()  # pull is v d
        w = np.where(free, own, borne / np.where(free, 1.0, ridge))
        z = w.T @ X + b + offset
        y = np.exp(-np.logaddexp(0, -z)) + pull / weight
        if y.min() >= 0 and y.max() <= 1:
            return Problem(Params(w=w, b=b), X, y, weight, offset, np.asarray(l2))
        pull = pull / 2


def cancelling(rows: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a row orthogonal to these, largest entry 1; 0 where they span all."""
    k, m = rows.shape
    if k >= m:
        return np.zeros((1, m))
    basis = np.linalg.qr(rows.T, mode="complete")[0][:, k:]
    row = (basis @ random.standard_normal((m - k, 1))).T
    return row / np.abs(row).max()


def least_norm(X: np.ndarray, z: np.ndarray) -> Params:
    """Return the shortest w, with whatever b, of logits z (1, m) on more features."""
    centred = X - X.mean(axis=1, keepdims=True)
    w = np.linalg.pinv(centred.T) @ (z - z.mean()).T
    return Params(w=w, b=(z - w.T @ X).mean(axis=1, keepdims=True))

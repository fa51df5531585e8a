"""Rank and separation of a problem in rational numbers: no rounding, no tolerance."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["flint_module", "grows", "is_unique", "separates"]


def flint_module() -> Any:
    """Return python-flint.

    Raises:
        ImportError: if it is not installed.
    """
    try:
        import flint
    except ImportError as error:
        raise ImportError(
            "exact answers need python-flint: pip install python-flint"
        ) from error
    return flint


def is_unique(rows: Any) -> bool:
    """Return whether the rows (k, m) are linearly independent."""
    return bool(_matrix(rows).rank() == len(rows))


def grows(rows: Any, y: Any) -> bool:
    """Return whether the cost falls forever in some direction of u^T rows.

    It does where no loss rises: u^T x is at least 0 at labels of 1, at most 0 at labels
    of 0, and 0 at labels between, but not 0 everywhere. By a theorem of Stiemke there
    is no such direction if and only if numbers p > 0 of the samples with labels of 0
    and 1, and any numbers of the others, make sum(p s x) = 0, where s is 1 or -1. With
    p = 1 + q this is a system with q >= 0.
    """
    hard = (y == 0) | (y == 1)
    signed = rows * np.where(y == 0, -1.0, 1.0)
    A, soft = _matrix(signed[:, hard]), signed[:, ~hard]
    target = A * _matrix(-np.ones((int(hard.sum()), 1)))
    return not _solvable(_beside(A, _matrix(soft), _matrix(-soft)), target)


def separates(rows: Any, y: Any) -> bool:
    """Return whether some u^T rows is above 0 at labels of 1 and below 0 at all others.

    All labels must be 0 or 1. By a theorem of Gordan there is no such direction if and
    only if sum(p s x) = 0 for some p >= 0 with sum(p) = 1.
    """
    if not np.isin(y, (0, 1)).all():
        return False
    m = len(y)
    signed = np.vstack([rows * np.where(y == 0, -1.0, 1.0), np.ones(m)])
    target = np.append(np.zeros(len(rows)), 1.0)[:, None]
    return not _solvable(_matrix(signed), _matrix(target))


def _matrix(array: Any) -> Any:
    """Return an array of floats as a matrix of the same rational numbers."""
    flint = flint_module()
    ratios = [
        flint.fmpq(*float(x).as_integer_ratio()) for x in np.asarray(array).ravel()
    ]
    return flint.fmpq_mat(*array.shape, ratios)


def _beside(*matrices: Any) -> Any:
    columns = [row for matrix in matrices for row in matrix.transpose().tolist()]
    height = matrices[0].nrows()
    flat = [entry for column in columns for entry in column]
    return flint_module().fmpq_mat(len(columns), height, flat).transpose()


def _solvable(A: Any, target: Any) -> bool:
    """Return whether A q = target for some q >= 0.

    The simplex method minimizes the sum of artificial variables r >= 0 in A q + r =
    target, whose equations are multiplied by -1 where the target is negative. It is 0
    at the minimum if and only if there is such a q. By Bland's rule it ends: the first
    column that lowers the sum enters, and the first of those that could leave does.
    """
    fmpq_mat = flint_module().fmpq_mat
    height = A.nrows()
    signs = [-1 if target[i, 0] < 0 else 1 for i in range(height)]
    flip = fmpq_mat(height, height, np.diag(signs).ravel().tolist())
    A, target = flip * A, flip * target
    width = A.ncols()
    columns = A.transpose().tolist() + np.eye(height, dtype=int).tolist()
    basis = list(range(width, width + height))
    while True:
        flat = [entry for j in basis for entry in columns[j]]
        BT = fmpq_mat(height, height, flat)
        price = BT.solve(fmpq_mat(height, 1, [int(j >= width) for j in basis]))
        gains = (price.transpose() * A).entries()
        enter = next((j for j, gain in enumerate(gains) if gain > 0), None)
        if enter is None:
            return bool((price.transpose() * target)[0, 0] == 0)
        pair = fmpq_mat(2, height, columns[enter] + target.entries()).transpose()
        found = BT.transpose().solve(pair)
        _, _, leave = min(
            (found[i, 1] / found[i, 0], basis[i], i)
            for i in range(height)
            if found[i, 0] > 0
        )
        basis[leave] = enter

"""Exact linear algebra on the host, in Python integers of any length.

Floats are rational numbers, so a row of them is a row of integers times one number.
Every elimination is by integer pivoting: all entries stay integers, which are
determinants of parts of the matrix, and each division has no remainder.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from jaxtyping import Float, Shaped

__all__ = [
    "common_integers",
    "is_solvable",
    "solve_integers",
    "to_integers",
    "without_divisor",
]


def to_integers(rows: Float[np.ndarray, "k m"]) -> Shaped[np.ndarray, "k m"]:
    """Return each row times a number that makes it integers without a common divisor.

    Shapes: rows (k, m), finite, and so the result, as Python numbers.
    """
    mantissa, exponent = np.frexp(rows)
    whole = np.ldexp(mantissa, 53).astype(np.int64).astype(object)
    # Zeros take no part in the smallest exponent of a row.
    exponent = np.where(mantissa == 0, exponent.max(), exponent)
    shift = exponent - exponent.min(axis=1, keepdims=True)
    return without_divisor(whole * 2 ** shift.astype(object))


def without_divisor(rows: Shaped[np.ndarray, "k m"]) -> Shaped[np.ndarray, "k m"]:
    """Return each row of integers divided by its greatest common divisor."""
    divisors = np.gcd.reduce(rows, axis=1, keepdims=True)
    return rows // np.where(divisors == 0, 1, divisors)


def common_integers(numbers: list[Fraction]) -> Shaped[np.ndarray, " k"]:
    """Return the numbers, multiplied by their common denominator, as integers."""
    common = int(np.lcm.reduce([1, *(x.denominator for x in numbers)], dtype=object))
    return np.array([int(x * common) for x in numbers], object)


def solve_integers(
    A: Shaped[np.ndarray, "r r"], target: Shaped[np.ndarray, " r"]
) -> tuple[Shaped[np.ndarray, " r"], int] | None:
    """Return integers x and d > 0 with A x = d target, or None if A is singular."""
    table = np.concatenate([A, target[:, None]], axis=1)
    last = 1
    for j in range(len(A)):
        below = np.flatnonzero(table[j:, j])
        if not below.size:
            return None
        table[[j, j + below[0]]] = table[[j + below[0], j]]
        # The columns before j are done: only their diagonal would change, to the pivot.
        table[:, j:], last = _pivot(table[:, j:], j, 0, last), table[j, j]
    return (table[:, -1], last) if last > 0 else (-table[:, -1], -last)


def is_solvable(A: Shaped[np.ndarray, "k m"], target: Shaped[np.ndarray, " k"]) -> bool:
    """Return whether A q = target for some q >= 0.

    The simplex method minimises the sum of artificial variables r >= 0 in A q + r =
    target, whose equations are multiplied by -1 where the target is negative. It is 0
    at the minimum if and only if there is such a q. By Bland's rule it ends: the first
    column that lowers the sum enters, and the first of those that could leave does.
    """
    k, m = A.shape
    flip = np.where(target < 0, -1, 1).astype(object)[:, None]
    table = np.concatenate([A, target[:, None]], axis=1) * flip
    # The last row is the sum of the equations: what each column would lower it by.
    table = np.concatenate([table, table.sum(axis=0, keepdims=True)])
    basis, last = list(range(m, m + k)), 1
    while table[k, m] > 0:
        gains = np.flatnonzero(table[k, :m] > 0)
        if not gains.size:
            return False
        j = int(gains[0])
        _, _, i = min(
            (Fraction(table[i, m], table[i, j]), basis[i], int(i))
            for i in np.flatnonzero(table[:k, j] > 0)
        )
        table, last, basis[i] = _pivot(table, i, j, last), table[i, j], j
    return True


def _pivot(
    table: Shaped[np.ndarray, "k c"], i: int, j: int, last: int
) -> Shaped[np.ndarray, "k c"]:
    """Return the table with column j a multiple of a unit vector: that of row i.

    All rows are multiplied by the pivot, and divided by the one before, `last`.
    """
    row = table[i].copy()
    table = (row[j] * table - table[:, j : j + 1] * row) // last
    table[i] = row
    return table

"""Exact linear algebra on the host, in Python integers of any length.

Floats are rational numbers, so a row of them is a row of integers times one number.
Every elimination is by integer pivoting: all entries stay integers, which are
determinants of parts of the matrix, and each division has no remainder.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

__all__ = [
    "NEARLY",
    "Rows",
    "common_integers",
    "directions_within",
    "independent_rows",
    "is_solvable",
    "nearly_dependent",
    "solve_integers",
    "to_integers",
    "to_rows",
    "with_ones",
]

# A row depends on others, nearly, if what is beyond them is below this.
NEARLY = 1e-6
# Up to these multiplications of integers, relations are computed.
LARGEST_SOLVE = 3_000_000


class Rows(NamedTuple):
    """Features above ones, as integers and as doubles between -1 and 1.

    Shapes: integers and unit (k + 1, m); middle and scale, k integers. unit is
    (integers - middle) / scale for the features, rounded once, with ones below.
    """

    integers: Shaped[np.ndarray, "k_1 m"]
    unit: Float[np.ndarray, "k_1 m"]
    middle: list[int]
    scale: list[int]


class _Relations(NamedTuple):
    """Which rows are independent, and a relation of others to them.

    Shapes: kept (k + 1,), the independent ones; places (d,), which others; across (k +
    1, d), a relation in each column: the sum of the rows, each multiplied by an
    integer, is remainders (d, m), about 0, and exactly if it can be.
    """

    kept: Bool[np.ndarray, " k_1"]
    places: Shaped[np.ndarray, " d"]
    across: Shaped[np.ndarray, "k_1 d"]
    remainders: Shaped[np.ndarray, "d m"]


def with_ones(X: np.ndarray) -> np.ndarray:
    """Return X with a row of ones below."""
    return np.concatenate([X, np.ones_like(X[:1], shape=(1, X.shape[1]))])


def to_rows(integers: Shaped[np.ndarray, "k_1 m"]) -> Rows:
    """Return rows, each moved by the middle of its extremes: a constant becomes 0."""
    *features, ones = integers
    middle = [(min(row) + max(row)) // 2 for row in features]
    moved = [row - each for row, each in zip(features, middle, strict=True)]
    scale = [1 << int(max(abs(row))).bit_length() for row in moved]
    unit = [row / each for row, each in zip(moved, scale, strict=True)]
    return Rows(integers, np.array([*unit, ones], float), middle, scale)


def independent_rows(integers: Shaped[np.ndarray, "k_1 m"]) -> tuple[Rows, bool]:
    """Return rows of which none depends on others, even nearly, and if they say all.

    What nearly depends on others is replaced by the exact remainder, or left out if
    that is 0. Twice, since remainders may depend on each other. The rows do not say all
    if a relation was too large to be computed, and its row is left out.
    """
    rows, all_found = to_rows(integers), True
    for _ in range(2):
        kept, places, _, remainders = _relations(rows)
        if kept.all():
            break
        all_found &= len(places) == (~kept).sum()
        some = _without_divisor(remainders[remainders.any(axis=1)])
        rows = to_rows(np.concatenate([some, rows.integers[kept]]))
    return rows, all_found


def directions_within(
    rows: Rows,
) -> tuple[Bool[np.ndarray, " k_1"], Shaped[np.ndarray, "k_1 d"]]:
    """Return which rows are kept, and the directions u with uT x = 0 everywhere.

    There is a direction for each row that is not kept; it is 0 at the others of them.
    """
    _, places, across, remainders = _relations(rows)
    exact = ~remainders.any(axis=1)
    kept = np.ones(len(rows.unit), bool)
    kept[places[exact]] = False
    return kept, across[:, exact]


def _relations(rows: Rows) -> _Relations:
    """Return relations: each is proposed in double precision and solved exactly."""
    from scipy.linalg import qr

    integers, k = rows.integers, len(rows.scale)
    varying = rows.unit[:k] - rows.unit[:k].mean(axis=1, keepdims=True)
    basis, others, shares = nearly_dependent(varying)
    shares = shares[:, others.argsort()]
    places, columns, remainders = [], [], []
    for share, i in zip(shares.T, np.sort(others), strict=True):
        used = [*basis[np.abs(share) > NEARLY], k]
        x, d = None, 0
        if len(others) * len(used) ** 3 <= LARGEST_SOLVE:
            samples = qr(rows.unit[used], mode="r", pivoting=True)[1][: len(used)]
            x, d = solve_integers(integers[used][:, samples].T, -integers[i, samples])
        if d > 0:
            places.append(i)
            columns.append(np.zeros(k + 1, object))
            columns[-1][used], columns[-1][i] = x, d
            remainders.append(x @ integers[used] + d * integers[i])
    kept = ~np.isin(np.arange(k + 1), others)
    shape, size = (len(places), k + 1), (len(places), integers.shape[1])
    across = np.array(columns, object).reshape(shape).T
    found = np.array(remainders, object).reshape(size)
    return _Relations(kept, np.array(places, int), across, found)


def nearly_dependent(
    rows: Float[np.ndarray, "k m"],
) -> tuple[np.ndarray, np.ndarray, Float[np.ndarray, "r d"]]:
    """Return r rows, the d others that are nearly sums of them, and their shares.

    By a QR decomposition with pivoting, in double precision.
    """
    from scipy.linalg import qr, solve_triangular

    if not len(rows):
        return np.zeros(0, int), np.zeros(0, int), np.zeros((0, 0))
    R, order = qr(rows.T, mode="r", pivoting=True)
    sizes = np.abs(np.diag(R))
    rank = int((sizes > NEARLY * sizes[0]).sum())
    shares = solve_triangular(R[:rank, :rank], R[:rank, rank:])
    return order[:rank], order[rank:], shares


def to_integers(rows: Float[np.ndarray, "k m"]) -> Shaped[np.ndarray, "k m"]:
    """Return each row times a number that makes it integers without a common divisor.

    Shapes: rows (k, m), finite, and so the result, as Python numbers.
    """
    mantissa, exponent = np.frexp(rows)
    whole = np.ldexp(mantissa, 53).astype(np.int64).astype(object)
    # Zeros take no part in the smallest exponent of a row.
    exponent = np.where(mantissa == 0, exponent.max(), exponent)
    shift = exponent - exponent.min(axis=1, keepdims=True)
    return _without_divisor(whole * 2 ** shift.astype(object))


def _without_divisor(rows: Shaped[np.ndarray, "k m"]) -> Shaped[np.ndarray, "k m"]:
    """Return each row of integers divided by its greatest common divisor."""
    divisors = np.gcd.reduce(rows, axis=1, keepdims=True)
    return rows // np.where(divisors == 0, 1, divisors)


def common_integers(numbers: list[Fraction]) -> Shaped[np.ndarray, " k"]:
    """Return the numbers, multiplied by their common denominator, as integers."""
    common = int(np.lcm.reduce([1, *(x.denominator for x in numbers)], dtype=object))
    return np.array([int(x * common) for x in numbers], object)


def solve_integers(
    A: Shaped[np.ndarray, "r r"], target: Shaped[np.ndarray, " r"]
) -> tuple[Shaped[np.ndarray, " r"], int]:
    """Return integers x and d > 0 with A x = d target; d = 0 if A is singular."""
    table = np.concatenate([A, target[:, None]], axis=1)
    last = 1
    for j in range(len(A)):
        below = np.flatnonzero(table[j:, j])
        if not below.size:
            return 0 * target, 0
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

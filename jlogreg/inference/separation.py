"""What the labels of a problem are: separated by a plane, or overlapping.

A linear program in double precision proposes the answer, and exact arithmetic proves
it. The program and the proofs share no code with the solvers.

Let x be the features without a penalty above a 1, and s = 1 for the label 1, -1 for the
label 0. A direction u counts if s uT x >= 0 for all samples with these labels, and uT x
= 0 for those with a label between. The samples split into those which some direction
has apart from its plane, s uT x > 0, and those which every direction has on its plane.
Two things prove such a split. A direction u has s uT x > 0 for the first and uT x = 0
for the second. Multipliers p > 0 of the second, of any sign for labels between, make
sum(p s x) = 0, so that no direction has one of them apart (Stiemke's theorem).
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from jlogreg.inference.rational import (
    common_integers,
    is_solvable,
    solve_integers,
    to_integers,
)

__all__ = ["COMPLETE", "OVERLAP", "QUASI_COMPLETE", "UNKNOWN", "separation"]

# The words of Albert and Anderson (1984).
COMPLETE, QUASI_COMPLETE, OVERLAP = "complete", "quasi-complete", "overlap"
UNKNOWN = "unknown"

# The size (rows^2 columns) up to which a problem that is too hard for double precision
# is decided by a simplex method in integers, which takes seconds there.
EXACT_SIZE = 200_000
# A row is proposed as dependent if its part beyond the others is below this. An exact
# test follows.
DEPENDENT = 1e-9
LONG = np.finfo(np.longdouble)
DOUBLE = np.finfo(np.float64)


class _Split(NamedTuple):
    """Which samples a direction has apart from its plane, to be proved.

    Shapes: apart (m,); direction, weights above the bias, k + 1 rational numbers;
    multipliers (m,), of the samples on the plane.
    """

    apart: Bool[np.ndarray, " m"]
    direction: list[Fraction]
    multipliers: Float[np.ndarray, " m"]


def separation(X: Float[np.ndarray, "k m"], y: Float[np.ndarray, " m"]) -> str:
    """Return what the labels are: complete, quasi-complete, overlap or unknown.

    Shapes: X (k, m), the features without a penalty, as doubles; y (m,). Complete: some
    direction has all samples apart from its plane. Quasi-complete: some, but not all.
    Overlap: none; there is a finite minimum. Unknown: nothing was proved.
    """
    hard = np.isin(y, (0, 1))
    if not hard.any():
        return OVERLAP
    signs = np.where(y == 0, -1, 1)
    split = _propose_split(X, signs, hard)
    if split is not None:
        answer = _prove(split, X, signs, hard)
        if answer is not None:
            return answer
    if (len(X) + 1) ** 2 * X.shape[1] > EXACT_SIZE:
        return UNKNOWN
    return _search_exactly(X, signs, hard)


def _propose_split(
    X: Float[np.ndarray, "k m"],
    signs: Shaped[np.ndarray, " m"],
    hard: Bool[np.ndarray, " m"],
) -> _Split | None:
    """Return the solution of a linear program in double precision, or None.

    It is the dual of: maximise the sum of t, where 0 <= t <= 1 and t <= s uT x. At the
    maximum t is 1 for samples apart, and 0 for those on the plane: minimise sum(r),
    where sum(p s x) = 0, p = 1 + q - r, 0 <= q and 0 <= r <= 1. So p is at least 1 on
    the plane, and r is 1 apart from it. The prices of the equations are u.
    """
    from scipy.optimize import linprog  # takes a while to import

    unit, middle, exponent = _centre(X)
    columns = (_with_ones(unit) * signs).astype(float)
    A, soft = columns[:, hard], columns[:, ~hard]
    count, free = A.shape[1], soft.shape[1]
    found = linprog(
        np.repeat([0.0, 1.0, 0.0], [count, count, free]),
        A_eq=np.hstack([A, -A, soft]),
        b_eq=-A.sum(axis=1),
        bounds=[(0, None)] * count + [(0, 1)] * count + [(None, None)] * free,
        method="highs-ds",
    )
    if found.x is None:
        return None
    q, r, p = np.split(found.x, [count, 2 * count])
    apart, multipliers = np.zeros(len(hard), bool), np.empty(len(hard))
    apart[hard] = r > 0.5
    multipliers[hard], multipliers[~hard] = 1 + q - r, p
    *prices, b = map(Fraction, -found.eqlin.marginals)
    w = [x / Fraction(2) ** int(e) for x, e in zip(prices, exponent, strict=True)]
    for each, c in zip(w, middle, strict=True):
        b -= each * Fraction(c)
    return _Split(apart, [*w, b], multipliers)


def _prove(
    split: _Split,
    X: Float[np.ndarray, "k m"],
    signs: Shaped[np.ndarray, " m"],
    hard: Bool[np.ndarray, " m"],
) -> str | None:
    """Return the answer if a split is proved, else None."""
    apart, plane = split.apart, ~split.apart
    integers, units = to_integers(_with_ones(X))
    if not plane.any():
        kept, across = np.arange(0), np.eye(len(integers), dtype=int).astype(object)
        dropped = np.arange(len(integers))
    else:
        found = _directions_within(X[:, plane], integers[:, plane])
        if found is None:
            return None
        kept, dropped, across = found
    if apart.any():
        numbers = [split.direction[i] * units[i] for i in dropped]
        direction = across @ common_integers(numbers)
        if not (signs[apart] * (direction @ integers[:, apart]) > 0).all():
            return None
        if not plane.any():
            return COMPLETE
        if not hard.all():
            return QUASI_COMPLETE
    rest = X[kept][:, plane]
    if not _balanced(rest, signs[plane], hard[plane], split.multipliers[plane]):
        return None
    return QUASI_COMPLETE if apart.any() else OVERLAP


def _directions_within(
    X: Float[np.ndarray, "k m"], integers: Shaped[np.ndarray, "k_1 m"]
) -> tuple[np.ndarray, np.ndarray, Shaped[np.ndarray, "k_1 d"]] | None:
    """Return all directions u with uT x = 0 for every sample, proved, or None.

    Features that are kept are independent of each other and of the bias, to double
    precision; each of those dropped depends on them: one direction, in integers. That
    it does is checked for every sample.
    """
    from scipy.linalg import qr, solve_triangular

    k, m = X.shape
    unit = _centre(X)[0].astype(float)
    order, rank = np.arange(k), 0
    if k:
        R, order = qr(unit.T, mode="r", pivoting=True)
        sizes = np.abs(np.diag(R))
        rank = int((sizes > DEPENDENT * sizes[0]).sum())
    kept, dropped = order[:rank], order[rank:]
    across = np.zeros((k + 1, len(dropped)), object)
    if not len(dropped):
        return kept, dropped, across
    shares = solve_triangular(R[:rank, :rank], R[:rank, rank:])
    for j, i in enumerate(dropped):
        used = kept[np.abs(shares[:, j]) > DEPENDENT]
        samples = qr(_with_ones(unit[used]), mode="r", pivoting=True)[1]
        samples = samples[: len(used) + 1]
        rows = [*used, k]
        A = integers[rows][:, samples].T
        solved = solve_integers(A, -integers[i, samples])
        if solved is None:
            return None
        across[rows, j], across[i, j] = solved
        rows.append(i)
        if (across[rows, j] @ integers[rows]).any():
            return None
    return kept, dropped, across


def _balanced(
    X: Float[np.ndarray, "k m"],
    signs: Shaped[np.ndarray, " m"],
    hard: Bool[np.ndarray, " m"],
    multipliers: Float[np.ndarray, " m"],
) -> bool:
    """Return whether multipliers near these, above 0 where hard, balance: proved.

    sum(p s x) = 0 is made exact by a relative change d of the multipliers of k + 1
    samples: C d = -residual. |d| is bounded by way of an approximate inverse R of C: if
    the norm of I - R C is e < 1, then |d| <= |R residual| / (1 - e). It must be below
    1. Every bound has the rounding of its own computation, and half of it to spare.
    """
    from scipy.linalg import qr

    k, m = X.shape
    size = np.where(hard, multipliers, np.abs(multipliers).mean())
    if (size <= 0).any():
        return False
    terms = _with_ones(_centre(X)[0]) * signs
    weighted = (terms * size).astype(float)
    order = qr(weighted, mode="r", pivoting=True)[1][: k + 1]
    C = weighted[:, order]
    try:
        R = np.linalg.inv(C)
    except np.linalg.LinAlgError:
        return False
    rounding = (k + 6) * DOUBLE.eps * (np.abs(R) @ (np.abs(C) + DOUBLE.tiny))
    e = (np.abs(R @ C - np.eye(k + 1)) + rounding).sum(axis=1).max()
    terms = terms * multipliers
    within = (m + 6) * LONG.eps * np.abs(terms).sum(axis=1)
    residual = np.abs(terms.sum(axis=1)) + within
    return bool(e < 0.5 and (np.abs(R) @ residual).max() < 0.25)


def _search_exactly(
    X: Float[np.ndarray, "k m"],
    signs: Shaped[np.ndarray, " m"],
    hard: Bool[np.ndarray, " m"],
) -> str:
    """Return the answer from linear programs in integers.

    Stiemke: no direction has a sample apart if and only if sum(p s x) = 0 for some p =
    1 + q, q >= 0. Gordan: none has all apart if and only if that holds for some p >= 0
    with sum(p) = 1.
    """
    integers, _ = to_integers(_with_ones(X))
    A, soft = (integers * signs.astype(object))[:, hard], integers[:, ~hard]
    if is_solvable(np.hstack([A, soft, -soft]), -A.sum(axis=1)):
        return OVERLAP
    if not hard.all():
        return QUASI_COMPLETE
    target = np.array([0] * len(A) + [1], object)
    return QUASI_COMPLETE if is_solvable(_with_ones(A), target) else COMPLETE


def _with_ones(X: np.ndarray) -> np.ndarray:
    return np.concatenate([X, np.ones_like(X[:1], shape=(1, X.shape[1]))])


def _centre(X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (X - middle) / 2^exponent, between -1 and 1, in long double, and these.

    Shapes: X (k, m); middle and exponent (k,). It is the middle of the extremes, so
    that a constant becomes 0.
    """
    middle = X.min(axis=1) / 2 + X.max(axis=1) / 2
    moved = X.astype(np.longdouble) - middle[:, None]
    _, exponent = np.frexp(np.abs(moved).max(axis=1))
    return np.ldexp(moved, -exponent[:, None]), middle, exponent

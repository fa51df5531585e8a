"""What the labels of a problem are: separated by a plane, or overlapping.

A linear program in double precision proposes the answer, and exact arithmetic proves
it. They share no code with the solvers.

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
    without_divisor,
)

__all__ = ["COMPLETE", "OVERLAP", "QUASI_COMPLETE", "UNKNOWN", "separation"]

# The words of Albert and Anderson (1984).
COMPLETE, QUASI_COMPLETE, OVERLAP = "complete", "quasi-complete", "overlap"
UNKNOWN = "unknown"

# How many samples per row may do: if these overlap, so do all.
FEW = 20
# Numbers in a problem above which a linear program is not tried.
LARGEST = 2_000_000
# rows^2 samples up to which a problem that is too hard for double precision is decided
# by a simplex method in integers.
LARGEST_EXACT = 200_000
# A feature depends on others, nearly, if what is beyond them is below this.
NEARLY = 1e-6
LONG, DOUBLE = np.finfo(np.longdouble), np.finfo(np.float64)


class _Rows(NamedTuple):
    """Features above ones, as integers and as doubles between -1 and 1.

    Shapes: integers and unit (k + 1, m); middle and scale, k integers. unit is
    (integers - middle) / scale for the features, rounded once, with ones below.
    """

    integers: Shaped[np.ndarray, "k_1 m"]
    unit: Float[np.ndarray, "k_1 m"]
    middle: list[int]
    scale: list[int]


class _Split(NamedTuple):
    """Which samples a direction has apart from its plane, to be proved.

    Shapes: apart (m,); direction (k + 1,), integers; multipliers (m,), of the samples
    on the plane.
    """

    apart: Bool[np.ndarray, " m"]
    direction: Shaped[np.ndarray, " k_1"]
    multipliers: Float[np.ndarray, " m"]


class _Signs(NamedTuple):
    """The sides of the samples: 1 or -1, and whether the label is 0 or 1."""

    sign: Shaped[np.ndarray, " m"]
    hard: Bool[np.ndarray, " m"]

    def of(self, samples: Bool[np.ndarray, " m"]) -> _Signs:
        return _Signs(self.sign[samples], self.hard[samples])


def separation(X: Float[np.ndarray, "k m"], y: Float[np.ndarray, " m"]) -> str:
    """Return what the labels are: complete, quasi-complete, overlap or unknown.

    Shapes: X (k, m), the features without a penalty, as doubles; y (m,). Complete: some
    direction has all samples apart from its plane. Quasi-complete: some, but not all.
    Overlap: none; there is a finite minimum. Unknown: nothing was proved.
    """
    columns, m = _with_ones(X), len(y)
    signs = _Signs(np.where(y == 0, -1, 1), np.isin(y, (0, 1)))
    if not signs.hard.any():
        return OVERLAP
    rows = _independent(to_integers(columns)) if X.size <= LARGEST else None
    few = FEW * len(columns)
    if few < m:
        # A direction for all is one for these; if it must have these on its plane, and
        # no feature depends on others here, it is 0.
        some = np.random.default_rng(0).permutation(m) < few
        part = to_integers(columns[:, some]) if rows is None else rows.integers[:, some]
        found, kept = _propose_and_prove(_to_rows(part), signs.of(some))
        if found == OVERLAP and kept == len(part):
            return OVERLAP
    if rows is None:
        return UNKNOWN
    found, _ = _propose_and_prove(rows, signs)
    if found == UNKNOWN and len(rows.integers) ** 2 * m <= LARGEST_EXACT:
        return _search_exactly(rows, signs)
    return found


def _propose_and_prove(rows: _Rows, signs: _Signs) -> tuple[str, int]:
    """Return the answer, unknown if it is not proved, and the rank on the plane."""
    split = _propose_split(rows, signs) if signs.hard.any() else None
    return (UNKNOWN, 0) if split is None else _prove(split, rows, signs)


def _propose_split(rows: _Rows, signs: _Signs) -> _Split | None:
    """Return the solution of a linear program in double precision, or None.

    It is the dual of: maximise the sum of t, where 0 <= t <= 1 and t <= s uT x. At the
    maximum t is 1 for samples apart, and 0 for those on the plane: minimise sum(r),
    where sum(p s x) = 0, p = 1 + q - r, 0 <= q and 0 <= r <= 1. So p is at least 1 on
    the plane, and r is 1 apart from it. The prices of the equations are u.
    """
    from scipy.optimize import linprog  # takes a while to import

    sign, hard = signs
    columns = rows.unit * sign
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
    w = [x / each for x, each in zip(prices, rows.scale, strict=True)]
    for x, middle in zip(w, rows.middle, strict=True):
        b -= x * middle
    return _Split(apart, common_integers([*w, b]), multipliers)


def _prove(split: _Split, rows: _Rows, signs: _Signs) -> tuple[str, int]:
    """Return the answer, unknown if it is not proved, and the rank on the plane."""
    apart, direction, integers = split.apart, split.direction, rows.integers
    plane = ~apart
    if plane.any():
        if apart.any():
            rows = _to_rows(integers[:, plane])
        kept, across = _directions_within(rows)
        shares = map(Fraction, direction[~kept], across[~kept].diagonal())
        direction = across @ common_integers(list(shares))
    if not (signs.sign[apart] * (direction @ integers[:, apart]) > 0).all():
        return UNKNOWN, 0
    if not plane.any():
        return COMPLETE, 0
    if apart.any() and not signs.hard.all():
        return QUASI_COMPLETE, 0
    unit, multipliers = rows.unit[kept], split.multipliers[plane]
    if not _balanced(unit, signs.of(plane), multipliers):
        return UNKNOWN, 0
    return (QUASI_COMPLETE if apart.any() else OVERLAP), len(unit)


def _to_rows(integers: Shaped[np.ndarray, "k_1 m"]) -> _Rows:
    """Return rows, each moved by the middle of its extremes: a constant becomes 0."""
    *features, ones = integers
    middle = [(min(row) + max(row)) // 2 for row in features]
    moved = [row - each for row, each in zip(features, middle, strict=True)]
    scale = [1 << int(max(abs(row))).bit_length() for row in moved]
    unit = [row / each for row, each in zip(moved, scale, strict=True)]
    return _Rows(integers, np.array([*unit, ones], float), middle, scale)


def _independent(integers: Shaped[np.ndarray, "k_1 m"]) -> _Rows:
    """Return rows of which none depends on others, even nearly, with the same answer.

    What nearly depends on others is replaced by the exact remainder. Twice, since
    remainders may depend on each other.
    """
    rows = _to_rows(integers)
    for _ in range(2):
        kept, across = _relations(rows)
        if not across.size:
            break
        remainders = without_divisor(across.T @ rows.integers)
        some = remainders[remainders.any(axis=1)]
        rows = _to_rows(np.concatenate([some, rows.integers[kept]]))
    return rows


def _directions_within(
    rows: _Rows,
) -> tuple[Bool[np.ndarray, " k_1"], Shaped[np.ndarray, "k_1 d"]]:
    """Return which rows are kept, and the directions u with uT x = 0 everywhere.

    There is a direction for each row that is not kept; it is 0 at the others of them.
    """
    kept, across = _relations(rows)
    exact = ~(across.T @ rows.integers).any(axis=1)
    kept[np.flatnonzero(~kept)[~exact]] = True
    return kept, across[:, exact]


def _relations(
    rows: _Rows,
) -> tuple[Bool[np.ndarray, " k_1"], Shaped[np.ndarray, "k_1 d"]]:
    """Return which rows are independent, and a relation of each other one to them.

    The ones are kept. A relation is integers, a column: their sum over the rows, each
    multiplied by its integer, is about 0, and exactly if it can be.
    """
    from scipy.linalg import qr, solve_triangular

    integers, k = rows.integers, len(rows.scale)
    kept = np.ones(k + 1, bool)
    if not k:
        return kept, np.zeros((1, 0), object)
    varying = rows.unit[:k] - rows.unit[:k].mean(axis=1, keepdims=True)
    R, order = qr(varying.T, mode="r", pivoting=True)
    sizes = np.abs(np.diag(R))
    rank = int((sizes > NEARLY * sizes[0]).sum())
    kept[order[rank:]] = False
    shares = solve_triangular(R[:rank, :rank], R[:rank, rank:])
    across = np.zeros((k + 1, k - rank), object)
    for j, i in enumerate(np.flatnonzero(~kept)):
        share = shares[:, list(order[rank:]).index(i)]
        used = [*order[:rank][np.abs(share) > NEARLY], k]
        samples = qr(rows.unit[used], mode="r", pivoting=True)[1][: len(used)]
        A = integers[used][:, samples].T
        across[used, j], across[i, j] = solve_integers(A, -integers[i, samples]) or (
            0,
            1,
        )
    return kept, across


def _balanced(
    unit: Float[np.ndarray, "k m"], signs: _Signs, multipliers: Float[np.ndarray, " m"]
) -> bool:
    """Return whether multipliers near these, above 0 where hard, balance: proved.

    sum(p s x) = 0 is made exact by a relative change d of the multipliers of k samples:
    C d = -residual. |d| is bounded by way of an approximate inverse R of C: if the norm
    of I - R C is e < 1, then |d| <= |R residual| / (1 - e). It must be below 1. Every
    bound has the rounding of its own computation, and some to spare.
    """
    from scipy.linalg import qr

    k, m = unit.shape
    size = np.where(signs.hard, multipliers, np.abs(multipliers).mean())
    weighted = unit * signs.sign * size
    C = weighted[:, qr(weighted, mode="r", pivoting=True)[1][:k]]
    try:
        R = np.linalg.inv(C)
    except np.linalg.LinAlgError:
        return False
    rounding = (k + 8) * DOUBLE.eps * (np.abs(R) @ (np.abs(C) + DOUBLE.tiny))
    e = (np.abs(R @ C - np.eye(k)) + rounding).sum(axis=1).max()
    signed = (signs.sign * multipliers).astype(np.longdouble)
    total = (np.abs(unit) + DOUBLE.tiny) @ np.abs(signed)
    residual = np.abs(unit @ signed) + (DOUBLE.eps + (m + 8) * LONG.eps) * total
    change = (np.abs(R) @ residual).max()
    return bool((size > 0).all() and e < 0.5 and change < 0.25)


def _search_exactly(rows: _Rows, signs: _Signs) -> str:
    """Return the answer from linear programs in integers.

    Stiemke: no direction has a sample apart if and only if sum(p s x) = 0 for some p =
    1 + q, q >= 0. Gordan: none has all apart if and only if that holds for some p >= 0
    with sum(p) = 1.
    """
    sign, hard = signs
    columns = rows.integers * sign.astype(object)
    A, soft = columns[:, hard], columns[:, ~hard]
    if is_solvable(np.hstack([A, soft, -soft]), -A.sum(axis=1)):
        return OVERLAP
    if not hard.all():
        return QUASI_COMPLETE
    target = np.array([0] * len(A) + [1], object)
    return QUASI_COMPLETE if is_solvable(_with_ones(A), target) else COMPLETE


def _with_ones(X: np.ndarray) -> np.ndarray:
    return np.concatenate([X, np.ones_like(X[:1], shape=(1, X.shape[1]))])

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

from jlogreg.certification.rational import (
    Rows,
    common_integers,
    directions_within,
    independent_rows,
    is_solvable,
    to_integers,
    to_rows,
    with_ones,
)

__all__ = ["COMPLETE", "OVERLAP", "QUASI_COMPLETE", "UNKNOWN", "separation"]

# The words of Albert and Anderson (1984).
COMPLETE, QUASI_COMPLETE, OVERLAP = "complete", "quasi-complete", "overlap"
UNKNOWN = "unknown"

# Samples per row in the first linear program.
FEW = 20
# Numbers in a problem above which only some of its samples are looked at.
LARGEST = 5_000_000
# rows^2 samples up to which a problem that is too hard for double precision is decided
# by a simplex method in integers.
LARGEST_EXACT = 50_000
# A linear program in double precision may miss a margin of 0 by this.
TINY = 1e-6
LONG, DOUBLE = np.finfo(np.longdouble), np.finfo(np.float64)


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


def separation(
    X: Float[np.ndarray, "k m"],
    y: Float[np.ndarray, " m"],
    pull: Float[np.ndarray, " m"] | None = None,
) -> str:
    """Return what the labels are: complete, quasi-complete, overlap or unknown.

    Shapes: X (k, m), the features without a penalty, as doubles; y (m,); pull (m,), by
    which the samples draw the parameters, whose sum with x is 0 at a minimum: there
    they are the multipliers that prove an overlap. Complete: some
    direction has all samples apart from its plane. Quasi-complete: some, but not all.
    Overlap: none; there is a finite minimum. Unknown: nothing was proved.
    """
    columns, m = with_ones(X), len(y)
    signs = _Signs(np.where(y == 0, -1, 1), np.isin(y, (0, 1)))
    if not signs.hard.any():
        return OVERLAP
    # A direction for all is one for some. If it must have these on its plane, and no
    # row depends on others in them, it is 0.
    some = _some(m, LARGEST // len(columns) + 1)
    pull = np.zeros(m) if pull is None else pull
    rows, all_found = independent_rows(to_integers(columns[:, some]))
    answer, rank = _decide(rows, signs.of(some), pull[some])
    # A direction alone proves these, of whatever rows.
    by_direction = COMPLETE if signs.hard.all() else QUASI_COMPLETE
    if some.all() and (all_found or answer == by_direction):
        return answer
    return OVERLAP if answer == OVERLAP and rank == len(columns) else UNKNOWN


def _some(m: int, count: int) -> Bool[np.ndarray, " m"]:
    """Return which of the samples are chosen, by chance but always the same."""
    return np.random.default_rng(0).permutation(m) < count


def _decide(
    rows: Rows, signs: _Signs, pull: Float[np.ndarray, " m"]
) -> tuple[str, int]:
    """Return the answer for these rows, and their rank if that is part of the proof.

    After a fit that converged its own numbers prove the overlap. Otherwise the linear
    program is solved for some samples, and others are added until none is on the wrong
    side.
    """
    k, m = rows.unit.shape
    size = np.abs(pull).mean()
    if size > 0 and _balanced(rows.unit, signs, pull * signs.sign / size):
        return OVERLAP, k
    used = _some(m, FEW * k)
    while True:
        split, more = _propose(rows, signs, used)
        if not more.any():
            found, rank = _prove(split, rows, signs)
            if found != UNKNOWN:
                return found, rank
            if used.all():
                break
            more = ~used
        used = used | more
    if k**2 * m <= LARGEST_EXACT:
        return _search_exactly(rows, signs), 0
    return UNKNOWN, 0


def _propose(
    rows: Rows, signs: _Signs, used: Bool[np.ndarray, " m"]
) -> tuple[_Split, Bool[np.ndarray, " m"]]:
    """Return a split by the samples used, and which others to use next.

    If any others are on the wrong side: as many as are used already, the worst.
    """
    columns = rows.unit * signs.sign
    prices, multipliers = _solve_program(columns, signs.hard, used)
    margins = prices @ columns
    apart = signs.hard & (margins > np.where(used, 0.5, TINY))
    *w, b = map(Fraction, prices)
    w = [x / each for x, each in zip(w, rows.scale, strict=True)]
    for x, middle in zip(w, rows.middle, strict=True):
        b -= x * middle
    excess = np.where(signs.hard, -margins, np.abs(margins))
    excess[used] = -np.inf
    worst = np.argsort(excess)[-int(used.sum()) :]
    more = np.isin(np.arange(len(used)), worst) & ~used & (excess.max() > TINY)
    return _Split(apart, common_integers([*w, b]), multipliers), more


def _solve_program(
    columns: Float[np.ndarray, "k m"],
    hard: Bool[np.ndarray, " m"],
    used: Bool[np.ndarray, " m"],
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " m"]]:
    """Return u and the multipliers p from a linear program in double precision.

    It is the dual of: maximise the sum of t, where 0 <= t <= 1 and t <= s uT x. At the
    maximum t is 1 for samples apart, and 0 for those on the plane: minimise sum(r),
    where sum(p s x) = 0, p = 1 + q - r, 0 <= q and 0 <= r <= 1. So p is at least 1 on
    the plane. The prices of the equations are u. Both are 0 if no solution was found.
    """
    from scipy.optimize import linprog  # takes a while to import

    hard, soft = used & hard, used & ~hard
    A, count, free = columns[:, hard], int(hard.sum()), int(soft.sum())
    found = linprog(
        np.repeat([0.0, 1.0, 0.0], [count, count, free]),
        A_eq=np.hstack([A, -A, columns[:, soft]]),
        b_eq=-A.sum(axis=1),
        bounds=[(0, None)] * count + [(0, 1)] * count + [(None, None)] * free,
        method="highs-ds",
    )
    multipliers = np.zeros(len(used))
    if found.status != 0:
        return np.zeros(len(columns)), multipliers
    q, r, p = np.split(found.x, [count, 2 * count])
    multipliers[hard], multipliers[soft] = 1 + q - r, p
    return -found.eqlin.marginals, multipliers


def _prove(split: _Split, rows: Rows, signs: _Signs) -> tuple[str, int]:
    """Return the answer, unknown if it is not proved, and the rank on the plane."""
    apart, direction, integers = split.apart, split.direction, rows.integers
    plane = ~apart
    if plane.any():
        if apart.any():
            rows = to_rows(integers[:, plane])
        kept, across = directions_within(rows)
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


def _balanced(
    unit: Float[np.ndarray, "k m"], signs: _Signs, multipliers: Float[np.ndarray, " m"]
) -> bool:
    """Return whether multipliers near these, at least 0 where hard, balance: proved.

    sum(p s x) = 0 is made exact by a relative change d of k multipliers that are not 0:
    C d = -residual, where the columns of C span all. |d| is bounded by way of an
    approximate inverse R of C: if the norm of I - R C is e < 1, then |d| <= |R
    residual| / (1 - e). It must be below 1. Every bound has the rounding of its own
    computation, and some to spare.
    """
    from scipy.linalg import qr

    k, m = unit.shape
    size = np.where(signs.hard, multipliers, 1 + np.abs(multipliers).mean())
    some = size > 0
    if some.sum() < k:
        return False
    weighted = (unit * signs.sign * size)[:, some]
    C = weighted[:, qr(weighted, mode="r", pivoting=True)[1][:k]]
    R = np.linalg.pinv(C)
    rounding = (k + 8) * DOUBLE.eps * (np.abs(R) @ (np.abs(C) + DOUBLE.tiny))
    e = (np.abs(R @ C - np.eye(k)) + rounding).sum(axis=1).max()
    signed = (signs.sign * multipliers).astype(np.longdouble)
    total = (np.abs(unit) + DOUBLE.tiny) @ np.abs(signed)
    residual = np.abs(unit @ signed) + (DOUBLE.eps + (m + 8) * LONG.eps) * total
    change = (np.abs(R) @ residual).max()
    return bool((size >= 0).all() and e < 0.5 and change < 0.25)


def _search_exactly(rows: Rows, signs: _Signs) -> str:
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
    return QUASI_COMPLETE if is_solvable(with_ones(A), target) else COMPLETE

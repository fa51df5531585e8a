"""The truth about a problem: whether it has a minimum, how many, and where."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np

from jlogreg.testing.search.exact.minimum import Minimum, find_minimum
from jlogreg.testing.search.exact.separation import grows, is_unique, separates
from jlogreg.testing.search.problems import Hard

__all__ = ["Parts", "Truth", "Where", "parts_of", "truth_of"]


class Where(StrEnum):
    """Where the minimum is.

    ONE_POINT: at one finite point. MANY_POINTS: at finite points that share the cost.
    ONE_CLASS, SEPARATED and QUASI_SEPARATED: at infinity, since all labels are equal, a
    plane lies between the labels, or a plane has some samples on it and all others on
    the side of their label.
    """

    ONE_POINT = "one point"
    MANY_POINTS = "many points"
    ONE_CLASS = "one class"
    SEPARATED = "separated"
    QUASI_SEPARATED = "quasi-separated"


class Truth(NamedTuple):
    """Where the minimum is, and its numbers if that is one point.

    They are None, too, where 6144 bits do not find them, as once in 5000 problems.
    """

    where: Where
    minimum: Minimum | None = None

    @property
    def separated(self) -> bool:
        """Whether a plane lies between the labels."""
        return self.where in (Where.ONE_CLASS, Where.SEPARATED)


class Parts(NamedTuple):
    """The numbers of a problem that count, in double precision.

    Shapes: kept (m,), which samples have a weight; of these X (n, m'), y, weight and
    offset (m',); l2 (n,).
    """

    kept: Any
    X: Any
    y: Any
    weight: Any
    offset: Any
    l2: Any


def parts_of(problem: Hard) -> Parts:
    """Return the numbers of a problem that count."""
    n, m = problem.X.shape
    weight = np.ones(m) if problem.weight is None else problem.weight[0]
    offset = np.zeros(m) if problem.offset is None else problem.offset[0]
    kept = weight > 0
    samples = (problem.X[:, kept], problem.y[0, kept], weight[kept], offset[kept])
    X, y, weight, offset = (array.astype(float) for array in samples)
    l2 = np.broadcast_to(problem.l2, (n, 1))[:, 0].astype(float)
    return Parts(kept, X, y, weight, offset, l2)


def truth_of(problem: Hard) -> Truth:
    """Return the truth about a problem, which is exact but for the rounded numbers.

    Rank and separation are decided in rational numbers, in the directions that have no
    penalty: the others have a finite minimum whatever the data.
    """
    _, X, y, weight, offset, l2 = parts_of(problem)
    free = np.vstack([X[l2 == 0], np.ones_like(y)])
    if grows(free, y):
        if len(np.unique(y)) == 1:
            return Truth(Where.ONE_CLASS)
        return Truth(Where.SEPARATED if separates(free, y) else Where.QUASI_SEPARATED)
    if not is_unique(free):
        return Truth(Where.MANY_POINTS)
    try:
        return Truth(Where.ONE_POINT, find_minimum(X, y, weight, offset, l2))
    except ArithmeticError:
        return Truth(Where.ONE_POINT)

"""The sums over samples for a step of Newton's method."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Array, Float

from jlogreg.base.params import Params
from jlogreg.data.reduction import gram_block
from jlogreg.data.samples import Samples
from jlogreg.objective.pointwise import pointwise_at
from jlogreg.objective.prediction import adjoint
from jlogreg.objective.sums import gram, sum_over_written

__all__ = ["NewtonTotals", "newton_totals"]


class NewtonTotals(NamedTuple):
    """The sums over samples that a Newton step needs.

    Shapes: weight () of the samples; gradient w (n, 1), b (1, 1); curvature
    (n + 1, n + 1); the others as in Pointwise.
    """

    weight: Float[Array, ""]
    loss: Float[Array, ""]
    gradient: Params
    curvature: Float[Array, "n+1 n+1"]
    n_moved: Float[Array, ""]
    n_large_moves: Float[Array, ""]
    n_not_separated: Float[Array, ""]
    pearson: Float[Array, ""]


def newton_totals(
    samples: Samples,
    point: Params,
    step: Params,
    l2: Array,
    tol: Array,
    every: int = 1,
) -> NewtonTotals:
    """Return the sums that a Newton step needs at a point, in one pass over the data.

    With `every`, one block in `every` is summed, evenly spread: a first approximation.
    """

    def summand(
        part: Samples, point: Params, step: Params, l2: Array, tol: Array
    ) -> NewtonTotals:
        each = pointwise_at(part, point, step, l2, tol)
        return NewtonTotals(
            weight=part.weights().sum(),
            loss=each.loss,
            gradient=adjoint(part.X, each.dz),
            curvature=gram(part, each.dz2),
            n_moved=each.n_moved,
            n_large_moves=each.n_large_moves,
            n_not_separated=each.n_not_separated,
            pearson=each.pearson,
        )

    given, block = (point, step, l2, tol), gram_block(samples)
    return sum_over_written(summand, samples, *given, block=block, every=every)

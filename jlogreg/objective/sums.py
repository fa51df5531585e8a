"""The sums over samples of this loss: its value, gradient, Hessian and products.

Each is one pass over the data, by `data.reduction`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jlogreg.base.params import Params
from jlogreg.data.reduction import Sums, cache_block, gram_block, sum_over_samples
from jlogreg.data.samples import Samples
from jlogreg.data.standardized import is_standardized, written
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss, log_loss_dz, log_loss_dz2
from jlogreg.objective.prediction import adjoint

__all__ = [
    "Totals",
    "curvature_along_total",
    "curvature_total",
    "gram",
    "loss_total",
    "sum_over_written",
    "totals",
]


class Totals(NamedTuple):
    """The sums over samples of the losses () and of their gradients."""

    loss: Float[Array, ""]
    gradient: Params


def sum_over_written(
    summand: Callable[..., Sums],
    samples: Samples,
    *given: Any,
    block: int | None = None,
    every: int = 1,
) -> Sums:
    """Return the sum over samples, with standardized features written block by block.

    So they keep their digits, however far from zero the others are. Arguments as for
    `sum_over_samples`.
    """

    def of_written(part: Samples, *given: Any) -> Sums:
        return summand(part._replace(X=written(part.X)), *given)

    if block is None and is_standardized(samples.X):
        block = cache_block(samples)
    return sum_over_samples(of_written, samples, *given, block=block, every=every)


def totals(params: Params, samples: Samples, block: int | None = None) -> Totals:
    """Return the sums over samples of the loss and of its gradient.

    Shapes: loss (), gradient w (n, 1), b (1, 1). Sums of weight * log_loss(z, y), of
    weight * dz * x and of weight * dz; equations (11) and (12) of docs/derivation.md
    before the division by m.
    """

    def summand(part: Samples, params: Params) -> Totals:
        z = part.logits(params)
        loss = part.weighted(log_loss(FAST, z, part.y)).sum()
        dz = part.weighted(log_loss_dz(FAST, z, part.y))
        return Totals(loss=loss, gradient=adjoint(part.X, dz))

    return sum_over_written(summand, samples, params, block=block)


def loss_total(
    params: Params, samples: Samples, block: int | None = None
) -> Float[Array, ""]:
    """Return the sum over samples of the weighted log losses."""

    def summand(part: Samples, params: Params) -> Array:
        return part.weighted(log_loss(FAST, part.logits(params), part.y)).sum()

    return sum_over_written(summand, samples, params, block=block)


def curvature_total(
    params: Params, samples: Samples, block: int | None = None
) -> Float[Array, "n+1 n+1"]:
    """Return the sum over samples of the Hessian, in the order w, then b.

    Shapes: (n + 1, n + 1). The sum of weight * a (1 - a) * [x; 1] [x; 1]T; equation
    (13) of docs/derivation.md before the division by m.
    """

    def summand(part: Samples, params: Params) -> Array:
        s = part.weighted(log_loss_dz2(FAST, part.logits(params)))
        return gram(part, s)

    block = block or gram_block(samples)
    return sum_over_written(summand, samples, params, block=block)


def curvature_along_total(
    params: Params, vector: Params, samples: Samples, block: int | None = None
) -> Params:
    """Return the sum over samples of the Hessian times a vector, without the Hessian.

    Shapes: vector and result w (n, 1), b (1, 1). Equation (13) of docs/derivation.md
    applied from the right: two passes forward, one backward.
    """

    def summand(part: Samples, params: Params, vector: Params) -> Params:
        s = part.weighted(log_loss_dz2(FAST, part.logits(params)))
        return adjoint(part.X, s * (part.X.forward(vector.w) + vector.b))

    return sum_over_written(summand, samples, params, vector, block=block)


def gram(samples: Samples, s: Float[Array, "1 m"]) -> Float[Array, "n+1 n+1"]:
    """Return the sum over samples of s [x; 1] [x; 1]T, in the order w, then b.

    Shapes: s (1, m), result (n + 1, n + 1).
    """
    wb, bb = adjoint(samples.X, s)
    return jnp.block([[samples.X.gram(s), wb], [wb.T, bb]])

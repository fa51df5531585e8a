"""Look at samples from a point: what a solver wants to know, before any sum with X."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jlogreg.base.params import Params
from jlogreg.data.design import Design
from jlogreg.data.samples import Samples
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss, log_loss_dz, log_loss_dz2

__all__ = ["Pointwise", "logits_along", "pointwise", "pointwise_at"]


class Pointwise(NamedTuple):
    """Hold what a point shows of some samples, before the products with X.

    Shapes: loss (), the weighted sum; dz and dz2 (1, m), weighted; moved (), how many
    logits the step moved by more than the tolerance; swung (), by more than a half;
    wrong (), how many samples the point does not separate.
    """

    loss: Float[Array, ""]
    dz: Float[Array, "1 m"]
    dz2: Float[Array, "1 m"]
    n_moved: Float[Array, ""]
    n_large_moves: Float[Array, ""]
    n_not_separated: Float[Array, ""]


def pointwise(
    samples: Samples, z: Array, change: Array, free: Array, tol: Array
) -> Pointwise:
    """Return what logits, offset not included, show of the samples.

    Shapes: z (1, m), change (1, m) what the step added to z, free (1, m) the part of z
    that no penalty holds back. A sample is separated where its label is hard and free
    is on the right side of 0: if all are, to go on in that direction lowers the cost
    for ever, and there is no minimum.
    """
    y, kept = samples.y, True if samples.weight is None else samples.weight > 0
    z = samples.add_offset(z)
    right = jnp.where(y == 1, free > 0, (y == 0) & (free < 0))

    def count(rows: Array) -> Array:
        return jnp.sum(rows & kept, dtype=z.dtype)

    return Pointwise(
        loss=samples.weighted(log_loss(FAST, z, y)).sum(),
        dz=samples.weighted(log_loss_dz(FAST, z, y)),
        dz2=samples.weighted(log_loss_dz2(FAST, z)),
        n_moved=count(jnp.abs(change) > tol),
        n_large_moves=count(jnp.abs(change) > 0.5),
        n_not_separated=count(~right),
    )


def pointwise_at(
    samples: Samples, point: Params, step: Params, l2: Array, tol: Array
) -> Pointwise:
    """Return what a point and the step to it show of the samples.

    Shapes: point and step w (n, 1), b (1, 1); l2 () or (n, 1).
    """
    z, change, free = logits_along(samples.X, l2, point, step)
    return pointwise(samples, z, change, free, tol)


def logits_along(X: Design, l2: Array, point: Params, *others: Params) -> list[Array]:
    """Return logits, offset left out: of a point, of others, and its own free part.

    Shapes: l2 () or (n, 1); each result (1, m), by one product with X. Free is what no
    penalty holds back.
    """
    columns = [params.w for params in (point, *others)]
    if l2.ndim:  # some features may be free of a penalty, others not
        columns.append(jnp.where(l2 == 0, point.w, 0.0))
    rows = list(X.forward(jnp.concatenate(columns, axis=1))[:, None])
    if not l2.ndim:
        rows.append(jnp.where(l2 == 0, rows[0], 0.0))
    added = [params.b for params in (point, *others, point)]
    return [row + b for row, b in zip(rows, added, strict=True)]

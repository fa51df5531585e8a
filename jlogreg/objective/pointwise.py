"""Loss, gradient and curvature of each sample at given logits, and counts of samples.

The counts serve the stopping test and the separation test of the solvers. No product
with X is taken but that for the logits.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jlogreg.base.params import Params
from jlogreg.data.design import Design
from jlogreg.data.samples import Samples
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss, log_loss_dz, log_loss_dz2

__all__ = [
    "Pointwise",
    "line_derivatives",
    "logits_along",
    "pointwise",
    "pointwise_at",
]


class Pointwise(NamedTuple):
    """Loss, derivatives and counts of some samples at a point.

    Shapes: loss (), the weighted sum of the losses; dz and dz2 (1, m), the weighted
    derivatives; n_moved (), the number of logits that the step changed by more than the
    tolerance, and n_large_moves () by more than 1/2; n_not_separated (), the number of
    samples that the point does not separate by equation (19) of docs/derivation.md;
    pearson (), the weighted sum of dz^2 / dz2, which are the squares of Pearson's
    residuals. Samples of weight 0 do not count.
    """

    loss: Float[Array, ""]
    dz: Float[Array, "1 m"]
    dz2: Float[Array, "1 m"]
    n_moved: Float[Array, ""]
    n_large_moves: Float[Array, ""]
    n_not_separated: Float[Array, ""]
    pearson: Float[Array, ""]


def pointwise(
    samples: Samples, z: Array, change: Array, free: Array, tol: Array
) -> Pointwise:
    """Return loss, derivatives and counts of samples at their logits z.

    Equations (6), (9) and (10) of docs/derivation.md give loss and derivatives. A
    sample is separated if its label is 0 or 1 and free is on the right side of 0. If
    all are, the cost decreases forever in this direction, and there is no minimum:
    equation (19).

    Args:
        samples: m samples, of which X is not used.
        z: (1, m), the logits without the offset.
        change: (1, m), the change of z by the step.
        free: (1, m), the part of z from parameters without a penalty.
        tol: (), the tolerance of the stopping test, in logits.
    """
    y, kept = samples.y, True if samples.weight is None else samples.weight > 0
    z = _at_kept(samples, z)
    separated = jnp.where(y == 1, free > 0, (y == 0) & (free < 0))

    def count(rows: Array) -> Array:
        return jnp.sum(rows & kept, dtype=z.dtype)

    weight = 1 if samples.weight is None else samples.weight
    dz = weight * log_loss_dz(FAST, z, y)
    dz2 = weight * log_loss_dz2(FAST, z)
    return Pointwise(
        loss=(weight * log_loss(FAST, z, y)).sum(),
        dz=dz,
        dz2=dz2,
        n_moved=count(jnp.abs(change) > tol),
        n_large_moves=count(jnp.abs(change) > 0.5),
        n_not_separated=count(~separated),
        pearson=jnp.sum(jnp.where(dz == 0, 0.0, jnp.square(dz) / dz2)),
    )


def _at_kept(samples: Samples, z: Array) -> Float[Array, "1 m"]:
    """Return logits with the offset, 0 for excluded samples, which may overflow."""
    z = samples.add_offset(z)
    return z if samples.weight is None else jnp.where(samples.weight == 0, 0.0, z)


def line_derivatives(
    samples: Samples, z: Array, change: Array
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return the first two derivatives of the sum of the losses along a change of z.

    Shapes: z (1, m), the logits without the offset, where the derivatives are taken;
    change (1, m).
    """
    z = _at_kept(samples, z)
    weighted = change if samples.weight is None else samples.weight * change
    slope = jnp.sum(log_loss_dz(FAST, z, samples.y) * weighted)
    return slope, jnp.sum(log_loss_dz2(FAST, z) * weighted * change)


def pointwise_at(
    samples: Samples, point: Params, step: Params, l2: Array, tol: Array
) -> Pointwise:
    """Return loss, derivatives and counts of samples at a point.

    Shapes: point, and the step that led to it, w (n, 1), b (1, 1); l2 () or (n, 1).
    """
    z, change, free = logits_along(samples.X, l2, point, step)
    return pointwise(samples, z, change, free, tol)


def logits_along(X: Design, l2: Array, point: Params, *others: Params) -> list[Array]:
    """Return the logits of a point, of other points, and of the point's free part.

    Shapes: l2 () or (n, 1); each result (1, m), without the offset, all by one product
    with X. The free part consists of the bias and the weights without a penalty.
    """
    # One column of weights for each result. With one l2 for all features the free part
    # needs none: its weights are those of the point, or 0.
    columns = [params.w for params in (point, *others)]
    if l2.ndim:  # a penalty per feature, 0 for some
        columns.append(jnp.where(l2 == 0, point.w, 0.0))
    rows = list(X.forward(jnp.concatenate(columns, axis=1))[:, None])
    if not l2.ndim:
        rows.append(jnp.where(l2 == 0, rows[0], 0.0))
    added = [params.b for params in (point, *others, point)]
    return [row + b for row, b in zip(rows, added, strict=True)]

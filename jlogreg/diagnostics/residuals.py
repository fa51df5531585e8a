"""Residuals, leverages and Cook's distances of the samples of a fit."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jlogreg.base.arrays import at_least
from jlogreg.base.checks import AnyArray
from jlogreg.base.programs import program
from jlogreg.data.design import Design
from jlogreg.diagnostics.fitted import (
    Fitted,
    Given,
    answer_of,
    is_reached,
    per_sample,
    reached_status,
)
from jlogreg.fitting.fit import Fit
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss

__all__ = ["Diagnostics", "diagnostics", "unit_deviance"]

# What is left of 1 - h, in eps, below which a sample decides its own fit.
ROUNDINGS = 64


class Diagnostics(NamedTuple):
    """What each sample says of a fit.

    Shapes: all (1, m), but for status (); for K problems with a leading axis. Of a
    sample with the weight v, probability a, curvature s = a (1 - a) and leverage h:
    pearson is sqrt(v) (y - a) / sqrt(s); deviance the root of its part of the deviance,
    with the sign of y - a; standardized pearson / sqrt(1 - h), whose variance is about
    1; leverage the share of the label in its own logit, times s, the sum of which is
    the number of unknowns; cooks_distance how far all estimates move without the
    sample. Where the fit has not converged they are NaN.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> from jlogreg.inference import diagnostics
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> found = diagnostics(fit(X, y), X, y)
        >>> f"{found.leverage.sum():.3f}", int(found.cooks_distance.argmax())
        ('2.000', 2)
    """

    deviance: Float[Array, "1 m"]
    pearson: Float[Array, "1 m"]
    standardized: Float[Array, "1 m"]
    leverage: Float[Array, "1 m"]
    cooks_distance: Float[Array, "1 m"]
    status: Int[Array, ""]


def diagnostics(
    fit: Fit,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
    bias: bool = True,
) -> Diagnostics:
    """Return residuals, leverage and Cook's distance of each sample.

    Shapes: fit, X, y, weight, offset and l2 as for `covariance`, the same as in the
    fit; result Diagnostics of (1, m), for K problems with a leading axis. A sample of
    weight v is taken as one group of v. Equation (43) of docs/derivation.md (Pregibon,
    Ann. Statist. 9, 1981). A sample with the leverage 1 has no standardised residual
    and no distance: NaN.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a number is out of range, NaN or infinite, or if the fit is not
            the minimum for these arguments. Where that is traced the result is NaN.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> from jlogreg.inference import diagnostics
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> [f"{r:.2f}" for r in diagnostics(fit(X, y), X, y).standardized[0]]
        ['-0.26', '-0.51', '1.67', '-1.67', '0.51', '0.26']
    """
    rows = (y, weight, offset)
    found: Diagnostics = answer_of(_diagnostics, fit, X, *rows, l2=l2, bias=bias)
    return found


def unit_deviance(z: Array, y: Array) -> Array:
    """Return twice the loss less the least loss of a label, at least 0.

    Shapes: z and y of one shape. The least loss of a label between 0 and 1 is its
    entropy.
    """
    inside = (y > 0) & (y < 1)
    p = jnp.where(inside, y, 0.5)
    entropy = jnp.where(inside, -p * jnp.log(p) - (1 - p) * jnp.log1p(-p), 0.0)
    return at_least(2 * (log_loss(FAST, z, y) - entropy), 0)


@partial(program, inline=True)
def _diagnostics(given: Given) -> tuple[Diagnostics, Array, Array]:
    fitted = Fitted.of(given)
    reached, distance = is_reached(fitted)
    parts, y = per_sample(fitted), fitted.problem.samples.y
    # The weights as the user gives them, and the residual y - a; (43).
    v, residual = parts.weight * fitted.unit, -parts.dz
    deviance = jnp.sign(residual) * jnp.sqrt(v * unit_deviance(parts.z, y))
    curved = jnp.where(parts.dz2 > 0, parts.dz2, 1.0)
    pearson = residual * jnp.sqrt(v / curved)
    leverage = parts.weight * parts.dz2 * parts.leverage()
    room = 1 - leverage
    small = ROUNDINGS * float(np.finfo(room.dtype).eps)
    room = jnp.where(room > small, room, jnp.nan)
    k = fitted.unknowns()
    cooks = jnp.square(pearson / room) * leverage / k
    rows = [deviance, pearson, pearson / jnp.sqrt(room), leverage, cooks]
    answered = (jnp.where(reached, row, jnp.nan) for row in rows)
    status = reached_status(given.status, reached)
    return Diagnostics._make([*answered, status]), reached, distance

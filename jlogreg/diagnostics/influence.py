"""Influence of each sample on a fit, and approximate leave-one-out."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jlogreg.base.checks import AnyArray
from jlogreg.base.params import Params
from jlogreg.base.programs import program
from jlogreg.base.status import Status
from jlogreg.data.design import Design
from jlogreg.diagnostics.fitted import Fitted, Given, per_sample, prepare_fit
from jlogreg.fitting.fit import Fit

__all__ = ["influence", "leave_one_out"]


def influence(
    fit: Fit,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
    bias: bool = True,
) -> Params:
    """Return the derivative of the parameters in the weight of each sample.

    Shapes: X (n, m), y, weight and offset (1, m), l2 () or (n, 1), the same as in the
    fit; result w (n, m), b (m, 1), with a column and a row for each sample. Formula:
    dtheta / dv_i = -H^-1 (x_i dz_i + l2 theta) / sum(v); equation (23) of
    docs/derivation.md. NaN if the fit has not converged.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a number is out of range, NaN or infinite.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit, influence
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> change = influence(fit(X, y), X, y)
        >>> [f"{one:.2f}" for one in change.w[0]]
        ['0.10', '0.17', '-0.27', '-0.27', '0.17', '0.10']
    """
    return _influence(prepare_fit(fit, X, y, weight, offset, l2, bias))


def leave_one_out(
    fit: Fit,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
    bias: bool = True,
) -> Float[Array, "1 m"]:
    """Return the logit of each sample by a fit without this sample, approximately.

    Shapes: as for `influence`; result (1, m), the logits with the offset. Formula:
    z_i + v_i (h_i dz_i + q_iT l2 theta) / (1 - v_i s_i h_i), with q_i = H^-1 x_i /
    sum(v), h_i = x_iT q_i and s_i = a (1 - a); equation (24) of docs/derivation.md. It
    is one Newton step from the fit to the fit without the sample, so its error is of
    the order of the square of the sample's influence. NaN if the fit has not converged.
    Arguments and errors are those of `influence`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit, leave_one_out, log_loss
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> model = fit(X, y)
        >>> z = leave_one_out(model, X, y)
        >>> print(f"seen {model.cost:.2f}, unseen {log_loss(z, y).mean():.2f}")
        seen 0.41, unseen 0.84
    """
    return _leave_one_out(prepare_fit(fit, X, y, weight, offset, l2, bias))


@partial(program, inline=True)
def _influence(given: Given) -> Params:
    fitted = Fitted.of(given)
    # -(H^-1 x_i dz_i + H^-1 l2 theta) / sum(v), equation (23).
    change = -per_sample(fitted).slopes() / fitted.total()
    change = fitted.centering.step_to_original(_if_converged(fitted.status, change))
    return Params(w=change[:-1], b=change[-1:].T)


@partial(program, inline=True)
def _leave_one_out(given: Given) -> Float[Array, "1 m"]:
    parts = per_sample(Fitted.of(given))
    # v_i h_i and v_i q_iT l2 theta of equation (24).
    leverage = parts.leverage() * parts.weight
    shrinkage = jnp.sum(parts.columns * parts.shrinkage, axis=0, keepdims=True)
    shrinkage = shrinkage * (parts.weight / parts.total)
    change = (leverage * parts.dz + shrinkage) / (1 - leverage * parts.dz2)
    return _if_converged(given.status, parts.z + change)


def _if_converged(status: Array, value: Array) -> Array:
    return jnp.where(status == Status.CONVERGED, value, jnp.nan)

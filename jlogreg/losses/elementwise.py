"""The losses of one logit, with derivatives of every order.

Every derivative is written by hand, because automatic differentiation of the usual
forms is wrong at z = 0, where fits start (|z|), and loses all digits in the tails
(a - y for y = 1 and large z). The rules are closed: each calls another function of this
file, so derivatives of every order are as accurate as the first. The first argument
`tails` is the arithmetic, EXACT or FAST; the others are arrays, checked before, whose
shapes are equal or broadcast. Equations are those of docs/derivation.md.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array

from jlogreg.losses.arithmetic import Tails

__all__ = [
    "likelihood",
    "log_loss",
    "log_loss_dz",
    "log_loss_dz2",
    "log_sigmoid",
    "sigmoid",
]

# A derivative rule in the logit and the label; the arithmetic has no derivative.
_own_rule = partial(jax.custom_jvp, nondiff_argnums=(0,))


@_own_rule
def sigmoid(tails: Tails, z: Array) -> Array:
    """Return the probability a of the label 1; equation (3)."""
    a = tails.sigmoid(z)
    return jnp.where(z >= 0, 1 - a, a)


@sigmoid.defjvp
def _sigmoid_rule(tails: Tails, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (z,), (dz,) = primals, tangents
    return sigmoid(tails, z), log_loss_dz2(tails, z) * dz


@_own_rule
def log_sigmoid(tails: Tails, z: Array) -> Array:
    """Return log a; equation (5) with y = 1."""
    return -tails.log_loss(z, jnp.ones_like(z))


@log_sigmoid.defjvp
def _log_sigmoid_rule(tails: Tails, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (z,), (dz,) = primals, tangents
    return log_sigmoid(tails, z), sigmoid(tails, -z) * dz


@_own_rule
def likelihood(tails: Tails, z: Array, y: Array) -> Array:
    """Return the likelihood a^y (1 - a)^(1 - y); equation (4)."""
    # Not by powers: a may be flushed to 0 where a^y is not.
    return jnp.exp(-log_loss(tails, z, y))


@partial(likelihood.defjvp, symbolic_zeros=True)
def _likelihood_rule(tails: Tails, primals: Any, tangents: Any) -> tuple[Array, Array]:
    # p = exp(-L), so its derivatives are -p times those of L.
    (z, y), (dz, dy) = primals, tangents
    p = likelihood(tails, z, y)
    in_z = _along(dz, lambda: -p * log_loss_dz(tails, z, y))
    return p, in_z + _along(dy, lambda: p * z)


@_own_rule
def log_loss(tails: Tails, z: Array, y: Array) -> Array:
    """Return the log loss L, minus the logarithm of the likelihood; equation (6)."""
    return tails.log_loss(z, y)


@partial(log_loss.defjvp, symbolic_zeros=True)
def _log_loss_rule(tails: Tails, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (z, y), (dz, dy) = primals, tangents
    in_z = _along(dz, lambda: log_loss_dz(tails, z, y))
    return log_loss(tails, z, y), in_z + _along(dy, lambda: -z)


@_own_rule
def log_loss_dz(tails: Tails, z: Array, y: Array) -> Array:
    """Return dL/dz = a - y without cancellation; equation (9)."""
    a = tails.sigmoid(z)
    return jnp.where(z >= 0, (1 - y) - a, a - y)


@partial(log_loss_dz.defjvp, symbolic_zeros=True)
def _log_loss_dz_rule(tails: Tails, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (z, y), (dz, dy) = primals, tangents
    value = log_loss_dz(tails, z, y)
    in_z = _along(dz, lambda: log_loss_dz2(tails, z))
    slope = in_z + _along(dy, lambda: -1.0)
    return value, jnp.broadcast_to(slope, value.shape).astype(value.dtype)


@_own_rule
def log_loss_dz2(tails: Tails, z: Array) -> Array:
    """Return the curvature d2L/dz2 = a (1 - a); equation (10)."""
    a = tails.sigmoid(z)
    return a * (1 - a)


@log_loss_dz2.defjvp
def _log_loss_dz2_rule(
    tails: Tails, primals: Any, tangents: Any
) -> tuple[Array, Array]:
    # d/dz of a (1 - a) is a (1 - a) (1 - 2 a), and 1 - 2 a = -tanh(z / 2).
    (z,), (dz,) = primals, tangents
    value = log_loss_dz2(tails, z)
    return value, -value * jnp.tanh(z / 2) * dz


def _along(tangent: Any, derivative: Callable[[], Array | float]) -> Any:
    """Return derivative * tangent, or 0 if the tangent is a symbolic zero.

    The product must be left out then: for y it would be z * 0, which is NaN at an
    infinite z.
    """
    return 0.0 if isinstance(tangent, SymbolicZero) else derivative() * tangent

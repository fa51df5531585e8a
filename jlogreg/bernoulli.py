"""Compute the sigmoid, the likelihood and its losses, with exact derivatives.

Everything is written in e = exp(-|z|), which never overflows, and every derivative is
written by hand, because automatic differentiation of the usual forms is wrong where
fits start (|z| at 0) and loses every digit in the tails (a - y for y = 1 and large z).
The rules are closed: each calls another function of this file, so the derivatives of
the log loss of any order are as good as the first. Labels are checked as in `validate`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from jlogreg.checks import AnyArray, check_elementwise, check_range

__all__ = [
    "likelihood",
    "log_likelihood",
    "log_loss",
    "log_loss_dz",
    "log_loss_dz2",
    "log_sigmoid",
    "sigmoid",
    "squared_loss",
]

# What an elementwise function takes, and what it returns.
Elements: TypeAlias = Float[AnyArray, "..."] | float
Result: TypeAlias = Float[Array, "..."]


def sigmoid(z: Elements) -> Result:
    """Return the probability a = 1 / (1 + exp(-z)) of the logit z.

    Shapes: z of rank 0 or 2; the result is like z, in [0, 1]. Equation (3) of
    docs/derivation.md; its derivative is `log_loss_dz2`. Below z = -87.3 in float32
    (-708.4 in float64) the result is flushed to 0.

    Raises:
        DtypeError, RankError: z is no float32 or float64 array of rank 0 or 2.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import sigmoid
        >>> sigmoid(jnp.array([[-1000.0, 0.0, 1000.0]])).tolist()
        [[0.0, 0.5, 1.0]]
    """
    (z,) = check_elementwise(z=z)
    return _sigmoid(z)


def log_sigmoid(z: Elements) -> Result:
    """Return log(sigmoid(z)), the log-likelihood of the label 1, exact in both tails.

    Shapes: z of rank 0 or 2; the result is like z, at most 0. Formula:
    min(z, 0) - log(1 + exp(-|z|)); its derivative is sigmoid(-z).

    Raises:
        DtypeError, RankError: z is no float32 or float64 array of rank 0 or 2.

    Examples:
        >>> from jlogreg import log_sigmoid
        >>> float(log_sigmoid(-1000.0))  # the logarithm of sigmoid(-1000.0) is -inf
        -1000.0
    """
    (z,) = check_elementwise(z=z)
    return _log_sigmoid(z)


def likelihood(z: Elements, y: Elements) -> Result:
    """Return the Bernoulli likelihood p(y | x) = a^y (1 - a)^(1 - y), a = sigmoid(z).

    Shapes: z and y of rank 0 or 2, equal, or one of them a scalar; y in [0, 1].
    Equation (4) of docs/derivation.md.

    Raises:
        DtypeError, RankError, ShapeError: z and y are no such pair.
        ValueError: a label is not in [0, 1] (a traced one gives NaN).

    Examples:
        >>> from jlogreg import likelihood
        >>> print(f"{likelihood(1.0986, 1.0):.2f}, {likelihood(1.0986, 0.0):.2f}")
        0.75, 0.25
    """
    return _likelihood(*_pair(z, y))


def log_likelihood(z: Elements, y: Elements) -> Result:
    """Return log p(y | x) = y log(a) + (1 - y) log(1 - a), a = sigmoid(z).

    Shapes: z and y of rank 0 or 2, equal, or one of them a scalar; y in [0, 1]. The
    result is in nats, at most 0: minus the log loss. Equation (5) of
    docs/derivation.md.

    Raises:
        DtypeError, RankError, ShapeError: z and y are no such pair.
        ValueError: a label is not in [0, 1] (a traced one gives NaN).

    Examples:
        >>> from jlogreg import log_likelihood
        >>> print(f"{log_likelihood(0.0, 1.0):.4f}")  # the logarithm of 1/2
        -0.6931
    """
    return -log_loss(z, y)


def log_loss(z: Elements, y: Elements) -> Result:
    """Return the log loss L = -y log(a) - (1 - y) log(1 - a), a = sigmoid(z).

    Shapes: z and y of rank 0 or 2, equal, or one of them a scalar; y in [0, 1], soft
    labels included. The result is in nats, at least 0, and convex in z. Equation (6)
    of docs/derivation.md, computed as s |z| + log(1 + exp(-|z|)), where s = 1 - y for
    z >= 0 and y for z < 0: a sum without cancellation, and never infinity times zero.

    Raises:
        DtypeError, RankError, ShapeError: z and y are no such pair.
        ValueError: a label is not in [0, 1] (a traced one gives NaN).

    Examples:
        >>> from jlogreg import log_loss
        >>> float(log_loss(-1000.0, 1.0))  # far on the wrong side, and still finite
        1000.0
    """
    return _log_loss(*_pair(z, y))


def log_loss_dz(z: Elements, y: Elements) -> Result:
    """Return dz = dL/dz = a - y, the derivative of the log loss in its logit.

    Shapes: z and y of rank 0 or 2, equal, or one of them a scalar; the result is in
    [-1, 1]. Equation (9) of docs/derivation.md. For hard labels it keeps every digit
    where a - y has none left: with y = 1 it is -exp(-z) for large z, until that is
    flushed to 0 as in `sigmoid`.

    Raises:
        DtypeError, RankError, ShapeError: z and y are no such pair.
        ValueError: a label is not in [0, 1] (a traced one gives NaN).

    Examples:
        >>> from jlogreg import log_loss_dz
        >>> print(f"{log_loss_dz(40.0, 1.0):.3e}")  # sigmoid(40.0) - 1.0 is 0.0
        -4.248e-18
    """
    return _log_loss_dz(*_pair(z, y))


def log_loss_dz2(z: Elements) -> Result:
    """Return the curvature d2L/dz2 = a (1 - a) of the log loss, whatever the label.

    Shapes: z of rank 0 or 2; the result is like z, in [0, 1/4]. Equation (10) of
    docs/derivation.md, computed as sigmoid(z) sigmoid(-z): even in z, and positive far
    out, where a (1 - a) is exactly 0 on one side, until it is flushed to 0 as in
    `sigmoid`.

    Raises:
        DtypeError, RankError: z is no float32 or float64 array of rank 0 or 2.

    Examples:
        >>> from jlogreg import log_loss_dz2
        >>> float(log_loss_dz2(0.0)), f"{log_loss_dz2(40.0):.3e}"
        (0.25, '4.248e-18')
    """
    (z,) = check_elementwise(z=z)
    return _log_loss_dz2(z)


def squared_loss(z: Elements, y: Elements) -> Result:
    """Return the squared error (a - y)^2 / 2 of the probability a = sigmoid(z).

    Shapes: z and y of rank 0 or 2, equal, or one of them a scalar; y in [0, 1]. It is
    here to be compared with: its mean is not convex in the parameters, and far on the
    wrong side its slope vanishes. Equation (15) of docs/derivation.md.

    Raises:
        DtypeError, RankError, ShapeError: z and y are no such pair.
        ValueError: a label is not in [0, 1] (a traced one gives NaN).

    Examples:
        >>> from jlogreg import squared_loss
        >>> float(squared_loss(0.0, 1.0)), float(squared_loss(-1000.0, 1.0))
        (0.125, 0.5)
    """
    return log_loss_dz(z, y) ** 2 / 2


def _pair(z: Elements, y: Elements) -> tuple[Array, Array]:
    z, y = check_elementwise(z=z, y=y)
    return z, check_range("y", y, 0.0, 1.0)


# --- the exact forms and their derivatives --------------------------------------------
# Each pair is a value and its rule; `jax.custom_jvp` joins them below.


def _sigmoid_value(z: Array) -> Array:
    e = jnp.exp(-jnp.abs(z))
    return jnp.where(z >= 0, 1, e) / (1 + e)


def _sigmoid_rule(primals: Any, tangents: Any) -> tuple[Array, Array]:
    (z,), (dz,) = primals, tangents
    return _sigmoid(z), _log_loss_dz2(z) * dz


def _log_sigmoid_value(z: Array) -> Array:
    return jnp.minimum(z, 0) - jnp.log1p(jnp.exp(-jnp.abs(z)))


def _log_sigmoid_rule(primals: Any, tangents: Any) -> tuple[Array, Array]:
    (z,), (dz,) = primals, tangents
    return _log_sigmoid(z), _sigmoid(-z) * dz


def _likelihood_value(z: Array, y: Array) -> Array:
    # Not by powers: a is flushed to 0 where a^y need not be.
    return jnp.exp(-_log_loss(z, y))


def _likelihood_rule(primals: Any, tangents: Any) -> tuple[Array, Array]:
    # p = exp(-L), so its derivatives are -p times those of L.
    (z, y), (dz, dy) = primals, tangents
    p = _likelihood(z, y)
    slope = _along(dz, lambda: -p * _log_loss_dz(z, y)) + _along(dy, lambda: p * z)
    return p, slope


def _log_loss_value(z: Array, y: Array) -> Array:
    s = jnp.where(z >= 0, 1 - y, y)
    distance = jnp.abs(z)
    # At z = +-infinity with the right label s is 0, and 0 * infinity would be NaN.
    return jnp.where(s == 0, 0, s * distance) + jnp.log1p(jnp.exp(-distance))


def _log_loss_rule(primals: Any, tangents: Any) -> tuple[Array, Array]:
    (z, y), (dz, dy) = primals, tangents
    slope = _along(dz, lambda: _log_loss_dz(z, y)) + _along(dy, lambda: -z)
    return _log_loss(z, y), slope


def _log_loss_dz_value(z: Array, y: Array) -> Array:
    e = jnp.exp(-jnp.abs(z))
    return jnp.where(z >= 0, (1 - y) - y * e, (1 - y) * e - y) / (1 + e)


def _log_loss_dz_rule(primals: Any, tangents: Any) -> tuple[Array, Array]:
    (z, y), (dz, dy) = primals, tangents
    value = _log_loss_dz(z, y)
    slope = _along(dz, lambda: _log_loss_dz2(z)) + _along(dy, lambda: -1.0)
    return value, jnp.broadcast_to(slope, value.shape).astype(value.dtype)


def _log_loss_dz2_value(z: Array) -> Array:
    e = jnp.exp(-jnp.abs(z))
    return e / (1 + e) ** 2


def _log_loss_dz2_rule(primals: Any, tangents: Any) -> tuple[Array, Array]:
    # d/dz of a (1 - a) is a (1 - a) (1 - 2 a), and 1 - 2 a = -tanh(z / 2).
    (z,), (dz,) = primals, tangents
    value = _log_loss_dz2(z)
    return value, -value * jnp.tanh(z / 2) * dz


def _along(tangent: Any, derivative: Callable[[], Array | float]) -> Any:
    """Return derivative * tangent, and 0 for an argument that is not differentiated.

    The product must not even be written there: for y it would be z * 0, which is NaN
    at an infinite z.
    """
    return 0.0 if isinstance(tangent, SymbolicZero) else derivative() * tangent


_sigmoid = jax.custom_jvp(_sigmoid_value)
_log_sigmoid = jax.custom_jvp(_log_sigmoid_value)
_likelihood = jax.custom_jvp(_likelihood_value)
_log_loss = jax.custom_jvp(_log_loss_value)
_log_loss_dz = jax.custom_jvp(_log_loss_dz_value)
_log_loss_dz2 = jax.custom_jvp(_log_loss_dz2_value)

_sigmoid.defjvp(_sigmoid_rule)
_log_sigmoid.defjvp(_log_sigmoid_rule)
_likelihood.defjvp(_likelihood_rule, symbolic_zeros=True)
_log_loss.defjvp(_log_loss_rule, symbolic_zeros=True)
_log_loss_dz.defjvp(_log_loss_dz_rule, symbolic_zeros=True)
_log_loss_dz2.defjvp(_log_loss_dz2_rule)

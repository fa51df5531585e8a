"""The sigmoid, the Bernoulli likelihood and its losses, with checked arguments.

These are the functions of `elementwise` in the exact arithmetic. sigmoid, log_sigmoid,
log_loss, and log_loss_dz for hard labels, are accurate to 1.3 ulp, log_loss_dz2 to 2
ulp (`python -m experiments bench accuracy`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from jaxtyping import Array, Float

from jlogreg.base.arrays import as_array
from jlogreg.base.checks import AnyArray, check_array, check_range, reshape_cure
from jlogreg.base.errors import DtypeError, RankError, ShapeError
from jlogreg.base.programs import program
from jlogreg.losses import elementwise as losses
from jlogreg.losses.arithmetic import EXACT, Tails

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

# Argument and result of an elementwise function.
Elements: TypeAlias = Float[AnyArray, "..."] | float


Result: TypeAlias = Float[Array, "..."]


def sigmoid(z: Elements) -> Result:
    """Return the probability a = 1 / (1 + exp(-z)) of the logit z.

    Shapes: z of rank 0 or 2; the result is like z, in [0, 1]. Equation (3) of
    docs/derivation.md; its derivative is `log_loss_dz2`. Below z = -87.3 in float32
    (-708.4 in float64) the result is flushed to 0.

    Raises:
        DtypeError, RankError: if z is not a float32 or float64 array of rank 0 or 2.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import sigmoid
        >>> sigmoid(jnp.array([[-1000.0, 0.0, 1000.0]])).tolist()
        [[0.0, 0.5, 1.0]]
    """
    (z,) = _check_elementwise(z=z)
    return _exact(losses.sigmoid, z)


def log_sigmoid(z: Elements) -> Result:
    """Return log(sigmoid(z)), the log-likelihood of the label 1.

    Shapes: z of rank 0 or 2; the result is like z, in nats, at most 0. Formula:
    min(z, 0) - log(1 + exp(-|z|)), accurate in both tails; its derivative is
    sigmoid(-z). Equation (5) of docs/derivation.md with y = 1.

    Raises:
        DtypeError, RankError: if z is not a float32 or float64 array of rank 0 or 2.

    Examples:
        >>> from jlogreg import log_sigmoid
        >>> float(log_sigmoid(-1000.0))  # the logarithm of sigmoid(-1000.0) is -inf
        -1000.0
    """
    (z,) = _check_elementwise(z=z)
    return _exact(losses.log_sigmoid, z)


def likelihood(z: Elements, y: Elements) -> Result:
    """Return the Bernoulli likelihood p(y | x) = a^y (1 - a)^(1 - y), a = sigmoid(z).

    Shapes: z and y of rank 0 or 2, equal, or one of them a scalar; y in [0, 1].
    The result is in [0, 1]. Equation (4) of docs/derivation.md.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a label is not in [0, 1]; a traced one gives NaN instead.

    Examples:
        >>> from jlogreg import likelihood
        >>> print(f"{likelihood(1.0986, 1.0):.2f}, {likelihood(1.0986, 0.0):.2f}")
        0.75, 0.25
    """
    return _exact(losses.likelihood, *_pair(z, y))


def log_likelihood(z: Elements, y: Elements) -> Result:
    """Return log p(y | x) = y log(a) + (1 - y) log(1 - a), a = sigmoid(z).

    Shapes: z and y of rank 0 or 2, equal, or one of them a scalar; y in [0, 1]. The
    result is in nats, at most 0: minus the log loss. Equation (5) of
    docs/derivation.md.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a label is not in [0, 1]; a traced one gives NaN instead.

    Examples:
        >>> from jlogreg import log_likelihood
        >>> print(f"{log_likelihood(0.0, 1.0):.4f}")  # the logarithm of 1/2
        -0.6931
    """
    return _exact(_log_likelihood, *_pair(z, y))


def log_loss(z: Elements, y: Elements) -> Result:
    """Return the log loss L = -y log(a) - (1 - y) log(1 - a), a = sigmoid(z).

    Shapes: z and y of rank 0 or 2, equal, or one of them a scalar; y in [0, 1], soft
    labels included. The result is in nats, at least 0, and convex in z. Equation (6)
    of docs/derivation.md, computed as s |z| + log(1 + exp(-|z|)), where s = 1 - y for
    z >= 0 and y for z < 0: a sum without cancellation and without infinity times zero.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a label is not in [0, 1]; a traced one gives NaN instead.

    Examples:
        >>> from jlogreg import log_loss
        >>> float(log_loss(-1000.0, 1.0))  # far on the wrong side, and still finite
        1000.0
    """
    return _exact(losses.log_loss, *_pair(z, y))


def log_loss_dz(z: Elements, y: Elements) -> Result:
    """Return dz = dL/dz = a - y, the derivative of the log loss in its logit.

    Shapes: z and y of rank 0 or 2, equal, or one of them a scalar; the result is in
    [-1, 1]. Equation (9) of docs/derivation.md. For hard labels it is accurate even
    where a - y has lost all its digits: with y = 1 it is -exp(-z) for large z, until
    that is flushed to 0 as in `sigmoid`.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a label is not in [0, 1]; a traced one gives NaN instead.

    Examples:
        >>> from jlogreg import log_loss_dz
        >>> print(f"{log_loss_dz(40.0, 1.0):.3e}")  # sigmoid(40.0) - 1.0 is 0.0
        -4.248e-18
    """
    return _exact(losses.log_loss_dz, *_pair(z, y))


def log_loss_dz2(z: Elements) -> Result:
    """Return the curvature d2L/dz2 = a (1 - a) of the log loss, whatever the label.

    Shapes: z of rank 0 or 2; the result is like z, in [0, 1/4]. Equation (10) of
    docs/derivation.md, computed from the smaller of a and 1 - a. Hence it is even in z,
    and positive for large |z|, also where a is rounded to 1, until it is flushed to 0
    as in `sigmoid`.

    Raises:
        DtypeError, RankError: if z is not a float32 or float64 array of rank 0 or 2.

    Examples:
        >>> from jlogreg import log_loss_dz2
        >>> float(log_loss_dz2(0.0)), f"{log_loss_dz2(40.0):.3e}"
        (0.25, '4.248e-18')
    """
    (z,) = _check_elementwise(z=z)
    return _exact(losses.log_loss_dz2, z)


def squared_loss(z: Elements, y: Elements) -> Result:
    """Return the squared error (a - y)^2 / 2 of the probability a = sigmoid(z).

    Shapes: z and y of rank 0 or 2, equal, or one of them a scalar; y in [0, 1]. The
    result is in [0, 1/2]. It serves for comparison: its mean is not convex in the
    parameters, and its slope vanishes for confident wrong predictions. Equation (15)
    of docs/derivation.md.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a label is not in [0, 1]; a traced one gives NaN instead.

    Examples:
        >>> from jlogreg import squared_loss
        >>> float(squared_loss(0.0, 1.0)), float(squared_loss(-1000.0, 1.0))
        (0.125, 0.5)
    """
    return _exact(_squared_loss, *_pair(z, y))


@partial(program, static_argnums=0, inline=True)
def _exact(function: Callable[..., Array], *arguments: Array) -> Array:
    # One program in eager mode, and inlined where the arguments are traced.
    return function(EXACT, *arguments)


def _log_likelihood(tails: Tails, z: Array, y: Array) -> Array:
    return -losses.log_loss(tails, z, y)


def _squared_loss(tails: Tails, z: Array, y: Array) -> Array:
    return losses.log_loss_dz(tails, z, y) ** 2 / 2


def _pair(z: Elements, y: Elements) -> tuple[Array, Array]:
    """Return logits and labels as arrays, checked."""
    z, y = _check_elementwise(z=z, y=y)
    return z, check_range("y", y, 0.0, 1.0)


def _check_elementwise(**arguments: Any) -> tuple[Array, ...]:
    """Return the arguments of an elementwise function as arrays.

    Each is a scalar or a matrix. Matrices must have equal shapes: without this rule a
    (1, m) row and an (m, 1) column would silently broadcast to (m, m).

    Raises:
        DtypeError: if an argument is neither a float32 or float64 array nor a Python
            float, or if the dtypes of two matrices differ.
        RankError: if an argument has rank 1, or more than 2.
        ShapeError: if the shapes of two matrices differ.
    """
    arrays = {
        name: as_array(value) if type(value) is float else check_array(name, value)
        for name, value in arguments.items()
    }
    for name, array in arrays.items():
        if array.ndim not in (0, 2):
            raise RankError(
                f"{name} has rank {array.ndim}, shape {array.shape}, but must have "
                f"rank 2 (or 0, a scalar): {reshape_cure(name, ('r', 'c'))}"
            )
    matrices = {name: array for name, array in arrays.items() if array.ndim}
    if len({array.shape for array in matrices.values()}) > 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in matrices.items())
        raise ShapeError(f"shapes must be equal, but are {shapes}")
    if len({array.dtype for array in matrices.values()}) > 1:
        kinds = ", ".join(f"{name} {array.dtype}" for name, array in matrices.items())
        raise DtypeError(f"dtypes must be equal, but are {kinds}")
    return tuple(arrays.values())

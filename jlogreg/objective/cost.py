"""Compute the cost J, its gradient by the derivation, and its Hessian.

J is the weighted mean of the log losses plus the penalty, equation (8) of
docs/derivation.md:

    J(w, b) = sum_i weight_i L(z_i, y_i) / sum_i weight_i + 1/2 sum_j l2_j w_j^2

with z = wT X + b + offset. b is never penalised. The functions are pure and work under
jit, vmap, grad and jvp. In eager mode the numbers in the data and the settings are
checked too (`validate`), which is a pass over X in each call; under jit it is not.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jlogreg.base.checks import AnyArray, check_range
from jlogreg.base.params import Params, check_params
from jlogreg.data.design import Design
from jlogreg.data.samples import (
    Samples,
    check_samples,
    prepare_samples,
    scale_weights,
)
from jlogreg.objective.penalties import check_penalty, penalty_value
from jlogreg.objective.sums import (
    curvature_along_total,
    curvature_total,
    loss_total,
    totals,
)

__all__ = [
    "cost",
    "gradient",
    "hessian",
    "hessian_along",
    "hessian_vector",
    "objective",
    "prepare_data",
    "prepare_problem",
    "value_and_gradient",
]


def cost(
    params: Params,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
) -> Float[Array, ""]:
    """Return the cost J: the mean of the log losses plus the penalty.

    Shapes: X (n, m), y (1, m) in [0, 1], w (n, 1), b (1, 1); result (), in nats.
    Equation (8) of docs/derivation.md.

    Args:
        params: Params(w, b).
        X: features, a column per sample: an array, a BCOO or a design.
        y: labels.
        weight: (1, m), at least 0; a weight of 2 counts a sample twice, a weight of 0
            leaves it out, whatever it contains.
        offset: (1, m), added to the logits.
        l2: penalty, a number or one a feature (n, 1), at least 0.

    Raises:
        DtypeError, RankError, ShapeError: an argument is no such array.
        ValueError: a number in the data or l2 is out of range, NaN or infinite. Where
            it is traced the result is NaN instead; for X, wherever it is used.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import cost, init_params
        >>> X, y = jnp.array([[0.0, 1.0, 2.0, 3.0]]), jnp.array([[0.0, 0.0, 1.0, 1.0]])
        >>> print(f"{cost(init_params(1), X, y):.6f}")  # log 2: nothing is known yet
        0.693147
    """
    return _cost(*prepare_problem(params, X, y, weight, offset, l2))


def gradient(
    params: Params,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
) -> Params:
    """Return dw = dJ/dw and db = dJ/db, by the derivation.

    Shapes: as for `cost`; result Params(w = dw (n, 1), b = db (1, 1)). Formula:
    dz = a - y, dw = X dzT / m + l2 w, db = mean(dz), with weights as in the cost;
    equations (9), (11) and (12) of docs/derivation.md. Arguments and errors are those
    of `cost`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import gradient, init_params
        >>> X, y = jnp.array([[0.0, 1.0, 2.0, 3.0]]), jnp.array([[0.0, 0.0, 1.0, 1.0]])
        >>> dw, db = gradient(init_params(1), X, y)
        >>> dw.tolist(), db.tolist()
        ([[-0.5]], [[0.0]])
    """
    options = {"weight": weight, "offset": offset, "l2": l2}
    return value_and_gradient(params, X, y, **options)[1]


def value_and_gradient(
    params: Params,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
) -> tuple[Float[Array, ""], Params]:
    """Return the cost and its gradient from one pass over the samples.

    Shapes: as for `cost`; result (J (), Params(w = dw (n, 1), b = db (1, 1))).
    Equations (8), (9), (11) and (12) of docs/derivation.md. Arguments and errors are
    those of `cost`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import init_params, value_and_gradient
        >>> X, y = jnp.array([[0.0, 1.0, 2.0, 3.0]]), jnp.array([[0.0, 0.0, 1.0, 1.0]])
        >>> J, (dw, db) = value_and_gradient(init_params(1), X, y)
        >>> print(f"{J:.6f}", dw.tolist(), db.tolist())
        0.693147 [[-0.5]] [[0.0]]
    """
    return objective(*prepare_problem(params, X, y, weight, offset, l2))


def hessian(
    params: Params,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
) -> Float[Array, "n+1 n+1"]:
    """Return the Hessian of the cost, in the order w, then b.

    Shapes: as for `cost`; result (n + 1, n + 1), symmetric and positive semidefinite
    to rounding.
    Formula: [X; 1] diag(a (1 - a)) [X; 1]T / m + diag(l2, 0), with weights as in the
    cost; equation (13) of docs/derivation.md. It does not depend on y. Arguments and
    errors are those of `cost`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import hessian, init_params
        >>> X, y = jnp.array([[0.0, 2.0]]), jnp.array([[0.0, 1.0]])
        >>> hessian(init_params(1), X, y).tolist()
        [[0.5, 0.25], [0.25, 0.25]]
    """
    return _hessian(*prepare_problem(params, X, y, weight, offset, l2))


def hessian_vector(
    params: Params,
    vector: Params,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
) -> Params:
    """Return the Hessian of the cost times a vector, without forming the Hessian.

    Shapes: as for `cost`; vector and result Params(w (n, 1), b (1, 1)). It takes
    O(n m) time and O(m) memory; equation (13) of docs/derivation.md applied to the
    vector. Arguments and errors are those of `cost`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import Params, hessian_vector, init_params
        >>> X, y = jnp.array([[0.0, 2.0]]), jnp.array([[0.0, 1.0]])
        >>> vector = Params(w=jnp.array([[1.0]]), b=jnp.array([[0.0]]))
        >>> w, b = hessian_vector(init_params(1), vector, X, y)
        >>> w.tolist(), b.tolist()
        ([[0.5]], [[0.25]])
    """
    params, samples, l2 = prepare_problem(params, X, y, weight, offset, l2)
    vector = check_params(vector, params.w.shape[0], params.w.dtype, name="vector")
    return hessian_along(params, vector, samples, l2)


def prepare_problem(
    params: Params, X: Any, y: Any, weight: Any, offset: Any, l2: Any
) -> tuple[Params, Samples, Array]:
    """Return the arguments of a cost as arrays, checked against each other.

    The weights are divided by a power of 2, which changes no result: their sum would
    overflow otherwise, or their products be flushed to 0.

    Raises:
        DtypeError, RankError, ShapeError: an argument has another shape or dtype.
        ValueError: a number is out of range (where it is not traced).
    """
    samples, l2 = prepare_data(X, y, weight, offset, l2)
    return check_params(params, samples.X.shape[0], samples.X.dtype), samples, l2


def prepare_data(
    X: Any, y: Any, weight: Any, offset: Any, l2: Any
) -> tuple[Samples, Array]:
    """Return the arguments of a cost but its parameters, as in `check_problem`."""
    samples = check_samples(X, y, weight, offset)
    l2 = check_penalty(l2, samples.X.shape[0], samples.X.dtype)
    samples = prepare_samples(samples)
    if samples.weight is not None:
        samples = samples._replace(weight=scale_weights(samples.weight))
    return samples, check_range("l2", l2, 0.0)


@partial(jax.jit, inline=True)
def _cost(params: Params, samples: Samples, l2: Array) -> Array:
    return loss_total(params, samples) / samples.total_weight() + penalty_value(
        params, l2
    )


@partial(jax.jit, inline=True)
def _hessian(params: Params, samples: Samples, l2: Array) -> Float[Array, "n+1 n+1"]:
    curvature = curvature_total(params, samples) / samples.total_weight()
    penalty = jnp.broadcast_to(l2, params.w.shape)
    return curvature + jnp.diag(jnp.append(penalty, jnp.zeros_like(params.b)))


@partial(jax.jit, inline=True)
def hessian_along(
    params: Params, vector: Params, samples: Samples, l2: Array
) -> Params:
    """Return H times a vector for arguments that `check_problem` returned."""
    sums, m = curvature_along_total(params, vector, samples), samples.total_weight()
    return Params(w=sums.w / m + l2 * vector.w, b=sums.b / m)


@partial(jax.jit, inline=True)
def objective(params: Params, samples: Samples, l2: Array) -> tuple[Array, Params]:
    """Return J and its gradient for arguments that `check_problem` returned."""
    sums, m = totals(params, samples), samples.total_weight()
    dw = sums.gradient.w / m + l2 * params.w
    J = sums.loss / m + penalty_value(params, l2)
    return J, Params(w=dw, b=sums.gradient.b / m)

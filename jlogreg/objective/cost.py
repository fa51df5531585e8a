"""The cost J, its gradient, and its Hessian.

J is the weighted mean of the log losses plus the penalty, equation (8) of
docs/derivation.md:

    J(w, b) = sum_i weight_i L(z_i, y_i) / sum_i weight_i + 1/2 sum_j l2_j w_j^2

with z = wT X + b + offset. b is never penalised; `cost` takes an L1 penalty, too. With
`jeffreys` the log determinant of the information is added, equation (55), and the
derivatives are those of this cost. The functions are pure and work under jit, vmap,
grad and jvp. In eager mode each call also checks the values of the arguments as
`validate` does, which is a pass over X; under jit there is no such pass.
"""

# Over 300 lines: the docstrings of six functions of the same arguments.

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jlogreg.base.checks import AnyArray, check_range
from jlogreg.base.params import Params, check_bias, check_params
from jlogreg.base.programs import program
from jlogreg.data.design import Design
from jlogreg.data.samples import (
    Samples,
    check_samples,
    prepare_samples,
    scale_weights,
)
from jlogreg.objective.jeffreys import Jeffreys, check_jeffreys, jeffreys_term
from jlogreg.objective.penalties import (
    L1,
    check_l1,
    check_penalty,
    l1_value,
    penalty_value,
)
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
    "subgradient",
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
    l1: Any = 0.0,
    jeffreys: Any = 0.0,
    bias: bool = True,
) -> Float[Array, ""]:
    """Return the cost J: the mean of the log losses plus the penalties.

    Shapes: X (n, m), y, weight and offset (1, m), w (n, 1), b (1, 1), l2 and l1 () or
    (n, 1), jeffreys (); result (), in nats. Equation (8) of docs/derivation.md, with l1
    (47), with jeffreys (55).

    Args:
        params: Params(w, b).
        X: features, a column per sample: an array, a BCOO or a design.
        y: labels, in [0, 1].
        weight: at least 0; a weight of 2 counts a sample twice, a weight of 0 leaves it
            out, whatever it contains.
        offset: added to the logits.
        l2: penalty of half the squares of w, at least 0: one number, or one per
            feature.
        l1: penalty of the sizes |w|, likewise. Its derivative at w = 0 counts as 0.
        jeffreys: at least 0, what the log determinant of the information is multiplied
            with, over the sum of the weights: 1/2 for Firth's estimate.
        bias: whether the model has a bias, so that the information is of it, too;
            it counts with jeffreys only.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape; with jeffreys, if there are more parameters than samples.
        ValueError: if a number in the data or a penalty is out of range, NaN or
            infinite. Where it is traced the result is NaN instead, unless it is in X
            and is not used.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import cost, init_params
        >>> X, y = jnp.array([[0.0, 1.0, 2.0, 3.0]]), jnp.array([[0.0, 0.0, 1.0, 1.0]])
        >>> print(f"{cost(init_params(1), X, y):.6f}")  # log 2: every a is 1/2
        0.693147
    """
    given = (params, X, y, weight, offset, l2, jeffreys, bias)
    params, samples, l2, prior = prepare_problem(*given)
    l1 = check_l1(l1, params.w.shape[0], params.w.dtype)
    return _cost(params, samples, l2, prior, l1)


def gradient(
    params: Params,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
    jeffreys: Any = 0.0,
    bias: bool = True,
) -> Params:
    """Return the gradient of the cost, dw = dJ/dw and db = dJ/db.

    Shapes: as for `cost`; result Params(w = dw (n, 1), b = db (1, 1)). Formula:
    dz = a - y, dw = X dzT / m + l2 w, db = mean(dz), with weights as in the cost;
    equations (9), (11) and (12) of docs/derivation.md. Arguments and errors are those
    of `cost`, but for l1: that penalty has no derivative at 0; `subgradient` takes it.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import gradient, init_params
        >>> X, y = jnp.array([[0.0, 1.0, 2.0, 3.0]]), jnp.array([[0.0, 0.0, 1.0, 1.0]])
        >>> dw, db = gradient(init_params(1), X, y)
        >>> dw.tolist(), db.tolist()
        ([[-0.5]], [[0.0]])
    """
    given = (params, X, y, weight, offset, l2, jeffreys, bias)
    return objective(*prepare_problem(*given))[1]


def subgradient(
    params: Params,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
    l1: Any = 0.0,
    bias: bool = True,
) -> Params:
    """Return the subgradient of least norm of the cost with an L1 penalty.

    Shapes: as for `gradient`, and with its db. Formula, for each weight, with dw of the
    cost without l1: where w = 0, sign(dw) max(|dw| - l1, 0); elsewhere dw + l1 sign(w).
    It is 0 at the minimum and there alone; equation (48) of docs/derivation.md.
    Arguments and errors are those of `cost`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import init_params, subgradient
        >>> X, y = jnp.array([[0.0, 1.0, 2.0, 3.0]]), jnp.array([[0.0, 0.0, 1.0, 1.0]])
        >>> subgradient(init_params(1), X, y, l1=0.125).w.tolist()
        [[-0.375]]
        >>> subgradient(init_params(1), X, y, l1=1.0).w.tolist()
        [[0.0]]
    """
    given = prepare_problem(params, X, y, weight, offset, l2, 0.0, bias)
    slope = objective(*given)[1]
    w = given[0].w
    l1 = check_l1(l1, len(w), w.dtype)
    if l1 is None:
        return slope
    penalty = L1(jnp.broadcast_to(l1, w.shape))
    return slope._replace(w=penalty.least_subgradient(w, slope.w))


def value_and_gradient(
    params: Params,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
    jeffreys: Any = 0.0,
    bias: bool = True,
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
    given = (params, X, y, weight, offset, l2, jeffreys, bias)
    return objective(*prepare_problem(*given))


def hessian(
    params: Params,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
    jeffreys: Any = 0.0,
    bias: bool = True,
) -> Float[Array, "n+1 n+1"]:
    """Return the Hessian of the cost, in the order w, then b.

    Shapes: as for `cost`; result (n + 1, n + 1), symmetric and, up to rounding,
    positive semidefinite. Formula: [X; 1] diag(a (1 - a)) [X; 1]T / m + diag(l2, 0),
    with weights as in the cost; equation (13) of docs/derivation.md. It does not depend
    on y. Arguments and errors are those of `cost`, but for l1, whose penalty has no
    curvature.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import hessian, init_params
        >>> X, y = jnp.array([[0.0, 2.0]]), jnp.array([[0.0, 1.0]])
        >>> hessian(init_params(1), X, y).tolist()
        [[0.5, 0.25], [0.25, 0.25]]
    """
    given = (params, X, y, weight, offset, l2, jeffreys, bias)
    return _hessian(*prepare_problem(*given))


def hessian_vector(
    params: Params,
    vector: Params,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
    jeffreys: Any = 0.0,
    bias: bool = True,
) -> Params:
    """Return the Hessian of the cost times a vector, without forming the Hessian.

    Shapes: as for `cost`; vector and result Params(w (n, 1), b (1, 1)). Equation
    (13) of docs/derivation.md times the vector, in O(n m) time and O(m) memory.
    Arguments and errors are those of `cost`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import Params, hessian_vector, init_params
        >>> X, y = jnp.array([[0.0, 2.0]]), jnp.array([[0.0, 1.0]])
        >>> vector = Params(w=jnp.array([[1.0]]), b=jnp.array([[0.0]]))
        >>> w, b = hessian_vector(init_params(1), vector, X, y)
        >>> w.tolist(), b.tolist()
        ([[0.5]], [[0.25]])
    """
    given = (params, X, y, weight, offset, l2, jeffreys, bias)
    params, samples, l2, prior = prepare_problem(*given)
    vector = check_params(vector, params.w.shape[0], params.w.dtype, name="vector")
    return hessian_along(params, vector, samples, l2, prior)


def prepare_problem(
    params: Params,
    X: Any,
    y: Any,
    weight: Any,
    offset: Any,
    l2: Any,
    jeffreys: Any = 0.0,
    bias: bool = True,
) -> tuple[Params, Samples, Array, Jeffreys | None]:
    """Return the parameters, the samples and the penalties of a cost, checked.

    Shapes: as for `cost`. The weights are divided by a power of 2, which changes no
    result; otherwise their sum might overflow, or their products be flushed to 0. With
    jeffreys they are counts, and stay.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a number that is not traced is out of range, NaN or infinite.
    """
    samples, l2, prior = prepare_data(X, y, weight, offset, l2, jeffreys, bias)
    params = check_params(params, samples.X.shape[0], samples.X.dtype)
    return params, samples, l2, prior


def prepare_data(
    X: Any,
    y: Any,
    weight: Any,
    offset: Any,
    l2: Any,
    jeffreys: Any = 0.0,
    bias: bool = True,
) -> tuple[Samples, Array, Jeffreys | None]:
    """Return the samples and the penalties of a cost, checked by `prepare_problem`."""
    samples = check_samples(X, y, weight, offset)
    l2 = check_penalty(l2, samples.X.shape[0], samples.X.dtype)
    prior = check_jeffreys(jeffreys, check_bias(bias), samples.X)
    samples = prepare_samples(samples)
    if samples.weight is not None and prior is None:
        samples = samples._replace(weight=scale_weights(samples.weight))
    return samples, check_range("l2", l2, 0.0), prior


@partial(program, inline=True)
def _cost(
    params: Params,
    samples: Samples,
    l2: Array,
    jeffreys: Jeffreys | None,
    l1: Array | None,
) -> Array:
    J = loss_total(params, samples) / samples.total_weight() + penalty_value(params, l2)
    J += l1_value(params, l1)
    return J if jeffreys is None else J + jeffreys_term(params, samples, jeffreys)


@partial(program, inline=True)
def _hessian(
    params: Params, samples: Samples, l2: Array, jeffreys: Jeffreys | None
) -> Float[Array, "n+1 n+1"]:
    if jeffreys is not None:
        unit = jnp.eye(len(params.w) + 1, dtype=params.w.dtype)

        def column(vector: Array) -> Array:
            along = Params(w=vector[:-1, None], b=vector[-1:, None])
            product = hessian_along(params, along, samples, l2, jeffreys)
            return jnp.append(product.w, product.b)

        return jax.vmap(column)(unit)
    curvature = curvature_total(params, samples) / samples.total_weight()
    penalty = jnp.broadcast_to(l2, params.w.shape)
    return curvature + jnp.diag(jnp.append(penalty, jnp.zeros_like(params.b)))


@partial(program, inline=True)
def hessian_along(
    params: Params,
    vector: Params,
    samples: Samples,
    l2: Array,
    jeffreys: Jeffreys | None = None,
) -> Params:
    """Return the Hessian times a vector, for arguments of `prepare_problem`.

    Shapes: as for `hessian_vector`. Equations (13) and (57) of docs/derivation.md.
    """
    sums, total = curvature_along_total(params, vector, samples), samples.total_weight()
    product = Params(w=sums.w / total + l2 * vector.w, b=sums.b / total)
    if jeffreys is None:
        return product
    slope = jax.grad(lambda params: jeffreys_term(params, samples, jeffreys))
    more = jax.jvp(slope, (params,), (vector,))[1]
    return jax.tree.map(jnp.add, product, more)


@partial(program, inline=True)
def objective(
    params: Params,
    samples: Samples,
    l2: Array,
    jeffreys: Jeffreys | None = None,
    total: Array | int | None = None,
) -> tuple[Array, Params]:
    """Return J and its gradient, for arguments of `prepare_problem`.

    Shapes: as for `value_and_gradient`; total () divides the sums, by default the sum
    of the weights. Equations (8), (11), (12), (55) and (56) of docs/derivation.md.
    """
    sums = totals(params, samples)
    if total is None:
        total = samples.total_weight()
    dw = sums.gradient.w / total + l2 * params.w
    J = sums.loss / total + penalty_value(params, l2)
    slope = Params(w=dw, b=sums.gradient.b / total)
    if jeffreys is None:
        return J, slope
    term, more = jax.value_and_grad(jeffreys_term)(params, samples, jeffreys)
    return J + term, jax.tree.map(jnp.add, slope, more)

"""Gradient descent, the textbook's way: w -= learning_rate * dw.

Two sets of unknowns, one descent. The gradient in w is X dzT / m + l2 w, so every
iterate stays in the span of the samples and the start, w = X alphaT + c w0; equation
(17) of docs/derivation.md. With alpha and c as unknowns a step needs only the Gram
matrix XT X (m, m): for pictures of 12 288 pixels and 209 samples a pass over 0.2 MB
instead of two over 10 MB. The iterates are the same, to rounding; the unknowns that
take fewer operations are used.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jlogreg.base.arrays import power_of_two
from jlogreg.base.checks import AnyArray, check_count, check_number, check_range
from jlogreg.base.errors import DtypeError
from jlogreg.base.params import Params
from jlogreg.base.programs import is_tracing, program
from jlogreg.data.design import Dense, matmul
from jlogreg.data.devices.spread import is_spread
from jlogreg.data.samples import Samples
from jlogreg.fitting.options import check_start, free_unknowns
from jlogreg.formulations.problem import Problem
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss, log_loss_dz
from jlogreg.objective.cost import objective, prepare_problem
from jlogreg.objective.prediction import logits
from jlogreg.solvers.first_order import descend

__all__ = ["Descent", "gradient_descent"]

Optimizer: TypeAlias = (
    optax.GradientTransformation | Callable[..., optax.GradientTransformation]
)


class Descent(NamedTuple):
    """The end of a descent, and the cost before each of its steps.

    Shapes: params w (n, 1), b (1, 1); costs (1, steps), costs[0, 0] at the start.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import gradient_descent, init_params
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> found = gradient_descent(init_params(1), X, y, learning_rate=0.1, steps=100)
        >>> found.params.w.shape, found.costs.shape
        ((1, 1), (1, 100))
    """

    params: Params
    costs: Float[Array, "1 steps"]


def gradient_descent(
    params: Params,
    X: Float[AnyArray, "n m"],
    y: Float[AnyArray, "1 m"],
    *,
    learning_rate: Any = None,
    steps: int,
    optimizer: Optimizer | None = None,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
    bias: bool = True,
) -> Descent:
    """Return the parameters after `steps` steps of gradient descent on the cost.

    Shapes: X (n, m), y (1, m) in [0, 1], w (n, 1), b (1, 1); result
    Descent(params, costs (1, steps)), with the cost in nats before each step. Formula:
    w <- w - learning_rate dw, b <- b - learning_rate db; equation (16) of
    docs/derivation.md. If the rate is too large, the costs rise.

    Args:
        params: where to start.
        X: features, a column per sample.
        y: labels.
        learning_rate: a positive number; it may be traced, so that jax.vmap tries
            many rates in one call.
        steps: number of steps, at least 0.
        optimizer: None for the formula above; or a function of the learning rate such
            as optax.adam; or a finished optax transformation such as
            optax.adam(1e-3), with learning_rate left out.
        weight: (1, m), at least 0; a weight of 2 counts a sample twice.
        offset: (1, m), added to the logits.
        l2: penalty, a number or one per feature (n, 1), at least 0.
        bias: whether the model has a bias; without one b has to be 0, and stays so.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a number is out of range, NaN or infinite (if it is traced, the
            costs are NaN), or the learning rate is missing or given twice.

    Two optimizers made separately count as different and compile anew, so make one and
    keep it.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import gradient_descent, init_params
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> start = init_params(1)
        >>> params, costs = gradient_descent(start, X, y, learning_rate=0.1, steps=100)
        >>> print(f"J {costs[0, 0]:.4f}, then {costs[0, -1]:.4f}")
        J 0.6931, then 0.4869
    """
    steps = check_count("steps", steps, least=0)
    params, samples, l2, _ = prepare_problem(params, X, y, weight, offset, l2)
    n, dtype = samples.X.shape[0], samples.X.dtype
    problem = Problem(samples, l2, free_unknowns(bias, n, dtype))
    params = check_start(params, bias)
    rate = _learning_rate(optimizer, learning_rate, samples.X.dtype)
    # An optimizer that was made in a function under way may hold its tracers, which no
    # program may keep.
    held = not is_tracing() and isinstance(optimizer, Hashable)
    descent = _descent_program if held else _descent
    return descent(optimizer, steps, params, problem, rate)


def _descent(
    optimizer: Optimizer | None,
    steps: int,
    params: Params,
    problem: Problem,
    rate: Array | None,
) -> Descent:
    """Return the descent, from checked arguments."""
    update = _transformation(optimizer, rate)
    is_plain = optimizer is None and problem.l2.ndim == 0
    cheaper = is_plain and _span_is_cheaper(problem.samples, steps)
    unknowns = (_in_span if cheaper else _in_features)(params, problem)
    end, costs = descend(unknowns.value_and_direction, unknowns.start, update, steps)
    return Descent(params=unknowns.params(end), costs=costs.reshape(1, steps))


_descent_program = program(_descent, static_argnums=(0, 1))


class _Unknowns(NamedTuple):
    """The unknowns of a descent: the start, J and the direction, and the way back.

    The direction is dw and db in terms of the unknowns. In the span it is not the
    derivative of J in the unknowns, so only plain descent may use it.
    """

    start: Any
    value_and_direction: Callable[[Any], tuple[Array, Any]]
    params: Callable[[Any], Params]


class _SpanPoint(NamedTuple):
    """The point w = U alphaT + c w0 and b; alpha (1, m), c (1, 1), b (1, 1)."""

    alpha: Array
    c: Array
    b: Array


def _in_features(params: Params, problem: Problem) -> _Unknowns:
    def at(point: Params) -> tuple[Array, Params]:
        J, slope = objective(point, problem.samples, problem.l2)
        return J, slope if problem.free is None else slope._replace(b=0 * slope.b)

    return _Unknowns(start=params, value_and_direction=at, params=lambda point: point)


def _in_span(params: Params, problem: Problem) -> _Unknowns:
    """Return the descent with the unknowns (alpha, c, b) of w = U alphaT + c w0.

    U = X / size. dw = U (size dzT / m + l2 alphaT) + l2 c w0 is dalpha = size dz / m +
    l2 alpha and dc = l2 c in terms of the unknowns; a step of plain descent is linear
    in them, so stepping first or mapping back first is the same. Without the size XT X
    would overflow where X does not. It is not the dual formulation of `fit`, which
    centres X and drops w0.
    """
    samples, l2, free = problem[:3]
    X, y = samples.X.dense(), samples.y
    w0, m, size = params.w, samples.total_weight(), power_of_two(X)
    U = X / size
    gram = matmul(U.T, X)
    penalty_w0 = jnp.sum((l2 * w0) * w0)  # 0 where l2 is, even if w0^2 overflows
    z0 = logits(Params(w=w0, b=jnp.zeros_like(params.b)), X)
    mean = 1 / m if samples.weight is None else samples.weight / m

    def at(point: _SpanPoint) -> tuple[Array, _SpanPoint]:
        # Forward: logits, penalty and cost.
        alpha, c = point.alpha, point.c
        own = matmul(alpha, gram)
        z = samples.add_offset(own + c * z0 + point.b)
        penalty = (l2 * alpha / size) * (own + 2 * c * z0)
        penalty = jnp.sum(penalty) + jnp.sum(c**2) * penalty_w0
        J = jnp.sum(log_loss(FAST, z, y) * mean) + penalty / 2
        # Backward: dz, db and the direction.
        dz = log_loss_dz(FAST, z, y) * mean
        db = dz.sum(axis=1, keepdims=True) * (1 if free is None else 0)
        return J, _SpanPoint(alpha=size * dz + l2 * alpha, c=l2 * c, b=db)

    def back(point: _SpanPoint) -> Params:
        own = matmul(U, point.alpha.T)
        return Params(w=own + point.c * w0, b=point.b)

    start = _SpanPoint(alpha=jnp.zeros_like(y), c=jnp.ones_like(params.b), b=params.b)
    return _Unknowns(start, at, back)


def _span_is_cheaper(samples: Samples, steps: int) -> bool:
    """Return whether the span takes fewer multiplications, and no more memory.

    A step on X takes 2 n m; in the span it takes m^2, after n m^2 for the Gram matrix
    and 2 n m for the way there and back. The Gram matrix is no larger than X if m <= n.
    It has pairs of samples, so it is not formed where these are spread over devices.
    """
    n, m = samples.X.shape
    in_span = n * m * m + 2 * n * m + steps * m * m
    fewer = m <= n and in_span < steps * 2 * n * m
    return isinstance(samples.X, Dense) and fewer and not is_spread(samples.X)


def _learning_rate(
    optimizer: Optimizer | None, learning_rate: Any, dtype: Any
) -> Array | None:
    """Return the learning rate, or None where the optimizer has its own."""
    if _is_transformation(optimizer):
        if learning_rate is not None:
            raise ValueError(
                "the learning rate is given twice: leave learning_rate out, or pass "
                "the optimizer without its rate, as in optimizer=optax.adam"
            )
        return None
    if learning_rate is None:
        raise ValueError("learning_rate is missing: pass learning_rate=0.01, say")
    rate = check_number("learning_rate", learning_rate, dtype)
    return check_range("learning_rate", rate, 0.0, above=True)


def _transformation(
    optimizer: Optimizer | None, rate: Array | None
) -> optax.GradientTransformation:
    if optimizer is None:
        return optax.sgd(rate)
    takes_rate = rate is not None and callable(optimizer)
    made = optimizer(rate) if takes_rate else optimizer
    if not _is_transformation(made):
        raise DtypeError(
            "optimizer must be an optax transformation, or a function that makes one "
            f"from a learning rate, but is {optimizer!r}"
        )
    return made


def _is_transformation(value: Any) -> bool:
    return hasattr(value, "init") and hasattr(value, "update")

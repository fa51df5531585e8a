"""Whether a solver has converged.

One that forms no Hessian has if every weight has a penalty and the gradient is small
enough, and it has not if a direction has no curvature. Newton's method confirms what is
left, and none has found a minimum that roundings hide.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jlogreg.base.arrays import at_most, largest, smallest
from jlogreg.base.params import Params
from jlogreg.base.status import Status
from jlogreg.data.design import Dense, Design, matmul
from jlogreg.data.reduction import gram_block, sum_over_samples
from jlogreg.data.samples import Samples
from jlogreg.formulations.preconditioner import Preconditioner
from jlogreg.formulations.primal import PRIMAL
from jlogreg.formulations.problem import (
    Limits,
    Problem,
    Solution,
    restricted,
    ridge,
    rounding_decrement,
    to_params,
    to_vector,
)
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss_dz
from jlogreg.objective.pointwise import logits_along, pointwise
from jlogreg.objective.prediction import adjoint
from jlogreg.solvers.cholesky import ReversedFactor, rounding_level
from jlogreg.solvers.conjugate_gradients import (
    Solved,
    conjugate_gradients,
    max_inner_iterations,
)
from jlogreg.solvers.driver import RUNNING, State, once
from jlogreg.solvers.newton import Newton
from jlogreg.solvers.newton_cg import INNER_TOLERANCE, NewtonCG

__all__ = [
    "MAX_CONFIRM_STEPS",
    "End",
    "adjoint_of_row",
    "at_end",
    "bounded_rounding",
    "confirmation",
    "has_flat_direction",
    "hidden_as_singular",
    "may_be_hidden",
]


# Newton steps that confirm the end of another solver, or that there is no minimum.
MAX_CONFIRM_STEPS = 500
# A minimum is known if the roundings of the gradient move no logit by more than this
# many tolerances.
KNOWN_TOLERANCES = 4


class End(NamedTuple):
    """What is computed anew where a solver has ended.

    Shapes: value (), gradient (k, 1); curvature (1, m) and pearson () as in Pointwise.
    """

    value: Float[Array, ""]
    gradient: Float[Array, "k 1"]
    curvature: Float[Array, "1 m"]
    pearson: Float[Array, ""]


def at_end(problem: Problem, total_weight: Array, params: Params, tol: Array) -> End:
    """Return the cost and its derivatives where a solver has ended.

    Args:
        problem: the problem.
        total_weight: the divisor of the sums.
        params: where the solver has ended.
        tol: the tolerance of the stopping test.
    """
    samples, penalty, point = problem.samples, ridge(problem), to_vector(params)
    z, none = logits_along(samples.X, problem.l2, params)[0], jnp.zeros_like(samples.y)
    each = pointwise(samples, z, none, none, tol)
    slope = to_vector(_sum_of(samples.X, each.dz)) / total_weight + penalty * point
    return End(
        value=each.loss / total_weight + jnp.sum(penalty * point * point) / 2,
        gradient=restricted(slope, problem.free),
        curvature=each.dz2,
        pearson=each.pearson,
    )


def bounded_rounding(
    problem: Problem, total_weight: Array, end: End, tol: Array
) -> Float[Array, ""]:
    """Return how far roundings may move the minimum; infinity if it may be elsewhere.

    With a penalty on every weight no Hessian is needed: equation (29) of
    docs/derivation.md bounds the decrement, and the inflation of variances.
    """
    samples, l2, m = problem.samples, problem.l2, total_weight
    g, h = to_params(end.gradient), _sum_of(samples.X, end.curvature)
    # The bias eliminated, the curvature of the weights is at least the penalty.
    w, squared, inflation = g.w, jnp.zeros_like(tol), jnp.ones_like(tol)
    if problem.free is None:
        w = w - h.w * (g.b / h.b)
        squared = jnp.sum(jnp.square(g.b) * m / h.b)
        inflation += jnp.sum(jnp.square(h.w) / (l2 * m * h.b))
    decrement = jnp.sqrt(squared + jnp.sum(jnp.square(w) / l2))
    # No curvature of a weight is above a quarter of its squares, and its penalty.
    quarters = Samples(samples.X, samples.weights() / 4)
    squares = sum_over_samples(lambda part: part.X.gram_diagonal(part.y), quarters)
    inflation += largest(squares / (l2 * m))
    eps = float(np.finfo(tol.dtype).eps)
    rounding = rounding_decrement(end.pearson, m) + eps * inflation
    return jnp.where(decrement <= tol, rounding, jnp.inf)


def _sum_of(X: Design, row: Array) -> Params:
    """Return the sum over samples of x times a number of each."""
    return sum_over_samples(adjoint_of_row, Samples(X, row))


def has_flat_direction(
    problem: Problem, preconditioner: Preconditioner, curvature: Array
) -> Bool[Array, ""]:
    """Return whether some direction has no curvature at the end of the solver.

    Samples that are separated to the last digit no longer show in the gradient. If a
    direction moves only them (quasi-separation), there is no minimum; if, where weights
    exclude samples, it moves none at all, there are many. Either way H has no inverse,
    and a system with a component along that direction on its right has no solution of
    moderate size.

    We solve for two right-hand sides separately, since their flat components could
    cancel: the gradient of the saturated samples and, if there are weights, a vector
    with a component in every direction. Nothing is solved where a right-hand side is
    zero, nor where every weight has a penalty, and only the bias can lack curvature.
    """
    samples, penalty = problem.samples, ridge(problem)
    eps = float(np.finfo(curvature.dtype).eps)
    weight = samples.weights()

    # The right-hand sides, and how well to solve for each.
    saturated = curvature <= eps * weight
    pull = jnp.where(saturated, weight * (2 * samples.y - 1), 0.0)
    right = to_vector(_sum_of(samples.X, pull))
    right = restricted(right, problem.free)
    k = right.shape[0]
    rights, tolerances = [right], [INNER_TOLERANCE]
    if samples.weight is not None:
        waves = jnp.cos(jnp.arange(k, dtype=right.dtype))[:, None]
        rights.append(restricted(waves / preconditioner.scale, problem.free))
        tolerances.append(INNER_TOLERANCE / k**0.5)  # so that no direction is neglected

    least = smallest((penalty * jnp.square(preconditioner.scale))[:-1])
    penalized = least > rounding_level(k, right.dtype)

    def is_flat(right: Array, tolerance: Array) -> Bool[Array, ""]:
        right = jnp.where(penalized, 0.0, right)
        size = jnp.sum(right * preconditioner.solve(right))
        solved = _solve(problem, preconditioner, curvature, right, tolerance)
        return solved.stuck | ~(eps * k * jnp.sum(solved.x * right) <= size)

    flat = jax.vmap(is_flat)(jnp.stack(rights), jnp.asarray(tolerances, right.dtype))
    has_bias = problem.free is None
    flat_bias = has_bias & ~(curvature.sum() > eps * weight.sum())
    return jnp.where(penalized, flat_bias, flat.any())


def _solve(
    problem: Problem,
    preconditioner: Preconditioner,
    curvature: Array,
    right: Array,
    tolerance: Array,
) -> Solved:
    """Return H^-1 right for a row of curvature, by conjugate gradients."""
    samples, m = problem.samples, problem.samples.total_weight()
    penalty = ridge(problem)
    # The curvature is a row over the samples, and goes block by block with them.
    curved = Samples(samples.X, curvature)

    def summand(part: Samples, vector: Array) -> Array:
        change = part.X.forward(vector[:-1]) + vector[-1:]
        return to_vector(adjoint(part.X, part.y * change))

    def multiply(vector: Array) -> Array:
        product = sum_over_samples(summand, curved, vector) / m + penalty * vector
        return restricted(product, problem.free)

    most = max_inner_iterations(right.shape[0])
    return conjugate_gradients(multiply, right, preconditioner.solve, tolerance, most)


def adjoint_of_row(part: Samples) -> Params:
    """Return the sum of x times a number of each sample, held where its label is."""
    return adjoint(part.X, part.y)


def confirmation(
    solver: Newton | NewtonCG, objective: Any, state: State, limits: Limits
) -> tuple[State, Array]:
    """Return Newton's method where another solver has ended, and its steps at most.

    A minimum has to pass Newton's test as well, and what has none to another solver may
    have one. What is separated stays as it is.
    """
    ended = [Status.SEPARATED, Status.BAD_INPUT]
    goes_on = (state.status != jnp.asarray(ended, jnp.int32)).all()
    # What has not converged may be anywhere; without steps left, it stays there.
    converged = state.status == Status.CONVERGED
    goes_on &= converged | (state.steps < limits.max_steps)
    lost = goes_on & ~converged
    first = solver.init(objective, jnp.where(lost, 0.0, state.point))
    first = first._replace(
        evaluation=state.evaluation._replace(curvature=first.evaluation.curvature),
        direction=first.direction._replace(decrement=state.direction.decrement),
        status=jnp.where(goes_on, RUNNING, state.status).astype(jnp.int32),
    )
    return first, at_most(limits.max_steps - state.steps, MAX_CONFIRM_STEPS)


def hidden_as_singular(
    problem: Problem, solution: Solution, limits: Limits, asked: Array | bool = True
) -> Solution:
    """Return the solution, SINGULAR where it is asked and roundings hide a minimum."""
    hidden = once(
        may_be_hidden(solution, limits) & asked,
        lambda: _is_hidden(problem, solution, limits),
        jnp.zeros((), bool),
    )
    status = jnp.where(hidden, Status.SINGULAR, solution.status).astype(jnp.int32)
    return solution._replace(status=status)


def may_be_hidden(solution: Solution, limits: Limits) -> Bool[Array, ""]:
    """Return whether roundings of the gradient may count as a step."""
    known = solution.rounding <= limits.tol
    return (solution.status == Status.CONVERGED) & ~known


def _is_hidden(problem: Problem, solution: Solution, limits: Limits) -> Bool[Array, ""]:
    """Return whether the roundings of the gradient move a logit by too much.

    The gradient is a sum of terms dz x / m, each of them rounded. The Newton step of
    these roundings, as if they were independent, is a change of the logits.
    """
    samples, params, penalty = problem.samples, solution.params, ridge(problem)
    m, eps = samples.total_weight(), float(np.finfo(penalty.dtype).eps)

    def sizes(part: Samples, params: Params) -> Array:
        dz = part.weighted(log_loss_dz(FAST, part.logits(params), part.y))
        return to_vector(adjoint(Dense(jnp.abs(part.X.dense())), jnp.abs(dz)))

    block = gram_block(samples)
    size = sum_over_samples(sizes, samples, params, block=block) / m
    error = eps * (size + penalty * jnp.abs(to_vector(params)))
    error = restricted(error, problem.free)
    # The factor is the primal's, or there is none.
    kept = isinstance(solution.factor, ReversedFactor)
    factor = solution.factor if kept else None
    inverse = PRIMAL.inverse_hessian(problem, params, factor)(
        jnp.eye(len(error), dtype=error.dtype)
    )

    def count(part: Samples, inverse: Array, error: Array, most: Array) -> Array:
        # The standard deviation of [x; 1]T H^-1 e for each sample.
        along = matmul(part.X.dense().T, inverse[:-1]) + inverse[-1:]
        moved = jnp.sqrt(matmul(jnp.square(along), jnp.square(error))).T
        hidden = ~(moved <= most)
        return jnp.sum(hidden & (part.weights() > 0), dtype=moved.dtype)

    given = (inverse, error, KNOWN_TOLERANCES * limits.tol)
    return sum_over_samples(count, samples, *given, block=block) > 0

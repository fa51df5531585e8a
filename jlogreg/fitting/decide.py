"""What the end of a solver leaves open: separation, and minima that roundings hide.

Both questions cost passes over the samples. They are asked in loops that take no step
unless some problem needs the answer, so that others pay nothing, alone or under vmap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jlogreg.base.params import Params
from jlogreg.base.status import Status
from jlogreg.data.design import Dense, matmul
from jlogreg.data.reduction import gram_block, sum_over_samples
from jlogreg.data.samples import Samples
from jlogreg.fitting.options import formulation_of
from jlogreg.formulations.matrix_free import MAX_CONFIRM_FEATURES
from jlogreg.formulations.primal import PRIMAL, primal_objective
from jlogreg.formulations.problem import (
    Limits,
    Problem,
    Solution,
    prepare,
    ridge,
    to_params,
    to_vector,
)
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss_dz
from jlogreg.objective.cost import objective
from jlogreg.objective.prediction import adjoint
from jlogreg.solvers.cholesky import ReversedFactor
from jlogreg.solvers.driver import (
    RUNNING,
    DenseObjective,
    Evaluation,
    Solver,
    State,
    loop,
    run_solver,
    where,
)
from jlogreg.solvers.newton import Newton

__all__ = ["decide", "is_open"]

Known = TypeVar("Known")

# Newton steps that look for a plane between the labels. Where there is one they find it
# in about ten.
MAX_SEPARATION_STEPS = 40
# A minimum is known if the roundings of the gradient move no logit by more than this
# many tolerances.
KNOWN_TOLERANCES = 4


def is_open(
    solver: Solver, problem: Problem, solution: Solution, limits: Limits
) -> Bool[Array, ""]:
    """Return whether the status of a solution may change in `decide`."""
    if not _applies(solver, problem):
        return jnp.zeros((), bool)
    return _has_failed(solution) | _may_be_hidden(solution, limits)


def decide(
    solver: Solver, problem: Problem, solution: Solution, limits: Limits
) -> Solution:
    """Return the solution with its final status.

    A minimum that roundings hide is SINGULAR: to the precision at hand the gradient is
    zero there, but in a whole region. A problem without an answer is SEPARATED if a
    plane is found between its labels. Where a Hessian would cost more than the fit, the
    status stays as it is.
    """
    if not _applies(solver, problem):
        return solution
    # What roundings hide.
    hidden = _once(
        _may_be_hidden(solution, limits),
        lambda: _is_hidden(problem, solution, limits),
        jnp.zeros((), bool),
    )
    status = jnp.where(hidden, Status.SINGULAR, solution.status)
    solution = solution._replace(status=status.astype(jnp.int32))
    # A plane between the labels, which then stands for the parameters.
    end = _search_plane(problem, _has_failed(solution), limits)
    separated = end.status == Status.SEPARATED
    params = where(separated, to_params(end.point), solution.params)
    J, slope = _once(
        separated,
        lambda: objective(params, problem.samples, problem.l2),
        (solution.cost, solution.gradient),
    )
    status = jnp.where(separated, Status.SEPARATED, solution.status)
    return solution._replace(
        params=params, status=status.astype(jnp.int32), cost=J, gradient=slope
    )


def _applies(solver: Solver, problem: Problem) -> bool:
    X = problem.samples.X
    is_primal = formulation_of(solver, X, problem.l2) is PRIMAL
    return is_primal or X.shape[0] <= MAX_CONFIRM_FEATURES


def _has_failed(solution: Solution) -> Bool[Array, ""]:
    ended = [Status.CONVERGED, Status.SEPARATED, Status.BAD_INPUT]
    return (solution.status != jnp.asarray(ended, jnp.int32)).all()


def _may_be_hidden(solution: Solution, limits: Limits) -> Bool[Array, ""]:
    """Return whether roundings of the gradient may count as a step."""
    known = solution.rounding <= limits.tol
    return (solution.status == Status.CONVERGED) & ~known


def _once(needed: Array, compute: Callable[[], Known], known: Known) -> Known:
    """Return compute() where needed, else what is known.

    A loop of at most one step: under vmap both sides of a condition would be computed.
    """

    def step(now: tuple[Array, Known]) -> tuple[Array, Known]:
        return jnp.zeros_like(needed), compute()

    return loop(lambda now: now[0], step, (needed, known))[1]


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


def _search_plane(problem: Problem, needed: Array, limits: Limits) -> State:
    """Return the end of a search for a plane without a penalty between the labels.

    Whether there is one does not depend on the offset, nor on the sizes of the weights.
    So Newton's method goes after the minimum of the cost without both, in the unknowns
    that have no penalty, where such a plane shows after a few steps; equation (19).
    """
    samples, penalty = problem.samples, ridge(problem)
    weight = samples.weight
    kept = None if weight is None else (weight > 0).astype(weight.dtype)
    alike = Samples(samples.X, samples.y, kept)
    plain = Problem(alike, jnp.zeros((), penalty.dtype))
    loss = primal_objective(plain, prepare(alike), limits.tol)
    loss = _restricted(loss, (penalty == 0).astype(penalty.dtype))
    newton = Newton(keep_factor=False)
    state = newton.init(loss, jnp.zeros_like(penalty))
    status = jnp.where(needed, RUNNING, Status.CONVERGED).astype(jnp.int32)
    state = state._replace(status=status)
    return run_solver(newton, loss, state, MAX_SEPARATION_STEPS)


def _restricted(loss: DenseObjective, free: Float[Array, "k 1"]) -> DenseObjective:
    """Return the function of the free unknowns alone; the others stay 0."""

    def evaluate(point: Array, step: Array) -> Evaluation:
        evaluation = loss.evaluate(point, step)
        fixed = jnp.diag(1 - free[:, 0])
        return evaluation._replace(
            gradient=evaluation.gradient * free,
            curvature=evaluation.curvature * free * free.T + fixed,
        )

    return loss._replace(evaluate=evaluate)

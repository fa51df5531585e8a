"""A plane between the labels: how it is sought, and proved."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from jlogreg.base.params import Params
from jlogreg.base.status import Status
from jlogreg.data.reduction import gram_block
from jlogreg.data.samples import Samples
from jlogreg.data.standardized import magnitudes
from jlogreg.formulations.primal import primal_objective
from jlogreg.formulations.problem import (
    Limits,
    Prepared,
    Problem,
    Solution,
    penalties,
    restricted,
    solution_of,
    to_params,
    to_vector,
)
from jlogreg.objective.sums import sum_over_written
from jlogreg.solvers.driver import DenseObjective, Evaluation, minimize, once, where
from jlogreg.solvers.newton import Newton

__all__ = [
    "MAX_SEPARATION_STEPS",
    "has_failed",
    "if_free_plane",
    "if_separated",
    "sought",
    "with_margins",
]

# Newton steps that look for a plane between the labels. Where there is one they find it
# in about ten.
MAX_SEPARATION_STEPS = 40


def has_failed(solution: Solution) -> Bool[Array, ""]:
    """Return whether a solution is no answer, and not known to have none."""
    ended = [Status.CONVERGED, Status.SEPARATED, Status.BAD_INPUT]
    return (solution.status != jnp.asarray(ended, jnp.int32)).all()


def if_free_plane(
    problem: Problem, prepared: Prepared, solution: Solution, limits: Limits
) -> Solution:
    """Return the solution, SEPARATED where unknowns without a penalty separate it.

    Newton's method looks for such a plane where there is no other answer; equation
    (19).
    """
    yes = jnp.ones((), bool)

    def search() -> Solution:
        goal, known = sought(problem, prepared, yes)
        loss = with_margins(primal_objective(goal, known, limits.tol), known, yes)
        start = jnp.zeros_like(to_vector(solution.params))
        end = minimize(Newton(keep_factor=False), loss, start, MAX_SEPARATION_STEPS)
        found = if_separated(goal, solution_of(end, to_params(end.point), None))
        plane = solution._replace(params=found.params, status=found.status)
        return where(found.status == Status.SEPARATED, plane, solution)

    return once(has_failed(solution), search, solution)


def sought(
    problem: Problem, prepared: Prepared, seeks_plane: Array
) -> tuple[Problem, Prepared]:
    """Return the problem to be solved, with what it prepares.

    Whether there is a plane without a penalty between the labels does not depend on the
    offset, nor on the sizes of the weights. So Newton's method goes after the minimum
    of the cost without both, in the unknowns that have no penalty, where such a plane
    shows after a few steps; equation (19).
    """
    samples, penalty = problem.samples, penalties(problem)
    weight, offset, m = samples.weight, samples.offset, prepared.total_weight
    if weight is not None:
        weight = jnp.where(seeks_plane, (weight > 0).astype(weight.dtype), weight)
        m = jnp.where(seeks_plane, weight.sum(), m)
    if offset is not None:
        offset = jnp.where(seeks_plane, 0.0, offset)
    value_at_zero = jnp.where(seeks_plane, math.log(2), prepared.value_at_zero)
    free = jnp.where(seeks_plane & (penalty > 0), 0.0, 1.0).astype(penalty.dtype)
    goal = Problem(
        Samples(samples.X, samples.y, weight, offset),
        jnp.where(seeks_plane, 0.0, problem.l2),
        restricted(free, problem.free),
    )
    return goal, Prepared(m, value_at_zero, None)


def with_margins(
    loss: DenseObjective, prepared: Prepared, seeks_plane: Array
) -> DenseObjective:
    """Return the cost, whose plane has some distance from all samples when sought.

    The sum of the losses is then below that of one sample at the logit 1. A margin that
    is only just above 0 may be rounding.
    """

    def evaluate(point: Array, step: Array) -> Evaluation:
        evaluation = loss.evaluate(point, step)
        apart = evaluation.value * prepared.total_weight < math.log1p(math.exp(-1))
        separated = evaluation.separated & (apart | ~seeks_plane)
        return evaluation._replace(separated=separated)

    return loss._replace(evaluate=evaluate)


def if_separated(problem: Problem, solution: Solution) -> Solution:
    """Return the solution, DIVERGED where it is SEPARATED without a proof."""
    separated = solution.status == Status.SEPARATED
    no = jnp.zeros((), bool)
    proved = once(separated, lambda: _separates(problem, solution.params), no)
    status = jnp.where(separated & ~proved, Status.DIVERGED, solution.status)
    return solution._replace(status=status.astype(jnp.int32))


def _separates(problem: Problem, params: Params) -> Bool[Array, ""]:
    """Return whether each sample is on its label's side, by more than rounding.

    Equation (19); the rounding of a sum of k products is at most k eps of their sizes
    (Higham, Accuracy and Stability of Numerical Algorithms, 2002, 3.1).
    """
    samples, free = problem.samples, restricted(to_vector(params), problem.free)
    w, b = to_params(jnp.where(penalties(problem) > 0, 0.0, free))
    n = len(w)

    def count(part: Samples, params: Params) -> Array:
        X, (w, b), eps = part.X, params, float(np.finfo(part.y.dtype).eps)
        z = X.forward(w) + b
        size = magnitudes(X).forward(jnp.abs(w)) + jnp.abs(b)
        margin = jnp.where(part.y == 1, z, -z) - (n + 4) * eps * size
        is_right = (margin > 0) & ((part.y == 1) | (part.y == 0))
        return jnp.sum(~is_right & (part.weights() > 0), dtype=z.dtype)

    block = gram_block(samples)
    return sum_over_written(count, samples, Params(w, b), block=block) == 0

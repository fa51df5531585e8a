"""Give solvers the cost with a curvature that is multiplied with, and never formed.

A point is w above b; the curvature is a row of a (1 - a). A Newton step solves with it
by conjugate gradients, with a bound of the Hessian for a preconditioner.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from jlogreg.arrays import Params
from jlogreg.bound import Bound
from jlogreg.cost import total_weight
from jlogreg.look import logits_along, look
from jlogreg.objectives import Problem, Whole, join, ridge, split
from jlogreg.predict import adjoint
from jlogreg.samples import Samples
from jlogreg.solvers.driver import Evaluation, Objective, System
from jlogreg.solvers.factor import lost
from jlogreg.solvers.newton_cg import (
    INNER_TOLERANCE,
    Solved,
    conjugate_gradients,
    inner_most,
)
from jlogreg.totals import sum_over_samples

__all__ = ["escapes", "matrix_free"]


def matrix_free(problem: Problem, known: Whole, bound: Bound, tol: Array) -> Objective:
    """Return the cost with a curvature that is multiplied with, and never formed."""
    samples, penalty, m = problem.samples, ridge(problem), known.weight

    def look_along(
        vector: Array, change: Array, curvature: Array, trying: Array
    ) -> tuple[Evaluation, Array]:
        rows, free = logits_along(samples.X, problem.l2, split(vector))
        seen = look(samples, rows, change, free, tol)
        back = jnp.where(trying, seen.dz, curvature * rows)
        sums = sum_over_samples(_adjoint, Samples(samples.X, back))
        found = Evaluation(
            value=seen.loss / m + jnp.sum((penalty * vector) * vector) / 2,
            gradient=join(sums) / m + penalty * vector,
            curvature=seen.dz2,
            slope=jnp.zeros_like(seen.loss),
            moved=seen.moved,
            swung=seen.swung,
            unbounded=seen.wrong == 0,
        )
        return found, rows

    def evaluate(point: Array, step: Array) -> Evaluation:
        change, _ = logits_along(samples.X, problem.l2, split(step))
        trying = jnp.ones((), bool)
        found, _ = look_along(point, change, jnp.zeros_like(change), trying)
        return found._replace(slope=jnp.sum(found.gradient * step))

    rows = jnp.zeros_like(samples.y)
    system = System(look_along, bound.solve, rows, bound.singular)
    return Objective(evaluate, known.at_zero, tol, system=system)


def _solve(
    problem: Problem, bound: Bound, curvature: Array, right: Array, tolerance: Array
) -> Solved:
    """Return H^-1 right for a row of curvature."""
    samples, m = problem.samples, total_weight(problem.samples)
    penalty = ridge(problem)
    # The curvature is a row over the samples, and goes block by block with them.
    curved = Samples(samples.X, curvature)

    def summand(part: Samples, vector: Array) -> Array:
        change = part.X.forward(vector[:-1]) + vector[-1:]
        return join(adjoint(part.X, part.y * change))

    def multiply(vector: Array) -> Array:
        return sum_over_samples(summand, curved, vector) / m + penalty * vector

    most = inner_most(right.shape[0])
    return conjugate_gradients(multiply, right, bound.solve, tolerance, most)


def escapes(problem: Problem, bound: Bound, curvature: Array) -> Bool[Array, ""]:
    """Return whether some direction has no curvature where the solver ended.

    Samples that are told apart to the last digit no longer show in the gradient. If a
    direction moves none but them (quasi-separation), there is no minimum; if, where
    weights leave samples out, it moves none at all, there are many. Either way H has no
    inverse, and a system with something along that direction on its right has no
    solution of moderate size. So one has the pull of those samples, and one, where
    there are weights, something of every direction: apart, or they might cancel. Where
    a right is zero nothing is solved; nor is it where penalties hold all the weights,
    and only the bias is left to have no curvature.
    """
    samples, penalty = problem.samples, ridge(problem)
    eps = float(np.finfo(curvature.dtype).eps)
    weight = jnp.ones_like(samples.y) if samples.weight is None else samples.weight
    pull = jnp.where(curvature <= eps * weight, weight * (2 * samples.y - 1), 0.0)
    right = join(sum_over_samples(_adjoint, Samples(samples.X, pull)))
    k = right.shape[0]
    rights, tolerances = [right], [INNER_TOLERANCE]
    if samples.weight is not None:
        rights.append(jnp.cos(jnp.arange(k, dtype=right.dtype))[:, None] / bound.scale)
        tolerances.append(INNER_TOLERANCE / k**0.5)  # so that no direction is neglected
    held = (penalty * jnp.square(bound.scale))[:-1].min() > lost(k, right.dtype)

    def is_free(right: Array, tolerance: Array) -> Bool[Array, ""]:
        right = jnp.where(held, 0.0, right)
        size = jnp.sum(right * bound.solve(right))
        solved = _solve(problem, bound, curvature, right, tolerance)
        return solved.stuck | ~(eps * k * jnp.sum(solved.x * right) <= size)

    free = jax.vmap(is_free)(jnp.stack(rights), jnp.asarray(tolerances, right.dtype))
    return jnp.where(held, ~(curvature.sum() > eps * weight.sum()), free.any())


def _adjoint(part: Samples) -> Params:
    return adjoint(part.X, part.y)

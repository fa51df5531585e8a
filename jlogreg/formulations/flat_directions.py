"""Directions without curvature at the end of a solver that forms no Hessian."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from jlogreg.base.arrays import smallest
from jlogreg.base.params import Params
from jlogreg.data.reduction import sum_over_samples
from jlogreg.data.samples import Samples
from jlogreg.formulations.preconditioner import Preconditioner
from jlogreg.formulations.problem import Problem, restricted, ridge, to_vector
from jlogreg.objective.prediction import adjoint
from jlogreg.solvers.cholesky import rounding_level
from jlogreg.solvers.conjugate_gradients import (
    Solved,
    conjugate_gradients,
    max_inner_iterations,
)
from jlogreg.solvers.newton_cg import INNER_TOLERANCE

__all__ = ["adjoint_of_row", "has_flat_direction"]


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
    right = to_vector(sum_over_samples(adjoint_of_row, Samples(samples.X, pull)))
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

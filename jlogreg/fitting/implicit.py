"""Differentiate a minimum with respect to what it depends on.

At the minimum the gradient is zero whatever the data, so H dtheta = -d(gradient), the
second derivative taken along the change of the data; equation (20) of
docs/derivation.md. Nothing is unrolled: one linear system is solved with H, forward and
in reverse alike, since H is symmetric.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from jlogreg.base.params import Params
from jlogreg.base.status import Status
from jlogreg.data.samples import weighted
from jlogreg.formulations.dual import DualFactor, dual_applies, dual_basis, dual_factor
from jlogreg.formulations.problem import Problem, Solution, ridge, to_params, to_vector
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss_dz2
from jlogreg.objective.cost import hessian_along, objective, total_weight
from jlogreg.objective.prediction import sample_logits
from jlogreg.objective.sums import curvature_total
from jlogreg.solvers.cholesky import factorize
from jlogreg.solvers.conjugate_gradients import conjugate_gradients
from jlogreg.solvers.driver import where

__all__ = ["differentiable", "inverse_hessian", "solve_hessian"]

# Iterations that refine a solution with H. With H's own factor one or two do.
MAX_REFINE_ITERATIONS = 250


Solve = Callable[..., Solution]


def differentiable(solve: Solve) -> Solve:
    """Return solve(solver, problem, *rest) with derivatives in the problem.

    The rest, start and tolerance, do not move the minimum: their derivative is 0.
    """
    function = jax.custom_jvp(solve, nondiff_argnums=(0,))

    def rule(
        solver: Any, primals: tuple[Any, ...], tangents: tuple[Any, ...]
    ) -> tuple[Solution, Solution]:
        solution = function(solver, *primals)
        return solution, _tangent(primals[0], tangents[0], solution)

    function.defjvp(rule, symbolic_zeros=True)
    return function


def _tangent(problem: Problem, change: Problem, solution: Solution) -> Solution:
    """Return how the solution changes when the problem does."""
    leaves, tree = jax.tree.flatten(problem)
    changes = jax.tree.leaves(change, is_leaf=_is_zero)
    # Only what changes is followed: for the penalty alone that saves passes over X.
    moving = [i for i, leaf in enumerate(changes) if not _is_zero(leaf)]
    still = _no_change(solution)
    if not moving:
        return still
    # Of a fit that failed something finite stands in, so that reverse mode, which
    # multiplies zeros with it, can leave the fit out; its derivative is NaN below.
    converged = solution.status == Status.CONVERGED
    params = where(
        converged, solution.params, jax.tree.map(jnp.ones_like, solution.params)
    )
    solution = solution._replace(params=params)

    def at(moved: list[Array]) -> tuple[Array, Array]:
        now = list(leaves)
        for i, leaf in zip(moving, moved, strict=True):
            now[i] = leaf
        J, slope = objective(solution.params, *jax.tree.unflatten(tree, now))
        return J, to_vector(slope)

    here, along = [leaves[i] for i in moving], [changes[i] for i in moving]
    (_, slope), (dJ, dslope) = jax.jvp(at, (here,), (along,))
    dtheta = solve_hessian(problem, solution, -dslope)
    dcost = dJ + jnp.sum(jnp.where(converged, slope, 1.0) * dtheta)
    return still._replace(params=to_params(dtheta), cost=dcost)


def solve_hessian(
    problem: Problem, solution: Solution, right: Float[Array, "n+1 c"]
) -> Float[Array, "n+1 c"]:
    """Return H^-1 right at a solution; NaN where it has not converged.

    Zero is zero all the same, so that a problem that failed can be left out of a sum
    that is differentiated.
    """
    eps = float(np.finfo(right.dtype).eps)
    converged = solution.status == Status.CONVERGED
    multiply = _hessian_map(problem, solution.params)

    def solve(_multiply: Any, right: Array) -> Array:
        # To all digits with the factor's own precision, and no further.
        tolerance = jnp.asarray(4 * eps, right.dtype)
        most = min(MAX_REFINE_ITERATIONS, 2 * right.shape[0])
        solved = conjugate_gradients(
            multiply, right, _inverse(problem, solution), tolerance, most
        )
        found = jnp.where(converged, solved.x, jnp.nan)
        return jnp.where((right == 0).all(), 0.0, found)

    return lax.custom_linear_solve(multiply, right, solve, symmetric=True)


def inverse_hessian(
    problem: Problem, params: Params, right: Float[Array, "n+1 c"]
) -> Float[Array, "n+1 c"]:
    """Return H^-1 right at any parameters, where no solver has kept a factor."""
    multiply = _hessian_map(problem, params)

    def each(columns: Array) -> Array:
        return jax.vmap(multiply, 1, 1)(columns[:, :, None])[:, :, 0]

    # Its derivatives are solutions, too; those of a factorisation have no transpose.
    still = lax.stop_gradient((problem, params))
    return lax.custom_linear_solve(
        each, right, lambda _, right: _by_factor(*still, right), symmetric=True
    )


def _hessian_map(problem: Problem, params: Params) -> Callable[[Array], Array]:
    """Return H as a map of vectors (n + 1, 1)."""
    return lambda vector: to_vector(hessian_along(params, to_params(vector), *problem))


def _by_factor(problem: Problem, params: Params, right: Array) -> Array:
    samples, l2 = problem
    X, m = samples.X, total_weight(samples)
    if dual_applies(X, l2):
        s = weighted(log_loss_dz2(FAST, sample_logits(params, samples)), samples)
        span = dual_basis(samples)
        return dual_factor(s.T / m, span.gram, l2).inverse(span, right)
    H = curvature_total(params, samples) / m + jnp.diag(ridge(problem)[:, 0])
    return factorize(H).solve(right)


def _inverse(problem: Problem, solution: Solution) -> Callable[[Array], Array]:
    factor = lax.stop_gradient(solution.factor)
    if factor is None:  # a solver that keeps none
        params = lax.stop_gradient(solution.params)
        return lambda right: _by_factor(problem, params, right)
    if isinstance(factor, DualFactor):
        # The gram, which is not used here, is not computed.
        span = dual_basis(problem.samples)
        return lambda right: factor.inverse(span, right)
    return factor.solve


def _is_zero(leaf: Any) -> bool:
    return isinstance(leaf, SymbolicZero)


def _no_change(tree: Any) -> Any:
    def zero(leaf: Array) -> Any:
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            return jnp.zeros_like(leaf)
        return np.zeros(leaf.shape, jax.dtypes.float0)

    return jax.tree.map(zero, tree)

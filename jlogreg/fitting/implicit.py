"""Derivatives of the minimum in the data, and H^-1 times anything.

At the minimum the gradient is zero whatever the data, so H dtheta = -d(gradient), the
second derivative taken along the change of the data; equation (20) of
docs/derivation.md. No iteration is unrolled: one linear system is solved with H,
forward and in reverse alike, since H is symmetric.
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
from jlogreg.data.samples import Samples
from jlogreg.fitting.options import formulation_of
from jlogreg.fitting.solve import center_problem
from jlogreg.formulations.problem import (
    Problem,
    Solution,
    cost_and_slope,
    restricted,
    to_params,
    to_vector,
)
from jlogreg.formulations.sparse.composite import on_support
from jlogreg.objective.cost import hessian_along
from jlogreg.solvers.conjugate_gradients import conjugate_gradients
from jlogreg.solvers.driver import Solver, where
from jlogreg.solvers.newton import Newton

__all__ = [
    "centered_inverse_hessian",
    "differentiable",
    "inverse_hessian",
    "solve_hessian",
]

# Iterations that refine a solution with H. With H's own factor one or two do.
MAX_REFINE_ITERATIONS = 250

Solve = Callable[..., Solution]


def differentiable(solve: Solve) -> Solve:
    """Return solve(solver, problem, *rest) with derivatives in the problem.

    The rest, start and limits, does not move the minimum: its derivative is 0.
    """
    function = jax.custom_jvp(solve, nondiff_argnums=(0,))

    def rule(
        solver: Solver, primals: tuple[Any, ...], tangents: tuple[Any, ...]
    ) -> tuple[Solution, Solution]:
        solution = function(solver, *primals)
        return solution, _tangent(solver, primals[0], tangents[0], solution)

    function.defjvp(rule, symbolic_zeros=True)
    return function


def _tangent(
    solver: Solver, problem: Problem, change: Problem, solution: Solution
) -> Solution:
    """Return the change of the solution with that of the problem; equation (20)."""
    # A failed fit can be left out of a sum that is differentiated: what is not finite
    # in its data or parameters is replaced, since reverse mode multiplies it by zeros.
    # Its derivative is NaN below.
    problem = _finite(problem)
    leaves, tree = jax.tree.flatten(problem)
    changes = jax.tree.leaves(change, is_leaf=_is_zero)
    # Only the leaves that change take part: for the penalty alone that saves passes.
    moving = [i for i, leaf in enumerate(changes) if not _is_zero(leaf)]
    still = _no_change(solution)
    if not moving:
        return still
    converged = solution.status == Status.CONVERGED
    params = where(
        converged, solution.params, jax.tree.map(jnp.ones_like, solution.params)
    )
    solution = solution._replace(params=params)

    def at(moved: list[Array]) -> tuple[Array, Array]:
        now = list(leaves)
        for i, leaf in zip(moving, moved, strict=True):
            now[i] = leaf
        moved_problem: Problem = jax.tree.unflatten(tree, now)
        return cost_and_slope(on_support(moved_problem, params), params)

    # The change of cost and gradient with the data alone, at the solution.
    here, along = [leaves[i] for i in moving], [changes[i] for i in moving]
    (_, slope), (dJ, dslope) = jax.jvp(at, (here,), (along,))
    # H dtheta = -d(gradient); the cost changes with the parameters, too.
    face = on_support(problem, params)
    dtheta = solve_hessian(solver, face, solution, -dslope)
    dcost = dJ + jnp.sum(jnp.where(converged, slope, 1.0) * dtheta)
    return still._replace(params=to_params(dtheta), cost=dcost)


def _finite(problem: Problem) -> Problem:
    """Return the problem with 0 for every number that is not finite."""
    X, *rows = problem.samples

    def zero_nonfinite(row: Array) -> Array:
        return jnp.where(jnp.isfinite(row), row, 0.0)

    given = (rows, problem.l2, problem.l1, problem.jeffreys)
    rows, l2, l1, jeffreys = jax.tree.map(zero_nonfinite, given)
    samples = Samples(X.zero_nonfinite(), *rows)
    return Problem(samples, l2, problem.free, l1, jeffreys)


def solve_hessian(
    solver: Solver,
    problem: Problem,
    solution: Solution,
    right: Float[Array, "n+1 1"],
) -> Float[Array, "n+1 1"]:
    """Return H^-1 right at a solution; NaN where it has not converged.

    Zero stays zero, so that a failed problem can be left out of a sum that is
    differentiated.
    """
    samples = problem.samples
    eps = float(np.finfo(right.dtype).eps)
    converged = solution.status == Status.CONVERGED
    multiply = _hessian_map(problem, solution.params)

    def solve(_multiply: Any, right: Array) -> Array:
        # Refine to all digits; the factor of the solution is nearly H^-1.
        params, factor = lax.stop_gradient((solution.params, solution.factor))
        formulation = formulation_of(solver, samples.X, problem.l2)
        inverse = formulation.inverse_hessian(problem, params, factor)
        tolerance = jnp.asarray(4 * eps, right.dtype)
        most = min(MAX_REFINE_ITERATIONS, 2 * right.shape[0])
        solved = conjugate_gradients(multiply, right, inverse, tolerance, most)
        x = jnp.where(converged, solved.x, jnp.nan)
        return jnp.where((right == 0).all(), 0.0, x)

    return lax.custom_linear_solve(multiply, right, solve, symmetric=True)


def inverse_hessian(
    problem: Problem, params: Params, right: Float[Array, "n+1 c"]
) -> Float[Array, "n+1 c"]:
    """Return H^-1 right at any parameters, without the factor of a solver.

    In centred unknowns, where features that are far from zero keep their digits;
    equation (28).
    """
    problem, centering = center_problem(problem)
    right = centering.gradient_to_centered(right)
    solved = centered_inverse_hessian(problem, centering.to_centered(params), right)
    return centering.step_to_original(solved)


def centered_inverse_hessian(
    problem: Problem, params: Params, right: Float[Array, "n+1 c"]
) -> Float[Array, "n+1 c"]:
    """Return H^-1 right of a problem that is in centred unknowns already."""
    right = restricted(right, problem.free)
    multiply = _hessian_map(problem, params)

    def each(columns: Array) -> Array:
        return jax.vmap(multiply, 1, 1)(columns[:, :, None])[:, :, 0]

    def solve(_multiply: Any, right: Array) -> Array:
        # The derivatives are linear solves, too; a factorization has no transpose.
        fixed, at = lax.stop_gradient((problem, params))
        formulation = formulation_of(Newton(), fixed.samples.X, fixed.l2)
        return formulation.inverse_hessian(fixed, at, None)(right)

    return lax.custom_linear_solve(each, right, solve, symmetric=True)


def _hessian_map(problem: Problem, params: Params) -> Callable[[Array], Array]:
    """Return H as a map of vectors (n + 1, 1)."""
    samples, l2, free, _, jeffreys = problem

    def multiply(vector: Array) -> Array:
        step = to_params(restricted(vector, free))
        product = to_vector(hessian_along(params, step, samples, l2, jeffreys))
        product = restricted(product, free)
        return product if free is None else product + (1 - free) * vector

    return multiply


def _is_zero(leaf: Any) -> bool:
    return isinstance(leaf, SymbolicZero)


def _no_change(tree: Any) -> Any:
    def zero(leaf: Array) -> Any:
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            return jnp.zeros_like(leaf)
        return np.zeros(leaf.shape, jax.dtypes.float0)

    return jax.tree.map(zero, tree)

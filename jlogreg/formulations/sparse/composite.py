"""The formulation with an L1 penalty: w above b, a smooth cost and a penalty apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxtyping import Array, Float

from jlogreg.base.params import Params
from jlogreg.formulations.primal import PRIMAL, primal_objective
from jlogreg.formulations.problem import (
    Formulation,
    Limits,
    Prepared,
    Problem,
    Solution,
    SolveState,
    l1_weights,
    solution_of,
    start_vector,
    to_params,
    to_vector,
)
from jlogreg.formulations.sparse.duality import duality_gap, gap_tolerance
from jlogreg.objective.penalties import L1
from jlogreg.solvers.driver import Evaluation, Solver
from jlogreg.solvers.proximal.proximal_newton import CompositeObjective

__all__ = ["COMPOSITE", "Composite", "on_support"]


class Composite:
    """The cost with an L1 penalty; problems share nothing but the features."""

    def shared(self, problem: Problem, penalties_differ: bool) -> None:
        """Return nothing."""

    def own(self, problem: Problem, shared: None) -> None:
        """Return nothing."""

    def objective(
        self, problem: Problem, shared: None, prepared: Prepared, tol: Array
    ) -> CompositeObjective:
        """Return the cost as a smooth function of w above b, and a penalty."""
        smooth = primal_objective(problem, prepared, tol)
        penalty, at_zero = L1(l1_weights(problem)), prepared.value_at_zero

        def gap(point: Array, evaluation: Evaluation) -> tuple[Array, Array]:
            J = evaluation.value + penalty.value(point)
            most = gap_tolerance(point, evaluation.curvature, at_zero, tol)
            return duality_gap(problem, point, evaluation, J), most

        return CompositeObjective(smooth.evaluate, penalty, gap, at_zero, tol)

    def initial(
        self,
        solver: Solver,
        problem: Problem,
        shared: None,
        init: Params | None,
        limits: Limits,
    ) -> Float[Array, "n+1 1"]:
        """Return init, or zero."""
        return start_vector(problem, init)

    def finish(
        self,
        solver: Solver,
        problem: Problem,
        shared: None,
        solve: SolveState,
        init: Params | None,
        limits: Limits,
    ) -> Solution:
        """Return the solution, with its distance to the subdifferential."""
        state, penalty = solve.state, L1(l1_weights(problem))
        solution = solution_of(state, to_params(state.point), None)
        distance = penalty.subdiff_distance(state.point, to_vector(solution.gradient))
        return solution._replace(gradient=to_params(distance), gap=state.memory)

    def inverse_hessian(
        self, problem: Problem, params: Params, factor: Any
    ) -> Callable[[Array], Array]:
        """Return H^-1 at params among the unknowns that are free."""
        return PRIMAL.inverse_hessian(problem, params, factor)


def on_support(problem: Problem, params: Params) -> Problem:
    """Return the problem in which weights at 0 that have an L1 penalty stay there.

    On its support the minimum moves with the data as that of a smooth cost; equation
    (54) of docs/derivation.md.
    """
    if problem.l1 is None:
        return problem
    moves = L1(l1_weights(problem)).generalized_support(to_vector(params))
    free = moves.astype(params.w.dtype)
    if problem.free is not None:
        free = free * problem.free
    return problem._replace(free=free)


COMPOSITE: Formulation = Composite()

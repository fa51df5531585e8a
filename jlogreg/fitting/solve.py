"""Search for the minimum, at once or in parts.

`share` prepares what depends on the features and the penalty, so that problems share
it; `begin`, `proceed` and `finish` are of one problem, and map over many.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool

from jlogreg.base.params import Params
from jlogreg.base.status import Status
from jlogreg.formulations.dual import DUAL, dual_applies
from jlogreg.formulations.matrix_free import MATRIX_FREE
from jlogreg.formulations.primal import PRIMAL
from jlogreg.formulations.problem import (
    Coordinates,
    Limits,
    Problem,
    Solution,
    SolveState,
    to_vector,
    whole,
)
from jlogreg.objective.cost import total_weight
from jlogreg.solvers.driver import Solver, run_solver
from jlogreg.solvers.newton import Newton

__all__ = ["advance", "coordinates_of", "finalize", "init_state", "setup", "solve"]


def coordinates_of(solver: Solver, problem: Problem) -> Coordinates:
    """Return the coordinates in which a solver searches, by the problem's shapes."""
    if not isinstance(solver, Newton):
        return MATRIX_FREE
    spans = dual_applies(problem.samples.X, problem.l2)
    return DUAL if spans else PRIMAL


def solve(
    solver: Solver, problem: Problem, init: Params | None, tol: Array, max_steps: Array
) -> Solution:
    """Return where the solver ends, and what that means."""
    limits, shared = Limits(tol, max_steps), setup(solver, problem)
    begun = init_state(solver, problem, shared, init, limits)
    begun = advance(solver, problem, shared, begun, limits)
    return finalize(solver, problem, shared, begun, init, limits)


def setup(solver: Solver, problem: Problem, penalties_differ: bool = False) -> Any:
    """Return what problems share whose features are the same.

    Args:
        solver: what takes the steps.
        problem: the features, and the penalty of all.
        penalties_differ: whether each has a penalty of its own.
    """
    return coordinates_of(solver, problem).share(problem, penalties_differ)


def init_state(
    solver: Solver, problem: Problem, shared: Any, init: Params | None, limits: Limits
) -> SolveState:
    """Return a search before its first step."""
    way, zero = coordinates_of(solver, problem), jnp.zeros((), limits.tol.dtype)
    bad = _is_invalid(problem, zero if init is None else to_vector(init))
    bad |= ~jnp.isfinite(limits.tol) | (limits.max_steps < 0)
    status = jnp.where(bad, Status.BAD_INPUT, Status.MAX_STEPS).astype(jnp.int32)
    known, own = whole(problem.samples), way.prepare(problem, shared)
    most = jnp.where(bad, -1, limits.max_steps)  # nothing to do, then
    start = way.start(solver, problem, shared, init, Limits(limits.tol, most))
    objective = way.objective(problem, known, shared, own, limits.tol)
    state = solver.init(objective, start)
    return SolveState(known, own, state._replace(status=status))


def advance(
    solver: Solver,
    problem: Problem,
    shared: Any,
    begun: SolveState,
    limits: Limits,
    passes: int | None = None,
) -> SolveState:
    """Return the search after some more passes over the samples, or at its end."""
    objective = coordinates_of(solver, problem).objective(
        problem, begun.known, shared, begun.own, limits.tol
    )
    state = run_solver(solver, objective, begun.state, limits.max_steps, passes)
    return begun._replace(state=state)


def finalize(
    solver: Solver,
    problem: Problem,
    shared: Any,
    begun: SolveState,
    init: Params | None,
    limits: Limits,
) -> Solution:
    """Return what a search has found when it is at its end."""
    X = problem.samples.X
    found = coordinates_of(solver, problem).end(
        solver, problem, shared, begun, init, limits
    )

    # X is looked through for what is not finite only where something went wrong.
    status = lax.cond(
        found.status == Status.NONFINITE,
        lambda: jnp.where(X.finite().all(), Status.NONFINITE, Status.BAD_INPUT),
        lambda: found.status.astype(jnp.asarray(Status.BAD_INPUT).dtype),
    ).astype(jnp.int32)

    def unless_bad(value: Array) -> Array:
        return jnp.where(status == Status.BAD_INPUT, jnp.nan, value)

    return found._replace(
        params=jax.tree.map(unless_bad, found.params),
        status=status,
        steps=jnp.maximum(found.steps, 0),
        cost=unless_bad(found.cost),
        gradient_norm=unless_bad(found.gradient_norm),
        decrement=unless_bad(found.decrement),
    )


def _is_invalid(problem: Problem, start: Array) -> Bool[Array, ""]:
    """Return whether a number is out of range; `check_data` has made it NaN."""
    (_, *rows), l2 = problem
    numbers = [*(row for row in rows if row is not None), l2, start]
    bad = jnp.stack([~jnp.isfinite(number).all() for number in numbers]).any()
    return bad | ~(jnp.asarray(total_weight(problem.samples)) > 0)

"""Take Newton steps, as long as they lower the value."""

from __future__ import annotations

from dataclasses import dataclass

import jax
from jaxtyping import Array, Float

from jlogreg.solvers.driver import (
    Direction,
    Evaluation,
    Objective,
    State,
    first_state,
    where,
)
from jlogreg.solvers.line_search import set_direction, try_step

__all__ = ["Newton"]


@jax.tree_util.register_static
@dataclass(frozen=True)
class Newton:
    """Minimise by Newton's method, with the Cholesky factor of the Hessian.

    A step is one pass over the data for cost, gradient and Hessian at a trial point,
    and a factorisation of (n + 1, n + 1); where there are more features than samples,
    of (m, m). A trial that does not lower the cost is taken back, and the step cut.
    Equation (18) of docs/derivation.md; Boyd and Vandenberghe, Convex Optimization,
    9.5.

    Args:
        keep_factor: whether to keep the factor for derivatives of the fit; it takes
            memory where there are many problems, and `fit_many` keeps none.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import Newton, fit
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> print(f"J = {fit(X, y, solver=Newton()).cost:.4f}")
        J = 0.4130
    """

    keep_factor: bool = True

    def init(self, objective: Objective, start: Float[Array, "k 1"]) -> State:
        """Return the state before the first look at the objective."""
        state = first_state(objective, start)
        return state._replace(
            evaluation=_kept(state.evaluation), direction=self._kept(state.direction)
        )

    def step(self, objective: Objective, state: State) -> State:
        """Return the state after a trial of the whole step, or of what was left."""
        assert objective.direction is not None
        step = state.step_size * state.direction.vector
        found = objective.evaluate(state.point + step, step)
        direction = self._kept(objective.direction(found))
        after, trial = try_step(objective, state, _kept(found))
        direction = where(trial.accept, direction, state.direction)
        return set_direction(after, direction, trial)

    def _kept(self, direction: Direction) -> Direction:
        return direction if self.keep_factor else direction._replace(factor=None)


def _kept(evaluation: Evaluation) -> Evaluation:
    """Return what is kept of an evaluation: not a Hessian, of which there is a factor.

    To carry it along would take as long as to compute it.
    """
    matrix = evaluation.curvature.shape[1] > 1
    return evaluation._replace(curvature=None) if matrix else evaluation

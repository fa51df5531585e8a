"""Newton's method with a formed Hessian."""

from __future__ import annotations

from dataclasses import dataclass

import jax
from jaxtyping import Array, Float

from jlogreg.solvers.driver import (
    DenseObjective,
    Direction,
    Evaluation,
    State,
    first_state,
    where,
)
from jlogreg.solvers.line_search import set_direction, try_step

__all__ = ["Newton"]


@jax.tree_util.register_static
@dataclass(frozen=True)
class Newton:
    """Newton's method, with the Cholesky factor of the Hessian.

    A step is one pass over the data for cost, gradient and Hessian at a trial point,
    and a factorization of (n + 1, n + 1); with more features than samples, of (m, m). A
    trial that does not lower the cost is taken back, and the step shortened. Equation
    (18) of docs/derivation.md; Boyd and Vandenberghe, Convex Optimization, 9.5.

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

    def init(self, objective: DenseObjective, start: Float[Array, "k 1"]) -> State:
        """Return the state before the first evaluation."""
        evaluation = jax.eval_shape(objective.evaluate, start, start)
        flag = jax.ShapeDtypeStruct((), bool)
        factor = jax.eval_shape(objective.newton_direction, evaluation, flag).factor
        return first_state(
            _without_matrix(evaluation),
            start,
            factor=factor if self.keep_factor else None,
        )

    def step(self, objective: DenseObjective, state: State) -> State:
        """Return the state after a trial of the whole step, or of a shorter one."""
        step = state.step_size * state.direction.vector
        trial_point = objective.evaluate(state.point + step, step)
        after, trial = try_step(
            objective.value_at_zero, objective.tol, state, _without_matrix(trial_point)
        )
        direction = self._kept(
            objective.newton_direction(trial_point, trial.within_tolerance)
        )
        direction = where(trial.accept, direction, state.direction)
        return set_direction(after, direction, trial)

    def _kept(self, direction: Direction) -> Direction:
        return direction if self.keep_factor else direction._replace(factor=None)


def _without_matrix(evaluation: Evaluation) -> Evaluation:
    """Return an evaluation without its Hessian, of which there is a factor.

    To carry it along would take as long as to compute it. A curvature that is a column
    stays.
    """
    is_matrix = jax.tree.leaves(evaluation.curvature)[0].shape[1] > 1
    return evaluation._replace(curvature=None) if is_matrix else evaluation

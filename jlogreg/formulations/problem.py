"""The problem, its solution, and the protocol that every formulation answers.

A formulation is the cost as a solver sees it: a function of one vector of unknowns. It
knows what problems on the same features can share, where to start, and what the end of
the solver means for the parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jlogreg.base.params import Params
from jlogreg.data.samples import Samples
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss
from jlogreg.objective.cost import objective
from jlogreg.objective.jeffreys import Jeffreys
from jlogreg.objective.penalties import L1
from jlogreg.solvers.driver import DenseObjective, MatrixFreeObjective, Solver, State
from jlogreg.solvers.proximal.proximal_newton import CompositeObjective

__all__ = [
    "Formulation",
    "Limits",
    "Prepared",
    "Problem",
    "Solution",
    "SolveState",
    "cost_and_slope",
    "l1_weights",
    "penalties",
    "prepare",
    "restricted",
    "restricted_matrix",
    "ridge",
    "rounding_decrement",
    "solution_of",
    "start_vector",
    "to_params",
    "to_vector",
]


class Problem(NamedTuple):
    """The arguments that a fit is differentiated in: samples and penalties.

    Shapes: samples of X (n, m); l2 () or (n, 1); free (n + 1, 1), 1 for an unknown that
    is free, 0 for one that stays 0, such as the bias of a model without one. None where
    all are free. l1 () or (n, 1), None where there is no such penalty. jeffreys is the
    prior, None where there is none.
    """

    samples: Samples
    l2: Array
    free: Float[Array, "n+1 1"] | None = None
    l1: Array | None = None
    jeffreys: Jeffreys | None = None


class Limits(NamedTuple):
    """The limits of a solve: the tolerance, and the steps at most."""

    tol: Array
    max_steps: Array


class Prepared(NamedTuple):
    """What one problem computes once, before its first step.

    total_weight () divides the sums; value_at_zero () is the cost at w = 0, b = 0; own
    is the formulation's.
    """

    total_weight: Array
    value_at_zero: Float[Array, ""]
    own: Any


class SolveState(NamedTuple):
    """The state of a solve: what the problem has prepared, and the solver's state."""

    prepared: Prepared
    state: State


class Solution(NamedTuple):
    """The end of a solve, and the factor that the solver has kept.

    Shapes: params and gradient w (n, 1), b (1, 1); the others (). rounding is roughly
    how far the roundings of the gradient may move the minimum; several says that there
    is another minimum, as high or higher, and is None without a prior. The factor is
    the formulation's: it makes `inverse_hessian` cheap. gap () is the duality gap of a
    problem with l1, where the gradient is the distance to the subdifferential.
    """

    params: Params
    status: Int[Array, ""]
    steps: Int[Array, ""]
    cost: Float[Array, ""]
    gradient: Params
    decrement: Float[Array, ""]
    rounding: Float[Array, ""]
    several: Bool[Array, ""] | None
    factor: Any
    gap: Float[Array, ""] | None = None


class Formulation(Protocol):
    """The cost as a solver sees it, for one set of unknowns."""

    def shared(self, problem: Problem, penalties_differ: bool) -> Any:
        """Return what problems on the same features share.

        Args:
            problem: the features, which samples count, and the penalty.
            penalties_differ: whether each problem has a penalty of its own.
        """

    def own(self, problem: Problem, shared: Any) -> Any:
        """Return what the problem prepares of its own, given the shared part."""

    def objective(
        self, problem: Problem, shared: Any, prepared: Prepared, tol: Array
    ) -> DenseObjective | MatrixFreeObjective | CompositeObjective:
        """Return the cost as a function of the unknowns."""

    def initial(
        self,
        solver: Solver,
        problem: Problem,
        shared: Any,
        init: Params | None,
        limits: Limits,
    ) -> Array:
        """Return the unknowns to start from: those of init, or a first guess."""

    def finish(
        self,
        solver: Solver,
        problem: Problem,
        shared: Any,
        solve: SolveState,
        init: Params | None,
        limits: Limits,
    ) -> Solution:
        """Return the solution that the end of the solver means."""

    def inverse_hessian(
        self, problem: Problem, params: Params, factor: Any
    ) -> Callable[[Array], Array]:
        """Return H^-1 at params, as a map of (n + 1, c), or an approximation of it.

        Args:
            problem: the samples and the penalty.
            params: where H is taken.
            factor: that of a solution at params; None to compute one.
        """


def to_vector(params: Params) -> Float[Array, "n+1 1"]:
    """Return w above b."""
    return jnp.concatenate([params.w, params.b])


def start_vector(problem: Problem, init: Params | None) -> Float[Array, "n+1 1"]:
    """Return w above b of the start, zero by default."""
    if init is not None:
        return to_vector(init)
    X = problem.samples.X
    return jnp.zeros((X.shape[0] + 1, 1), X.dtype)


def to_params(point: Float[Array, "n+1 1"]) -> Params:
    """Return the Params of w above b."""
    return Params(w=point[:-1], b=point[-1:])


def ridge(problem: Problem) -> Float[Array, "n+1 1"]:
    """Return the penalty of every parameter: l2 for w, above 0 for b."""
    w = jnp.broadcast_to(problem.l2, (problem.samples.X.shape[0], 1))
    return jnp.concatenate([w, jnp.zeros((1, 1), w.dtype)])


def l1_weights(problem: Problem) -> Float[Array, "n+1 1"]:
    """Return the L1 penalty of every parameter: l1 for w, above 0 for b."""
    l1 = jnp.zeros_like(problem.l2) if problem.l1 is None else problem.l1
    return ridge(problem._replace(l2=l1))


def penalties(problem: Problem) -> Float[Array, "n+1 1"]:
    """Return the sum of both penalties of every parameter; 0 where it has none."""
    only_l2 = problem.l1 is None
    return ridge(problem) if only_l2 else ridge(problem) + l1_weights(problem)


def restricted(
    vector: Float[Array, "n+1 c"], free: Float[Array, "n+1 1"] | None
) -> Float[Array, "n+1 c"]:
    """Return a gradient or a step with 0 for the unknowns that are not free."""
    return vector if free is None else vector * free


def restricted_matrix(
    matrix: Float[Array, "n+1 n+1"], free: Float[Array, "n+1 1"] | None
) -> Float[Array, "n+1 n+1"]:
    """Return a Hessian with rows of the identity for the unknowns that are not free.

    So it has an inverse, which leaves them out.
    """
    if free is None:
        return matrix
    return matrix * free * free.T + jnp.diag(1 - free[:, 0])


def cost_and_slope(
    problem: Problem, params: Params
) -> tuple[Float[Array, ""], Float[Array, "n+1 1"]]:
    """Return the cost J of a problem, and its gradient where unknowns are free.

    A weight at 0 counts as one without an L1 penalty.
    """
    J, slope = objective(params, problem.samples, problem.l2, problem.jeffreys)
    vector = to_vector(slope)
    if problem.l1 is not None:
        penalty = L1(l1_weights(problem))
        J += penalty.value(to_vector(params))
        vector += penalty.slope(to_vector(params))
    return J, restricted(vector, problem.free)


def prepare(samples: Samples, own: Any = None) -> Prepared:
    """Return what a problem prepares, with the formulation's own part."""
    total_weight = jnp.asarray(samples.total_weight(), samples.y.dtype)
    z = jnp.zeros_like(samples.y) if samples.offset is None else samples.offset
    losses = samples.weighted(log_loss(FAST, z, samples.y))
    return Prepared(total_weight, losses.sum() / total_weight, own)


def solution_of(state: State, params: Params, factor: Any) -> Solution:
    """Return the solution that a solver's state stands for."""
    eps = float(np.finfo(params.b.dtype).eps)
    return Solution(
        params=params,
        status=state.status,
        steps=state.steps,
        cost=state.evaluation.value,
        gradient=to_params(state.evaluation.gradient),
        decrement=state.direction.decrement,
        rounding=state.evaluation.rounding + eps * state.direction.inflation,
        several=jnp.zeros((), bool),
        factor=factor,
    )


def rounding_decrement(pearson: Array, m: Array) -> Array:
    """Return a bound of the decrement of the rounding errors of the gradient.

    With an error of eps dz_i in each term, e = X eT / m is X diag(v s) times e / (v s),
    so that eT H^-1 e is at most eps^2 sum_i v_i dz_i^2 / s_i / m: Pearson's statistic.
    """
    return float(np.finfo(pearson.dtype).eps) * jnp.sqrt(pearson / m)

"""The fit of one model: the minimum of the cost, and how the solve ended."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jlogreg.base.arrays import largest
from jlogreg.base.checks import AnyArray
from jlogreg.base.formatting import as_html, brief, record_text
from jlogreg.base.params import Params, check_params
from jlogreg.base.programs import is_tracing, program
from jlogreg.base.status import Status, count_statuses, name_statuses
from jlogreg.data.design import Design
from jlogreg.fitting.implicit import differentiable
from jlogreg.fitting.many_features.working_sets import fit_on_working_sets
from jlogreg.fitting.options import (
    MAX_FEATURES,
    check_l1_solver,
    check_limits,
    check_start,
    choose_solver,
    free_unknowns,
)
from jlogreg.fitting.outcome.decide import is_open
from jlogreg.fitting.solve import center_problem, solve
from jlogreg.formulations.problem import Limits, Problem, Solution, to_vector
from jlogreg.objective.cost import prepare_data
from jlogreg.objective.penalties import check_l1
from jlogreg.solvers.driver import Solver

__all__ = ["Fit", "fit"]


class Fit(NamedTuple):
    """A fitted model, and how the fit ended.

    Shapes: params w (n, 1), b (1, 1), the others (); for many problems each with a
    leading axis. status is a Status; steps counts the trial steps after the evaluation
    of the start; cost is J; gradient_norm the largest |entry| of dw and db; decrement
    sqrt(gT H^-1 g): the cost is about half of its square above the minimum. With l1,
    gradient_norm is the largest distance of an entry of the gradient to where it may
    be, decrement that of the model with the penalty, and gap the duality gap of
    equation (51) of docs/derivation.md, which bounds how far the cost is above the
    minimum. With jeffreys, several says that another minimum was found, and that this
    is the lower one. Without these penalties gap and several are None.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> found = fit(X, y)
        >>> found.status_name, bool(found.converged), found.params.w.shape
        ('CONVERGED', True, (1, 1))
    """

    params: Params
    status: Int[Array, ""]
    steps: Int[Array, ""]
    cost: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    decrement: Float[Array, ""]
    gap: Float[Array, ""] | None = None
    several: Bool[Array, ""] | None = None

    @property
    def converged(self) -> Bool[Array, ""]:
        """Whether the fit is the minimum: status is CONVERGED."""
        return self.status == Status.CONVERGED

    @property
    def status_name(self) -> Any:
        """The name of the status; on the host. An array of names for many problems."""
        return name_statuses(self.status)

    def __repr__(self) -> str:
        """Return the fields with few numbers each, however large they are."""
        return record_text("Fit", self._described())

    def _repr_html_(self) -> str:
        return as_html(self._described())

    def _described(self) -> dict[str, str]:
        given = {
            name: leaf for name, leaf in self._asdict().items() if leaf is not None
        }
        described = {name: brief(leaf) for name, leaf in given.items()}
        return {**described, "status": count_statuses(self.status)}

    @classmethod
    def of(cls, solution: Solution) -> Fit:
        """Return the Fit of a solution."""
        gradient_norm = largest(jnp.abs(to_vector(solution.gradient)))
        fields = {**solution._asdict(), "gradient_norm": gradient_norm}
        return cls(*(fields[name] for name in cls._fields))


def fit(
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
    l1: Any = 0.0,
    jeffreys: Any = 0.0,
    bias: bool = True,
    solver: Solver | None = None,
    init: Params | None = None,
    tol: Any = None,
    max_steps: Any = None,
) -> Fit:
    """Return the parameters that minimise the cost, and how the search ended.

    Shapes: X (n, m), y (1, m) in [0, 1]; result Fit, with cost in nats. The cost is
    that of equation (8) of docs/derivation.md, with l1 of (47), with jeffreys of (55).
    Only a status of CONVERGED is an answer; `raise_if_failed` turns any other into an
    error that says what to do. Derivatives in X, y, weight, offset, l2, l1 and
    jeffreys, forward and reverse, are exact at the minimum, by equation (20), with l1
    by (54); where the fit failed they
    are NaN.

    Args:
        X: features, a column per sample: an array, a BCOO or a design.
        y: labels.
        weight: (1, m), at least 0; a weight of 2 counts a sample twice, a weight of 0
            excludes it, whatever it contains.
        offset: (1, m), added to the logits.
        l2: penalty of half the squares of w, a number or one per feature (n, 1), at
            least 0.
        l1: penalty of the sizes |w|, likewise; it makes weights exactly 0. A known 0
            is no such penalty; a traced one may be 0.
        jeffreys: at least 0, the strength of Jeffreys' prior; 1/2 gives Firth's
            estimate, which is finite where a plane separates the labels and has less
            bias in small samples. Weights are counts with it. It needs Newton(), at
            most 512 features, as many samples as parameters, and no l1. The cost may
            have several minima: another one is looked for, and `several` says if one
            was found. A known 0 is no prior, a traced 0 as any other number.
        bias: whether the model has a bias; without one b stays 0.
        solver: Newton(), NewtonCG(), LBFGS(), Optax(...) or, for l1,
            ProximalNewton(), the default there; outside of transformations, on working
            sets of features if there are many. By default, without l1, for n features
            and m samples: Newton() up to n = 512; with m < n, one penalty and X an
            array on one device, where Newton() solves the dual formulation, up to
            m = 2048; else NewtonCG().
        init: where to start; zero if that costs less.
        tol: a fit has converged when a whole Newton step changed no logit by more than
            this, and the decrement before it was no larger. Newton's method leaves
            about tol^2 / 2 of an error; by default tol = 2 sqrt(eps), 3.0e-8 in
            float64 and 6.9e-4 in float32, so that is a rounding or two. Below 4 eps it
            counts as 4 eps; at most 0.1. With l1 the duality gap must be none, too:
            at most tol^2 of the cost of w = 0, b = 0, or some roundings.
        max_steps: steps at most; by default 500, for Optax 10 000.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape; with jeffreys, if there are more parameters than samples.
        ValueError: if a number is out of range, NaN or infinite. If it is traced the
            status is BAD_INPUT instead and the parameters are NaN. If jeffreys has
            another solver than Newton().

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> found = fit(X, y)
        >>> print(f"w = {found.params.w[0, 0]:.3f}, J = {found.cost:.4f}")
        w = 1.214, J = 0.4130
        >>> y = jnp.array([[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]])  # separated
        >>> print(f"w = {fit(X, y, jeffreys=0.5).params.w[0, 0]:.3f}")
        w = 1.129
    """
    given = (X, y, weight, offset, l2, jeffreys, bias)
    samples, l2, prior = prepare_data(*given)
    n, dtype = samples.X.shape[0], samples.X.dtype
    free = free_unknowns(bias, n, dtype)
    solver, l1 = check_l1_solver(solver, check_l1(l1, n, dtype), dtype, prior)
    solver = solver or choose_solver(samples.X, l2)
    if init is not None:
        init = check_params(init, n, dtype, name="init")
        init = check_start(init, bias, name="init.")
    limits = check_limits(solver, tol, max_steps, dtype)
    problem = Problem(samples, l2, free, l1, prior)
    if l1 is not None and n > MAX_FEATURES and not is_tracing():

        def of_few(problem: Problem, start: Params) -> Fit:
            return _decided(solver, problem, start, limits)

        return fit_on_working_sets(of_few, problem, init)
    return _decided(solver, problem, init, limits)


def _decided(
    solver: Solver, problem: Problem, init: Params | None, limits: Limits
) -> Fit:
    """Return the fit of checked arguments."""
    given = (problem, init, limits)
    # What a solver leaves open is a program of its own, which few fits need; within a
    # transformation, and with a prior, it is part of the one program.
    whole = is_tracing() or problem.jeffreys is not None
    found, left = _fit(solver, whole, *given)
    if not whole and left:
        found, _ = _fit(solver, True, *given)
    return found


@partial(program, static_argnums=(0, 1))
def _fit(
    solver: Solver, decides: bool, problem: Problem, init: Params | None, limits: Limits
) -> tuple[Fit, Bool[Array, ""]]:
    """Return the fit, solved in centred unknowns, and whether its status is open.

    Equation (28) of docs/derivation.md.
    """
    problem, centering = center_problem(problem)
    function = differentiable(partial(solve, decides=decides))
    solution = function(solver, problem, centering.start(init), limits)
    left = is_open(solver, problem, solution, limits)
    return Fit.of(centering.solution(solution, init)), left

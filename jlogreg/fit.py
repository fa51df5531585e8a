"""Fit one model: find the minimum of the cost, and say how it ended."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jlogreg.arrays import Params, check_params
from jlogreg.checks import AnyArray, check_count, check_number, check_range
from jlogreg.coordinates import Limits
from jlogreg.cost import check_data
from jlogreg.design import Design
from jlogreg.errors import DtypeError
from jlogreg.host import as_array, is_traced
from jlogreg.implicit import Solution, differentiable
from jlogreg.objectives import Problem
from jlogreg.search import search
from jlogreg.solvers.descent import Optax
from jlogreg.solvers.driver import Solver
from jlogreg.solvers.newton import Newton
from jlogreg.solvers.newton_cg import NewtonCG
from jlogreg.span import spanned
from jlogreg.status import count_statuses
from jlogreg.text import as_html, brief

__all__ = ["Fit", "check_limits", "check_solver", "choose_solver", "fit"]

# Up to so many unknowns a Hessian is formed: features, or samples where they are fewer.
NEWTON_MOST = 512
SPAN_MOST = 2048


class Fit(NamedTuple):
    """Hold a fitted model, and how the fit ended.

    Shapes: params w (n, 1), b (1, 1), the others (); of many problems each with a
    leading axis. status is a Status; steps counts the trials after the first look; cost
    is J; gradient_norm the largest |entry| of dw and db; decrement sqrt(gT H^-1 g),
    half of whose square the cost is above its minimum, nearly.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import Status, fit
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> found = fit(X, y)
        >>> Status(int(found.status)).name, found.params.w.shape, found.cost.shape
        ('CONVERGED', (1, 1), ())
    """

    params: Params
    status: Int[Array, ""]
    steps: Int[Array, ""]
    cost: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    decrement: Float[Array, ""]

    def __repr__(self) -> str:
        """Return how the fit ended, with few numbers, however many there are."""
        fields = ", ".join(f"{name}={text}" for name, text in self._described().items())
        return f"Fit({fields})"

    def _repr_html_(self) -> str:
        return as_html(self._described())

    def _described(self) -> dict[str, str]:
        described = {name: brief(leaf) for name, leaf in self._asdict().items()}
        return {**described, "status": count_statuses(self.status)}

    @classmethod
    def of(cls, solution: Solution) -> Fit:
        """Return what a solution says, without the factor that it has kept."""
        return cls(*solution[:-1])


def fit(
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
    solver: Solver | None = None,
    init: Params | None = None,
    tol: Any = None,
    max_steps: Any = None,
) -> Fit:
    """Return the parameters that minimise the cost, and how the search ended.

    Shapes: X (n, m), y (1, m) in [0, 1]; result Fit, with cost in nats. The cost is
    that of equation (8) of docs/derivation.md. Only a status of CONVERGED is an
    answer; `raise_if_failed` turns any other into an error that says what to do.
    Derivatives in X, y, weight, offset and l2, forward and reverse, are exact at the
    minimum, by equation (20); where the fit failed they are NaN.

    Args:
        X: features, a column per sample: an array, a BCOO or a design.
        y: labels.
        weight: (1, m), at least 0; a weight of 2 counts a sample twice, a weight of 0
            leaves it out, whatever it contains.
        offset: (1, m), added to the logits.
        l2: penalty, a number or one a feature (n, 1), at least 0.
        solver: Newton(), NewtonCG() or Optax(...). By default, for n features and m
            samples: Newton() up to n = 512; in the span of the samples, which Newton()
            does where m < n with one penalty and X an array, up to m = 2048; else
            NewtonCG().
        init: where to start; zero where it costs less.
        tol: a fit has converged when a whole Newton step changed no logit by more than
            this, and the decrement before it was no larger. Newton's method leaves
            about tol^2 / 2 of an error; by default tol = 2 sqrt(eps), 3.0e-8 in
            float64 and 6.9e-4 in float32, so that is a rounding or two. Below 4 eps it
            counts as 4 eps; at most 0.1.
        max_steps: steps at most; by default 100, for Optax 10 000.

    Raises:
        DtypeError, RankError, ShapeError: an argument is no such array.
        ValueError: a number is out of range, NaN or infinite. Where it is traced the
            status is BAD_INPUT instead and the parameters are NaN.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> found = fit(X, y)
        >>> print(f"w = {found.params.w[0, 0]:.3f}, J = {found.cost:.4f}")
        w = 1.214, J = 0.4130
    """
    samples, l2 = check_data(X, y, weight, offset, l2)
    n, dtype = samples.X.shape[0], samples.X.dtype
    solver = check_solver(solver) or choose_solver(samples.X, l2)
    if init is not None:
        init = check_params(init, n, dtype, name="init")
        init = Params(check_range("init.w", init.w), check_range("init.b", init.b))
    limits = check_limits(solver, tol, max_steps, dtype)
    return Fit.of(_solve(solver, Problem(samples, l2), init, *limits))


def check_solver(solver: Solver | None) -> Solver | None:
    """Return the solver, checked.

    Raises:
        DtypeError: it is none of this library's.
    """
    if solver is None or isinstance(solver, Newton | NewtonCG | Optax):
        return solver
    raise DtypeError(
        f"solver must be Newton(), NewtonCG() or Optax(...), but is {solver!r}"
    )


def check_limits(solver: Solver, tol: Any, max_steps: Any, dtype: Any) -> Limits:
    """Return tolerance and steps as arrays, with their defaults.

    Raises:
        DtypeError, RankError: one is no number.
        ValueError: a number is out of range.
    """
    eps = float(np.finfo(dtype).eps)
    tol = 2 * eps**0.5 if tol is None else tol
    tol = check_range("tol", check_number("tol", tol, dtype), 0.0, 0.1, above=True)
    if max_steps is None:
        max_steps = 10_000 if isinstance(solver, Optax) else 100
    return Limits(jnp.maximum(tol, 4 * eps), _check_steps(max_steps))


def _check_steps(value: Any) -> Int[Array, ""]:
    if not is_traced(value):
        return as_array(check_count("max_steps", value, least=0), jnp.int32)
    if value.ndim or not jnp.issubdtype(value.dtype, jnp.integer):
        raise DtypeError(
            f"max_steps must be a whole number, but is an array of {value.dtype} of "
            f"shape {value.shape}"
        )
    return value.astype(jnp.int32)


def choose_solver(X: Design, l2: Array) -> Solver:
    """Return the solver for a design and a penalty of these shapes."""
    n, m = X.shape
    if spanned(X, l2) and m <= SPAN_MOST:
        return Newton()
    return Newton() if n <= NEWTON_MOST else NewtonCG()


_solve = jax.jit(differentiable(search), static_argnums=0)

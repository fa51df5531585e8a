"""The fits along a path of penalties, each started from the one before."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jlogreg.base.checks import AnyArray, check_matrix, check_range
from jlogreg.base.params import Params, check_bias, init_params
from jlogreg.base.programs import program
from jlogreg.base.status import Status
from jlogreg.data.design import Design
from jlogreg.data.samples import Samples
from jlogreg.fitting.fit import Fit, fit
from jlogreg.fitting.options import check_limits, check_solver, choose_solver
from jlogreg.formulations.problem import Limits
from jlogreg.objective.cost import prepare_data
from jlogreg.solvers.driver import Solver, where

__all__ = ["regularization_path"]


def regularization_path(
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    l2: Float[AnyArray, "L 1"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    bias: bool = True,
    solver: Solver | None = None,
    tol: Any = None,
    max_steps: Any = None,
) -> Fit:
    """Return the fit at each penalty, each started from that of the next larger one.

    Shapes: X (n, m), y (1, m), l2 (L, 1) in any order; result Fit with a leading axis
    L in that order. Pure: it works under jit, vmap and differentiation. Arguments
    and errors are those of `fit`; equation (8) of docs/derivation.md.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import regularization_path
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> path = regularization_path(X, y, jnp.array([[0.0], [0.1], [1.0]]))
        >>> [f"{w:.3f}" for w in path.params.w[:, 0, 0]]
        ['1.214', '0.878', '0.344']
    """
    samples, one_penalty, _ = prepare_data(X, y, weight, offset, 0.0)
    dtype = samples.X.dtype
    l2 = check_range("l2", check_matrix("l2", l2, ("L", 1), dtype), 0.0)
    solver = check_solver(solver) or choose_solver(samples.X, one_penalty)
    limits = check_limits(solver, tol, max_steps, dtype)
    return _path(solver, check_bias(bias), samples, l2, limits)


@partial(program, static_argnums=(0, 1))
def _path(
    solver: Solver, bias: bool, samples: Samples, l2: Array, limits: Limits
) -> Fit:
    """Return the fits in the order of the penalties (L, 1), from checked arguments."""
    order = jnp.argsort(-l2[:, 0])
    X, y, weight, offset = samples
    options: dict[str, Any] = {"weight": weight, "offset": offset, "solver": solver}
    options |= {"bias": bias, "tol": limits.tol, "max_steps": limits.max_steps}

    def step(start: Params, penalty: Array) -> tuple[Params, Fit]:
        result = fit(X, y, l2=penalty, init=start, **options)
        converged = result.status == Status.CONVERGED
        return where(converged, result.params, start), result

    start = init_params(X.shape[0], X.dtype)
    _, path = lax.scan(step, start, l2[order, 0])
    back = jnp.argsort(order)
    return jax.tree.map(lambda leaf: leaf[back], path)

"""The fits along a path of penalties, each started from the one before."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jlogreg.base.checks import AnyArray, check_matrix, check_range
from jlogreg.base.params import Params, init_params
from jlogreg.base.status import Status
from jlogreg.data.design import Design, check_design
from jlogreg.fitting.fit import Fit, fit
from jlogreg.solvers.driver import Solver, where

__all__ = ["regularization_path"]


def regularization_path(
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    l2: Float[AnyArray, "L 1"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
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
    X = check_design("X", X)
    n, dtype = X.shape[0], X.dtype
    l2 = check_range("l2", check_matrix("l2", l2, ("L", 1), dtype), 0.0)[:, 0]
    order = jnp.argsort(-l2)

    def step(start: Params, penalty: Array) -> tuple[Params, Fit]:
        result = fit(
            X,
            y,
            weight=weight,
            offset=offset,
            l2=penalty,
            solver=solver,
            init=start,
            tol=tol,
            max_steps=max_steps,
        )
        converged = result.status == Status.CONVERGED
        return where(converged, result.params, start), result

    _, path = lax.scan(step, init_params(n, dtype), l2[order])
    back = jnp.argsort(order)
    return jax.tree.map(lambda leaf: leaf[back], path)

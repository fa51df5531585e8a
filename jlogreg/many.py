"""Fit many problems that share their features: problems are mapped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jlogreg.arrays import Params
from jlogreg.checks import AnyArray
from jlogreg.design import Design
from jlogreg.fit import Fit, fit
from jlogreg.solvers.driver import Solver

__all__ = ["Progress", "fit_many"]


class Progress(NamedTuple):
    """Hold how far a call has come; the arrays are its own, and go on changing.

    Shapes: finished (K, 1), fit with a leading axis K, its rows meaningful where
    finished. per_second counts the problems finished since the call began.
    """

    finished: Bool[Any, "K 1"]
    fit: Fit
    per_second: float


def fit_many(
    X: Float[AnyArray, "n m"] | Design,
    Y: Float[AnyArray, "K m"],
    *,
    weight: Float[AnyArray, "K m"] | None = None,
    offset: Float[AnyArray, "K m"] | None = None,
    l2: Any = 0.0,
    solver: Solver | None = None,
    init: Params | None = None,
    tol: Any = None,
    max_steps: Any = None,
    memory_limit: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    resume: Progress | None = None,
) -> Fit:
    """Fit."""
    rows = [Y, weight, offset]
    l2 = jnp.asarray(l2, X.dtype)
    K = max([len(r) for r in rows if r is not None] + ([len(l2)] if l2.ndim else []))
    axes = [0 if r is not None and len(r) == K and K > 1 else None for r in rows]
    rows = [r[:, None] if a == 0 else r for r, a in zip(rows, axes, strict=True)]

    def one(y, w, o, l2):
        return fit(X, y, weight=w, offset=o, l2=l2.reshape(()), solver=solver, tol=tol)

    return jax.vmap(one, in_axes=(*axes, 0 if l2.ndim else None), axis_size=K)(
        *rows, l2
    )

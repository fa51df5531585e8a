"""The fits along a path of penalties, each started from the one before."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jlogreg.base.checks import AnyArray
from jlogreg.base.params import Params, check_bias, init_params
from jlogreg.base.programs import is_tracing, program
from jlogreg.base.status import Status
from jlogreg.data.design import Design
from jlogreg.data.samples import Samples
from jlogreg.fitting.fit import Fit, fit
from jlogreg.fitting.options import (
    MAX_FEATURES,
    check_l1_solver,
    check_limits,
    choose_solver,
)
from jlogreg.formulations.problem import Limits
from jlogreg.objective.cost import prepare_data
from jlogreg.objective.penalties import check_grid
from jlogreg.solvers.driver import Solver, where

__all__ = ["regularization_path"]


def regularization_path(
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    l2: Any = 0.0,
    *,
    l1: Any = 0.0,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    bias: bool = True,
    relaxed: bool = False,
    solver: Solver | None = None,
    tol: Any = None,
    max_steps: Any = None,
) -> Fit:
    """Return the fit at each penalty, each started from that of the next larger one.

    Shapes: X (n, m), y (1, m), l2 or l1 (L, 1) in any order, or both, row by row, or
    one of them a number; result Fit with a leading axis L in that order. Pure: it works
    under jit, vmap and differentiation. Arguments and errors are those of `fit`;
    equations (8) and (47) of docs/derivation.md.

    Args:
        X: as for `fit`.
        y: as for `fit`.
        l2: penalties of half the squares of w.
        l1: penalties of the sizes |w|.
        weight: as for `fit`.
        offset: as for `fit`.
        bias: as for `fit`.
        relaxed: whether each fit is followed by one without l1 of the features that it
            has chosen, which is then the result (Meinshausen, Computational Statistics
            and Data Analysis 52, 2007). One without a minimum is SEPARATED. A fit that
            has failed is returned as it is.
        solver: as for `fit`.
        tol: as for `fit`.
        max_steps: as for `fit`.

    Raises:
        ValueError: if a number is out of range, or relaxed is true without l1.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import regularization_path
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> path = regularization_path(X, y, jnp.array([[0.0], [0.1], [1.0]]))
        >>> [f"{w:.3f}" for w in path.params.w[:, 0, 0]]
        ['1.214', '0.878', '0.344']
        >>> path = regularization_path(X, y, l1=jnp.array([[0.6], [0.3], [0.1]]))
        >>> [f"{w:.3f}" for w in path.params.w[:, 0, 0]]
        ['0.000', '0.416', '0.842']
        >>> l1 = jnp.array([[0.6], [0.3], [0.1]])
        >>> path = regularization_path(X, y, l1=l1, relaxed=True)
        >>> [f"{w:.3f}" for w in path.params.w[:, 0, 0]]
        ['0.000', '1.214', '1.214']
    """
    samples, one_penalty, _ = prepare_data(X, y, weight, offset, 0.0)
    dtype = samples.X.dtype
    l2, l1 = check_grid(l2, l1, dtype)
    solver, l1 = check_l1_solver(solver, l1, dtype)
    solver = solver or choose_solver(samples.X, one_penalty)
    limits = check_limits(solver, tol, max_steps, dtype)
    l1 = None if l1 is None else jnp.broadcast_to(l1, l2.shape)
    if relaxed and l1 is None:
        raise ValueError("relaxed is about the features that l1 chooses: give l1, too")
    how = (solver, check_bias(bias), bool(relaxed))
    if l1 is not None and samples.X.shape[0] > MAX_FEATURES and not is_tracing():
        return _path_on_working_sets(*how, samples, l2, l1, limits)
    return _path(*how, samples, l2, l1, limits)


def _path_on_working_sets(
    solver: Solver,
    bias: bool,
    relaxed: bool,
    samples: Samples,
    l2: Any,
    l1: Any,
    limits: Limits,
) -> Fit:
    """Return the fits in the order of the penalties (L, 1), one after the other.

    Each begins with the features that have a weight in the one before.
    """
    X, y, weight, offset = samples
    options: dict[str, Any] = {"weight": weight, "offset": offset, "solver": solver}
    options |= {"bias": bias, "tol": limits.tol, "max_steps": limits.max_steps}
    found: dict[int, Fit] = {}
    start = init_params(X.shape[0], X.dtype)
    columns = [-np.asarray(column)[:, 0] for column in (l2, l1)]
    for i in np.lexsort(columns).tolist():
        found[i] = fit(X, y, l2=l2[i, 0], l1=l1[i, 0], init=start, **options)
        if found[i].status == Status.CONVERGED:
            start = found[i].params
        if relaxed:
            found[i] = _refit(found[i], X, y, l2=l2[i, 0], **options)
    rows = [found[i] for i in range(len(l1))]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)


def _refit(found: Fit, X: Any, y: Any, l2: Any, **options: Any) -> Fit:
    """Return the fit without l1 of the features that a fit has chosen.

    The others have a penalty that no gradient reaches, so that they stay at 0.
    """
    w = found.params.w
    held = float(np.finfo(w.dtype).max) ** 0.5
    known = (found.status == Status.CONVERGED) | (found.status == Status.SINGULAR)
    start = jax.tree.map(lambda leaf: jnp.where(known, leaf, 0.0), found.params)
    l1 = jnp.where(start.w != 0, 0.0, held).astype(w.dtype)
    refit = fit(X, y, l2=l2, l1=l1, init=start, **options)
    return where(known, refit, found)


@partial(program, static_argnums=(0, 1, 2))
def _path(
    solver: Solver,
    bias: bool,
    relaxed: bool,
    samples: Samples,
    l2: Array,
    l1: Array | None,
    limits: Limits,
) -> Fit:
    """Return the fits in the order of the penalties (L, 1), from checked arguments."""
    order = jnp.argsort(-l2[:, 0])
    if l1 is not None:  # which counts first; the sort is stable
        order = order[jnp.argsort(-l1[order, 0])]
    X, y, weight, offset = samples
    options: dict[str, Any] = {"weight": weight, "offset": offset, "solver": solver}
    options |= {"bias": bias, "tol": limits.tol, "max_steps": limits.max_steps}

    def step(start: Params, penalty: Any) -> tuple[Params, Fit]:
        of_squares, of_sizes = penalty
        of_sizes = 0.0 if of_sizes is None else of_sizes
        result = fit(X, y, l2=of_squares, l1=of_sizes, init=start, **options)
        converged = result.status == Status.CONVERGED
        end = where(converged, result.params, start)
        if relaxed:
            result = _refit(result, X, y, l2=of_squares, **options)
        return end, result

    start = init_params(X.shape[0], X.dtype)
    sizes = None if l1 is None else l1[order, 0]
    _, path = lax.scan(step, start, (l2[order, 0], sizes))
    back = jnp.argsort(order)
    return jax.tree.map(lambda leaf: leaf[back], path)

"""Fits of many problems with an L1 penalty of many features, on working sets of few.

Each problem has a working set of its own, and is solved among the features of that set
as one of many problems. So a step of it costs the Hessian of few features. All problems
together look for the features that their sets lack, in products with all of X.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from jlogreg.base.arrays import as_array
from jlogreg.base.params import Params
from jlogreg.base.programs import program
from jlogreg.base.status import Status
from jlogreg.batch.chunks import Batch, BatchSolver
from jlogreg.batch.problems import Common, Problems
from jlogreg.batch.scheduling.results import Results
from jlogreg.data.devices.deal import Deal
from jlogreg.data.streaming.streamed import streams_of
from jlogreg.fitting.fit import Fit
from jlogreg.fitting.many_features.working_sets import (
    derivatives,
    next_features,
    set_width,
)
from jlogreg.solvers.driver import Solver
from jlogreg.solvers.proximal.proximal_newton import ProximalNewton

__all__ = ["refit_on_supports", "solve_on_working_sets", "uses_working_sets"]

# Stores the fits of the problems of these numbers.
Solve = Callable[[Batch, np.ndarray, Results], Iterator[bool]]

# Up to this number of features a problem is solved among all of them.
MAX_FEATURES = 128
# Logits of the problems that are looked at side by side.
ROW_ENTRIES = 2**21


def uses_working_sets(solver: Solver, X: Any) -> bool:
    """Return whether problems on these features are solved on working sets."""
    in_memory = not streams_of(X)
    many = X.shape[0] > MAX_FEATURES
    return isinstance(solver, ProximalNewton) and many and in_memory


def solve_on_working_sets(
    solve: Solve, batch: Batch, waiting: np.ndarray, results: Results
) -> Iterator[bool]:
    """Write the fits of the problems that wait, and yield after some steps.

    As `fit_on_working_sets` does it for one problem.

    Args:
        solve: stores the fits of problems, each with features of its own.
        batch: all the problems.
        waiting: the numbers of those to be solved.
        results: of all the problems, to be filled in.
    """
    _start(batch.solvers[0].problems, waiting, results.fit)
    w, K = results.fit.params.w, batch.n_problems
    l1 = np.broadcast_to(batch.solvers[0].problems.l1, K)[:, None]
    chosen, is_first = (w[..., 0] != 0) | (l1 == 0), True
    while waiting.size:
        # Which features the working sets lack.
        fits = results.fit
        slope, curvature = _derivatives(batch.solvers[0], fits.params, waiting)
        gap = np.inf if is_first else np.asarray(fits.gap)[waiting, None]
        added = next_features(chosen[waiting], slope, curvature, l1[waiting], gap)
        ended = ~added.any(axis=1) & (not is_first)
        results.finished[waiting[ended]] = True
        waiting, added = waiting[~ended], added[~ended]
        # Fit each among those of its set, from where it has ended.
        chosen[waiting] |= added
        for rows, some in _of_one_width(chosen, waiting):
            yield from _fit_rows(solve, batch, rows, some, results)
        status = results.fit.status[waiting]
        failed = (status != Status.CONVERGED) & (status != Status.SINGULAR)
        results.finished[waiting[failed]] = True
        waiting, is_first = waiting[~failed], False
        yield True


def refit_on_supports(
    solve: Solve, batch: Batch, waiting: np.ndarray, results: Results
) -> Iterator[bool]:
    """Write the fits without l1 of the features chosen, and yield after some steps.

    A fit with l1 chooses the features that have a weight; one that failed stays.

    Args:
        solve: stores the fits of problems, each with features of its own.
        batch: all the problems.
        waiting: the numbers of those to be fitted again.
        results: the fits with l1 of all the problems, to be replaced.
    """
    fits = results.fit
    status = fits.status[waiting]
    known = (status == Status.CONVERGED) | (status == Status.SINGULAR)
    waiting, chosen = waiting[known], np.asarray(fits.params.w)[..., 0] != 0
    problems = batch.solvers[0].problems
    free = batch.replace(problems=problems._replace(l1=np.zeros(1, fits.cost.dtype)))
    fits.steps[waiting] = 0
    for rows, some in _of_one_width(chosen, waiting):
        yield from _fit_rows(solve, free, rows, some, results)


def _start(problems: Problems, waiting: np.ndarray, fits: Fit) -> None:
    """Write where the problems that wait start, without a step."""
    for table, start in zip(fits.params, problems.init or (None, None), strict=True):
        own = start is not None and len(start) > 1
        table[waiting] = 0 if start is None else start[waiting] if own else start
    fits.steps[waiting] = 0


def _of_one_width(
    chosen: np.ndarray, waiting: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the features of sets of one width, n for none, and whose sets they are."""
    n = chosen.shape[1]
    counts = chosen[waiting].sum(axis=1)
    widths = np.minimum(set_width(counts), n)
    for width in np.unique(widths):
        some = waiting[widths == width]
        # The features of a set come before the others, in order.
        order = np.argsort(~chosen[some], axis=1, kind="stable")[:, :width]
        mine = np.take_along_axis(chosen[some], order, axis=1)
        yield np.where(mine, order, n).astype(np.int32), some


def _fit_rows(
    solve: Solve, batch: Batch, rows: np.ndarray, some: np.ndarray, results: Results
) -> Iterator[bool]:
    """Write the fits of some problems on their working sets."""
    w, b = results.fit.params
    n, places = w.shape[1], some[:, None]
    start = np.where(rows < n, w[places, np.minimum(rows, n - 1), 0], 0)
    init = Params(*map(as_array, (start[..., None], b[some])))
    own = batch.solvers[0].problems.select(some)
    own = own._replace(init=jax.device_get(init), features=rows)
    deal = Deal(batch.deal.devices, 0, len(batch.deal.devices))
    few = batch._replace(deal=deal).replace(problems=own, n_problems=len(some))
    of_few = Results(few.solvers[0])
    yield from solve(few, np.arange(len(some)), of_few)
    found, fits = of_few.fit, results.fit
    steps = fits.steps[some] + found.steps
    for name, table in fits._asdict().items():
        if name != "params" and table is not None:
            table[some] = getattr(found, name)
    fits.steps[some] = steps
    # The others have no weight, or no number as all of bad input.
    others = np.where(found.status == Status.BAD_INPUT, np.nan, 0.0)
    among = np.repeat(others[:, None], n + 1, axis=1).astype(w.dtype)
    np.put_along_axis(among, rows, found.params.w[..., 0], axis=1)
    fits.params.w[some, :, 0], fits.params.b[some] = among[:, :n], found.params.b


def _derivatives(
    solver: BatchSolver, params: Params, numbers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the slopes and curvatures (k, n) of some problems at given parameters."""
    n, m = solver.X.shape
    width = min(max(ROW_ENTRIES // max(n, m), 1), len(numbers))
    width = 1 << (width - 1).bit_length()
    found = []
    for start in range(0, len(numbers), width):
        part = numbers[start : start + width]
        padded = np.pad(part, (0, width - len(part)), mode="edge")
        own = solver.problems.pick(padded)
        at = Params(*(as_array(table[padded]) for table in params))
        each = _of_some(width, solver.valid, solver.common(), own, at)
        found.append([np.asarray(leaf)[: len(part), :, 0] for leaf in each])
    slopes, curvatures = zip(*found, strict=True)
    return np.concatenate(slopes), np.concatenate(curvatures)


@partial(program, static_argnums=(0, 1))
def _of_some(
    width: int, valid: bool, common: Common, own: Problems, params: Params
) -> tuple[Array, Array]:
    def one(own: Problems, params: Params) -> tuple[Array, Array]:
        problem, _, centering = common.problem(common.prepared(own, valid))
        return derivatives(problem, centering.to_centered(params))

    return jax.vmap(one, axis_size=width)(own, params)

"""The scheduler of many problems: deal, refill, shrink, resume, report progress.

Problems go through the solve of one side by side, in a chunk on each device. From time
to time those that have ended make room for others; when no others are left, the chunk
shrinks to a few narrower widths. So no problem waits long for another, no device for
another, and little is compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import jax
import numpy as np
from jaxtyping import Array, Float

from jlogreg.base.arrays import as_array
from jlogreg.base.status import Status
from jlogreg.batch.chunks import (
    Batch,
    BatchSolver,
    Chunk,
    concatenate,
    take_problems,
)
from jlogreg.batch.scheduling.results import Progress, Results
from jlogreg.batch.scheduling.working_sets import (
    refit_on_supports,
    solve_on_working_sets,
    uses_working_sets,
)
from jlogreg.batch.setup import batch_width
from jlogreg.data.devices.deal import without_mesh
from jlogreg.fitting.fit import Fit
from jlogreg.solvers.lbfgs import LBFGS
from jlogreg.solvers.newton import Newton
from jlogreg.solvers.newton_cg import NewtonCG
from jlogreg.solvers.proximal.proximal_newton import ProximalNewton

__all__ = ["solve_all", "solve_path"]

# Passes over the samples between two checks for problems that have ended.
PASSES = {Newton: 2, ProximalNewton: 2, NewtonCG: 8, LBFGS: 4}
MANY_PASSES = 32
# When no problems wait, a chunk shrinks by this factor, again and again, to MIN_WIDTH.
SHRINK_FACTOR, MIN_WIDTH = 4, 8


@without_mesh
def solve_all(
    batch: Batch,
    memory_limit: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    resume: Progress | None = None,
    arguments: str = "",
) -> Fit:
    """Return the fits of all the problems; arguments as for `fit_many`.

    Raises:
        ValueError: if the memory limit is too small for one problem, or the progress
            to resume is not that of these arguments.
    """
    first, deal = batch.solvers[0], batch.deal
    results = Results(first, resume, arguments)
    solve = partial(_solve, memory_limit=memory_limit)
    given = batch, batch.own[~results.finished[batch.own]], results
    on_sets = uses_working_sets(first.solver, first.X)
    steps = solve_on_working_sets(solve, *given) if on_sets else solve(*given)
    while True:
        more = next(steps, False)
        # Whose progress is asked for goes on until all processes are done.
        if not (more if progress is None else deal.any(more)):
            break
        if progress is not None:
            results.join(deal)
            progress(results.progress())
    return jax.tree.map(as_array, deal.join(results.fit, batch.n_problems))


def _solve(
    batch: Batch, waiting: np.ndarray, results: Results, memory_limit: int | None
) -> Iterator[bool]:
    """Store the fits of the problems that wait, and yield after some steps."""
    width = batch_width(batch.solvers[0], memory_limit, batch.deal)
    n_devices = len(batch.solvers)
    # How many problems come and go at a time.
    half = width if len(waiting) <= n_devices * width else max(width // 2, 1)
    lanes = [_Lane(solver, width, half) for solver in batch.solvers]
    while waiting.size or any(lane.chunk is not None for lane in lanes):
        # Each device goes on while the others are refilled.
        for lane in lanes:
            waiting = lane.refill(waiting)
            lane.advance()
        for lane in lanes:
            lane.store_ended(results, bool(waiting.size))
        yield True


def solve_path(
    batch: Batch,
    l2: Float[Array, "L P"],
    l1: Float[Array, "L P"] | None = None,
    memory_limit: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    relaxed: bool = False,
) -> Fit:
    """Return the fits (L, K) of all the problems at each penalty.

    Shapes: l2 and l1 (L, 1), or (L, K) with a column for each problem, all in one
    order. The largest penalty comes first, and each next one starts from the parameters
    of the one before. relaxed: whether each is then fitted again, without l1, among the
    features that it has chosen. Other arguments as for `fit_many`.
    """
    L, K = len(l2), batch.n_problems
    results = Results(batch.solvers[0]._replace(n_problems=L * K))
    params = results.fit.params
    start = zero = jax.tree.map(lambda table: np.zeros_like(table[:K]), params)
    first = np.asarray(l2)[:, 0], np.asarray(l2 if l1 is None else l1)[:, 0]
    for i in np.lexsort([-one for one in first]):
        own = None if l1 is None else l1[i]
        problems = batch.solvers[0].problems
        problems = problems._replace(l2=l2[i], l1=own, init=start)
        at_this = batch.replace(problems=problems)
        fit = jax.device_get(solve_all(at_this, memory_limit))
        converged = (fit.status == Status.CONVERGED)[:, None, None]
        # A problem without an answer starts from zero.
        start = jax.tree.map(partial(np.where, converged), fit.params, zero)
        fit = _refit_all(at_this, fit, memory_limit) if relaxed else fit
        results.store(i * K + np.arange(K), fit)
        if progress is not None:
            progress(results.progress())
    return jax.tree.map(
        lambda table: table.reshape(L, K, *table.shape[1:]), results.fit
    )


@without_mesh
def _refit_all(batch: Batch, fit: Fit, memory_limit: int | None) -> Fit:
    """Return the fits (K,) without l1 of the features that these fits have chosen."""
    results = Results(batch.solvers[0])
    results.fit = jax.tree.map(np.array, fit)
    solve = partial(_solve, memory_limit=memory_limit)
    for _ in refit_on_supports(solve, batch, batch.own, results):
        pass
    found: Fit = batch.deal.join(results.fit, batch.n_problems)
    return found


def _padded(numbers: np.ndarray, size: int) -> np.ndarray:
    return np.pad(numbers, (0, size - len(numbers)), constant_values=-1)


def _next_width(going: int, width: int, half: int) -> int:
    """Return the width of a chunk in which this number of problems goes on.

    half is the narrowest width while others wait; 0 if none do, and then the width
    shrinks by powers of SHRINK_FACTOR.
    """
    if not going:
        return 0
    if half:
        return half if going <= half else width
    room = width
    while room // SHRINK_FACTOR >= max(going, MIN_WIDTH):
        room //= SHRINK_FACTOR
    return room


class _Lane:
    """The problems under way on one device."""

    def __init__(self, solver: BatchSolver, width: int, half: int) -> None:
        """Begin without a chunk."""
        self.solver, self.width, self.half = solver, width, half
        self.passes = PASSES.get(type(solver.solver), MANY_PASSES)
        self.chunk: Chunk | None = None

    def refill(self, waiting: np.ndarray) -> np.ndarray:
        """Take problems as far as there is room, and return those that still wait."""
        width, half = self.width, self.half
        while waiting.size and (
            self.chunk is None or len(self.chunk.numbers) + half <= width
        ):
            fresh = self.solver.init(_padded(waiting[:half], half))
            waiting = waiting[half:]
            old = self.chunk
            self.chunk = fresh if old is None else concatenate(old, fresh)
        return waiting

    def advance(self) -> None:
        """Begin some steps."""
        if self.chunk is not None:
            self.chunk = self.solver.advance(self.chunk, self.passes)

    def store_ended(self, results: Results, others_wait: bool) -> None:
        """Store the problems that have ended, if the rest fits a narrower chunk."""
        chunk, half = self.chunk, self.half
        if chunk is None:
            return
        going = self.solver.unfinished(chunk)
        room = _next_width(int(going.sum()), self.width, half if others_wait else 0)
        if room < len(chunk.numbers):
            order = np.argsort(~going, kind="stable")
            for start in range(room, len(order), half):
                places = _padded(order[start : start + half], half)
                ended = take_problems(chunk, places)
                results.store(ended.numbers, self.solver.finalize(ended))
            self.chunk = take_problems(chunk, order[:room]) if room else None

"""The scheduler of many problems: deal, refill, shrink, resume, report progress.

Problems go through the solve of one side by side, in a chunk on each device. From time
to time those that have ended make room for others; when no others are left, the chunk
shrinks to a few narrower widths. So no problem waits long for another, no device for
another, and little is compiled.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float

from jlogreg.base.arrays import as_array
from jlogreg.base.errors import ShapeError
from jlogreg.base.status import Status
from jlogreg.batch.chunks import BatchSolver, Chunk, concatenate, take_problems
from jlogreg.batch.setup import batch_width
from jlogreg.data.devices.deal import Deal, without_mesh
from jlogreg.fitting.fit import Fit
from jlogreg.solvers.lbfgs import LBFGS
from jlogreg.solvers.newton import Newton
from jlogreg.solvers.newton_cg import NewtonCG
from jlogreg.solvers.proximal.proximal_newton import ProximalNewton

__all__ = ["Batch", "Progress", "solve_all", "solve_path"]

# Passes over the samples between two checks for problems that have ended.
PASSES = {Newton: 2, ProximalNewton: 2, NewtonCG: 8, LBFGS: 4}
MANY_PASSES = 32
# When no problems wait, a chunk shrinks by this factor, again and again, to MIN_WIDTH.
SHRINK_FACTOR, MIN_WIDTH = 4, 8


class Progress(NamedTuple):
    """The progress of a call; the arrays are its own, and go on changing.

    Shapes: finished (K, 1); fit with a leading axis K, whose rows are valid where
    finished. per_second is the number of problems that this call finishes in a second;
    arguments a digest of those of `fit_many`, by which it knows its own progress.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit_many
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> seen = []
        >>> found = fit_many(X, jnp.concatenate([y, 1 - y]), progress=seen.append)
        >>> seen[-1].finished.tolist()
        [[True], [True]]
    """

    finished: Bool[Any, "K 1"]
    fit: Fit
    per_second: float
    arguments: str = ""


class Batch(NamedTuple):
    """Problems that are dealt to devices, with what they share on each of them."""

    deal: Deal
    solvers: tuple[BatchSolver, ...]

    @classmethod
    def of(cls, solver: BatchSolver, deal: Deal) -> Batch:
        """Return the problems of a batch solver, dealt."""
        return cls(deal, tuple(solver.on(device) for device in deal.devices))

    @property
    def n_problems(self) -> int:
        """The number of all problems."""
        return self.solvers[0].n_problems

    def replace(self, **changes: Any) -> Batch:
        """Return the batch with other fields of its solvers."""
        changed = (solver._replace(**changes) for solver in self.solvers)
        return self._replace(solvers=tuple(changed))


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
    first, deal, n_devices = batch.solvers[0], batch.deal, len(batch.solvers)
    width = batch_width(first, memory_limit, deal)
    results = _Results(first, resume, arguments)
    own = deal.own(batch.n_problems)
    waiting = own[~results.finished[own]]
    # How many problems come and go at a time.
    half = width if len(waiting) <= n_devices * width else max(width // 2, 1)
    lanes = [_Lane(solver, width, half) for solver in batch.solvers]

    def going() -> bool:
        own = bool(waiting.size) or any(lane.chunk is not None for lane in lanes)
        # Whose progress is asked for goes on until all processes are done.
        return own if progress is None else deal.any(own)

    while going():
        # Each device goes on while the others are refilled.
        for lane in lanes:
            waiting = lane.refill(waiting)
            lane.advance()
        for lane in lanes:
            lane.store_ended(results, bool(waiting.size))
        if progress is not None:
            results.join(deal)
            progress(results.progress())
    return jax.tree.map(as_array, deal.join(results.fit, batch.n_problems))


def solve_path(
    batch: Batch,
    l2: Float[Array, "L P"],
    l1: Float[Array, "L P"] | None = None,
    memory_limit: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Fit:
    """Return the fits (L, K) of all the problems at each penalty.

    Shapes: l2 and l1 (L, 1), or (L, K) with a column for each problem, all in one
    order. The largest penalty comes first, and each next one starts from the parameters
    of the one before. Other arguments as for `fit_many`.
    """
    L, K = len(l2), batch.n_problems
    results = _Results(batch.solvers[0]._replace(n_problems=L * K))
    params = results.fit.params
    start = zero = jax.tree.map(lambda table: np.zeros_like(table[:K]), params)
    first = np.asarray(l2)[:, 0], np.asarray(l2 if l1 is None else l1)[:, 0]
    for i in np.lexsort([-one for one in first]):
        own = None if l1 is None else l1[i]
        problems = batch.solvers[0].problems
        problems = problems._replace(l2=l2[i], l1=own, init=start)
        fit = jax.device_get(solve_all(batch.replace(problems=problems), memory_limit))
        results.store(i * K + np.arange(K), fit)
        converged = (fit.status == Status.CONVERGED)[:, None, None]
        # A problem without an answer starts from zero.
        start = jax.tree.map(partial(np.where, converged), fit.params, zero)
        if progress is not None:
            progress(results.progress())
    return jax.tree.map(
        lambda table: table.reshape(L, K, *table.shape[1:]), results.fit
    )


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

    def store_ended(self, results: _Results, others_wait: bool) -> None:
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


class _Results:
    """The fits of all the problems, as far as they are finished."""

    def __init__(
        self, batch: BatchSolver, resume: Progress | None = None, arguments: str = ""
    ) -> None:
        """Begin with nothing, or with a copy of the results of an earlier call."""
        self.fit, self.finished = batch.empty_fit(), np.zeros(batch.n_problems, bool)
        if resume is not None:
            if not isinstance(resume, Progress):
                raise TypeError(
                    "resume must be the last Progress of an earlier call, but is a "
                    f"{type(resume).__name__}"
                )
            expected = (batch.n_problems, 1)
            if np.shape(resume.finished) != expected:
                raise ShapeError(
                    f"resume is of other problems: its finished has shape "
                    f"{np.shape(resume.finished)}, but must have {expected}"
                )
            if resume.arguments != arguments:
                raise ValueError(
                    "resume is of a call with other arguments: pass the same data and "
                    "settings, or leave resume out"
                )
            self.fit, finished = jax.tree.map(np.array, (resume.fit, resume.finished))
            self.finished = finished[:, 0]
        self.arguments = arguments
        self.before, self.start = int(self.finished.sum()), time.perf_counter()
        self.joined = self.before

    def store(self, numbers: np.ndarray, fit: Fit) -> None:
        """Store the fits of some problems, by their numbers; -1 stands for none."""
        real = numbers >= 0

        def write(table: np.ndarray, rows: Array) -> None:
            table[numbers[real]] = np.asarray(rows)[real]

        jax.tree.map(write, self.fit, fit)
        self.finished[numbers[real]] = True

    def join(self, deal: Deal) -> None:
        """Take the results that other processes have, if any has new ones."""
        count = int(self.finished.sum())
        if deal.any(count > self.joined):
            tables = deal.join((self.fit, self.finished), len(self.finished))
            self.fit, self.finished = jax.tree.map(np.array, tables)
            self.joined = int(self.finished.sum())

    def progress(self) -> Progress:
        """Return the progress of the call."""
        done = int(self.finished.sum()) - self.before
        seconds = time.perf_counter() - self.start
        rate = done / seconds
        return Progress(self.finished[:, None], self.fit, rate, self.arguments)

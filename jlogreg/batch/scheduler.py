"""Schedule many problems: refill, shrink, resume, report progress; along a path."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jlogreg.base.arrays import as_array
from jlogreg.base.errors import ShapeError
from jlogreg.base.params import Params
from jlogreg.base.status import Status
from jlogreg.batch.chunks import BatchSolver, concatenate, take_problems
from jlogreg.batch.setup import batch_width
from jlogreg.fitting.fit import Fit
from jlogreg.solvers.newton import Newton
from jlogreg.solvers.newton_cg import NewtonCG

__all__ = ["Progress", "solve_all", "solve_path"]

# Passes over the samples between two looks at what has ended.
PASSES = {Newton: 2, NewtonCG: 8}


MANY_PASSES = 32


# At the end a chunk is closed up to a part of its width, and again.
SHRINK_FACTOR, MIN_WIDTH = 4, 8


class Progress(NamedTuple):
    """Hold how far a call has come; the arrays are its own, and go on changing.

    Shapes: finished (K, 1); fit with a leading axis K, whose rows mean something where
    finished. per_second counts the problems that this call has finished.

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


def solve_all(
    lanes: BatchSolver,
    memory_limit: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    resume: Progress | None = None,
) -> Fit:
    """Return the fits of all the problems; arguments as for `fit_many`.

    Raises:
        ValueError: the memory limit is too small for one problem.
    """
    width, seen = batch_width(lanes, memory_limit), _Results(lanes, resume)
    half, passes = max(width // 2, 1), PASSES.get(type(lanes.solver), MANY_PASSES)
    waiting, chunk = np.flatnonzero(~seen.finished), None
    while waiting.size or chunk is not None:
        while waiting.size and (chunk is None or len(chunk.picked) + half <= width):
            fresh = lanes.begin(_padded(waiting[:half], half))
            waiting = waiting[half:]
            chunk = fresh if chunk is None else concatenate(chunk, fresh)
        assert chunk is not None
        chunk = lanes.proceed(chunk, passes)
        going = lanes.unfinished(chunk)
        room = _room(int(going.sum()), width, half if waiting.size else 0)
        if room < len(chunk.picked):
            order = np.argsort(~going, kind="stable")
            for start in range(room, len(order), half):
                ended = take_problems(chunk, _padded(order[start : start + half], half))
                seen.add(ended.picked, lanes.finish(ended))
            chunk = take_problems(chunk, order[:room]) if room else None
        if progress is not None:
            progress(seen.progress())
    return jax.tree.map(as_array, seen.fit)


def solve_path(
    lanes: BatchSolver,
    l2: Float[Array, "L 1"],
    memory_limit: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Fit:
    """Return the fits (L, K) of all the problems at each penalty.

    Shapes: l2 (L, 1). The largest penalty comes first, and each next one starts from
    what was found before. Other arguments as for `fit_many`.
    """
    L, K = len(l2), lanes.total
    all_of_them = lanes._replace(total=L * K)
    seen, start = _Results(all_of_them, None), None
    for i in np.argsort(-np.asarray(l2)[:, 0], kind="stable"):
        rows = lanes.rows._replace(l2=l2[i], init=start)
        found = solve_all(lanes._replace(rows=rows), memory_limit)
        seen.add(i * K + np.arange(K), found)
        good = (found.status == Status.CONVERGED)[:, None, None]
        start = Params(*(jnp.where(good, leaf, 0.0) for leaf in found.params))
        if progress is not None:
            progress(seen.progress())
    return jax.tree.map(lambda table: table.reshape(L, K, *table.shape[1:]), seen.fit)


def _padded(numbers: np.ndarray, size: int) -> np.ndarray:
    return np.pad(numbers, (0, size - len(numbers)), constant_values=-1)


def _room(going: int, width: int, half: int) -> int:
    """Return the width of a chunk with so many lanes that go on.

    half is the narrowest where others wait; else a part of a part of the width.
    """
    if half:
        return half if going <= half else width
    room = width
    while going and room // SHRINK_FACTOR >= max(going, MIN_WIDTH):
        room //= SHRINK_FACTOR
    return room if going else 0


class _Results:
    """Hold what has been found so far."""

    def __init__(self, lanes: BatchSolver, resume: Progress | None) -> None:
        """Begin with nothing, or with a copy of what an earlier call has found."""
        self.fit, self.finished = lanes.empty(), np.zeros(lanes.total, bool)
        if resume is not None:
            if not isinstance(resume, Progress):
                raise TypeError(
                    "resume must be the last Progress of an earlier call, but is a "
                    f"{type(resume).__name__}"
                )
            due = (lanes.total, 1)
            if np.shape(resume.finished) != due:
                raise ShapeError(
                    f"resume is of other problems: its finished has shape "
                    f"{np.shape(resume.finished)}, but must have {due}"
                )
            self.fit, finished = jax.tree.map(np.array, (resume.fit, resume.finished))
            self.finished = finished[:, 0]
        self.before, self.start = int(self.finished.sum()), time.perf_counter()

    def add(self, picked: np.ndarray, found: Fit) -> None:
        """Write down what was found of some problems; -1 stands for none."""
        real = picked >= 0

        def write(table: np.ndarray, lanes: Array) -> None:
            table[picked[real]] = np.asarray(lanes)[real]

        jax.tree.map(write, self.fit, found)
        self.finished[picked[real]] = True

    def progress(self) -> Progress:
        """Return how far the call has come."""
        done = int(self.finished.sum()) - self.before
        seconds = time.perf_counter() - self.start
        return Progress(self.finished[:, None], self.fit, done / seconds)

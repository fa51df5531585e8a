"""Fit many problems that share their features, on one copy of them.

Problems are mapped: they go through the search of one side by side, in lanes. From time
to time those that have ended make room for others; when no others are left, the lanes
are closed up to a few narrower widths. So no problem waits long for another, and little
is compiled.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jlogreg.arrays import Params
from jlogreg.checks import AnyArray
from jlogreg.design import Design
from jlogreg.errors import ShapeError
from jlogreg.fit import Fit
from jlogreg.host import as_array
from jlogreg.lanes import Lanes, join, take
from jlogreg.plan import plan, width_of
from jlogreg.rows import Rows
from jlogreg.solvers.driver import Solver
from jlogreg.solvers.newton import Newton
from jlogreg.solvers.newton_cg import NewtonCG
from jlogreg.status import Status

__all__ = ["Progress", "along", "fit_many", "run"]

# Passes over the samples between two looks at what has ended.
PASSES = {Newton: 2, NewtonCG: 8}
MANY_PASSES = 32
# At the end a chunk is closed up to a part of its width, and again.
PART, CLOSED = 4, 8


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
    """Return the fits of K problems that share their features; host only.

    Shapes: X (n, m), the others (K, m), or (1, m) where all problems have the same;
    result Fit with a leading axis K, in nats. Each problem is that of `fit`, equation
    (8) of docs/derivation.md, and ends as it would alone: `jax.vmap(fit)` gives the
    same to rounding, under jit and with derivatives. X is held once. What is wrong
    with the numbers of one problem makes its status BAD_INPUT and touches no other.

    Args:
        X: features, a column per sample: an array, a BCOO or a design.
        Y: labels, a row per problem.
        weight: at least 0; a weight of 0 leaves a sample out, whatever it contains:
            folds, bootstrap replicates and missing labels are rows of weights.
        offset: added to the logits.
        l2: penalty, a number or a column (K, 1) of one for each problem.
        solver: as for `fit`. By default: Newton() up to n = 64, or in the span of the
            samples up to m = 512; else NewtonCG(), whose preconditioner problems with
            the same penalty share.
        init: where to start: w (n, 1), b (1, 1) for all, or w (K, n, 1), b (K, 1, 1).
        tol: as for `fit`.
        max_steps: as for `fit`.
        memory_limit: bytes that the problems under way may take, beside the arguments
            and the result; by default half of what is free.
        progress: is called with a Progress now and then. What it raises ends the call.
        resume: the last Progress of a call with the same arguments that was
            interrupted: what it has finished is not done again.

    Raises:
        DtypeError, RankError, ShapeError: an argument is no such array.
        TypeError: an argument is traced: map `fit` with jax.vmap instead.
        ValueError: a feature or a setting is out of range, NaN or infinite, or the
            memory limit is too small for one problem.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit_many
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> found = fit_many(X, jnp.concatenate([y, 1 - y]))
        >>> [f"{w:.3f}" for w in found.params.w[:, 0, 0]], found.status.tolist()
        (['1.214', '-1.214'], [0, 0])
    """
    rows = Rows(Y, weight, offset, l2, init)
    lanes = plan(X, rows, solver, tol, max_steps)
    return run(lanes, memory_limit, progress, resume)


def run(
    lanes: Lanes,
    memory_limit: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    resume: Progress | None = None,
) -> Fit:
    """Return the fits of all the problems; arguments as for `fit_many`.

    Raises:
        ValueError: the memory limit is too small for one problem.
    """
    width, seen = width_of(lanes, memory_limit), _Seen(lanes, resume)
    half, passes = max(width // 2, 1), PASSES.get(type(lanes.solver), MANY_PASSES)
    waiting, chunk = np.flatnonzero(~seen.finished), None
    while waiting.size or chunk is not None:
        while waiting.size and (chunk is None or len(chunk.picked) + half <= width):
            fresh = lanes.begin(_padded(waiting[:half], half))
            waiting = waiting[half:]
            chunk = fresh if chunk is None else join(chunk, fresh)
        assert chunk is not None
        chunk = lanes.proceed(chunk, passes)
        going = lanes.unfinished(chunk)
        room = _room(int(going.sum()), width, half if waiting.size else 0)
        if room < len(chunk.picked):
            order = np.argsort(~going, kind="stable")
            for start in range(room, len(order), half):
                ended = take(chunk, _padded(order[start : start + half], half))
                seen.add(ended.picked, lanes.finish(ended))
            chunk = take(chunk, order[:room]) if room else None
        if progress is not None:
            progress(seen.progress())
    return jax.tree.map(as_array, seen.fit)


def along(
    lanes: Lanes,
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
    seen, start = _Seen(all_of_them, None), None
    for i in np.argsort(-np.asarray(l2)[:, 0], kind="stable"):
        rows = lanes.rows._replace(l2=l2[i], init=start)
        found = run(lanes._replace(rows=rows), memory_limit)
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
    while going and room // PART >= max(going, CLOSED):
        room //= PART
    return room if going else 0


class _Seen:
    """Hold what has been found so far."""

    def __init__(self, lanes: Lanes, resume: Progress | None) -> None:
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

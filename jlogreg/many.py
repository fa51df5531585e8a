"""Fit many problems that share their features, on one copy of them.

Problems are mapped: they go through the search of one side by side, in lanes. From time
to time those that have ended make room for others; when no others are left, the lanes
are closed up to a few narrower widths. So no problem waits long for another, and little
is compiled.
"""

from __future__ import annotations

import operator
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jlogreg.arrays import Params
from jlogreg.checks import AnyArray, is_traced
from jlogreg.design import Dense, Design, check_design
from jlogreg.fit import Fit, check_limits, check_solver
from jlogreg.lanes import Lanes, join, take
from jlogreg.objectives import Problem
from jlogreg.paired import Paired
from jlogreg.rows import Rows, check_rows_of_many
from jlogreg.samples import Samples
from jlogreg.search import share
from jlogreg.solvers.driver import Solver
from jlogreg.solvers.newton import Newton
from jlogreg.solvers.newton_cg import NewtonCG
from jlogreg.span import spanned

__all__ = ["Progress", "fit_many", "fit_rows"]

# Up to so many features, or samples where they are fewer, each problem has a Hessian.
NEWTON_MOST, SPAN_MOST = 64, 512
# Up to so many features are held for Gram matrices of many problems.
PAIRED_MOST = 128
# Passes over the samples between two looks at what has ended.
PASSES = {Newton: 2, NewtonCG: 8}
MANY_PASSES = 32
# Entries of the rows of a chunk: they stay in the cache. No chunk is wider than WIDEST,
# nor, where memory allows, narrower than its products need to be fast. At the end a
# chunk is closed up to a PART of its width, and again.
ROW_ENTRIES, WIDEST, NARROWEST = 2**19, 4096, 64
PART, CLOSED = 4, 8


class Progress(NamedTuple):
    """Hold how far a call has come; the arrays are its own, and go on changing.

    Shapes: finished (K, 1); fit with a leading axis K, whose rows mean something where
    finished. per_second counts the problems that this call has finished.
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
    """
    return fit_rows(
        X,
        Rows(Y, weight, offset, l2, init),
        solver=solver,
        tol=tol,
        max_steps=max_steps,
        memory_limit=memory_limit,
        progress=progress,
        resume=resume,
    )


def fit_rows(
    X: Any,
    rows: Rows,
    *,
    solver: Solver | None = None,
    tol: Any = None,
    max_steps: Any = None,
    memory_limit: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    resume: Progress | None = None,
) -> Fit:
    """Return what `fit_many` does, of rows that may be Repeated; arguments as there.

    Raises:
        DtypeError, RankError, ShapeError, TypeError, ValueError: as `fit_many`.
    """
    if any(map(is_traced, jax.tree.leaves((X, rows, tol, max_steps)))):
        raise TypeError(
            "fit_many runs on the host and takes no traced arguments: map fit with "
            "jax.vmap instead"
        )
    lanes = _plan(X, rows, solver, tol, max_steps)
    return _run(lanes, _width(lanes, memory_limit), progress, resume)


def _run(
    lanes: Lanes,
    width: int,
    progress: Callable[[Progress], None] | None,
    resume: Progress | None,
) -> Fit:
    """Return the fits of all the problems."""
    seen = _Seen(lanes, resume)
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
    return jax.tree.map(jnp.asarray, seen.fit)


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


def _plan(X: Any, rows: Rows, solver: Any, tol: Any, max_steps: Any) -> Lanes:
    """Return the problems, checked, with what they share and how they are solved."""
    X, finite = _check_features(X, rows.weight is not None)
    (n, m), dtype = X.shape, X.dtype
    rows, count = check_rows_of_many(rows, n, m, dtype)
    solver = check_solver(solver) or _choose_solver(X)
    spans = isinstance(solver, Newton) and spanned(X, jnp.zeros(()))
    if isinstance(solver, Newton) and not spans and type(X) is Dense:
        X = Paired(X.X) if n <= PAIRED_MOST else X
    limits = check_limits(solver, tol, max_steps, dtype)
    shared = _share(solver, len(rows.l2) > 1, X, rows.used(dtype), rows.l2[0])
    return Lanes(X, finite, rows, count, solver, limits, shared)


@partial(jax.jit, static_argnums=(0, 1))
def _share(
    solver: Solver, varies: bool, X: Design, weight: Array | None, l2: Array
) -> Any:
    y = jnp.zeros((1, X.shape[1]), X.dtype)
    return share(solver, Problem(Samples(X, y, weight), l2), varies)


def _choose_solver(X: Design) -> Solver:
    n, m = X.shape
    few = m <= SPAN_MOST if spanned(X, jnp.zeros(())) else n <= NEWTON_MOST
    return Newton() if few else NewtonCG()


def _check_features(X: Any, weights: bool) -> tuple[Design, Any]:
    """Return X with 0 for what is not finite, and which samples were finite."""
    X = check_design("X", X)
    if not weights:
        X.check_values("X")
        return X, None
    finite = jax.jit(lambda X: X.finite())(X)
    return (X, None) if finite.all() else (X.cleaned(), finite)


def _width(lanes: Lanes, limit: Any) -> int:
    """Return how many problems to solve side by side: a power of 2."""
    limit = _free_memory() // 2 if limit is None else operator.index(limit)
    each, m = lanes.bytes_each(), lanes.X.shape[1]
    if each > limit:
        raise ValueError(
            f"memory_limit is {limit} bytes, but one problem takes about {each}"
        )
    width = min(max(ROW_ENTRIES // m, NARROWEST), WIDEST, limit // each)
    enough = 1 << (lanes.total - 1).bit_length()
    return min(1 << (width.bit_length() - 1), enough)


def _free_memory() -> int:
    """Return how many bytes are free where the problems will be."""
    stats = jax.devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

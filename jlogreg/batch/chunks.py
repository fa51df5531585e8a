"""Search for the minima of many problems side by side, in lanes of compiled width.

What problems share - the features, and what depends on them alone - is held once; what
a problem has of its own is a row of a table. A chunk is some of the problems under way.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from jlogreg.base.arrays import power_of_two
from jlogreg.base.checks import check_range
from jlogreg.base.params import Params
from jlogreg.batch.problems import Problems, take_rows
from jlogreg.data.design import Design
from jlogreg.data.samples import Samples, prepare_rows
from jlogreg.fitting.fit import Fit
from jlogreg.fitting.solve import advance, finalize, init_state
from jlogreg.formulations.problem import Limits, Problem, SolveState
from jlogreg.solvers.driver import Solver, unfinished
from jlogreg.solvers.newton import Newton

__all__ = ["BatchSolver", "Chunk", "concatenate", "take_problems"]


class Chunk(NamedTuple):
    """Hold some problems under way, one a lane.

    picked (width,) are their numbers, -1 where a lane is empty; rows, in range or NaN,
    and begun have a leading axis of the lanes.
    """

    picked: np.ndarray
    rows: Problems
    begun: SolveState


class BatchSolver(NamedTuple):
    """Hold many problems on the same features, and how they are solved.

    finite (1, m) says which samples have finite features only, None that all have; good
    that all numbers in the rows are in range; total is the number of problems, shared
    what the search shares between them.
    """

    X: Design
    finite: Bool[Array, "1 m"] | None
    rows: Problems
    good: bool
    total: int
    solver: Solver
    limits: Limits
    shared: Any

    def begin(self, picked: np.ndarray) -> Chunk:
        """Return a chunk of some of the problems, before the first step."""
        rows = self.rows.pick(np.maximum(picked, 0))
        given = (self.solver, len(picked), self.good, self._same(), rows)
        return Chunk(picked, *_begin(*given))

    def proceed(self, chunk: Chunk, passes: int) -> Chunk:
        """Return the chunk after some more passes over the samples."""
        picked, rows, begun = chunk
        given = (self.solver, len(picked), self._same(), rows)
        return chunk._replace(begun=_proceed(*given, begun, passes))

    def finish(self, chunk: Chunk) -> Fit:
        """Return what was found in each of the lanes."""
        picked, rows, begun = chunk
        return _finish(self.solver, len(picked), self._same(), rows, begun)

    def unfinished(self, chunk: Chunk) -> np.ndarray:
        """Return which of the lanes (width,) have something left to do."""
        going = unfinished(chunk.begun.state, self.limits.max_steps)
        return np.asarray(going) & (chunk.picked >= 0)

    def empty(self) -> Fit:
        """Return a Fit of all the problems to be filled in, in NumPy's arrays."""
        n, dtype = self.X.shape[0], self.X.dtype

        def table(*shape: int, dtype: Any = dtype) -> Any:
            return np.zeros((self.total, *shape), dtype)

        return Fit(
            params=Params(w=table(n, 1), b=table(1, 1)),
            status=table(dtype=np.int32),
            steps=table(dtype=np.int32),
            cost=table(),
            gradient_norm=table(),
            decrement=table(),
        )

    def bytes_each(self) -> int:
        """Return roughly how many bytes a lane takes while it is under way.

        Some rows and vectors of the state, three times: the old one, the new one and
        one in between; with Newton's method a Hessian and its factor, too.
        """
        n, m = self.X.shape
        entries = 3 * (8 * m + 12 * n)
        if isinstance(self.solver, Newton):
            entries += 4 * (min(n, m) + 1) ** 2
        return entries * np.dtype(self.X.dtype).itemsize

    def _same(self) -> _Same:
        rows = self.rows.common()
        return _Same(self.X, self.finite, self.shared, self.limits, rows)


def take_problems(chunk: Chunk, lanes: np.ndarray) -> Chunk:
    """Return a chunk of some of the lanes; -1 makes an empty one."""
    picked = np.where(lanes >= 0, chunk.picked[lanes], -1)
    return Chunk(picked, *take_rows(chunk[1:], np.maximum(lanes, 0)))


def concatenate(one: Chunk, other: Chunk) -> Chunk:
    """Return the lanes of two chunks side by side."""
    picked = np.concatenate([one.picked, other.picked])
    return Chunk(picked, *_join(one[1:], other[1:]))


class _Same(NamedTuple):
    """Hold what is the same in all lanes."""

    X: Design
    finite: Bool[Array, "1 m"] | None
    shared: Any
    limits: Limits
    rows: Problems

    def settled(self, own: Problems, good: bool) -> Problems:
        """Return one problem's rows with all numbers in range or NaN.

        Where all are known to be good, what all problems have need not become rows of
        each.
        """
        y, weight, offset, l2, init = own if good else own.beside(self.rows)
        if not good:
            if weight is not None and self.finite is not None:
                weight = jnp.where(self.finite | (weight == 0), weight, jnp.nan)
            samples = prepare_rows(Samples(self.X, y, weight, offset))
            _, y, weight, offset = samples
            l2 = check_range("l2", l2, 0.0)
        if weight is not None:
            weight = weight / power_of_two(weight)
        return Problems(y, weight, offset, l2, init)

    def problem(self, own: Problems) -> tuple[Problem, Params | None]:
        """Return one of the problems, of settled rows, and its start."""
        y, weight, offset, l2, init = own.beside(self.rows)
        return Problem(Samples(self.X, y, weight, offset), l2), init


@partial(jax.jit, static_argnums=(0, 1, 2))
def _begin(
    solver: Solver, width: int, good: bool, same: _Same, rows: Problems
) -> tuple[Problems, SolveState]:
    def one(rows: Problems) -> tuple[Problems, SolveState]:
        settled = same.settled(rows, good)
        problem, init = same.problem(settled)
        return settled, init_state(solver, problem, same.shared, init, same.limits)

    return jax.vmap(one, axis_size=width)(rows)


@partial(jax.jit, static_argnums=(0, 1, 5), donate_argnums=4)
def _proceed(
    solver: Solver,
    width: int,
    same: _Same,
    rows: Problems,
    begun: SolveState,
    passes: int,
) -> SolveState:
    def one(rows: Problems, begun: SolveState) -> SolveState:
        problem, _ = same.problem(rows)
        return advance(solver, problem, same.shared, begun, same.limits, passes)

    return jax.vmap(one, axis_size=width)(rows, begun)


@partial(jax.jit, static_argnums=(0, 1))
def _finish(
    solver: Solver, width: int, same: _Same, rows: Problems, begun: SolveState
) -> Fit:
    def one(rows: Problems, begun: SolveState) -> Fit:
        problem, init = same.problem(rows)
        return Fit.of(finalize(solver, problem, same.shared, begun, init, same.limits))

    return jax.vmap(one, axis_size=width)(rows, begun)


@jax.jit
def _join(one: Any, other: Any) -> Any:
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), one, other)

"""Chunks: problems under way side by side, one per vmap lane, compiled by width.

What problems share - the features, and the part that depends on them alone - is held
once; what a problem has of its own is a row of a table.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jlogreg.base.params import Params
from jlogreg.base.programs import program
from jlogreg.batch.problems import Common, Problems
from jlogreg.data.design import Design
from jlogreg.data.devices.deal import Deal
from jlogreg.fitting.fit import Fit
from jlogreg.fitting.outcome.decide import is_open
from jlogreg.fitting.solve import (
    advance,
    finalize,
    init_state,
    max_solver_steps,
)
from jlogreg.formulations.problem import Limits, SolveState
from jlogreg.objective.jeffreys import row_entries
from jlogreg.solvers.driver import Solver, unfinished
from jlogreg.solvers.newton import Newton
from jlogreg.solvers.proximal.proximal_newton import ProximalNewton

__all__ = ["Batch", "BatchSolver", "Chunk", "concatenate", "take_problems"]

# Problems whose status is decided side by side.
DECIDE_WIDTH = 64


class Chunk(NamedTuple):
    """Some problems under way, side by side.

    Shapes: numbers (width,), those of the problems, -1 for an empty place; own, the
    problems' own rows, valid or NaN, and state have a leading axis of the width.
    """

    numbers: np.ndarray
    own: Problems
    state: SolveState


class BatchSolver(NamedTuple):
    """Problems on the same features, and how they are solved.

    X: the features less their center. free: as in a Problem. finite: (1, m) mask of the
    samples whose features are all finite, or None if all are. valid: whether every
    number of the problems is in its range. shared: the part of a solve that they share.
    """

    X: Design
    center: Float[Array, "n 1"] | None
    free: Float[Array, "n+1 1"] | None
    finite: Bool[Array, "1 m"] | None
    problems: Problems
    valid: bool
    n_problems: int
    solver: Solver
    limits: Limits
    shared: Any

    def on(self, device: Any) -> BatchSolver:
        """Return the solver with what problems share on a device; None: as it is."""
        if device is None:
            return self
        names = ("X", "center", "free", "finite", "limits", "shared")
        given = {name: getattr(self, name) for name in names}
        return self._replace(**jax.device_put(given, device))

    def init(self, numbers: np.ndarray) -> Chunk:
        """Return a chunk of some of the problems, before the first step."""
        own = self.problems.pick(np.maximum(numbers, 0))
        static = (self.solver, len(numbers), self.valid)
        return Chunk(numbers, *_init(*static, self.common(), own))

    def advance(self, chunk: Chunk, passes: int) -> Chunk:
        """Return the chunk after some more passes over the samples."""
        static = (self.solver, len(chunk.numbers))
        state = _advance(*static, self.common(), chunk.own, chunk.state, passes)
        return chunk._replace(state=state)

    def finalize(self, chunk: Chunk) -> Fit:
        """Return the fits of the problems of a chunk, on the host.

        Those whose status the solver leaves open go through a second program, a few at
        a time.
        """
        fit, left = jax.device_get(self._finalized(chunk, decides=False))
        fit = jax.tree.map(np.array, fit)
        places = np.flatnonzero(left & (chunk.numbers >= 0))
        width = min(DECIDE_WIDTH, len(chunk.numbers))
        for start in range(0, len(places), width):
            some = places[start : start + width]
            few = np.pad(some, (0, width - len(some)), constant_values=-1)
            decided, _ = self._finalized(take_problems(chunk, few), decides=True)
            for table, rows in zip(*map(jax.tree.leaves, (fit, decided)), strict=True):
                table[some] = np.asarray(rows)[: len(some)]
        return fit

    def _finalized(self, chunk: Chunk, decides: bool) -> tuple[Fit, Array]:
        static = (self.solver, len(chunk.numbers), decides)
        return _finalize(*static, self.common(), chunk.own, chunk.state)

    def unfinished(self, chunk: Chunk) -> np.ndarray:
        """Return a mask (width,) of the problems that go on."""
        # On the host, where it takes no compiled program.
        state = chunk.state.state
        known = (self.limits, state.status, state.steps)
        limits, status, steps = jax.device_get(known)
        most = max_solver_steps(self.solver, self.X, limits)
        going = unfinished(state._replace(status=status, steps=steps), most)
        return np.asarray(going) & (chunk.numbers >= 0)

    @property
    def n_features(self) -> int:
        """The number of features of each problem."""
        features = self.problems.features
        return self.X.shape[0] if features is None else features.shape[1]

    def empty_fit(self) -> Fit:
        """Return a Fit of all the problems to be filled in, as NumPy arrays."""
        n, dtype = self.n_features, self.X.dtype

        def table(*shape: int, dtype: Any = dtype) -> Any:
            return np.zeros((self.n_problems, *shape), dtype)

        return Fit(
            params=Params(w=table(n, 1), b=table(1, 1)),
            status=table(dtype=np.int32),
            steps=table(dtype=np.int32),
            cost=table(),
            gradient_norm=table(),
            decrement=table(),
            gap=table() if isinstance(self.solver, ProximalNewton) else None,
            several=None if self.problems.jeffreys is None else table(dtype=bool),
        )

    def bytes_each(self) -> int:
        """Return roughly how many bytes a problem takes while it is under way.

        Some rows and vectors of the state, three times: the old one, the new one and
        one in between; with Newton's methods a Hessian and its factor, too.
        """
        n, m = self.n_features, self.X.shape[1]
        entries = 3 * (8 * m + 12 * n) + 2 * (self.row_entries() - m)
        if isinstance(self.solver, Newton):
            entries += 4 * (min(n, m) + 1) ** 2
        if isinstance(self.solver, ProximalNewton):
            entries += 2 * (n + 1) ** 2
        return entries * np.dtype(self.X.dtype).itemsize

    def row_entries(self) -> int:
        """Return how many numbers a problem forms at once.

        Those of the samples, the Hessian that coordinate descent reads many times, and
        the features of its own.
        """
        n, m = self.n_features, self.X.shape[1]
        prior = self.problems.jeffreys is not None
        entries = m + prior * row_entries(self.X, n + (self.free is None))
        swept = isinstance(self.solver, ProximalNewton)
        own = self.problems.features is not None
        return entries + swept * (n + 1) ** 2 + own * n * m

    def common(self) -> Common:
        """Return what the problems have in common."""
        given = (self.X, self.center, self.free, self.finite, self.shared, self.limits)
        return Common(*given, self.problems.common())


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

    @property
    def own(self) -> np.ndarray:
        """The numbers of the problems that this process takes."""
        return np.arange(self.n_problems)[self.deal.own(self.n_problems)]

    def replace(self, **changes: Any) -> Batch:
        """Return the batch with other fields of its solvers."""
        changed = (solver._replace(**changes) for solver in self.solvers)
        return self._replace(solvers=tuple(changed))


def take_problems(chunk: Chunk, places: np.ndarray) -> Chunk:
    """Return a chunk of the problems at some places; -1 makes an empty one."""
    if np.array_equal(places, np.arange(len(chunk.numbers))):
        return chunk
    numbers = np.where(places >= 0, chunk.numbers[places], -1)
    return Chunk(numbers, *_take_rows((chunk.own, chunk.state), np.maximum(places, 0)))


def concatenate(one: Chunk, other: Chunk) -> Chunk:
    """Return the problems of two chunks side by side."""
    numbers = np.concatenate([one.numbers, other.numbers])
    return Chunk(numbers, *_concatenate((one.own, one.state), (other.own, other.state)))


@partial(program, static_argnums=(0, 1, 2))
def _init(
    solver: Solver, width: int, valid: bool, common: Common, own: Problems
) -> tuple[Problems, SolveState]:
    def one(own: Problems) -> tuple[Problems, SolveState]:
        own = common.prepared(own, valid)
        problem, init, centering = common.problem(own)
        start = centering.start(init)
        return own, init_state(solver, problem, common.shared, start, common.limits)

    return jax.vmap(one, axis_size=width)(own)


@partial(program, static_argnums=(0, 1, 5), donate_argnums=4)
def _advance(
    solver: Solver,
    width: int,
    common: Common,
    own: Problems,
    state: SolveState,
    passes: int,
) -> SolveState:
    def one(own: Problems, state: SolveState) -> SolveState:
        problem, _, _ = common.problem(own)
        return advance(solver, problem, common.shared, state, common.limits, passes)

    return jax.vmap(one, axis_size=width)(own, state)


@partial(program, static_argnums=(0, 1, 2))
def _finalize(
    solver: Solver,
    width: int,
    decides: bool,
    common: Common,
    own: Problems,
    state: SolveState,
) -> tuple[Fit, Bool[Array, " width"]]:
    def one(own: Problems, state: SolveState) -> tuple[Fit, Array]:
        problem, init, centering = common.problem(own)
        start, shared, limits = centering.start(init), common.shared, common.limits
        solution = finalize(solver, problem, shared, state, start, limits, decides)
        left = is_open(solver, problem, solution, limits)
        if problem.jeffreys is not None:
            left |= state.prepared.own.rivals
        return Fit.of(centering.solution(solution, init)), left

    return jax.vmap(one, axis_size=width)(own, state)


@program
def _take_rows(tree: Any, picked: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[picked], tree)


@program
def _concatenate(one: Any, other: Any) -> Any:
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), one, other)

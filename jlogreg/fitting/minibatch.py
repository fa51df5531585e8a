"""Minibatch descent: a step for each batch of the samples, in a seeded order.

The batches are runs of consecutive samples, so that they can be read from a file. The
order of an epoch is a function of the key and the epoch alone, and all else that a step
depends on is in the state. So a descent that was interrupted goes on as if it had not
been.
"""

# Over 300 lines: a third of them document one function and the state that it returns.

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from jlogreg.base.arrays import as_array
from jlogreg.base.checks import AnyArray, check_count, check_key, refuse_traced
from jlogreg.base.errors import DtypeError
from jlogreg.base.params import Params
from jlogreg.base.programs import program
from jlogreg.data.design import Design
from jlogreg.data.devices.deal import without_mesh
from jlogreg.data.devices.spread import gather
from jlogreg.data.digest import digest
from jlogreg.data.samples import Samples
from jlogreg.data.streaming.streamed import streams_of
from jlogreg.fitting.options import check_start, free_unknowns
from jlogreg.formulations.problem import Problem
from jlogreg.objective.cost import objective, prepare_problem
from jlogreg.solvers.driver import loop
from jlogreg.solvers.first_order import update_by

__all__ = ["MinibatchDescent", "minibatch_descent"]

# Seconds between two looks at the host, where progress is told and Ctrl-C is heard.
LOOK_SECONDS = 0.5


class MinibatchDescent(NamedTuple):
    """A minibatch descent, ended or under way; what it is resumed from.

    Shapes: params w (n, 1), b (1, 1); costs (1, epoch), the mean cost of the batches of
    each epoch that is done, before their steps. optimizer_state is that of optax; batch
    counts the steps of the epoch under way, and batch_cost () is the sum of their
    costs. epochs is how many were asked for, per_second how many of them this call does
    in a second; arguments a digest, by which a call knows its own state.

    Examples:
        >>> import jax, optax
        >>> import jax.numpy as jnp
        >>> from jlogreg import init_params, minibatch_descent
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> how = {"optimizer": optax.sgd(0.1), "batch_size": 2}
        >>> key = jax.random.key(0)
        >>> first = minibatch_descent(init_params(1), X, y, epochs=3, key=key, **how)
        >>> first.epoch, first.costs.shape
        (3, (1, 3))
    """

    params: Params
    costs: Float[np.ndarray, "1 epoch"]
    optimizer_state: Any
    batch: int
    batch_cost: Float[Any, ""]
    epochs: int
    per_second: float
    arguments: str

    @property
    def epoch(self) -> int:
        """The number of epochs that are done."""
        return int(np.shape(self.costs)[1])

    @property
    def finished(self) -> Bool[np.ndarray, "epochs 1"]:
        """Which epochs are done, for `jlogreg.progress.bar`."""
        return np.arange(self.epochs)[:, None] < self.epoch


def minibatch_descent(
    params: Params,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    optimizer: optax.GradientTransformation,
    epochs: int,
    batch_size: int,
    key: Any,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
    bias: bool = True,
    progress: Callable[[MinibatchDescent], None] | None = None,
    resume: MinibatchDescent | None = None,
) -> MinibatchDescent:
    """Return the parameters after some epochs of minibatch descent; host only.

    Shapes: X (n, m), y (1, m) in [0, 1], w (n, 1), b (1, 1); result
    MinibatchDescent(params, costs (1, epochs), ...), in nats. Batch k is of the samples
    k batch_size to (k + 1) batch_size - 1; the last one ends at m. Each epoch takes a
    step for each of the N batches, in an order drawn from the key and the epoch. The
    cost of a batch B is

        J_B(w, b) = N sum_(i in B) weight_i L(z_i, y_i) / sum_i weight_i
                    + 1/2 sum_j l2_j w_j^2,

    whose mean over the batches is J, equation (8) of docs/derivation.md: so the
    gradient of a batch drawn at random is unbiased, also where the last is smaller or
    the weights differ. Without these it is `value_and_gradient` of the batch. As the
    batches are fixed, shuffle samples that are sorted by their labels first.

    Args:
        params: where to start.
        X: features, a column per sample: an array or a design, such as `Streamed`,
            which reads one batch ahead; not sparse ones.
        y: labels.
        optimizer: an optax transformation, such as optax.sgd(0.1). With a constant rate
            the descent ends near the minimum, with one that decays, at it.
        epochs: number of passes over the samples, at least 0; with resume in all.
        batch_size: samples of a batch, at most m.
        key: a key of jax.random.
        weight: (1, m), at least 0; a weight of 2 counts a sample twice.
        offset: (1, m), added to the logits.
        l2: penalty, a number or one per feature (n, 1), at least 0.
        bias: whether the model has a bias; without one b has to be 0, and stays so.
        progress: called with a MinibatchDescent about twice a second; an error that it
            raises ends the call.
        resume: what an earlier call with the same arguments returned or told progress;
            it goes on from there, bit for bit. epochs may differ, params is not used.
            An optimizer with another rate, but as much memory, is not found out.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        TypeError: if an argument is traced.
        ValueError: if a number is out of range, NaN or infinite (if a feature that is
            read from a file is, the costs are NaN), or resume is of a call with other
            arguments.

    Two optimizers made separately count as different and compile anew, so make one and
    keep it. Samples spread over devices are gathered.

    Examples:
        >>> import jax, optax
        >>> import jax.numpy as jnp
        >>> from jlogreg import init_params, minibatch_descent
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> how = {"optimizer": optax.sgd(0.1), "batch_size": 2}
        >>> key = jax.random.key(0)
        >>> found = minibatch_descent(init_params(1), X, y, epochs=100, key=key, **how)
        >>> print(f"J {found.costs[0, 0]:.1f}, then {found.costs[0, -1]:.1f}")
        J 0.8, then 0.4
    """
    given = (params, X, y, weight, offset, l2)
    instead = "call it outside jit, or take gradient_descent, which may be traced"
    refuse_traced("minibatch_descent", instead, given, key, resume)
    epochs = check_count("epochs", epochs, least=0)
    optimizer, key = _check_optimizer(optimizer), check_key(key)
    params, samples, l2, _ = prepare_problem(*gather(given))
    n, m = samples.X.shape
    if not samples.X.sliceable:
        raise DtypeError(
            "X is sparse, and batches of its samples cannot be taken: pass an array"
        )
    size = check_count("batch_size", batch_size, least=1)
    if size > m:
        raise ValueError(f"batch_size must be at most m = {m}, but is {size}")
    problem = Problem(samples, l2, free_unknowns(bias, n, samples.X.dtype))
    work = _Work(optimizer, size, problem, key)
    state = work.start(check_start(params, bias), epochs)
    if resume is not None:
        state = _check_resume(resume, state)
    return work.run(state, progress)


class _Work(NamedTuple):
    """What stays the same from the first step to the last."""

    optimizer: optax.GradientTransformation
    size: int
    problem: Problem
    key: Array

    @property
    def n_batches(self) -> int:
        """The number of batches, of which the last may be smaller."""
        return -(-self.problem.samples.X.shape[1] // self.size)

    def start(self, params: Params, epochs: int) -> MinibatchDescent:
        """Return the state before the first step."""
        (X, *rows), *settings = self.problem
        # Features are known by their shape, their file and their first batch.
        files = [part.identity() for part in streams_of(X)]
        known = str(X.shape), files, _first_batch(self.size, X)
        key = jax.random.key_data(self.key)
        dtype = X.dtype
        return MinibatchDescent(
            params=params,
            costs=np.zeros((1, 0), dtype),
            optimizer_state=_begin(self.optimizer, params),
            batch=0,
            batch_cost=np.zeros((), dtype),
            epochs=epochs,
            per_second=0.0,
            arguments=digest(known, rows, settings, key, str(self.size)),
        )

    @without_mesh
    def run(
        self,
        state: MinibatchDescent,
        progress: Callable[[MinibatchDescent], None] | None,
    ) -> MinibatchDescent:
        """Return the state after the last epoch."""
        samples = self.problem.samples
        # A batch's share of the weights, by which its sums are divided.
        total = samples.total_weight() / self.n_batches
        share = as_array(np.asarray(total, samples.X.dtype))
        streams = streams_of(samples.X)
        length, done, begun = 1, 0, time.perf_counter()
        try:
            for epoch in range(state.epoch, state.epochs):
                order = _order(self.n_batches, self.key, as_array(np.int32(epoch)))
                for stream in streams:
                    stream.follow(self.reads(order, epoch, state.epochs), self.size)
                while state.epoch == epoch:
                    before, left = time.perf_counter(), self.n_batches - state.batch
                    count = length if length < left else left
                    state = self.advance(state, share, order, count)
                    done, now = done + count, time.perf_counter()
                    # How many batches a program takes changes no result.
                    quick = now - before < LOOK_SECONDS
                    length = 2 * length if quick else length // 2 or 1
                    rate = done / self.n_batches / (now - begun)
                    state = state._replace(per_second=rate)
                    if progress is not None:
                        progress(state)
        finally:
            for stream in streams:
                stream.follow([], self.size)
        return state

    def reads(self, order: Array, epoch: int, epochs: int) -> list[int]:
        """Return where the batches of an epoch begin, and the first of the next."""
        batches = np.asarray(order)
        if epoch + 1 < epochs:
            later = as_array(np.int32(epoch + 1))
            following = np.asarray(_order(self.n_batches, self.key, later))
            batches = np.append(batches, following[0])
        last = self.problem.samples.X.shape[1] - self.size
        begins: list[int] = (self.size * batches).tolist()
        return [begin if begin < last else last for begin in begins]

    def advance(
        self, state: MinibatchDescent, share: Array, order: Array, count: int
    ) -> MinibatchDescent:
        """Return the state after some more batches of an epoch."""
        begin, stop = state.batch, state.batch + count
        limits = as_array(np.array([begin, stop], np.int32))
        point = state.params, state.optimizer_state, as_array(state.batch_cost)
        static = (self.optimizer, self.size)
        point = _steps(*static, self.problem, share, order, limits, point)
        # On the host, which so waits for the program.
        cost: Any = np.asarray(point[2])
        costs = state.costs
        if stop == self.n_batches:
            mean = (cost / self.n_batches).astype(cost.dtype)
            costs = np.append(costs, mean[None, None], axis=1)
            stop, cost = 0, np.zeros_like(cost)
        return state._replace(
            params=point[0],
            optimizer_state=point[1],
            costs=costs,
            batch=stop,
            batch_cost=cost,
        )


@partial(program, static_argnums=0)
def _begin(optimizer: optax.GradientTransformation, params: Params) -> optax.OptState:
    """Return an optimizer's state before the first step."""
    return optimizer.init(params)


@partial(program, static_argnums=0)
def _first_batch(size: int, X: Design) -> Float[Array, "n size"]:
    """Return the features of the first batch."""
    return X.slice_samples(0, size).dense()


@partial(program, static_argnums=0)
def _order(n_batches: int, key: Array, epoch: Array) -> Int[Array, " n_batches"]:
    """Return the order of the batches in an epoch."""
    return jax.random.permutation(jax.random.fold_in(key, epoch), n_batches)


_Point: TypeAlias = tuple[Params, optax.OptState, Array]


@partial(program, static_argnums=(0, 1))
def _steps(
    optimizer: optax.GradientTransformation,
    size: int,
    problem: Problem,
    share: Array,
    order: Int[Array, " n_batches"],
    limits: Int[Array, " 2"],
    point: _Point,
) -> _Point:
    """Return parameters, optimizer's state and sum of costs after some batches.

    Args:
        optimizer: that of optax.
        size: samples of a batch.
        problem: that of all samples.
        share: what the sums over a batch are divided by.
        order: of the batches.
        limits: the first place in the order, and the one after the last.
        point: what is returned, before these batches.
    """
    samples, l2, free = problem[:3]

    def step(place: Array, point: _Point) -> _Point:
        params, memory, cost = point
        batch = _batch(samples, order[place], size)

        def at(params: Params) -> tuple[Array, Params]:
            J, slope = objective(params, batch, l2, total=share)
            return J, slope if free is None else slope._replace(b=0 * slope.b)

        J, slope = at(params)
        updates, memory = update_by(
            optimizer, lambda point: at(point)[0], params, J, slope, memory
        )
        return optax.apply_updates(params, updates), memory, cost + J

    def advance(now: tuple[Array, Any]) -> tuple[Array, Any]:
        return now[0] + 1, step(*now)

    return loop(lambda now: now[0] < limits[1], advance, (limits[0], point))[1]


def _batch(samples: Samples, number: Array, size: int) -> Samples:
    """Return a batch; the last one ends at m, and samples of others weigh nothing."""
    m = samples.X.shape[1]
    begin = number * size
    if m % size == 0:
        return samples.slice_samples(begin, size)
    start = jnp.where(begin < m - size, begin, m - size)
    batch = samples.slice_samples(start, size)
    own = start + jnp.arange(size)[None] >= begin
    return batch._replace(weight=jnp.where(own, batch.weights(), 0.0))


def _check_optimizer(optimizer: Any) -> optax.GradientTransformation:
    is_one = hasattr(optimizer, "init") and hasattr(optimizer, "update")
    if is_one and isinstance(optimizer, Hashable):
        return optimizer
    raise DtypeError(
        "optimizer must be an optax transformation with its rate, such as "
        f"optax.sgd(0.1), but is {optimizer!r}"
    )


def _check_resume(resume: Any, start: MinibatchDescent) -> MinibatchDescent:
    """Return the state to go on from, as arrays like those of the start.

    Raises:
        DtypeError: if it is not a MinibatchDescent.
        ValueError: if it is of a call with other arguments.
    """
    if not isinstance(resume, MinibatchDescent):
        raise DtypeError(
            "resume must be a MinibatchDescent of an earlier call, but is of type "
            f"{type(resume).__name__}"
        )
    kept = (resume.params, resume.optimizer_state)
    shapes, expected = (
        jax.tree.map(np.shape, one)
        for one in (kept, (start.params, start.optimizer_state))
    )
    if resume.arguments != start.arguments or shapes != expected:
        raise ValueError(
            "resume is of a call with other arguments: pass the same data, optimizer, "
            "batch_size and key, or leave resume out"
        )
    params, memory = jax.tree.map(as_array, kept)
    return resume._replace(
        params=params, optimizer_state=memory, epochs=start.epochs, per_second=0.0
    )

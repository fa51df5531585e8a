"""One fit, against the solvers of scikit-learn that suit its shape."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from rich.console import Console

from experiments.benchmarks.harness.compare import (
    TOO_LONG,
    Attempt,
    Way,
    attempt,
    compare,
)
from experiments.benchmarks.harness.problems import Models, Problems
from experiments.benchmarks.peers.scikit_learn import DTYPES, Entry
from jlogreg import Fit, fit

DEVICES = 2


class Work(NamedTuple):
    """The sizes, the penalty, the goal, and the solvers of scikit-learn."""

    features: int
    samples: int
    l2: float
    solvers: tuple[str, ...]
    goal: float = 1e-6  # largest |entry| of the gradient
    rounds: int = 7


MANY_SAMPLES = ("newton-cholesky", "lbfgs", "newton-cg")
TALL = Work(20, 1_000_000, 1e-6, MANY_SAMPLES)
TALL_100 = Work(100, 200_000, 1e-6, MANY_SAMPLES)
WIDE = Work(12_288, 209, 1 / 209, ("newton-cg", "lbfgs", "liblinear"), rounds=9)


def tall(console: Console, work: Work = TALL, name: str = "tall") -> None:
    """Time one fit of 20 x 1 000 000, against scikit-learn."""
    # JAX does not split small products among the cores; with a device for each of two
    # cores, each sums over its own samples.
    with suppress(RuntimeError):  # JAX has started
        jax.config.update("jax_num_cpu_devices", DEVICES)
    random = np.random.default_rng(0)
    X = random.standard_normal((work.features, work.samples), dtype=np.float32)
    w = 2 * random.standard_normal((work.features, 1), dtype=np.float32)
    a = 1 / (1 + np.exp(-((w / np.sqrt(work.features)).T @ X + 0.3)))
    y = (random.random((1, work.samples)) < a).astype(np.float32)
    problem = Problems(np.ascontiguousarray(X.T), y, None, work.l2)
    tried = [_ours("jlogreg", problem)]
    devices = jax.devices()[:DEVICES]
    if len(devices) > 1:
        mesh = jax.make_mesh(
            (len(devices),), ("samples",), (AxisType.Explicit,), devices=devices
        )
        spread = NamedSharding(mesh, PartitionSpec(None, "samples"))
        tried.append(_ours(f"jlogreg, {len(devices)} devices", problem, spread))
    _compare(console, name, work, problem, tried)


def tall_100(console: Console, work: Work = TALL_100) -> None:
    """Time one fit of 100 x 200 000, against scikit-learn."""
    tall(console, work, "tall_100")


def wide(console: Console, work: Work = WIDE) -> None:
    """Time one fit of 12 288 x 209 with a penalty, against scikit-learn."""
    random = np.random.default_rng(0)
    # Pixels in [0, 1).
    X = random.random((work.features, work.samples), dtype=np.float32)
    y = (random.random((1, work.samples)) < 0.35).astype(np.float32)
    problem = Problems(np.ascontiguousarray(X.T), y, None, work.l2)
    _compare(console, "wide", work, problem, [_ours("jlogreg", problem)])


def _ours(name: str, problem: Problems, spread: Any = None) -> Attempt:
    """Return jlogreg's way, with the samples spread over devices or on one."""
    X, y = jax.device_put((problem.X.T, problem.Y), spread)
    compiled, l2 = jax.jit(fit), jnp.asarray(problem.l2, X.dtype)

    def run() -> Fit:
        return jax.block_until_ready(compiled(X, y, l2=l2))

    def check(found: Fit) -> float:
        return problem.largest_gradient(Models(*map(np.asarray, found.params)))

    run()  # compiles
    return attempt(Way(name, run, check, ours=True))


def _compare(
    console: Console, name: str, work: Work, problem: Problems, tried: list[Attempt]
) -> None:
    console.print(
        f"one fit, {work.features} x {work.samples}, float32, l2 = {work.l2:.2g}, to a "
        f"gradient of at most {work.goal:g} (largest entry, computed in float64)"
    )
    peers = [_peer(solver, problem, work.goal) for solver in work.solvers]
    compare(console, name, work, "largest gradient", [*tried, *peers])


def _peer(solver: str, problem: Problems, goal: float) -> Attempt:
    """Return a solver of scikit-learn, in float64 if float32 misses the goal."""
    for dtype in DTYPES:
        entry = Entry(solver, dtype, "two threads")
        tried = entry.loosest(problem, goal, patience=TOO_LONG)
        if tried.reached <= goal:
            break
    return tried

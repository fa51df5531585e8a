"""Gradient descent on a wide problem, against vectorized NumPy."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console

from experiments import baselines
from experiments.benchmarks.harness.compare import Way, attempt, compare
from jlogreg import Descent, gradient_descent, init_params


class Work(NamedTuple):
    """The sizes, the learning rate, the goal, and the rounds."""

    features: int = 12_288
    samples: int = 209
    steps: int = 2000
    learning_rate: float = 0.005
    goal: float = 1e-4  # largest error of w and of J, relative to the largest entry
    rounds: int = 7


WORK = Work()


def run(console: Console, work: Work = WORK) -> None:
    """Time 2000 steps of gradient descent on 12 288 x 209, against NumPy."""
    random = np.random.default_rng(0)
    # Pixels in [0, 1).
    X = random.random((work.features, work.samples), dtype=np.float32)
    y = (random.random((1, work.samples)) < 0.35).astype(np.float32)
    w, b = np.zeros((work.features, 1), np.float32), np.zeros((1, 1), np.float32)
    data = init_params(work.features, X.dtype), jnp.asarray(X), jnp.asarray(y)
    wait: Any = jax.block_until_ready
    options: dict[str, Any] = {"learning_rate": work.learning_rate, "steps": work.steps}
    plain = jax.jit(partial(gradient_descent, **options))
    # The same steps on X itself: with an optimizer of the user, they cannot be taken in
    # the span of the samples.
    direct = jax.jit(partial(gradient_descent, optimizer=optax.sgd, **options))
    descend: Any = partial(baselines.gradient_descent, **options)
    exact, _, costs = descend(*(array.astype(float) for array in (w, b, X, y)))

    def error(w: Any, J: Any) -> float:
        distance = np.abs(np.asarray(w, float) - exact).max() / np.abs(exact).max()
        return float(max(distance, abs(float(J) / costs[-1] - 1)))

    def check(found: Descent) -> float:
        return error(found.params.w, found.costs[0, -1])

    def check_numpy(found: Any) -> float:
        w, _, costs = found
        return error(w, costs[-1])

    ways = (
        Way("NumPy", lambda: descend(w, b, X, y), check_numpy),
        Way("jlogreg, on X itself", lambda: wait(direct(*data)), check, ours=True),
        Way("jlogreg", lambda: wait(plain(*data)), check, ours=True),
    )
    console.print(
        f"{work.steps} steps of gradient descent, {work.features} x {work.samples}, "
        f"float32, to errors of at most {work.goal:g} of the largest entry of w and of "
        f"J, which falls from {costs[0]:.6f} to {costs[-1]:.6f}"
    )
    for way in ways[1:]:
        way.run()  # compiles
    tried = [attempt(way) for way in ways]
    compare(console, "descent", work, "largest error", tried)

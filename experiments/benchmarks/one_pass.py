"""One cost and gradient over a tall problem, against vectorized NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments import baselines
from experiments.benchmarks.harness.compare import Way, attempt, compare
from jlogreg import Params, value_and_gradient

PARTS = 20  # of the samples, for the reference in float64


class Work(NamedTuple):
    """The sizes, the goal, and the rounds."""

    features: int = 100
    samples: int = 2_000_000
    goal: float = 1e-4  # largest error of J and of the gradient, relative
    rounds: int = 21


WORK = Work()


def run(console: Console, work: Work = WORK) -> None:
    """Time one cost and gradient over 100 x 2 000 000, against NumPy."""
    random = np.random.default_rng(0)
    X = random.standard_normal((work.features, work.samples), dtype=np.float32)
    y = (random.random((1, work.samples)) < 0.5).astype(np.float32)
    w = random.standard_normal((work.features, 1), dtype=np.float32) / 10
    b = np.zeros((1, 1), np.float32)
    params = Params(w=jnp.asarray(w), b=jnp.asarray(b))
    features, labels = jnp.asarray(X), jnp.asarray(y)
    compiled, plain_sum = jax.jit(value_and_gradient), jax.jit(jnp.sum)
    check = _check(w, b, X, y)
    ways = (
        Way("NumPy", lambda: baselines.value_and_gradient(w, b, X, y), check),
        Way(
            "jlogreg",
            lambda: jax.block_until_ready(compiled(params, features, labels)),
            lambda answer: check((answer[0], *answer[1])),
            ours=True,
        ),
        Way(
            "plain sum of X",
            lambda: jax.block_until_ready(plain_sum(features)),
            lambda _: 0.0,
            bound=True,
        ),
    )
    console.print(
        f"one cost and gradient, {work.features} x {work.samples}, float32, to errors "
        f"of at most {work.goal:g} of J and of the largest entry of the gradient"
    )
    for way in ways:
        way.run()  # compiles
    tried = [attempt(way) for way in ways]
    compare(console, "pass", work, "largest error", tried, size=X.nbytes)


def _check(
    w: np.ndarray, b: np.ndarray, X: np.ndarray, y: np.ndarray
) -> Callable[[Any], float]:
    """Return a function of J, dw and db that computes their largest relative error."""
    # In float64, some samples at a time: X would take twice its memory.
    parts = [
        baselines.value_and_gradient(w, b, X[:, part].astype(float), y[:, part])
        for part in np.split(np.arange(X.shape[1]), PARTS)
    ]
    exact = [np.mean(values, axis=0) for values in zip(*parts, strict=True)]
    largest = max(float(np.abs(slope).max()) for slope in exact[1:])

    def check(answer: Any) -> float:
        J, *slopes = (
            np.abs(np.asarray(own, float) - expected).max()
            for own, expected in zip(answer, exact, strict=True)
        )
        return float(max(J / exact[0], max(slopes) / largest))

    return check

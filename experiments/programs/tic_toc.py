"""Time the same work by explicit loops, by vectorized NumPy and by jit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from experiments import baselines
from experiments.config import Count, Section, WholeNumber
from experiments.runner import Row
from experiments.storage.run import Run
from experiments.timing import Ways, interleaved, median, ratio
from jlogreg import Params, loops, value_and_gradient
from jlogreg.plots import time_bars

WAYS = ("loops", "NumPy", "jit")


class SizeConfig(Section):
    """The sizes of the work, and the rounds.

    Attributes:
        features: those of the cost and its gradient.
        samples: those of the cost and its gradient.
        dot: the length of the vectors of the dot product.
        rounds: how often each way is timed.
    """

    features: Count
    samples: Count
    dot: Count
    rounds: Count = 5


class Config(Section):
    """The work to time.

    Attributes:
        seed: that of the random numbers.
    """

    program: Literal["tic_toc"]
    size: SizeConfig
    seed: WholeNumber = 0


def load(config: Config) -> np.random.Generator:
    """Return the generator of the random data."""
    return np.random.default_rng(config.seed)


def work(config: Config, data: np.random.Generator, run: Run) -> Sequence[Row]:
    """Time each way to do each piece of work, interleaved; draw the times as bars."""
    size = config.size
    works = {
        f"cost and gradient, {size.features} x {size.samples}": _pass_ways(size, data),
        f"dot product, {size.dot}": _dot_ways(size, data),
    }
    run.begin_metrics()  # times are measured again, not resumed
    rows: list[Row] = []
    table = []
    with run.progress("timing", len(works)) as advance:
        for name, ways in works.items():
            results = [float(np.asarray(ways[way]())) for way in WAYS]
            seconds = interleaved(ways, size.rounds)
            table.append([median(seconds, way) for way in WAYS])
            for way, result in zip(WAYS, results, strict=True):
                rows.append(
                    {
                        "work": name,
                        "way": way,
                        "ms": 1e3 * median(seconds, way),
                        "times as fast as loops": ratio(seconds, "loops", way),
                        "result": f"{result:.6f}",
                    }
                )
                run.log(work=name, way=way, seconds=seconds[way])
            advance(1)
    times = np.array(table, np.float32)
    run.write_figure("times.png", time_bars(times, WAYS, list(works)))
    return rows


def _pass_ways(size: SizeConfig, random: np.random.Generator) -> Ways:
    """Return three ways to compute J and its gradient; each returns J."""
    X = random.standard_normal((size.features, size.samples), dtype=np.float32)
    w = random.standard_normal((size.features, 1), dtype=np.float32) / 10
    b = np.zeros((1, 1), np.float32)
    y = (random.random((1, size.samples)) < 0.5).astype(np.float32)
    compiled: Any = jax.jit(value_and_gradient)
    params = Params(w=jnp.asarray(w), b=jnp.asarray(b))
    arrays = params, jnp.asarray(X), jnp.asarray(y)
    return {
        "loops": lambda: loops.value_and_gradient(params, X, y)[0],
        "NumPy": lambda: baselines.value_and_gradient(w, b, X, y)[0],
        "jit": lambda: jax.block_until_ready(compiled(*arrays))[0],
    }


def _dot_ways(size: SizeConfig, random: np.random.Generator) -> Ways:
    u = random.standard_normal((size.dot, 1))
    v = random.standard_normal((size.dot, 1))
    compiled = jax.jit(lambda u, v: u.T @ v)
    arrays = jnp.asarray(u), jnp.asarray(v)
    return {
        "loops": lambda: loops.dot(u, v),
        "NumPy": lambda: (u.T @ v).item(),
        "jit": lambda: jax.block_until_ready(compiled(*arrays)).item(),
    }

"""Descend with many learning rates in one vmapped call; report which diverge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import msgspec
import numpy as np

from experiments.config import Count, NonNegative, Positive, Section, WholeNumber
from experiments.datasets import load as datasets
from experiments.datasets.load import Data, DataConfig
from experiments.runner import Row
from experiments.storage.run import Run
from jlogreg import gradient_descent, init_params
from jlogreg.plots import cost_curves


class SweepConfig(Section):
    """The rates to try, and the steps of each descent.

    Attributes:
        learning_rates: a descent for each.
        steps: those of each descent.
        l2: the penalty.
    """

    learning_rates: Annotated[list[Positive], msgspec.Meta(min_length=1)]
    steps: Count
    l2: NonNegative = 0.0


class Config(Section):
    """The data, and the learning rates.

    Attributes:
        seed: that of the split of the data.
    """

    program: Literal["learning_rates"]
    data: DataConfig
    sweep: SweepConfig
    seed: WholeNumber = 0


def load(config: Config) -> Data:
    """Return the data that the configuration names."""
    return datasets.load(config.data, config.seed)


def work(config: Config, data: Data, run: Run) -> Sequence[Row]:
    """Descend at every rate in one call, and draw the curves."""
    X, y = jnp.asarray(data.X_train), jnp.asarray(data.y_train)
    start = init_params(X.shape[0], X.dtype)
    settings = config.sweep

    def descend(rate: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        params, costs = gradient_descent(
            start, X, y, learning_rate=rate, steps=settings.steps, l2=settings.l2
        )
        return params.w, params.b, costs[0]

    rates = jnp.asarray(settings.learning_rates, X.dtype)
    w, b, costs = jax.block_until_ready(jax.jit(jax.vmap(descend))(rates))
    names = [f"{rate:g}" for rate in settings.learning_rates]
    diverged = has_diverged(np.asarray(costs))
    labels = [
        f"{name}{' (diverged)' if bad else ''}"
        for name, bad in zip(names, diverged, strict=True)
    ]
    run.write_arrays(
        "params.npz", w=w, b=b, costs=costs, learning_rates=rates, **data.units
    )
    ceiling = 1e4 * float(costs[0, 0])
    run.write_figure("costs.png", cost_curves(costs, labels, ceiling=ceiling))
    bad = [name for name, flag in zip(names, diverged, strict=True) if flag]
    run.console.print(
        f"{len(names)} descents of {settings.steps} steps in one call; diverged: "
        + (", ".join(bad) or "none")
    )
    return [
        {
            "learning rate": rate,
            "J at the end": float(curve[-1]),
            "smallest J": float(np.nanmin(curve)),
            "diverged": "yes" if flag else "no",
        }
        for rate, curve, flag in zip(
            settings.learning_rates, np.asarray(costs), diverged, strict=True
        )
    ]


def has_diverged(costs: np.ndarray) -> list[bool]:
    """Return for each row of costs (K, steps) whether its descent diverged.

    Gradient descent with a rate below 2 / L, L the largest curvature, never raises the
    cost. A larger one may jump at first and still settle. A descent has diverged if in
    the second half of its steps a cost is above the first cost, or NaN.
    """
    settled = [row[row.size // 2 :].max() <= row[0] for row in costs]
    return [not bool(flag) for flag in settled]

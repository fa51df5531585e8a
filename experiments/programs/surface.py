"""Draw two costs of one feature over the plane of (w, b): convex, and not convex."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import msgspec
import numpy as np

from experiments.config import Count, Positive, Section, Text, WholeNumber
from experiments.datasets import load as datasets
from experiments.datasets.load import Data, DataConfig
from experiments.errors import UserError
from experiments.runner import Row
from experiments.storage.run import Run
from jlogreg import Params, cost, gradient_descent, logits, squared_loss
from jlogreg.plots import cost_surface


class SurfaceConfig(Section):
    """The feature, the part of the plane, and the descent.

    Attributes:
        feature: the name of the one feature.
        w: the ends of the axis of the weight.
        b: the ends of the axis of the bias.
        start: w and b where the descent begins.
        learning_rate: how far a step goes along the gradient.
        steps: those of the descent.
        points: those on each axis, at which the cost is computed.
    """

    feature: Text
    w: tuple[float, float]
    b: tuple[float, float]
    start: tuple[float, float]
    learning_rate: Positive
    steps: Count
    points: Annotated[int, msgspec.Meta(ge=3, le=2000)] = 121


class Config(Section):
    """The data, and the surface to draw.

    Attributes:
        seed: that of the split of the data.
    """

    program: Literal["surface"]
    data: DataConfig
    surface: SurfaceConfig
    seed: WholeNumber = 0


def load(config: Config) -> Data:
    """Return the data with the one feature that the configuration names."""
    data = datasets.load(config.data, config.seed)
    names = data.features or ()
    if config.surface.feature not in names:
        raise UserError(
            f"surface.feature: there is no {config.surface.feature!r}, only "
            + (", ".join(names) or "pixels without names")
        )
    row = [names.index(config.surface.feature)]
    return data._replace(X_train=data.X_train[row], X_test=data.X_test[row])


# Over 40 lines: the files and the table, one after the other.
def work(config: Config, data: Data, run: Run) -> Sequence[Row]:
    """Evaluate both costs on the grid in one call each, descend, and draw."""
    X, y = jnp.asarray(data.X_train), jnp.asarray(data.y_train)
    settings = config.surface
    w = jnp.linspace(*settings.w, settings.points, dtype=X.dtype).reshape(1, -1)
    b = jnp.linspace(*settings.b, settings.points, dtype=X.dtype).reshape(-1, 1)

    def squared(params: Params) -> jax.Array:
        return squared_loss(logits(params, X), y).mean()

    surfaces = {
        "log loss": _on_grid(lambda params: cost(params, X, y), w, b),
        "squared error": _on_grid(squared, w, b),
    }
    path, costs = _path(config, X, y)
    run.write_figure(
        "log_loss.png",
        cost_surface(w, b, surfaces["log loss"], path, "J, the mean log loss: convex"),
    )
    run.write_figure(
        "squared_error.png",
        cost_surface(
            w,
            b,
            surfaces["squared error"],
            title="mean squared error of the probability: not convex",
            label="mean of (a - y)² / 2",
        ),
    )
    run.write_arrays(
        "surfaces.npz",
        w=w,
        b=b,
        log_loss=surfaces["log loss"],
        squared_error=surfaces["squared error"],
        path=path,
        costs=costs,
    )
    run.console.print(
        f"{settings.steps} steps from (w, b) = ({path[0, 0]:g}, {path[1, 0]:g}) to "
        f"({path[0, -1]:.4f}, {path[1, -1]:.4f}): J {float(costs[0, 0]):.6f} to "
        f"{float(costs[0, -1]):.6f}"
    )
    return [
        {
            "cost": name,
            "smallest on the grid": float(J.min()),
            "largest on the grid": float(J.max()),
            "midpoints above the chord": count_violations(J),
        }
        for name, J in surfaces.items()
    ]


def count_violations(J: jax.Array) -> int:
    """Return the number of grid points where J lies above the mean of two neighbors.

    Shapes: J (q, p). A convex function never does, along w, along b or along either
    diagonal. An excess below 100 eps of the largest |J| is rounding error and is not
    counted.
    """
    middle = J[1:-1, 1:-1]
    chords = [
        (J[1:-1, :-2] + J[1:-1, 2:]) / 2,
        (J[:-2, 1:-1] + J[2:, 1:-1]) / 2,
        (J[:-2, :-2] + J[2:, 2:]) / 2,
        (J[:-2, 2:] + J[2:, :-2]) / 2,
    ]
    slack = 100 * np.finfo(J.dtype).eps * jnp.abs(J).max()
    above = jnp.stack([middle > chord + slack for chord in chords])
    return int(above.any(axis=0).sum())


def _on_grid(f: Callable[[Params], jax.Array], w: jax.Array, b: jax.Array) -> jax.Array:
    """Return f(Params(w, b)) on the grid (q, p) of a row w and a column b."""

    def at(w: jax.Array, b: jax.Array) -> jax.Array:
        return f(Params(w=w.reshape(1, 1), b=b.reshape(1, 1)))

    over_w = jax.vmap(at, in_axes=(0, None))
    return jax.jit(jax.vmap(over_w, in_axes=(None, 0)))(w[0], b[:, 0])


def _path(config: Config, X: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return w and b (2, steps + 1) and J (1, steps + 1) at every step of a descent."""
    settings = config.surface

    def step(params: Params, _: None) -> tuple[Params, tuple[jax.Array, jax.Array]]:
        after, costs = gradient_descent(
            params, X, y, learning_rate=settings.learning_rate, steps=1
        )
        return after, (jnp.concatenate([params.w, params.b])[:, 0], costs[0, 0])

    w, b = settings.start
    start = Params(w=jnp.full((1, 1), w, X.dtype), b=jnp.full((1, 1), b, X.dtype))
    _, (points, costs) = jax.lax.scan(step, start, length=settings.steps + 1)
    return points.T, costs.reshape(1, -1)

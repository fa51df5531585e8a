"""Learn to tell two classes apart by gradient descent, and draw the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from experiments.config import Count, NonNegative, Positive, Section, WholeNumber
from experiments.datasets import load as datasets
from experiments.datasets.files import Floats
from experiments.datasets.load import Data, DataConfig
from experiments.runner import Row
from experiments.storage.run import Run
from jlogreg import (
    Params,
    cost,
    gradient_descent,
    init_params,
    log_loss,
    logits,
    predict,
    sigmoid,
)
from jlogreg.plots import cost_curves, image_grid, weights_bars, weights_image


class DescentConfig(Section):
    """The descent.

    Attributes:
        learning_rate: how far a step goes along the gradient.
        steps: those of the descent.
        print_every: the steps from one line of the cost to the next.
        l2: the penalty.
    """

    learning_rate: Positive
    steps: Count
    print_every: Count = 100
    l2: NonNegative = 0.0


class Config(Section):
    """The data, and the descent.

    Attributes:
        seed: that of the split of the data.
    """

    program: Literal["classify"]
    data: DataConfig
    descent: DescentConfig
    seed: WholeNumber = 0


def load(config: Config) -> Data:
    """Return the data that the configuration names."""
    return datasets.load(config.data, config.seed)


def work(config: Config, data: Data, run: Run) -> Sequence[Row]:
    """Descend; write the parameters, and draw costs, weights and largest losses."""
    run.console.print(
        f"{data.X_train.shape[1]} samples to learn from, {data.X_test.shape[1]} held "
        f"out, {data.X_train.shape[0]} features each"
    )
    samples = run.group.spread(data.X_train, data.y_train)
    params, costs = _descend(config, data, samples, run)
    X, y, weight = samples
    J = float(cost(params, X, y, weight=weight, l2=config.descent.l2))
    run.console.print(f"step {config.descent.steps:>6}   J {J:.6f}")
    run.write_figure("cost.png", cost_curves(costs))
    _draw_weights(params, data, run)
    _draw_largest_losses(params, data, run)
    rows: list[Row] = [
        _row("cost J at the start", float(costs[0, 0]), "nats"),
        _row("cost J at the end", J, "nats"),
        _row("train accuracy", _accuracy(params, data.X_train, data.y_train), "%"),
        _row("test accuracy", _accuracy(params, data.X_test, data.y_test), "%"),
    ]
    if trouble := _trouble(np.append(costs[0], J)):
        run.console.print(f"{trouble}: descent.learning_rate is too large.")
    return rows


def _trouble(costs: np.ndarray) -> str:
    """Return how a descent with these costs went wrong, "" if it did not.

    Near the minimum a cost may rise by rounding.
    """
    if not costs[-1] <= costs[0]:
        return "J rose, or is not a number"
    rises = int((np.diff(costs) > 1e-4 * costs[:-1]).sum())
    return f"J rose in {rises} of {len(costs) - 1} steps" if rises else ""


def _descend(
    config: Config, data: Data, samples: tuple[Any, Any, Any], run: Run
) -> tuple[Params, Floats]:
    """Return the parameters and the costs (1, steps), resumed from the run's folder.

    The steps are the same whether the run was interrupted or not: always print_every
    of them in one compiled call, from parameters that were written exactly.
    """
    settings = config.descent
    # The data are arguments, not constants of the compiled function.
    descend = jax.jit(gradient_descent, static_argnames="steps")
    X, y, weight = samples
    options = {
        "weight": weight,
        "learning_rate": settings.learning_rate,
        "l2": settings.l2,
    }
    params, costs = init_params(X.shape[0], X.dtype), np.zeros((1, 0), np.float32)
    saved = run.read_arrays("params.npz")
    if saved is not None:
        params = Params(w=jnp.asarray(saved["w"]), b=jnp.asarray(saved["b"]))
        costs = saved["costs"]
        run.console.print(f"Resuming after step {costs.shape[1]}.")
    begun = range(0, costs.shape[1], settings.print_every)
    run.begin_metrics({"step": k, "cost": float(costs[0, k])} for k in begun)
    with run.progress("descending", settings.steps, costs.shape[1]) as advance:
        while (done := costs.shape[1]) < settings.steps:
            steps = min(settings.print_every, settings.steps - done)
            params, more = descend(params, X, y, steps=steps, **options)
            params, more = jax.device_get((params, more))  # X may lie elsewhere, too
            run.console.print(f"step {done:>6}   J {float(more[0, 0]):.6f}")
            run.log(step=done, cost=float(more[0, 0]))
            costs = np.concatenate([costs, more], axis=1)
            run.write_arrays(
                "params.npz", w=params.w, b=params.b, costs=costs, **data.units
            )
            advance(steps)
    return params, costs


def _accuracy(params: Params, X: np.ndarray, y: np.ndarray) -> float:
    return 100 * float(np.mean(np.asarray(predict(params, X)) == y))


def _row(quantity: str, value: float, unit: str) -> Row:
    return {"quantity": quantity, "value": value, "unit": unit}


def _draw_weights(params: Params, data: Data, run: Run) -> None:
    if data.image_shape is not None:
        figure = weights_image(params.w, data.image_shape)
    else:
        figure = weights_bars(
            params.w,
            data.features,
            per="standard deviation" if data.units else "unit",
        )
    run.write_figure("weights.png", figure)


def _draw_largest_losses(params: Params, data: Data, run: Run, most: int = 8) -> None:
    """Draw the held-out images with the largest loss, the largest first."""
    if data.image_shape is None:
        return
    z = logits(params, data.X_test)
    order = np.argsort(-np.asarray(log_loss(z, data.y_test))[0])[:most]
    a = np.asarray(sigmoid(z))[0, order]
    truth = data.y_test[0, order].astype(int)
    titles = [
        f"{data.classes[label]}{'' if (p > 0.5) == label else ' (wrong)'}\na = {p:.2f}"
        for label, p in zip(truth, a, strict=True)
    ]
    images = data.X_test[:, order].T.reshape(-1, *data.image_shape)
    figure = image_grid(images, titles)
    figure.suptitle(f"held out, largest loss first; a = P({data.classes[1]})")
    run.write_figure("largest_losses.png", figure)

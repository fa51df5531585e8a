"""Fit the same model with fewer and fewer loops, and time each way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal, TypeAlias

import jax
import msgspec
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from experiments.baselines import Floats as Arrays
from experiments.baselines import Pass, by_samples
from experiments.baselines import gradient_descent as numpy_descent
from experiments.config import Count, Positive, Section, WholeNumber
from experiments.datasets import load as datasets
from experiments.datasets.files import Floats
from experiments.datasets.load import Digits, DigitsConfig
from experiments.errors import UserError
from experiments.runner import Row
from experiments.storage.run import Run
from experiments.timing import interleaved, median, ratio
from jlogreg import Params, gradient_descent, init_params, loops
from jlogreg.base.checks import AnyArray
from jlogreg.plots import time_bars

# The Python loops that remain in each way to fit all models.
LEFT = {
    "both loops": "models, steps, samples, features",
    "one loop": "models, steps, samples",
    "no loop": "models, steps",
    "jit": "models",
    "vmap": "none",
    "both cores": "none",
}


DEVICES = 2
SAME = 1e-6  # nats
# w (n, 1) and b (1, 1) of one model, or w (K, n, 1) and b (K, 1, 1) of K.
Fitted: TypeAlias = tuple[AnyArray, AnyArray]
Way: TypeAlias = Callable[[], Fitted]


class DescentConfig(Section):
    """The descents of all models, and the model that is shown.

    There is one model for each digit at each of the learning rates, evenly spaced
    up to the largest. The model that is shown is at the largest.

    Attributes:
        digit: that of the model that is shown.
        learning_rate: the largest learning rate.
        rates: how many learning rates.
        steps: those of each descent.
    """

    digit: Annotated[int, msgspec.Meta(ge=0, le=9)]
    learning_rate: Positive
    rates: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    steps: Count


class TimingConfig(Section):
    """How often it is timed.

    Attributes:
        rounds: how often each way is timed.
    """

    rounds: Count = 5


class Config(Section):
    """The data, the descents, and the rounds.

    Attributes:
        seed: that of the split of the data.
    """

    program: Literal["vectorising"]
    data: DigitsConfig
    descent: DescentConfig
    timing: TimingConfig
    seed: WholeNumber = 0


def load(config: Config) -> Digits:
    """Return the digits, and let JAX start with a device for each of two cores.

    Raises:
        UserError: if the digits cannot be split, or JAX has started with one device.
    """
    if getattr(jax.config, "jax_num_cpu_devices", -1) == -1:  # not set by the user
        with suppress(RuntimeError):  # JAX has started
            jax.config.update("jax_num_cpu_devices", DEVICES)
    if len(jax.devices("cpu")) < DEVICES:
        raise UserError("JAX has started with one CPU device, and two are compared")
    return datasets.load_digits(config.data, config.seed)


def work(config: Config, data: Digits, run: Run) -> Sequence[Row]:
    """Fit the model in each way, compare J, time the ways, and draw the times."""
    settings = config.descent
    X, y = data.X_train, data.Y_train[[settings.digit]]
    ways = by_numpy(X, y, settings) | by_jax(X, data.Y_train, settings)
    run.begin_metrics()  # times are measured again, not resumed
    fitted = {name: way() for name, way in ways.items()}
    same = {name: _of(shown(settings), model) for name, model in fitted.items()}
    costs = {name: final_cost(*model, X, y) for name, model in same.items()}
    check_same(costs)
    w, b = (np.stack(values) for values in zip(*same.values(), strict=True))
    run.write_arrays("params.npz", w=w, b=b)
    models = {name: b.size for name, (_, b) in fitted.items()}
    seconds = _time(ways, models, config.timing.rounds, run)
    times = {name: median(seconds, name) for name in ways}
    title = f"one model of {X.shape[0]} x {X.shape[1]}, {settings.steps} steps"
    run.write_figure(
        "times.png", time_bars(np.array([[*times.values()]]), [*ways], [title])
    )
    return [
        {
            "way": name,
            "loops left": LEFT[name],
            "ms a model": 1e3 * times[name],
            "times as fast": ratio(seconds, "both loops", name),
            "J": f"{costs[name]:.6f}",
        }
        for name in ways
    ]


def by_numpy(X: Floats, y: Floats, settings: DescentConfig) -> dict[str, Way]:
    """Return the ways by plain Python and NumPy; each fits the model of y (1, m)."""
    w, b = np.zeros((X.shape[0], 1), X.dtype), np.zeros((1, 1), X.dtype)
    start = w, b, X, y, settings.learning_rate, settings.steps

    def fit(*how: Pass) -> Fitted:
        # The costs of the steps may overflow; J is computed from the parameters.
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return numpy_descent(*start, *how)[:2]

    return {
        "both loops": lambda: fit(_by_features),
        "one loop": lambda: fit(by_samples),
        "no loop": fit,
    }


def by_jax(X: Floats, Y: Floats, settings: DescentConfig) -> dict[str, Way]:
    """Return the ways by JAX, on CPU devices like NumPy.

    "jit" fits the model that is shown; the others fit K models, one for each row of
    Y (10, m) at each rate.
    """

    def descend(X: jax.Array, y: jax.Array, rate: jax.Array) -> Params:
        start, steps = init_params(X.shape[0], X.dtype), settings.steps
        return gradient_descent(start, X, y, learning_rate=rate, steps=steps).params

    one = jax.jit(descend)
    many = jax.jit(jax.vmap(descend, in_axes=(None, 0, 0)))
    labels = np.repeat(Y, settings.rates, axis=0)[:, None]  # (K, 1, m)
    shares = np.arange(1, settings.rates + 1) / settings.rates
    rates = np.tile((settings.learning_rate * shares).astype(X.dtype), len(Y))
    k = shown(settings)
    devices = jax.devices("cpu")[:DEVICES]
    model = jax.device_put((X, labels[k], rates[k]), devices[0])
    models = jax.device_put((X, labels, rates), devices[0])
    # An explicit axis that vmap maps would need jax.set_mesh around the call.
    mesh = jax.make_mesh((DEVICES,), ("models",), (AxisType.Auto,), devices=devices)
    everywhere = NamedSharding(mesh, PartitionSpec())
    apart = NamedSharding(mesh, PartitionSpec("models"))
    spread = jax.device_put((X, labels, rates), (everywhere, apart, apart))
    return {
        "jit": lambda: jax.block_until_ready(one(*model)),
        "vmap": lambda: jax.block_until_ready(many(*models)),
        "both cores": lambda: jax.block_until_ready(many(*spread)),
    }


def shown(settings: DescentConfig) -> int:
    """Return the index of the model that is shown."""
    return (settings.digit + 1) * settings.rates - 1


def final_cost(w: AnyArray, b: AnyArray, X: Floats, y: Floats) -> float:
    """Return J in float64, by the same loops for every way."""
    return loops.cost(*_doubles(w, b, X, y))


def check_same(costs: Mapping[str, float]) -> None:
    """Check that all ways reach the same J.

    Raises:
        UserError: if two differ by 1e-6 or more, or one is not a number.
    """
    if not np.ptp(list(costs.values())) < SAME:
        each = ", ".join(f"{J:.6f} by {name}" for name, J in costs.items())
        raise UserError(
            f"the ways have not come to the same J: {each}; if none of them is wrong, "
            "descent.learning_rate is too large"
        )


def _by_features(
    w: Arrays, b: Arrays, X: Arrays, y: Arrays
) -> tuple[float, Arrays, Arrays]:
    found: Any = loops.value_and_gradient(*_doubles(w, b, X, y))
    J, (dw, db) = found
    return J, dw, db


def _doubles(*arrays: AnyArray) -> tuple[Params, Any, Any]:
    """Return w and b, X and y in float64, the numbers of plain Python."""
    w, b, X, y = (np.asarray(array, float) for array in arrays)
    params: Any = w, b
    return Params(*params), X, y


def _of(k: int, model: Fitted) -> Fitted:
    """Return one model as NumPy arrays: model k, if there are many."""
    w, b = (np.asarray(v) for v in model)
    return (w, b) if w.ndim == 2 else (w[k], b[k])


def _time(
    ways: Mapping[str, Way], models: Mapping[str, int], rounds: int, run: Run
) -> dict[str, list[float]]:
    """Return the seconds for one model, of each way in each round."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with run.progress("timing", rounds) as advance:
        for turn in range(rounds):
            taken = interleaved(ways, 1, once=("both loops", "one loop"))
            for name, (time,) in taken.items():
                seconds[name].append(time / models[name])
            run.log(round=turn, seconds={name: seconds[name][-1] for name in ways})
            advance(1)
    return seconds

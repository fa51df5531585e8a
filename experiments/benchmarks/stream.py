"""A fit of features on disk, as if they were larger than memory, to a held-out loss."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from rich.console import Console
from sklearn.linear_model import SGDClassifier

from experiments.benchmarks.harness.compare import Way, attempt, compare
from jlogreg import Streamed, fit, init_params, minibatch_descent
from jlogreg.data.streaming.sources import RawFile

HELD_OUT = 50_000  # samples
SEEN_MOST = 20  # passes of stochastic descent at most


class Work(NamedTuple):
    """The sizes, the goal, and the rounds."""

    features: int = 50
    samples: int = 4_000_000
    block: int = 81_920  # samples
    batch: int = 8192  # samples, of minibatch descent
    goal: float = 1e-4  # of the held-out loss above the least, in nats
    rounds: int = 5


WORK = Work()


class Cold(RawFile):
    """The rows of a file, which the system is told to keep no longer: each is read."""

    def __init__(self, path: Path, features: int) -> None:
        """Take the file, of rows of so many numbers."""
        shape = path.stat().st_size // (4 * features), features
        super().__init__(np.memmap(path, np.float32, "r", shape=shape), True)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Return the samples start to stop - 1, a row each."""
        n = self.shape[0]
        numbers = np.empty((stop - start) * n, self.dtype)
        self._fill(numbers, start * n)
        return numbers.reshape(-1, n)

    def _fill(self, numbers: np.ndarray, first: int) -> None:
        super()._fill(numbers, first)
        place, count = 4 * first, 4 * len(numbers)
        os.posix_fadvise(self._file, place, count, os.POSIX_FADV_DONTNEED)


def run(console: Console, work: Work = WORK) -> None:
    """Time a fit of 50 x 4 000 000 from disk, to a held-out loss, against SGD."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        random = np.random.default_rng(0)
        w = random.standard_normal((1, work.features)).astype(np.float32) / 3
        path, y = Path(folder, "rows"), np.empty((1, work.samples), np.float32)
        with path.open("wb") as file:
            for part in _parts(work):
                X, y[:, part] = _draw(random, w, part.stop - part.start)
                X.T.tofile(file)
            os.fsync(file.fileno())
        X, labels = _draw(random, w, HELD_OUT)
        console.print(
            f"a fit of {work.features} x {work.samples}, float32, whose pages the "
            f"system drops, to a held-out loss within {work.goal:g} of the least"
        )
        tried = [attempt(way) for way in _ways(work, path, y, _loss(X, labels))]
        size = 4 * work.features * work.samples
        compare(console, "stream", work, "held-out loss", tried, size=size)


def _ways(
    work: Work, path: Path, y: np.ndarray, loss: Callable[[Any], float]
) -> list[Way]:
    source = Cold(path, work.features)
    design = Streamed(source, block=work.block)
    memory = jax.device_put(source.read(0, work.samples).copy())

    def fitted(X: Any) -> Callable[[], Any]:
        return lambda: jax.block_until_ready(fit(X, y, l2=1e-6).params)

    least = loss(fitted(memory)())
    fitted(design)()  # compiles
    in_batches = partial(_descended, work, design, y)
    in_batches()

    def above(params: Any) -> float:
        return max(loss(params) - least, 0.0)

    def alone() -> None:
        for part in _parts(work):
            source.rows(part.start, part.stop)

    return [
        Way("jlogreg, Streamed", fitted(design), above, ours=True),
        Way("jlogreg, minibatch_descent", in_batches, above, ours=True),
        Way("jlogreg, in memory", fitted(memory), above, bound=True),
        Way("one pass over the disk", alone, lambda _: 0.0, bound=True),
        Way(
            "SGDClassifier.partial_fit",
            partial(_averaged, work, source, y, above),
            above,
        ),
    ]


def _descended(work: Work, design: Streamed, y: np.ndarray) -> Any:
    """Return parameters after an epoch of minibatch descent, whose steps shrink."""
    return minibatch_descent(
        init_params(work.features, np.float32), design, y,
        optimizer=_shrinking(-(-work.samples // work.batch)), epochs=1,
        batch_size=work.batch, key=jax.random.key(0), l2=1e-6,
    ).params  # fmt: skip


@functools.cache
def _shrinking(steps: int) -> optax.GradientTransformation:
    """Return gradient descent whose rate falls from 2 to 0."""
    return optax.sgd(lambda step: 2 - 2 / steps * step.astype(np.float32))


def _averaged(
    work: Work, source: Cold, y: np.ndarray, above: Callable[[Any], float]
) -> Any:
    """Return averaged parameters of scikit-learn's stochastic descent at the goal."""
    # Steps that shrink: by default they are too long for alpha.
    steps = {"learning_rate": "invscaling", "eta0": 0.1, "power_t": 0.5}
    model = SGDClassifier(
        loss="log_loss", alpha=1e-6, random_state=0, average=True, **steps
    )
    for _ in range(SEEN_MOST):
        for part in _parts(work):
            rows = source.rows(part.start, part.stop)
            model.partial_fit(rows, y[0, part], classes=[0, 1])
        params = model.coef_.T, model.intercept_[:, None]
        if above(params) <= work.goal:
            break
    return params


def _parts(work: Work) -> Iterator[slice]:
    for start in range(0, work.samples, work.block):
        yield slice(start, min(start + work.block, work.samples))


def _draw(
    random: np.random.Generator, w: np.ndarray, m: int
) -> tuple[np.ndarray, np.ndarray]:
    X = random.standard_normal((w.shape[1], m), np.float32)
    chance = 1 / (1 + np.exp(-w @ X))
    return X, (random.random((1, m)) < chance).astype(np.float32)


def _loss(X: np.ndarray, y: np.ndarray) -> Callable[[Any], float]:
    """Return the mean log loss of samples, as a function of parameters."""
    X, y = X.astype(float), y.astype(float)

    def of(params: Any) -> float:
        w, b = (np.asarray(part, float) for part in params)
        return float(np.mean(np.logaddexp(0, w.T @ X + b) - y * (w.T @ X + b)))

    return of

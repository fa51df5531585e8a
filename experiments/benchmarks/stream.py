"""A fit of features on disk, as if they were larger than memory, to a held-out loss."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from rich.console import Console
from sklearn.linear_model import SGDClassifier

from experiments.benchmarks.harness.compare import Way, attempt, compare
from jlogreg import Streamed, fit, init_params, minibatch_descent

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


class Cold:
    """The rows of a file, which the system is told to keep no longer: each is read."""

    def __init__(self, path: Path, features: int) -> None:
        """Take the file, of rows of so many numbers."""
        self.path, self.dtype = path, np.dtype(np.float32)
        self.shape = features, path.stat().st_size // (4 * features)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Return the samples start to stop - 1, a row each."""
        n = self.shape[0]
        count, place = (stop - start) * n, 4 * start * n
        with self.path.open("rb") as file:
            numbers = np.fromfile(file, self.dtype, count, offset=place)
            os.posix_fadvise(file.fileno(), place, 4 * count, os.POSIX_FADV_DONTNEED)
        return numbers.reshape(-1, n)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the samples start to stop - 1, a column each."""
        return self.rows(start, stop).T


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

    # One epoch, with steps that shrink to none.
    steps = -(-work.samples // work.batch)
    optimizer = optax.sgd(optax.cosine_decay_schedule(2.0, steps))
    start = init_params(work.features, np.float32)

    def descended_in_batches() -> Any:
        return minibatch_descent(
            start, design, y, optimizer=optimizer, epochs=1, batch_size=work.batch,
            key=jax.random.key(0), l2=1e-6,
        ).params  # fmt: skip

    least = loss(fitted(memory)())
    fitted(design)()  # compiles
    descended_in_batches()

    def above(params: Any) -> float:
        return max(loss(params) - least, 0.0)

    def descended() -> Any:
        # Averaged, with steps that shrink: by default the steps are too long for alpha.
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

    def alone() -> None:
        for part in _parts(work):
            source.rows(part.start, part.stop)

    return [
        Way("jlogreg, Streamed", fitted(design), above, ours=True),
        Way("jlogreg, minibatch_descent", descended_in_batches, above, ours=True),
        Way("jlogreg, in memory", fitted(memory), above, bound=True),
        Way("one pass over the disk", alone, lambda _: 0.0, bound=True),
        Way("SGDClassifier.partial_fit", descended, above),
    ]


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

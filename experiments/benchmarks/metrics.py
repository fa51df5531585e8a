"""The area under the ROC curve of bootstrap replicates, in one call."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from joblib import delayed
from rich.console import Console
from sklearn import config_context
from sklearn.metrics import roc_auc_score

from experiments.benchmarks.harness.compare import Way, attempt, compare
from experiments.benchmarks.peers.scikit_learn import share, warm
from jlogreg.metrics import roc_auc


class Work(NamedTuple):
    """The sizes, the goal and the rounds."""

    replicates: int = 1000
    samples: int = 2000
    goal: float = 1e-12  # largest difference from scikit-learn's plain loop
    rounds: int = 5


WORK = Work()


def run(console: Console, work: Work = WORK) -> None:
    """Time 1000 bootstrap replicates of an AUC, against scikit-learn."""
    console.print(
        f"{work.replicates} bootstrap replicates of the area under the ROC curve of "
        f"{work.samples} samples, float64, within {work.goal:g} of scikit-learn's"
    )
    random = np.random.default_rng(0)
    z = random.normal(size=(1, work.samples)).round(2)  # some are equal
    y = (random.random(z.shape) < 1 / (1 + np.exp(-z))) * 1.0
    chances = np.full(work.samples, 1 / work.samples)
    weight = random.multinomial(work.samples, chances, work.replicates) * 1.0
    exact = _loop(z, y, weight, checks=True)

    def ours() -> np.ndarray:
        with jax.enable_x64(True):
            return np.asarray(roc_auc(*map(jnp.asarray, (z, y)), weight=weight))

    def check(found: np.ndarray) -> float:
        return float(np.abs(found - exact).max())

    warm()
    ways = [
        Way("jlogreg", ours, check, ours=True),
        Way("scikit-learn, a plain loop", partial(_loop, z, y, weight, True), check),
        Way("scikit-learn, one thread", partial(_loop, z, y, weight), check),
        Way("scikit-learn, two processes", partial(_shared, z, y, weight), check),
    ]
    compare(console, "metrics", work, "largest error", [*map(attempt, ways)])


def _loop(
    z: np.ndarray, y: np.ndarray, weight: np.ndarray, checks: bool = False
) -> np.ndarray:
    """Return the areas one by one; scikit-learn skips optional checks by default."""
    off = not checks
    with config_context(assume_finite=off, skip_parameter_validation=off):
        return np.array(
            [roc_auc_score(y[0], z[0], sample_weight=row) for row in weight]
        )


def _shared(z: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the areas from two processes."""
    parts = np.array_split(weight, 4)
    return np.concatenate(share(delayed(_loop)(z, y, part) for part in parts))

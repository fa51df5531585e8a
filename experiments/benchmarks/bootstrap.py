"""Bootstrap replicates of one fit: the same samples with other weights each time."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from sklearn.datasets import load_breast_cancer

from experiments.benchmarks.harness.compare import Way, compare, loosest, ours
from experiments.benchmarks.harness.problems import Models, Problems
from experiments.benchmarks.peers.scikit_learn import contest, fit_rows
from jlogreg import Fit, bootstrap_weights, fit, fit_many


class Work(NamedTuple):
    """The sizes, the goal, the rounds, and the search for scikit-learn's best way."""

    replicates: int = 2000
    features: int = 30
    goal: float = 1e-6  # largest |entry| of the gradients
    rounds: int = 5
    probes: int = 100  # replicates on which scikit-learn's ways are tried
    finals: int = 3  # its ways that are tried on all of them


WORK = Work()


def run(console: Console, work: Work = WORK) -> None:
    """Time 2000 bootstrap replicates of breast cancer, against scikit-learn."""
    data, labels = load_breast_cancer(return_X_y=True)
    data = data[:, : work.features]
    standard = (data - data.mean(axis=0)) / data.std(axis=0)
    XT, y = standard.astype(np.float32), labels[None].astype(np.float32)
    (m, n), l2 = XT.shape, 1 / len(XT)
    console.print(
        f"{work.replicates} bootstrap replicates of {n} x {m}, float32, l2 = {l2:.2g}, "
        f"to gradients of at most {work.goal:g} (largest entry, computed in float64)"
    )
    X = jnp.asarray(XT.T)
    key = jax.random.key(0)
    weight = bootstrap_weights(key, m, work.replicates, dtype=X.dtype)
    # All start from the fit of the unweighted samples: ours, and scikit-learn's.
    start = fit(X, jnp.asarray(y), l2=l2).params
    first = Models(w=np.asarray(start.w), b=np.asarray(start.b))
    problems = Problems(XT, y, np.asarray(weight), l2, first)

    def fit_all(tol: float | None) -> Fit:
        found = fit_many(X, y, weight=weight, l2=l2, init=start, tol=tol)
        return jax.block_until_ready(found)

    def check(found: Fit) -> float:
        return problems.largest_gradient(Models.of(found.params))

    tried = ours(fit_all, check, work.goal)
    scikit = contest(console, problems, work.goal, work.probes, work.finals)
    plain = loosest(partial(_plain, problems), work.goal)
    tried += [plain, *scikit]
    compare(console, "bootstrap", work, "largest gradient", tried)


def _plain(problems: Problems, tol: float) -> Way:
    """Return the loop that most would write: default settings, starts at zero."""
    given = problems._replace(start=None, X=problems.X.astype(float))
    run = partial(fit_rows, given, "newton-cholesky", tol, checks=True)
    name = f"scikit-learn newton-cholesky, tol {tol:g}, a plain loop"
    return Way(name, run, problems.largest_gradient)

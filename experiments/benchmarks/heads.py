"""One logistic regression per label row, on one matrix of activations."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.benchmarks.harness.compare import compare, ours
from experiments.benchmarks.harness.problems import Models, Problems
from experiments.benchmarks.peers.nemos import population
from experiments.benchmarks.peers.scikit_learn import contest
from jlogreg import Fit, fit_many


class Work(NamedTuple):
    """The sizes, the goal, the rounds, and the search for scikit-learn's best way."""

    rows: int
    features: int
    samples: int
    goal: float = 1e-6  # largest |entry| of the gradients
    rounds: int = 5
    probes: int = 8  # rows on which scikit-learn's ways are tried
    finals: int = 3  # its ways that are tried on all rows


HEADS = Work(rows=256, features=512, samples=2000)
LARGE = Work(rows=128, features=768, samples=10_000, rounds=3, finals=2)


def heads(console: Console, work: Work = HEADS) -> None:
    """Time 256 label rows on one 512 x 2000, against scikit-learn and NeMoS."""
    _compare(console, "heads", work)


def heads_large(console: Console, work: Work = LARGE) -> None:
    """Time 128 label rows on one 768 x 10 000, against scikit-learn and NeMoS."""
    _compare(console, "heads_large", work)


def _compare(console: Console, name: str, work: Work) -> None:
    problems = _problems(work)
    console.print(
        f"{work.rows} label rows over one {work.features} x {work.samples} matrix, "
        f"float32, l2 = {problems.l2:.2g}, to gradients of at most {work.goal:g} "
        "(largest entry, computed in float64)"
    )
    X, l2 = jnp.asarray(problems.X.T), problems.l2

    def run(tol: float | None) -> Fit:
        return jax.block_until_ready(fit_many(X, problems.Y, l2=l2, tol=tol))

    def check(found: Fit) -> float:
        return problems.largest_gradient(Models.of(found.params))

    tried = ours(run, check, work.goal)
    nemos, notes = population(problems, work.goal, work.probes)
    scikit = contest(console, problems, work.goal, work.probes, work.finals)
    compare(console, name, work, "largest gradient", [*tried, *nemos, *scikit], notes)


def _problems(work: Work) -> Problems:
    """Return rows of labels on features whose covariance has eigenvalues like 1/k.

    The features are correlated, as activations are: a random rotation of independent
    ones, the k-th with a variance proportional to 1/k.
    """
    random = np.random.default_rng(0)
    n, m, K = work.features, work.samples, work.rows
    turn, _ = np.linalg.qr(random.standard_normal((n, n)))
    scale = np.sqrt(n / np.arange(1, n + 1)) / 3
    X = (random.standard_normal((m, n)) * scale) @ turn
    w = 3 * random.standard_normal((n, K)) / np.sqrt(n)
    a = 1 / (1 + np.exp(-(X @ w)))
    Y = (random.random((m, K)) < a).T
    return Problems(X.astype(np.float32), Y.astype(np.float32), None, 1 / m)

"""Small jobs as whole processes, imports included, against scikit-learn's."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from rich.console import Console

from experiments.benchmarks.harness import fresh_process
from experiments.benchmarks.harness.fresh_process import NOT_KEPT, kept_in
from experiments.benchmarks.harness.report import report, save, times
from experiments.timing import interleaved, median, ratio

# Each program makes the same data, does its job, and prints the largest gradient of its
# models in float64: so it has done the work.
DATA = """
import sys
import numpy as np
n, m = int(sys.argv[1]), int(sys.argv[2])
random = np.random.default_rng(0)
rows = random.standard_normal((m, n), dtype=np.float32)
labels = (random.random(m) < 1 / (1 + np.exp(-rows[:, 0] - rows[:, 1]))).astype(int)
l2 = 0.01

def report(w, b, l2, counts=1.0):
    # Shapes: w (n, K), b (K,), counts (m, K).
    dz = counts * (1 / (1 + np.exp(-(rows @ w + b))) - labels[:, None])
    dw = rows.T @ dz / m + l2 * w
    print(max(abs(dw).max(), abs(dz.mean(axis=0)).max()))
"""
OURS = """
import jax
from jlogreg import *
X, y = rows.T, labels[None].astype(np.float32)
"""
PEER = """
import warnings
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
warnings.simplefilter("ignore")
solver = sys.argv[3]
"""


class Job(NamedTuple):
    """What to do, by jlogreg and by scikit-learn, and the size."""

    ours: str
    peer: str
    features: int
    samples: int = 2000


JOBS = {
    "one fit": Job(
        """
found = fit(X, y, l2=l2)
w, b = map(np.asarray, found.params)
report(w, b[0], l2)
""",
        """
model = LogisticRegression(C=1 / (l2 * m), solver=solver).fit(rows, labels)
report(model.coef_.T, model.intercept_, l2)
""",
        100,
    ),
    "cross-validation of 11 penalties": Job(
        """
penalties = np.logspace(0, -3, 11, dtype=np.float32)[:, None]
chosen = cross_validate(X, y, penalties)
w, b = map(np.asarray, chosen.fit.params)
report(w[0], b[0, 0], penalties[chosen.best.item()])
""",
        """
model = LogisticRegressionCV(
    Cs=1 / (np.logspace(0, -3, 11) * m), cv=5, solver=solver, scoring="neg_log_loss",
    l1_ratios=(0,), use_legacy_attributes=False,
).fit(rows, labels)
report(model.coef_.T, model.intercept_, 1 / (model.C_ * m))
""",
        30,
    ),
    "200 bootstrap replicates": Job(
        """
weight = bootstrap_weights(jax.random.key(0), m, 200, dtype=X.dtype)
found = fit_many(X, y, weight=weight, l2=l2)
w, b = map(np.asarray, found.params)
report(w[..., 0].T, b[:, 0, 0], l2, np.asarray(weight).T)
""",
        """
counts = random.multinomial(m, np.full(m, 1 / m), 200).T
models = [
    LogisticRegression(C=1 / (l2 * m), solver=solver).fit(rows, labels, column)
    for column in counts.T
]
w = np.concatenate([model.coef_ for model in models]).T
report(w, np.concatenate([model.intercept_ for model in models]), l2, counts)
""",
        30,
    ),
}
SIZES = {name: (job.features, job.samples) for name, job in JOBS.items()}
SOLVERS = ("lbfgs", "newton-cholesky", "liblinear")
KEPT, FRESH = "jlogreg, programs kept", "jlogreg"


class Work(NamedTuple):
    """The largest gradient that is accepted, the rounds, and the sizes of the jobs."""

    goal: float = 1e-4
    rounds: int = 5
    sizes: Mapping[str, tuple[int, int]] = SIZES


WORK = Work()


def run(console: Console, work: Work = WORK) -> None:
    """Time one fit, a cross-validation and a bootstrap, each as a whole process."""
    jobs = []
    for name, (n, m) in work.sizes.items():
        job = JOBS[name]
        console.print(f"{name}, {n} x {m}, float32: whole processes, imports included")
        with tempfile.TemporaryDirectory() as folder:
            ours = partial(_largest, DATA + OURS + job.ours, n, m)
            ways = {
                KEPT: partial(ours, settings=kept_in(folder)),
                FRESH: partial(ours, settings=NOT_KEPT),
            }
            for solver in SOLVERS:
                peer = partial(_largest, DATA + PEER + job.peer, n, m, solver)
                ways[f"scikit-learn, {solver}"] = partial(peer, settings={})
            # The first call fills the folder.
            reached = {way: call() for way, call in ways.items()}
            able = {way: ways[way] for way in ways if reached[way] <= work.goal}
            seconds = interleaved(able, work.rounds, once=list(able))
        against = min(able.keys() - {KEPT, FRESH}, key=partial(median, seconds))
        shown = {way: f"{error:.1e}" for way, error in reached.items()}
        apart = [[way, "", "", "", shown[way]] for way in ways.keys() - able.keys()]
        report(console, seconds, against, None, ("largest gradient", shown), apart)
        for way in (KEPT, FRESH):
            gain = ratio(seconds, against, way)
            console.print(f"{way}: {gain:.2f} times as fast as {against}")
        jobs.append({"job": name, "against": against, "ways": times(seconds, against)})
    save(console, "small_jobs", {"work": work._asdict(), "jobs": jobs})


def _largest(program: str, *arguments: object, settings: dict[str, str]) -> float:
    """Return the gradient that a program prints."""
    (gradient,) = fresh_process.numbers(program, *arguments, settings=settings)
    return gradient

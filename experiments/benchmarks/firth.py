"""Firth's estimates of many label rows, and of many rare variants."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.benchmarks.harness.compare import Attempt, Way, attempt, compare, ours
from experiments.benchmarks.peers import firthmodels, plink
from experiments.datasets import simulation
from experiments.datasets.simulation import NullStudy
from jlogreg import Fit, Scan, Status, fit_many, scan_features


class ManyWork(NamedTuple):
    """The sizes, the goal and the rounds."""

    rows: int = 2000
    features: int = 10
    samples: int = 500
    goal: float = 1e-4  # largest change of a logit by one more step
    rounds: int = 5


class ScanWork(NamedTuple):
    """The sizes, the odds of a case, the goal and the rounds."""

    variants: int = 5000
    samples: int = 2000
    covariates: int = 5
    frequencies: tuple[float, float] = (0.002, 0.01)
    odds: float = 1 / 13
    goal: float = 1e-3  # largest error of an estimate, in standard errors
    rounds: int = 5
    probes: int = 200  # variants that are also fitted in float64


MANY, SCAN = ManyWork(), ScanWork()


def firth_many(console: Console, work: ManyWork = MANY) -> None:
    """Time Firth's estimates of 2000 label rows, half of them separated."""
    console.print(
        f"{work.rows} label rows over one {work.features} x {work.samples} matrix, "
        "half of them separated by a plane, float64, to estimates that one more step "
        f"changes by at most {work.goal:g} in any logit"
    )
    X, Y = _label_rows(work)

    def check(theta: np.ndarray) -> float:
        moved = (_moved(X, y, row) for y, row in zip(Y, theta, strict=True))
        return float(max(moved))

    def run(tol: float | None) -> Fit:
        with jax.enable_x64(True):
            found = fit_many(jnp.asarray(X), jnp.asarray(Y), jeffreys=0.5, tol=tol)
            return jax.block_until_ready(found)

    def check_ours(found: Fit) -> float:
        theta = np.concatenate([found.params.w, found.params.b], axis=1)[..., 0]
        return check(np.asarray(theta))

    tried = ours(run, check_ours, work.goal)
    peers, notes = firthmodels.label_rows(X.T, Y, check, work.goal)
    single = fit_many(X.astype(np.float32), Y.astype(np.float32), jeffreys=0.5)
    failed = np.asarray(single.status) != Status.CONVERGED
    notes += [
        f"in float32 {failed.sum()} of {len(Y)} have no answer, which their status says"
    ]
    compare(console, "firth_many", work, "largest change", [*tried, *peers], notes)


def _label_rows(work: ManyWork) -> tuple[np.ndarray, np.ndarray]:
    """Return features (n, m) and labels (K, m); a plane separates every second row."""
    random = np.random.default_rng(0)
    X = random.standard_normal((work.features, work.samples))
    z = random.standard_normal((work.rows, work.features)) @ X
    Y = random.random(z.shape) < 1 / (1 + np.exp(-z))
    Y[::2] = z[::2] > random.standard_normal((len(z[::2]), 1))
    return X, Y.astype(float)


def _moved(X: np.ndarray, y: np.ndarray, theta: np.ndarray) -> float:
    """Return the largest change of a logit by one more step."""
    x = np.vstack([X, np.ones((1, X.shape[1]))])
    step, _ = _step(x, y, theta)
    change = step @ x
    return float(np.abs(change).max()) if np.isfinite(change).all() else np.inf


def _step(
    x: np.ndarray, y: np.ndarray, theta: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the step with the augmented information, and the plain information."""
    z = theta @ x
    a, s = 1 / (1 + np.exp(-z)), 1 / (2 + np.exp(z) + np.exp(-z))
    information = (x * s) @ x.T
    h = s * np.sum(x * np.linalg.solve(information, x), axis=0)
    score = x @ (y - a + h * (0.5 - a))
    return np.linalg.solve((x * (s * (1 + h))) @ x.T, score), information


def firth_scan(console: Console, work: ScanWork = SCAN) -> None:
    """Time Firth's estimates of 5000 rare variants, against PLINK 2."""
    size = (work.variants, work.samples, work.covariates)
    study = simulation.simulate_null(*size, work.frequencies, work.odds)
    of_cases, all_copies = (study.G * study.y).sum(axis=1), study.G.sum(axis=1)
    one_sided = (of_cases == 0) | (of_cases == all_copies)
    console.print(
        f"{work.variants} variants of frequencies {work.frequencies[0]:g} to "
        f"{work.frequencies[1]:g}, {work.samples} samples, {int(study.y.sum())} of "
        f"them cases, {work.covariates} covariates; carriers of one label only: "
        f"{one_sided.sum()} variants. Estimates to {work.goal:g} of a standard error "
        f"({work.probes} of them against steps in float64)"
    )
    places = np.linspace(0, work.variants - 1, work.probes).astype(int)
    exact = np.array([_exact(study, study.G[j].astype(float)) for j in places])

    def check(estimate: np.ndarray) -> float:
        off = np.abs(estimate[places, 0] - exact[:, 0]) / exact[:, 1]
        return float(off.max()) if np.isfinite(off).all() else np.inf

    def scanned(**method: Any) -> Scan:
        found = scan_features(study.G, study.covariates, study.y, **method)
        return jax.block_until_ready(found)

    def of_ours(found: Scan) -> float:
        return check(np.asarray(found.estimate, float))

    always = partial(scanned, firth="always")
    tried = [attempt(Way("jlogreg", always, of_ours, ours=True))]
    others = {"fallback": {"firth": "fallback"}, "Wald": {}, "score": {"test": "score"}}
    for name, method in others.items():  # less work, or other work
        way = Way(f"jlogreg, {name}", partial(scanned, **method), _known, bound=True)
        tried.append(attempt(way))
    with tempfile.TemporaryDirectory() as name:
        peers, notes = _plink(study, Path(name), check)
        compare(console, "firth_scan", work, "largest error", [*tried, *peers], notes)


def _known(found: Scan) -> float:
    """Return 0 if every variant has numbers exactly where its status says so."""
    converged = np.asarray(found.status) == Status.CONVERGED
    return 0.0 if (np.isfinite(found.estimate) == converged).all() else np.inf


def _exact(study: NullStudy, g: np.ndarray) -> tuple[float, float]:
    """Return Firth's estimate and its plain standard error, in float64."""
    x = np.vstack([study.covariates.astype(float), np.ones_like(g), g])
    theta = np.zeros(len(x))
    theta[-2] = np.log(study.y.mean() / (1 - study.y.mean()))
    for _ in range(200):
        step, information = _step(x, study.y[0].astype(float), theta)
        theta += step / max(1.0, np.abs(step @ x).max() / 2)
        if np.abs(step @ x).max() < 1e-10:
            break
    return theta[-1], np.linalg.inv(information)[-1, -1] ** 0.5


def _plink(
    study: NullStudy, folder: Path, check: firthmodels.Check
) -> tuple[list[Attempt], list[str]]:
    """Return PLINK 2's whole process for each method, or a note if it is missing."""
    files, tried, notes = simulation.write_null(study, folder), [], [plink.MISSING]
    for word in ("firth", "firth-fallback", "no-firth"):
        own = folder / word
        own.mkdir()
        command = plink.command(files, own, word)
        if command is None:
            break
        notes = [plink.version(command[0])]

        def error(_: None, own: Path = own, word: str = word) -> float:
            return check(plink.read_estimates(own).estimate) if word == "firth" else 0.0

        run = partial(plink.call, command)
        name = f"PLINK 2 {word}, two threads"
        tried.append(attempt(Way(name, run, error, bound=word != "firth")))
    return tried, notes

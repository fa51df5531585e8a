"""Scans of many features, adjusted for the same covariates, against PLINK 2."""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from rich.console import Console
from threadpoolctl import threadpool_limits

from experiments.benchmarks.harness.compare import (
    Attempt,
    Way,
    attempt,
    compare,
    ours,
    scaled,
)
from experiments.benchmarks.peers import plink
from experiments.benchmarks.peers.plink import Estimates
from experiments.config import CONFIGS
from experiments.datasets import simulation
from experiments.datasets.plink import GenotypeConfig
from experiments.datasets.simulation import NullStudy
from jlogreg import Scan, scan_features

JLOGREG, PLINK = "jlogreg", "PLINK 2, two threads"
NO_STATSMODELS = "statsmodels is not installed (the extra `peers`): it is skipped"
ROOT = CONFIGS.parent.parent
SMALL = 1e-3  # relative errors of estimates are for those of at least this size


class Work(NamedTuple):
    """The sizes, the goal, and the rounds."""

    features: int = 200_000
    samples: int = 2000
    covariates: int = 5
    goal: float = 1e-4  # largest error, of those of `_errors`
    rounds: int = 5
    probes: int = 200  # features that are also fitted in float64


WORK = Work()


class Judge(NamedTuple):
    """Exact estimates of some features, and the estimates of all by each way."""

    places: np.ndarray
    exact: Estimates
    found: dict[str, Estimates]

    def check(self, name: str, answer: Estimates) -> float:
        """Return the largest error of the features with exact estimates."""
        self.found[name] = answer
        own = Estimates(*(column[self.places] for column in answer))
        return max(_errors(own, self.exact))

    def notes(self) -> list[str]:
        """Return a line on the differences from PLINK 2, over all features."""
        if PLINK not in self.found:
            return []
        own, other = self.found[JLOGREG], self.found[PLINK]
        estimate, error = _errors(own, other)
        off, size = np.abs(own.estimate - other.estimate), np.abs(other.estimate)
        relative = (off / size)[size > SMALL].max(initial=0.0)
        return [
            f"against PLINK 2's table, {len(size)} features: estimates differ by at "
            f"most {estimate:.1e} of themselves or of their standard error, whichever "
            f"is larger ({relative:.1e} of themselves where they exceed {SMALL:g}, "
            f"{(off / other.standard_error).max():.1e} of their standard error), "
            f"standard errors by at most {error:.1e} of themselves"
        ]


def scan(console: Console, work: Work = WORK) -> None:
    """Time 200 000 features and 5 covariates, in memory, against PLINK 2."""
    study, judge = _start(console, work)

    def scan_all(tol: float | None) -> Scan:
        found = scan_features(study.G, study.covariates, study.y, tol=tol)
        return jax.block_until_ready(found)

    def check(found: Scan) -> float:
        columns = (found.estimate, found.standard_error)
        return judge.check(JLOGREG, Estimates(*(np.asarray(c, float) for c in columns)))

    models, notes = _statsmodels(study, judge)
    tried = ours(scan_all, check, work.goal)
    with tempfile.TemporaryDirectory() as name:
        peer, more = _plink(simulation.write_null(study, Path(name)), judge)
        tried += [*peer, *models]
        notes += [*more, *judge.notes()]
        compare(console, "scan", work, "largest error", tried, notes)


def scan_files(console: Console, work: Work = WORK) -> None:
    """Time a scan from .bed to table, as whole processes, against PLINK 2."""
    study, judge = _start(console, work)
    with tempfile.TemporaryDirectory() as name:
        files = simulation.write_null(study, Path(name))
        del study
        own = _program(files, judge)
        peer, notes = _plink(files, judge)
        notes += judge.notes()
        compare(console, "scan_files", work, "largest error", [own, *peer], notes)


def _start(console: Console, work: Work) -> tuple[NullStudy, Judge]:
    console.print(
        f"{work.features} features, {work.samples} samples, {work.covariates} "
        f"covariates, to errors of at most {work.goal:g} of an estimate or its "
        "standard error, whichever is larger, and of a standard error "
        f"({work.probes} features against Newton's method in float64)"
    )
    study = simulation.simulate_null(work.features, work.samples, work.covariates)
    places = np.linspace(0, work.features - 1, work.probes).astype(int)
    exact = [_newton(study, row.astype(float)[None]) for row in study.G[places]]
    estimate, error = (np.array(column)[:, None] for column in zip(*exact, strict=True))
    return study, Judge(places, Estimates(estimate, error), {})


def _newton(study: NullStudy, g: np.ndarray) -> tuple[float, float]:
    """Return estimate and standard error of one feature, in float64."""
    C = study.covariates.astype(float)
    Z = np.concatenate([g, C, np.ones_like(g)])
    w = np.zeros((len(Z), 1))
    for _ in range(15):
        a = 1 / (1 + np.exp(-(w.T @ Z)))
        H = (Z * a * (1 - a)) @ Z.T
        w -= np.linalg.solve(H, Z @ (a - study.y).T)
    return float(w[0, 0]), float(np.linalg.inv(H)[0, 0] ** 0.5)


def _errors(own: Estimates, other: Estimates) -> tuple[float, float]:
    """Return the largest differences of estimates and of standard errors.

    That of an estimate is relative to it or to its standard error, whichever is larger.
    """
    error = other.standard_error
    size = np.maximum(np.abs(other.estimate), error)
    estimates = np.abs(own.estimate - other.estimate) / size
    errors = np.abs(own.standard_error - error) / error
    return float(estimates.max()), float(errors.max())


def _program(files: GenotypeConfig, judge: Judge) -> Attempt:
    """Return our whole process: each in a new folder, without figures."""
    folder = Path(files.bed).parent

    def run() -> Path:
        runs = Path(tempfile.mkdtemp(dir=folder))
        command = [
            *(sys.executable, "-m", "experiments"),
            *("run", str(CONFIGS / "scan.toml"), "--runs", str(runs)),
            *("--data.bed", files.bed),
            *("--data.phenotype", files.phenotype),
            *("--data.covariates", files.covariates),
            *("--figures", "false"),
            *("--method.firth", "never"),  # as PLINK 2 is told
        ]
        plink.call(command, cwd=ROOT)
        return runs

    def check(runs: Path) -> float:
        return judge.check(JLOGREG, plink.read_estimates(runs))

    return attempt(Way(JLOGREG, run, check, ours=True))


def _plink(files: GenotypeConfig, judge: Judge) -> tuple[list[Attempt], list[str]]:
    """Return PLINK 2's whole process and its version, or a note if it is missing."""
    folder = Path(tempfile.mkdtemp(dir=Path(files.bed).parent))
    command = plink.command(files, folder)
    if command is None:
        return [], [plink.MISSING]

    def check(_: None) -> float:
        return judge.check(PLINK, plink.read_estimates(folder))

    way = Way(PLINK, partial(plink.call, command), check)
    return [attempt(way)], [plink.version(command[0])]


def _statsmodels(study: NullStudy, judge: Judge) -> tuple[list[Attempt], list[str]]:
    """Return a loop over some features with statsmodels, or a note if it is missing."""
    try:
        from statsmodels.api import Logit, add_constant
    except ImportError:
        return [], [NO_STATSMODELS]
    y, C = study.y[0].astype(float), add_constant(study.covariates.T.astype(float))

    def run() -> Estimates:
        with threadpool_limits(1):  # its products are too small for two threads
            found = [
                Logit(y, np.column_stack([C, g])).fit(disp=False)
                for g in study.G[judge.places]
            ]
        estimates, errors = (
            np.array([getattr(each, name)[-1:] for each in found])
            for name in ("params", "bse")
        )
        return Estimates(estimates, errors)

    way = Way("statsmodels Logit", run, lambda own: max(_errors(own, judge.exact)))
    return [scaled(attempt(way), len(judge.places), len(study.G))], []

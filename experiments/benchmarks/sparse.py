"""Paths of L1 penalties, of many problems and of one, to the same duality gap."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax.experimental.sparse import BCOO
from rich.console import Console
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegressionCV

from experiments.benchmarks.harness.compare import (
    TOLERANCES,
    Way,
    compare,
    loosest,
    ours,
    scaled,
)
from experiments.benchmarks.harness.sparse_problems import (
    Paths,
    SparseProblems,
    largest_penalty,
)
from experiments.benchmarks.peers.sparse import BIAS_UNIT, PATIENCE, PEERS, contest
from jlogreg import cross_validate, fit_many, fold_weights, regularization_path

GAP = "largest duality gap"


class Many(NamedTuple):
    """The sizes, the goal, the rounds, and the peers."""

    rows: int
    features: int
    samples: int = 2000
    penalties: int = 10
    bias: bool = True
    goal: float = 5e-6  # largest duality gap
    rounds: int = 5
    probes: int = 1  # rows that the slower peers fit
    peers: tuple[str, ...] = tuple(PEERS)


class One(NamedTuple):
    """The sizes, the part of the entries that are not 0, the goal and the rounds."""

    features: int
    samples: int
    filled: float = 1.0
    penalties: int = 100
    smallest: float = 1e-3  # the last penalty over the first
    goal: float = 5e-6  # largest duality gap
    rounds: int = 5
    peers: tuple[str, ...] = tuple(PEERS)


class Checked(NamedTuple):
    """The sizes, the goal, the rounds, and the labels that scikit-learn fits."""

    labels: int = 10
    penalties: int = 50
    folds: int = 5
    features: int = 64
    smallest: float = 1e-2
    goal: float = 5e-6  # largest duality gap of the fits of the folds
    rounds: int = 3
    probes: int = 1
    solvers: tuple[str, ...] = ("liblinear", "saga")


MANY_30, MANY, MANY_400 = Many(256, 30), Many(64, 100), Many(64, 400, rounds=3)
NO_BIAS = MANY._replace(bias=False)
PATH, PATH_TALL = One(30, 569), One(100, 20_000, rounds=3)
# One round, since jlogreg takes minutes; glum is left out, whose time is not known.
PATH_WIDE = One(
    20_000,
    1000,
    filled=0.01,
    rounds=1,
    peers=tuple(name for name in PEERS if name != "glum"),
)
CV = Checked()


def many(console: Console, work: Many = MANY, name: str = "lasso_many") -> None:
    """Time 64 label rows at 10 L1 penalties, 100 x 2000, against adelie and others."""
    problems = _many_problems(work)
    console.print(
        f"{work.rows} label rows over one {work.features} x {work.samples} matrix, "
        f"{work.penalties} penalties l1 each, from 0.5 to 0.02 of its own largest, "
        f"float32, to duality gaps of at most {work.goal:g} (in float64)"
    )
    X, Y, l1 = (jnp.asarray(a, jnp.float32) for a in (problems.X.T, *problems[1:3]))

    def run(tol: float | None) -> Paths:
        w, b, start = [], [], None
        for column in jnp.split(l1, l1.shape[1], axis=1):
            found = fit_many(X, Y, l1=column, bias=work.bias, init=start, tol=tol)
            start = found.params
            w.append(np.asarray(start.w)[..., 0])
            b.append(np.asarray(start.b)[:, 0, 0])
        return Paths(np.stack(w, axis=1), np.stack(b, axis=1))

    _compare(console, name, work, problems, run)


def many_30(console: Console, work: Many = MANY_30) -> None:
    """Time 256 label rows at 10 L1 penalties, 30 x 2000, against adelie and others."""
    many(console, work, "lasso_many_30")


def many_400(console: Console, work: Many = MANY_400) -> None:
    """Time 64 label rows at 10 L1 penalties, 400 x 2000, against adelie and others."""
    many(console, work, "lasso_many_400")


def no_bias(console: Console, work: Many = NO_BIAS) -> None:
    """Time 64 label rows without a bias, 100 x 2000, against celer and others."""
    many(console, work, "lasso_no_bias")


def path(console: Console, work: One = PATH, name: str = "lasso_path") -> None:
    """Time 100 L1 penalties of one problem, 30 x 569, against adelie and others."""
    problems = _one_problem(work)
    m, n = problems.X.shape
    console.print(
        f"one problem, {n} x {m}, at {work.penalties} penalties l1 from the largest to "
        f"{work.smallest:g} of it, float32, to duality gaps of at most {work.goal:g} "
        "(in float64)"
    )
    y, l1 = jnp.asarray(problems.Y, jnp.float32), jnp.asarray(problems.l1.T, "float32")
    is_sparse = sp.issparse(problems.X)
    X: Any = BCOO.from_scipy_sparse(problems.X.T) if is_sparse else problems.X.T
    X = X.astype(jnp.float32) if is_sparse else jnp.asarray(X, jnp.float32)

    def run(tol: float | None) -> Paths:
        w, b = jax.device_get(regularization_path(X, y, l1=l1, tol=tol).params)
        return Paths(w[None, ..., 0], b[None, :, 0, 0])

    _compare(console, name, work, problems, run)


def path_tall(console: Console, work: One = PATH_TALL) -> None:
    """Time 100 L1 penalties of one problem, 100 x 20 000, against adelie and others."""
    path(console, work, "lasso_path_tall")


def path_wide(console: Console, work: One = PATH_WIDE) -> None:
    """Time 100 L1 penalties, sparse 20 000 x 1000, against adelie and others."""
    path(console, work, "lasso_path_wide")


# Over 40 lines: the work, its check, and the ways to do it.
def cross_validated(console: Console, work: Checked = CV) -> None:
    """Time 50 L1 penalties x 5 folds x 10 labels of digits, against scikit-learn."""
    images, digits = load_digits(return_X_y=True)
    m = len(digits) // work.folds * work.folds
    X = (images[:m, : work.features] / images.max()).astype(np.float32)
    Y = np.array([digits[:m] == label for label in range(work.labels)], np.float32)
    top = largest_penalty(X.astype(float), Y.astype(float)).max()
    l1 = np.geomspace(top, top * work.smallest, work.penalties)
    folds = np.asarray(
        fold_weights(jax.random.key(0), m, work.folds, dtype=jnp.float32)
    )
    console.print(
        f"{work.penalties} penalties l1 x {work.folds} folds x {work.labels} labels of "
        f"digits, {work.features} x {m}, float32, to duality gaps of the folds' fits "
        f"of at most {work.goal:g} (in float64)"
    )
    seen = [np.flatnonzero(row) for row in folds]

    def check(found: Sequence[Paths]) -> float:
        """Return the largest gap of the fits of each fold."""
        return max(
            SparseProblems(
                X[rows].astype(float),
                Y[: len(each.w), rows],
                np.tile(l1, (len(each.w), 1)),
            ).largest_gap(each)
            for rows, each in zip(seen, found, strict=True)
        )

    column = jnp.asarray(l1[:, None], jnp.float32)
    features, labels, rows = (jnp.asarray(a) for a in (X.T, Y, folds))

    def run(tol: float | None) -> list[Paths]:
        found = cross_validate(features, labels, l1=column, folds=rows, tol=tol)
        w, b = jax.device_get(found.fold_fits.params)
        return [Paths(w[:, :, i, :, 0], b[:, :, i, 0, 0]) for i in range(len(seen))]

    splits = [(rows, np.setdiff1d(np.arange(m), rows)) for rows in seen]
    tried = ours(run, check, work.goal)
    for solver in work.solvers:
        given = (
            X.astype(float),
            Y[: work.probes],
            1 / (l1 * len(seen[0])),
            splits,
            solver,
            check,
        )
        each = loosest(
            partial(_scikit_learn, *given), work.goal, TOLERANCES, patience=PATIENCE
        )
        whole = work.probes == work.labels
        tried.append(each if whole else scaled(each, work.probes, work.labels))
    compare(console, "lasso_cv", work, GAP, tried, cpu=True)


def _scikit_learn(
    X: Any, Y: Any, Cs: Any, splits: Any, solver: str, check: Any, tol: float
) -> Way:
    def run() -> list[Paths]:
        model = LogisticRegressionCV(
            Cs=Cs, l1_ratios=[1.0], cv=splits, solver=solver, tol=tol, max_iter=10_000,
            scoring="neg_log_loss", intercept_scaling=BIAS_UNIT, random_state=0,
            use_legacy_attributes=False,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows = [model.fit(X, y).coefs_paths_.copy() for y in Y]
        theta = np.reshape(rows, (len(Y), len(splits), len(Cs), -1))  # w, then b
        return [
            Paths(theta[:, i, :, :-1], theta[:, i, :, -1]) for i in range(len(splits))
        ]

    name = f"scikit-learn LogisticRegressionCV, {solver}, tol {tol:g}"
    return Way(name, run, check)


def _compare(
    console: Console,
    name: str,
    work: Many | One,
    problems: SparseProblems,
    run: Callable[[float | None], Paths],
) -> None:
    """Compare jlogreg's paths at a tolerance with those of the peers."""
    tried = ours(run, problems.largest_gap, work.goal)
    probes = work.probes if isinstance(work, Many) else 1
    peers, notes = contest(problems, work.goal, probes, work.peers)
    compare(console, name, work, GAP, [*tried, *peers], notes, cpu=True)


def _many_problems(work: Many) -> SparseProblems:
    """Return rows of labels, each of ten features, whose neighbors correlate by 0.5."""
    random = np.random.default_rng(0)
    n, m, K = work.features, work.samples, work.rows
    X = _correlated(random, n, m)
    few = min(10, n)
    w = np.zeros((K, n))
    for row in w:
        sizes = random.uniform(0.3, 1.2, few) * random.choice([-1, 1], few)
        row[random.choice(n, few, replace=False)] = sizes
    a = 1 / (1 + np.exp(-(w @ X + random.uniform(-1, 1, (K, 1)))))
    Y = (random.random((K, m)) < a) * 1.0
    X = np.asfortranarray(X.T)
    top = largest_penalty(X, Y, work.bias)
    l1 = top[:, None] * np.geomspace(0.5, 0.02, work.penalties)
    return SparseProblems(X, Y, l1, work.bias)


def _correlated(random: np.random.Generator, n: int, m: int) -> np.ndarray:
    X = random.standard_normal((n, m))
    for j in range(1, n):
        X[j] = 0.5 * X[j - 1] + np.sqrt(0.75) * X[j]
    return X


def _one_problem(work: One) -> SparseProblems:
    """Return the tumours of breast cancer, or drawn features of which ten count."""
    n, m = work.features, work.samples
    X: Any
    if n <= 30:
        table = load_breast_cancer()
        X = table.data[:m, :n]
        X = np.asfortranarray((X - X.mean(axis=0)) / X.std(axis=0))
        y = (table.target[:m] == 0) * 1.0
    else:
        random = np.random.default_rng(0)
        if work.filled < 1:
            X = sp.random(m, n, work.filled, "csc", random_state=random)
            X.data = random.standard_normal(X.nnz)
            frequent = np.argsort(-np.diff(X.indptr))[:10]
        else:
            X, frequent = np.asfortranarray(_correlated(random, n, m).T), np.arange(10)
        size = 4.0 if work.filled < 1 else 0.7
        z = X[:, frequent] @ (size * random.choice([-1, 1], 10))
        y = (random.random(m) < 1 / (1 + np.exp(-z))) * 1.0
    top = largest_penalty(X, y[None])
    l1 = top[:, None] * np.geomspace(1, work.smallest, work.penalties)
    return SparseProblems(X, y[None], l1)

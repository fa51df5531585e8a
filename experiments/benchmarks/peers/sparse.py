"""Solve paths of L1 penalties one problem after the other, with each peer."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from experiments.benchmarks.harness.compare import (
    TOLERANCES,
    Attempt,
    Way,
    loosest,
    scaled,
)
from experiments.benchmarks.harness.sparse_problems import Paths, SparseProblems

# Weights (L, n) and biases (L,) of one row of labels, at a tolerance.
Path = Callable[[SparseProblems, int, float], tuple[NDArray[Any], NDArray[Any]]]

# A slow peer that has taken this many seconds is given no other tolerance.
PATIENCE = 10.0
# liblinear penalizes the bias, too; with this scale the effect is small.
BIAS_UNIT = 100.0
MANY = 10_000
# The tolerances that are tried; adelie's is of the change of a quadratic model.
TIGHT = (1e-5, 1e-7, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14)
NO_BIAS = "celer has no bias, and is in `lasso_no_bias` only"


def contest(
    problems: SparseProblems, goal: float, probes: int, names: tuple[str, ...]
) -> tuple[list[Attempt], list[str]]:
    """Return the way of each peer, and a note for each that is missing.

    Those on which jlogreg's time is close fit all problems, the others the first few.

    Args:
        problems: all of them.
        goal: the largest duality gap that is accepted.
        probes: the number of problems that a slow peer fits.
        names: of the peers, from PEERS.
    """
    tried, notes = [], []
    for name in names:
        module, path, tolerances, all_rows = PEERS[name]
        if not _is_installed(module):
            notes.append(f"{module} is not installed: {name} is skipped")
        elif name == "celer" and problems.bias:
            notes.append(NO_BIAS)
        else:
            some = problems if all_rows else problems.part(probes)
            make = partial(_way, name, path, some)
            # The first call of a peer compiles, or imports what it needs.
            first = problems.part(1)
            _way(name, path, first._replace(l1=first.l1[:, :1]), tolerances[0]).run()
            # All need at least the tolerance that the first needs.
            patience = math.inf if all_rows else PATIENCE
            way = loosest(
                partial(_way, name, path, first), goal, tolerances, patience=patience
            )
            if some.size > first.size:
                way = loosest(make, goal, tolerances, start=way.tol, patience=patience)
            whole = some.size == problems.size
            tried.append(way if whole else scaled(way, some.size, problems.size))
    return tried, notes


def _is_installed(module: str) -> bool:
    try:
        import_module(module)
    except ImportError:
        return False
    return True


def _way(name: str, path: Path, problems: SparseProblems, tol: float) -> Way:
    def run() -> Paths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it has not converged
            rows = [path(problems, k, tol) for k in range(problems.size)]
        return Paths(*map(np.stack, zip(*rows, strict=True)))

    def check(found: Paths) -> float:
        gap = problems.largest_gap(found)
        return gap if math.isfinite(gap) else math.inf

    return Way(f"{name}, tol {tol:g}", run, check)


def _scikit_learn(solver: str) -> Path:
    def path(problems: SparseProblems, k: int, tol: float) -> Any:
        X, Y, l1, bias = problems
        more: dict[str, Any] = {"intercept_scaling": BIAS_UNIT, "random_state": 0}
        model = LogisticRegression(
            solver=solver, l1_ratio=1.0, tol=tol, max_iter=MANY, fit_intercept=bias,
            warm_start=solver == "saga", **(more if solver == "liblinear" else {}),
        )  # fmt: skip
        return _one_by_one(model, "C", 1 / (l1[k] * X.shape[0]), X, Y[k])

    return path


def _one_by_one(model: Any, name: str, values: Any, X: Any, y: Any) -> Any:
    """Return the path of an estimator that is fitted at one value after the other."""
    w, b = [], []
    for value in values:
        model.set_params(**{name: float(value)}).fit(X, y)
        w.append(np.ravel(model.coef_).copy())
        b.append(float(np.ravel(model.intercept_)[0]) if model.fit_intercept else 0.0)
    return np.stack(w), np.array(b)


def _skglm(problems: SparseProblems, k: int, tol: float) -> Any:
    from skglm import SparseLogisticRegression

    X, Y, l1, bias = problems
    model = SparseLogisticRegression(
        alpha=1.0, tol=tol, max_iter=200, max_epochs=2000, fit_intercept=bias,
        warm_start=True,
    )  # fmt: skip
    return _one_by_one(model, "alpha", l1[k], X, Y[k])


def _glum(problems: SparseProblems, k: int, tol: float) -> Any:
    from glum import GeneralizedLinearRegressor

    X, Y, l1, bias = problems
    model = GeneralizedLinearRegressor(
        family="binomial", l1_ratio=1.0, alpha=1.0, fit_intercept=bias,
        gradient_tol=tol, max_iter=MANY, warm_start=True,
    )  # fmt: skip
    return _one_by_one(model, "alpha", l1[k], X, Y[k])


def _celer(problems: SparseProblems, k: int, tol: float) -> Any:
    from celer import celer_path

    X, Y, l1, _ = problems
    found = celer_path(
        X, 2 * Y[k] - 1, "logreg", alphas=X.shape[0] * l1[k], tol=tol, max_iter=100,
        use_PN=True, prune=1,
    )  # fmt: skip
    return found[1].T, np.zeros(len(l1[k]))


def _adelie(problems: SparseProblems, k: int, tol: float) -> Any:
    import adelie as ad

    X, Y, l1, bias = problems
    matrix = ad.matrix.sparse if sp.issparse(X) else ad.matrix.dense
    state = ad.grpnet(
        X=matrix(X, method="naive", n_threads=1), glm=ad.glm.binomial(Y[k]),
        lmda_path=l1[k], intercept=bias, early_exit=False, tol=tol, irls_tol=tol,
        irls_max_iters=MANY, progress_bar=False, n_threads=1,
    )  # fmt: skip
    return np.asarray(state.betas.todense()), np.asarray(state.intercepts)


# The module, its path, its tolerances, and whether it fits all problems.
PEERS: dict[str, tuple[str, Path, tuple[float, ...], bool]] = {
    "adelie": ("adelie", _adelie, TIGHT, True),
    "skglm": ("skglm", _skglm, TOLERANCES, False),
    "celer": ("celer", _celer, TOLERANCES, False),
    "glum": ("glum", _glum, TOLERANCES, False),
    "scikit-learn liblinear": (
        "sklearn",
        _scikit_learn("liblinear"),
        TOLERANCES,
        False,
    ),
    "scikit-learn saga": ("sklearn", _scikit_learn("saga"), TOLERANCES, False),
}

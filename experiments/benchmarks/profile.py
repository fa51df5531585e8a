"""Profile intervals of all coefficients, against loops of fits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from sklearn.datasets import load_breast_cancer

from experiments.benchmarks.harness.compare import Attempt, Way, attempt, compare
from jlogreg import fit
from jlogreg.inference import confidence_interval

NO_STATSMODELS = "statsmodels is not installed (the extra `peers`): it is skipped"
Z = 1.959963984540054  # the level 95 %
# A search ends this near to Z: Newton's method squares that with the last step.
NEAR = 1e-3
# Of parameters w above b, and a start: the parameters, where one is held.
Held = Callable[[int, float, np.ndarray], np.ndarray]


class Work(NamedTuple):
    """The sizes, the goal and the rounds."""

    features: int = 30
    samples: int = 569
    goal: float = 1e-5  # largest |2 (log-likelihood dropped) - chi-square quantile|
    rounds: int = 5


WORK = Work()


class Data(NamedTuple):
    """Features (n, m), labels (1, m), their fit (n + 1,), and its covariance."""

    X: np.ndarray
    y: np.ndarray
    best: np.ndarray
    covariance: np.ndarray


def run(console: Console, work: Work = WORK) -> None:
    """Time profile intervals of 30 coefficients, 569 samples, against statsmodels."""
    # In double precision, as statsmodels computes: these features are nearly collinear.
    with jax.enable_x64(True):
        _compare(console, work, _data(work))


def _compare(console: Console, work: Work, data: Data) -> None:
    console.print(
        f"both ends of the profile intervals of {work.features} weights and the bias, "
        f"{work.samples} samples, to a drop of the log-likelihood that is off by at "
        f"most {work.goal / 2:g} of {Z**2 / 2:.3f} (computed in float64)"
    )
    X, y = jnp.asarray(data.X), jnp.asarray(data.y)
    found = fit(X, y)
    check = partial(_largest_error, data)

    def ours() -> np.ndarray:
        interval = confidence_interval(found, X, y, kind="profile")
        return np.hstack([interval.low, interval.high])

    ours()  # compiles
    tried = [attempt(Way("jlogreg", ours, check, ours=True))]
    held = _jlogreg_held(X, y)
    tried += [_loop("jlogreg, a loop of fits", data, held, ours=True)]
    notes = []
    if find_spec("statsmodels"):
        for name in ("Logit", "GLM"):
            loop = _statsmodels_held(name, data)
            tried += [_loop(f"statsmodels {name}, a loop of fits", data, loop)]
    else:
        notes.append(NO_STATSMODELS)
    compare(console, "profile", work, "largest error", tried, notes)


def _data(work: Work) -> Data:
    """Return features of breast cancer, and labels of a model of them that overlap.

    The labels of the data are separated by all 30 features, so they have no likelihood
    to profile. These are drawn from half of the logits of a fit with a penalty.
    """
    data, labels = load_breast_cancer(return_X_y=True)
    data, labels = data[: work.samples, : work.features], labels[: work.samples]
    X = ((data - data.mean(axis=0)) / data.std(axis=0)).T
    y = labels[None].astype(float)
    ridge = fit(X, y, l2=0.01).params
    w, b = (np.asarray(leaf, float) for leaf in ridge)
    chance = np.random.default_rng(0).random(y.shape)
    y = (chance < 1 / (1 + np.exp(-(w.T @ X + b) / 2))).astype(float)
    best, H = _newton(_above_ones(X), y, np.zeros(y.size), np.zeros(len(X) + 1))
    return Data(X, y, best, np.linalg.inv(H))


def _above_ones(X: np.ndarray) -> np.ndarray:
    return np.vstack([X, np.ones((1, X.shape[1]))])


def _newton(
    x: np.ndarray, y: np.ndarray, offset: np.ndarray, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the minimum over the rows of x and its Hessian, in float64."""
    theta = start.copy()
    for _ in range(50):
        a = 1 / (1 + np.exp(-(theta @ x + offset)))
        H = (x * a * (1 - a)) @ x.T
        step = np.linalg.solve(H, x @ (a - y[0]))
        theta -= step / max(1.0, float(np.abs(step @ x).max()))
        if np.abs(step @ x).max() < 1e-10:
            break
    return theta, H


def _loss(z: np.ndarray, y: np.ndarray) -> float:
    return float((np.logaddexp(0, z) - y[0] * z).sum())


def _largest_error(data: Data, ends: np.ndarray) -> float:
    """Return the largest |2 (drop of the log-likelihood) - Z^2| at the ends."""
    x = _above_ones(data.X)
    least = _loss(data.best @ x, data.y)
    errors = []
    for j in range(len(x)):
        for beta in ends[j]:
            held = beta * x[j]
            rest = np.delete(x, j, axis=0)
            tangent = data.covariance[j] / data.covariance[j, j]
            start = np.delete(data.best + (beta - data.best[j]) * tangent, j)
            theta, _ = _newton(rest, data.y, held, start)
            errors.append(abs(2 * (_loss(theta @ rest + held, data.y) - least) - Z**2))
    return float(np.max(errors)) if np.isfinite(ends).all() else float("inf")


def _loop(name: str, data: Data, held: Held, ours: bool = False) -> Attempt:
    """Return a loop of fits over the ends; of jlogreg's own, it shows what it saves."""
    held(0, float(data.best[0]), data.best)  # compiles
    run = partial(_search_all, data, held)
    return attempt(Way(name, run, partial(_largest_error, data), ours=ours))


def _search_all(data: Data, held: Held) -> np.ndarray:
    """Return all ends, one after the other, by the search that jlogreg uses."""
    x = _above_ones(data.X)
    least = _loss(data.best @ x, data.y)
    ends = np.empty((len(x), 2))
    for j in range(len(x)):
        for k, side in enumerate((-1, 1)):
            variance = data.covariance[j, j]
            tangent = side * data.covariance[j] / variance
            distance = Z * variance**0.5
            start = data.best + distance * tangent
            for _ in range(20):
                theta = held(j, data.best[j] + side * distance, start)
                z = theta @ x
                slope = side * float(x[j] @ (1 / (1 + np.exp(-z)) - data.y[0]))
                rho = max(2 * (_loss(z, data.y) - least), 1e-12) ** 0.5
                step = (Z - rho) * rho / slope
                distance, start = distance + step, theta + step * tangent
                if abs(rho - Z) < NEAR:
                    break
            ends[j, k] = data.best[j] + side * distance
    return ends


def _jlogreg_held(X: jax.Array, y: jax.Array) -> Held:
    compiled = jax.jit(fit)
    keep = [np.delete(np.arange(len(X)), j) for j in range(len(X))]
    rests = [jnp.asarray(X[jnp.asarray(rows)]) for rows in keep]
    without_bias = jax.jit(partial(fit, bias=False))

    def held(j: int, beta: float, start: np.ndarray) -> np.ndarray:
        if j == len(X):
            offset = jnp.full(y.shape, beta, X.dtype)
            w = without_bias(X, y, offset=offset).params.w
            return np.append(np.asarray(w, float), beta)
        w, b = compiled(rests[j], y, offset=jnp.asarray(beta, X.dtype) * X[j : j + 1])[
            0
        ]
        return np.insert(np.append(np.asarray(w, float), float(b[0, 0])), j, beta)

    return held


def _statsmodels_held(name: str, data: Data) -> Held:
    import statsmodels.api as models

    table = _above_ones(data.X).T
    rests = [np.delete(table, j, axis=1) for j in range(table.shape[1])]
    kind: Any = models.Logit
    options: dict[str, Any] = {"disp": 0, "tol": 1e-8, "warn_convergence": False}
    if name == "GLM":
        kind = partial(models.GLM, family=models.families.Binomial())
        options = {"tol": 1e-8}

    def held(j: int, beta: float, start: np.ndarray) -> np.ndarray:
        model = kind(data.y[0], rests[j], offset=beta * table[:, j])
        found = model.fit(start_params=np.delete(start, j), **options)
        return np.insert(np.asarray(found.params), j, beta)

    return held

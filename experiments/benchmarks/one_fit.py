"""Time one fit against every solver of scikit-learn that fits its shape."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from rich.console import Console
from rich.table import Table
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from experiments.benchmarks.harness.problems import Models, Problems
from experiments.benchmarks.harness.report import report
from experiments.timing import interleaved, median
from jlogreg import Fit, Params, Status, fit

# Each solver of scikit-learn runs with each of these; a looser one is kept where it
# reaches the gradient that is asked for.
TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)


class Work(NamedTuple):
    """Hold a problem and what is asked of its solution."""

    X: np.ndarray
    y: np.ndarray
    l2: float
    gradient: float  # largest |entry| of the gradient, computed in float64
    rounds: int


def tall(console: Console) -> None:
    """Run the benchmark of few features and many samples."""
    peers = ("newton-cholesky", "lbfgs", "newton-cg")
    # One device a core: JAX splits no small product among cores by itself.
    cores = os.cpu_count() or 1
    jax.config.update("jax_num_cpu_devices", cores)
    mesh = jax.make_mesh((cores,), ("samples",), axis_types=(AxisType.Explicit,))
    spread = NamedSharding(mesh, PartitionSpec(None, "samples"))
    for n, m in ((20, 1_000_000), (100, 200_000)):
        random = np.random.default_rng(0)
        X = random.standard_normal((n, m), dtype=np.float32)
        w = 2 * random.standard_normal((n, 1), dtype=np.float32) / np.sqrt(n)
        a = 1 / (1 + np.exp(-(w.T @ X + 0.3)))
        y = (random.random((1, m)) < a).astype(np.float32)
        work = Work(X, y, 1e-6, gradient=1e-6, rounds=7)
        _compare(console, work, peers, {f"jlogreg, {cores} devices": spread})


def wide(console: Console) -> None:
    """Run the benchmark of more features than samples."""
    n, m = 12_288, 209
    random = np.random.default_rng(0)
    X = random.random((n, m), dtype=np.float32)  # pixels in [0, 1)
    y = (random.random((1, m)) < 0.35).astype(np.float32)
    peers = ("newton-cg", "lbfgs", "liblinear")
    _compare(console, Work(X, y, 1 / m, gradient=1e-6, rounds=9), peers)


def _compare(
    console: Console,
    work: Work,
    peers: Sequence[str],
    spreads: Mapping[str, NamedSharding] | None = None,
) -> None:
    n, m = work.X.shape
    console.print(
        f"one fit, {n} x {m}, float32, l2 = {work.l2:.2g}, to a gradient of at most "
        f"{work.gradient:g} (largest entry, computed in float64)"
    )
    compiled, l2 = jax.jit(fit), jnp.asarray(work.l2, work.X.dtype)
    ways: dict[str, Callable[[], object]] = {}
    table = Table("way", "steps", "J", "largest gradient")
    for name, spread in {"jlogreg": None, **(spreads or {})}.items():
        X, y = jax.device_put(work.X, spread), jax.device_put(work.y, spread)

        def ours(X: jax.Array = X, y: jax.Array = y) -> Fit:
            return jax.block_until_ready(compiled(X, y, l2=l2))

        result, ways[name] = ours(), ours
        _row(table, work, name, int(result.steps), result.params)
        if result.status != Status.CONVERGED:
            console.print(f"{name}: {Status(int(result.status)).message}")
    for solver in peers:
        name, way = _peer(table, work, solver)
        if way is not None:
            ways[name] = way
    console.print(table)
    seconds = interleaved(ways, work.rounds)
    theirs = [name for name in ways if name.startswith("scikit-learn")]
    report(console, seconds, against=min(theirs, key=partial(median, seconds)))


def _peer(
    table: Table, work: Work, solver: str
) -> tuple[str, Callable[[], object] | None]:
    """Return the loosest setting of a solver that reaches the gradient."""
    XT, labels = np.ascontiguousarray(work.X.T), work.y[0]
    C = 1 / (work.l2 * work.X.shape[1])
    for tol in TOLERANCES:
        model = LogisticRegression(C=C, solver=solver, tol=tol, max_iter=1000)

        def way(model: LogisticRegression = model) -> object:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                return model.fit(XT, labels)

        way()
        params = Params(w=model.coef_.T, b=model.intercept_[:, None])
        name = f"scikit-learn {solver}, tol {tol:g}"
        size = _row(table, work, name, int(model.n_iter_[0]), params)
        if size <= work.gradient:
            return name, way
    return name, None


def _row(table: Table, work: Work, name: str, steps: int, params: Params) -> float:
    """Add what a way has reached; return the largest entry of the gradient."""
    w, b = np.asarray(params.w, float), np.asarray(params.b, float)
    X, y = work.X.astype(float), work.y.astype(float)
    z = w.T @ X + b
    J = np.mean(np.logaddexp(0, z) - y * z) + work.l2 * np.sum(w**2) / 2
    size = Problems(X.T, y, None, work.l2).largest_gradient(Models(w, b))
    table.add_row(name, str(steps), f"{J:.8f}", f"{size:.1e}")
    return size

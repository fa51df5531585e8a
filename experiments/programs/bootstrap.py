"""Fit every bootstrap replicate in one call, and compare its intervals with Wald's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from statistics import NormalDist
from typing import Annotated, Literal, NamedTuple

import jax
import jax.numpy as jnp
import msgspec
import numpy as np

from experiments.config import Fraction, NonNegative, Section, WholeNumber
from experiments.datasets import load as datasets
from experiments.datasets.load import DataConfig
from experiments.errors import UserError
from experiments.runner import Row
from experiments.storage.run import Run
from jlogreg import (
    Fit,
    Params,
    Progress,
    Status,
    bootstrap_weights,
    fit,
    fit_many,
)
from jlogreg.inference import covariance
from jlogreg.plots import interval_forest

# Wald's intervals need a matrix with as many rows and columns.
MOST_FEATURES = 5000


class BootstrapConfig(Section):
    """The replicates, the penalty, and the level of the intervals.

    Attributes:
        replicates: how many times the samples are drawn anew.
        l2: the penalty of every fit.
        level: that of the intervals.
    """

    replicates: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    l2: NonNegative
    level: Fraction = 0.95


class Config(Section):
    """The data, and the replicates of it to fit.

    Attributes:
        seed: that of all random numbers.
    """

    program: Literal["bootstrap"]
    data: DataConfig
    bootstrap: BootstrapConfig
    seed: WholeNumber = 0


class Fitted(NamedTuple):
    """All samples, X (n, m) and y (1, m), and their fit."""

    X: jax.Array
    y: jax.Array
    names: tuple[str, ...]
    fit: Fit


def load(config: Config) -> Fitted:
    """Return all samples of the data that the configuration names, and their fit.

    Raises:
        UserError: if the data cannot be loaded, or their fit does not converge.
    """
    data = datasets.load(config.data, config.seed, whole=True)
    n, l2 = len(data.X_train), config.bootstrap.l2
    if n > MOST_FEATURES:
        raise UserError(f"data: a sample has {n} features, more than {MOST_FEATURES}")
    names = data.features or tuple(f"feature {j}" for j in range(n))
    X, y = jnp.asarray(data.X_train), jnp.asarray(data.y_train)
    found = jax.jit(fit)(X, y, l2=l2)
    status = Status(int(found.status))
    if status != Status.CONVERGED:
        raise UserError(f"bootstrap.l2 = {l2:g}: {status.name}: {status.message}")
    return Fitted(X, y, names, found)


def work(config: Config, data: Fitted, run: Run) -> Sequence[Row]:
    """Fit the replicates in one call, compute both kinds of intervals, draw them."""
    settings = config.bootstrap
    tails = np.array([[1 - settings.level, 1 + settings.level]]) / 2
    estimate = np.asarray(data.fit.params.w)
    matrix = np.asarray(covariance(data.fit, data.X, data.y, l2=settings.l2), float)
    deviation = np.sqrt(np.diag(matrix)[:-1, None])
    wald = estimate + deviation * np.vectorize(NormalDist().inv_cdf)(tails)
    replicates = _replicates(config, data, run)
    converged = np.asarray(replicates.status) == Status.CONVERGED
    bootstrap = np.full(wald.shape, np.nan)
    if converged.any():
        w = np.asarray(replicates.params.w)[converged, :, 0]
        bootstrap = np.quantile(w, tails[0], axis=0).T
    run.write_arrays(
        "params.npz",
        w=estimate,
        b=data.fit.params.b,
        covariance=matrix,
        wald=wald,
        bootstrap=bootstrap,
    )
    figure = interval_forest(estimate, wald, bootstrap, data.names)
    run.write_figure("intervals.png", figure)
    run.console.print(
        f"{converged.size} replicates of {data.X.shape[1]} samples in one call; "
        f"converged: {converged.sum()}"
    )
    table = np.hstack([estimate, wald, bootstrap])
    return _rows(data.names, table, 100 * float(converged.mean()))


def _rows(names: Sequence[str], table: np.ndarray, share: float) -> list[Row]:
    """Return a row of rounded numbers for each feature."""
    columns = ("estimate", "Wald low", "Wald high", "boot low", "boot high")
    rows: list[Row] = []
    for name, values in zip(names, table, strict=True):
        rounded = [float(f"{value:.4g}") for value in values]
        ends = dict(zip(columns, rounded, strict=True))
        rows.append({"feature": name, **ends, "fitted %": share})
    return rows


def _replicates(config: Config, data: Fitted, run: Run) -> Fit:
    """Return the fits of the replicates, resumed from the run's folder."""
    key, count = jax.random.key(config.seed), config.bootstrap.replicates
    weight = bootstrap_weights(key, data.X.shape[1], count, dtype=data.X.dtype)
    resume = _read(run)
    done = 0 if resume is None else int(resume.finished.sum())
    if done:
        run.console.print(f"Resuming after {done} replicates.")
    with run.track("fitting", count, done, save=partial(_write, run)) as report:
        return fit_many(
            data.X,
            run.group.dealt(data.y),
            weight=weight,
            l2=config.bootstrap.l2,
            progress=report,
            resume=resume,
        )


def _write(run: Run, progress: Progress) -> None:
    """Write the fits of the replicates, and which of them are finished."""
    leaves = progress.fit._asdict()
    params = leaves.pop("params")
    run.write_arrays(
        "replicates.npz",
        finished=progress.finished,
        arguments=np.array(progress.arguments),
        **params._asdict(),
        **leaves,
    )


def _read(run: Run) -> Progress | None:
    """Return the replicates that an earlier process has finished, or None."""
    saved = run.read_arrays("replicates.npz")
    if saved is None:
        return None
    finished, arguments = saved.pop("finished"), str(saved.pop("arguments"))
    leaves = {name: jnp.asarray(values) for name, values in saved.items()}
    params = Params(w=leaves.pop("w"), b=leaves.pop("b"))
    return Progress(finished, Fit(params=params, **leaves), 0.0, arguments)

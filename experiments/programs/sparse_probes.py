"""Fit sparse probes on a path of l1 penalties, and see which pixels come again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import matplotlib as mpl
import msgspec
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from experiments.config import Fraction, Section, WholeNumber
from experiments.datasets.load import Digits, DigitsConfig
from experiments.programs.probes import check_choices, load, rounded
from experiments.runner import Row
from experiments.storage.run import Run
from jlogreg import (
    CrossValidation,
    Fit,
    Status,
    bootstrap_weights,
    cross_validate,
    fit_many,
    penalty_grid,
    predict_proba,
    stack,
)
from jlogreg.metrics import roc_auc
from jlogreg.plots import image_grid, penalty_path

__all__ = ["Config", "load", "work"]

# How far from white the color of the smallest weight is; that of the largest is 0.5.
PALEST = 0.1


class GridConfig(Section):
    """The penalties, from l1_max down to a fraction of it, and the folds.

    Attributes:
        smallest: the smallest penalty, as a fraction of the largest.
        penalties: how many of them.
        folds: those of the cross-validation.
    """

    smallest: Fraction
    penalties: Annotated[int, msgspec.Meta(ge=2, le=1000)]
    folds: Annotated[int, msgspec.Meta(ge=2, le=10_000)] = 5


class StabilityConfig(Section):
    """What counts as a stable pixel.

    Attributes:
        replicates: how many times the samples are drawn anew.
        threshold: the share of them that chooses a stable pixel.
    """

    replicates: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    threshold: Fraction = 0.9


class Config(Section):
    """The data, the penalties to try, and the replicates of the samples.

    Attributes:
        seed: that of all random numbers.
    """

    program: Literal["sparse_probes"]
    data: DigitsConfig
    grid: GridConfig
    stability: StabilityConfig
    seed: WholeNumber = 0


def work(config: Config, data: Digits, run: Run) -> Sequence[Row]:
    """Fit the paths on every fold, choose a penalty, fit the replicates, and draw."""
    found = _validate(config.grid, config.seed, data, run)
    check_choices(found)
    replicates = _replicates(config, data, found, run)
    converged = np.asarray(replicates.status) == Status.CONVERGED
    chosen = (np.asarray(replicates.params.w)[..., 0] != 0) & converged[..., None]
    share = chosen.sum(axis=1) / np.maximum(1, converged.sum(axis=1, keepdims=True))
    params = found.fit.params
    test = predict_proba(stack(params), data.X_test)
    run.write_arrays(
        "params.npz",
        w=params.w,
        b=params.b,
        test_probability=test,
        path_w=found.path.params.w,
        path_b=found.path.params.b,
        share=share,
        **{name: getattr(found, name) for name in KEPT},
    )
    threshold = config.stability.threshold
    run.write_figure("path.png", _draw_path(found))
    run.write_figure("weights.png", _draw_weights(np.asarray(params.w)[..., 0]))
    run.write_figure("stability.png", _draw_shares(share, threshold))
    failed = int(np.sum(np.asarray(found.status) != Status.CONVERGED))
    run.console.print(
        f"{found.status.size} fits in one call; not converged: {failed or 'none'}\n"
        f"{converged.size} fits of replicates; "
        f"not converged: {int((~converged).sum()) or 'none'}"
    )
    auc = np.asarray(roc_auc(test, data.Y_test))
    return _table(found, auc, (share >= threshold).sum(axis=1))


KEPT = (
    *("l1", "fold_loss", "loss", "standard_error", "best", "one_standard_error"),
    *("status", "probability", "n_selected"),
)


def _validate(grid: GridConfig, seed: int, data: Digits, run: Run) -> CrossValidation:
    """Return the cross-validation of the penalties, showing its progress."""
    X, Y = jnp.asarray(data.X_train), jnp.asarray(data.Y_train)
    largest = float(penalty_grid(X, Y, "l1")[0, 0])  # the largest l1_max of the rows
    l1 = np.geomspace(largest, largest * grid.smallest, grid.penalties)
    # The folds, and a fit of all samples.
    total = len(Y) * grid.penalties * (grid.folds + 1)
    with run.track("fitting", total) as report:
        return cross_validate(
            X,
            run.group.dealt(Y),
            l1=jnp.asarray(l1.reshape(-1, 1), X.dtype),
            folds=grid.folds,
            key=jax.random.key(seed),
            rule="one_standard_error",
            progress=report,
        )


def _replicates(config: Config, data: Digits, found: CrossValidation, run: Run) -> Fit:
    """Return the fits (K, R) of R replicates at the penalty of one standard error.

    Each is a row of weights: how often a sample has been drawn. All digits share them.
    """
    X, Y = jnp.asarray(data.X_train), jnp.asarray(data.Y_train)
    K, count = len(Y), config.stability.replicates
    key = jax.random.key(config.seed)
    weight = bootstrap_weights(key, X.shape[1], count, dtype=X.dtype)
    l1 = jnp.asarray(found.l1)[found.one_standard_error[:, 0]]
    with run.track("resampling", K * count) as report:
        fits = fit_many(
            X,
            run.group.dealt(jnp.repeat(Y, count, axis=0)),
            weight=jnp.tile(weight, (K, 1)),
            l1=jnp.repeat(l1, count, axis=0),
            progress=report,
        )
    return jax.tree.map(lambda leaf: leaf.reshape(K, count, *leaf.shape[1:]), fits)


def _table(found: CrossValidation, auc: np.ndarray, stable: np.ndarray) -> list[Row]:
    """Return a row of rounded numbers for each digit; params.npz has them in full."""
    columns: dict[str, Sequence[Any]] = {"digit": [*map(str, range(len(stable)))]}
    for name, places in [("best", found.best), ("1 SE", found.one_standard_error)]:
        at = np.asarray(places)
        columns[f"{name} l1"] = rounded(np.asarray(found.l1)[at[:, 0], 0], 2)
        for what, values in [("loss", found.loss), ("pixels", found.n_selected)]:
            picked = np.take_along_axis(np.asarray(values), at, axis=1)[:, 0]
            columns[f"{name} {what}"] = rounded(picked, 3)
    columns["1 SE test AUC"] = rounded(auc, 4)
    columns["stable pixels"] = rounded(stable, 3)
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]


def _draw_path(found: CrossValidation) -> Figure:
    """Draw the held-out losses by penalty, and above them the numbers of pixels."""
    l1 = jnp.asarray(found.l1)
    return penalty_path(
        l1,
        found.loss,
        found.standard_error,
        l1[found.best[:, 0]],
        l1[found.one_standard_error[:, 0]],
        labels=[str(k) for k in range(len(found.loss))],
        scale="log",
        penalty="l1",
        n_selected=found.n_selected,
    )


def _draw_weights(w: np.ndarray) -> Figure:
    """Draw the weights (K, 64) as pictures; a pixel whose weight is 0 is white."""
    largest = np.maximum(np.abs(w).max(axis=1, keepdims=True), np.finfo(w.dtype).tiny)
    distance = PALEST + (0.5 - PALEST) * np.abs(w) / largest
    shades = mpl.colormaps["RdBu_r"](0.5 + np.sign(w) * distance)
    shades[w == 0] = 1
    counts = (w != 0).sum(axis=1)
    titles = [f"{k}: {count} pixels" for k, count in enumerate(counts)]
    figure = _framed(shades, titles)
    figure.suptitle("weights: red speaks for the digit, blue against it, white is 0")
    return figure


def _draw_shares(share: np.ndarray, threshold: float) -> Figure:
    """Draw the shares (K, 64) of the replicates that choose each pixel, as pictures."""
    shades = mpl.colormaps["Purples"](share)
    shades[share == 0] = 1
    counts = (share >= threshold).sum(axis=1)
    titles = [f"{k}: {count} stable pixels" for k, count in enumerate(counts)]
    figure = _framed(shades, titles)
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, 1), "Purples"), ax=figure.axes, pad=0.02
    )
    bar.ax.axhline(threshold, color="black")
    figure.suptitle(
        "share of the replicates that choose a pixel; "
        f"stable is {threshold:.0%} or more"
    )
    return figure


def _framed(shades: np.ndarray, titles: Sequence[str]) -> Figure:
    """Draw colors (K, 64, 4) as pictures of 8 x 8 pixels, each in a frame."""
    figure = image_grid(shades.reshape(len(shades), 8, 8, 4), titles, columns=5)
    for axes in figure.axes:
        axes.set_axis_on()
        axes.set(xticks=[], yticks=[])
    return figure

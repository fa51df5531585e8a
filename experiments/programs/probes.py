"""Fit one probe per label, penalty and fold in one call, and choose the penalties."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import matplotlib as mpl
import msgspec
import numpy as np

from experiments.config import Positive, Section, WholeNumber
from experiments.datasets import load as datasets
from experiments.datasets.load import Digits, DigitsConfig
from experiments.errors import UserError
from experiments.runner import Row
from experiments.storage.run import Run
from jlogreg import (
    CrossValidation,
    Status,
    cross_validate,
    predict_proba,
    stack,
)
from jlogreg.diagnostics.calibration import calibration
from jlogreg.plots import image_grid, penalty_path, reliability_diagram


class GridConfig(Section):
    """The penalties, evenly spaced in their logarithm, the folds, and the rule.

    Attributes:
        smallest: the smallest penalty.
        largest: the largest penalty.
        penalties: how many of them.
        folds: those of the cross-validation.
        rule: the penalty of the smallest held-out loss, or the largest that is within
            one standard error of it.
    """

    smallest: Positive
    largest: Positive
    penalties: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    folds: Annotated[int, msgspec.Meta(ge=2, le=10_000)] = 5
    rule: Literal["best", "one_standard_error"] = "best"

    def __post_init__(self) -> None:
        """Check that the range of penalties is not empty."""
        if self.smallest > self.largest:
            raise ValueError("smallest must be at most largest")


class Config(Section):
    """The data, and the penalties to try.

    Attributes:
        seed: that of the split and of the folds.
    """

    program: Literal["probes"]
    data: DigitsConfig
    grid: GridConfig
    seed: WholeNumber = 0


def load(config: Config) -> Digits:
    """Return the digits.

    Raises:
        UserError: if there are fewer samples than folds.
    """
    data = datasets.load_digits(config.data, config.seed)
    m = data.X_train.shape[1]
    if config.grid.folds > m:
        raise UserError(f"grid.folds: there are only {m} samples to learn from")
    return data


def work(config: Config, data: Digits, run: Run) -> Sequence[Row]:
    """Fit every label at every penalty on every fold, choose, test, and draw."""
    found = _validate(config.grid, config.seed, data, run)
    check_choices(found)
    params = found.fit.params
    test = np.asarray(predict_proba(stack(params), data.X_test))
    trees = ("fit", "path", "fold_fits", "metrics")
    run.write_arrays(
        "params.npz",
        w=params.w,
        b=params.b,
        test_probability=test,
        path_w=found.path.params.w,
        path_b=found.path.params.b,
        **{key: value for key, value in found._asdict().items() if key not in trees},
    )
    _draw(found, data, run)
    rows = _table(found, data, test, config.grid.rule)
    failed = int(np.sum(np.asarray(found.status) != Status.CONVERGED))
    error = calibration(found.probability, data.Y_train).error
    run.console.print(
        f"{found.status.size} fits in one call; not converged: {failed or 'none'}\n"
        f"Digits assigned to the right probe: {rows[-1]['recall %']} % held out, "
        f"{rows[-1]['test recall %']} % test\n"
        f"Expected calibration error of the held-out probabilities: {error:.4f}"
    )
    return rows


def check_choices(found: CrossValidation) -> None:
    """Raise a UserError if a digit has no penalty that can be chosen."""
    if (found.best < 0).any():
        digit = int(np.flatnonzero(found.best[:, 0] < 0)[0])
        raise UserError(
            f"no penalty can be compared for digit {digit}: at each of them the fit of "
            "a fold failed; use more samples, fewer folds or larger penalties"
        )


def _validate(grid: GridConfig, seed: int, data: Digits, run: Run) -> CrossValidation:
    """Return the cross-validation of the penalties, showing its progress."""
    l2 = np.geomspace(grid.smallest, grid.largest, grid.penalties, dtype=np.float32)
    # The folds, and a fit of all samples.
    total = len(data.Y_train) * grid.penalties * (grid.folds + 1)
    with run.track("fitting", total) as report:
        return cross_validate(
            jnp.asarray(data.X_train),
            run.group.dealt(data.Y_train),
            jnp.asarray(l2.reshape(-1, 1)),
            folds=grid.folds,
            key=jax.random.key(seed),
            rule=grid.rule,
            progress=report,
        )


def _table(
    found: CrossValidation, data: Digits, test: np.ndarray, rule: str
) -> list[Row]:
    """Return a row for each digit, and one for all of them.

    Numbers are rounded; params.npz has them in full.
    """
    chosen = found.best if rule == "best" else found.one_standard_error
    loss = np.take_along_axis(np.asarray(found.loss), np.asarray(chosen), axis=1)
    accuracy, recall = _scores(np.asarray(found.probability), data.Y_train)
    test_accuracy, test_recall = _scores(test, data.Y_test)
    columns: dict[str, list[str | float]] = {
        "digit": [*map(str, range(len(loss))), "all"],
        "best l2": [*rounded(found.l2[found.best[:, 0], 0], 2), ""],
        "1 SE l2": [*rounded(found.l2[found.one_standard_error[:, 0], 0], 2), ""],
        "loss": rounded([*loss[:, 0], loss.mean()], 3),
        "acc. %": rounded(accuracy, 4),
        "recall %": rounded(recall, 4),
        "test acc. %": rounded(test_accuracy, 4),
        "test recall %": rounded(test_recall, 4),
    }
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]


def _scores(a: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return accuracy and recall in percent (K + 1,), the last for all labels together.

    Shapes: a and Y (K, m), probabilities and labels. Accuracy is that of a label. An
    image is assigned to the probe with the largest probability of the K; the recall is
    the share of a digit's images that are assigned to its probe.
    """
    right = np.abs(a - Y) < 0.5  # NaN is never right
    given = (a == a.max(axis=0, keepdims=True)) & (Y == 1)
    accuracy = np.append(right.mean(axis=1), right.mean())
    recall = np.append(given.sum(axis=1) / Y.sum(axis=1), given.sum() / Y.sum())
    return 100 * accuracy, 100 * recall


def rounded(values: Any, digits: int) -> list[str | float]:
    """Return the values rounded to so many significant digits."""
    return [float(f"{value:.{digits}g}") for value in np.asarray(values)]


def _draw(found: CrossValidation, data: Digits, run: Run) -> None:
    """Draw the losses, the weights as images, and the calibration."""
    digits = [str(k) for k in range(len(data.Y_train))]
    figure = penalty_path(
        found.l2,
        found.loss,
        found.standard_error,
        found.l2[found.best[:, 0]],
        found.l2[found.one_standard_error[:, 0]],
        labels=digits,
        scale="log",
    )
    run.write_figure("path.png", figure)
    w = np.asarray(found.fit.params.w)[:, :, 0]
    largest = np.maximum(np.abs(w).max(axis=1, keepdims=True), np.finfo(w.dtype).tiny)
    shades = mpl.colormaps["RdBu_r"](0.5 + w / largest / 2)
    figure = image_grid(shades.reshape(len(w), 8, 8, 4), digits, columns=5)
    figure.suptitle("weights: red speaks for the digit, blue against it")
    run.write_figure("weights.png", figure)
    figure = reliability_diagram(found.probability, data.Y_train)
    run.write_figure("reliability.png", figure)

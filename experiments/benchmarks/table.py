"""From a CSV file to a model with its table of coefficients, against reading alone."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from experiments.benchmarks.harness.compare import Way, attempt, compare
from jlogreg import tables

CITIES = ["Bern", "Oslo", "Paris", "Rome"]


class Work(NamedTuple):
    """The sizes of the table, the goal and the rounds."""

    rows: int = 1_000_000
    columns: int = 30  # the label, a category, and numbers
    goal: float = 1e-4  # largest difference of a weight from the minimum's
    rounds: int = 3


WORK = Work()


class Answer(NamedTuple):
    """The log-odds per unit of each number, in the order of the columns."""

    weights: np.ndarray


def run(console: Console, work: Work = WORK) -> None:
    """Time a million rows from CSV to a model, against reading them."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        path = Path(folder, "table.csv")
        _frame(work).to_csv(path, index=False)
        size = path.stat().st_size / 2**20
        console.print(
            f"{work.rows} rows and {work.columns} columns of CSV, {size:.0f} MiB, to a "
            "model: numbers, a category of four words, and a label of words"
        )
        # Newton's method is at the minimum, where scikit-learn's descent ends near it.
        exact = _model(path, 0).weights

        def off(found: Answer) -> float:
            return float(np.abs(found.weights - exact).max())

        ways = [
            Way("jlogreg, with standard errors", partial(_model, path, 0), off, True),
            Way("the same and five folds", partial(_model, path, 5), off, bound=True),
            Way("reading, jlogreg.tables", _read(path), lambda _: 0.0, bound=True),
            Way("pandas and scikit-learn", partial(_peer, path), off),
        ]
        tried = [*map(attempt, ways)]
        compare(console, "table", work, "difference", tried, cpu=True)


def _frame(work: Work) -> pd.DataFrame:
    random = np.random.default_rng(0)
    X = random.normal(size=(work.rows, work.columns - 2)).round(4)
    z = X @ random.normal(size=X.shape[1]) / X.shape[1] ** 0.5
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])
    frame["city"] = random.choice(CITIES, work.rows)
    frame["sick"] = np.where(z + random.logistic(size=work.rows) > 0, "yes", "no")
    return frame


def _model(path: Path, folds: int) -> Answer:
    model = tables.fit(tables.read(path), tables.Schema("sick", "yes"), folds=folds)
    numbers = [name.startswith("x") for name in model.names]
    return Answer(np.array(model.w)[numbers])


def _read(path: Path) -> Callable[[], object]:
    return lambda: tables.read(path)


def _peer(path: Path) -> Answer:
    """Return what a user of pandas and scikit-learn would write; without errors."""
    frame = pd.read_csv(path)
    y = frame.pop("sick") == "yes"
    scaler = StandardScaler()
    columns = make_column_transformer(
        (scaler, make_column_selector(dtype_include="number")),
        (OneHotEncoder(drop="first", sparse_output=False), ["city"]),
    )
    X = columns.fit_transform(frame)
    model = LogisticRegression(C=np.inf, tol=1e-5).fit(X, y)
    scale = columns.transformers_[0][1].scale_
    return Answer(model.coef_[0, : len(scale)] / scale)

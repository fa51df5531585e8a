"""Hold what other programs published of logistic regressions, and their data.

The numbers are in published.toml. README.md says whence each is.
"""

from __future__ import annotations

import tomllib
from decimal import Decimal
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.references.datasets import DATA, Reference, read
from tests.references.datasets import spector as exact_spector


class Published(NamedTuple):
    """Hold printed numbers: w and then b, and whatever else was printed with them."""

    theta: str
    theta_off: float = 0.0
    error: str = ""  # standard errors, w and then b
    error_off: float = 0.0
    log_likelihood: str = ""
    null_log_likelihood: str = ""
    deviance: str = ""
    null_deviance: str = ""
    pearson: str = ""  # Pearson's chi square
    pearson_off: float = 0.0
    covariance: str = ""
    probability: str = ""


def half_unit(text: str, decimals: int = 0) -> float:
    """Return half a unit of the last place printed, after at least so many decimals."""
    exponent = Decimal(text).as_tuple().exponent
    assert isinstance(exponent, int)
    return 0.5 * 10.0 ** min(exponent, -decimals)


def spector() -> Reference:
    """Return the data as Stata keeps them, by default in float32."""
    data = exact_spector()
    return data._replace(X=data.X.astype(np.float32).astype(float))


def star98() -> Reference | None:
    """Return the part of the pupils above the median, weighted by their number.

    The data belong to their author and are read from statsmodels, where it is there.
    """
    spec = find_spec("statsmodels")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "datasets/star98/star98.csv"
    pupils, above, *features = np.loadtxt(path, delimiter=",", skiprows=1).T
    weight = pupils.reshape(1, -1)
    return Reference(np.array(features), above.reshape(1, -1) / weight, weight=weight)


def ridge() -> Reference:
    X = np.array([[-4, -3, -2, -1, 0, 1, 2, 3, 4], [0, 0, 1, 0, 1, 1, 1, 0, 0]], float)
    return Reference(X, np.array([[0, 0, 0, 1, 1, 1, 1, 1, 1]], float), l2=1.0)


def ridge_path() -> Reference:
    """Return each sample and its mirror image, -x and 1 - y: then b is 0.

    The features have mean 0 and deviation 1, by m - 1, before they are mirrored. The
    file is that of the 200 lines without the first, which the R that made the numbers
    took for the names of the columns.
    """
    X, y, *_ = read("ridge_path")
    X = X - X.mean(axis=1, keepdims=True)
    X = X / X.std(axis=1, ddof=1, keepdims=True)
    return Reference(np.hstack([X, -X]), np.hstack([y, 1 - y]))


def finney() -> Reference:
    """Return whether vessels contracted; features are logarithms."""
    data = read("finney")
    return data._replace(X=np.log(data.X))


def finney_published() -> np.ndarray:
    """Return the texts that SAS printed, a column for each sample.

    The rows are the leverage; the one-step changes of b and w without the sample, in
    standard errors; and Cbar.
    """
    return np.loadtxt(DATA / "finney_published.csv", str, delimiter=",", skiprows=1).T


PRINTED: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
RIDGE_PATH = {l2: Published(**row) for l2, row in PRINTED.pop("ridge_path").items()}
MADE = {
    "spector": spector,
    "low_birth_weight": partial(read, "low_birth_weight"),
    "star98": star98,
    "ridge": ridge,
}
SINGLE = {name: (make, Published(**PRINTED[name])) for name, make in MADE.items()}

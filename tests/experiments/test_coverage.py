"""What intervals cover and tests reject, over all labels that there are, by NumPy."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.programs import coverage
from tests.helpers import Problem
from tests.oracles.numpy_firth import numpy_firth
from tests.oracles.separation import separation

pytestmark = pytest.mark.nightly
M, WEIGHT = 8, 1.0
# The quantile of chi-square of one degree of freedom, at 95 %.
CHI_SQUARE = 1.959963984540054**2


def drop(x, y, tau, j, value):
    """Return twice the fall of the likelihood where the j-th parameter is held."""
    theta, best = numpy_firth(x, y, tau=tau)
    free, start = np.arange(len(x)) != j, theta.copy()
    start[j] = value
    _, held = numpy_firth(x, y, tau=tau, free=free, start=start)
    return 2 * (best - held)


def score(x, y):
    """Return the score statistic of the second feature, given the first and a bias."""
    null = x[[0, 2]]
    theta, _ = numpy_firth(null, y, tau=0.0)
    a = 1 / (1 + np.exp(-(theta @ null)))
    s, g = a * (1 - a), x[1]
    across = (null * s) @ g
    variance = s @ (g * g) - across @ np.linalg.solve((null * s) @ null.T, across)
    return (g @ (y - a)) ** 2 / variance


def wald(x, y):
    """Return the estimates of the weights, and their standard errors."""
    theta, _ = numpy_firth(x, y, tau=0.0)
    a = 1 / (1 + np.exp(-(theta @ x)))
    inverse = np.linalg.inv((x * (a * (1 - a))) @ x.T)
    return theta[:2], np.sqrt(np.diag(inverse)[:2])


def is_separated(X, y):
    ones = np.ones((1, M))
    return bool(separation(Problem(None, X, y[None], ones, 0 * ones, 0.0)))


def events(x, y):
    """Return what happens for these labels, by method; NaN without an estimate."""
    found = dict.fromkeys(coverage.METHODS, np.nan)
    found["Firth profile"] = drop(x, y, 0.5, 0, WEIGHT) <= CHI_SQUARE
    found["Firth LR test"] = drop(x, y, 0.5, 1, 0.0) > CHI_SQUARE
    if not is_separated(x[:1], y):
        found["score test"] = score(x, y) > CHI_SQUARE
    if not is_separated(x[:2], y):
        w, error = wald(x, y)
        far = ((w - [WEIGHT, 0.0]) / error) ** 2
        found["Wald"], found["Wald test"] = far[0] <= CHI_SQUARE, far[1] > CHI_SQUARE
        found["profile"] = drop(x, y, 0.0, 0, WEIGHT) <= CHI_SQUARE
        found["LR test"] = drop(x, y, 0.0, 1, 0.0) > CHI_SQUARE
    return [float(found[method]) for method in coverage.METHODS]


def test_the_counts_over_all_labels_are_those_of_numpy():
    """Each of the 256 rows of eight labels once; the bootstrap takes no part.

    A search that ends without an answer counts as one that is not covered.
    """
    settings = {"samples": [M], "shares": [0.5], "weight": WEIGHT, "replicates": 2**M}
    simulation = coverage.SimulationConfig(**settings)
    config = coverage.Config(program="coverage", simulation=simulation)
    X = jnp.asarray(coverage.load(config), float)
    Y = np.array(list(itertools.product([0.0, 1.0], repeat=M)))
    cell = coverage.Cell(M, 0.5, 0.0, jnp.asarray(Y))
    counts = coverage._count(config, X, cell)
    x = np.vstack([X, np.ones((1, M))])
    table = np.array([events(x, y) for y in Y])
    for k, method in enumerate(coverage.METHODS):
        if method == "bootstrap":
            continue
        happened, answers, total = counts[k].tolist()
        known = int(np.sum(~np.isnan(table[:, k])))
        assert total == len(Y)
        assert known - 4 <= answers <= known, method
        expected = int(np.nansum(table[:, k]))
        assert expected - (known - answers) <= happened <= expected, method

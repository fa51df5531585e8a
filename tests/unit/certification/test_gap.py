"""The duality gap of a certificate: a bound, and near what it bounds."""

import numpy as np
import pytest

import jlogreg as jl
from jlogreg import Status
from tests.oracles.coordinate_descent import lasso_cost, optimality

RANDOM = np.random.default_rng(0)
N, M = 6, 50
X = RANDOM.standard_normal((N, M))
Y = (RANDOM.random((1, M)) < 1 / (1 + np.exp(-2 * X[:1]))) * 1.0
WEIGHT = RANDOM.choice([0.0, 1.0, 2.5], (1, M))
OFFSET = RANDOM.standard_normal((1, M))
EACH = 0.05 * np.array([[0.0], [1.0], [1.0], [2.0], [1.0], [0.5]])
OPTIONS = {
    "l1": {"l1": 0.05},
    "elastic": {"l1": 0.05, "l2": 0.1},
    "free": {"l1": EACH},
    "no bias": {"l1": 0.05, "bias": False},
    "weighted": {"l1": 0.05, "weight": WEIGHT, "offset": OFFSET},
}


def theta_of(found):
    return np.append(np.ravel(found.params.w), np.ravel(found.params.b))


@pytest.mark.parametrize("name", OPTIONS)
def test_the_gap_is_a_bound_that_is_no_larger_than_that_of_the_fit(name):
    options = OPTIONS[name]
    end = jl.fit(X, Y, **options)
    assert end.status == Status.CONVERGED
    for steps in range(1, 4):
        found = jl.fit(X, Y, max_steps=steps, **options)
        checked = jl.certificate(found, X, Y, **options)
        above = found.cost - end.cost
        assert above - 1e-15 <= checked.gap
        if steps > 1:
            assert checked.gap <= found.gap + 1e-15
            assert checked.gap <= 1.02 * above + 2e-15
        rest = {key: options.get(key) for key in ("weight", "offset")}
        given = (X, Y, options["l1"], options.get("l2", 0.0))
        theta = theta_of(found)
        np.testing.assert_allclose(checked.cost, lasso_cost(theta, *given, **rest))
        if name != "no bias":
            distance = optimality(theta, *given, **rest).max()
            np.testing.assert_allclose(checked.gradient_norm, distance, atol=1e-15)
    checked = jl.certificate(end, X, Y, **options)
    assert checked.gap < 1e-18
    assert max(checked.gradient_norm, checked.decrement, checked.change) < 1e-12


def test_a_wrong_minimum_has_a_gap():
    end = jl.fit(X, Y, l1=0.05)
    for scale in (0.9, 1.1, -1.0):
        params = jl.Params(scale * end.params.w, scale * end.params.b)
        moved = end._replace(params=params)
        checked = jl.certificate(moved, X, Y, l1=0.05)
        above = lasso_cost(theta_of(moved), X, Y, 0.05) - end.cost
        assert 1e-4 < above <= checked.gap
    assert jl.certificate(end, X, Y, l1=0.01).gap > 1e-3


def test_a_feature_that_is_held_out_counts_in_the_gap_of_a_fit():
    """At a minimum on a face, which is that of the whole but for one feature."""
    l1 = np.full((N, 1), 0.02)
    l1[0] = 10.0
    end = jl.fit(X, Y, l1=l1)
    slope = float(jl.gradient(end.params, X, Y).w[0, 0])
    l1[0] = 0.999 * abs(slope)
    start = jl.fit(X, Y, l1=l1, init=end.params, max_steps=0)
    checked = jl.certificate(start, X, Y, l1=l1)
    above = start.cost - jl.fit(X, Y, l1=l1).cost
    assert 0 < above < checked.gap < start.gap < 2 * checked.gap


def test_without_a_penalty_there_is_no_gap_and_a_plane_is_of_free_features():
    assert jl.certificate(jl.fit(X, Y), X, Y).gap is None
    apart = np.concatenate([X, 2 * Y - 1 + 0.1 * X[:1]])
    zero = jl.Fit(jl.init_params(N + 1, float), *[np.zeros(())] * 5)
    assert jl.certificate(zero, apart, Y).separation == "complete"
    assert jl.certificate(zero, apart, Y, l1=0.1).separation == "overlap"

"""Firth's estimate: published numbers, closed forms, several minima, and statuses."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from tests.helpers import EPS, assert_close
from tests.references import datasets

firth = partial(jl.fit, jeffreys=0.5)
# What logistf prints, to all its digits: w, then b; and the penalised log-likelihood.
ENDOMETRIAL = [2.92927335, -0.03475176, -2.60416393, 3.77455971]
SEX2 = [-1.10598133, -0.06881673, 2.26887465, -2.11140819, -0.78831695, 3.09601183]
KNOWN = {
    "endometrial": (ENDOMETRIAL, -24.0372678),
    "sex2": ([*SEX2, 0.12025405], -132.5393795),
}
# Two integer problems whose cost has two minima: w, and l* at both.
TWICE = [
    ([2, 16, -1, -32, 2], [1, 0, 1, 1, 1], -0.19677, 0.616746, 0.521882),
    ([-4, -2, 1, 32, -16, -8], [1, 1, 1, 1, 0, 0], 0.24895, -0.077268, -0.217899),
]


def theta(found):
    return np.append(found.params.w, found.params.b)


@pytest.mark.parametrize("name", KNOWN)
def test_published_estimates(name):
    data = getattr(datasets, name)()
    expected, likelihood = KNOWN[name]
    found = firth(data.X, data.y)
    assert found.status == jl.Status.CONVERGED
    assert not found.several
    assert_close(theta(found), np.array(expected), 5e-9 + 0 * np.array(expected))
    assert_close(-found.cost * data.y.size, likelihood, 5e-8)


@pytest.mark.parametrize(
    ("problem", "dtype"), [(TWICE[0], np.float64), (TWICE[1], np.float32)]
)
def test_the_lower_of_two_minima_is_taken(problem, dtype):
    x, y, w, best, other = problem
    X, y = np.array([x], dtype), np.array([y], dtype)
    found = firth(X, y)
    assert found.several
    assert_close(found.params.w[0, 0], w, 6e-6)
    assert_close(-found.cost * X.shape[1], best, 2e-6)
    assert best > other


def test_separated_labels_with_logits_above_100_take_few_steps():
    X = np.random.default_rng(0).normal(size=(10, 500))
    found = firth(X, (np.ones((1, 10)) @ X > 0.5).astype(float))
    assert found.status == jl.Status.CONVERGED
    assert np.abs(jl.logits(found.params, X)).max() > 100
    assert found.steps <= 14  # 18 by steps that do not look along their lines


def test_a_table_of_counts_gets_half_a_count_in_each_cell():
    n00, n01, n10, n11 = 5.0, 0.0, 3.0, 9.0
    X = jnp.array([[0.0, 0.0, 1.0, 1.0]])
    y = jnp.array([[0.0, 1.0, 0.0, 1.0]])
    found = firth(X, y, weight=jnp.array([[n00, n01, n10, n11]]))
    b = np.log((n01 + 0.5) / (n00 + 0.5))
    w = np.log((n11 + 0.5) / (n10 + 0.5)) - b
    assert_close(theta(found), np.array([w, b]), 50 * EPS * np.ones(2))


def test_a_prior_of_strength_t_adds_t_to_each_cell():
    X, y = jnp.array([[0.0, 0.0, 1.0, 1.0]]), jnp.array([[0.0, 1.0, 0.0, 1.0]])
    weight = jnp.array([[5.0, 1.0, 3.0, 9.0]])
    found = jl.fit(X, y, weight=weight, jeffreys=0.2)
    assert_close(found.params.b[0, 0], np.log(1.2 / 5.2), 50 * EPS)
    dt = jax.grad(lambda t: jl.fit(X, y, weight=weight, jeffreys=t).params.b[0, 0])(0.2)
    assert_close(dt, 1 / 1.2 - 1 / 5.2, 200 * EPS)


def test_one_carrier_on_each_side_makes_no_cycle():
    g = np.zeros((1, 2000))
    g[0, [5, 1500]] = 1
    y = (np.arange(2000.0) < 200)[None].astype(float)
    at_null = jl.Params(np.zeros((1, 1)), np.full((1, 1), np.log(1 / 9)))
    found = firth(g, y, init=at_null)
    assert found.status == jl.Status.CONVERGED
    # In a table of counts, of 2 with the feature, and of 1998 without.
    assert_close(found.params.b[0, 0], np.log(199.5 / 1799.5), 1e-12)
    assert_close(found.params.w[0, 0], np.log(1799.5 / 199.5), 1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("row", ["copy", "constant", "sum"])
def test_dependent_features_are_singular(row, dtype):
    X = np.random.default_rng(0).normal(size=(3, 30)).astype(dtype)
    added = {"copy": X[:1], "constant": X[:1] * 0 + 3, "sum": X[:1] - X[1:2]}[row]
    X = np.concatenate([X[:2], added])
    found = jl.fit(X, (X[:1] > 0).astype(dtype), jeffreys=0.5, l2=0.1)
    assert found.status == jl.Status.SINGULAR
    assert found.cost == np.inf


def test_weights_of_too_few_samples_are_singular():
    X = np.random.default_rng(0).normal(size=(3, 30))
    weight = (np.arange(30.0) < 3)[None].astype(float)
    found = jl.fit(X, (X[:1] > 0).astype(float), weight=weight, jeffreys=0.5)
    assert found.status == jl.Status.SINGULAR


def test_statuses_under_vmap():
    x = jnp.asarray([0.0, 1, 2, 3, 4, 5])
    X = jnp.stack([x, 0 * x + 7, x.at[2].set(jnp.nan), x])[:, None]
    y = jnp.stack([x > 2, x > 2, x > 2, x < 0])[:, None].astype(float)
    found = jax.vmap(firth)(X, y)
    expected = [jl.Status[name] for name in ("CONVERGED", "SINGULAR", "BAD_INPUT")]
    assert found.status.tolist() == [*expected, jl.Status.CONVERGED]
    alone = firth(X[0], y[0])
    assert_close(found.params.w[0], alone.params.w, 1e-12)
    assert np.isnan(found.params.w[2]).all()


def test_out_of_steps_is_no_answer():
    X = np.random.default_rng(0).normal(size=(3, 30))
    y = (X[:1] > 0).astype(float)
    found = jl.fit(X, y, jeffreys=0.5, max_steps=2)
    assert (found.status, found.steps) == (jl.Status.MAX_STEPS, 2)
    slope = jax.jit(jax.grad(lambda t: jl.fit(X, y, jeffreys=t, max_steps=2).cost))(0.5)
    assert np.isnan(slope)


def test_a_traced_strength_out_of_range_is_bad_input():
    X, y = jnp.array([[0.0, 1.0, 2.0]]), jnp.array([[0.0, 1.0, 1.0]])
    bad = jax.jit(lambda t: jl.fit(X, y, jeffreys=t))(-1.0)
    assert bad.status == jl.Status.BAD_INPUT
    assert np.isnan(bad.params.w)


def test_another_solver_is_an_error():
    X, y = jnp.array([[0.0, 1.0, 2.0]]), jnp.array([[0.0, 1.0, 1.0]])
    with pytest.raises(ValueError, match=r"jeffreys needs solver=Newton\(\)"):
        jl.fit(X, y, jeffreys=0.5, solver=jl.LBFGS())
    assert firth(X, y, solver=jl.Newton()).status == jl.Status.CONVERGED

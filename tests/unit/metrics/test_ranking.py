"""Areas under curves: by their definitions, and as scikit-learn has them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, roc_auc_score

from jlogreg import bootstrap_weights, metrics
from tests.helpers import EPS

M = 24
BOTH = {
    "roc_auc": (metrics.roc_auc, roc_auc_score),
    "average_precision": (metrics.average_precision, average_precision_score),
}


def rows(low, high):
    return arrays(float, (1, M), elements=st.integers(low, high).map(float))


def area(z, y, v):
    """Return equation (30), pair by pair."""
    pairs = np.outer(v * y, v * (1 - y))
    above = (z[:, None] > z) + (z[:, None] == z) / 2
    return (pairs * above).sum() / pairs.sum()


def precision(z, y, v):
    """Return equation (31), sample by sample."""
    above = z >= z[:, None]
    return (v * y) @ ((above @ (v * y)) / (above @ v)) / (v @ y)


@pytest.mark.parametrize("name", BOTH)
@given(z=rows(-4, 4), y=rows(0, 1), weight=rows(0, 3))
def test_ties_and_weights_are_those_of_scikit_learn(name, z, y, weight):
    """Which knows no missing sample, and no area without both labels."""
    ours, theirs = BOTH[name]
    found = float(ours(z, y, weight=weight))
    seen = weight[0] > 0
    needed = 1 if name == "average_precision" else 0
    if not (weight * y).any() or (not needed and not (weight * (1 - y)).any()):
        assert np.isnan(found)
    else:
        expected = theirs(y[0, seen], z[0, seen], sample_weight=weight[0, seen])
        assert abs(found - expected) <= 1e-12


@pytest.mark.parametrize(
    ("name", "definition"), [("roc_auc", area), ("average_precision", precision)]
)
@given(z=rows(-4, 4), y=rows(0, 4), weight=rows(1, 3))
def test_labels_between_0_and_1_count_for_both(name, definition, z, y, weight):
    y = np.where(np.arange(M) < 2, np.arange(M) * 1.0, y / 4)
    found = BOTH[name][0](z, y, weight=weight)
    assert abs(found - definition(z[0], y[0], weight[0])) <= 8 * M * EPS


def problem(m=300, seed=0):
    random = np.random.default_rng(seed)
    z = random.normal(size=(1, m)).round(1)
    return z, (random.random((1, m)) < 1 / (1 + np.exp(-z))) * 1.0


@pytest.mark.parametrize("name", BOTH)
def test_a_row_of_weights_for_each_replicate(name):
    ours, theirs = BOTH[name]
    z, y = problem()
    weight = np.asarray(bootstrap_weights(jax.random.key(0), 300, 20))
    expected = [theirs(y[0], z[0], sample_weight=row) for row in weight]
    np.testing.assert_allclose(ours(z, y, weight=weight), expected, rtol=0, atol=1e-12)
    mapped = jax.vmap(lambda row: ours(z, y, weight=row))(weight[:, None])
    np.testing.assert_allclose(mapped, expected, rtol=0, atol=1e-12)
    # Rows of scores and labels too.
    many = np.vstack([z, -z, z]), np.vstack([y, y, 1 - y])
    found = ours(*many)
    alone = [ours(*(row[k : k + 1] for row in many)) for k in range(3)]
    np.testing.assert_allclose(found, alone, rtol=0, atol=8 * EPS)


@pytest.mark.parametrize("name", BOTH)
def test_more_rows_than_a_cache_holds_are_a_part_at_a_time(name):
    ours, _ = BOTH[name]
    z, y = problem(5000)
    weight = np.asarray(bootstrap_weights(jax.random.key(0), 5000, 60))
    found = ours(z, y, weight=weight)
    alone = ours(z, y, weight=weight[53:54])
    assert found.shape == (60,)
    assert abs(found[53] - alone) <= 1e-12
    assert len(np.unique(found)) == 60


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("K", [9, 1000])
def test_scores_that_rows_of_weights_share_are_sorted_once(name, K):
    z, y = map(jnp.asarray, problem())
    text = str(
        jax.make_jaxpr(lambda v: BOTH[name][0](z, y, weight=v))(jnp.ones((K, 300)))
    )
    sorts = [line for line in text.splitlines() if " sort[" in line]
    assert len(sorts) == 1
    # Of one row, and before the loop over parts of the rows.
    assert "f64[300]" in sorts[0].partition("=")[0]
    assert "scan[" not in text or text.index(" sort[") < text.index("scan[")


@pytest.mark.parametrize("name", BOTH)
def test_the_order_alone_counts(name):
    z, y = problem()
    ours, _ = BOTH[name]
    assert ours(np.exp(z), y) == ours(z, y)
    largest = np.where(z == z.max(), np.inf, np.where(z == z.min(), -np.inf, z))
    assert ours(largest, y) == ours(z, y)
    assert ours(np.where(z == 0, -0.0, z), y) == ours(np.where(z == 0, 0.0, z), y)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("m", [300, 5000])
def test_a_score_that_is_nan_is_not_passed_over(name, m):
    """A sort on a CPU may lose one among 4096 numbers and more."""
    z, y = problem(m)
    ours, _ = BOTH[name]
    lost = z.copy()
    lost[0, 7] = np.nan
    assert np.isnan(ours(lost, y))
    # Left out, it is as if it were not there, and so is its label.
    weight = (np.arange(m) != 7)[None] * 1.0
    labels = np.where(weight > 0, y, np.nan)
    rest = (np.delete(row, 7, axis=1) for row in (z, y))
    assert abs(ours(lost, labels, weight=weight) - ours(*rest)) <= m * EPS


@pytest.mark.parametrize("name", BOTH)
def test_the_unit_of_the_weights_does_not_matter(name):
    z, y = problem()
    ours, _ = BOTH[name]
    weight = 1.0 + (np.arange(300) % 3)[None]
    expected = ours(z, y, weight=weight)
    for unit in (2.0**900, 2.0**-900):
        assert ours(z, y, weight=unit * weight) == expected

"""Counts at a threshold, against scikit-learn's, and rows that do not agree."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix

import jlogreg as jl
from jlogreg import metrics

random = np.random.default_rng(0)
A = random.random((1, 50)).round(1)
Y = random.integers(0, 2, (1, 50)) * 1.0
WEIGHT = random.integers(0, 4, (1, 50)) * 1.0


@pytest.mark.parametrize("threshold", [0.5, 0.2, 0.0, 1.0])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_they_are_those_of_scikit_learn(threshold, weight):
    """Which leaves to the user that a probability of the threshold is no 1."""
    given = {} if weight is None else {"sample_weight": weight[0]}
    decided = (A[0] > threshold) * 1.0
    counts = metrics.confusion(A, Y, weight=weight, threshold=threshold)
    (tn, fp), (fn, tp) = confusion_matrix(Y[0], decided, labels=[0, 1], **given)
    expected = metrics.Confusion(tp, fp, fn, tn)
    np.testing.assert_allclose(counts, expected, rtol=0, atol=1e-12)
    found = metrics.accuracy(A, Y, weight=weight, threshold=threshold)
    assert abs(found - accuracy_score(Y[0], decided, **given)) <= 1e-12


def test_the_decisions_are_those_of_predict():
    params = jl.Params(jnp.ones((1, 1)), jnp.zeros((1, 1)))
    X = np.linspace(-2, 2, 50)[None]
    decided = np.asarray(jl.predict(params, X, threshold=0.3))
    a = jl.predict_proba(params, X)
    counts = metrics.confusion(a, Y, threshold=0.3)
    assert counts.true_positive == (decided * Y).sum()
    assert counts.false_positive == (decided * (1 - Y)).sum()


def test_rows_that_do_not_agree_are_named():
    words = r"^weight has 2 rows, but y has 3: give one row for each, or one for all$"
    with pytest.raises(jl.ShapeError, match=words):
        metrics.accuracy(A, np.vstack([Y] * 3), weight=np.vstack([WEIGHT] * 2))


def test_nothing_wrong_is_an_accuracy_of_one():
    """However the sums are rounded: each of 40 rows has weights of its own."""
    for m in (1, 2, 3, 7, 8, 9, 31, 100, 199):
        y = random.integers(0, 2, (40, m)).astype(np.float32)
        weight = random.random((40, m)).astype(np.float32) + 1
        assert (metrics.accuracy(y, y, weight=weight) == 1).all()

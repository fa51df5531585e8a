"""Which features are constant or given by others."""

import numpy as np
import pytest

from jlogreg.certification.collinearity import collinearity

NAMES = ["age", "months", "a", "one", "b", "d"]


def table(m=50):
    X = np.random.default_rng(0).normal(size=(6, m)) * 10.0 ** np.arange(6)[:, None]
    X[1] = 12 * X[0] + 3
    X[3] = 5
    X[5] = X[2] - X[4]
    return X


def test_constant_and_dependent_features_are_named_with_what_gives_them():
    found = collinearity(table())
    assert found.constant == [3]
    assert found.sums == {1: [0], 5: [2, 4]}
    assert found.text(NAMES) == (
        "one is constant; months is given by age; d is given by a, b"
    )


def test_without_a_bias_only_zero_is_constant():
    found = collinearity(table(), bias=False)
    assert found.constant == []
    assert found.sums == {3: [0, 1], 5: [2, 4]}  # 3 = months - 12 age


@pytest.mark.parametrize("X", [np.zeros((0, 4)), np.eye(3, 9)])
def test_nothing_is_named_where_nothing_is_given(X):
    assert collinearity(X) == ([], {})
    assert collinearity(X).text("abc") == ""


def test_constants_alone():
    assert collinearity(np.ones((2, 5)) * 1e9).constant == [0, 1]


def test_many_are_cut_short():
    X = np.ones((15, 9))
    X[:7] = np.random.default_rng(1).normal(size=(1, 9))
    names = [f"x{j}" for j in range(15)]
    text = collinearity(X).text(names)
    assert text.startswith("x7, x8, x9, x10, x11, ... are constant; x1 is given by x0;")
    assert text.endswith("and 1 more")

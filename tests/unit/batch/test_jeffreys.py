"""Firth's estimates of many problems: each as alone, whatever its neighbours."""

import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from tests.helpers import assert_close, entry

RNG = np.random.default_rng(7)
X = RNG.normal(size=(3, 25))
# Separated, noise, one class, soft, and one number out of range.
ROWS = np.stack(
    [X[0] > 0, RNG.random(25) < 0.4, np.zeros(25), np.full(25, 0.3), np.full(25, 2.0)]
).astype(float)
WEIGHT = RNG.integers(0, 3, size=(5, 25)).astype(float)


@pytest.mark.parametrize("common", [True, False])
def test_each_problem_ends_as_alone(common):
    weight = WEIGHT[:1] if common else WEIGHT
    taus = 0.5 if common else np.array([[0.5], [0.1], [2.0], [0.5], [0.5]])
    many = jl.fit_many(X, ROWS, weight=weight, jeffreys=taus)
    assert many.status.tolist() == [0, 0, 0, 0, jl.Status.BAD_INPUT]
    for k in range(4):
        tau = np.broadcast_to(taus, (5, 1))[k, 0]
        rows = {"weight": np.broadcast_to(weight, WEIGHT.shape)[k : k + 1]}
        alone = jl.fit(X, ROWS[k : k + 1], jeffreys=tau, **rows)
        one = entry(many, k)
        assert one.several == alone.several
        assert_close(one.params.w, alone.params.w, 1e-8)
        assert_close(one.cost, alone.cost, 1e-12)


def test_the_lower_of_two_minima_is_taken_where_a_sample_is_far():
    x = np.array([[2.0, 16, -1, -32, 2]])
    many = jl.fit_many(x, np.array([[1.0, 0, 1, 1, 1], [1, 1, 0, 0, 1]]), jeffreys=0.5)
    assert many.several.tolist() == [True, False]
    assert_close(many.params.w[0, 0, 0], -0.19677, 6e-6)


def test_a_strength_out_of_range_is_bad_input_of_its_problem():
    many = jl.fit_many(X, ROWS[:2], jeffreys=np.array([[0.5], [-1.0]]))
    assert many.status.tolist() == [0, jl.Status.BAD_INPUT]
    assert np.isnan(many.params.w[1]).all()


def test_no_strength_is_no_prior():
    plain = jl.fit_many(X, ROWS[:2])
    zeros = jl.fit_many(X, ROWS[:2], jeffreys=np.zeros((2, 1)))
    assert zeros.status.tolist() == plain.status.tolist() == [jl.Status.SEPARATED, 0]
    # They are as many problems as numbers.
    three = jl.fit_many(X, ROWS[1:2], jeffreys=np.zeros((3, 1)))
    assert three.status.tolist() == [0, 0, 0]


def test_more_features_than_64_are_solved_by_newton():
    wide = np.random.default_rng(0).normal(size=(70, 160))
    y = (wide[:1] > 0.5).astype(float)
    many = jl.fit_many(wide, y, jeffreys=0.5, tol=1e-4)
    assert many.status.tolist() == [0]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"jeffreys": -1.0}, ValueError, "jeffreys must be at least 0"),
        ({"jeffreys": np.ones((3, 1))}, jl.ShapeError, "jeffreys for 3"),
        ({"jeffreys": np.ones(2)}, jl.RankError, "jeffreys"),
        ({"solver": jl.LBFGS()}, ValueError, "jeffreys needs solver=Newton"),
    ],
)
def test_wrong_arguments_are_errors(options, error, message):
    with pytest.raises(error, match=message):
        jl.fit_many(X, ROWS[:2], **{"jeffreys": 0.5, **options})


def test_more_parameters_than_samples_are_an_error():
    with pytest.raises(jl.ShapeError, match="more parameters than samples"):
        jl.fit_many(jnp.ones((5, 5)), jnp.zeros((2, 5)), jeffreys=0.5)

"""Small inputs that once had a wrong answer, none, or one that never came."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from jlogreg import Status
from jlogreg.batch.problems import Problems
from jlogreg.batch.setup import setup_batch


def coins(*shape, seed=0):
    return (np.random.default_rng(seed).random(shape) < 0.5) * 1.0


def normal(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


# --- what one problem leaves to others ------------------------------------------------


@pytest.mark.parametrize("n", [2, 30], ids=["primal", "dual"])
@pytest.mark.parametrize("bad", ["a label", "a label of 3", "X", "separated", "l2"])
def test_a_failed_fit_can_be_left_out_of_a_derivative(bad, n):
    X, Y, l2 = normal(2, n, 10), coins(2, 1, 10), np.ones(2)
    changes = {
        "a label": (Y, (1, 0, 3), np.nan),
        "a label of 3": (Y, (1, 0, 3), 3.0),
        "X": (X, (1, 0, 3), np.nan),
        "separated": (Y, 1, 1.0),
        "l2": (l2, 1, np.nan),
    }
    array, place, value = changes[bad]
    array[place] = value

    def total(shift, Y, l2, shared):
        found = jax.vmap(lambda x, y, p: jl.fit(x + shift, y, l2=p + shared))(X, Y, l2)
        good = found.status == Status.CONVERGED
        size = found.params.w.sum(axis=(1, 2)) + found.params.b[:, 0, 0] + found.cost
        return jnp.where(good, size, 0.0).sum(), good

    slopes = jax.jit(jax.grad(total, (0, 1, 2, 3), has_aux=True))
    given = (jnp.zeros((n, 1)), jnp.asarray(Y), jnp.asarray(l2), jnp.ones(()))
    found, good = slopes(*given)
    assert good.tolist() == [True, False]
    assert all(np.isfinite(leaf).all() for leaf in found)
    assert abs(found[3]) > 0


def test_failed_folds_give_no_probability():
    X, y = normal(2, 24), np.zeros((1, 24))
    y[0, 5] = 1
    found = jl.cross_validate(X, y, np.array([[0.0]]), folds=4)
    failed = found.status[0, 0] != Status.CONVERGED
    assert failed.any()
    held = jl.fold_weights(jax.random.key(0), 24, 4) == 0
    np.testing.assert_array_equal(
        np.isnan(found.probability[0]), held[failed].any(axis=0)
    )


@pytest.mark.parametrize("rule", ["best", "one_standard_error"])
def test_a_penalty_that_nothing_has_validated_is_not_chosen(rule):
    """The folds follow the labels, so that no fold can be fitted."""
    X, Y = normal(1, 20), np.stack([np.arange(20) < 10, np.arange(20) % 2]) * 1.0
    folds = np.stack([np.arange(20) < 10, np.arange(20) >= 10]) * 1.0
    l2 = np.array([[0.1], [1.0]])
    found = jl.cross_validate(X, Y, l2, folds=folds, rule=rule)
    assert np.isnan(found.loss[0]).all()
    assert found.best[0] == found.one_standard_error[0] == -1
    assert found.fit.status[0] == Status.SEPARATED
    assert np.isnan(found.fit.params.w[0]).all()
    assert np.isnan(found.fit.cost[0])
    assert found.fit.status[1] == Status.CONVERGED
    assert found.best[1] >= 0


# --- calls that end, and that know what they are given --------------------------------


@pytest.mark.parametrize("problems", [1, 2, 3, 5])
def test_many_problems_go_on_where_memory_holds_one(problems):
    X, Y = normal(2, 10), coins(5, 10)[:problems]
    batch = setup_batch(X, Problems(Y, None, None, 0.1, None), True, None, None, None)
    for room in (1.0, 1.5, 2.0, 3.9):
        limit = int(room * batch.bytes_each())
        found = jl.fit_many(X, Y, l2=0.1, memory_limit=limit)
        assert (found.status == Status.CONVERGED).all()


def test_progress_of_other_arguments_is_not_resumed():
    X, Y, seen = normal(2, 12), coins(3, 12), []
    usual = {"l2": 0.5, "offset": np.ones((1, 12)), "tol": 1e-6}
    once = jl.fit_many(X, Y, progress=seen.append, **usual)
    again = jl.fit_many(X.copy(), jnp.asarray(Y), resume=seen[-1], **usual)
    np.testing.assert_array_equal(again.params.w, once.params.w)
    for changes in (
        {"X": X + 1},
        {"X": X[:1]},
        {"Y": 1 - Y},
        {"l2": 0.25},
        {"offset": None},
        {"offset": None, "weight": np.ones((1, 12))},
        {"tol": 1e-5},
        {"solver": jl.NewtonCG()},
    ):
        arguments = {"X": X, "Y": Y, **usual, **changes}
        with pytest.raises(ValueError, match="resume is of a call with other arg"):
            jl.fit_many(**arguments, resume=seen[-1])


def test_a_reader_may_fill_one_buffer_again_and_again():
    G, y, buffer = coins(4, 8, 40, seed=2), coins(1, 40), np.empty((8, 40))

    def blocks():
        for block in G:
            buffer[:] = block
            yield buffer
        buffer[:] = 0

    expected = jl.scan_features(G.reshape(32, 40), None, y)
    found = jl.scan_features(blocks(), None, y)
    np.testing.assert_array_equal(found.status, expected.status)
    np.testing.assert_allclose(found.estimate, expected.estimate, rtol=1e-9)
    parts = list(jl.scan_blocks(blocks(), None, y))
    np.testing.assert_array_equal(np.concatenate([p.status for p in parts]), found[4])


def test_the_error_of_a_scan_without_covariates_names_the_labels():
    with pytest.raises(ValueError, match=r"^y must be in \[0, 1\]"):
        jl.scan_features(coins(1, 4), None, np.array([[0, 1, np.nan, 1]]))


# --- means and scales -----------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("m", [60, 1000, 10_000])
def test_a_constant_becomes_zero(dtype, m):
    X = np.full((4, m), [[14.62], [0.1], [7.3], [98.6]], dtype)
    for weight in (None, coins(1, m).astype(dtype) + dtype(0.3)):
        made = jl.standardize(X, weight)
        assert not made.dense().any()
        assert (made.scale == 1).all()


def test_a_million_samples_in_float32_keep_their_mean_and_scale():
    units = [[6.0], [0.5], [1e19], [1e-25]]
    X = np.random.default_rng(0).random((4, 1_000_000)) * units + [
        [2010],
        [310],
        [0],
        [0],
    ]
    X = X.astype(np.float32)
    made = jl.standardize(X)
    scale = X.astype(float).std(axis=1, keepdims=True)
    np.testing.assert_allclose(made.scale, scale, rtol=1e-5)
    mean = X.astype(float).mean(axis=1, keepdims=True)
    rounding = 2 * np.spacing(X.max(axis=1, keepdims=True))
    assert (abs(np.asarray(made.mean) - mean) < 1e-4 * scale + rounding).all()

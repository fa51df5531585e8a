"""What a sample does, against derivatives of the fit and against fits without it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jlogreg import Status, fit, influence, leave_one_out, logits
from tests.helpers import assert_close, make_problem

# Few features, and more of them than samples.
SHAPES = [(3, 40), (12, 8)]


def data_of(shape, seed=0):
    problem = make_problem(shape, np.float64, "soft labels", seed=seed, l2=0.1)
    weight = jnp.where(problem.weight == 0, 1.5, problem.weight)
    options = {"weight": weight, "offset": problem.offset, "l2": problem.l2}
    return problem.X, problem.y, options


@jax.jit
def both(found, X, y, options):
    """Return the influences and the logits without each sample; compiled once."""
    return influence(found, X, y, **options), leave_one_out(found, X, y, **options)


@jax.jit
def looked_at(X, y, options):
    found = fit(X, y, **options)
    return found, *both(found, X, y, options)


@pytest.mark.parametrize("shape", SHAPES)
def test_influence_is_the_derivative_in_the_weights(shape):
    X, y, options = data_of(shape)
    _, found, _ = looked_at(X, y, options)

    def params(weight):
        return fit(X, y, **{**options, "weight": weight}).params

    due = jax.jit(jax.jacfwd(params))(options["weight"])
    m = shape[1]
    assert found.w.shape == (shape[0], m)
    assert found.b.shape == (m, 1)
    size = max(np.abs(due.w).max(), np.abs(due.b).max())
    assert_close(found.w, due.w[:, 0, 0], 1e-12 * size)
    assert_close(found.b[:, 0], due.b[0, 0, 0], 1e-12 * size)


@pytest.mark.parametrize("shape", SHAPES)
def test_weights_in_other_units_have_influences_in_those_units(shape):
    X, y, options = data_of(shape)
    _, found, _ = looked_at(X, y, options)
    _, other, _ = looked_at(X, y, {**options, "weight": 3 * options["weight"]})
    assert_close(3 * other.w, found.w, 1e-12 * np.abs(found.w).max())


def test_without_weights_each_sample_counts_one():
    X, y, options = data_of((3, 40))
    _, due, _ = looked_at(X, y, {**options, "weight": jnp.ones_like(y)})
    _, found, _ = looked_at(X, y, {**options, "weight": None})
    assert_close(found.w, due.w, 1e-13 * np.abs(due.w).max())


@pytest.mark.parametrize("shape", SHAPES)
def test_leave_one_out_is_near_to_fits_without_the_sample(shape):
    """It errs by the square of the influence, and far less than doing nothing."""
    X, y, options = data_of(shape)
    m = shape[1]
    own, _, found = looked_at(X, y, options)

    def without(i):
        weight = options["weight"].at[0, i].set(0.0)
        return logits(fit(X, y, **{**options, "weight": weight}).params, X)[0, i]

    due = jax.jit(jax.vmap(without))(jnp.arange(m)) + options["offset"][0]
    own = logits(own.params, X)[0] + options["offset"][0]
    change = np.abs(due - own)
    error = np.abs(found[0] - due)
    assert change.max() > 0.05  # or there was nothing to predict
    # Less the sample the mean is of less, so that the penalty weighs more: neglected.
    share = options["weight"][0] / options["weight"].sum()
    assert np.all(error <= 0.5 * change**2 + 2 * share * change + 0.02)
    assert error.mean() < 0.3 * change.mean()


def test_a_sample_that_is_left_out_has_its_own_logit():
    X, y, options = data_of((3, 40))
    options["weight"] = options["weight"].at[0, 4].set(0.0)
    found, _, without = looked_at(X, y, options)
    z = logits(found.params, X) + options["offset"]
    assert_close(without[0, 4], z[0, 4], 1e-15)


def test_a_fit_that_failed_has_no_influences():
    X, y, options = data_of((3, 40))
    found, *_ = looked_at(X, y, options)
    failed = found._replace(status=jnp.asarray(Status.MAX_STEPS))
    found, without = both(failed, X, y, options)
    assert np.isnan(found.w).all()
    assert np.isnan(without).all()


def test_both_may_be_mapped():
    X, y, options = data_of((3, 40))

    def by_penalty(l2):
        return looked_at(X, y, {**options, "l2": l2})

    penalties = jnp.array([0.1, 1.0])
    _, many, many_without = jax.jit(jax.vmap(by_penalty))(penalties)
    _, one, without = by_penalty(penalties[1])
    assert_close(many.w[1], one.w, 1e-12 * np.abs(one.w).max())
    assert_close(many_without[1], without, 1e-12)

"""What a sample does, against fits with another weight of it and without it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from tests.helpers import assert_close, make_problem

# Few features, and more of them than samples.
SHAPES = [(3, 40), (12, 8)]


def data_of(shape):
    problem = make_problem(shape, np.float64, "soft labels", l2=0.1)
    weight = jnp.where(problem.weight == 0, 1.5, problem.weight)
    return problem.X, problem.y, {**problem.options, "weight": weight}


@jax.jit
def both(fit, X, y, options):
    """Return the influences and the logits without each sample; compiled once."""
    return jl.influence(fit, X, y, **options), jl.leave_one_out(fit, X, y, **options)


@jax.jit
def fitted(X, y, options):
    fit = jl.fit(X, y, **options)
    return fit, *both(fit, X, y, options)


def fits_with(X, y, options, change):
    """Yield for each sample the params of a fit with another weight of it."""
    for i in range(y.size):
        weight = change(options["weight"].at[0, i])
        yield fitted(X, y, {**options, "weight": weight})[0].params


@pytest.mark.parametrize("shape", SHAPES)
def test_influence_is_the_derivative_in_the_weights(shape):
    X, y, options = data_of(shape)
    _, result, _ = fitted(X, y, options)
    h = 1e-5
    right, left = (
        fits_with(X, y, options, lambda one, by=by: one.add(by)) for by in (h, -h)
    )
    slopes = [
        (np.vstack(one) - np.vstack(other)) / (2 * h)
        for one, other in zip(right, left, strict=True)
    ]
    n, m = shape
    assert (result.w.shape, result.b.shape) == ((n, m), (m, 1))
    size = np.abs(slopes).max()
    assert_close(np.vstack([result.w, result.b.T]), np.hstack(slopes), 1e-8 * size)
    # Weights in other units have influences in those units.
    _, other, _ = fitted(X, y, {**options, "weight": 3 * options["weight"]})
    assert_close(3 * other.w, result.w, 1e-12 * size)


def test_without_weights_each_sample_counts_one():
    X, y, options = data_of((3, 40))
    _, expected, _ = fitted(X, y, {**options, "weight": jnp.ones_like(y)})
    _, result, _ = fitted(X, y, {**options, "weight": None})
    assert_close(result.w, expected.w, 1e-13 * np.abs(expected.w).max())


@pytest.mark.parametrize("shape", SHAPES)
def test_leave_one_out_is_near_to_fits_without_the_sample(shape):
    """It errs by the square of the influence, and far less than doing nothing."""
    X, y, options = data_of(shape)
    fit, _, result = fitted(X, y, options)
    without = fits_with(X, y, options, lambda one: one.set(0.0))
    expected = [jl.logits(params, X)[0, i] for i, params in enumerate(without)]
    change = np.abs(expected - np.asarray(jl.logits(fit.params, X))[0])
    error = np.abs(np.asarray(result - options["offset"])[0] - expected)
    assert change.max() > 0.05  # or there was nothing to predict
    # Less the sample the mean is of less, so that the penalty weighs more: neglected.
    share = options["weight"][0] / options["weight"].sum()
    assert np.all(error <= 0.5 * change**2 + 2 * share * change + 0.02)
    assert error.mean() < 0.3 * change.mean()


def test_a_sample_that_is_left_out_has_its_own_logit():
    X, y, options = data_of((3, 40))
    options["weight"] = options["weight"].at[0, 4].set(0.0)
    fit, _, without = fitted(X, y, options)
    z = jl.logits(fit.params, X) + options["offset"]
    assert_close(without[0, 4], z[0, 4], 1e-15)


def test_a_fit_that_failed_has_no_influences():
    X, y, options = data_of((3, 40))
    fit, *_ = fitted(X, y, options)
    failed = fit._replace(status=jnp.asarray(jl.Status.MAX_STEPS))
    for leaf in jax.tree.leaves(both(failed, X, y, options)):
        assert np.isnan(leaf).all()

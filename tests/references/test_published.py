"""Fits, and what is made of them, against what other programs published."""

import functools

import numpy as np
import pytest

import jlogreg as jl
from tests.helpers import assert_close
from tests.references.published import (
    RIDGE_PATH,
    SINGLE,
    finney,
    finney_published,
    half_unit,
    ridge_path,
)

# Sums of some hundred terms of one sign, printed to 16 digits.
ROUNDINGS = 1000 * np.finfo(float).eps


def assert_printed(result, text, off=0.0):
    """Assert that numbers are those printed, to half a unit of the last place."""
    words = text.split()
    expected = np.array(words, float).reshape(np.shape(result))
    half = np.reshape([half_unit(word) for word in words], expected.shape)
    assert_close(result, expected, half + (off + ROUNDINGS) * np.abs(expected))


@functools.cache
def fitted(name):
    """Return a problem, its fit, and what was printed of it."""
    make, printed = SINGLE[name]
    data = make()
    if data is None:
        pytest.skip("its data come with statsmodels, which is not installed")
    result = jl.fit(data.X, data.y, weight=data.weight, l2=data.l2)
    jl.raise_if_failed(result)
    return data, result, printed


def total(data):
    return data.y.size if data.weight is None else data.weight.sum()


def covariance_of(data, result):
    H = jl.hessian(result.params, data.X, data.y, weight=data.weight)
    return np.linalg.inv(total(data) * H)


def deviance(y, p, weight):
    """Return twice what the log-likelihood of p lacks of the best there is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        each = [
            np.where(k > 0, k * np.log(k / q), 0) for k, q in ((y, p), (1 - y, 1 - p))
        ]
    return 2 * np.sum(weight * sum(each))


@pytest.mark.parametrize("name", SINGLE)
def test_a_fit_has_the_numbers_published(name):
    """Parameters; and where they were printed, those that are computed from them."""
    data, result, printed = fitted(name)
    assert_printed(np.vstack(result.params), printed.theta, printed.theta_off)
    if printed.error:
        errors = np.sqrt(np.diag(covariance_of(data, result)))
        assert_printed(errors, printed.error, printed.error_off)
    if printed.log_likelihood:
        assert_printed(-total(data) * result.cost, printed.log_likelihood)
    weight = 1.0 if data.weight is None else data.weight
    p = np.asarray(jl.predict_proba(result.params, data.X))
    if printed.deviance:
        assert_printed(deviance(data.y, p, weight), printed.deviance)
        mean = np.sum(weight * data.y) / total(data)
        assert_printed(deviance(data.y, mean, weight), printed.null_deviance)
    if printed.pearson:
        pearson = np.sum(weight * (data.y - p) ** 2 / (p * (1 - p)))
        assert_printed(pearson, printed.pearson, printed.pearson_off)


def test_what_else_was_published_of_the_spector_data():
    data, result, printed = fitted("spector")
    covariance = covariance_of(data, result)
    assert_printed(covariance, printed.covariance, 2 * printed.error_off)
    # Printed to 13 digits, but kept in float32 before.
    off = float(np.finfo(np.float32).eps) / 2
    p = jl.predict_proba(result.params, data.X)
    assert_printed(p, printed.probability, off)
    mean = data.y.mean()
    bias = jl.Params(w=np.zeros((3, 1)), b=np.log([[mean / (1 - mean)]]))
    J = jl.cost(bias, data.X, data.y)
    assert_printed(-data.y.size * J, printed.null_log_likelihood)


def test_a_path_of_penalties_is_that_published():
    """Where a last digit differs it is the other program that had stopped."""
    data = ridge_path()
    l2 = np.array([[float(text)] for text in RIDGE_PATH])
    result = jl.fit_many(data.X, data.y, l2=l2)
    jl.raise_if_failed(result)
    for k, printed in enumerate(RIDGE_PATH.values()):
        theta = np.vstack([result.params.w[k], result.params.b[k]])
        assert_printed(theta, printed.theta, printed.theta_off)
        *w, b = map(float, printed.theta.split())
        other = jl.Params(w=np.reshape(w, (-1, 1)), b=np.array([[b]]))
        assert result.cost[k] <= jl.cost(other, data.X, data.y, l2=l2[k, 0])


def test_what_a_sample_does_to_a_fit_is_that_published():
    data, texts = finney(), finney_published()
    result = jl.fit(data.X, data.y)
    errors = np.sqrt(np.diag(covariance_of(data, result))).reshape(-1, 1)
    p = np.asarray(jl.predict_proba(result.params, data.X))
    z = np.log(p / (1 - p))
    moved = z - jl.leave_one_out(result, data.X, data.y)
    residual = data.y - p
    kept = residual / (residual + p * (1 - p) * moved)
    one = jl.influence(result, data.X, data.y)
    step = np.vstack([one.b.T, one.w]) / kept / errors[[2, 0, 1]]
    numbers = np.vstack([1 - kept, step, residual * moved])
    half = np.vectorize(functools.partial(half_unit, decimals=4))(texts)
    assert_close(numbers, texts.astype(float), half)

"""Fits, and what is made of them, against what other programs published."""

import functools

import numpy as np
import pytest

import jlogreg as jl
from jlogreg import Params, Status
from tests.helpers import assert_close
from tests.references.published import (
    FINNEY,
    RIDGE_PATH,
    SINGLE,
    finney,
    half_unit,
    ridge_path,
    table,
)


def assert_printed(found, text, off=0.0):
    """Assert that numbers are those printed, to half a unit of the last place."""
    words = text.split()
    due = np.array(words, float).reshape(np.shape(found))
    half = np.reshape([half_unit(word) for word in words], due.shape)
    assert_close(found, due, half + (off + ROUNDINGS) * np.abs(due))


# Sums of some hundred terms of one sign, printed to 16 digits.
ROUNDINGS = 1000 * np.finfo(float).eps


@functools.cache
def fitted(name):
    """Return a problem, its fit, and what was printed of it."""
    make, due = SINGLE[name]
    data = make()
    if data is None:
        pytest.skip("its data come with statsmodels, which is not installed")
    found = jl.fit(data.X, data.y, weight=data.weight, l2=data.l2)
    assert found.status == Status.CONVERGED
    return data, found, due


def total(data):
    return data.y.size if data.weight is None else data.weight.sum()


def covariance_of(data, found):
    return np.linalg.inv(
        total(data) * jl.hessian(found.params, data.X, data.y, weight=data.weight)
    )


def deviance(y, p, weight):
    """Return twice what the log-likelihood of p lacks of the best there is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        each = [
            np.where(k > 0, k * np.log(k / q), 0) for k, q in ((y, p), (1 - y, 1 - p))
        ]
    return 2 * np.sum(weight * sum(each))


def named(field):
    """Return the names of the problems of which this was printed."""
    return [name for name, (_, due) in SINGLE.items() if getattr(due, field)]


@pytest.mark.parametrize("name", SINGLE)
def test_parameters_are_those_published(name):
    _, found, due = fitted(name)
    assert_printed(np.vstack(found.params), due.theta, due.theta_off)


@pytest.mark.parametrize("name", named("error"))
def test_standard_errors_are_those_published(name):
    data, found, due = fitted(name)
    errors = np.sqrt(np.diag(covariance_of(data, found)))
    assert_printed(errors, due.error, due.error_off)


def test_the_covariance_is_that_published():
    data, found, due = fitted("spector")
    assert_printed(covariance_of(data, found), due.covariance, 2 * due.error_off)


@pytest.mark.parametrize("name", named("log_likelihood"))
def test_the_log_likelihood_is_that_published(name):
    data, found, due = fitted(name)
    assert_printed(-total(data) * found.cost, due.log_likelihood)


def test_without_features_the_log_likelihood_is_that_published():
    data, _, due = fitted("spector")
    mean = data.y.mean()
    assert_printed(-deviance(data.y, mean, 1.0) / 2, due.null_log_likelihood)
    bias = Params(w=np.zeros((3, 1)), b=np.log([[mean / (1 - mean)]]))
    J = jl.cost(bias, data.X, data.y)
    assert_printed(-data.y.size * J, due.null_log_likelihood)


@pytest.mark.parametrize("name", named("deviance"))
def test_deviances_and_the_chi_square_are_those_published(name):
    data, found, due = fitted(name)
    weight = 1.0 if data.weight is None else data.weight
    p = np.asarray(jl.predict_proba(found.params, data.X))
    assert_printed(deviance(data.y, p, weight), due.deviance)
    mean = np.sum(weight * data.y) / total(data)
    assert_printed(deviance(data.y, mean, weight), due.null_deviance)
    if due.pearson:
        pearson = np.sum(weight * (data.y - p) ** 2 / (p * (1 - p)))
        assert_printed(pearson, due.pearson, due.pearson_off)


def test_probabilities_are_those_published():
    """Printed to 13 digits, but kept in float32 before."""
    data, found, due = fitted("spector")
    p = jl.predict_proba(found.params, data.X)
    assert_printed(p, due.probability, off=float(np.finfo(np.float32).eps) / 2)


def test_the_summary_prints_what_is_published():
    data, found, due = fitted("spector")
    *_, gpa, tuce, psi, bias = jl.summary(found, data.X, data.y).splitlines()
    values = zip(due.theta.split(), due.error.split(), strict=True)
    for line, (w, e) in zip((gpa, tuce, psi, bias), values, strict=True):
        w, e = float(w), float(e)
        assert line.split()[1:4] == [f"{w:.4g}", f"{e:.3g}", f"{w / e:.2f}"]


def test_a_path_of_penalties_is_that_published():
    """Where a last digit differs it is the other program that had stopped."""
    data = ridge_path()
    l2 = np.array([[float(text)] for text in RIDGE_PATH])
    found = jl.fit_many(data.X, data.y, l2=l2)
    assert np.all(found.status == Status.CONVERGED)
    for k, due in enumerate(RIDGE_PATH.values()):
        theta = np.vstack([found.params.w[k], found.params.b[k]])
        assert_printed(theta, due.theta, due.theta_off)
        *w, b = map(float, due.theta.split())
        other = Params(w=np.reshape(w, (-1, 1)), b=np.array([[b]]))
        assert found.cost[k] <= jl.cost(other, data.X, data.y, l2=l2[k, 0])


def test_a_unit_of_the_last_place_is_noticed():
    _, found, due = fitted("spector")
    words = due.theta.split()
    for k, word in enumerate(words):
        moved = np.vstack(found.params)
        moved[k] += 3 * (half_unit(word) + due.theta_off * abs(float(word)))
        with pytest.raises(AssertionError, match="too far"):
            assert_printed(moved, due.theta, due.theta_off)


def test_what_a_sample_does_to_a_fit_is_that_published():
    data = finney()
    found = jl.fit(data.X, data.y)
    leverage, *changes, bar = table(FINNEY)
    texts = FINNEY.split()
    errors = np.sqrt(np.diag(covariance_of(data, found))).reshape(-1, 1)
    p = np.asarray(jl.predict_proba(found.params, data.X))
    z = np.log(p / (1 - p))
    moved = z - jl.leave_one_out(found, data.X, data.y)
    residual = data.y - p
    kept = residual / (residual + p * (1 - p) * moved)
    one = jl.influence(found, data.X, data.y)
    step = np.vstack([one.b.T, one.w]) / kept / errors[[2, 0, 1]]
    rows = np.vstack([1 - kept, step, residual * moved])
    due = np.vstack([leverage, *changes, bar])
    half = np.array([half_unit(text, 4) for text in texts]).reshape(-1, 5).T
    assert_close(rows, due, half)

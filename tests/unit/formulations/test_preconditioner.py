"""The bound of the Hessian is one, and what is solved with it is its inverse."""

from functools import partial
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jlogreg import Params, hessian
from jlogreg.data.design import Dense
from jlogreg.data.samples import Samples
from jlogreg.formulations import preconditioner as bound
from jlogreg.formulations.preconditioner import (
    Spectrum,
    adapt_preconditioner,
    shared_preconditioner,
    spectral_preconditioner,
)
from jlogreg.formulations.problem import Problem
from tests.helpers import assert_close

EPS = float(np.finfo(float).eps)
N, M = 4, 15
KINDS = {
    "one penalty": shared_preconditioner,
    "many penalties": spectral_preconditioner,
}
PENALTIES = [0.0, 1e-3, 1.0, 1e3]


def problem_of(X, l2, weight=None):
    y = np.arange(M)[None] % 2 * 1.0
    return Problem(Samples(Dense(jnp.asarray(X)), y, weight), jnp.asarray(l2))


def features(seed, kind="plain"):
    random = np.random.default_rng(seed)
    X = random.standard_normal((N, M))
    if kind == "means":
        X += np.array([[0.0], [1.0], [-10.0], [100.0]])
    if kind == "units":
        X *= np.array([[1.0], [10.0], [0.1], [30.0]])
    if kind == "twice":
        X[3] = X[1]
    return X


def due_of(X, l2, curvature=0.25, weight=1.0):
    """Return the mean of [x; 1] [x; 1]T times a curvature, and the penalty."""
    columns = np.vstack([X, np.ones((1, M))])
    weight = np.broadcast_to(weight, (1, M))
    bound = (columns * weight) @ columns.T * curvature / weight.sum()
    return bound + np.diag(np.append(np.full(N, l2), 0))


@partial(jax.jit, static_argnums=0)
def solved(kind, problem, right):
    """Return the inverse of the bound times right, with what a problem adds."""
    own = adapt_preconditioner(problem, KINDS[kind](problem))
    return own.solve(right), own.singular, own.scale


def assert_solved(found, B, right):
    """Assert that B found = right, to roundings of B that are as large as its norm.

    The factor's, of a scaled B, or its eigenvalues': a few of each of k^2 entries. To
    solve for the bias takes a product with the mean.
    """
    inverse = np.linalg.inv(B)
    far = 16 * len(B) ** 2 * EPS * np.linalg.norm(B) * np.linalg.norm(inverse)
    due = inverse @ right
    assert_close(found, due, far * np.linalg.norm(inverse) * np.linalg.norm(right))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("of", ["plain", "means", "units"])
def test_the_inverse_is_that_of_the_bound(kind, of):
    for seed in range(4):
        X = features(seed, of)
        for l2 in PENALTIES:
            problem, B = problem_of(X, l2), due_of(X, l2)
            for right in np.eye(N + 1)[:, :, None]:
                found, singular, _ = solved(kind, problem, right)
                assert_solved(found, B, right)
                assert not singular


@pytest.mark.parametrize("kind", KINDS)
def test_the_comparison_notices_another_bound(kind):
    X, right = features(0), np.ones((N + 1, 1))
    found, *_ = solved(kind, problem_of(X, 0.1), right)
    for wrong in (
        due_of(X, 0.1 + 1e-9),
        due_of(X, 0.1, 0.25 + 1e-9),
        due_of(X, 0.1) + 0.1 * np.diag(np.arange(N + 1) == N),  # the bias has none
    ):
        with pytest.raises(AssertionError, match="too far"):
            assert_solved(found, wrong, right)


@jax.jit
def hessian_at(params, problem):
    samples, l2 = problem
    return hessian(params, samples.X, samples.y, l2=l2)


def least(X, l2, curvature=0.25):
    """Return the least eigenvalue of the bound less the Hessian, of several points."""
    problem, random = problem_of(X, l2), np.random.default_rng(0)
    scale = 1 / np.sqrt(np.diag(due_of(X, l2)))[:, None]
    found = []
    for reach in (0.0, 0.1, 1.0, 100.0):
        w, b = random.standard_normal((N, 1)), random.standard_normal((1, 1))
        H = np.asarray(hessian_at(Params(reach * w, reach * b), problem))
        less = (due_of(X, l2, curvature) - H) * scale * scale.T
        found.append(np.linalg.eigvalsh(less)[0])
    return min(found)


@pytest.mark.parametrize("of", ["plain", "means", "units", "twice"])
def test_no_hessian_exceeds_the_bound(of):
    X = features(7, of)
    for l2 in PENALTIES:
        assert least(X, l2) >= -16 * (N + M) * EPS
    assert least(X, 0.0, 0.249) < -1e-3 / 2  # a smaller one is none


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("of", "l2", "due"),
    [
        ("plain", 0.0, False),
        ("means", 0.0, False),
        ("twice", 0.0, True),
        ("twice", 1e-17, True),  # lost beside the features
        ("twice", 1e-6, False),
        ("twice", 1.0, False),
    ],
)
def test_collinear_features_have_no_inverse_without_a_penalty(kind, of, l2, due):
    for weight in (None, np.ones((1, M))):
        problem = problem_of(features(1, of), l2, weight)
        found, singular, _ = solved(kind, problem, np.ones((N + 1, 1)))
        assert singular == due
        assert np.isfinite(found).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("kept", "due"), [(N, True), (N + 1, False)])
def test_more_unknowns_than_samples_have_no_inverse_without_a_penalty(kind, kept, due):
    weight = (np.arange(M) < kept)[None] * 1.0
    right = np.ones((N + 1, 1))
    assert solved(kind, problem_of(features(2), 0.0, weight), right)[1] == due
    assert not solved(kind, problem_of(features(2), 0.1, weight), right)[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_problem_has_a_diagonal_of_its_own(kind):
    """Its weights', also in units that make numbers large and small."""
    random = np.random.default_rng(3)
    weight = random.choice([0.0, 1.0, 3.0], (1, M))
    for size in (1.0, 1e-300, 1e300):
        problem = problem_of(features(3, "units"), 0.1, weight * size)
        *_, scale = solved(kind, problem, np.ones((N + 1, 1)))
        due = due_of(features(3, "units"), 0.1, weight=weight)
        diagonal = np.diag(due)[:, None]
        assert_close(scale, 1 / np.sqrt(diagonal), 4 * M * EPS / np.sqrt(diagonal))


def test_samples_left_out_do_not_make_the_others_collinear():
    """A sample of 1e9 hides all others; without it there is an inverse again."""
    X, right = features(4), np.ones((N + 1, 1))
    X[:, 0] = 1e9
    weight = (np.arange(M) > 0)[None] * 1.0
    assert solved("one penalty", problem_of(X, 0.0), right)[1]
    found, singular, scale = solved("one penalty", problem_of(X, 0.0, weight), right)
    assert not singular
    assert_close(found, np.asarray(scale) ** 2, 4 * EPS * np.asarray(scale) ** 2)


@pytest.mark.parametrize("kind", KINDS)
def test_of_too_many_features_the_diagonal_has_to_do(kind):
    """Or a factor would take longer than the fits."""
    X, right = features(5, "means"), np.arange(1.0, N + 2)[:, None]
    limit = {"one penalty": "MAX_FACTOR", "many penalties": "MAX_SPECTRUM"}[kind]
    for most, diagonal in ((N, True), (N + 1, False)):
        with mock.patch.object(bound, limit, most):
            problem = problem_of(X, 0.1)
            shared = KINDS[kind](problem)
            found = adapt_preconditioner(problem, shared).solve(right)
        assert (shared.inverse is None) == diagonal
        due = np.diag(due_of(X, 0.1))[:, None]
        if diagonal:
            assert_close(found, right / due, 8 * M * EPS * right / due)
        else:
            assert_solved(found, due_of(X, 0.1), right)


def test_penalties_by_feature_have_no_spectrum():
    X = features(6)
    column = np.array([[0.1], [0.0], [2.0], [1.0]])
    assert spectral_preconditioner(problem_of(X, column)).inverse is None
    assert isinstance(spectral_preconditioner(problem_of(X, 0.1)).inverse, Spectrum)
    problem, right = problem_of(X, column), np.ones((N + 1, 1))
    found = adapt_preconditioner(problem, shared_preconditioner(problem)).solve(right)
    assert_solved(found, due_of(X, 0.0) + np.diag(np.append(column, 0)), right)

"""The bound of the Hessian is one, and what is solved with it is its inverse."""

from functools import partial
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from jlogreg.data.samples import Samples
from jlogreg.formulations import preconditioner as module
from jlogreg.formulations.problem import Problem
from tests.helpers import EPS, assert_close

N, M = 4, 15
KINDS = {
    "one penalty": module.shared_preconditioner,
    "many penalties": module.spectral_preconditioner,
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
PENALTIES = [0.0, 1e-3, 1.0, 1e3]
COLUMN = np.array([[0.1], [0.0], [2.0], [1.0]])
ONES = np.ones((N + 1, 1))


def make_problem(X, l2, weight=None):
    y = np.arange(M)[None] % 2 * 1.0
    return Problem(Samples(jl.Dense(jnp.asarray(X)), y, weight), jnp.asarray(l2))


def features(seed, of="plain"):
    random = np.random.default_rng(seed)
    X = random.standard_normal((N, M))
    if of == "means":
        X += np.array([[0.0], [1.0], [-10.0], [100.0]])
    if of == "units":
        X *= np.array([[1.0], [10.0], [0.1], [30.0]])
    if of == "twice":
        X[3] = X[1]
    return X


def bound_of(X, l2, weight=1.0, curvature=0.25):
    """Return the mean of [x; 1] [x; 1]T times a curvature, and the penalty.

    No curvature a (1 - a) of a sample exceeds a quarter.
    """
    columns = np.vstack([X, np.ones((1, M))])
    weight = np.broadcast_to(weight, (1, M))
    bound = (columns * weight) @ columns.T * curvature / weight.sum()
    return bound + np.diag(np.append(np.broadcast_to(l2, (N, 1)), 0))


@partial(jax.jit, static_argnums=0)
def solved(kind, problem, right):
    """Return the inverse of the bound times right, with what a problem adds."""
    own = module.adapt_preconditioner(problem, KINDS[kind](problem))
    return own.solve(right), own.singular, own.scale


def assert_solved(result, B, right):
    """Assert that B result = right, to roundings of B that are as large as its norm.

    The factor's, of a scaled B, or its eigenvalues': a few of each of k^2 entries. To
    solve for the bias takes a product with the mean.
    """
    inverse = np.linalg.inv(B)
    far = 16 * len(B) ** 2 * EPS * np.linalg.norm(B) * np.linalg.norm(inverse) ** 2
    assert_close(result, inverse @ right, far * np.linalg.norm(right))


@EVERY_KIND
@pytest.mark.parametrize("of", ["plain", "means", "units"])
def test_the_inverse_is_that_of_the_bound(kind, of):
    for seed in range(4):
        X = features(seed, of)
        for l2 in PENALTIES:
            problem, B = make_problem(X, l2), bound_of(X, l2)
            for right in np.eye(N + 1)[:, :, None]:
                result, singular, _ = solved(kind, problem, right)
                assert_solved(result, B, right)
                assert not singular
    # Another bound, or a penalty of the bias, would be noticed.
    result, *_ = solved(kind, make_problem(features(0), 0.1), ONES)
    bias = 0.1 * np.diag(np.arange(N + 1) == N)
    for other in (
        bound_of(features(0), 0.1 + 1e-9),
        bound_of(features(0), 0.1, curvature=0.25 + 1e-9),
        bound_of(features(0), 0.1) + bias,
    ):
        with pytest.raises(AssertionError, match="too far"):
            assert_solved(result, other, ONES)


def of_samples(count):
    """Return weights that leave so many samples in."""
    return (np.arange(M) < count)[None] * 1.0


@EVERY_KIND
@pytest.mark.parametrize(
    ("of", "l2", "weight", "expected"),
    [
        *((of, 0.0, None, of == "twice") for of in ("plain", "means", "twice")),
        *((of, 0.0, of_samples(M), of == "twice") for of in ("plain", "twice")),
        ("twice", 1e-17, None, True),  # lost in roundings of the features
        *(("twice", l2, None, False) for l2 in (1e-6, 1.0)),
        # More unknowns than samples.
        ("plain", 0.0, of_samples(N), True),
        ("plain", 0.0, of_samples(N + 1), False),
        ("plain", 0.1, of_samples(N), False),
    ],
)
def test_too_little_data_without_a_penalty_have_no_inverse(
    kind, of, l2, weight, expected
):
    problem = make_problem(features(1, of), l2, weight)
    result, singular, _ = solved(kind, problem, ONES)
    assert singular == expected
    assert np.isfinite(result).all()


@EVERY_KIND
def test_a_problem_has_a_diagonal_of_its_own(kind):
    """Its weights', also in units that make numbers large and small."""
    random = np.random.default_rng(3)
    weight = random.choice([0.0, 1.0, 3.0], (1, M))
    X = features(3, "units")
    expected = np.diag(bound_of(X, 0.1, weight))[:, None] ** -0.5
    for size in (1.0, 1e-300, 1e300):
        *_, scale = solved(kind, make_problem(X, 0.1, weight * size), ONES)
        assert_close(scale, expected, 4 * M * EPS * expected)


def test_samples_left_out_do_not_make_the_others_collinear():
    """A sample of 1e9 hides all others; without it there is an inverse again."""
    X = features(4)
    X[:, 0] = 1e9
    assert solved("one penalty", make_problem(X, 0.0), ONES)[1]
    problem = make_problem(X, 0.0, 1 - of_samples(1))
    result, singular, scale = solved("one penalty", problem, ONES)
    assert not singular
    assert_close(result, np.asarray(scale) ** 2, 4 * EPS * np.asarray(scale) ** 2)


@EVERY_KIND
def test_of_too_many_features_the_diagonal_has_to_do(kind):
    """Or a factor would take longer than the fits; nor have columns a spectrum."""
    X, right = features(5, "means"), np.arange(1.0, N + 2)[:, None]
    limit = {"one penalty": "MAX_FACTOR", "many penalties": "MAX_SPECTRUM"}[kind]
    spectral = kind == "many penalties"
    for most, l2, diagonal in (
        (N, 0.1, True),
        (N + 1, 0.1, False),
        (N + 1, COLUMN, spectral),
    ):
        with mock.patch.object(module, limit, most):
            problem, B = make_problem(X, l2), bound_of(X, l2)
            shared = KINDS[kind](problem)
            result = module.adapt_preconditioner(problem, shared).solve(right)
        assert (shared.inverse is None) == diagonal
        if diagonal:
            expected = right / np.diag(B)[:, None]
            assert_close(result, expected, 8 * M * EPS * expected)
        else:
            assert isinstance(shared.inverse, module.Spectrum) == spectral
            assert_solved(result, B, right)

"""The check of a solver knows the minima, and reports fits that miss them."""

import jax
import numpy as np
import pytest

import jlogreg as jl
from jlogreg.testing import check_solver
from jlogreg.testing.solvers import solvable, unsolvable
from tests.oracles.numpy_fit import augmented
from tests.oracles.separation import separation

DTYPES = [np.float32, np.float64]


def fit_of(X, y, weight, offset, l2):
    return jl.fit(X, y, weight=weight, offset=offset, l2=l2)


@pytest.fixture(scope="module")
def solver():
    return jax.jit(fit_of)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_minima_are_minima(dtype):
    eps = np.finfo(dtype).eps
    for name, problem in solvable(dtype):
        hard = name.startswith(("labels", "separable"))
        soft = (problem.y > 0) & (problem.y < 1)
        assert (np.isin(problem.y, [0, 1]) if hard else soft).all()
        dtypes = {leaf.dtype for leaf in jax.tree.leaves(problem[1:])}
        assert dtypes == {np.dtype(dtype)}
        X, share = augmented(problem)
        theta = np.vstack(problem.params)
        dz = share * (1 / (1 + np.exp(-(theta.T @ X + problem.offset))) - problem.y)
        slope = X @ dz.T + np.append(problem.l2 * theta[:-1], [[0]], axis=0)
        assert (np.abs(slope) < 4 * eps * np.abs(X).max(axis=1, keepdims=True)).all()
    for kind, problem in unsolvable(dtype):
        assert separation(problem) or len(np.unique(problem.y)) == 1, kind


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_fit_of_this_library_passes(solver, dtype):
    check_solver(solver, dtype=dtype)
    check_solver(lambda *data: solver(*data).params, dtype=dtype)  # without a status
    if dtype == np.float64:
        check_solver(solver, dtype=dtype, tol=1e-10)


def test_a_fit_may_change_its_arrays(solver):
    def centred(X, *data):
        mean = X.mean(axis=1, keepdims=True)
        X -= mean
        result = solver(X, *data)
        w, b = (np.asarray(leaf) for leaf in result.params)
        return result._replace(params=jl.Params(w, b - w.T @ mean))

    check_solver(centred)


def converged(result, change=None):
    """Return a result that claims success, each parameter changed."""
    params = result.params if change is None else jax.tree.map(change, result.params)
    return result._replace(status=jl.Status.CONVERGED, params=params)


def after(fault):
    """Return a fit whose result is changed by a fault, a function of it."""
    return lambda solver, *data: fault(solver(*data))


def ignoring(place, value):
    """Return a fit that ignores one of its arguments."""

    def fit(solver, *data):
        data = list(data)
        data[place] = np.full_like(data[place], value)
        return converged(solver(*data))

    return fit


def with_unseen_part(solver, X, *data):
    """Add to w a part that moves no logit: only the penalty sees it."""
    result = solver(X, *data)
    if X.shape[0] < X.shape[1]:
        return result
    unseen = np.linalg.svd(X.T)[2][-1:].T
    return converged(result, lambda leaf: leaf + unseen if leaf.size > 1 else leaf)


def unweighted_without_penalty(solver, X, y, weight, offset, l2):
    return solver(X, y, weight if l2 else np.ones_like(weight), offset, l2)


def separated_despite_penalty(solver, X, y, weight, offset, l2):
    result = solver(X, y, weight, offset, l2)
    wrong = np.isin(y, [0, 1]).all() and l2
    return result._replace(status=jl.Status.SEPARATED) if wrong else result


FAULTS = {
    "stops early": (
        after(lambda result: converged(result, lambda leaf: leaf * 0.99)),
        r"^soft labels: the logits, at \(0, \d+\): .*, too far",
    ),
    "always claims success": (
        after(converged),
        "^separable: the fit claims success, but there is no min",
    ),
    "claims success for quasi-separable data": (
        after(lambda it: converged(it) if it.status != jl.Status.SEPARATED else it),
        "^quasi-separable: the fit claims success",
    ),
    "never claims success": (
        after(lambda result: result._replace(status=jl.Status.MAX_STEPS)),
        r"^soft labels: the fit claims no success \(status 1\), but there is a minimum",
    ),
    "transposed": (
        after(lambda result: jl.Params(result.params.w.T, result.params.b)),
        "^soft labels: w and b have shapes",
    ),
    # Where each label is its probability, weights do not matter.
    "ignores weights": (ignoring(2, 1.0), "^a penalty: the logits, .* too far"),
    "ignores the offset": (
        ignoring(3, 0.0),
        "^weights and an offset: the logits, .* too far",
    ),
    "ignores the penalty": (ignoring(4, 0.0), "^a penalty: the logits, .* too far"),
    "part of w that moves no logit": (
        with_unseen_part,
        r"samples: the gradient in w, .* too far",
    ),
    "ignores weights without a penalty": (
        unweighted_without_penalty,
        "^labels of 0 and 1: the logits, .* too far",
    ),
    "separated despite a penalty": (
        separated_despite_penalty,
        r"^separable, with a penalty: the fit claims no success \(status 2\)",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_wrong_fit_is_reported(solver, name):
    fault, words = FAULTS[name]
    with pytest.raises(AssertionError, match=words):
        check_solver(lambda *data: fault(solver, *data))


def test_a_cost_above_that_of_the_start_is_reported_at_any_tolerance(solver):
    words = r"^soft labels: the cost is .*, at the st"
    with pytest.raises(AssertionError, match=words):
        check_solver(
            lambda *data: converged(solver(*data), lambda leaf: leaf * 5), tol=10.0
        )

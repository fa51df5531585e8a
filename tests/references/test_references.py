"""The cost, its gradient and `fit` against the solutions in tests/references."""

import functools
import json

import jax
import numpy as np
import pytest
from mpmath import mp, mpf

import jlogreg as jl
from tests.helpers import (
    Problem,
    assert_close,
    assert_params_close,
    cost_and_gradient,
    slack,
)
from tests.references.datasets import DATASETS
from tests.references.make import STORED, TABLE, entry

SOLUTIONS = json.loads(TABLE.read_text())
NAMES = list(DATASETS)

# What the maximum likelihood estimate of Spector and Mazzeo's data is elsewhere.
CERTIFIED = {
    "w": ["2.8261125948893214", "0.095157661317909301", "2.3786876550933542"],
    "b": "-13.021346858115691",
}

# Logits near 1 that are differences of thousands, or of hundreds, have lost digits.
LEAST_DIGITS = {"near_collinear": 11, "breast_cancer": 11}
COST_RELATIVE = {"near_collinear": 1e-12}


@functools.cache
def dataset(name):
    return DATASETS[name]()


def coefficients(solution):
    return [*solution["w"], solution["b"]]


def correct_digits(numbers, texts):
    """Return the correct digits of the worst coefficient, at most 16."""
    with mp.workdps(STORED + 10):
        errors = [
            abs(mpf(float(number)) / mpf(text) - 1)
            for number, text in zip(numbers, texts, strict=True)
        ]
        return float(min(16, -mp.log10(max(*errors, mpf(10) ** -17))))


def reference_problem(name, moved=0.0):
    """Return the problem at its solution in float64, or at so much more than it."""
    data, solution = dataset(name), SOLUTIONS[name]
    w = np.array(solution["w"], float).reshape(-1, 1) * (1 + moved)
    b = np.array([[float(solution["b"])]]) * (1 + moved)
    weight = np.ones_like(data.y) if data.weight is None else data.weight
    offset = np.zeros_like(data.y) if data.offset is None else data.offset
    return Problem(jl.Params(w, b), data.X, data.y, weight, offset, data.l2)


def assert_is_minimum(problem, J, rel):
    # The largest penalty for every feature: it only enters roundings, from above.
    within = slack(problem._replace(l2=np.max(problem.l2)))
    result, gradient = cost_and_gradient(problem.params, problem)
    zero = jax.tree.map(np.zeros_like, problem.params)
    assert_params_close(gradient, zero, within)
    assert_close(result, J, within.J)
    assert float(result) == pytest.approx(J, rel=rel, abs=0)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_0_at_the_solution_and_not_beside_it(name):
    """And the cost at the solution is right."""
    J, rel = float(SOLUTIONS[name]["J"]), COST_RELATIVE.get(name, 1e-14)
    assert_is_minimum(reference_problem(name), J, rel)
    with pytest.raises(AssertionError, match="too far"):
        assert_is_minimum(reference_problem(name, moved=1e-6), J, rel)


@pytest.mark.parametrize("name", ["spector", "weighted_offset_soft", "rare", "wide"])
def test_the_table_is_what_the_script_makes(name):
    assert entry(dataset(name)) == SOLUTIONS[name]


def test_the_table_holds_every_data_set():
    assert list(SOLUTIONS) == NAMES
    for name, solution in SOLUTIONS.items():
        shape = solution["features"], solution["samples"]
        assert dataset(name).X.shape == shape
        assert len(solution["w"]) == shape[0]


def test_spector_has_the_certified_solution():
    solution = coefficients(SOLUTIONS["spector"])
    for text, certified in zip(solution, coefficients(CERTIFIED), strict=True):
        assert abs(mpf(text) / mpf(certified) - 1) < mpf(10) ** -15


def test_rare_has_the_solution_of_the_formula():
    with mp.workdps(STORED + 10):
        w, b = map(mpf, coefficients(SOLUTIONS["rare"]))
        bias = mp.log(mpf(20) / 174)
        last = mpf(10) ** (1 - STORED)
        assert abs(b - bias) < abs(b) * last
        assert abs(w - (mp.log(mpf(2) / 4) - bias)) < abs(w) * last


def check_fit(name, dtype, least):
    data = jax.tree.map(lambda array: np.asarray(array, dtype), dataset(name))
    X, y, *_ = data
    options = {"weight": data.weight, "offset": data.offset, "l2": data.l2}
    result = jax.jit(jl.fit)(X, y, **options)
    assert result.status == jl.Status.CONVERGED
    assert result.steps <= 12
    theta = np.vstack(result.params)
    assert theta.dtype == dtype
    assert np.isfinite(theta).all()
    assert correct_digits(theta[:, 0], coefficients(SOLUTIONS[name])) >= least


@pytest.mark.parametrize("name", NAMES)
def test_fit_has_the_digits_of_float64(name):
    check_fit(name, np.float64, LEAST_DIGITS.get(name, 12))


@pytest.mark.parametrize("name", ["synthetic", "rare"])
def test_fit_has_the_digits_of_float32(name):
    assert np.array_equal(dataset(name).X, dataset(name).X.astype(np.float32))
    check_fit(name, np.float32, 5)

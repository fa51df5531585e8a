"""The cost, its gradient and `fit` against the solutions in tests/references."""

import functools
import json

import jax
import numpy as np
import pytest
from mpmath import mp, mpf

import jlogreg
from jlogreg import Params, value_and_gradient
from tests.helpers import Problem, assert_close, assert_params_close, slack
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

VALUE_AND_GRADIENT = jax.jit(value_and_gradient)


@functools.cache
def dataset(name):
    return DATASETS[name]()


def coefficients(solution):
    return [*solution["w"], solution["b"]]


def correct_digits(found, due_strings):
    """Return the correct digits of the worst coefficient, at most 16."""
    with mp.workdps(STORED + 10):
        errors = [
            abs(mpf(float(number)) / mpf(due) - 1)
            for number, due in zip(found, due_strings, strict=True)
        ]
        if any(map(mp.isnan, errors)):
            return 0.0
        return float(min(16, -mp.log10(max(*errors, mpf(10) ** -17))))


def reference_problem(name, moved=0.0):
    """Return the problem at its solution in float64, or at so much more than it."""
    data, solution = dataset(name), SOLUTIONS[name]
    w = np.array(solution["w"], float).reshape(-1, 1) * (1 + moved)
    b = np.array([[float(solution["b"])]]) * (1 + moved)
    absent = {"weight": np.ones_like, "offset": np.zeros_like}
    rows = {
        key: make(data.y) if getattr(data, key) is None else getattr(data, key)
        for key, make in absent.items()
    }
    return Problem(Params(w=w, b=b), data.X, data.y, **rows, l2=data.l2)


def assert_is_minimum(problem, J, rel=1e-14):
    # The largest penalty for every feature: it only enters roundings, from above.
    within = slack(problem._replace(l2=np.max(problem.l2)))
    found, gradient = VALUE_AND_GRADIENT(*problem.arguments, **problem.options)
    zero = jax.tree.map(np.zeros_like, problem.params)
    assert_params_close(gradient, zero, within)
    assert_close(found, J, within.J)
    assert float(found) == pytest.approx(J, rel=rel, abs=0)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_0_and_the_cost_is_right_at_the_solution(name):
    J = float(SOLUTIONS[name]["J"])
    assert_is_minimum(reference_problem(name), J, COST_RELATIVE.get(name, 1e-14))


@pytest.mark.parametrize("name", NAMES)
def test_beside_the_solution_the_gradient_is_not_0(name):
    beside = reference_problem(name, moved=1e-6)
    with pytest.raises(AssertionError, match="too far"):
        assert_is_minimum(beside, float(SOLUTIONS[name]["J"]))


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
    found = coefficients(SOLUTIONS["spector"])
    for number, due in zip(found, coefficients(CERTIFIED), strict=True):
        assert abs(mpf(number) / mpf(due) - 1) < mpf(10) ** -15


def test_rare_has_the_solution_of_the_formula():
    with mp.workdps(STORED + 10):
        w, b = map(mpf, coefficients(SOLUTIONS["rare"]))
        due = mp.log(mpf(20) / 174)
        assert abs(b - due) < abs(b) * mpf(10) ** (1 - STORED)
        assert abs(w - (mp.log(mpf(2) / 4) - due)) < abs(w) * mpf(10) ** (1 - STORED)


def test_correct_digits_are_those_of_the_worst_coefficient():
    assert correct_digits([0.5, -2.0], ["0.5", "-2"]) == 16
    found = correct_digits([1.0, 2.0 * (1 + 1e-7)], ["1", "2"])
    assert found == pytest.approx(7, abs=1e-6)
    assert correct_digits([float("nan"), 2.0], ["1", "2"]) == 0
    assert correct_digits([1.0, -2.0], ["1", "2"]) < 0


def check_fit(name, dtype, least):
    data = jax.tree.map(lambda array: np.asarray(array, dtype), dataset(name))
    found = jax.jit(jlogreg.fit)(
        data.X, data.y, weight=data.weight, offset=data.offset, l2=data.l2
    )
    assert np.all(found.status == jlogreg.Status.CONVERGED)
    assert np.all(found.steps <= 12)
    assert found.params.w.dtype == found.params.b.dtype == dtype
    numbers = [*np.ravel(found.params.w), *np.ravel(found.params.b)]
    assert correct_digits(numbers, coefficients(SOLUTIONS[name])) >= least


@pytest.mark.parametrize("name", NAMES)
def test_fit_has_the_digits_of_float64(name):
    check_fit(name, np.float64, LEAST_DIGITS.get(name, 12))


@pytest.mark.parametrize("name", ["synthetic", "rare"])
def test_fit_has_the_digits_of_float32(name):
    assert np.array_equal(dataset(name).X, dataset(name).X.astype(np.float32))
    check_fit(name, np.float32, 5)

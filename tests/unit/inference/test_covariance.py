"""The covariance of a penalized estimate is the sandwich of the derivation."""

import numpy as np
import pytest

from jlogreg.inference.covariance import penalized_covariance
from tests.helpers import EPS, assert_close, make_problem
from tests.oracles.numpy_fit import numpy_hessian, numpy_minimum

N, M = 3, 20


@pytest.mark.parametrize("l2", [0.0, 0.1, 2.0])
def test_the_covariance_of_a_penalized_estimate(l2):
    """Without a penalty it is the inverse Hessian over m."""
    problem = make_problem((N, M), np.float64, seed=3, l2=l2)
    ones = np.ones((1, M))
    problem = problem._replace(weight=ones, offset=0 * ones, l2=l2)
    params = numpy_minimum(problem)
    result = penalized_covariance(params, problem.X, problem.y, l2)
    F = numpy_hessian(problem._replace(l2=0.0), params)
    H = F + l2 * np.diag([1.0] * N + [0.0])
    inverse = np.linalg.inv(H)
    expected = inverse @ F @ inverse / M
    # Each of three products and two solves errs by k roundings times the condition.
    few = 16 * (N + 1) * EPS * np.linalg.cond(H) ** 2
    assert_close(result, expected, few * np.abs(expected).max())
    if l2 == 0:
        assert_close(result, inverse / M, few * np.abs(expected).max())

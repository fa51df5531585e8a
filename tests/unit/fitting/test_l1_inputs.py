"""`fit` with an L1 penalty gives no silent wrong answer: known, traced and mapped.

What ends with CONVERGED is judged by NumPy alone: each gradient is as far from the
subdifferential as roundings and the tolerance allow.
"""

import jax
import numpy as np
import pytest

import jlogreg as jl
from jlogreg import Status
from tests.helpers import EPS, entry, stack
from tests.inputs import put
from tests.inputs_l1 import L1, L1_CASES
from tests.oracles.coordinate_descent import lasso_cost, optimality


def fitted(arguments):
    return jl.fit(**arguments)


JITTED, MAPPED = jax.jit(fitted), jax.jit(jax.vmap(fitted))


def known(case):
    return {**L1.base, **case.changes}


def traceable(case):
    """Return the arguments with every number as an array, so that all compile once."""
    arguments = known(case)
    most = np.int32(arguments["max_steps"])
    return {**arguments, "tol": np.asarray(arguments["tol"]), "max_steps": most}


def assert_optimal(found, arguments):
    """Assert that 0 is a subgradient, to what roundings and the last step leave.

    A logit has the roundings of its terms, and a label of its probability. The last
    step moved no logit by more than tol, and left tol times that, in the units of each
    feature; the gap lets weights of which the cost hardly knows be anywhere.
    """
    used = arguments["weight"][0] > 0
    X, y, weight, offset = (arguments[key][:, used] for key in ("X", "y", *ROWS))
    theta = np.append(np.ravel(found.params.w), np.ravel(found.params.b))
    rest = (X, y, arguments["l1"], arguments["l2"], weight, offset)
    sizes = np.abs(np.vstack([X, np.ones(X.shape[1])]))
    share = (weight / weight.max() / np.sum(weight / weight.max()))[0]
    logits = np.abs(theta) @ sizes + np.abs(offset[0]) + 40
    tol = max(arguments["tol"], 4 * EPS)
    slack = 8 * EPS * (sizes @ (share * logits)) + 8 * EPS * sizes.max(axis=1)
    slack += 2 * tol**2 * sizes.max(axis=1)
    slack[:-1] += 8 * EPS * np.ravel(arguments["l2"]) * np.abs(theta[:-1])
    left = optimality(theta, *rest)
    assert (left <= slack).all(), (left, slack)
    np.testing.assert_allclose(found.cost, lasso_cost(theta, *rest), rtol=1e-9)
    assert found.gap is None or found.gap <= tol**2 + 1e-12


ROWS = ("weight", "offset")


def assert_ends(found, statuses, case):
    status = Status(int(found.status))
    assert status in statuses, status.name
    if status == Status.BAD_INPUT:
        assert all(np.isnan(leaf).all() for leaf in (*found.params, found.gap))
    if status == Status.CONVERGED:
        assert_optimal(found, known(case))


def test_a_wrong_answer_is_noticed():
    arguments = L1.base
    found = jax.device_get(fitted(arguments))
    assert_optimal(found, arguments)
    (w, b), little = found.params, 1e-9
    params = [jl.Params(put(w, j, w[j] + little), b) for j in range(2)]
    params += [jl.Params(w, b + little), jl.Params(0 * w, b)]
    changes = [{"params": one} for one in params]
    changes += [{"cost": found.cost + 1e-8}, {"gap": found.cost}, {"gap": np.nan}]
    for change in changes:
        with pytest.raises(AssertionError):
            assert_optimal(found._replace(**change), arguments)


@pytest.mark.parametrize("case", L1_CASES, ids=lambda case: case.name)
def test_known_and_traced(case):
    found = jax.device_get(JITTED(traceable(case)))
    assert_ends(found, case.traced, case)
    if isinstance(case.eager, str):
        with pytest.raises(ValueError, match=case.eager):
            fitted(known(case))
    else:
        assert_ends(fitted(known(case)), case.eager, case)


def test_mapped():
    """Beside one another, the hard and the invalid, each ends as it does alone."""
    results = jax.device_get(MAPPED(stack(*map(traceable, L1_CASES))))
    wrong = []
    for k, case in enumerate(L1_CASES):
        try:
            assert_ends(entry(results, k), case.traced, case)
        except AssertionError as error:
            wrong.append(f"{case.name}: {error}")
    assert not wrong, "\n".join(wrong)

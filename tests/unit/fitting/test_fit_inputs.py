"""`fit` gives no silent wrong answer: the tables of inputs, known, traced and mapped.

What ends with CONVERGED is compared with Newton's method in mpmath, which shares no
code with jlogreg, to a tolerance computed from the roundings.
"""

import functools
from types import SimpleNamespace

import jax
import numpy as np
import optax
import pytest
from mpmath import mp, mpf

import jlogreg as jl
from jlogreg import Params, Status
from tests.helpers import Problem, entry, same_bits, stack
from tests.inputs import RIGHT, put, right
from tests.inputs_static import GROUPS
from tests.oracles.high_precision import (
    WORKING,
    big,
    exact,
    exact_minimum,
    exp,
    inverse_hessian,
    root,
)

SOLVERS = {
    "default": None,
    "newton_cg": jl.NewtonCG(),
    "lbfgs": jl.Optax(optax.lbfgs()),
}
INPUTS = [(group, case) for group in GROUPS for case in group.cases]
BATCHES = [(group, solver) for group in GROUPS for solver in group.solvers]


def named(pairs):
    return [pytest.param(*pair, id=f"{pair[0].name}: {pair[1].name}") for pair in pairs]


def fitted(solver, arguments):
    with jax.numpy_dtype_promotion("standard"):  # optax needs it
        return jl.fit(solver=SOLVERS[solver], **arguments)


JITTED = {name: jax.jit(functools.partial(fitted, name)) for name in SOLVERS}
MAPPED = {name: jax.jit(jax.vmap(functools.partial(fitted, name))) for name in SOLVERS}


def known(group, case, solver):
    """Return the arguments of a case; a descent gets more steps."""
    most = {"max_steps": 200} if solver == "lbfgs" else {}
    return {**group.base, **most, **case.changes}


def traceable(group, case, solver):
    """Return the same with every number as an array, so that all compile once."""
    arguments = known(group, case, solver)
    dtype, most = arguments["X"].dtype, arguments["max_steps"]
    numbers = {key: np.asarray(arguments[key], dtype) for key in ("l2", "tol")}
    return {**arguments, **numbers, "max_steps": np.int32(most)}


def traced(group, case, solver):
    return jax.device_get(JITTED[solver](traceable(group, case, solver)))


# --- what a fit must be ---------------------------------------------------------------


@functools.cache
def solved(group_name, case_name):
    """Return a case's problem, its minimum, and its arguments."""
    names = group_name, case_name
    group, case = next(pair for pair in INPUTS if (pair[0].name, pair[1].name) == names)
    arguments = known(group, case, "default")
    data = (arguments[name] for name in ("X", "y", "weight", "offset", "l2"))
    problem = Problem(None, *data)
    return problem, exact_minimum(problem, case.near), arguments


@functools.cache
def minimum(group_name, case_name, newton=True):
    """Return the minimum, and how far roundings and the solver may be from it.

    Newton's method ends with a whole step that moved no logit by more than tol. The
    curvatures have then changed by a part of expm1(tol) at most, and so large a part of
    the step is left to do. The other solvers promise tol in the logits. Beyond that a
    gradient that is off by its roundings moves the parameters by H^-1 times as much.
    """
    problem, state, arguments = solved(group_name, case_name)
    with mp.workdps(WORKING):
        data, (given, J, _, dz, dz2) = exact(problem), state
        theta = data.moved(given, 1)
        inverse, sizes = inverse_hessian(state, data), abs(data.rows)
        eps, m = float(np.finfo(arguments["X"].dtype).eps), len(data.y)
        far = abs(given[:-1] * data.center[:-1]).sum()
        # The other solvers take the center from the products, not from the features.
        size_z = abs(theta) @ sizes + abs(data.offset) + (0 if newton else far)
        error_z = (len(theta) + 1) * eps * size_z
        soft = data.y * (1 - data.y) > 0
        error_dz = 2 * dz2 * error_z * exp(error_z) + (m + 8) * eps * (abs(dz) + soft)
        error = sizes @ (data.weight * error_dz) + 4 * eps * data.l2 * abs(theta)
        tol = mpf(float(arguments["tol"]))
        step = tol if data.l2.any() else tol * mp.sqrt((data.weight * dz2).sum())
        left = mp.expm1(tol) * step if newton else tol
        along = root(((data.rows.T @ inverse) * data.rows.T).sum(axis=1))
        rounded = 2 * abs(inverse) @ error + 4 * eps * abs(theta)
        rounded_logits = 2 * abs(data.rows.T @ inverse) @ error + error_z
        # Back to the features as they are given, whose bias is rounded once more.
        within = rounded + left * root(np.diag(inverse))
        bias = 4 * eps * (far + abs(given[-1]))
        within[-1] += within[:-1] @ abs(data.center[:-1]) + bias
        loss = data.weight * (abs(dz) * error_z + 8 * eps * (abs(dz) + J))
        return SimpleNamespace(
            theta=given,
            J=J,
            rows=data.rows + np.append(data.center[:-1], 0)[:, None],
            within=within,
            within_logits=rounded_logits + left * (along if newton else 1) + bias,
            within_J=2 * loss.sum() + m * eps * J + left**2,
            tol=tol,
        )


def assert_right(result, expected):
    """Assert that a fit is the minimum: its parameters, its logits, its cost."""
    theta = np.concatenate([np.ravel(result.params.w), np.ravel(result.params.b)])
    assert np.isfinite([*theta, result.cost]).all()
    excused = max(expected.within_logits)
    assert excused < 0.01 + expected.tol, "roundings would excuse anything"
    with mp.workdps(WORKING):
        off = big(theta) - expected.theta
        off_J = abs(big(result.cost) - expected.J)
        pairs = {
            "a coefficient": (abs(off), expected.within),
            "a logit": (abs(off @ expected.rows), expected.within_logits),
            "the cost": ([off_J], [expected.within_J]),
        }
        for name, (distances, within) in pairs.items():
            for far, most in zip(distances, within, strict=True):
                words = f"off by {float(far):.3g}, more than {float(most):.3g}"
                assert far <= most, f"{name} is {words}"


def assert_ends(result, statuses, group, case, solver):
    """Assert that a fit ended as it may, and that what it says is so."""
    arguments, status = known(group, case, solver), Status(int(result.status))
    steps, most = int(result.steps), arguments["max_steps"]
    if solver != "default":
        statuses = statuses | case.harder
    assert status in statuses, f"{status.name} after {steps} steps"
    assert 0 <= steps <= max(most, 0), f"{steps} steps of {most}, {status.name}"
    if status == Status.BAD_INPUT:
        assert all(np.isnan(leaf).all() for leaf in result.params)
    if most == 0:
        jax.tree.map(np.testing.assert_array_equal, result.params, arguments["init"])
    if status == Status.CONVERGED:
        assert_right(result, minimum(group.name, case.name, solver == "default"))


def errors(result, statuses, group, case, solver):
    try:
        assert_ends(result, statuses, group, case, solver)
    except (AssertionError, ArithmeticError) as error:
        yield error


# --- inputs whose numbers are wrong or unusual ----------------------------------------


@pytest.mark.parametrize(("group", "case"), named(INPUTS))
def test_known(group, case):
    arguments = known(group, case, "default")
    if isinstance(case.eager, str):
        with pytest.raises(ValueError, match=case.eager):
            fitted("default", arguments)
    else:
        result = fitted("default", arguments)
        assert_ends(result, case.eager, group, case, "default")


@pytest.mark.parametrize(("group", "case"), named(INPUTS))
def test_traced(group, case):
    result = traced(group, case, "default")
    assert_ends(result, case.traced, group, case, "default")


def healthy(group, solver, k):
    """Return the arguments of a problem without difficulties, another for each k."""
    plain = traceable(group, right("healthy"), solver)
    return {**plain, "l2": np.full_like(plain["l2"], (1 + k % 3) / 8)}


def mapped(solver, problems):
    """Return the results of a vmap over problems, one by one."""
    results = jax.device_get(MAPPED[solver](stack(*problems)))
    return [entry(results, k) for k in range(len(problems))]


@pytest.mark.parametrize(
    ("group", "solver"), BATCHES, ids=[f"{g.name}: {solver}" for g, solver in BATCHES]
)
def test_mapped(group, solver):
    """Every second problem is healthy, and the others are nothing to it.

    Only here are other solvers than the default: each mode would compile them anew.
    """
    well = [healthy(group, solver, k) for k in range(len(group.cases))]
    ill = [traceable(group, case, solver) for case in group.cases]
    pairs = zip(well, ill, strict=True)
    results = mapped(solver, [problem for pair in pairs for problem in pair])
    control = mapped(solver, [problem for one in well for problem in (one, one)])
    for one, other in zip(results[::2], control[::2], strict=True):
        assert one.status == Status.CONVERGED
        assert same_bits(one, other)
    wrong = [
        f"{case.name}: {error}"
        for case, result in zip(group.cases, results[1::2], strict=True)
        for error in errors(result, case.traced, group, case, solver)
    ]
    assert not wrong, "\n".join(wrong)


# --- the table and its checks ---------------------------------------------------------


def test_there_are_more_than_two_hundred_inputs():
    inputs = {(group.name, case.name) for group, case in INPUTS}
    assert len(inputs) == len(INPUTS) >= 200


@pytest.mark.parametrize(
    ("group", "case"), named(pair for pair in INPUTS if pair[1].due is not None)
)
def test_the_oracle_finds_what_a_formula_says(group, case):
    theta = minimum(group.name, case.name).theta.astype(float)
    np.testing.assert_allclose(theta, case.due, rtol=1e-15, atol=1e-20)


def test_of_two_columns_alike_each_has_half():
    one, other, _ = minimum("tall", "duplicated column, l2").theta
    assert abs(one - other) < mpf(10) ** -40 * abs(one)


@pytest.mark.parametrize("group", [GROUPS[0], GROUPS[2]], ids=lambda group: group.name)
@pytest.mark.parametrize("solver", ["default", "newton_cg"])
def test_a_wrong_answer_is_noticed(group, solver):
    case = right("plain")
    result = traced(group, case, "default")
    (w, b), little = result.params, np.finfo(result.cost.dtype).eps ** 0.4
    wrong = [Params(put(w, j, w[j] + little), b) for j in range(len(w))]
    wrong += [Params(w, b + little), Params(w * np.nan, b)]
    changes = [{"params": params} for params in wrong]
    changes += [{"cost": cost} for cost in (result.cost + little, np.nan)]
    changes += [{"steps": steps} for steps in (-1, 101)]
    changes += [{"status": status} for status in set(Status) - RIGHT]
    assert_ends(result, RIGHT, group, case, solver)
    for change in changes:
        with pytest.raises(AssertionError):
            assert_ends(result._replace(**change), RIGHT, group, case, solver)

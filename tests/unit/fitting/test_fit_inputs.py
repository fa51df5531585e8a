"""`fit` gives no silent wrong answer: the tables of inputs, known, traced and mapped.

What ends with CONVERGED is compared with Newton's method in mpmath, which shares no
code with jlogreg, to a tolerance computed from the roundings.
"""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
import pytest
from mpmath import mp, mpf

from jlogreg import NewtonCG, Optax, Params, Status, fit
from tests.inputs import RIGHT, TALL, put, right
from tests.inputs_static import GROUPS

SOLVERS = {"default": None, "newton_cg": NewtonCG(), "lbfgs": Optax(optax.lbfgs())}

INPUTS = [(group, case) for group in GROUPS for case in group.cases]
BATCHES = [(group, solver) for group in GROUPS for solver in group.solvers]


def named(pairs):
    return [pytest.param(*pair, id=f"{pair[0].name}: {pair[1].name}") for pair in pairs]


def fitted(solver, arguments):
    with jax.numpy_dtype_promotion("standard"):  # optax needs it
        return fit(solver=SOLVERS[solver], **arguments)


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
    """Return the result of a compiled function, as NumPy arrays."""
    found = JITTED[solver](traceable(group, case, solver))
    return jax.tree.map(np.asarray, found)


# --- the oracle -----------------------------------------------------------------------

big = np.frompyfunc(lambda number: mpf(float(number)), 1, 1)
exp = np.frompyfunc(mp.exp, 1, 1)
log1p = np.frompyfunc(mp.log1p, 1, 1)
root = np.frompyfunc(mp.sqrt, 1, 1)
DIGITS = 60


class Exact(NamedTuple):
    """Hold a problem in mpmath's numbers, without samples of weight 0.

    Shapes: rows (n + 1, m), the last of them ones; y, weight and offset (m,), the
    weights divided by their sum; ridge (n + 1,), 0 at the end.
    """

    rows: Any
    y: Any
    weight: Any
    offset: Any
    ridge: Any


class Due(NamedTuple):
    """Hold the minimum, and how far roundings and the solver may be from it."""

    theta: Any
    J: Any
    rows: Any
    within: Any
    within_logits: Any
    within_J: Any
    tol: Any


def exact(X, y, weight=None, offset=None, l2=0.0, **_):
    n, m = X.shape
    weight, offset = (
        np.full(m, other) if row is None else np.asarray(row)[0]
        for row, other in [(weight, 1.0), (offset, 0.0)]
    )
    kept = weight != 0
    ridge = np.append(np.broadcast_to(l2, (n, 1))[:, 0], 0.0)
    rows = np.vstack([X, np.ones((1, m)), y, weight, offset])[:, kept]
    *rows, y, weight, offset = big(rows)
    return Exact(np.array(rows), y, weight / weight.sum(), offset, big(ridge))


def look(theta, data):
    """Return the cost, the slopes of the losses, the gradient, the curvatures."""
    z = theta @ data.rows + data.offset
    a, q = 1 / (1 + exp(-z)), 1 / (1 + exp(z))
    losses = data.y * log1p(exp(-z)) + (1 - data.y) * log1p(exp(z))
    J = (data.weight * losses).sum() + (data.ridge * theta**2).sum() / 2
    dz = (1 - data.y) * a - data.y * q
    gradient = data.rows @ (data.weight * dz) + data.ridge * theta
    return J, dz, gradient, a * q


def scaled_hessian(data, dz2):
    """Return the Hessian with ones on its diagonal, and what scales it so."""
    H = (data.rows * (data.weight * dz2)) @ data.rows.T + np.diag(data.ridge)
    scale = 1 / root(np.diag(H))
    return mp.matrix((H * scale * scale[:, None]).tolist()), scale


def inverse_hessian(data, dz2):
    unit, scale = scaled_hessian(data, dz2)
    inverse = np.reshape(list(mp.inverse(unit)), (len(scale), len(scale)))
    return inverse * scale * scale[:, None]


def newton_step(data, dz2, gradient):
    unit, scale = scaled_hessian(data, dz2)
    return scale * list(mp.lu_solve(unit, mp.matrix(list(scale * gradient))))


def minimum(data, near):
    """Return where the cost is lowest, by Newton's method with halved steps."""
    theta = big(np.zeros(len(data.rows)) if near is None else np.array(near, float))
    J, _, gradient, dz2 = look(theta, data)
    for _ in range(60):
        step = newton_step(data, dz2, gradient)
        moved = max(abs(step @ data.rows)) + mp.sqrt((data.ridge * step**2).sum())
        if moved < mpf(10) ** -25:
            return theta - step
        for halvings in range(40):
            tried = theta - step / 2**halvings
            found = look(tried, data)
            if found[0] <= J * (1 + mpf(10) ** -50):
                break
        else:
            raise ArithmeticError("no step lowers the cost")
        theta, (J, _, gradient, dz2) = tried, found
    raise ArithmeticError("the oracle has found no minimum")


@functools.cache
def solved(group_name, case_name):
    """Return a case's problem in mpmath's numbers, its minimum, and its arguments."""
    names = group_name, case_name
    group, case = next(pair for pair in INPUTS if (pair[0].name, pair[1].name) == names)
    arguments = known(group, case, "default")
    with mp.workdps(DIGITS):
        data = exact(**arguments)
        return minimum(data, case.near), data, arguments


@functools.cache
def due(group_name, case_name, newton):
    """Return the minimum of a case, and what may be apart from it."""
    with mp.workdps(DIGITS):
        return tolerance(*solved(group_name, case_name), newton)


def tolerance(theta, data, arguments, newton):
    """Return the minimum with the distance that roundings and the solver explain.

    Newton's method ends with a whole step that moved no logit by more than tol. The
    curvatures have then changed by a part of expm1(tol) at most, and so large a part of
    the step is left to do. The other solvers promise tol in the logits. Beyond that a
    gradient that is off by its roundings moves the parameters by H^-1 times as much.
    """
    J, dz, _, dz2 = look(theta, data)
    inverse, sizes = inverse_hessian(data, dz2), abs(data.rows)
    eps, m = float(np.finfo(arguments["X"].dtype).eps), len(data.y)
    error_z = (len(theta) + 1) * eps * (abs(theta) @ sizes + abs(data.offset))
    soft = data.y * (1 - data.y) > 0
    error_dz = 2 * dz2 * error_z * exp(error_z) + (m + 8) * eps * (abs(dz) + soft)
    error = sizes @ (data.weight * error_dz) + 4 * eps * data.ridge * abs(theta)
    tol = mpf(float(arguments["tol"]))
    step = tol if data.ridge.any() else tol * mp.sqrt((data.weight * dz2).sum())
    left = mp.expm1(tol) * step if newton else tol
    along = root(((data.rows.T @ inverse) * data.rows.T).sum(axis=1))
    rounded = 2 * abs(inverse) @ error + 4 * eps * abs(theta)
    rounded_logits = 2 * abs(data.rows.T @ inverse) @ error + error_z
    loss = data.weight * (abs(dz) * error_z + 8 * eps * (abs(dz) + J))
    return Due(
        theta=theta,
        J=J,
        rows=data.rows,
        within=rounded + left * root(np.diag(inverse)),
        within_logits=rounded_logits + left * (along if newton else 1),
        within_J=2 * loss.sum() + m * eps * J + left**2,
        tol=tol,
    )


def assert_right(found, due):
    """Assert that a fit is the minimum: its parameters, its logits, its cost."""
    theta = np.concatenate([np.ravel(found.params.w), np.ravel(found.params.b)])
    assert np.isfinite([*theta, found.cost]).all()
    assert max(due.within_logits) < 0.01 + due.tol, "roundings would excuse anything"
    with mp.workdps(DIGITS):
        off = big(theta) - due.theta
        pairs = {
            "a coefficient": (abs(off), due.within),
            "a logit": (abs(off @ due.rows), due.within_logits),
            "the cost": ([abs(big(float(found.cost)) - due.J)], [due.within_J]),
        }
        for name, (distances, within) in pairs.items():
            for far, most in zip(distances, within, strict=True):
                words = (
                    f"{name} is off by {float(far):.3g}, more than {float(most):.3g}"
                )
                assert far <= most, words


def assert_ends(found, statuses, group, case, solver):
    """Assert that a fit ended as it may, and that what it says is so."""
    arguments, status = known(group, case, solver), Status(int(found.status))
    steps, most = int(found.steps), arguments["max_steps"]
    if solver != "default":
        statuses = statuses | case.harder
    assert status in statuses, f"{status.name} after {steps} steps"
    assert 0 <= steps <= max(most, 0), f"{steps} steps of {most}, {status.name}"
    if status == Status.BAD_INPUT:
        assert all(np.isnan(leaf).all() for leaf in found.params)
    if most == 0:
        jax.tree.map(np.testing.assert_array_equal, found.params, arguments["init"])
    if status == Status.CONVERGED:
        assert_right(found, due(group.name, case.name, solver == "default"))


def errors(found, statuses, group, case, solver):
    try:
        assert_ends(found, statuses, group, case, solver)
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
        found = fitted("default", arguments)
        assert_ends(found, case.eager, group, case, "default")


@pytest.mark.parametrize(
    ("group", "case"), named(pair for pair in INPUTS if isinstance(pair[1].eager, str))
)
def test_constants_of_a_compiled_function_are_known(group, case):
    with pytest.raises(ValueError, match=case.eager):
        jax.jit(lambda: fitted("default", known(group, case, "default")))()


@pytest.mark.parametrize(("group", "case"), named(INPUTS))
def test_traced(group, case):
    found = traced(group, case, "default")
    assert_ends(found, case.traced, group, case, "default")


def healthy(group, solver, k):
    """Return the arguments of a problem without difficulties, another for each k."""
    plain = traceable(group, right("healthy"), solver)
    return {**plain, "l2": np.full_like(plain["l2"], (1 + k % 3) / 8)}


def lanes(solver, problems):
    """Return the results of a vmap over problems, one by one."""
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *problems)
    leaves, tree = jax.tree.flatten(MAPPED[solver](stacked))
    rows = zip(*map(np.asarray, leaves), strict=True)
    return [jax.tree.unflatten(tree, row) for row in rows]


@pytest.mark.parametrize(
    ("group", "solver"), BATCHES, ids=[f"{g.name}: {solver}" for g, solver in BATCHES]
)
def test_mapped(group, solver):
    """Every second lane is healthy, and the others are nothing to it.

    Only here are other solvers than the default: each mode would compile them anew.
    """
    well = [healthy(group, solver, k) for k in range(len(group.cases))]
    ill = [traceable(group, case, solver) for case in group.cases]
    found = lanes(
        solver, [lane for pair in zip(well, ill, strict=True) for lane in pair]
    )
    control = lanes(solver, [lane for one in well for lane in (one, one)])
    for one, other in zip(found[::2], control[::2], strict=True):
        assert one.status == Status.CONVERGED
        assert same_bits(one, other)
    wrong = [
        f"{case.name}: {error}"
        for case, lane in zip(group.cases, found[1::2], strict=True)
        for error in errors(lane, case.traced, group, case, solver)
    ]
    assert not wrong, "\n".join(wrong)


def same_bits(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(leaf.tobytes() == same.tobytes() for leaf, same in pairs)


# --- the table and its checks ---------------------------------------------------------


def test_there_are_more_than_two_hundred_inputs():
    inputs = {(group.name, case.name) for group, case in INPUTS}
    assert len(inputs) == len(INPUTS) >= 200


@pytest.mark.parametrize(
    ("group", "case"), named(pair for pair in INPUTS if pair[1].due is not None)
)
def test_the_oracle_finds_what_a_formula_says(group, case):
    found = due(group.name, case.name, True).theta.astype(float)
    np.testing.assert_allclose(found, case.due, rtol=1e-15, atol=1e-20)


def test_of_two_columns_alike_each_has_half():
    one, other, _ = due("tall", "duplicated column, l2", True).theta
    assert abs(one - other) < mpf(10) ** -40 * abs(one)


def notices(group, name, solver="default", **changes):
    """Return whether a change of a case's result is noticed, and its absence is not."""
    case = next(case for case in group.cases if case.name == name)
    found = traced(group, case, "default")
    assert not [*errors(found, case.traced, group, case, solver)]
    planted = found._replace(**changes)
    return bool([*errors(planted, case.traced, group, case, solver)])


@pytest.mark.parametrize(
    "group",
    [group for group in GROUPS if group.name in ("tall", "float32")],
    ids=lambda group: group.name,
)
@pytest.mark.parametrize("solver", ["default", "newton_cg"])
def test_a_wrong_answer_is_noticed(group, solver):
    found = traced(group, right("plain"), "default")
    (w, b), little = found.params, np.finfo(found.cost.dtype).eps ** 0.4
    wrong = [Params(put(w, j, w[j] + little), b) for j in range(len(w))]
    wrong += [Params(w, b + little), Params(w * np.nan, b)]
    for params in wrong:
        assert notices(group, "plain", solver, params=params)
    for cost in (found.cost + little, found.cost * np.nan):
        assert notices(group, "plain", solver, cost=cost)
    for steps in (-1, 101):
        assert notices(group, "plain", solver, steps=steps)
    for status in set(Status) - RIGHT:
        assert notices(group, "plain", solver, status=status)


@pytest.mark.parametrize(
    "name", ["separated", "quasi-separated", "zero column", "X NaN"]
)
def test_a_wrong_status_is_noticed(name):
    assert notices(TALL, name, status=Status.CONVERGED)


def test_parameters_that_should_not_be_there_are_noticed():
    start = TALL.base["init"]
    assert notices(TALL, "label NaN", params=start)
    assert notices(TALL, "max_steps 0, init", params=start)
    assert notices(TALL, "max_steps 0, init", steps=1)


def test_a_bit_is_noticed():
    found = traced(TALL, right("plain"), "default")
    other = found._replace(cost=np.nextafter(found.cost, 1))
    assert same_bits(found, found)
    assert not same_bits(found, other)

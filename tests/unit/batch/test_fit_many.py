"""What `fit_many` takes and refuses, how it goes on, and what it compiles and holds.

That each fit is that of its problem alone is in properties/test_many.py.
"""

import logging
from collections import Counter
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.experimental.sparse import BCOO

from jlogreg import (
    Fit,
    Newton,
    NewtonCG,
    Optax,
    Params,
    Progress,
    ShapeError,
    Stacked,
    Status,
    cost,
    fit_many,
    logits,
    stack,
    standardize,
)
from jlogreg.batch import scheduler as many_module
from jlogreg.batch import setup as plan_module
from jlogreg.batch.chunks import BatchSolver
from jlogreg.batch.problems import Problems
from jlogreg.batch.setup import setup_batch
from jlogreg.data.design import Dense
from jlogreg.fitting.options import choose_solver
from tests.helpers import EPS, Problem, assert_close, slack
from tests.oracles.numpy_fit import numpy_minimum, params_slack

K, SHAPE, WIDTH = 10, (3, 20), 4
TOL = 2 * EPS**0.5  # the default


def numbers(seed=0, shape=SHAPE, count=K):
    """Return problems that differ in their labels only."""
    random = np.random.default_rng(seed)
    Y = (random.random((count, shape[1])) < 0.5) * 1.0
    Y[:, :2] = 0, 1
    return {
        "X": random.standard_normal(shape),
        "Y": Y,
        "weight": random.choice([0.5, 1, 2], (1, shape[1])),
        "offset": random.standard_normal((1, shape[1])),
        "l2": 0.1,
    }


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """Let chunks be narrow, so that there are several, and few widths to compile."""
    monkeypatch.setattr(plan_module, "MAX_WIDTH", WIDTH)


def many(**changes):
    return jax.tree.map(np.asarray, fit_many(**{**numbers(), **changes}))


def lane_of(tree, lane):
    return jax.tree.map(lambda leaf: np.asarray(leaf)[lane], tree)


def problem_of(arguments, lane):
    zero = Params(np.zeros((len(arguments["X"]), 1)), np.zeros((1, 1)))
    y, l2 = arguments["Y"][lane : lane + 1], np.float64(arguments["l2"])
    weight = np.broadcast_to(arguments["weight"], y.shape)
    return Problem(zero, arguments["X"], y, weight, arguments["offset"], l2)


def assert_minimum(found, problem, tol=TOL, inexact=False):
    """Assert that a fit is what Newton's method finds in NumPy."""
    assert found.status == Status.CONVERGED
    due = numpy_minimum(problem)
    # `params_slack` is for half the default tolerance, whose square is what is left.
    more = 4 if tol == TOL else 1
    within = params_slack(problem, due, inexact)
    assert_close(found.params.w, due.w, more * within.w)
    assert_close(found.params.b, due.b, more * within.b)


def same_bits(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(leaf.tobytes() == same.tobytes() for leaf, same in pairs)


# --- what comes of it -----------------------------------------------------------------


def test_fields_have_a_leading_axis_and_are_those_of_a_fit():
    arguments, n = numbers(), SHAPE[0]
    found = fit_many(**arguments)
    assert isinstance(found, Fit)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(found))
    assert (found.params.w.shape, found.params.b.shape) == ((K, n, 1), (K, 1, 1))
    assert {leaf.shape for leaf in found[1:]} == {(K,)}
    assert found.status.dtype == found.steps.dtype == np.int32
    assert {leaf.dtype.name for leaf in (*found.params, *found[3:])} == {"float64"}
    assert ((found.steps > 2) & (found.steps < 10)).all()
    for lane in range(K):
        problem, one = problem_of(arguments, lane), lane_of(found, lane)
        assert_minimum(one, problem)
        problem = problem._replace(params=one.params)
        J = cost(*problem.arguments, **problem.options)
        assert_close(one.cost, J, slack(problem).J)
        # Both are at their roundings.
        assert one.gradient_norm < 100 * EPS
        assert one.decrement < 100 * EPS
    z = logits(stack(found.params), arguments["X"])
    assert z.shape == (K, SHAPE[1])
    alone = logits(lane_of(found.params, 3), arguments["X"])
    np.testing.assert_allclose(z[3:4], alone, rtol=1e-12)


def test_the_comparison_notices_a_wrong_minimum():
    found, problem = lane_of(many(), 0), problem_of(numbers(), 0)
    assert_minimum(found, problem)
    for factor in (1 + 1e-6, 1 - 1e-6):
        params = jax.tree.map(lambda leaf, factor=factor: leaf * factor, found.params)
        with pytest.raises(AssertionError, match="too far"):
            assert_minimum(found._replace(params=params), problem)
    with pytest.raises(AssertionError, match="too far"):
        assert_minimum(lane_of(many(), 1), problem)


def test_arrays_may_be_of_numpy_or_of_jax():
    of_jax = jax.tree.map(jnp.asarray, numbers())
    assert same_bits(many(), many(**of_jax))


def test_one_problem_is_a_batch_of_one_and_float32_stays():
    double = numbers(count=1)
    single = {key: np.asarray(value, np.float32) for key, value in double.items()}
    found = many(**single)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(found)} == {"float32", "int32"}
    assert found.status.shape == (1,)
    one = jax.tree.map(lambda leaf: leaf.astype(float), lane_of(found, 0))
    exact = {key: np.asarray(value, float) for key, value in single.items()}
    problem, eps = problem_of(exact, 0), float(np.finfo(np.float32).eps)
    due, within = numpy_minimum(problem), params_slack(problem, numpy_minimum(problem))
    assert_close(one.params.w, due.w, 4 * eps / EPS * within.w)
    assert_close(one.params.b, due.b, 4 * eps / EPS * within.b)


@pytest.mark.parametrize("name", ["sparse", "stacked", "standardized"])
def test_features_may_be_any_design(name):
    X = numbers()["X"]
    design = {
        "sparse": lambda: BCOO.fromdense(jnp.asarray(X)),
        "stacked": lambda: Stacked(X[:2], X[2:]),
        "standardized": lambda: standardize(3 * X + 1),
    }[name]()
    dense = np.asarray(design.dense()) if name == "standardized" else X
    arguments = numbers(count=2)
    found = many(**{**arguments, "X": design})
    for lane in range(2):
        assert_minimum(
            lane_of(found, lane), problem_of({**arguments, "X": dense}, lane)
        )


with jax.numpy_dtype_promotion("standard"):  # optax itself promotes its step count
    SGD = Optax(optax.sgd(1.0))


@pytest.mark.parametrize("solver", [SGD, NewtonCG()], ids=["optax", "newton_cg"])
def test_the_solver_may_be_any(solver):
    arguments = numbers(count=2)
    with jax.numpy_dtype_promotion("standard"):
        found = many(**arguments, solver=solver)
    for lane in range(2):
        problem = problem_of(arguments, lane)
        assert_minimum(lane_of(found, lane), problem, inexact=True)


def test_limits_are_those_of_the_call():
    found = many(max_steps=2)
    assert (found.status == Status.MAX_STEPS).all()
    assert (found.steps == 2).all()
    rough = many(tol=0.1)
    assert (rough.status == Status.CONVERGED).all()
    assert rough.steps.sum() < many().steps.sum()


def test_a_start_may_be_for_all():
    found = many()
    near = many(init=jax.tree.map(lambda leaf: leaf[0], found.params))
    assert near.steps[0] == 1  # to see that it is there
    assert (near.steps[1:] > 1).all()
    for lane in range(K):
        assert_minimum(lane_of(near, lane), problem_of(numbers(), lane))


@pytest.mark.parametrize(
    ("n", "m", "due"),
    [
        (64, 10**6, Newton()),
        (65, 10**6, NewtonCG()),
        (65, 65, NewtonCG()),
        (65, 64, Newton()),
        (10**5, 512, Newton()),
        (10**5, 513, NewtonCG()),
    ],
)
def test_the_shapes_choose_the_solver(n, m, due):
    X = Dense(jax.ShapeDtypeStruct((n, m), np.float32))
    limits = plan_module.MAX_FEATURES, plan_module.MAX_SAMPLES
    assert choose_solver(X, jnp.zeros(()), *limits) == due


# --- bad numbers ----------------------------------------------------------------------

ALIKE = numbers(count=WIDTH)  # in one chunk


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0, 2.0])
def test_a_bad_row_of_labels_is_a_lane_of_its_own(bad):
    """Beside rows that all have: the others stay the same, to the last bit."""
    Y = ALIKE["Y"].copy()
    Y[1, 3] = bad
    found, due = many(**{**ALIKE, "Y": Y}), many(**ALIKE)
    assert found.status.tolist() == [0, Status.BAD_INPUT, 0, 0]
    for lane in range(WIDTH):
        one, other = lane_of(found, lane), lane_of(due, lane)
        assert same_bits(one, other) == (lane != 1)
    assert all(np.isnan(leaf[1]).all() for leaf in (*found.params, found.cost))


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        *(("weight", bad) for bad in (np.nan, -1.0, np.inf)),
        *(("offset", bad) for bad in (np.nan, np.inf)),
    ],
)
def test_a_bad_row_that_all_have_is_bad_for_all(name, bad):
    row = ALIKE[name].copy()
    row[0, 3] = bad
    found = many(**{**ALIKE, name: row})
    assert (found.status == Status.BAD_INPUT).all()
    assert np.isnan(found.params.w).all()


def test_no_weight_at_all_is_bad_input():
    found = many(**{**ALIKE, "weight": 0 * ALIKE["weight"]})
    assert (found.status == Status.BAD_INPUT).all()


def test_without_weights_bad_features_are_an_error():
    with pytest.raises(ValueError, match="X must be finite"):
        many(X=ALIKE["X"] * np.nan, weight=None)


# --- chunks, progress, and going on ---------------------------------------------------


class Watched:
    """Note which problems are begun, and how many go on side by side."""

    def __init__(self):
        self.begun, self.widths = [], []

    def __enter__(self):
        init, advance = BatchSolver.init, BatchSolver.advance

        def noted_init(batch, numbers):
            self.begun += [int(number) for number in numbers if number >= 0]
            return init(batch, numbers)

        def noted_advance(batch, chunk, passes):
            self.widths.append(len(chunk.numbers))
            return advance(batch, chunk, passes)

        self.patches = [
            mock.patch.object(BatchSolver, "init", noted_init),
            mock.patch.object(BatchSolver, "advance", noted_advance),
        ]
        for patch in self.patches:
            patch.start()
        return self

    def __exit__(self, *_):
        for patch in self.patches:
            patch.stop()


def test_every_problem_is_begun_once_and_no_chunk_is_too_wide():
    with Watched() as watched:
        many()
    assert sorted(watched.begun) == list(range(K))
    assert max(watched.widths) == WIDTH


def each():
    X, Y = numbers()["X"], numbers()["Y"]
    rows = Problems(Y, numbers()["weight"], numbers()["offset"], 0.1, None)
    return setup_batch(X, rows, None, None, None).bytes_each()


@pytest.mark.parametrize("by_default", [False, True])
def test_memory_limits_the_width(by_default, monkeypatch):
    monkeypatch.setattr(plan_module, "MAX_WIDTH", 4096)
    limit = (WIDTH + 1) * each()  # a width is a power of two
    if by_default:  # half of what is free
        monkeypatch.setattr(plan_module, "_free_memory", lambda: 2 * limit)
    with Watched() as watched:
        found = many(memory_limit=None if by_default else limit)
    assert max(watched.widths) == WIDTH
    monkeypatch.undo()
    monkeypatch.setattr(plan_module, "MAX_WIDTH", WIDTH)
    assert same_bits(found, many())
    assert plan_module._free_memory() > 2**20


def test_progress_is_told_and_grows(monkeypatch):
    monkeypatch.setattr(many_module, "MIN_WIDTH", 1)
    told, Y = [], numbers(count=K + 1)["Y"]
    Y[-1] = numbers()["X"][0] > 0  # the last takes longest, beside an empty lane

    def progress(now):
        assert isinstance(now, Progress)
        assert (now.finished.shape, now.finished.dtype) == ((K + 1, 1), bool)
        told.append((now.finished.copy(), jax.tree.map(np.copy, now.fit)))
        assert (now.per_second > 0) == now.finished.any()
        assert np.isfinite(now.per_second)

    found = many(Y=Y, progress=progress)
    counts = [int(finished.sum()) for finished, _ in told]
    assert len(counts) > 3
    assert counts == sorted(counts)
    assert counts[-1] == K + 1
    assert 0 < counts[len(counts) // 2] < counts[-2] == K
    assert not told[-2][0][-1]
    for finished, so_far in told:  # what is finished is as it will be
        for lane in np.flatnonzero(finished):
            assert same_bits(lane_of(so_far, lane), lane_of(found, lane))


class StopError(Exception):
    pass


def interrupted(after):
    """Return the last Progress of a call that was stopped after so many problems."""
    told = []

    def progress(now):
        told.append(now)
        if now.finished.sum() >= after:
            raise StopError

    with pytest.raises(StopError):
        many(progress=progress)
    return told[-1]


@pytest.mark.parametrize("after", [0, 3, K])
def test_an_interrupted_call_goes_on_where_it_was(after):
    last = interrupted(after)
    done, before = last.finished[:, 0].copy(), jax.tree.map(np.copy, last)
    assert after <= done.sum() < K or after == K
    told = []
    with Watched() as watched:
        found = many(resume=last, progress=told.append)
    # Nothing that was finished is done again, and nothing else is left out.
    assert sorted(watched.begun) == np.flatnonzero(~done).tolist()
    jax.tree.map(np.testing.assert_array_equal, last, before)  # the caller's own
    assert all(now.finished[done].all() for now in told)
    due = many()
    np.testing.assert_array_equal(found.status, due.status)
    for lane in range(K):
        one, other = lane_of(found, lane), lane_of(due, lane)
        assert_minimum(one, problem_of(numbers(), lane))
        assert same_bits(one, other) or not done[lane]


def test_what_is_resumed_is_believed():
    """Or the test above could compare with what was done again."""
    last = interrupted(3)
    last.fit.params.w[last.finished[:, 0]] += 1
    found, due = many(resume=last), many()
    changed = np.abs(found.params.w - due.params.w).max(axis=(1, 2)) > 0.5
    np.testing.assert_array_equal(changed, last.finished[:, 0])


def test_what_is_resumed_is_what_was_told():
    with pytest.raises(
        TypeError, match=r"resume must be the last Progress .* is a Fit"
    ):
        many(resume=interrupted(3).fit)


@pytest.mark.parametrize("count", [K - 1, K + 1])
def test_what_is_resumed_is_of_as_many_problems(count):
    with pytest.raises(ShapeError, match="resume"):
        many(Y=numbers(count=count)["Y"], resume=interrupted(3))


# --- what is compiled and held --------------------------------------------------------


def compiled(caplog, function):
    """Return how often each function was compiled while another ran."""
    caplog.clear()
    with caplog.at_level(logging.WARNING), jax.log_compiles():
        jax.block_until_ready(function())
    texts = [record.getMessage() for record in caplog.records]
    names = [text.split()[1] for text in texts if text.startswith("Compiling")]
    return Counter(names)


LARGE = ["jit(_init)", "jit(_advance)", "jit(_finalize)", "jit(_shared)"]


def test_little_is_compiled_and_nothing_twice(caplog):
    fresh = numbers(shape=(2, 13), count=23)
    first = compiled(caplog, lambda: fit_many(**fresh))
    # Full chunks and half ones; closing up would be a width more.
    assert [first[name] <= most for name, most in zip(LARGE, (1, 2, 1, 1), strict=True)]
    assert all(first[name] >= 1 for name in LARGE)
    assert first["jit(take_rows)"] + first["jit(_concatenate)"] <= 6
    other = numbers(1, shape=(2, 13), count=23)
    again = compiled(caplog, lambda: fit_many(**other, tol=1e-6, max_steps=50))
    assert not again
    fewer = compiled(caplog, lambda: fit_many(**numbers(2, shape=(2, 13), count=17)))
    assert not {*fewer} & {*LARGE}


def shapes_in(jaxpr):
    """Return the shapes of all values in a program, and in what it calls."""
    for equation in jaxpr.eqns:
        yield from (var.aval.shape for var in equation.outvars)
        for value in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")
        ):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from shapes_in(inner)


@pytest.mark.parametrize(
    ("solver", "shape"), [(Newton(), (3, 50)), (NewtonCG(), (9, 20)), (None, (50, 7))]
)
def test_features_are_never_copied_for_each_problem(solver, shape):
    n, m = shape
    given = numbers(shape=shape)
    rows = Problems(*(given[key] for key in ("Y", "weight", "offset", "l2")), None)
    batch = setup_batch(given["X"], rows, solver, None, None)
    chunk = batch.init(np.arange(WIDTH))

    def advance(state):
        return batch.advance(chunk._replace(state=state), 2).state

    jaxpr = jax.make_jaxpr(advance)(chunk.state).jaxpr
    sizes = [np.prod(shape) for shape in shapes_in(jaxpr) if shape[:1] == (WIDTH,)]
    assert len(sizes) > 20
    assert max(sizes) < WIDTH * n * m
    planted = jax.make_jaxpr(jax.vmap(lambda l2: given["X"] * l2))(np.ones(WIDTH)).jaxpr
    assert WIDTH * n * m in [np.prod(shape) for shape in shapes_in(planted)]

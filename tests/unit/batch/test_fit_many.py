"""Arguments of `fit_many`, how it goes on, and the programs and memory that it takes.

That each fit is that of its problem alone is in laws/test_many.py.
"""

from contextlib import contextmanager
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.experimental.sparse import BCOO

import jlogreg as jl
from jlogreg import Newton, NewtonCG, Status
from jlogreg.batch import setup as plan_module
from jlogreg.batch.chunks import BatchSolver
from jlogreg.batch.problems import Problems
from jlogreg.batch.scheduling import scheduler as many_module
from jlogreg.batch.setup import setup_batch
from jlogreg.data.devices.deal import Deal
from tests.helpers import EPS, SHAPE, Problem, compiled, entry, same_bits
from tests.inputs import put
from tests.oracles.numpy_fit import assert_minimum

K, WIDTH = 10, 4
# `params_slack` is for half the default tolerance, whose square is what is left.
DEFAULT = 4


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
    return jax.device_get(jl.fit_many(**{**numbers(), **changes}))


def assert_minima(results, arguments, **options):
    """Assert that every fit is the minimum that Newton's method finds in NumPy."""
    X, rows = arguments["X"], (arguments["weight"], arguments["offset"])
    for k, y in enumerate(arguments["Y"]):
        problem = Problem(None, X, y[None], *rows, np.float64(arguments["l2"]))
        assert_minimum(entry(results, k), problem, times=DEFAULT, **options)


# --- results --------------------------------------------------------------------------


def test_fields_have_a_leading_axis_and_are_those_of_a_fit():
    arguments, n = numbers(), SHAPE[0]
    result = jl.fit_many(**arguments)
    assert isinstance(result, jl.Fit)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(result))
    assert (result.params.w.shape, result.params.b.shape) == ((K, n, 1), (K, 1, 1))
    assert {leaf.shape for leaf in jax.tree.leaves(result[1:])} == {(K,)}
    assert result.status.dtype == result.steps.dtype == np.int32
    assert {leaf.dtype.name for leaf in (*result.params, *result[3:6])} == {"float64"}
    assert_minima(result, arguments)
    # Both are at their roundings.
    assert max(result.gradient_norm) < 100 * EPS
    assert max(result.decrement) < 100 * EPS


def test_one_problem_is_a_batch_of_one_and_float32_stays():
    single = {key: np.float32(value) for key, value in numbers(count=1).items()}
    result = many(**single)
    kinds = {leaf.dtype.name for leaf in jax.tree.leaves(result)}
    assert kinds == {"float32", "int32"}
    assert result.status.shape == (1,)
    arguments = {key: np.asarray(value, float) for key, value in single.items()}
    X, y, *rest = arguments.values()
    times = DEFAULT * float(np.finfo(np.float32).eps) / EPS
    assert_minimum(entry(result, 0), Problem(None, X, y, *rest), times=times)


@pytest.mark.parametrize(
    "design_of",
    [
        lambda X: BCOO.fromdense(jnp.asarray(X)),
        lambda X: jl.Stacked(X[:2], X[2:]),
        lambda X: jl.standardize(3 * X + 1),
    ],
    ids=["sparse", "stacked", "standardized"],
)
def test_features_may_be_any_design(design_of):
    arguments = numbers(count=2)
    design = design_of(arguments["X"])
    dense = design.dense() if isinstance(design, jl.Standardized) else arguments["X"]
    result = many(**{**arguments, "X": design})
    assert_minima(result, {**arguments, "X": np.asarray(dense)})


with jax.numpy_dtype_promotion("standard"):  # optax itself promotes its step count
    SGD = jl.Optax(optax.sgd(1.0))


@pytest.mark.parametrize("solver", [SGD, NewtonCG()], ids=["optax", "newton_cg"])
def test_the_solver_may_be_any(solver):
    arguments = numbers(count=2)
    with jax.numpy_dtype_promotion("standard"):
        result = many(**arguments, solver=solver)
    assert_minima(result, arguments, inexact=True)


def test_limits_are_those_of_the_call():
    result = many(max_steps=2)
    assert (result.status == Status.MAX_STEPS).all()
    assert (result.steps == 2).all()
    rough = many(tol=0.1)
    assert (rough.status == Status.CONVERGED).all()
    assert rough.steps.sum() < many().steps.sum()


def test_a_start_may_be_for_all():
    near = many(init=entry(many().params, 0))
    assert near.steps[0] == 1  # to see that it is there
    assert (near.steps[1:] > 1).all()
    assert_minima(near, numbers())


# --- invalid numbers ------------------------------------------------------------------

ALIKE = numbers(count=WIDTH)  # in one chunk


def test_an_invalid_row_of_labels_leaves_the_others_as_they_are():
    """To the last bit, where weights and offset are common to all."""
    result = many(**{**ALIKE, "Y": put(ALIKE["Y"], (1, 3), np.nan)})
    expected = many(**ALIKE)
    assert result.status.tolist() == [0, Status.BAD_INPUT, 0, 0]
    for k in range(WIDTH):
        assert same_bits(entry(result, k), entry(expected, k)) == (k != 1)
    assert all(np.isnan(leaf[1]).all() for leaf in (*result.params, result.cost))


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("weight", put(ALIKE["weight"], (0, 3), np.nan)),
        ("weight", 0 * ALIKE["weight"]),
        ("offset", put(ALIKE["offset"], (0, 3), -np.inf)),
    ],
)
def test_an_invalid_common_row_is_invalid_for_all(name, row):
    result = many(**{**ALIKE, name: row})
    assert (result.status == Status.BAD_INPUT).all()
    assert np.isnan(result.params.w).all()


def test_without_weights_bad_features_are_an_error():
    with pytest.raises(ValueError, match="X must be finite"):
        many(X=ALIKE["X"] * np.nan, weight=None)


# --- chunks, progress, and going on ---------------------------------------------------


@contextmanager
def watched():
    """Yield the problems that are begun, and how many go on side by side."""
    begun, widths = [], []
    init, advance = BatchSolver.init, BatchSolver.advance

    def noted_init(batch, numbers):
        begun.extend(int(number) for number in numbers if number >= 0)
        return init(batch, numbers)

    def noted_advance(batch, chunk, passes):
        widths.append(len(chunk.numbers))
        return advance(batch, chunk, passes)

    noted = {"init": noted_init, "advance": noted_advance}
    with mock.patch.multiple(BatchSolver, **noted):
        yield begun, widths


@pytest.mark.parametrize("by_default", [False, True])
def test_memory_limits_the_width(by_default, monkeypatch):
    X, *rows = numbers().values()
    each = setup_batch(X, Problems(*rows, None), True, None, None, None).bytes_each()
    monkeypatch.setattr(plan_module, "MAX_WIDTH", 4096)
    limit = (WIDTH + 1) * each  # a width is a power of two
    if by_default:  # half of what is free
        monkeypatch.setattr(plan_module, "_free_memory", lambda deal: 2 * limit)
    with watched() as (_, widths):
        result = many(memory_limit=None if by_default else limit)
    assert max(widths) == WIDTH
    monkeypatch.undo()
    monkeypatch.setattr(plan_module, "MAX_WIDTH", WIDTH)
    assert same_bits(result, many())
    assert plan_module._free_memory(Deal()) > 2**20


def test_progress_is_told_and_grows(monkeypatch):
    monkeypatch.setattr(many_module, "MIN_WIDTH", 1)
    told, Y = [], numbers(count=K + 1)["Y"]
    Y[-1] = numbers()["X"][0] > 0  # the last takes longest, in a chunk half empty

    def progress(now):
        assert isinstance(now, jl.Progress)
        assert (now.finished.shape, now.finished.dtype) == ((K + 1, 1), bool)
        told.append((now.finished.copy(), jax.tree.map(np.copy, now.fit)))
        assert (now.per_second > 0) == now.finished.any()
        assert np.isfinite(now.per_second)

    with watched() as (begun, widths):
        result = many(Y=Y, progress=progress)
    assert sorted(begun) == list(range(K + 1))
    assert max(widths) == WIDTH
    counts = [int(finished.sum()) for finished, _ in told]
    assert len(counts) > 3
    assert counts == sorted(counts)
    assert counts[-1] == K + 1
    assert 0 < counts[len(counts) // 2] < counts[-2] == K
    assert not told[-2][0][-1]
    for finished, so_far in told:  # what is finished is as it will be
        for k in np.flatnonzero(finished):
            assert same_bits(entry(so_far, k), entry(result, k))


class StopError(Exception):
    pass


def interrupted(after):
    """Return the last Progress of a call that is stopped after so many problems."""
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
    with watched() as (begun, _):
        result = many(resume=last, progress=told.append)
    # Nothing that was finished is done again, and nothing else is left out.
    assert sorted(begun) == np.flatnonzero(~done).tolist()
    jax.tree.map(np.testing.assert_array_equal, last, before)  # the caller's own
    assert all(now.finished[done].all() for now in told)
    expected = many()
    np.testing.assert_array_equal(result.status, expected.status)
    assert_minima(result, numbers())
    for k in np.flatnonzero(done):
        assert same_bits(entry(result, k), entry(expected, k))


def test_only_progress_of_as_many_problems_is_resumed():
    last = interrupted(3)
    with pytest.raises(TypeError, match=r"resume must be the last Progress .* a Fit"):
        many(resume=last.fit)
    for count in (K - 1, K + 1):
        with pytest.raises(jl.ShapeError, match="resume"):
            many(Y=numbers(count=count)["Y"], resume=last)


# --- programs and memory --------------------------------------------------------------


LARGE = ["jit(_init)", "jit(_advance)", "jit(_finalize)", "jit(_shared)"]


def test_little_is_compiled_and_nothing_twice(caplog):
    fresh = numbers(shape=(2, 13), count=23)
    first = compiled(caplog, lambda: jl.fit_many(**fresh))
    # Full chunks and half ones; closing up would be a width more.
    for name, most in zip(LARGE, (1, 2, 1, 1), strict=True):
        assert 1 <= first[name] <= most
    # Rows of tables are taken on the host.
    assert 1 <= first["jit(_take_rows)"] + first["jit(_concatenate)"] <= 3
    other = numbers(1, shape=(2, 13), count=23)
    assert not compiled(caplog, lambda: jl.fit_many(**other, tol=1e-6, max_steps=50))
    fewer = compiled(caplog, lambda: jl.fit_many(**numbers(2, (2, 13), 17)))
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
    ("solver", "shape"), [(Newton(), (3, 50)), (NewtonCG(), (9, 20)), (None, (70, 7))]
)
def test_features_are_never_copied_for_each_problem(solver, shape):
    n, m = shape
    X, *rows = numbers(shape=shape).values()
    batch = setup_batch(X, Problems(*rows, None), True, solver, None, None)
    chunk = batch.init(np.arange(WIDTH))

    def advance(state):
        return batch.advance(chunk._replace(state=state), 2).state

    jaxpr = jax.make_jaxpr(advance)(chunk.state).jaxpr
    sizes = [np.prod(shape) for shape in shapes_in(jaxpr) if shape[:1] == (WIDTH,)]
    assert len(sizes) > 20
    assert max(sizes) < WIDTH * n * m
    planted = jax.make_jaxpr(jax.vmap(lambda l2: X * l2))(np.ones(WIDTH)).jaxpr
    assert WIDTH * n * m in [np.prod(shape) for shape in shapes_in(planted)]


def test_a_few_problems_are_one_chunk(caplog):
    given = numbers(shape=(2, 17), count=3)
    first = compiled(caplog, lambda: jl.fit_many(**given))
    assert [first[name] for name in LARGE[:3]] == [1, 1, 1]
    assert not first["jit(_take_rows)"] + first["jit(_concatenate)"]

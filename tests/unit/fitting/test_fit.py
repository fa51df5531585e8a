"""A fit's fields, statuses and errors, and the programs that it compiles."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.experimental.sparse import BCOO

import jlogreg as jl
from jlogreg import Newton, NewtonCG, Optax, Status
from jlogreg.batch import setup
from jlogreg.fitting.options import check_limits, choose_solver
from tests.helpers import (
    SHAPE,
    WIDE,
    assert_close,
    compiled,
    cost_and_gradient,
    make_problem,
)

PROBLEM = jax.tree.map(np.asarray, make_problem(SHAPE, np.float64, seed=3, l2=0.1))


@jax.jit
def traced_fit(problem, max_steps):
    options = {**problem.options, "init": problem.params}
    return jl.fit(problem.X, problem.y, max_steps=max_steps, **options)


# --- statuses -------------------------------------------------------------------------


def some_fit(status):
    return jl.Fit(None, np.asarray(status, np.int32), np.int32(4), *np.zeros(3))


def test_a_fit_that_converged_raises_nothing():
    jl.raise_if_failed(some_fit(Status.CONVERGED))
    jl.raise_if_failed(some_fit([[Status.CONVERGED] * 3] * 2))


@pytest.mark.parametrize("status", list(Status)[1:])
def test_a_fit_that_failed_raises_what_to_do(status):
    words = f"{status.name}: {status.message}"
    statuses = [Status.CONVERGED, Status.CONVERGED, status, Status.MAX_STEPS]
    none, one = "4 fits have no answer (", f"1 {status.name}"
    both = "2 MAX_STEPS" if status == Status.MAX_STEPS else f"1 MAX_STEPS, {one}"
    messages = {
        "": status,
        f"2 of {none}{both}); the first is number 2, ": statuses,
        f"1 of {none}{one}); the first is number 1, ": [[0, status], [0, 0]],
    }
    for start, given in messages.items():
        with pytest.raises(jl.FitError) as raised:
            jl.raise_if_failed(some_fit(given))
        assert str(raised.value) == start + words


def test_a_traced_status_cannot_raise():
    with pytest.raises(TypeError, match="call it outside jit"):
        jax.eval_shape(jl.raise_if_failed, some_fit(0))


CURES = {
    "CONVERGED": "found",
    "MAX_STEPS": "max_steps",
    "SEPARATED": "penalty",
    "SINGULAR": "collinear",
    "DIVERGED": "penalty",
    "NONFINITE": "standardize",
    "BAD_INPUT": "validate",
}


def test_every_status_has_its_own_message_and_a_cure():
    assert {status.name: int(status) for status in Status} == {
        name: number for number, name in enumerate(CURES)
    }
    assert len({status.message for status in Status}) == len(CURES)
    assert all(CURES[status.name] in status.message for status in Status)


def problem_of_status(name):
    """Return a problem that ends so."""
    X, y, no = PROBLEM.X, PROBLEM.y, np.zeros((1, SHAPE[1]))
    zero = jax.tree.map(np.zeros_like, PROBLEM.params)
    plain = PROBLEM._replace(params=zero, weight=no + 1, offset=no, l2=np.zeros(()))
    apart = np.sign(y - 0.5) + 0.1 * X[:1]
    one_label = np.where(np.arange(SHAPE[1]) == 0, 1.0, 0.0)[None]
    changes = {
        "SEPARATED": {"X": np.vstack([apart, X[1:]])},
        "SINGULAR": {"X": np.vstack([X[:2], -3 * X[1:2]])},
        "DIVERGED": {
            "X": np.vstack([X[:2], one_label]),
            "y": np.where(one_label == 1, 1.0, y),
        },
        "NONFINITE": {"X": 1e200 * X},
        "BAD_INPUT": {"y": y + np.nan},
    }
    return plain._replace(**changes.get(name, {}))


@pytest.mark.parametrize("status", Status, ids=lambda status: status.name)
def test_every_status_is_reached(status):
    most = 1 if status == Status.MAX_STEPS else 100
    result = traced_fit(problem_of_status(status.name), np.int32(most))
    assert Status(int(result.status)) == status
    assert np.isnan(result.params.w).all() == (status == Status.BAD_INPUT)
    assert np.isnan(result.cost) == (status == Status.BAD_INPUT)
    assert result.steps <= most


@pytest.mark.parametrize("name", ["l2", "l1", "jeffreys"])
def test_the_derivative_in_a_bad_penalty_is_nan(name):
    problem = problem_of_status("CONVERGED")

    def cost(penalty):
        options = {"l2": 0.1, name: penalty}
        return jl.fit(problem.X, problem.y, **options).cost

    for bad in (-0.1, np.nan, np.inf):
        J, slope = jax.jit(jax.value_and_grad(cost))(bad)
        assert np.isnan(J)
        assert np.isnan(slope)


@pytest.mark.parametrize("seed", range(20))
def test_a_feature_that_is_a_sum_of_others_is_singular(seed):
    random = np.random.default_rng(seed)
    X = random.standard_normal(SHAPE)
    i, j, other = random.permutation(3)
    X[i] = X[j] - 0.3 * X[other]
    X *= 10.0 ** random.integers(-3, 4, (3, 1))  # units
    problem = problem_of_status("CONVERGED")._replace(X=X)
    result = traced_fit(problem, np.int32(100))
    assert Status(int(result.status)) == Status.SINGULAR


def quasi_separated(count, dtype):
    """Return problems with a feature that occurs beside one label only."""
    random, (n, m) = np.random.default_rng(0), (3, 40)
    X, features = random.standard_normal((count, n, m)), random.integers(n, size=count)
    y = 1.0 * (random.random((count, 1, m)) < 1 / (1 + np.exp(-X[:, 1:2])))
    for x, labels, feature in zip(X, y, features, strict=True):
        few = np.flatnonzero(labels[0] == random.integers(2))[: random.integers(1, 5)]
        x[feature] = 0
        x[feature, few] = random.choice([1, 10, 100]) * random.choice([-1, 1])
    return X.astype(dtype), y.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_of_1_do_not_hide_that_there_is_no_finite_minimum(dtype):
    """Of what a descent takes for the minimum."""
    X, y = quasi_separated(100, dtype)
    options = {"weight": np.ones_like(y[0]), "solver": Optax(optax.sgd(0.5))}
    fits = jax.vmap(lambda X, y: jl.fit(X, y, max_steps=300, **options))
    assert not (jax.jit(fits)(X, y).status == Status.CONVERGED).any()


@jax.numpy_dtype_promotion("standard")  # as a line search of optax needs
def test_a_descent_whose_steps_are_left_does_not_say_that_they_ran_out():
    X, y = np.eye(1, 6, 5), np.array([[1.0, 0, 1, 0, 1, 1]])
    result = jl.fit(X, y, solver=Optax(optax.lbfgs()), max_steps=10**6)
    assert Status(int(result.status)) == Status.DIVERGED


spanned_fits = jax.jit(jax.vmap(lambda X, y, l2: jl.fit(X, y, l2=l2), (0, None, None)))


@pytest.mark.parametrize("l2", [1e-6, 1e-7, 1e-8, 1e-9])
def test_a_penalty_that_is_lost_in_the_roundings_of_a_span_is_no_end(l2):
    random = np.random.default_rng(0)
    X = random.standard_normal((100, 60, 20)).astype(np.float32)
    y = (np.arange(20) % 2)[None].astype(np.float32)
    result = spanned_fits(X, y, np.float32(l2))
    assert (result.status == Status.CONVERGED).all()


# --- numbers --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("solver", "shape"),
    [
        (None, SHAPE),
        (Newton(), SHAPE),
        (Newton(), WIDE),
        (NewtonCG(), SHAPE),
        (Optax(optax.sgd(0.1)), SHAPE),
    ],
)
def test_fields_have_their_shapes_and_dtypes(solver, shape, dtype):
    n, m = shape
    X, y = jax.ShapeDtypeStruct((n, m), dtype), jax.ShapeDtypeStruct((1, m), dtype)
    result = jax.eval_shape(partial(jl.fit, l2=0.1, solver=solver), X, y)
    assert (result.params.w.shape, result.params.b.shape) == ((n, 1), (1, 1))
    assert {leaf.shape for leaf in jax.tree.leaves(result[1:])} == {()}
    assert result.status.dtype == result.steps.dtype == np.int32
    numbers = jax.tree.leaves(result._replace(status=None, steps=None, several=None))
    assert [leaf.dtype for leaf in numbers] == [dtype] * 5


@pytest.mark.parametrize("shape", [SHAPE, WIDE])
def test_the_numbers_of_a_fit_are_those_of_its_parameters(shape):
    problem = jax.tree.map(np.asarray, make_problem(shape, np.float64, seed=3, l2=0.1))
    result = traced_fit(problem, np.int32(2))  # not yet at the minimum
    assert (result.status, result.steps) == (Status.MAX_STEPS, 2)
    J, gradient = cost_and_gradient(result.params, problem)
    H = jl.hessian(result.params, problem.X, problem.y, **problem.options)
    g = np.vstack(gradient)
    np.testing.assert_allclose(result.cost, J, rtol=1e-14)
    np.testing.assert_allclose(result.gradient_norm, np.abs(g).max(), rtol=1e-9)
    decrement = np.sqrt(g.T @ np.linalg.solve(H, g))[0, 0]
    np.testing.assert_allclose(result.decrement, decrement, rtol=1e-9)
    assert decrement > 1e-6


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", [Newton(), NewtonCG()], ids=["newton", "newton_cg"])
def test_an_offset_that_all_samples_share_moves_the_bias_alone(solver, dtype):
    """However far: at zero there is next to no curvature then."""
    X, y = (part.astype(dtype) for part in (PROBLEM.X, np.round(PROBLEM.y)))
    eps = float(np.finfo(dtype).eps)
    fitted = jax.jit(lambda offset: jl.fit(X, y, offset=offset, l2=0.1, solver=solver))
    expected = fitted(np.zeros_like(y)).params
    for by in (-60, 20, 40, 60):
        result = fitted(np.full_like(y, by))
        assert Status(int(result.status)) == Status.CONVERGED
        assert np.abs(result.params.w - expected.w).max() <= 4 * eps**0.5
        assert abs(result.params.b + by - expected.b) <= 4 * eps**0.5 + 4 * eps * 60


# --- options and programs -------------------------------------------------------------


def some_design(n, m):
    return jl.Dense(jax.ShapeDtypeStruct((n, m), np.float32))


ONE, EACH = np.zeros(()), np.zeros((513, 1))
RARE = jl.Sparse(BCOO((jnp.ones(1), jnp.zeros((1, 2), int)), shape=(513, 100)))
MANY = setup.MAX_FEATURES, setup.MAX_SAMPLES  # of many problems in one call


@pytest.mark.parametrize(
    ("X", "l2", "limits", "expected"),
    [
        (some_design(512, 10**6), ONE, (), Newton()),
        (some_design(513, 10**6), ONE, (), NewtonCG()),
        (some_design(513, 100), ONE, (), Newton()),
        (some_design(513, 100), EACH, (), NewtonCG()),
        (some_design(512, 100), EACH, (), Newton()),
        (some_design(10**5, 2048), ONE, (), Newton()),
        (some_design(10**5, 2049), ONE, (), NewtonCG()),
        # It has no span.
        (RARE, ONE, (), NewtonCG()),
        (some_design(64, 10**6), ONE, MANY, Newton()),
        (some_design(65, 10**6), ONE, MANY, NewtonCG()),
        (some_design(65, 65), ONE, MANY, NewtonCG()),
        (some_design(65, 64), ONE, MANY, Newton()),
        (some_design(10**5, 512), ONE, MANY, Newton()),
        (some_design(10**5, 513), ONE, MANY, NewtonCG()),
    ],
)
def test_the_shapes_choose_the_solver(X, l2, limits, expected):
    assert choose_solver(X, l2, *limits) == expected


def test_steps_have_a_limit():
    for solver in (Newton(), NewtonCG()):
        assert check_limits(solver, None, None, float).max_steps == 500
    assert check_limits(Optax(optax.sgd(1.0)), None, None, float).max_steps == 10_000


def test_what_is_no_transformation_is_refused():
    words = r"Optax must hold .* optax[.]sgd\(0[.]1\), but"
    with pytest.raises(TypeError, match=words):
        Optax(optax.sgd)


CHANGES = [
    {"l2": 0.2},
    {"l2": np.asarray(0.3)},
    {"weight": PROBLEM.weight + 1},
    {"offset": PROBLEM.offset + 1},
    {"init": jax.tree.map(lambda leaf: leaf / 2, PROBLEM.params)},
    {"tol": 1e-5},
    {"max_steps": 7},
    {"X": PROBLEM.X[::-1], "y": 1 - PROBLEM.y},
    {"solver": Newton()},
]


def test_new_numbers_do_not_compile_again(caplog):
    options = {**PROBLEM._asdict(), "tol": 1e-6, "max_steps": 9}
    options["init"] = options.pop("params")
    for l2 in (0.1, np.asarray(0.1)):
        jl.fit(**{**options, "l2": l2})
    for change in CHANGES:
        assert not compiled(caplog, lambda new=change: jl.fit(**{**options, **new}))


def test_a_fit_says_by_name_how_it_ended():
    assert some_fit(Status.SEPARATED).status_name == "SEPARATED"
    assert not some_fit(Status.SEPARATED).converged
    many = some_fit([Status.CONVERGED, Status.MAX_STEPS])
    assert many.status_name.tolist() == ["CONVERGED", "MAX_STEPS"]
    assert many.converged.tolist() == [True, False]
    assert jax.jit(lambda fit: fit.converged)(many).tolist() == [True, False]
    with pytest.raises(TypeError, match="outside jit"):
        jax.eval_shape(lambda fit: fit.status_name, some_fit(0))


def test_an_optimizer_of_optax_is_told_where_it_goes():
    with pytest.raises(jl.DtypeError, match=r"of optax: write solver=Optax\(...\)$"):
        jl.fit(np.ones((1, 2)), np.ones((1, 2)), solver=optax.adam(0.1))


def test_boolean_labels_are_those_of_0_and_1():
    X = np.random.default_rng(0).normal(size=(2, 30))
    y = X[:1] + np.random.default_rng(1).normal(size=(1, 30)) > 0
    numbers = jl.fit(X, y.astype(float), l2=0.1)
    for found in (
        jl.fit(X, y, l2=0.1),
        jax.jit(lambda y: jl.fit(X, y, l2=0.1))(y),
        jax.tree.map(lambda leaf: leaf[0], jl.fit_many(X, y, l2=0.1)),
        jl.cross_validate(X, y, np.array([[0.1]]), folds=2).fit,
    ):
        assert_close(found.params.w.ravel(), numbers.params.w.ravel(), 1e-12)
    scans = [jl.scan_features(X, None, row) for row in (y, y.astype(float))]
    assert_close(scans[0].z, scans[1].z, 0.0)
    for of in (jl.metrics.roc_auc, jl.metrics.log_loss):
        assert_close(of(X[:1], y), of(X[:1], y.astype(float)), 0.0)

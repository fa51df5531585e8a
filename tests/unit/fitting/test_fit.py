"""A fit's fields, statuses and errors, and the programs that it compiles."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.experimental.sparse import BCOO

import jlogreg as jl
from jlogreg import (
    DtypeError,
    Fit,
    FitError,
    Newton,
    NewtonCG,
    Optax,
    Params,
    RankError,
    ShapeError,
    Status,
    fit,
    raise_if_failed,
)
from jlogreg.fitting import fit as module
from jlogreg.fitting.options import choose_solver
from jlogreg.formulations.problem import Solution
from tests.helpers import SHAPE, WIDE, compiled, cost_and_gradient, make_problem

PROBLEM = jax.tree.map(np.asarray, make_problem(SHAPE, np.float64, seed=3, l2=0.1))


def fit_of(problem, **options):
    return fit(problem.X, problem.y, **problem.options, **options)


@jax.jit
def traced_fit(problem, max_steps):
    return fit_of(problem, init=problem.params, max_steps=max_steps)


def some_fit(status, params=None):
    numbers = [np.float64(0)] * 3
    return Fit(params, np.asarray(status, np.int32), np.int32(4), *numbers)


def test_a_fit_that_converged_raises_nothing():
    raise_if_failed(some_fit(Status.CONVERGED))
    raise_if_failed(some_fit([[Status.CONVERGED] * 3] * 2))


@pytest.mark.parametrize("status", list(Status)[1:])
def test_a_fit_that_failed_raises_what_to_do(status):
    with pytest.raises(FitError) as one:
        raise_if_failed(some_fit(status))
    assert str(one.value) == f"{status.name}: {status.message}"
    lanes = [Status.CONVERGED, Status.CONVERGED, status, Status.MAX_STEPS]
    with pytest.raises(FitError) as many:
        raise_if_failed(some_fit(lanes))
    start = "2 of 4 fits have no answer; the first is number 2, "
    assert str(many.value) == f"{start}{status.name}: {status.message}"
    with pytest.raises(FitError, match=r"^1 of 4 fits .* the first is number 1, "):
        raise_if_failed(some_fit([[0, status], [0, 0]]))


def test_a_traced_status_cannot_raise():
    def checked(status):
        raise_if_failed(Fit(None, status, *[status] * 4))

    with pytest.raises(TypeError, match="call it outside jit"):
        jax.eval_shape(checked, jnp.int32(0))


def test_every_status_has_its_own_message_and_a_cure():
    cures = {
        "CONVERGED": "found",
        "MAX_STEPS": "max_steps",
        "SEPARATED": "penalty",
        "SINGULAR": "collinear",
        "DIVERGED": "penalty",
        "NONFINITE": "standardize",
        "BAD_INPUT": "validate",
    }
    assert [status.name for status in Status] == list(cures)
    assert [int(status) for status in Status] == list(range(7))
    assert len({status.message for status in Status}) == 7
    for status in Status:
        assert cures[status.name] in status.message


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", [None, Newton(), NewtonCG(), "optax", "span"])
def test_fields_have_their_shapes_and_dtypes(solver, dtype):
    solver = {"optax": Optax(optax.sgd(0.1)), "span": Newton()}.get(solver, solver)
    n, m = WIDE if solver == "span" else SHAPE
    X, y = jax.ShapeDtypeStruct((n, m), dtype), jax.ShapeDtypeStruct((1, m), dtype)

    def one(X, y):
        return fit(X, y, l2=0.1, solver=solver)

    found = jax.eval_shape(one, X, y)
    assert Fit._fields == (
        *("params", "status", "steps", "cost", "gradient_norm", "decrement"),
    )
    assert (found.params.w.shape, found.params.b.shape) == ((n, 1), (1, 1))
    assert {leaf.shape for leaf in found[1:]} == {()}
    assert found.status.dtype == found.steps.dtype == np.int32
    numbers = jax.tree.leaves(found._replace(status=None, steps=None))
    assert [leaf.dtype for leaf in numbers] == [dtype] * 5
    batch = (jax.ShapeDtypeStruct((4, *leaf.shape), dtype) for leaf in (X, y))
    many = jax.eval_shape(jax.vmap(one), *batch)
    shapes = [(4, *leaf.shape) for leaf in jax.tree.leaves(found)]
    assert [leaf.shape for leaf in jax.tree.leaves(many)] == shapes


@pytest.mark.parametrize("shape", [SHAPE, WIDE])
def test_the_numbers_of_a_fit_are_those_of_its_parameters(shape):
    problem = jax.tree.map(np.asarray, make_problem(shape, np.float64, seed=3, l2=0.1))
    found = traced_fit(problem, np.int32(2))  # not yet at the minimum
    assert (found.status, found.steps) == (Status.MAX_STEPS, 2)
    J, gradient = cost_and_gradient(found.params, problem)
    H = jl.hessian(found.params, problem.X, problem.y, **problem.options)
    g = np.vstack(gradient)
    np.testing.assert_allclose(found.cost, J, rtol=1e-14)
    np.testing.assert_allclose(found.gradient_norm, np.abs(g).max(), rtol=1e-9)
    decrement = np.sqrt(g.T @ np.linalg.solve(H, g))[0, 0]
    np.testing.assert_allclose(found.decrement, decrement, rtol=1e-9)
    assert decrement > 1e-6


NUMBER, COLUMN = np.zeros(()), np.zeros((513, 1))


@pytest.mark.parametrize(
    ("n", "m", "l2", "due"),
    [
        (512, 10**6, NUMBER, Newton()),
        (513, 10**6, NUMBER, NewtonCG()),
        (513, 100, NUMBER, Newton()),
        (513, 100, COLUMN, NewtonCG()),
        (512, 100, COLUMN, Newton()),
        (10**5, 2048, NUMBER, Newton()),
        (10**5, 2049, NUMBER, NewtonCG()),
    ],
)
def test_the_shapes_choose_the_solver(n, m, l2, due):
    X = jl.Dense(jax.ShapeDtypeStruct((n, m), np.float32))
    assert choose_solver(X, l2) == due


def test_sparse_features_have_no_span():
    X = jl.Sparse(BCOO((jnp.ones(1), jnp.zeros((1, 2), int)), shape=(513, 100)))
    assert choose_solver(X, NUMBER) == NewtonCG()


@pytest.mark.parametrize(
    ("solver", "due"),
    [(None, 100), (Newton(), 100), (NewtonCG(), 100), (Optax(optax.sgd(1.0)), 10_000)],
)
def test_steps_have_a_limit(solver, due):
    solution = Solution(*range(7))
    with mock.patch.object(module, "_solve", return_value=solution) as solve:
        fit_of(PROBLEM, solver=solver)
    *_, limits = solve.call_args.args
    assert limits.max_steps == due


W, B = np.zeros((3, 1)), np.zeros((1, 1))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"solver": "newton"}, DtypeError, r"solver must be Newton\(\), .* 'newton'"),
        ({"solver": Newton}, DtypeError, r"solver must be Newton\(\), .*class"),
        ({"solver": optax.sgd(0.1)}, DtypeError, r"or Optax\(\.\.\.\), but is Grad"),
        ({"init": Params(W[:, 0], B)}, RankError, "init.w has rank 1"),
        ({"init": Params(W[1:], B)}, ShapeError, r"init.w has rank 2, shape \(2, 1\)"),
        ({"init": Params(W, W)}, ShapeError, "init.b has rank 2"),
        ({"init": Params(np.float32(W), B)}, DtypeError, "init.w has dtype float32"),
        ({"init": W}, (DtypeError, TypeError), "init"),
        ({"init": Params(W + np.nan, B)}, ValueError, r"init.w\[0, 0\] = nan"),
        ({"init": Params(W, B + np.inf)}, ValueError, r"init.b\[0, 0\] = inf"),
        ({"tol": 0.0}, ValueError, r"tol must be in \(0, 0.1\], but is 0"),
        ({"tol": -1e-3}, ValueError, r"tol must be in \(0, 0.1\], but is -0.001"),
        ({"tol": np.nan}, ValueError, r"tol must be in \(0, 0.1\], but is nan"),
        ({"tol": 1.0}, ValueError, r"tol must be in \(0, 0.1\], but is 1"),
        ({"tol": np.ones(2)}, RankError, "tol has rank 1"),
        ({"tol": "small"}, DtypeError, "tol must be an array"),
        ({"max_steps": -1}, ValueError, "max_steps must be at least 0, but is -1"),
        (
            {"max_steps": 1.5},
            DtypeError,
            "max_steps must be a whole number, but is 1.5",
        ),
        ({"max_steps": True}, DtypeError, "max_steps must be a whole number"),
        ({"max_steps": 2**31}, ValueError, "max_steps must be below 2147483648"),
        ({"l2": -1.0}, ValueError, "l2 must be at least 0, but is -1"),
        ({"l2": np.ones(3)}, RankError, r"l2 has rank 1, .* a column"),
        ({"l2": np.ones((2, 1))}, ShapeError, "l2 has rank 2"),
        ({"y": PROBLEM.y + 1}, ValueError, r"y must be in \[0, 1\] everywhere"),
        ({"weight": -PROBLEM.weight}, ValueError, "weight must be at least 0"),
        ({"weight": 0 * PROBLEM.weight}, ValueError, "weight is 0 for every sample"),
        ({"offset": PROBLEM.offset[0]}, RankError, "offset has rank 1"),
    ],
)
def test_what_cannot_be_fitted_is_refused(options, error, words):
    options = {"X": PROBLEM.X, "y": PROBLEM.y, **options}
    with pytest.raises(error, match=words):
        fit(**options)


def test_what_is_no_transformation_is_refused():
    with pytest.raises(
        TypeError, match=r"Optax must hold .* optax[.]sgd\(0[.]1\), but"
    ):
        Optax(optax.sgd)


@pytest.mark.parametrize("most", [np.float64(9), np.ones(2, int)])
def test_a_traced_limit_of_another_kind_is_refused(most):
    with pytest.raises(DtypeError, match="max_steps must be a whole number"):
        jax.eval_shape(lambda most: fit_of(PROBLEM, max_steps=most), most)


def of_status(name):
    """Return a problem that ends so, and how many steps it is given."""
    X, y, no = PROBLEM.X, PROBLEM.y, np.zeros((1, SHAPE[1]))
    zero = jax.tree.map(np.zeros_like, PROBLEM.params)
    plain = PROBLEM._replace(params=zero, weight=no + 1, offset=no, l2=np.zeros(()))
    apart = np.sign(y - 0.5) + 0.1 * X[:1]
    one_label = np.where(np.arange(SHAPE[1]) == 0, 1.0, 0.0)[None]
    quasi = plain._replace(y=np.where(one_label == 1, 1.0, y))
    changes = {
        "CONVERGED": plain,
        "MAX_STEPS": plain,
        "SEPARATED": plain._replace(X=np.vstack([apart, X[1:]])),
        "SINGULAR": plain._replace(X=np.vstack([X[:2], -3 * X[1:2]])),
        "DIVERGED": quasi._replace(X=np.vstack([X[:2], one_label])),
        "NONFINITE": plain._replace(X=1e200 * X),
        "BAD_INPUT": plain._replace(y=y + np.nan),
    }
    return changes[name], 1 if name == "MAX_STEPS" else 100


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
    weight, solver = np.ones_like(y[0]), Optax(optax.sgd(0.5))
    options = {"solver": solver, "max_steps": 300}
    found = jax.jit(jax.vmap(lambda X, y: fit(X, y, weight=weight, **options)))(X, y)
    assert not (found.status == Status.CONVERGED).any()


@jax.numpy_dtype_promotion("standard")  # as a line search of optax needs
def test_a_descent_whose_steps_are_left_does_not_say_that_they_ran_out():
    X, y = np.eye(1, 6, 5), np.array([[1.0, 0, 1, 0, 1, 1]])
    found = fit(X, y, solver=Optax(optax.lbfgs()), max_steps=10**6)
    assert Status(int(found.status)) == Status.DIVERGED


spanned_fits = jax.jit(jax.vmap(lambda X, y, l2: fit(X, y, l2=l2), (0, None, None)))


@pytest.mark.parametrize("l2", [1e-6, 1e-7, 1e-8, 1e-9])
def test_a_penalty_that_is_lost_in_the_roundings_of_a_span_is_no_end(l2):
    random = np.random.default_rng(0)
    X = random.standard_normal((100, 60, 20)).astype(np.float32)
    y = (np.arange(20) % 2)[None].astype(np.float32)
    found = spanned_fits(X, y, np.float32(l2))
    assert (found.status == Status.CONVERGED).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", [Newton(), NewtonCG()], ids=["newton", "newton_cg"])
def test_an_offset_that_all_samples_share_moves_the_bias_alone(solver, dtype):
    """However far: at zero there is next to no curvature then."""
    X, y = (part.astype(dtype) for part in (PROBLEM.X, np.round(PROBLEM.y)))
    eps = float(np.finfo(dtype).eps)
    fitted = jax.jit(lambda offset: fit(X, y, offset=offset, l2=0.1, solver=solver))
    due = fitted(np.zeros_like(y))
    for by in (-60, 20, 40, 60):
        found = fitted(np.full_like(y, by))
        assert Status(int(found.status)) == Status.CONVERGED
        assert np.abs(found.params.w - due.params.w).max() <= 4 * eps**0.5
        assert abs(found.params.b + by - due.params.b) <= 4 * eps**0.5 + 4 * eps * 60


@pytest.mark.parametrize("status", Status, ids=lambda status: status.name)
def test_every_status_is_reached(status):
    problem, most = of_status(status.name)
    found = traced_fit(problem, np.int32(most))
    assert Status(int(found.status)) == status
    assert np.isnan(found.params.w).all() == (status == Status.BAD_INPUT)
    assert np.isnan(found.cost) == (status == Status.BAD_INPUT)
    assert found.steps <= most


@pytest.mark.parametrize("seed", range(20))
def test_a_feature_that_is_a_sum_of_others_is_singular(seed):
    random = np.random.default_rng(seed)
    problem, _ = of_status("CONVERGED")
    X = random.standard_normal(SHAPE)
    i, j, other = random.permutation(3)
    X[i] = X[j] - 0.3 * X[other]
    X *= 10.0 ** random.integers(-3, 4, (3, 1))  # units
    found = traced_fit(problem._replace(X=X), np.int32(100))
    assert Status(int(found.status)) == Status.SINGULAR


CHANGES = {
    "l2": {"l2": 0.2},
    "l2 of NumPy": {"l2": np.asarray(0.3)},
    "weight": {"weight": PROBLEM.weight + 1},
    "offset": {"offset": PROBLEM.offset + 1},
    "init": {"init": jax.tree.map(lambda leaf: leaf / 2, PROBLEM.params)},
    "tol": {"tol": 1e-5},
    "max_steps": {"max_steps": 7},
    "data": {"X": PROBLEM.X[::-1], "y": 1 - PROBLEM.y},
    "solver": {"solver": Newton()},
}


@pytest.mark.parametrize("change", CHANGES)
def test_new_numbers_do_not_compile_again(change, caplog):
    options = {**PROBLEM._asdict(), "tol": 1e-6, "max_steps": 9}
    options["init"] = options.pop("params")
    fit(**{**options, "l2": 0.1})
    fit(**{**options, "l2": np.asarray(0.1)})
    assert not compiled(caplog, lambda: fit(**{**options, **CHANGES[change]}))

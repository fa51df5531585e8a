"""Samples spread over devices: every function gives what it gives on one device."""

from contextlib import nullcontext
from functools import partial
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jlogreg as jl
from jlogreg import inference
from jlogreg.batch.chunks import BatchSolver
from jlogreg.data.devices.deal import deal_over
from jlogreg.data.devices.spread import gather, is_spread, spread_alike
from tests.helpers import assert_close, leaf_pairs, make_problem

M = 64
ONE = jax.device_get(make_problem((3, M), np.float64, "soft labels", seed=5))
LABELS = np.stack([ONE.y[0], 1 - ONE.y[0]])
WIDE = np.random.default_rng(5).standard_normal((2 * M, M))
PENALTIES = np.array([[1.0], [0.1]])
DESCENT = {"learning_rate": 0.1, "steps": 300}
MINIBATCH = {"optimizer": optax.sgd(0.1), "epochs": 3, "batch_size": 10}
MINIBATCH["key"] = jax.random.key(0)
SOLVERS = {
    "Newton": jl.Newton(),
    "NewtonCG": jl.NewtonCG(),
    "LBFGS": jl.LBFGS(),
    "Optax": jl.Optax(optax.sgd(1.0)),
}


def mesh_of_four():
    return jax.make_mesh((4,), ("samples",), axis_types=(AxisType.Explicit,))


def spread(array):
    spec = PartitionSpec(None, "samples")
    return jax.device_put(array, NamedSharding(mesh_of_four(), spec))


# With the samples (X, y) and the rows: weight and offset.
CASES = {
    "cost": lambda X, y, **rows: jl.cost(ONE.params, X, y, l2=0.1, **rows),
    "gradient": lambda X, y, **rows: jl.gradient(ONE.params, X, y, l2=0.1, **rows),
    "hessian": lambda X, y, **rows: jl.hessian(ONE.params, X, y, l2=0.1, **rows),
    "predict": lambda X, y, weight, offset: (
        jl.predict(ONE.params, X),
        jl.logits(ONE.params, X, offset=offset),
    ),
    "standardize": lambda X, y, weight, offset: jl.standardize(X, weight),
    "path": lambda X, y, **rows: jl.regularization_path(X, y, PENALTIES, **rows),
    "descent": lambda X, y, **rows: jl.gradient_descent(
        ONE.params, X, y, **DESCENT, **rows
    ),
    "minibatches": lambda X, y, **rows: jl.minibatch_descent(
        ONE.params, X, y, **MINIBATCH, **rows
    )[:2],
    "many": lambda X, y, **rows: jl.fit_many(X, LABELS, l2=0.1, **rows),
    "validation": lambda X, y, **rows: jl.cross_validate(X, y, PENALTIES, **rows)[1:7],
    "scan": lambda X, y, **rows: jl.scan_features(X[2:], X[:2], y, **rows),
    "influence": lambda X, y, **rows: (
        jl.influence(jl.fit(X, y, l2=0.1, **rows), X, y, l2=0.1, **rows),
        jl.leave_one_out(jl.fit(X, y, l2=0.1, **rows), X, y, l2=0.1, **rows),
    ),
}


@jax.jit
@partial(jax.value_and_grad, argnums=(0, 1, 2, 3, 4))
def of_a_fit(X, y, weight, offset, l2):
    """Return a number that depends on a fit, and its gradients in everything."""
    options = {"weight": weight, "offset": offset, "l2": l2}
    found = jl.fit(X, y, **options)
    return jnp.sum(found.params.w) + jl.cost(found.params, X, y, **options)


@jax.jit
@jax.value_and_grad
def of_parameters(params, X, y, weight, offset):
    return jl.cost(params, X, y, weight=weight, offset=offset)


def fitted(solver):
    return lambda X, y, **rows: jl.fit(X, y, l2=0.1, solver=solver, **rows)[:2]


for solver_name, solver in SOLVERS.items():
    CASES[f"fit by {solver_name}"] = fitted(solver)
CASES["derivatives of a fit"] = lambda X, y, weight, offset: of_a_fit(
    X, y, weight, offset, 0.1
)
CASES["derivatives of the cost"] = partial(of_parameters, ONE.params)
CASES["summary"] = lambda X, y, **rows: jl.summary(
    jl.fit(X, y, **rows), X, y, **rows
).columns["std_error"]
CASES["certificate"] = lambda X, y, **rows: (
    jl.certificate(jl.fit(X, y, l2=0.1, **rows), X, y, l2=0.1, **rows).cost
)
CASES["calibration line"] = lambda X, y, weight, offset: inference.calibration_line(
    jl.logits(ONE.params, X), y, weight=weight
)
CASES["AUC"] = lambda X, y, weight, offset: jl.metrics.roc_auc(
    jl.logits(ONE.params, X), y, weight=weight
)
CASES["grid"] = lambda X, y, weight, offset: jl.penalty_grid(X, y, weight=weight)
CASES["fit with l1"] = lambda X, y, **rows: jl.fit(X, y, l1=0.02, **rows)[:2]
CASES["path with l1"] = lambda X, y, **rows: jl.regularization_path(
    X, y, l1=PENALTIES / 20, **rows
)[:2]
CASES["many with l1"] = lambda X, y, **rows: jl.fit_many(X, LABELS, l1=0.02, **rows)[:2]


def many_features(X):
    """Return features of which each problem has a working set."""
    return jnp.sin(np.arange(1.0, 601.0)[:, None] * X[:1])


# What is computed for many problems, of labels Y (4, m).
MANY = {
    "fit_many": lambda X, Y: jl.fit_many(X, Y, l2=0.1),
    "cross_validate": lambda X, Y: jl.cross_validate(X, Y, PENALTIES)[1:7],
    "fit_many with l1": lambda X, Y: jl.fit_many(
        many_features(X)[:150], Y, l1=0.05, l2=0.01
    )[:2],
    "cross_validate with l1": lambda X, Y: jl.cross_validate(X, Y, l1=PENALTIES / 20)[
        1:7
    ],
    "penalty_grid": jl.penalty_grid,
    "scan_features": lambda X, Y: jl.scan_features(Y, None, np.float64(ONE.y > 0.5)),
}


def assert_same(result, expected):
    for leaf, other in leaf_pairs(result, expected):
        size = max(1, np.nanmax(np.abs(np.asarray(other, float)), initial=1))
        assert_close(leaf, other, 1e-10 * size)


@pytest.mark.parametrize("name", CASES)
def test_every_function_on_four_devices(name):
    """With the rows on the devices, on the host, and on one device.

    Then on a mesh of two axes that is set: with the samples along one of them, and
    whole on all devices.
    """
    function, rows = CASES[name], {"weight": ONE.weight, "offset": ONE.offset}
    expected = jax.device_get(function(ONE.X, ONE.y, **rows))
    X, y = spread(ONE.X), spread(ONE.y)
    for put in (spread, np.asarray, jnp.asarray):
        assert_same(function(X, y, **jax.tree.map(put, rows)), expected)
    assert_same(function(X, ONE.y, **rows), expected)
    mesh = jl.mesh(problems=2, samples=2)
    whole = partial(jax.device_put, device=NamedSharding(mesh, PartitionSpec()))
    X, y, weight, offset = jl.put(mesh, ONE.X, ONE.y, **rows)
    with jax.set_mesh(mesh):
        assert_same(function(X, y, weight=weight, offset=offset), expected)
        # Nor is anything else than the samples spread.
        X, y, rows = jax.tree.map(whole, (ONE.X, ONE.y, rows))
        assert_same(function(X, y, **rows), expected)


@pytest.mark.parametrize("name", MANY)
@pytest.mark.parametrize("axis", [None, "samples"], ids=["", "and samples"])
def test_many_problems_spread_over_a_mesh(name, axis):
    Y = np.stack([np.roll(ONE.y[0], i + 1) for i in range(4)])
    mesh = jl.mesh(problems=2, samples=2)
    spread = NamedSharding(mesh, PartitionSpec("problems", axis))
    expected = jax.device_get(MANY[name](ONE.X, Y))
    assert_same(MANY[name](ONE.X, jax.device_put(Y, spread)), expected)


def test_problems_are_dealt_to_all_devices():
    X, y, _, _ = jl.put(jl.mesh(samples=4), ONE.X, ONE.y)
    deal = deal_over((X, y))
    assert deal.devices == tuple(jax.devices()[:4])
    assert (deal.first, deal.total) == (0, 4)
    assert deal.own(10) == slice(0, 10)
    assert deal_over((jnp.asarray(ONE.X), ONE.y)).devices == (None,)
    # Of two processes with two devices each, the second.
    own = [deal._replace(devices=deal.devices[:2], first=2).own(k) for k in (10, 1, 0)]
    assert own == [slice(5, 10), slice(0, 1), slice(0, 0)]
    # Each device has a chunk of the problems.
    used, init = [], BatchSolver.init

    def recorded(solver, numbers):
        used.append(*jax.tree.leaves(solver.X)[0].devices())
        return init(solver, numbers)

    with mock.patch.object(BatchSolver, "init", recorded):
        jl.fit_many(X, np.tile(ONE.y, (9, 1)), l2=0.1)
    assert used == list(deal.devices[:3])  # three of them have room for all nine


@pytest.mark.parametrize("set_mesh", [False, True], ids=["", "with set_mesh"])
def test_a_fit_of_more_features_than_samples(set_mesh):
    """Without the Gram matrix of the samples, which no device could hold a part of."""
    expected = jl.fit(WIDE, ONE.y, l2=0.1).params
    start = jl.init_params(len(WIDE), np.float64)
    descent = jl.gradient_descent(start, WIDE, ONE.y, l2=0.1, **DESCENT)
    sparse = jl.fit(many_features(ONE.X), ONE.y, l1=0.05, l2=0.01)[:2]
    with jax.set_mesh(mesh_of_four()) if set_mesh else nullcontext():
        wide = many_features(spread(ONE.X))
        assert_same(jl.fit(wide, ONE.y, l1=0.05, l2=0.01)[:2], sparse)
        assert_same(jl.fit(spread(WIDE), ONE.y, l2=0.1).params, expected)
        result = jl.gradient_descent(start, spread(WIDE), ONE.y, l2=0.1, **DESCENT)
        assert_same(result, descent)


def test_a_fit_under_vmap_and_a_derivative_in_eager_mode():
    """Which JAX allows in the context of the mesh alone."""

    def weights(X):
        return jax.vmap(lambda l2: jl.fit(X, ONE.y, l2=l2).params)(PENALTIES[:, 0])

    def slope(X):
        return jax.grad(lambda params: jl.cost(params, X, ONE.y, l2=0.1))(ONE.params)

    expected = weights(ONE.X), slope(ONE.X)
    with jax.set_mesh(mesh_of_four()):
        assert_same((weights(spread(ONE.X)), slope(spread(ONE.X))), expected)


def test_a_summary_is_the_same():
    expected = str(jl.summary(jl.fit(ONE.X, ONE.y), ONE.X, ONE.y))
    X = spread(ONE.X)
    assert str(jl.summary(jl.fit(X, ONE.y), X, ONE.y)) == expected


def test_features_follow_the_rows_as_well():
    X = jl.Stacked(jnp.asarray(ONE.X), jnp.asarray(ONE.X[:1] ** 2))
    expected = jl.cost(jl.init_params(4, np.float64), X, ONE.y)
    assert_close(
        jl.cost(jl.init_params(4, np.float64), X, spread(ONE.y)), expected, 1e-15
    )


def test_an_invalid_row_is_an_error_wherever_it_is():
    y = ONE.y.copy()
    y[0, 3] = 2
    for labels in (y, spread(y)):
        with pytest.raises(ValueError, match=r"first is y\[0, 3\]"):
            jl.fit(spread(ONE.X), labels)


def test_an_invalid_entry_of_many_samples_is_named():
    m = 100_000  # more than are looked at on the host
    y = np.zeros((1, m))
    y[0, 7] = 3
    X, y, _, _ = jl.put(jl.mesh(), np.zeros((1, m)), y)
    with pytest.raises(ValueError, match=r"1 of 100000 .* first is y\[0, 7\] = 3"):
        jl.fit(X, y)


def test_features_are_not_spread():
    X = jax.device_put(
        np.ones((4, M)), NamedSharding(mesh_of_four(), PartitionSpec("samples", None))
    )
    for function in (jl.fit, jl.l1_max, partial(jl.cost, jl.init_params(4))):
        with pytest.raises(ValueError, match=r"\(4, 64\) is spread .* along its rows"):
            function(X, ONE.y)


def test_a_mesh_has_two_explicit_axes():
    mesh = jl.mesh(problems=2)
    assert dict(mesh.shape) == {"problems": 2, "samples": len(jax.devices()) // 2}
    assert {*mesh.axis_types} == {AxisType.Explicit}
    with pytest.raises(ValueError, match="takes 15 devices, but there are 4"):
        jl.mesh(problems=3, samples=5)
    with pytest.raises(ValueError, match="problems must be at least 1"):
        jl.mesh(problems=0)


@pytest.mark.parametrize("m", [1, 7, 64])
def test_put_fills_up_with_samples_of_weight_0(m):
    X, y = ONE.X[:, :m], ONE.y[:, :m]
    found = jl.put(jl.mesh(samples=4), X, y, None, y - 1)
    assert found[0].shape == (3, -(-m // 4) * 4)
    assert (found[2] is None) == (m == 64)
    for placed, row in zip((found[0], found[1], found[3]), (X, y, y - 1), strict=True):
        assert is_spread(placed)
        np.testing.assert_array_equal(np.asarray(placed)[:, :m], row)
    if found[2] is not None:
        assert np.asarray(found[2]).sum() == m
    weight = jl.put(jl.mesh(samples=4), X, y, np.full((1, m), 2.0))[2]
    assert np.asarray(weight).sum() == 2 * m


def test_put_asks_for_a_mesh_of_samples():
    for wrong in (jax.make_mesh((4,), ("models",)), jax.devices(), None):
        with pytest.raises(ValueError, match='mesh must have an axis "samples"'):
            jl.put(wrong, ONE.X, ONE.y)


def test_alike_and_gathered():
    X, row = spread(ONE.X), jnp.asarray(ONE.y)
    alike = spread_alike((X, row, jnp.zeros((3, 1))), M)
    assert [is_spread(leaf) for leaf in alike] == [True, True, False]
    assert not is_spread(gather(alike))
    assert spread_alike(row, M) is row

    @jax.jit
    def sum_of(X):
        assert not is_spread(gather(X))
        return gather(X).sum()

    assert_close(sum_of(X), ONE.X.sum(), 1e-12)


def test_automatic_axes_become_explicit_and_nothing_moves():
    mesh = jax.sharding.Mesh(jax.devices()[:4], ("samples",))
    put = jax.device_put(ONE.X, NamedSharding(mesh, PartitionSpec(None, "samples")))
    assert not is_spread(put)
    X, y = spread_alike((put, jnp.asarray(ONE.y)), M)
    assert is_spread(X)
    assert is_spread(y)
    for old, new in zip(put.addressable_shards, X.addressable_shards, strict=True):
        assert old.device == new.device
        assert old.data.unsafe_buffer_pointer() == new.data.unsafe_buffer_pointer()
    found, expected = jl.cost(ONE.params, put, ONE.y), jl.cost(ONE.params, ONE.X, ONE.y)
    assert_close(found, expected, 1e-14)


def test_rows_come_to_features_that_are_read():
    found = jl.cost(ONE.params, jl.Streamed(ONE.X), spread(ONE.y))
    assert_close(found, jl.cost(ONE.params, ONE.X, ONE.y), 1e-14)

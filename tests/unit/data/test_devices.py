"""Samples spread over devices: every function gives what it gives on one device."""

from contextlib import nullcontext

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jlogreg as jl
from jlogreg.data.devices import gather, is_spread, spread_alike
from tests.helpers import assert_close, leaf_pairs, make_problem

M = 64
ONE = jax.device_get(make_problem((3, M), np.float64, "soft labels", seed=5))
LABELS = np.stack([ONE.y[0], 1 - ONE.y[0]])
WIDE = np.random.default_rng(5).standard_normal((2 * M, M))
PENALTIES = np.array([[1.0], [0.1]])
DESCENT = {"learning_rate": 0.1, "steps": 300}
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
    "many": lambda X, y, **rows: jl.fit_many(X, LABELS, l2=0.1, **rows),
    "validation": lambda X, y, **rows: jl.cross_validate(X, y, PENALTIES, **rows)[1:7],
    "scan": lambda X, y, **rows: jl.scan_features(X[2:], X[:2], y, **rows),
    "influence": lambda X, y, **rows: (
        jl.influence(jl.fit(X, y, l2=0.1, **rows), X, y, l2=0.1, **rows),
        jl.leave_one_out(jl.fit(X, y, l2=0.1, **rows), X, y, l2=0.1, **rows),
    ),
}


def derivatives(solver):
    """Return the gradients of the cost of a fit, in everything."""

    def cost_of(X, y, weight, offset, l2):
        options = {"weight": weight, "offset": offset, "l2": l2}
        found = jl.fit(X, y, solver=solver, **options)
        return jnp.sum(found.params.w) + jl.cost(found.params, X, y, **options)

    return jax.jit(jax.value_and_grad(cost_of, argnums=(0, 1, 2, 3, 4)))


def fitted(solver):
    return lambda X, y, **rows: jl.fit(X, y, l2=0.1, solver=solver, **rows)[:2]


def of_parameters(X, y, weight, offset):
    def cost_of(params, X, y, weight, offset):
        return jl.cost(params, X, y, weight=weight, offset=offset)

    return jax.jit(jax.value_and_grad(cost_of))(ONE.params, X, y, weight, offset)


for solver_name, solver in SOLVERS.items():
    CASES[f"fit by {solver_name}"] = fitted(solver)
CASES["derivatives of a fit"] = lambda X, y, weight, offset: derivatives(None)(
    X, y, weight, offset, 0.1
)
CASES["derivatives of the cost"] = of_parameters


def assert_same(result, expected):
    for leaf, other in leaf_pairs(result, expected):
        size = max(1, np.nanmax(np.abs(np.asarray(other, float)), initial=1))
        assert_close(leaf, other, 1e-10 * size)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("set_mesh", [False, True], ids=["", "with set_mesh"])
def test_every_function_on_four_devices(name, set_mesh):
    """With the rows on the devices, on the host, and on one device."""
    function, rows = CASES[name], {"weight": ONE.weight, "offset": ONE.offset}
    expected = jax.device_get(function(ONE.X, ONE.y, **rows))
    with jax.set_mesh(mesh_of_four()) if set_mesh else nullcontext():
        X, y = spread(ONE.X), spread(ONE.y)
        for put in (spread, np.asarray, jnp.asarray):
            assert_same(function(X, y, **jax.tree.map(put, rows)), expected)
        assert_same(function(X, ONE.y, **rows), expected)


@pytest.mark.parametrize("set_mesh", [False, True], ids=["", "with set_mesh"])
def test_a_fit_of_more_features_than_samples(set_mesh):
    """Without the Gram matrix of the samples, which no device could hold a part of."""
    expected = jl.fit(WIDE, ONE.y, l2=0.1).params
    start = jl.init_params(len(WIDE), np.float64)
    descent = jl.gradient_descent(start, WIDE, ONE.y, l2=0.1, **DESCENT)
    with jax.set_mesh(mesh_of_four()) if set_mesh else nullcontext():
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

"""Samples in blocks and spread over devices: the sums are those of all at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jlogreg as jl
from jlogreg import inference
from tests.helpers import (
    assert_close,
    cost_and_derivatives,
    in_blocks,
    leaf_pairs,
    make_problem,
)

M = 9000  # several blocks and a rest on each of four devices


def spread_problem(axis_type=AxisType.Explicit):
    """Return a problem, its arrays spread over four devices, and their mesh."""
    problem = make_problem((3, M), np.float64, "soft labels", seed=5, l2=0.1)
    mesh = jax.make_mesh((4,), ("samples",), axis_types=(axis_type,))
    spread = NamedSharding(mesh, PartitionSpec(None, "samples"))
    rows = {
        name: jax.device_put(getattr(problem, name), spread)
        for name in ("X", "y", "weight", "offset")
    }
    return problem, problem._replace(**rows), mesh


@jax.jit
def measured(problem):
    """Return the cost and its derivatives, those in X by forward and reverse mode."""

    def cost_of(X):
        return jl.cost(problem.params, X, problem.y, **problem.options)

    return (
        cost_and_derivatives(problem),
        jl.hessian_vector(problem.params, *problem.arguments, **problem.options),
        jax.jvp(cost_of, (problem.X,), (problem.X,))[1],
        jax.grad(cost_of)(problem.X),
    )


@pytest.mark.parametrize("where", ["explicit axis", "automatic axis", "one device"])
def test_cost_and_derivatives(where):
    axis_type = AxisType.Auto if where == "automatic axis" else AxisType.Explicit
    one, many, _ = spread_problem(axis_type)
    expected = measured(one)
    with in_blocks():
        result = measured(one if where == "one device" else many)
    for leaf, other in leaf_pairs(result, expected):
        assert_close(leaf, other, 1e-14 * M * max(1, np.abs(other).max()))


@pytest.mark.parametrize("solver", [None, jl.NewtonCG()], ids=["Newton", "NewtonCG"])
def test_fit(solver):
    one, many, _ = spread_problem()
    expected = jl.fit(one.X, one.y, solver=solver, **one.options)
    with in_blocks():
        result = jl.fit(many.X, many.y, solver=solver, **many.options)
    assert result.status == expected.status == 0
    assert_close(result.params.w, expected.params.w, 1e-12)
    assert result.params.w.sharding.is_fully_replicated


@pytest.mark.parametrize("kind", [AxisType.Explicit, AxisType.Auto])
def test_samples_along_two_axes_of_a_mesh(kind):
    one = make_problem((3, M), np.float64, "soft labels", seed=5, l2=0.1)
    mesh = jax.make_mesh((2, 2), ("a", "b"), axis_types=(kind,) * 2)
    spread = NamedSharding(mesh, PartitionSpec(None, ("a", "b")))
    X, y = jax.device_put((one.X, one.y), spread)
    expected = jl.fit(one.X, one.y, **one.options)
    with in_blocks():
        result = jl.fit(X, y, **one.options)  # the weights follow
        cost = jl.cost(result.params, X, y, **one.options)
    assert result.status == expected.status == 0
    assert_close(result.params.w, expected.params.w, 1e-12)
    assert_close(cost, jl.cost(expected.params, one.X, one.y, **one.options), 1e-12)


def test_designs_and_derivatives():
    one, many, mesh = spread_problem()

    def cost_of(X, y, l2):
        design = jl.Standardized(X, jnp.ones((3, 1)), jnp.full((3, 1), 2.0))
        return jl.fit(design, y, l2=l2).cost

    slope = jax.jit(jax.grad(cost_of, argnums=2))
    expected = slope(one.X, one.y, 0.1)
    with jax.set_mesh(mesh), in_blocks():
        result = slope(many.X, many.y, 0.1)
    assert_close(result, expected, 1e-12)


def test_what_is_added_or_predicted_may_be_spread():
    """The fit of the bias alone, and its samples, on four devices and on one."""
    one, many, _ = spread_problem()
    found = jl.fit(one.X[:0], one.y)
    results = [
        (
            inference.score_test(found, one.X[:0], one.y, problem.X).statistic,
            inference.predict_interval(
                found, one.X[:0], one.y, one.X[:0], sample_offset=problem.offset
            ).low,
        )
        for problem in (one, many)
    ]
    for own, expected in leaf_pairs(*results[::-1]):
        assert_close(own, expected, 1e-12 * np.abs(expected).max())

"""Samples spread over devices: each sums its own, and the sums are the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jlogreg import NewtonCG, Standardized, fit, hessian, value_and_gradient
from tests.helpers import assert_close, make_problem

M = 9000  # several blocks and a rest on each of four devices


@pytest.fixture(scope="module")
def data():
    """Return a problem, its arrays spread over four devices, and their mesh."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "jlogreg.data.reduction.BLOCK_ENTRIES", 1
        )  # blocks of 1024 samples
        yield problem_spread()


def problem_spread():
    problem = make_problem((3, M), np.float64, "soft labels", seed=5, l2=0.1)
    mesh = jax.make_mesh((4,), ("samples",), axis_types=(AxisType.Explicit,))
    spread = NamedSharding(mesh, PartitionSpec(None, "samples"))
    rows = (problem.X, problem.y, problem.weight, problem.offset)
    X, y, weight, offset = (jax.device_put(row, spread) for row in rows)
    return problem, problem._replace(X=X, y=y, weight=weight, offset=offset), mesh


def test_cost_gradient_and_hessian(data):
    one, many, _ = data
    for function in (value_and_gradient, hessian):
        compiled = jax.jit(function)
        found = compiled(*many.arguments, **many.options)
        due = compiled(*one.arguments, **one.options)
        for leaf, other in zip(
            jax.tree.leaves(found), jax.tree.leaves(due), strict=True
        ):
            assert_close(leaf, other, 1e-14 * M * max(1, np.abs(other).max()))


@pytest.mark.parametrize("solver", [None, NewtonCG()], ids=["Newton", "NewtonCG"])
def test_fit(data, solver):
    one, many, _ = data
    found = fit(many.X, many.y, solver=solver, **many.options)
    due = fit(one.X, one.y, solver=solver, **one.options)
    assert found.status == due.status == 0
    assert_close(found.params.w, due.params.w, 1e-12)
    assert found.params.w.sharding.is_fully_replicated


def test_designs_and_derivatives(data):
    one, many, mesh = data

    def cost_of(X, y, l2):
        design = Standardized(X, jnp.ones((3, 1)), jnp.full((3, 1), 2.0))
        return fit(design, y, l2=l2).cost

    slope = jax.jit(jax.grad(cost_of, argnums=2))
    with jax.set_mesh(mesh):
        found = slope(many.X, many.y, 0.1)
    due = slope(one.X, one.y, 0.1)
    assert_close(found, due, 1e-12)

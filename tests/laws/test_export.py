"""Every public function lowers for every platform, without the hardware.

As a module that is stored and called elsewhere: no function may need a custom call
whose meaning is not guaranteed, a callback to the host, or what one platform lacks.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import jlogreg as jl
from tests.helpers import make_problem
from tests.laws.conftest import assert_dtype, assert_trees_close

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def lowered(function, *arguments):
    """Return the function as a module for all platforms."""
    module = export.export(jax.jit(function), platforms=PLATFORMS)(*arguments)
    assert module.platforms == PLATFORMS
    return module


def slope_of(function):
    """Return the gradient of the sum of the entries of the result."""

    def total(arrays):
        return sum((jnp.sum(leaf) for leaf in jax.tree.leaves(function(arrays))), 0.0)

    return jax.grad(total)


def test_every_function_lowers_for_every_platform(traced):
    """And the module, called on the platform that is here, gives the same numbers."""
    module = lowered(traced.function, traced.arrays)
    assert_trees_close(module.call(traced.arrays), traced.compiled(traced.arrays))
    single = lowered(traced.function, traced.single)
    assert_dtype(single.out_avals, np.float32)
    slope = lowered(slope_of(traced.function), traced.single)
    assert_dtype(slope.out_avals, np.float32)


# In the features with LAPACK, without a Hessian, and in the span of the samples.
WAYS = {
    "newton": (jl.Newton(), (12, 20)),
    "newton_cg": (jl.NewtonCG(), (12, 20)),
    "span": (jl.Newton(), (12, 9)),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_solver_lowers_for_every_platform(way):
    solver, shape = WAYS[way]
    problem = make_problem(shape, np.float32)

    def params(l2):
        return jl.fit(problem.X, problem.y, l2=l2, solver=solver).params

    many = lowered(jax.vmap(slope_of(params)), np.full(2, problem.l2))
    assert_dtype(many.out_avals, np.float32)


@pytest.mark.parametrize("function", [jl.fold_weights, jl.bootstrap_weights])
def test_rows_of_weights_lower_for_every_platform(function):
    module = lowered(lambda key: function(key, 7, 3), jax.random.key(0))
    assert module.out_avals[0].shape == (3, 7)


def test_what_one_platform_lacks_and_a_callback_are_noticed():
    with pytest.raises(NotImplementedError, match="tpu"):
        lowered(jnp.linalg.eigvals, jnp.eye(2))
    with pytest.raises(NotImplementedError, match="callback"):
        lowered(lambda x: jax.pure_callback(np.sin, x, x), jnp.ones(()))

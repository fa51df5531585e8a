"""Every public function with the results of its transformations, compiled once."""

from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import assert_close, leaf_pairs
from tests.table import cases

DTYPES = [np.float32, np.float64]
SHAPE = (2, 4)  # a sample a device
TABLE = {dtype: cases(dtype, SHAPE) for dtype in DTYPES}
TRACED = sorted(name for name, case in TABLE[np.float64].items() if case.traced)
# A step h errs by h^2 times the third derivative, and by eps / h: 1e-5 for both.
STEP = 1e-5


def assert_trees_close(result, expected):
    assert jax.tree.structure(result) == jax.tree.structure(expected)
    for leaf, other in leaf_pairs(result, expected):
        assert leaf.dtype == other.dtype
        size = np.abs(np.asarray(other, float)).max()
        assert_close(leaf, other, 64 * np.finfo(leaf.dtype).eps * size)


def assert_dtype(tree, dtype):
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(tree))


class Traced:
    """A function and the results of its transformations, each compiled once."""

    def __init__(self, name):
        self.single, _ = TABLE[np.float32][name].traceable()
        self.arrays, self.function = TABLE[np.float64][name].traceable()
        self.compiled = jax.jit(self.function)
        random = np.random.default_rng(3)
        # Penalties and rates change within their ranges, labels and weights too.
        self.direction = jax.tree.map(
            lambda leaf: random.uniform(-1, 1, leaf.shape), self.arrays
        )

    def total(self, arrays):
        """Return a number that depends on every entry of the result, and bends."""
        return self.total_and_result(arrays)[0]

    def total_and_result(self, arrays):
        result = self.function(arrays)
        leaves = jax.tree.leaves(result)
        return sum((jnp.sum(jnp.cos(leaf)) for leaf in leaves), 0.0), result

    def along(self, arrays):
        return jax.jvp(self.total, (arrays,), (self.direction,))[1]

    @cached_property
    def points(self):
        """Return four problems: the function's own, its half, and two close by."""
        moves = ((1.0, 0.0), (0.5, 0.0), (1.0, STEP), (1.0, -STEP))
        return [
            jax.tree.map(
                lambda a, d, s=scale, h=h: np.asarray(s * a + h * d),
                self.arrays,
                self.direction,
            )
            for scale, h in moves
        ]

    @cached_property
    def mapped(self):
        """Return what vmap makes of them: totals, results and slopes."""
        one = jax.value_and_grad(self.total_and_result, has_aux=True)
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *self.points)
        return jax.device_get(jax.jit(jax.vmap(one))(stacked))

    @cached_property
    def second(self):
        """Return the jvp of grad, and of jvp; compiled apart, which is faster."""
        functions = jax.grad(self.total), self.along
        return jax.device_get([self.derivative(function) for function in functions])

    def derivative(self, function):
        """Return the function and its derivative along the direction."""
        compiled = jax.jit(lambda a, d: jax.jvp(function, (a,), (d,)))
        return compiled(self.arrays, self.direction)


@pytest.fixture(scope="package", params=TRACED)
def traced(request):
    return Traced(request.param)

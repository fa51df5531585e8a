"""Every public function under every transformation, in both precisions.

Under jit, vmap, jvp, grad, vmap of grad, jvp of jvp, jvp of grad and grad of jvp; with
its samples spread over devices; and with other numbers, which compile nothing.

jit is not bit-equal to eager mode (XLA contracts a * b + c), nor is vmap to calls of
each problem alone, so results are compared to a tolerance: 64 roundings of the largest
entry, enough for sums over four samples, and twice as much as any was seen to need.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from jlogreg.testing import check_no_retrace
from tests.helpers import EPS, assert_close, entry, leaf_pairs
from tests.laws.conftest import (
    DTYPES,
    SHAPE,
    STEP,
    TABLE,
    assert_dtype,
    assert_trees_close,
)
from tests.table import cases, host_cases


def sizes(tree):
    """Return the sum of the entries' sizes."""
    return sum(np.abs(leaf).sum() for leaf in jax.tree.leaves(tree))


def inner(tree, other):
    """Return the sum of the products of two trees' entries."""
    return sum(np.vdot(leaf, along) for leaf, along in leaf_pairs(tree, other))


def test_jit_equals_eager_and_keeps_the_dtype(traced):
    expected = traced.function(traced.arrays)
    assert_trees_close(traced.compiled(traced.arrays), expected)
    assert_dtype(expected, np.float64)


def test_vmap_equals_a_loop_over_problems(traced):
    (_, many), _ = traced.mapped
    for k, point in enumerate(traced.points):
        expected = jax.tree.map(np.asarray, traced.compiled(point))
        assert_trees_close(entry(many, k), expected)


def test_forward_and_reverse_differentiation_agree_with_a_difference(traced):
    """The derivative along a direction, by jvp, by grad and by a central difference."""
    (totals, _), slopes = traced.mapped
    (slope, _), (forward, _) = traced.second
    size = 1 + sizes(slope)
    # Reverse mode sums in another order: a few roundings of the parts.
    assert_close(inner(slope, traced.direction), forward, 1e3 * EPS * size)
    assert_close((totals[2] - totals[3]) / (2 * STEP), forward, 1e-8 * size)
    for leaves, leaf in leaf_pairs(slopes, slope):
        assert_close(leaves[0], leaf, 1e3 * EPS * size)


def test_derivatives_of_derivatives_agree_with_a_difference(traced):
    """The jvp of a gradient is its difference; along it is the jvp of a jvp."""
    _, slopes = traced.mapped
    (slope, result), (_, twice) = traced.second
    size = 1 + sizes(slope) + sizes(result)
    assert_close(inner(result, traced.direction), twice, 1e4 * EPS * size)
    for leaves, leaf in leaf_pairs(slopes, result):
        assert_close((leaves[2] - leaves[3]) / (2 * STEP), leaf, 1e-8 * size)


def test_float32_on_four_devices_is_near_to_float64_on_one(traced):
    """When each device holds a quarter of the samples, and all the rest."""
    mesh = jax.make_mesh((4,), ("samples",), axis_types=(jax.sharding.AxisType.Auto,))

    def put(leaf):
        rows = leaf.ndim == 2 and leaf.shape[1] == SHAPE[1]
        spec = jax.P(None, "samples") if rows else jax.P()
        return jax.device_put(leaf, jax.NamedSharding(mesh, spec))

    result = jax.jit(traced.function)(jax.tree.map(put, traced.single))
    assert_dtype(result, np.float32)
    same = jax.tree.map(lambda leaf: np.asarray(leaf, float), traced.single)
    expected = traced.compiled(same)
    for leaf, other in leaf_pairs(result, expected):
        assert len(leaf.sharding.device_set) == 4
        within = 64 * np.finfo(np.float32).eps * np.abs(other).max()
        assert_close(leaf, other, within)


def test_new_numbers_do_not_compile_again(traced):
    check_no_retrace(traced.compiled, *[(point,) for point in traced.points])


def test_cross_validation_keeps_float32_and_compiles_once():
    case = host_cases(np.float32)["cross_validate"]
    other = jax.tree.map(lambda leaf: leaf / 2, case.arguments)
    leaves = jax.tree.leaves(case.call())
    floats = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]
    assert_dtype(floats, np.float32)
    assert len(floats) > 3
    check_no_retrace(case.function, case.arguments, other)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", [jl.fold_weights, jl.bootstrap_weights])
def test_rows_of_weights_are_the_same_in_every_mode(function, dtype):
    def rows(key):
        return function(key, 7, 3, dtype=dtype)

    keys = jax.random.split(jax.random.key(0), 3)
    result = jax.jit(jax.vmap(rows))(keys)
    assert (result.shape, result.dtype) == ((3, 3, 7), dtype)
    for k, key in enumerate(keys):
        np.testing.assert_array_equal(result[k], rows(key))
    assert len({leaf.tobytes() for leaf in np.asarray(result)}) == 3  # keys differ


PRODUCTS = ["logits", "value_and_gradient", "hessian", "hessian_vector"]


@pytest.mark.parametrize("name", [*PRODUCTS, "gradient_descent"])
def test_every_product_is_taken_at_the_highest_precision(name):
    """Or a GPU would round the factors to 10 bits, and no descent would settle."""
    arrays, function = TABLE[np.float32][name].traceable()
    if name == "gradient_descent":  # enough steps to descend in the span
        arrays, _ = cases(np.float32, (5, 3))[name].traceable()
        function = partial(gradient_descent_of, steps=900)
    text = str(jax.make_jaxpr(function)(arrays))
    products = text.count("dot_general[")
    assert products >= 1
    assert text.count("precision=(Precision.HIGHEST, Precision.HIGHEST)") == products


def gradient_descent_of(arrays, steps):
    return jl.gradient_descent(**arrays, steps=steps)


def test_reverse_differentiation_keeps_no_second_copy_of_the_data(monkeypatch):
    monkeypatch.setattr("jlogreg.data.reduction.BLOCK_ENTRIES", 1)
    case = cases(shape=(3, 4096))["cost"]
    arrays, function = case.traceable()
    _, pullback = jax.vjp(lambda p: function({**arrays, "params": p}), arrays["params"])
    large = {leaf.shape for leaf in jax.tree.leaves(pullback) if leaf.size >= 3 * 4096}
    assert large == {(3, 4096)}  # X as it is, and not its slices one after another

"""Every public function under jit, vmap and grad, in both precisions.

jit is not bit-equal to eager mode (XLA contracts a * b + c), nor is a lane of vmap to a
call of its own, so results are compared to a tolerance: 64 roundings of the largest
entry, enough for sums over five samples, and twice as much as any was seen to need.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg
from tests.problems import assert_close
from tests.table import cases

DTYPES = [np.float32, np.float64]
TRACED = sorted(name for name, case in cases().items() if case.traced)
# What returns labels, nothing, or its own argument is not differentiated here.
SMOOTH = sorted({*TRACED} - {"predict", "validate", "flatten_images"})


def array_arguments(case):
    """Return the arguments that can be traced, and the function of them."""
    static = {name: value for name, value in case.arguments.items() if name == "steps"}
    arrays = {name: value for name, value in case.arguments.items() if name != "steps"}
    return arrays, lambda arrays: case.function(**arrays, **static)


def assert_trees_close(found, due):
    assert jax.tree.structure(found) == jax.tree.structure(due)
    for leaf, other in zip(jax.tree.leaves(found), jax.tree.leaves(due), strict=True):
        assert leaf.dtype == other.dtype
        size = np.abs(np.asarray(other, float)).max()
        assert_close(leaf, other, 64 * np.finfo(leaf.dtype).eps * size)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", TRACED)
def test_jit_equals_eager_and_keeps_the_dtype(name, dtype):
    arrays, function = array_arguments(cases(dtype)[name])
    due = function(arrays)
    assert_trees_close(jax.jit(function)(arrays), due)
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(due))


@pytest.mark.parametrize("name", TRACED)
def test_vmap_equals_a_loop_over_problems(name):
    arrays, function = array_arguments(cases()[name])
    scales = (1.0, 0.5, 0.25)
    problems = [jax.tree.map(lambda leaf, s=s: leaf * s, arrays) for s in scales]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *problems)
    many = jax.vmap(function)(stacked)
    for lane, problem in enumerate(problems):
        one = jax.tree.map(lambda leaf, lane=lane: leaf[lane], many)
        assert_trees_close(one, function(problem))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", [jlogreg.fold_weights, jlogreg.bootstrap_weights])
def test_rows_of_weights_are_the_same_in_every_mode(function, dtype):
    def rows(key):
        return function(key, 7, 3, dtype=dtype)

    keys = jax.random.split(jax.random.key(0), 3)
    found = jax.jit(jax.vmap(rows))(keys)
    assert (found.shape, found.dtype) == ((3, 3, 7), dtype)
    for lane, key in enumerate(keys):
        np.testing.assert_array_equal(found[lane], rows(key))
    assert len({leaf.tobytes() for leaf in np.asarray(found)}) == 3  # keys differ


@pytest.mark.parametrize("name", SMOOTH)
def test_forward_and_reverse_differentiation_agree_with_a_difference(name):
    """The derivative along a direction, by jvp, by grad and by a central difference."""
    arrays, function = array_arguments(cases()[name])

    def total(arrays):
        leaves = jax.tree.leaves(function(arrays))
        return sum(jnp.sum(jnp.cos(leaf)) for leaf in leaves)

    random = np.random.default_rng(3)
    # The learning rate and the penalty change within their ranges; labels and weights
    # are inside theirs.
    direction = jax.tree.map(
        lambda leaf: jnp.asarray(random.uniform(-1, 1, leaf.shape)), arrays
    )
    # A step h errs by h^2 times the third derivative, and by eps / h: 1e-5 for both.
    step = 1e-5

    @jax.jit  # one compilation for all
    def measured(arrays):
        _, forward = jax.jvp(total, (arrays,), (direction,))
        ends = [
            total(jax.tree.map(lambda a, d, s=s: a + s * d, arrays, direction))
            for s in (step, -step)
        ]
        return forward, jax.grad(total)(arrays), (ends[0] - ends[1]) / (2 * step)

    forward, slope, difference = measured(arrays)
    reverse = sum(
        jnp.vdot(leaf, along)
        for leaf, along in zip(
            jax.tree.leaves(slope), jax.tree.leaves(direction), strict=True
        )
    )
    # Reverse mode sums in another order: a few roundings of the parts.
    size = sum(jnp.abs(leaf).sum() for leaf in jax.tree.leaves(slope))
    assert abs(forward - reverse) <= 1e3 * np.finfo(float).eps * (1 + size)
    assert abs(difference - forward) <= 1e-8 * (1 + size)


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives_of_derivatives_are_consistent(name):
    """The jvp of a gradient equals the gradient of a jvp, under jit and vmap."""
    arrays, function = array_arguments(cases()[name])
    direction = jax.tree.map(jnp.ones_like, arrays)

    def total(arrays):
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(function(arrays)))

    def along(arrays):
        return jax.jvp(total, (arrays,), (direction,))[1]

    @jax.jit  # one compilation for all
    def measured(arrays):
        batch = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), arrays)
        return (
            jax.jvp(jax.grad(total), (arrays,), (direction,))[1],
            jax.grad(along)(arrays),
            jax.vmap(jax.grad(along))(batch),
        )

    forward_of_reverse, reverse_of_forward, lanes = measured(arrays)
    leaves = zip(
        *map(jax.tree.leaves, (forward_of_reverse, reverse_of_forward, lanes)),
        strict=True,
    )
    for forward, reverse, lane in leaves:
        size = 1 + np.abs(forward).max()
        assert_close(reverse, forward, 1e4 * np.finfo(float).eps * size)
        assert_close(lane[1], reverse, 1e4 * np.finfo(float).eps * size)


@pytest.mark.parametrize(
    "name", ["cost", "gradient", "value_and_gradient", "gradient_descent", "hessian"]
)
def test_new_numbers_do_not_compile_again(name):
    arrays, function = array_arguments(cases()[name])
    traces = []

    def counted(arrays):
        traces.append(name)
        return function(arrays)

    compiled = jax.jit(counted)
    compiled(arrays)
    compiled(jax.tree.map(lambda leaf: leaf * 0.5, arrays))
    compiled({**arrays, "l2": jnp.asarray(3.0, jnp.float64)})
    assert len(traces) == 1


def test_many_rates_in_one_call_equal_one_rate_at_a_time():
    arrays, _ = array_arguments(cases()["gradient_descent"])
    rates = jnp.array([1e-3, 1e-2, 0.1, 1.0])

    def costs(rate):
        options = {**arrays, "learning_rate": rate}
        return jlogreg.gradient_descent(**options, steps=30).costs

    many = jax.jit(jax.vmap(costs))(rates)
    assert many.shape == (4, 1, 30)
    for lane, rate in enumerate(rates):
        assert_close(many[lane], costs(rate), 1e4 * np.finfo(float).eps)


def test_samples_may_be_spread_over_devices():
    """The same sums when every device holds a quarter of the samples."""
    case = cases(shape=(3, 8))["value_and_gradient"]
    mesh = jax.make_mesh((4,), ("samples",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.NamedSharding(mesh, jax.P(None, "samples"))
    rows = ("X", "y", "weight", "offset")
    moved = {name: jax.device_put(case.arguments[name], spread) for name in rows}
    assert len(moved["X"].sharding.device_set) == 4
    found = jax.jit(case.function)(**{**case.arguments, **moved})
    assert_trees_close(found, case.call())


def test_samples_of_several_blocks_may_be_spread_over_devices(monkeypatch):
    monkeypatch.setattr("jlogreg.totals.BLOCK_ENTRIES", 1)  # blocks of 1024 samples
    case = cases(shape=(3, 2056))["value_and_gradient"]
    mesh = jax.make_mesh((4,), ("samples",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.NamedSharding(mesh, jax.P(None, "samples"))
    rows = ("X", "y", "weight", "offset")
    moved = {name: jax.device_put(case.arguments[name], spread) for name in rows}
    found = jax.jit(case.function)(**{**case.arguments, **moved})
    monkeypatch.undo()
    due = case.call()
    for leaf, other in zip(jax.tree.leaves(found), jax.tree.leaves(due), strict=True):
        assert_close(leaf, other, 2056 * np.finfo(float).eps)


PRODUCTS = ["logits", "value_and_gradient", "hessian", "hessian_vector"]


@pytest.mark.parametrize("name", [*PRODUCTS, "gradient_descent"])
def test_every_product_is_taken_at_the_highest_precision(name):
    """Or a GPU would round the factors to 10 bits, and no descent would settle."""
    arrays, function = array_arguments(cases(np.float32)[name])
    if name == "gradient_descent":  # enough steps to descend in the span
        arrays = array_arguments(cases(np.float32, (5, 3))[name])[0]
        function = partial(gradient_descent_of, steps=900)
    text = str(jax.make_jaxpr(function)(arrays))
    products = text.count("dot_general[")
    assert products >= 1
    assert text.count("precision=(Precision.HIGHEST, Precision.HIGHEST)") == products


def gradient_descent_of(arrays, steps):
    return jlogreg.gradient_descent(**arrays, steps=steps)


def test_reverse_differentiation_keeps_no_second_copy_of_the_data(monkeypatch):
    monkeypatch.setattr("jlogreg.totals.BLOCK_ENTRIES", 1)
    case = cases(shape=(3, 4096))["cost"]
    arrays, function = array_arguments(case)
    _, pullback = jax.vjp(lambda p: function({**arrays, "params": p}), arrays["params"])
    large = {leaf.shape for leaf in jax.tree.leaves(pullback) if leaf.size >= 3 * 4096}
    assert large == {(3, 4096)}  # X as it is, and not its slices one after another

"""The d-value of a named array is the gradient in an array that is added to it.

All numbers are small integers in float64, so that both sides are exact and must be
equal: there is no tolerance.
"""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.ad_checkpoint import checkpoint_name

import jlogreg as jl
from tests.helpers import seeds

C = jnp.arange(9.0).reshape(3, 3) - 4
EXACT = 2.0**53
# Each operation is drawn alone as well, below.
FEW = settings(max_examples=settings.default.max_examples // 2)


@jax.custom_vjp
def reverse(x):
    """Return x; its rule reverses the sign of the gradient."""
    return x


reverse.defvjp(lambda x: (x, None), lambda _, g: (-g,))


@jax.custom_jvp
def pair(x, y):
    """Return x + y, and that times x: the first result is used inside as well."""
    total = x + y
    return total, total * x


@pair.defjvp
def pair_rule(primals, tangents):  # deliberately not the derivative
    dx, dy = tangents
    return pair(*primals), (2 * dx - dy, 3 * dx + dy)


@jax.custom_vjp
def folded(x):
    return jax.jit(lambda x: (x * C).sum(axis=0, keepdims=True) - x)(x)


folded.defvjp(lambda x: (folded(x), None), lambda _, g: (5 * g,))


OPS = {
    "transpose": lambda x, y: x.T,
    "product": lambda x, y: x @ y,
    "multiply": lambda x, y: x * y,
    "square": lambda x, y: x**2,
    "subtract": lambda x, y: y - x,
    "add a captured array": lambda x, y: x + C,
    "weigh with it": lambda x, y: x * C,
    "row sums": lambda x, y: x.sum(axis=1, keepdims=True) - y,
    "column": lambda x, y: x[:, 1:2] * y,
    "index": lambda x, y: x[jnp.array([2, 0, 2])],
    "set": lambda x, y: x.at[1].set(y[0]),
    "sort": lambda x, y: jnp.sort(x, axis=0) + x,
    "two sorted": lambda x, y: jax.lax.sort((x, y), num_keys=1)[1],
    "top_k": lambda x, y: jnp.concatenate([jax.lax.top_k(x, 2)[0], y[:, :1]], axis=1),
    "where": lambda x, y: jnp.where(x > y, 2 * x, y),
    "relu": lambda x, y: jax.nn.relu(x - 0.5),
    "cumulate": lambda x, y: jnp.cumsum(x, axis=0),
    "whole": lambda x, y: jnp.floor(x) * 2 + x.astype(jnp.int32).astype(x.dtype) * y,
    "reverse": lambda x, y: reverse(x),
    "pair": lambda x, y: sum(pair(x, y)),
    "the second": lambda x, y: pair(x, y)[1],
    "the same twice": lambda x, y: pair(x, x)[0],
    "with a constant": lambda x, y: pair(x, jnp.ones((3, 3)))[1],
    "folded": lambda x, y: folded(x) + 1,
    "in jit": lambda x, y: jax.jit(lambda a, b: a * b - pair(b, a)[1] + C)(x, x),
    "in checkpoint": lambda x, y: jax.checkpoint(lambda a: a * reverse(y))(x),
    "stop": lambda x, y: jax.lax.stop_gradient(x) * y,
}
STEPS = st.tuples(st.sampled_from(list(OPS)), st.integers(0, 1), st.integers(0, 9))


START = jnp.array([[2.0, -1.0, 3.0], [0.0, -3.0, 1.0], [-2.0, 2.0, 3.0]])


def run(steps, start, added=None):
    """Return J and the values of the steps, each with a name and an array added to it.

    The product with 1 gives each name a node of its own.
    """
    values = [start]
    for k, (name, back, second) in enumerate(steps):
        x, y = values[-1 - back % len(values)], values[second % len(values)]
        value = OPS[name](x, y) + (added[k] if added else 0)
        values.append(checkpoint_name(value * 1, f"h{k}"))
    return (values[-1] * jnp.arange(1.0, 10.0).reshape(3, 3)).sum(), values[1:]


def differences(steps, start):
    """Return each array's difference from `jax.grad`, and the largest size."""
    graph = jl.computation_graph(lambda x: run(steps, x)[0], start)
    f = jax.value_and_grad(lambda *at: run(steps, *at), (0, 1), has_aux=True)
    (J, values), (slope, slopes) = f(start, [jnp.zeros((3, 3))] * len(steps))
    pairs = [(graph["x"].derivative, slope), (graph.nodes[-1].value, J)]
    for k, (value, slope) in enumerate(zip(values, slopes, strict=True)):
        pairs += [(graph[f"h{k}"].derivative, slope), (graph[f"h{k}"].value, value)]
    off = [np.abs(a - b).max() for a, b in pairs]
    return off, max(np.abs(pair).max() for pair in pairs)


def test_arrays_and_their_d_values_are_exact():
    seen = collections.Counter()

    @FEW
    @given(st.lists(STEPS, min_size=1, max_size=5), seeds)
    def law(steps, seed):
        start = np.random.default_rng(seed).integers(-3, 4, (3, 3)).astype(float)
        off, size = differences(steps, jnp.asarray(start))
        exact = size < EXACT / 1e4
        seen["exact"] += exact
        seen["all"] += 1
        assert not exact or max(off) == 0

    law()
    assert seen["exact"] > 0.9 * seen["all"]


@pytest.mark.parametrize("name", OPS)
def test_each_operation_is_exact(name):
    """Hypothesis draws them; this makes sure that none is ever left out."""
    off, size = differences([("square", 0, 0), (name, 0, 1), ("product", 0, 1)], START)
    assert size < EXACT
    assert max(off) == 0

"""How each primitive is written, but those that laws/test_graph.py reads back."""

import jax.numpy as jnp
import pytest
from jax import lax

import jlogreg as jl

ARRAY = jnp.arange(1.0, 5.0).reshape(2, 2)
# A function of a number x and a matrix A, and the expression of one of its nodes.
EXPRESSIONS = {
    "x * (-2)": lambda x, A: x * -2,
    "(-0.5) * x": lambda x, A: jnp.asarray(-0.5) * x,
    "x / 2": lambda x, A: x / 2,
    "x ** u": lambda x, A: x ** jnp.sin(x),
    "A ** 2": lambda x, A: lax.square(A),
    "x % 2": lambda x, A: lax.rem(x, 2.0),
    "x == 2": lambda x, A: x == 2,
    "x != 2": lambda x, A: x != 2,
    "x < 2": lambda x, A: x < 2,
    "x <= 2": lambda x, A: x <= 2,
    "x >= 2": lambda x, A: x >= 2,
    "p & q": lambda x, A: (x > 2) & (x < 9),
    "p | q": lambda x, A: (x > 2) | (x < 9),
    "p ^ q": lambda x, A: (x > 2) ^ (x < 9),
    "~(u)": lambda x, A: ~(x > 2),
    "isfinite(x)": lambda x, A: jnp.isfinite(x),
    "float32(x)": lambda x, A: x.astype(jnp.float32),
    "broadcast(x)": lambda x, A: jnp.broadcast_to(x, (2,)),
    "A.T": lambda x, A: A.T,
    "transpose(u)": lambda x, A: A[None].transpose(2, 0, 1),
    "dot(A, u)": lambda x, A: A @ A.T,
    "sum(A)": lambda x, A: A.sum(),
    "max(A)": lambda x, A: A.max(),
    "min(A)": lambda x, A: A.min(),
    "prod(A)": lambda x, A: A.prod(),
    "split(A)[1]": lambda x, A: jnp.split(A, 2)[1],
    "clamp(0, x, 2)": lambda x, A: lax.clamp(0.0, x, 2.0),
}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_each_primitive_is_written_as_usual(expression):
    f = EXPRESSIONS[expression]
    graph = jl.computation_graph(lambda x, A: (f(x, A), x)[1], 3.0, ARRAY)
    assert expression in [node.expression for node in graph.nodes]

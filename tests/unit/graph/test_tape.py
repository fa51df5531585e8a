"""The functions that the tape enters, and its derivatives: those of `jax.grad`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jlogreg as jl

C = jnp.arange(3.0)
A = jnp.array([[2.0, 1.0], [0.5, 3.0]])
KEY, KEYS = jax.random.key(0), jax.random.split(jax.random.key(1), 3)


def times(factor, f=lambda x: x):
    """Return f with a rule that says its derivative is this factor."""
    own = jax.custom_jvp(f)
    own.defjvp(lambda primals, tangents: (own(*primals), factor * tangents[0]))
    return own


@jax.custom_vjp
def two(x, y):
    u = x * y
    return u, jnp.sin(u)


two.defvjp(
    lambda x, y: (two(x, y), None),
    lambda _, g: (10 * g[0] + g[1], 100 * g[0] + 7 * g[1]),
)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def apply(f, x, n):
    return f(x) * n.astype(x.dtype)


apply.defvjp(lambda f, x, n: (apply(f, x, n), None), lambda f, _, g: (5 * g, None))

four = jax.custom_jvp(lambda x: (2.0, x, *2 * (x * x,)))
four.defjvp(lambda p, t: (four(*p), tuple(k * t[0] for k in (5.0, 7.0, 11.0, 13.0))))


def weighed(x):
    return sum(k * part for k, part in zip((1, 10, 100, 1000), four(x), strict=True))


def rounded(x, n, t):
    whole = jnp.floor(x).astype(int) + n
    return jnp.where(t & (x > 1), x * whole.astype(x.dtype), 0.0)


def drawn(x, n):
    by_number = jax.random.normal(jax.random.fold_in(KEY, n))
    return x * jax.random.normal(KEY) * jax.random.normal(KEYS[1]) * by_number


def cost(a):
    data = {"weight": a[1:], "offset": a[:1], "l2": a[0, 0]}
    return jl.cost(jl.Params(a[:, 1:], a[1:, :1]), a, jnp.array([[0.0, 0.75]]), **data)


def root(a):
    return lax.custom_root(
        lambda x: x**2 - a[0, 0],
        1.0,
        lambda _, x: a[0, 0] ** 0.5,
        lambda g, y: y / g(1.0),
    )


FUNCTIONS = {
    "sigmoid at 0": (jl.sigmoid, (0.0,)),  # which bends inside, or seems to
    "log_loss of a soft label at 0": (jl.log_loss, (0.0, 0.25)),
    "overflow times 0": (lambda x: jnp.exp(x * 1000) * 0, (3.0,)),
    "0 / 0": (lambda x, y: x / y, (0.0, 0.0)),
    "root not taken": (lambda x: jnp.where(x > 0, jnp.sqrt(x), 0.0), (-1.0,)),
    "infinite slope of an unused value": (lambda x: (jnp.sqrt(x), 2 * x)[1], (0.0,)),
    "unused array": (lambda x, y: (jnp.sin(y), 2 * x)[1], (3.0, C)),
    "argument": (lambda x, y: x, (3.0, 4.0)),
    "argument out of jit": (lambda x, y: jax.jit(lambda *xy: xy[::-1])(x, y)[1], C[:2]),
    "slope of 0": (lambda x: (x * C).sum() * 0 + 2, (3.0,)),
    "constant": (lambda x: jnp.asarray(2.0), (3.0,)),
    "constant without arguments": (lambda: 2.0, ()),
    "no entries": (lambda x: (2 * x).sum() + 1, (np.zeros((0, 3)),)),
    "float16": (lambda x: (x**2 * 0.5).sum(), (np.arange(3, dtype=np.float16),)),
    "integers and booleans": (rounded, (3.5, np.int64(2), np.True_)),
    "random keys": (drawn, (3.0, np.int32(2))),
    "rule for some arguments": (
        lambda x, n: apply(jnp.square, x, n),
        (3.0, np.int32(2)),
    ),
    "rule for constant and repeated results": (weighed, (3.0,)),
    "cost": (cost, (A,)),
    "solve": (lambda a: jnp.linalg.solve(a, a[:, :1] + 1).sum(), (A,)),
    "slogdet": (lambda a: jnp.linalg.slogdet(a)[1], (A,)),
    "eigenvalues": (lambda a: jnp.linalg.eigh(a + a.T)[0][0], (A,)),
    "fourier": (lambda a: (jnp.abs(jnp.fft.fft(a)) ** 2).sum(), (A,)),
    "root": (root, (A,)),
    "barrier": (
        lambda a: jnp.multiply(*lax.optimization_barrier((a, 2 * a))).sum(),
        (A,),
    ),
    "grad in it": (lambda a: jax.grad(lambda a: (a**3).sum())(a).sum(), (A,)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_derivatives_are_those_of_the_function_and_of_grad(name):
    f, arguments = FUNCTIONS[name]
    graph = jl.computation_graph(f, *arguments)
    arguments = [jnp.asarray(argument) for argument in arguments]

    def assert_same(result, expected):
        # A is well conditioned: its inverse is below 1, and so roundings do not grow.
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-13)
        assert result.dtype == jnp.asarray(expected).dtype

    J = graph[graph.result]
    assert_same(J.value, f(*arguments))
    assert float(J.derivative) == 1
    for node in graph.nodes:
        assert isinstance(node.value, jax.Array)
        inexact = jnp.issubdtype(node.value.dtype, jnp.inexact)
        assert (node.derivative is not None) == inexact
    floats = [k for k, x in enumerate(arguments) if jnp.issubdtype(x.dtype, float)]
    expected = jax.grad(f, floats)(*arguments) if floats else ()
    for k, slope in zip(floats, expected, strict=True):
        np.testing.assert_array_equal(graph.nodes[k].value, arguments[k])
        assert_same(graph.nodes[k].derivative, slope)


def same_bits(x):
    as_int = lax.bitcast_convert_type(x, np.int64)
    return lax.bitcast_convert_type(as_int, np.float64)


def fewer_bits(x):
    return 2 * lax.reduce_precision(x, 8, 7)


def squared(x):
    return jax.checkpoint(lambda x: x * x)(x) * 2


# Of a function at 2, whose own rule is not its derivative: the d-value of each node.
CUSTOM = {
    "identity reversed": (lambda x: 3 * times(-1)(x), {"x": -3, "u": 3}),
    "reversed and itself": (lambda x: times(-1)(x) + x, {"x": 0, "u": 1}),
    "entered": (lambda x: times(7, lambda x: 5 * x * x)(x), {"x": 7, "u": 2}),
    "checkpoint entered": (lambda x: times(5, squared)(x), {"x": 5, "u": 2}),
    "in one another": (
        lambda x: times(11, lambda x: 2 * times(5)(x))(x),
        {"x": 11, "u": 2},
    ),
    "of a constant": (lambda x: times(5)(2.0) * x, {"x": 2}),
    "two results": (
        lambda x: sum(two(x, 2.0)),
        {"x": 11, "u": 1 + np.cos(4), "v": 1, "p": 1},
    ),
    "the first result": (lambda x: 1 * two(x, 2.0)[0], {"x": 10, "u": 1, "v": 0}),
    # There are no derivatives inside of a function that works on bits: one step.
    "fewer bits in jit": (times(5, jax.jit(fewer_bits)), {"x": 5}),
    "bits cast": (times(5, same_bits), {"x": 5}),
}


@pytest.mark.parametrize("name", CUSTOM)
def test_rules_that_are_not_the_derivative(name):
    f, expected = CUSTOM[name]
    nodes = jl.computation_graph(f, 2.0, names=["x"]).nodes
    slopes = {node.name: float(node.derivative) for node in nodes}
    assert slopes == pytest.approx({"J": 1} | expected, rel=1e-15)
    assert slopes["x"] == jax.grad(f)(2.0)


REFUSED = {
    "scan": lambda x: lax.scan(lambda c, _: (c * x, None), x, None, length=3)[0],
    "while": lambda x: lax.while_loop(lambda c: c < 9, lambda c: c * 2, x),
    "cond": lambda x: lax.cond(x > 2, jnp.sin, jnp.cos, x),
}


@pytest.mark.parametrize("name", REFUSED)
def test_loops_and_branches_are_refused_anywhere(name):
    f, kind = REFUSED[name], "branch" if name == "cond" else "loop"
    for g in (f, jax.jit(f), times(2.0, f), lambda x: (f(x), x)[1]):
        with pytest.raises(ValueError, match=f"contains a {kind} .*has no graph"):
            jl.computation_graph(g, 3.0)


@pytest.mark.parametrize("array", [C, np.arange(3.0)], ids=["JAX", "NumPy"])
def test_a_captured_array_has_one_node(array):
    def scale(x):
        return x * array

    def f(x):
        return (jax.jit(scale)(x) + times(1, scale)(x) - scale(x) ** 2).sum()

    graph = jl.computation_graph(f, jnp.full(3, 2.0))
    assert [node.name for node in graph.nodes if not node.expression] == ["x", "c"]
    assert graph["c"].derivative.tolist() == [4, 4 - 8, 4 - 16]
    assert graph["x"].derivative.tolist() == [1, 2 - 4, 3 - 16]

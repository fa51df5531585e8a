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
EPS = np.finfo(float).eps
KEY, KEYS = jax.random.key(0), jax.random.split(jax.random.key(1), 3)


def times(factor, f=lambda x: x):
    """Return f with a rule that says its derivative is this factor."""
    own = jax.custom_jvp(f)
    own.defjvp(lambda primals, tangents: (own(*primals), factor * tangents[0]))
    return own


def times_backward(factor, f):
    own = jax.custom_vjp(f)
    own.defvjp(lambda x: (f(x), None), lambda _, g: (factor * g,))
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


# Both sides do the same arithmetic, so that they are equal.
EXACT = {
    "sigmoid at 0": (jl.sigmoid, (0.0,)),  # which bends inside, or seems to
    "log_sigmoid at 0": (jl.log_sigmoid, (0.0,)),
    "log_loss of label 1 at 0": (jl.log_loss, (0.0, 1.0)),
    "log_loss of a soft label at 0": (jl.log_loss, (0.0, 0.25)),
    "log_loss of infinity": (jl.log_loss, (np.inf, 1.0)),
    "log_loss of NaN": (jl.log_loss, (np.nan, 1.0)),
    "infinity times 0": (lambda x: x * 0, (np.inf,)),
    "NaN": (lambda x: x * 2, (np.nan,)),
    "overflow times 0": (lambda x: jnp.exp(x * 1000) * 0, (3.0,)),
    "3 / 0": (lambda x, y: x / y, (3.0, 0.0)),
    "0 / 0": (lambda x, y: x / y, (0.0, 0.0)),
    "0 ** 0": (lambda x, y: x**y, (0.0, 0.0)),
    "power of a negative number": (lambda x, y: x**y, (-2.0, 3.0)),
    "log of 0": (jnp.log, (0.0,)),
    "root of a negative number": (jnp.sqrt, (-1.0,)),
    "root not taken": (lambda x: jnp.where(x > 0, jnp.sqrt(x), 0.0), (-1.0,)),
    "infinite slope of an unused value": (lambda x: (jnp.sqrt(x), 2 * x)[1], (0.0,)),
    "unused array": (lambda x, y: (jnp.sin(y), 2 * x)[1], (3.0, C)),
    "unused values": (lambda x, y: (jnp.sin(x), x * y, jnp.cos(y))[1], (3.0, 2.0)),
    "argument": (lambda x, y: x, (3.0, 4.0)),
    "argument out of jit": (lambda x, y: jax.jit(lambda *xy: xy[::-1])(x, y)[1], C[:2]),
    "slope of 0": (lambda x: (x * C).sum() * 0 + 2, (3.0,)),
    "constant": (lambda x: 2.0, (3.0,)),
    "constant array": (lambda x: jnp.asarray(2.0), (3.0,)),
    "constant without arguments": (lambda: 2.0, ()),
    "no entries": (lambda x: (2 * x).sum() + 1, (np.zeros((0, 3)),)),
    "float32": (lambda x: (x**2 * 0.5).sum(), (np.arange(3, dtype=np.float32),)),
    "float16": (lambda x: (x**2 * 0.5).sum(), (np.arange(3, dtype=np.float16),)),
    "integers and booleans": (rounded, (3.5, np.int64(2), np.True_)),
    "random keys": (drawn, (3.0, np.int32(2))),
    "rule for some arguments": (
        lambda x, n: apply(jnp.square, x, n),
        (3.0, np.int32(2)),
    ),
    "rule for constant and repeated results": (weighed, (3.0,)),
}


def cost(a):
    data = {"weight": a[1:], "offset": a[:1], "l2": a[0, 0]}
    return jl.cost(jl.Params(a[:, 1:], a[1:, :1]), a, jnp.array([[0.0, 0.75]]), **data)


LARGER = {
    "cost": cost,
    "solve": lambda a: jnp.linalg.solve(a, a[:, :1] + 1).sum(),
    "slogdet": lambda a: jnp.linalg.slogdet(a)[1],
    "inverse": lambda a: jnp.linalg.inv(a)[0, 1],
    "cholesky": lambda a: jnp.linalg.cholesky(a @ a.T).sum(),
    "eigenvalues": lambda a: jnp.linalg.eigh(a + a.T)[0][0],
    "singular values": lambda a: jnp.linalg.norm(a, "nuc"),
    "softmax": lambda a: (jax.nn.softmax(a, axis=0) ** 2).sum(),
    "logsumexp": lambda a: jax.nn.logsumexp(a),
    "softplus": lambda a: jax.nn.softplus(a).sum(),
    "gelu": lambda a: jax.nn.gelu(a).sum(),
    "fourier": lambda a: (jnp.abs(jnp.fft.fft(a)) ** 2).sum(),
    "median": lambda a: jnp.median(a, axis=0).sum(),
    "gamma": lambda a: jax.scipy.special.gammaln(a).sum(),
    "root": lambda a: lax.custom_root(
        lambda x: x**2 - a[0, 0],
        1.0,
        lambda _, x: a[0, 0] ** 0.5,
        lambda g, y: y / g(1.0),
    ),
    "barrier": lambda a: jnp.multiply(*lax.optimization_barrier((a, 2 * a))).sum(),
    "grad in it": lambda a: jax.grad(lambda a: (a**3).sum())(a).sum(),
    "vmap in it": lambda a: jax.vmap(lambda row: row @ row)(a).sum(),
    "associative scan": lambda a: lax.associative_scan(jnp.matmul, jnp.stack([a, a]))[
        1, 0, 0
    ],
}


@pytest.mark.parametrize("name", [*EXACT, *LARGER])
def test_values_and_derivatives_are_those_of_the_function_and_of_grad(name):
    f, arguments = EXACT.get(name) or (LARGER[name], (A,))
    graph = jl.computation_graph(f, *arguments)
    arguments = [jnp.asarray(argument) for argument in arguments]

    def assert_same(found, expected, least):
        # A is well conditioned: its inverse is below 1, and so roundings do not grow.
        size = np.abs(expected).max(initial=least) if name in LARGER else 0.0
        np.testing.assert_allclose(found, expected, rtol=0, atol=64 * EPS * size)
        assert found.dtype == jnp.asarray(expected).dtype

    J = graph[graph.result]
    assert_same(J.value, f(*arguments), least=0.0)
    assert float(J.derivative) == 1
    assert all(isinstance(node.value, jax.Array) for node in graph.nodes)
    for node in graph.nodes:
        inexact = jnp.issubdtype(node.value.dtype, jnp.inexact)
        assert (node.derivative is not None) == inexact
    floats = [k for k, x in enumerate(arguments) if jnp.issubdtype(x.dtype, float)]
    expected = jax.grad(f, floats)(*arguments) if floats else ()
    for k, slope in zip(floats, expected, strict=True):
        np.testing.assert_array_equal(graph.nodes[k].value, arguments[k])
        assert_same(graph.nodes[k].derivative, slope, least=1.0)


def same_bits(x):
    as_int = lax.bitcast_convert_type(x, np.int64)
    return lax.bitcast_convert_type(as_int, np.float64)


def fewer_bits(x):
    return 2 * lax.reduce_precision(x, 8, 7)


def squared(x):
    return jax.checkpoint(lambda x: x * x)(x) * 2


TWO = {"x": 11, "u": 1 + np.cos(4), "v": 1, "p": 1}
# Of a function at 2, whose own rule is not its derivative: the d-value of each node.
CUSTOM = {
    "identity reversed": (lambda x: 3 * times(-1)(x), {"x": -3, "u": 3}),
    "twice reversed": (lambda x: times(-1)(times(-1)(x)), {"x": 1, "u": -1}),
    "reversed and itself": (lambda x: times(-1)(x) + x, {"x": 0, "u": 1}),
    "entered": (lambda x: times(7, lambda x: 5 * x * x)(x), {"x": 7, "u": 2}),
    "checkpoint entered": (lambda x: times(5, squared)(x), {"x": 5, "u": 2}),
    "in one another": (
        lambda x: times(11, lambda x: 2 * times(5)(x))(x),
        {"x": 11, "u": 2},
    ),
    "in jit": (jax.jit(lambda x: times(5, jax.jit(lambda x: 2 * x))(x)), {"x": 5}),
    "of a constant": (lambda x: times(5)(2.0) * x, {"x": 2}),
    "two results": (lambda x: sum(two(x, 2.0)), TWO),
    "the second result": (lambda x: two(x, 2.0)[1], {"x": 1, "u": np.cos(4)}),
    "the first result": (lambda x: 1 * two(x, 2.0)[0], {"x": 10, "u": 1, "v": 0}),
    # There are no derivatives inside of a function that works on bits: one step.
    "fewer bits": (times(5, fewer_bits), {"x": 5}),
    "fewer bits in jit": (times(5, jax.jit(fewer_bits)), {"x": 5}),
    "bits cast": (times(5, same_bits), {"x": 5}),
    "bits cast in jit": (times(5, jax.jit(same_bits)), {"x": 5}),
}


@pytest.mark.parametrize("name", CUSTOM)
def test_rules_that_are_not_the_derivative(name):
    f, expected = CUSTOM[name]
    nodes = jl.computation_graph(f, 2.0, names=["x"]).nodes
    found = {node.name: float(node.derivative) for node in nodes}
    assert found == pytest.approx({"J": 1} | expected, rel=1e-15)
    assert found["x"] == jax.grad(f)(2.0)


LOOPS = {
    "scan": lambda x: lax.scan(lambda c, _: (c * x, None), x, None, length=3)[0],
    "fori": lambda x: lax.fori_loop(0, 3, lambda _, c: c * x, x),
    "while": lambda x: lax.while_loop(lambda c: c < 9, lambda c: c * 2, x),
    "map": lambda x: lax.map(jnp.sin, x * C).sum(),
}
BRANCHES = {
    "cond": lambda x: lax.cond(x > 2, jnp.sin, jnp.cos, x),
    "switch": lambda x: lax.switch(x.astype(int), [jnp.sin, jnp.cos], x),
}


@pytest.mark.parametrize("name", [*LOOPS, *BRANCHES])
def test_loops_and_branches_are_refused_anywhere(name):
    f = LOOPS.get(name) or BRANCHES[name]
    kind = "loop" if name in LOOPS else "branch"
    inside = [f, jax.jit(f), jax.checkpoint(f), times(2.0, f), times_backward(1, f)]
    inside += [lambda x: (f(x), x)[1], jax.jit(times(2.0, jax.jit(f)))]
    for g in inside:
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

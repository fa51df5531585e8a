"""What the tape enters, and the derivatives it takes back: those of `jax.grad`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jlogreg import computation_graph, log_loss, log_sigmoid, sigmoid
from tests.helpers import assert_close

C = jnp.arange(3.0)


def slopes(graph):
    """Return the d-values of scalars by name."""
    return {
        node.name: node.derivative
        if node.derivative is None
        else float(node.derivative)
        for node in graph.nodes
    }


def times(factor, f=lambda x: x):
    """Return a function whose own derivative is this factor, whatever f is."""
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


def test_a_rule_of_its_own_wins_for_the_arguments():
    """At 0 these bend inside, or seem to: only their own rules know better."""
    assert slopes(computation_graph(sigmoid, 0.0))["z"] == 0.25
    assert slopes(computation_graph(log_sigmoid, 0.0))["z"] == 0.5
    assert slopes(computation_graph(log_loss, 0.0, 1.0))["z"] == -0.5
    assert slopes(computation_graph(log_loss, 0.0, 0.25))["z"] == 0.25


CUSTOM = {
    "identity reversed": (lambda x: 3 * times(-1)(x), {"x": -3, "u": 3}),
    "twice reversed": (lambda x: times(-1)(times(-1)(x)), {"x": 1, "u": -1}),
    "reversed beside itself": (lambda x: times(-1)(x) + x, {"x": 0, "u": 1}),
    "entered": (lambda x: times(7, lambda x: 5 * x * x)(x), {"x": 7, "u": 2, "J": 1}),
    "in one another": (lambda x: times(11, lambda x: 2 * times(5)(x))(x), {"x": 11}),
    "in jit": (jax.jit(lambda x: times(5, jax.jit(lambda x: 2 * x))(x)), {"x": 5}),
    "of a constant": (lambda x: times(5)(2.0) * x, {"x": 2}),
    "two results": (lambda x: sum(two(x, 2.0)), {"x": 11, "u": 1 + np.cos(4)}),
    "the second result": (lambda x: two(x, 2.0)[1], {"x": 1, "u": np.cos(4)}),
    "the first result": (lambda x: 1 * two(x, 2.0)[0], {"x": 10, "u": 1, "v": 0}),
}


@pytest.mark.parametrize("name", CUSTOM)
def test_rules_that_are_not_the_derivative(name):
    f, due = CUSTOM[name]
    graph = computation_graph(f, 2.0, names=["x"])
    assert slopes(graph) | due == pytest.approx(slopes(graph), rel=1e-15)
    assert slopes(graph)["x"] == jax.grad(f)(2.0)


BITS = {
    "reduce": lambda x: 2 * lax.reduce_precision(x, 8, 7),
    "cast": lambda x: lax.bitcast_convert_type(
        lax.bitcast_convert_type(x, np.int64), np.float64
    ),
}


@pytest.mark.parametrize("name", BITS)
@pytest.mark.parametrize("inner", [lambda f: f, jax.jit])
def test_what_takes_numbers_apart_is_one_step(name, inner):
    """Inside there are no derivatives, so that it is not entered."""
    graph = computation_graph(times(5, inner(BITS[name])), 2.0, names=["x"])
    assert slopes(graph) == {"x": 5, "J": 1}


def test_a_rule_for_some_arguments():
    @functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
    def apply(f, x, n):
        return f(x) * n.astype(x.dtype)

    apply.defvjp(lambda f, x, n: (apply(f, x, n), None), lambda f, _, g: (5 * g, None))
    graph = computation_graph(lambda x, n: apply(jnp.square, x, n), 3.0, np.int32(2))
    assert float(graph.nodes[-1].value) == 18
    assert (slopes(graph)["x"], slopes(graph)["n"]) == (5, None)


def test_a_rule_for_constant_and_repeated_results():
    own = jax.custom_jvp(lambda x: (2.0, x, *2 * (x * x,)))
    own.defjvp(lambda p, t: (own(*p), tuple(k * t[0] for k in (5.0, 7.0, 11.0, 13.0))))

    def f(x):
        return sum(
            k * result for k, result in zip((1, 10, 100, 1000), own(x), strict=True)
        )

    graph = computation_graph(f, 3.0)
    assert slopes(graph)["x"] == jax.grad(f)(3.0) == 5 + 70 + 1100 + 13000
    assert graph.nodes[-1].value == f(3.0)
    assert all(isinstance(node.value, jax.Array) for node in graph.nodes)


LOOPS = {
    "scan": (
        lambda x: lax.scan(lambda c, _: (c * x, None), x, None, length=3)[0],
        "loop",
    ),
    "fori": (lambda x: lax.fori_loop(0, 3, lambda _, c: c * x, x), "loop"),
    "while": (lambda x: lax.while_loop(lambda c: c < 9, lambda c: c * 2, x), "loop"),
    "map": (lambda x: lax.map(jnp.sin, x * C).sum(), "loop"),
    "cond": (lambda x: lax.cond(x > 2, jnp.sin, jnp.cos, x), "branch"),
    "switch": (lambda x: lax.switch(x.astype(int), [jnp.sin, jnp.cos], x), "branch"),
}


@pytest.mark.parametrize("name", LOOPS)
def test_loops_and_branches_are_refused_wherever_they_are(name):
    f, what = LOOPS[name]
    unused = lambda x: (f(x), x)[1]  # noqa: E731
    own = jax.custom_vjp(f)
    own.defvjp(lambda x: (f(x), None), lambda _, g: (g,))
    inside = [f, jax.jit(f), jax.checkpoint(f), times(2.0, f), own, unused]
    for g in [*inside, jax.jit(times(2.0, jax.jit(f)))]:
        with pytest.raises(ValueError, match=f"contains a {what} .*has no graph"):
            computation_graph(g, 3.0)


@pytest.mark.parametrize("array", [C, np.arange(3.0)], ids=["JAX", "NumPy"])
def test_a_captured_array_has_one_node_wherever_it_is_used(array):
    def scale(x):
        return x * array

    def f(x):
        return (jax.jit(scale)(x) + times(1, scale)(x) - scale(x) ** 2).sum()

    graph = computation_graph(f, jnp.full(3, 2.0))
    assert [node.name for node in graph.nodes if not node.expression] == ["x", "c"]
    assert graph["c"].derivative.tolist() == [4, 4 - 8, 4 - 16]
    assert graph["x"].derivative.tolist() == [1, 2 - 4, 3 - 16]


def slopes_of_arrays(graph):
    return {node.name: node.derivative.tolist() for node in graph.nodes}


def test_captured_numbers_are_part_of_the_text():
    half = jnp.asarray(-0.5)
    graph = computation_graph(lambda x: half * x, 3.0)
    assert graph.nodes[-1].expression == "(-0.5) * x"


def test_keys_of_random_numbers():
    key, keys = jax.random.key(0), jax.random.split(jax.random.key(1), 3)

    def f(x, n):
        by_number = jax.random.normal(jax.random.fold_in(key, n))
        return x * jax.random.normal(key) * jax.random.normal(keys[1]) * by_number

    graph = computation_graph(f, 3.0, np.int32(2))
    assert_close(graph.nodes[-1].value, f(3.0, np.int32(2)), 1e-14)
    assert_close(graph["x"].derivative, f(1.0, np.int32(2)), 1e-14)
    assert all(isinstance(node.value, jax.Array) for node in graph.nodes)


A = jnp.array([[2.0, 1.0], [0.5, 3.0]])
LARGER = {
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
    "barrier": lambda a: (lambda r: (r[0] * r[1]).sum())(
        lax.optimization_barrier((a, 2 * a))
    ),
    "grad in it": lambda a: jax.grad(lambda a: (a**3).sum())(a).sum(),
    "vmap in it": lambda a: jax.vmap(lambda row: row @ row)(a).sum(),
    "scan by halves": lambda a: lax.associative_scan(jnp.matmul, jnp.stack([a, a]))[1][
        0, 0
    ],
}


@pytest.mark.parametrize("name", LARGER)
def test_larger_steps(name):
    f = LARGER[name]
    graph = computation_graph(f, A, names=["A"])
    due = jax.grad(f)(A)
    # A is well conditioned: its inverse is below 1, and so nothing grows on the way.
    few = 64 * np.finfo(float).eps * max(1, np.abs(due).max())
    assert_close(graph["A"].derivative, due, few)
    assert_close(graph.nodes[-1].value, f(A), 64 * np.finfo(float).eps * abs(f(A)))


@pytest.mark.parametrize(
    ("f", "arguments"),
    [
        (lambda x: x * 0, (np.inf,)),
        (lambda x: x * 2, (np.nan,)),
        (lambda x: jnp.exp(x * 1000) * 0, (3.0,)),
        (lambda x, y: x / y, (3.0, 0.0)),
        (lambda x, y: x / y, (0.0, 0.0)),
        (lambda x, y: x**y, (0.0, 0.0)),
        (lambda x, y: x**y, (-2.0, 3.0)),
        (jnp.log, (0.0,)),
        (jnp.sqrt, (-1.0,)),
        (log_loss, (np.inf, 1.0)),
        (log_loss, (np.nan, 1.0)),
        (lambda x: jnp.where(x > 0, jnp.sqrt(x), 0.0), (-1.0,)),
    ],
)
def test_nan_and_infinity_are_those_of_grad(f, arguments):
    graph = computation_graph(f, *arguments)
    due = jax.grad(f, tuple(range(len(arguments))))(*arguments)
    found = [float(node.derivative) for node in graph.nodes[: len(due)]]
    np.testing.assert_array_equal(found, np.array(due))
    np.testing.assert_array_equal(
        graph.nodes[-1].value, f(*map(jnp.asarray, arguments))
    )


def test_whole_numbers_and_truth_values_have_no_d_value():
    def f(x, n, t):
        rounded = jnp.floor(x).astype(int) + n
        return jnp.where(t & (x > 1), x * rounded.astype(x.dtype), 0.0)

    graph = computation_graph(f, 3.5, np.int64(2), np.True_)
    kinds = {node.name: node.value.dtype.kind for node in graph.nodes}
    assert set(kinds.values()) == {"f", "i", "b"}
    for node in graph.nodes:
        assert (node.derivative is None) == (kinds[node.name] != "f")
    assert (float(graph.nodes[-1].value), slopes(graph)["x"]) == (3.5 * 5, 5)


def test_what_is_not_used_has_no_say_even_where_its_slope_is_infinite():
    """A slope of infinity times a derivative of 0 would be NaN."""
    graph = computation_graph(lambda x: (jnp.sqrt(x), 2 * x)[1], 0.0)
    assert slopes(graph)["x"] == 2


def test_what_the_result_does_not_depend_on_has_0():
    graph = computation_graph(lambda x, y: (jnp.sin(y), 2 * x)[1], 3.0, C)
    assert slopes_of_arrays(graph) == {"x": 2.0, "y": [0] * 3, "u": [0] * 3, "J": 1.0}


def test_a_rule_of_its_own_around_a_checkpoint_is_entered():
    @jax.custom_jvp
    def double(x):
        return jax.checkpoint(lambda x: x * x)(x) * 2

    @double.defjvp
    def rule(primals, tangents):
        return double(*primals), 5 * tangents[0]

    found = slopes(computation_graph(lambda x: double(x), 3.0))
    assert found == {"x": 5, "u": 2, "J": 1}

"""What computation_graph says by hand, what it enters, and what it refuses."""

import functools
import operator
from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name

from jlogreg import DtypeError, Params, ShapeError, computation_graph
from jlogreg.graph.computation_graph import _candidates

C = jnp.arange(3.0)


def names(graph):
    return [node.name for node in graph.nodes]


@jax.custom_jvp
def pair(x, y):
    return x * y, jnp.sin(x * y)


@pair.defjvp
def _(primals, tangents):
    return pair(*primals), (10 * tangents[0] + tangents[1], tangents[0])


def test_the_lesson():
    graph = computation_graph(lambda a, b, c: 3 * (a + b * c), 5, 3, 2)
    rows = [
        (*node[:3], float(node.value), float(node.derivative)) for node in graph.nodes
    ]
    assert rows == [
        ("a", "", (), 5, 3),
        ("b", "", (), 3, 6),
        ("c", "", (), 2, 9),
        ("u", "b * c", ("b", "c"), 6, 3),
        ("v", "a + u", ("a", "u"), 11, 3),
        ("J", "3 * v", ("v",), 33, 1),
    ]
    assert [graph["v"], graph["J"]] == list(graph.nodes[4:])
    with pytest.raises(KeyError, match="no node w; there are a, b, c, u, v, J"):
        graph["w"]


def test_one_sample_with_two_features():
    def loss(w1, w2, b, x1, x2, y):
        z = checkpoint_name(w1 * x1 + w2 * x2 + b, "z")
        a = checkpoint_name(jax.nn.sigmoid(z), "a")
        return -(y * jnp.log(a) + (1 - y) * jnp.log(1 - a))

    for y in (0.0, 1.0, 0.25):
        graph = computation_graph(loss, 2.0, -1.0, 0.5, 1.0, 3.0, y)
        d = {node.name: float(node.derivative) for node in graph.nodes}
        a = float(graph["a"].value)
        assert d["a"] == pytest.approx(-y / a + (1 - y) / (1 - a), rel=1e-14)
        assert d["z"] == pytest.approx(a - y, rel=1e-14)
        assert d["w1"] == pytest.approx(1 * d["z"], rel=1e-15)
        assert d["w2"] == pytest.approx(3 * d["z"], rel=1e-15)
        assert d["b"] == d["z"]


@pytest.mark.parametrize(
    ("f", "arguments", "J"),
    [
        (lambda x, y: pair(x, y)[0], (3.0, 2.0), 6),
        (lambda x, y: (jnp.sin(x), x * y, jnp.cos(y))[1], (3.0, 2.0), 6),
        (lambda x, y: x, (3.0, 4.0), 3),
        (lambda x, y: jax.jit(lambda x, y: (y, x))(x, y)[1], (3.0, 4.0), 3),
        (lambda x: (x * C).sum() * 0 + 2, (3.0,), 2),
        (lambda x: 2.0, (3.0,), 2),
        (lambda x: jnp.asarray(2.0), (3.0,), 2),
        (lambda: 2.0, (), 2),
    ],
)
def test_the_result_is_known_wherever_it_stands(f, arguments, J):
    graph = computation_graph(f, *arguments)
    last = graph[graph.result]
    assert (float(last.value), float(last.derivative)) == (J, 1)
    assert repr(graph) == f"Graph({len(graph.nodes)} nodes, {last.name} = {J})"
    assert str(graph).splitlines()[0].endswith(f"d{last.name}/dnode")
    if arguments:
        due = jax.grad(f, tuple(range(len(arguments))))(*arguments)
        for name, x, slope in zip("xy", arguments, due, strict=False):
            assert graph[name].value == x
            assert graph[name].derivative == slope


@pytest.mark.parametrize(
    ("f", "error", "words"),
    [
        (lambda x: x.reshape(1, 1), ShapeError, r"one number, .* returns \(1, 1\)"),
        (lambda x: (x, x), ShapeError, r"one number, .* returns \(\), \(\)"),
        (lambda x: None, ShapeError, "one number"),
        (lambda x: 3, DtypeError, "must return a float, but returns int"),
        (lambda x: x > 2, DtypeError, "must return a float, but returns bool"),
        (lambda x: x * 1j, DtypeError, "must return a float, but returns complex"),
    ],
)
def test_a_result_that_is_not_one_float(f, error, words):
    with pytest.raises(error, match=words):
        computation_graph(f, 3.0)


@pytest.mark.parametrize("value", ["a", 3j, [1.0, "b"], np.array([None]), {1.0}])
def test_an_argument_that_is_no_number(value):
    with pytest.raises(DtypeError, match=r"^x\S* (must be a number or|has dtype)"):
        computation_graph(lambda x: 1.0, value)


def test_traced_arguments():
    for transform in (jax.jit, jax.grad, jax.vmap):
        with pytest.raises(TypeError, match="call it outside jit"):
            transform(lambda x: computation_graph(jnp.sin, x).nodes[-1].value)(C)


def test_too_many_arguments_is_the_error_of_the_call():
    with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
        computation_graph(lambda a: a, 3.0, 4.0)


class Model:
    def __call__(self, x):
        return x**2


class NoSignature(Model):
    __signature__ = "none"


P = Params(w=np.ones((1, 1)), b=np.ones((1, 1)))
ARGUMENTS = [
    (lambda p: (p.w * p.b).sum(), (P,), ["w", "b"]),
    (lambda p, q: (p.w * q.b).sum(), (P, P), ["p.w", "p.b", "q.w", "q.b"]),
    (lambda d: d["a"] * d["b"][0], ({"b": (4.0,), "a": 3},), ["d['a']", "d['b'][0]"]),
    (lambda x, none, y: x * y, (3.0, None, 4.0), ["x", "y"]),
    (lambda x, *more: x * more[0] * more[1], (3, 4, 5), ["x", "more[0]", "more[1]"]),
    (lambda x, /, y=2.0, *, k=5.0: x * y * k, (3.0,), ["x"]),
    (functools.partial(lambda a, b, c: a * b * c, 2.0), (3.0, 4.0), ["b", "c"]),
    (functools.partial(lambda a, b, c: a * b * c, c=2.0), (3.0, 4.0), ["a", "b"]),
    (operator.mul, (3.0, 4.0), ["a", "b"]),
    (jax.jit(lambda left, right: left * right), (3.0, 4.0), ["left", "right"]),
    (Model(), (3.0,), ["x"]),
    (NoSignature(), (3.0,), ["x0"]),
]


@pytest.mark.parametrize(("f", "arguments", "due"), ARGUMENTS)
def test_arguments_have_the_names_of_the_function(f, arguments, due):
    graph = computation_graph(f, *arguments)
    assert names(graph)[: len(due)] == due
    assert not any(node.expression for node in graph.nodes[: len(due)])
    leaves = [float(np.sum(leaf)) for leaf in jax.tree.leaves(arguments)]
    assert [float(node.value.sum()) for node in graph.nodes[: len(due)]] == leaves
    assert float(graph.nodes[-1].value) == float(f(*arguments))


def test_names_of_arguments_and_then_of_what_is_computed():
    def f(x, y):
        return (x * y + 1) * C.sum() - (x * C).sum()

    def named(*given):
        return names(computation_graph(f, *start, names=given))

    start = np.float64(3), np.float64(4)
    own = ["x", "y", "c", "u", "v", "p", "q", "r", "s", "J"]
    assert names(computation_graph(f, *start)) == own
    assert named("a", "b") == ["a", "b", *own[2:]]
    assert named("a", "b", "h", "k") == [
        "a",
        "b",
        "c",
        "h",
        "k",
        "u",
        "v",
        "p",
        "q",
        "J",
    ]
    assert named("v", "J", "u")[:6] == ["v", "J", "c", "u", "p", "q"]
    assert named("a", "b", *"defghkl") == ["a", "b", "c", *"defghkl"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "names has 0 of 2 arguments"),
        (["a"], "names has 1 of 2 arguments"),
        (["a", "a"], "names must differ, but are a, a"),
        (["a", "b", "a"], "names must differ, but are a, b, a"),
        (["a", "b", "d", "e"], "names has more than the 3 there are"),
        (["a", "b", ""], "names must be texts, none of them empty"),
        (["a", 2], "names must be texts, none of them empty"),
    ],
)
def test_names_that_do_not_fit(given, words):
    with pytest.raises(ValueError, match=words):
        computation_graph(lambda x, y: x * y, 3.0, 4.0, names=given)


def test_names_from_within():
    def f(x, y):
        h = [checkpoint_name(k * x, "h") for k in (2, 3, 4)]
        same, argument = checkpoint_name(y * x, "y"), checkpoint_name(x, "z")
        letter = checkpoint_name(checkpoint_name(argument - same, "u"), "w")
        return checkpoint_name(h[0] * h[1] * h[2] + letter, "cost")

    graph = computation_graph(f, 2.0, 1.0)
    assert names(graph) == ["x", "y", "h", "h2", "h3", "y2", "u", "v", "p", "cost"]
    assert str(graph).splitlines()[0].endswith("dcost/dnode")
    assert graph["h2"].expression == "3 * x"
    assert float(graph["h2"].derivative) == 4 * 8
    clash = computation_graph(lambda u, v, J: (u * v + J) * u, 3.0, 4.0, 5.0)
    assert names(clash) == ["u", "v", "J", "p", "q", "J2"]


def test_candidates_are_the_wish_or_letters_and_then_numbered():
    assert [*islice(_candidates("h"), 4)] == ["h", "h2", "h3", "h4"]
    more = ["t", "u1", "v1", "p1", "q1", "r1", "s1", "t1", "u2", "v2"]
    assert [*islice(_candidates(None), 16)][6:] == more


def test_a_negative_number_is_in_brackets():
    graph = computation_graph(lambda x: x * -2.0 + 0.5, 3.0)
    assert [node.expression for node in graph.nodes] == ["", "x * (-2)", "u + 0.5"]


def test_names_from_within_are_on_one_line():
    graph = computation_graph(lambda x: checkpoint_name(x * x, " a \n b") + 1, 3.0)
    assert names(graph) == ["x", "a b", "J"]


def test_each_result_of_a_step_says_which_it_is():
    graph = computation_graph(lambda x: sum(jnp.split(x, 2)).sum(), jnp.arange(2.0))
    assert [node.expression for node in graph.nodes[1:3]] == [
        "split(x)[0]",
        "split(x)[1]",
    ]


def test_what_is_captured_comes_in_order_after_the_arguments():
    """However many there are: a set of places has no order."""
    for count in range(1, 12):
        graph = computation_graph(
            lambda *x: ((sum(x) * C) * (C + 1) * np.arange(4.0, 7.0)).sum(),
            *range(count),
        )
        assert names(graph)[count : count + 2] == ["c", "c2"]
        assert graph["c"].value.tolist() == C.tolist()
        assert graph["c2"].value.tolist() == [4, 5, 6]


def test_a_constant_result_is_a_node_of_its_own():
    graph = computation_graph(lambda x: 2.0, 3.0)
    assert graph.result == "J"
    assert graph["J"] == ("J", "", (), 2, 1)


def test_every_node_has_a_name_of_its_own_however_many():
    graph = computation_graph(lambda x: sum(k * x for k in range(1, 30)), 1.0)
    assert len(set(names(graph))) == len(graph.nodes) > 50
    assert names(graph)[1:10] == ["u", "v", "p", "q", "r", "s", "t", "u1", "v1"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_stay_what_they_are(dtype):
    graph = computation_graph(lambda x: (x**2 * 0.5).sum(), np.arange(3, dtype=dtype))
    assert graph["x"].derivative.tolist() == [0, 1, 2]
    assert graph["x"].derivative.dtype == graph["x"].value.dtype == dtype
    assert graph.nodes[-1].value.dtype == dtype


def test_without_x64():
    with jax.enable_x64(False):
        graph = computation_graph(lambda x, y: x * y, 3, np.float64(2))
    assert {str(node.value.dtype) for node in graph.nodes} == {"float32"}
    assert [float(node.derivative) for node in graph.nodes[:2]] == [2, 3]


def test_nothing_to_add_up():
    graph = computation_graph(lambda x: (2 * x).sum() + 1, np.zeros((0, 3)))
    assert graph["x"].derivative.shape == graph["u"].derivative.shape == (0, 3)
    assert float(graph.nodes[-1].value) == 1

"""The nodes of a computation graph, their names, and the errors."""

import functools
import math
import operator
from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name

import jlogreg as jl
from jlogreg.graph.computation_graph import _candidates

C = jnp.arange(3.0)


def product(x, y):
    return x * y


def test_candidates_for_a_name_are_numbered():
    """Or the search for a free name would not end."""
    assert [*islice(_candidates("h"), 4)] == ["h", "h2", "h3", "h4"]
    assert [*islice(_candidates(None), 6, 9)] == ["t", "u1", "v1"]
    assert [*islice(_candidates(None), 14, 16)] == ["u2", "v2"]


def test_a_node_by_its_name():
    graph = jl.computation_graph(lambda a, b, c: 3 * (a + b * c), 5, 3, 2)
    assert graph["v"] == ("v", "a + u", ("a", "u"), 11, 3)
    with pytest.raises(KeyError, match="no node w; there are a, b, c, u, v, J"):
        graph["w"]
    assert jl.computation_graph(lambda: 2.0)["J"] == ("J", "", (), 2, 1)


@pytest.mark.parametrize(
    ("f", "error", "words"),
    [
        (lambda x: x.reshape(1, 1), jl.ShapeError, r"one number, .* returns \(1, 1\)"),
        (lambda x: (x, x), jl.ShapeError, r"one number, .* returns \(\), \(\)"),
        (lambda x: None, jl.ShapeError, "one number"),
        (lambda x: 3, jl.DtypeError, "must return a float, but returns int"),
        (lambda x: x > 2, jl.DtypeError, "must return a float, but returns bool"),
        (lambda x: x * 1j, jl.DtypeError, "must return a float, but returns complex"),
        (lambda: 2.0, TypeError, "takes 0 positional arguments but 1 was given"),
    ],
)
def test_a_function_that_does_not_return_one_float(f, error, words):
    with pytest.raises(error, match=words):
        jl.computation_graph(f, 3.0)


@pytest.mark.parametrize("value", ["a", 3j, [1.0, "b"], np.array([None]), {1.0}])
def test_an_argument_that_is_not_a_number(value):
    with pytest.raises(jl.DtypeError, match=r"^x\S* (must be a number or|has dtype)"):
        jl.computation_graph(lambda x: 1.0, value)


def test_traced_arguments():
    with pytest.raises(TypeError, match="call it outside jit"):
        jax.jit(lambda x: jl.computation_graph(jnp.sin, x).nodes[-1].value)(C)


def test_what_cannot_be_traced_is_told_what_to_write():
    for f in (np.exp, math.exp, lambda x: x if x > 0 else -x):
        with pytest.raises(TypeError, match=r"write jnp.exp\(x\) for np.exp\(x\)"):
            jl.computation_graph(f, 3.0)
    with pytest.raises(TypeError, match=r"write computation_graph\(f, x\)"):
        jl.computation_graph(jnp.exp, x=3.0)


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
        jl.computation_graph(product, 3.0, 4.0, names=given)


class NoSignature:
    __signature__ = "none"

    def __call__(self, x):
        return x**2


P = jl.Params(w=np.ones((1, 1)), b=np.ones((1, 1)))
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
    (jax.jit(product), (3.0, 4.0), ["x", "y"]),
    (NoSignature(), (3.0,), ["x0"]),
]


@pytest.mark.parametrize(("f", "arguments", "expected"), ARGUMENTS)
def test_names_of_arguments(f, arguments, expected):
    graph = jl.computation_graph(f, *arguments)
    assert [node.name for node in graph.nodes if not node.expression] == expected
    leaves = jax.tree.leaves(arguments)
    for node, leaf in zip(graph.nodes, leaves, strict=False):
        assert float(node.value.sum()) == np.sum(leaf)
    assert graph.nodes[-1].value == f(*arguments)


def steps(x, y):
    return (x * y + 1) * C.sum() - (x * C).sum()


def many_labels(x, y):
    h = [checkpoint_name(k * x, "h") for k in (2, 3, 4)]
    same, argument = checkpoint_name(y * x, "y"), checkpoint_name(x, "z")
    letter = checkpoint_name(checkpoint_name(argument - same, "u"), "w")
    return checkpoint_name(h[0] * h[1] * h[2] + letter, "cost")


def letters(x, y):
    return sum(k * x for k in range(1, 10)) + y


def constant_label(x, y):
    return checkpoint_name(jnp.asarray(2.0), "k") * x + y


def spaces(x, y):
    return checkpoint_name(x * y, " a \n b") + 1


@pytest.mark.parametrize(
    ("f", "given", "expected"),
    [
        (steps, None, "x y c u v p q r s J"),
        (steps, "a b", "a b c u v p q r s J"),
        (steps, "a b h k", "a b c h k u v p q J"),
        (steps, "v J u", "v J c u p q r s t J2"),
        (steps, "a b d e f g h k l", "a b c d e f g h k l"),
        (many_labels, None, "x y h h2 h3 y2 u v p cost"),
        (product, "u v", "u v J"),
        (lambda u, v: (u * v + v) * u, None, "u v p q J"),
        (letters, None, "x y u v p q r s t u1 v1 p1 q1 r1 s1 t1 u2 v2 p2 q2 J"),
        (spaces, None, "x|y|a b|J"),
        (constant_label, None, "x y u J"),
        (lambda x, y: 2.0, None, "x y J"),
    ],
)
def test_names_of_all_nodes(f, given, expected):
    given = given and given.split()
    graph = jl.computation_graph(f, np.float64(2), np.float64(1), names=given)
    names = [node.name for node in graph.nodes]
    assert names == expected.split("|" if "|" in expected else None)
    assert graph.result == names[-1]
    assert str(graph).splitlines()[0].endswith(f"d{graph.result}/dnode")
    value = graph.nodes[-1].value
    assert repr(graph) == f"Graph({len(graph.nodes)} nodes, {graph.result} = {value:g})"


def test_captured_arrays_follow_the_arguments_in_order():
    """However many there are: a set of places has no order."""
    for count in range(1, 12):
        graph = jl.computation_graph(
            lambda *x: ((sum(x) * C) * (C + 1) * np.arange(4.0, 7.0)).sum(),
            *range(count),
        )
        assert [node.name for node in graph.nodes[count:][:2]] == ["c", "c2"]
        assert graph["c"].value.tolist() == C.tolist()
        assert graph["c2"].value.tolist() == [4, 5, 6]


def test_without_x64():
    with jax.enable_x64(False):
        graph = jl.computation_graph(product, 3, np.float64(2))
    assert {str(node.value.dtype) for node in graph.nodes} == {"float32"}
    assert [float(node.derivative) for node in graph.nodes[:2]] == [2, 3]

"""A graph as a table, as DOT, Mermaid and JSON, and as a picture: read back."""

import html
import itertools
import json
import re
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import ArrowStyle, FancyArrowPatch, FancyBboxPatch
from matplotlib.text import Text
from matplotlib.transforms import Bbox

import jlogreg as jl
from jlogreg.plots import graph_diagram

BLACK, BLUE, RED = "#000000", "#2166ac", "#b2182b"
NUMBERS = (bool, int, np.int32, float)
SPECIAL = ['<a & "b">', "d'|", "&amp;", "x{y}", "a]b[", "a\\nb", "%%", "é", "a;b"]
SPECIAL += ["$c$", "#9829;", " two\n words "]


def special(x):
    """Return a number by way of names that mean something to the languages."""
    for name in SPECIAL:
        x = checkpoint_name(x * 2, name)
    return x


def whole(x, n):
    return jnp.where(x > 2, x * n.astype(x.dtype), 0.0)


GRAPHS = {
    "special names": (special, (3.0,)),
    "whole numbers": (whole, (3.0, np.int32(2))),
    "arrays": (lambda X: (jax.nn.softmax(X @ X.T) ** 2).sum(), (np.eye(3) / 3,)),
    "empty": (lambda x: x.sum(), (np.zeros((0, 2)),)),
    "not finite": (lambda x, y: x / y * y, (1.0, 0.0)),
    "twice": (lambda x: x * x + x, (3.0,)),
    "constant": (lambda: 2.0, ()),
    "random": (lambda x, k: x * jax.random.normal(k), (2.0, jax.random.PRNGKey(0))),
    "complex": (lambda x: jnp.abs(jnp.fft.fft(x)).sum(), (np.ones(3),)),
}


@pytest.fixture(scope="module", params=GRAPHS)
def graph(request):
    f, arguments = GRAPHS[request.param]
    return jl.computation_graph(f, *arguments)


def lines_of(node):
    return [line for line in node.label if line]


def edges_of(graph):
    numbers = {node.name: number for number, node in enumerate(graph.nodes)}
    return [
        (numbers[operand], number)
        for number, node in enumerate(graph.nodes)
        for operand in node.operands
    ]


def read_back(graph, lines, box, arrow):
    """Return the labels in lines of a language, after a check of numbers and edges."""
    count = len(graph.nodes)
    boxes = [re.fullmatch(box, line) for line in lines[:count]]
    assert [int(match[1]) for match in boxes] == [*range(count)]
    arrows = [re.fullmatch(arrow, line) for line in lines[count:]]
    assert [(int(match[1]), int(match[2])) for match in arrows] == edges_of(graph)
    return zip([match[2] for match in boxes], graph.nodes, strict=True)


def test_the_labels_of_nodes():
    graph = jl.computation_graph(whole, 3.0, np.int32(2))
    assert [graph[name].label for name in "xnuJ"] == [
        ("x", "3", "dx = 2"),
        ("n", "2", ""),
        ("u = x > 2", "True", ""),
        ("J = where(u, q, 0)", "6", "dJ = 1"),
    ]
    many = np.arange(100.0).reshape(10, 10)
    many = jl.computation_graph(lambda x: (x * 0).sum(), many)
    assert many["x"].label == ("x", "0 to 99 (10, 10)", "dx = 0 (10, 10)")
    few = jl.computation_graph(lambda x: (x**2).sum(), np.array([[0.5, -1.0]]))
    assert few["x"].label == ("x", "[[ 0.5, -1. ]]", "dx = [[ 1., -2.]]")


def test_the_table():
    f, start = lambda alpha, x: (alpha * x).sum(), (-1234567.0, np.ones(2))
    assert str(jl.computation_graph(f, *start)).splitlines() == [
        "node   expression                  value           dJ/dnode",
        "alpha                       -1.23457e+06                  2",
        "x                                 1 (2,)  -1.23457e+06 (2,)",
        "u      float64(alpha)       -1.23457e+06                  2",
        "v      u * x           -1.23457e+06 (2,)             1 (2,)",
        "J      sum(v)               -2.46913e+06                  1",
    ]


def test_dot_is_read_back(graph):
    first, second, *body, last = graph.to_dot().splitlines()
    assert (first, last) == ("digraph {", "}")
    assert second == "  rankdir=LR; node [shape=box, style=rounded];"
    box, arrow = r"  n(\d+) \[label=<(.*)>\];", r"  n(\d+) -> n(\d+);"
    for text, node in read_back(graph, body, box, arrow):
        label = ElementTree.fromstring(f"<label>{text}</label>")
        assert "".join(label.itertext()) == "".join(node.label)
        fonts = [(font.get("color"), font.text) for font in label.iter("font")]
        # Graphviz refuses a font without text.
        assert fonts == list(zip((BLUE, RED), lines_of(node)[1:], strict=False))
        assert len(label.findall("br")) == len(fonts)


def test_mermaid_is_read_back(graph):
    first, *body = graph.to_mermaid().splitlines()
    assert first == "flowchart LR"
    box, arrow = r'  n(\d+)\["([^"]*)"\]', r"  n(\d+) --> n(\d+)"
    for text, node in read_back(graph, body, box, arrow):
        # Mermaid writes #quot; where HTML has &quot;, and a label must hold no other #.
        rest = re.sub("&(lt|gt|amp);|#(quot|35|39);|<br/>", "", text)
        assert not set(rest) & set("<>&#")
        text = text.replace("#quot;", "&quot;").replace("#3", "&#3")
        assert [html.unescape(line) for line in text.split("<br/>")] == lines_of(node)


def test_json_holds_it(graph):
    assert list(graph.edges()) == edges_of(graph)
    assert all(start < end for start, end in graph.edges())
    text = json.dumps(graph.to_dict(), allow_nan=False)  # NaN and Infinity are not JSON
    assert json.loads(text)["result"] == graph.result
    for held, node in zip(json.loads(text)["nodes"], graph.nodes, strict=True):
        assert [held["name"], held["expression"]] == [node.name, node.expression]
        assert tuple(held["operands"]) == node.operands
        assert tuple(held["shape"]) == node.value.shape
        for part, array in (("value", node.value), ("derivative", node.derivative)):
            if array is None:
                assert held[part] is None
            elif array.dtype in NUMBERS and np.isfinite(array).all():
                read = np.reshape(held[part], held["shape"])
                np.testing.assert_array_equal(read, array)


# --- the picture ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def axes(graph):
    figure = graph_diagram(graph)
    figure.canvas.draw()
    return figure.axes[0]


def patches_of(axes, kind):
    return [patch for patch in axes.patches if isinstance(patch, kind)]


def boxes_of(axes):
    return [patch.get_bbox() for patch in patches_of(axes, FancyBboxPatch)]


def inside(small, large):
    return large.contains(*small.min) and large.contains(*small.max)


def test_the_picture_has_the_labels_in_their_colors(graph, axes):
    shown = [text.get_text().replace("\\$", "$") for text in axes.texts]
    colors = [to_hex(text.get_color()) for text in axes.texts]
    labels = (zip(node.label, (BLACK, BLUE, RED), strict=True) for node in graph.nodes)
    expected = sorted(itertools.chain(*labels))
    assert sorted(zip(shown, colors, strict=True)) == expected
    # All letters have one width: nothing between dollars is set as mathematics.
    widths = [text.get_window_extent().width for text in axes.texts]
    letter = max(widths) / max(map(len, shown))
    np.testing.assert_allclose(widths, [letter * len(text) for text in shown], atol=1)


def test_boxes_contain_their_labels_and_do_not_overlap(graph, axes):
    boxes = boxes_of(axes)
    assert len(boxes) == len(graph.nodes)
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    assert all(box.width > 0 and inside(box, axes.viewLim) for box in boxes)
    inverse = axes.transData.inverted()
    for text in filter(Text.get_text, axes.texts):
        extent = text.get_window_extent().transformed(inverse)
        assert any(inside(extent, box) for box in boxes)


def test_arrows_point_right_and_cross_no_box(graph, axes):
    arrows = patches_of(axes, FancyArrowPatch)
    heads = [isinstance(a.get_arrowstyle(), ArrowStyle.CurveFilledB) for a in arrows]
    assert sum(heads) == len(edges_of(graph))
    # An edge that passes a column is an arrow's piece before it and a line through it.
    assert len(arrows) == sum(heads) + len(axes.lines)
    paths = [arrow.get_path().vertices[:3] for arrow in arrows]  # without the head
    paths += [line.get_xydata() for line in axes.lines]
    share = np.linspace(0, 1, 50)[:, None]
    for path in paths:
        start, end = path[path[:, 0].argmin()], path[path[:, 0].argmax()]
        assert start[0] < end[0]
        points = start + share * (end - start)
        for box in boxes_of(axes):
            across = Bbox([[box.x0 + 0.01, box.y0], [box.x1 - 0.01, box.y1]])
            assert across.count_contains(points) == 0


def test_the_picture_is_saved(tmp_path):
    figure = graph_diagram(jl.computation_graph(special, 3.0))
    for kind in ("svg", "png", "pdf"):
        figure.savefig(tmp_path / f"graph.{kind}")
        assert (tmp_path / f"graph.{kind}").stat().st_size > 1000
    picture = matplotlib.image.imread(tmp_path / "graph.png")[..., :3]
    assert (abs(picture - to_rgb(RED)) < 0.1).all(axis=-1).sum() > 100

"""A graph as a table, as DOT, Mermaid and JSON, and as a picture: read back."""

import html
import itertools
import json
import re
import shutil
import subprocess
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name
from matplotlib.colors import to_hex
from matplotlib.patches import ArrowStyle, FancyArrowPatch, FancyBboxPatch
from matplotlib.text import Text

from jlogreg import computation_graph, log_loss
from jlogreg.plots import graph_diagram

BLUE, RED = "#2166ac", "#b2182b"
ODD = ['<a & "b">', "d'|", "&amp;", "x{y}", "a]b[", "a\\nb", "%%", "é", "a;b"]
ODD += ["$c$", "#9829;", " two\n words "]


def odd(x):
    """Return a number, by way of names that mean something to the languages."""
    for name in ODD:
        x = checkpoint_name(x * 2, name)
    return x


def whole(x, n):
    return jnp.where(x > 2, x * n.astype(x.dtype), 0.0)


GRAPHS = {
    "lesson": (lambda a, b, c: 3 * (a + b * c), (5, 3, 2)),
    "odd names": (odd, (3.0,)),
    "keys of a dict": (lambda d: d["a"] * d["<b>"], ({"a": 2.0, "<b>": 3.0},)),
    "whole numbers": (whole, (3.0, np.int32(2))),
    "log loss": (log_loss, (0.5, 1.0)),
    "arrays": (lambda X: (jax.nn.softmax(X @ X.T) ** 2).sum(), (np.eye(3) / 3,)),
    "nothing": (lambda x: x.sum(), (np.zeros((0, 2)),)),
    "not finite": (lambda x, y: x / y * y, (1.0, 0.0)),
    "twice": (lambda x: x * x + x, (3.0,)),
    "constant": (lambda: 2.0, ()),
    "random": (lambda x, k: x * jax.random.normal(k), (2.0, jax.random.PRNGKey(0))),
    "complex": (lambda x: jnp.abs(jnp.fft.fft(x)).sum(), (np.ones(3),)),
}


@pytest.fixture(scope="module", params=GRAPHS)
def graph(request):
    f, arguments = GRAPHS[request.param]
    return computation_graph(f, *arguments)


def lines_of(node):
    return [line for line in node.label if line]


def edges_of(graph):
    names = [node.name for node in graph.nodes]
    return [
        (names.index(operand), number)
        for number, node in enumerate(graph.nodes)
        for operand in node.operands
    ]


def test_the_words_of_a_node():
    graph = computation_graph(whole, 3.0, np.int32(2))
    assert graph["x"].label == ("x", "3", "dx = 2")
    assert graph["n"].label == ("n", "2", "")
    assert graph["J"].label == ("J = where(u, q, 0)", "6", "dJ = 1")
    assert graph["u"].label == ("u = x > 2", "True", "")
    assert repr(graph) == f"Graph({len(graph.nodes)} nodes, J = 6)"
    many = computation_graph(lambda x: (x * 0).sum(), np.arange(100.0).reshape(10, 10))
    assert many["x"].label == ("x", "0 to 99 (10, 10)", "dx = 0 (10, 10)")
    few = computation_graph(lambda x: (x**2).sum(), np.array([[0.5, -1.0]]))
    assert few["x"].label == ("x", "[[ 0.5, -1. ]]", "dx = [[ 1., -2.]]")


def test_the_table():
    graph = computation_graph(
        lambda alpha, x: (alpha * x).sum(), -1234567.0, np.ones(2)
    )
    assert str(graph).splitlines() == [
        "node   expression                  value           dJ/dnode",
        "alpha                       -1.23457e+06                  2",
        "x                                 1 (2,)  -1.23457e+06 (2,)",
        "u      float64(alpha)       -1.23457e+06                  2",
        "v      u * x           -1.23457e+06 (2,)             1 (2,)",
        "J      sum(v)               -2.46913e+06                  1",
    ]
    assert graph.table() == str(graph)


def test_the_columns_of_the_table_are_aligned(graph):
    header, *lines = graph.table().splitlines()
    titles = ["node", "expression", "value", f"d{graph.result}/dnode"]
    assert re.split(" {2,}", header) == titles
    start, end = header.index("expression"), header.index("value") + len("value")
    for line, node in zip(lines, graph.nodes, strict=True):
        assert line == line.rstrip()
        assert line[:start].rstrip() == node.name
        assert line[start:end].startswith(node.expression)
        assert line[start:end].endswith(f" {node.label[1]}")
        assert len(line) == len(header) or node.derivative is None
        assert line[end:].strip() == node.label[2].removeprefix(f"d{node.name} = ")


def test_dot_is_read_back(graph):
    first, second, *body, last = graph.to_dot().splitlines()
    assert (first, last) == ("digraph {", "}")
    assert second.strip().endswith(";")
    boxes = [re.fullmatch(r"  n(\d+) \[label=<(.*)>\];", line) for line in body]
    boxes = [box for box in boxes if box]
    for number, (box, node) in enumerate(zip(boxes, graph.nodes, strict=True)):
        assert int(box[1]) == number
        label = ElementTree.fromstring(f"<label>{box[2]}</label>")
        assert "".join(label.itertext()) == "".join(node.label)
        fonts = [(font.get("color"), font.text) for font in label.iter("font")]
        # Graphviz refuses a font without text.
        assert fonts == list(zip((BLUE, RED), lines_of(node)[1:], strict=False))
        assert len(label.findall("br")) == len(fonts)
    arrows = [re.fullmatch(r"  n(\d+) -> n(\d+);", line) for line in body[len(boxes) :]]
    assert [(int(arrow[1]), int(arrow[2])) for arrow in arrows] == edges_of(graph)


@pytest.mark.skipif(not shutil.which("dot"), reason="Graphviz is not installed")
def test_graphviz_takes_it(graph):
    done = subprocess.run(
        ["dot", "-Tsvg"],
        input=graph.to_dot(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    svg = "{http://www.w3.org/2000/svg}"
    texts = [
        text.text for text in ElementTree.fromstring(done.stdout).iter(f"{svg}text")
    ]
    due = [line for node in graph.nodes for line in lines_of(node)]
    assert sorted(text.replace("\xa0", " ") for text in texts) == sorted(due)


def test_mermaid_is_read_back(graph):
    first, *body = graph.to_mermaid().splitlines()
    assert first == "flowchart LR"
    boxes = [re.fullmatch(r'  n(\d+)\["([^"]*)"\]', line) for line in body]
    boxes = [box for box in boxes if box]
    for number, (box, node) in enumerate(zip(boxes, graph.nodes, strict=True)):
        assert int(box[1]) == number
        lines = box[2].split("<br/>")
        # Mermaid writes #quot; where HTML has &quot;, and a label must hold no other #.
        rest = re.sub("&(lt|gt|amp);|#(quot|35|39);", "", "".join(lines))
        assert not set(rest) & set("<>&#")
        read = [html.unescape(re.sub(r"#(\w+);", code, line)) for line in lines]
        assert [line for line in read if line] == lines_of(node)
    arrows = [re.fullmatch(r"  n(\d+) --> n(\d+)", line) for line in body[len(boxes) :]]
    assert [(int(arrow[1]), int(arrow[2])) for arrow in arrows] == edges_of(graph)


def code(match):
    return f"&#{match[1]};" if match[1].isdecimal() else f"&{match[1]};"


def is_real(array):
    return isinstance(array.dtype, np.dtype) and array.dtype.kind in "fiub"


def test_json_holds_it(graph):
    text = json.dumps(graph.to_dict(), allow_nan=False)  # NaN and Infinity are not JSON
    assert json.loads(text)["result"] == graph.result
    for found, node in zip(json.loads(text)["nodes"], graph.nodes, strict=True):
        assert [found["name"], found["expression"]] == [node.name, node.expression]
        assert tuple(found["operands"]) == node.operands
        assert tuple(found["shape"]) == node.value.shape
        for part, array in (("value", node.value), ("derivative", node.derivative)):
            if array is None:
                assert found[part] is None
            elif is_real(array) and np.isfinite(array).all():
                read = np.reshape(found[part], found["shape"])
                np.testing.assert_array_equal(read, array)


def test_edges(graph):
    assert list(graph.edges()) == edges_of(graph)
    assert all(start < end for start, end in graph.edges())


def test_operands_are_what_the_text_names():
    graph = computation_graph(lambda x, y: jnp.maximum(x * y, x) - (x + x), 3.0, 2.0)
    for node in graph.nodes:
        letters = set(re.findall(r"\b[a-z]\b", node.expression))
        assert set(node.operands) == letters
        assert len(node.operands) == len(letters)


# --- the picture ----------------------------------------------------------------------


@pytest.fixture
def figure(graph):
    figure = graph_diagram(graph)
    figure.canvas.draw()
    return figure


def boxes_of(figure):
    (axes,) = figure.axes
    patches = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    return [patch.get_bbox() for patch in patches]


def test_the_picture_has_the_words_in_their_colours(graph, figure):
    (axes,) = figure.axes
    shown = [text.get_text().replace("\\$", "$") for text in axes.texts]
    colours = [to_hex(text.get_color()) for text in axes.texts]
    due = [
        pair
        for node in graph.nodes
        for pair in zip(node.label, ("#000000", BLUE, RED), strict=True)
    ]
    assert sorted(zip(shown, colours, strict=True)) == sorted(due)
    # All letters have one width: nothing between dollars is set as mathematics.
    widths = [text.get_window_extent().width for text in axes.texts]
    letter = max(widths) / max(map(len, shown))
    np.testing.assert_allclose(widths, [letter * len(text) for text in shown], atol=1)


def test_boxes_hold_their_words_and_stand_apart(graph, figure):
    (axes,) = figure.axes
    boxes = boxes_of(figure)
    assert len(boxes) == len(graph.nodes)
    for a, b in itertools.combinations(boxes, 2):
        assert a.x1 < b.x0 or b.x1 < a.x0 or a.y1 < b.y0 or b.y1 < a.y0
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    for box in boxes:
        assert left < box.x0 < box.x1 < right
        assert bottom < box.y0 < box.y1 < top
    inverse = axes.transData.inverted()
    for text in filter(Text.get_text, axes.texts):
        extent = text.get_window_extent().transformed(inverse)
        assert any(
            box.x0 <= extent.x0 <= extent.x1 <= box.x1
            and box.y0 <= extent.y0 <= extent.y1 <= box.y1
            for box in boxes
        )


def test_arrows_point_right_and_cross_no_box(graph, figure):
    (axes,) = figure.axes
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    heads = [
        a for a in arrows if isinstance(a.get_arrowstyle(), ArrowStyle.CurveFilledB)
    ]
    assert len(heads) == len(edges_of(graph))
    # An edge that passes a column is an arrow's piece before it and a line through it.
    assert len(arrows) == len(heads) + len(axes.lines)
    paths = [arrow.get_path().vertices[:3] for arrow in arrows]  # without the head
    paths += [line.get_xydata() for line in axes.lines]
    for path in paths:
        start, end = path[path[:, 0].argmin()], path[path[:, 0].argmax()]
        assert start[0] < end[0]
        for share in np.linspace(0, 1, 50):
            x, y = start + share * (end - start)
            assert not any(
                box.x0 + 0.01 < x < box.x1 - 0.01 and box.y0 < y < box.y1
                for box in boxes_of(figure)
            )


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_the_picture_is_saved(kind, tmp_path):
    figure = graph_diagram(computation_graph(odd, 3.0))
    path = tmp_path / f"graph.{kind}"
    figure.savefig(path)
    if kind == "png":
        picture = matplotlib.image.imread(path)
        reds = (abs(picture[..., :3] - matplotlib.colors.to_rgb(RED)) < 0.1).all(
            axis=-1
        )
        assert reds.sum() > 100
    assert path.stat().st_size > 1000

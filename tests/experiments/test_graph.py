"""`graph` draws formulas in the terminal and as files, or says in one line why not."""

import importlib.util
import json
import os
import shutil
import sys
from xml.etree import ElementTree

import pytest

from experiments.formula import draw as drawing
from tests.experiments.conftest import assert_is_png, call_main, error_line

LESSON = ("3 * (a + b * c)", "a=5", "b=3", "c=2")
TREE = """\
J = 3 * v = 33   dJ = 1
└── v = a + u = 11   dv = 3
    ├── a = 5   da = 3
    └── u = b * c = 6   du = 3
        ├── b = 3   db = 6
        └── c = 2   dc = 9
"""


def graph(*arguments):
    """Return the code, output and errors of the command."""
    return call_main("graph", *arguments)


@pytest.fixture(params=["as it is", "no package", "no program"])
def by_graphviz(request, monkeypatch):
    """Return whether Graphviz draws, with its package or its program taken away."""
    if request.param == "no package":
        monkeypatch.setitem(sys.modules, "graphviz", None)
    if request.param == "no program":
        monkeypatch.setattr(shutil, "which", lambda name: None)
    if request.param != "as it is":
        return False
    return bool(importlib.util.find_spec("graphviz") and shutil.which("dot"))


# The first lines of what is printed, or all of them.
DRAWN = {
    LESSON: TREE,
    # What is written twice is one node.
    ("exp(a) * (exp( a ) + (a))", "a=0"): """\
J = u * v = 1   dJ = 1
├── u = exp(a) = 1   du = 2
│   └── a = 0   da = 3
└── v = u + a = 1   dv = 1
    ├── u = exp(a) = 1   du = 2   (as above)
    └── a = 0   da = 3
""",
    ("a", "a=5"): "a = 5   da = 1\n",
    ("2 + 3",): "J = 5   dJ = 1\n",
    ("--", "-a ** 2", "a=3"): "J = -u = -9   dJ = 1\n└── u = a ** 2 = 9   du = -1\n",
    ("a ** -2", "a=-2"): "J = a ** (-2) = 0.25   dJ = 1\n└── a = -2   da = 0.25\n",
    ("a / 0", "a=5"): "J = a / 0 = inf   dJ = 1\n└── a = 5   da = inf\n",
    ("log(a)", "a=-1"): "J = log(a) = nan   dJ = 1\n",
    ("J * 2 + u", "J=3", "u=4"): "J2 = v + u = 10   dJ2 = 1\n",
    ("λ * 2", "λ=-1e-3"): "J = λ * 2 = -0.002   dJ = 1\n└── λ = -0.001   dλ = 2\n",
    ("\N{MICRO SIGN} * 2", "\N{MICRO SIGN}=3"): "J = μ * 2 = 6   dJ = 1\n",
    (" a\n", "a=1_000"): "a = 1000   da = 1\n",
    # Huge powers are computed as floats.
    ("9**9**9**9 * a", "a=1"): "J = inf * a = inf   dJ = 1\n",
    ("2**1000000000 * a", "a=1"): "J = inf * a = inf   dJ = 1\n",
    ("10**(10**10) * a", "a=1"): "J = inf * a = inf   dJ = 1\n",
}


@pytest.mark.parametrize("arguments", DRAWN)
def test_the_graph_is_drawn_in_the_terminal(arguments):
    result = graph(*arguments)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(DRAWN[arguments])
    if arguments == LESSON:
        assert result.out == TREE


WRITTEN = "values are written NAME=NUMBER, as in a=5"
ONLY_RUN = "only `run` takes settings"
WRONG_VALUES = {
    ("a", "a=5", "a=5"): "a=5: a has a value already",
    ("a", "a"): f"a: {WRITTEN}",
    ("a", "=5"): f"=5: {WRITTEN}",
    ("a", "1a=5"): f"1a=5: {WRITTEN}",
    ("a", "a="): "a=: '' is not a number",
    ("a", "a==5"): "a==5: '=5' is not a number",
    ("a", "a=2*3"): "a=2*3: '2*3' is not a number",
    ("a", "a=inf"): "a=inf: the number must be finite",
    ("a", "a=nan"): "a=nan: the number must be finite",
    ("a", "a=1e400"): "a=1e400: the number must be finite",
    ("a * b * c", "a=5"): "b, c: no value is given; add b=1 c=1, say",
    ("a", "a=5", "--steps", "3"): f"--steps: {ONLY_RUN}",
    ("-a", "a=5"): f"-a: {ONLY_RUN}; put what begins with a minus in brackets",
}


@pytest.mark.parametrize("arguments", WRONG_VALUES)
def test_wrong_values_are_one_line(arguments):
    assert error_line(graph(*arguments)) == WRONG_VALUES[arguments]


def repeated(n):
    return {
        "sum": "+".join(["a"] * n),
        "products": "+".join(f"{k}*a" for k in range(n)),
        "powers": "**".join(["a"] * n),
        "signs": "-" * n + "a",
        "parentheses": "(" * n + "a" + ")" * n,
        "functions": "tanh(" * n + "a" + ")" * n,
        "digits": "9" * n + "*a",
        "exponent": "a**" + "9" * n,
    }


@pytest.mark.parametrize("kind", repeated(0))
@pytest.mark.parametrize("n", [90, 400, 900, 10_000])
def test_long_and_deep_formulas_have_a_result_or_one_line(kind, n):
    result = graph("--", repeated(n)[kind], "a=1")
    if result.code == 2:
        assert n > 90 or kind in ("digits", "exponent")
        assert len(error_line(result)) < 500
    else:
        assert (result.code, result.err) == (0, "")
        result_name = "a" if kind == "parentheses" else "J"
        assert f"d{result_name} = 1" in " ".join(result.out.split())


def test_text_files(tmp_path):
    starts = {".dot": "digraph {", ".mmd": "flowchart LR", ".json": "{"}
    for suffix, start in starts.items():
        path = tmp_path / f"graph{suffix}"
        result = graph(*LESSON, "--out", path)
        assert result == (0, f"{TREE}drawn in {path}\n", "")
        assert path.read_text().startswith(f"{start}\n")
        assert path.read_text().count("n4 -") == (suffix != ".json")
    nodes = {node["name"]: node for node in json.loads(path.read_text())["nodes"]}
    assert (nodes["v"]["value"], nodes["v"]["derivative"]) == (11, 3)
    assert sorted(nodes) == ["J", "a", "b", "c", "u", "v"]


@pytest.mark.parametrize("suffix", drawing.PICTURES)
def test_pictures(suffix, by_graphviz, tmp_path):
    path = tmp_path / f"graph{suffix}"
    result = graph(*LESSON, "--out", path)
    assert (result.code, result.err) == (0, "")
    if suffix == ".svg":
        ElementTree.parse(path)
        assert ("Matplotlib" in path.read_text()) == (not by_graphviz)
    elif suffix == ".pdf":
        assert path.read_bytes().startswith(b"%PDF")
    else:
        assert_is_png(path)


KINDS = "the name must end in one of .svg, .png, .pdf, .dot, .mmd, .json"
UNWRITTEN = {
    **dict.fromkeys(("g.txt", "g", ".svg"), KINDS),
    **dict.fromkeys(("folder.svg", "folder.json", "pipe.dot"), "is not a file"),
    "no/g.svg": "No such file or directory",
}


@pytest.mark.parametrize("name", UNWRITTEN)
def test_files_that_cannot_be_written(name, tmp_path):
    for folder in ("folder.svg", "folder.json"):
        (tmp_path / folder).mkdir()
    os.mkfifo(tmp_path / "pipe.dot")
    before = sorted(tmp_path.rglob("*"))
    path = tmp_path / name
    line = error_line(graph(*LESSON, "--out", path))
    assert line == f"--out {path}: {UNWRITTEN[name]}"
    assert sorted(tmp_path.rglob("*")) == before

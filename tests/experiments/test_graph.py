"""`graph` draws formulas in the terminal and as files, or says in one line why not."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from experiments.formula import draw as drawing
from tests.experiments.conftest import ROOT, assert_is_png

LESSON = ("3 * (a + b * c)", "a=5", "b=3", "c=2")
TREE = """\
J = 3 * v = 33   dJ = 1
└── v = a + u = 11   dv = 3
    ├── a = 5   da = 3
    └── u = b * c = 6   du = 3
        ├── b = 3   db = 6
        └── c = 2   dc = 9
"""


@pytest.fixture
def refused(command):
    """Return a function that expects one line of moderate length, and code 2."""

    def call(*arguments):
        result = command("graph", *arguments)
        assert (result.code, result.out) == (2, "")
        (line,) = result.err.splitlines()
        assert re.match(r"error: \S", line)
        assert len(line) < 500
        return line.removeprefix("error: ")

    return call


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


def test_the_lesson(command):
    assert command("graph", *LESSON) == (0, TREE, "")


def test_what_is_written_twice_is_one_node(command):
    result = command("graph", "exp(a) * (exp( a ) + (a))", "a=0")
    assert result == (
        0,
        "J = u * v = 1   dJ = 1\n"
        "├── u = exp(a) = 1   du = 2\n"
        "│   └── a = 0   da = 3\n"
        "└── v = u + a = 1   dv = 1\n"
        "    ├── u = exp(a) = 1   du = 2   (as above)\n"
        "    └── a = 0   da = 3\n",
        "",
    )


@pytest.mark.parametrize(
    ("arguments", "due"),
    [
        (("a", "a=5"), ["a = 5   da = 1"]),
        (("2 + 3",), ["J = 5   dJ = 1"]),
        (
            ("--", "-a ** 2", "a=3"),
            ["J = -u = -9   dJ = 1", "└── u = a ** 2 = 9   du = -1"],
        ),
        (
            ("a ** -2", "a=-2"),
            ["J = a ** (-2) = 0.25   dJ = 1", "└── a = -2   da = 0.25"],
        ),
        (("a / 0", "a=5"), ["J = a / 0 = inf   dJ = 1", "└── a = 5   da = inf"]),
        (("log(a)", "a=-1"), ["J = log(a) = nan   dJ = 1"]),
        (("J * 2 + u", "J=3", "u=4"), ["J2 = v + u = 10   dJ2 = 1"]),
        (
            ("λ * 2", "λ=-1e-3"),
            ["J = λ * 2 = -0.002   dJ = 1", "└── λ = -0.001   dλ = 2"],
        ),
        (("\N{MICRO SIGN} * 2", "\N{MICRO SIGN}=3"), ["J = μ * 2 = 6   dJ = 1"]),
        ((" a\n", "a=1_000"), ["a = 1000   da = 1"]),
    ],
)
def test_first_lines(arguments, due, command):
    result = command("graph", *arguments)
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[: len(due)] == due


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
def test_wrong_values_are_one_line(arguments, refused):
    assert refused(*arguments) == WRONG_VALUES[arguments]


def joined(text):
    return " ".join(text.split())


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
def test_long_and_deep_formulas_have_a_result_or_one_line(kind, n, command):
    result = command("graph", "--", repeated(n)[kind], "a=1")
    if result.code == 2:
        assert n > 90 or kind in ("digits", "exponent")
        (line,) = result.err.splitlines()
        assert re.match(r"error: \S.{0,490}$", line)
        assert result.out == ""
    else:
        assert (result.code, result.err) == (0, "")
        assert f"d{'a' if kind == 'parentheses' else 'J'} = 1" in joined(result.out)


@pytest.mark.parametrize("power", ["9**9**9**9", "2**1000000000", "10**(10**10)"])
def test_huge_powers_are_computed_as_floats(power, command):
    result = command("graph", f"{power} * a", "a=1")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[0] == "J = inf * a = inf   dJ = 1"


def test_no_traceback_and_no_warning_from_the_terminal():
    """Run it as one does: Python's own warnings on stderr would be a second line."""
    command = [sys.executable, "-m", "experiments", "graph", "1if a else 2", "a=5"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: \S.*\n", done.stderr)


def test_text_files(command, tmp_path):
    for suffix, start in (
        (".dot", "digraph {"),
        (".mmd", "flowchart LR"),
        (".json", "{"),
    ):
        path = tmp_path / f"graph{suffix}"
        result = command("graph", *LESSON, "--out", path)
        assert result == (0, f"{TREE}drawn in {path}\n", "")
        assert path.read_text().startswith(f"{start}\n")
        assert path.read_text().count("n4 -") == (suffix != ".json")
    nodes = json.loads(path.read_text())["nodes"]
    found = {node["name"]: (node["value"], node["derivative"]) for node in nodes}
    due = {"a": (5, 3), "b": (3, 6), "c": (2, 9), "u": (6, 3), "v": (11, 3)}
    assert found == due | {"J": (33, 1)}


@pytest.mark.parametrize("suffix", drawing.PICTURES)
def test_pictures(suffix, by_graphviz, command, tmp_path):
    path = tmp_path / f"graph{suffix}"
    result = command("graph", *LESSON, "--out", path)
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
    **dict.fromkeys(("folder.svg", "folder.json"), "Is a directory"),
    "no/g.svg": "No such file or directory",
}


@pytest.mark.parametrize("name", UNWRITTEN)
def test_files_that_cannot_be_written(name, command, tmp_path):
    for folder in ("folder.svg", "folder.json"):
        (tmp_path / folder).mkdir()
    before = sorted(tmp_path.rglob("*"))
    path = tmp_path / name
    result = command("graph", *LESSON, "--out", path)
    line = f"error: --out {path}: {UNWRITTEN[name]}\n"
    assert (result.code, result.err) == (2, line)
    assert sorted(tmp_path.rglob("*")) == before

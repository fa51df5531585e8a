"""The house stays in order: floors, surface, documentation, and no silent no-ops."""

import ast
import importlib
import inspect
import re
import tomllib
from pathlib import Path

import pytest

import jlogreg

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "jlogreg"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# A file may import those before it, and nothing after it.
ORDER = [
    "errors",
    "checks",
    "text",
    "arrays",
    "sparse",
    "design",
    "paired",
    "standardized",
    "samples",
    "validate",
    "bernoulli",
    "predict",
    "totals",
    "cost",
    "loops",
    "status",
    "solvers",
    "solvers.driver",
    "solvers.factor",
    "solvers.newton",
    "solvers.newton_cg",
    "solvers.descent",
    "look",
    "objectives",
    "bound",
    "matrix_free",
    "span",
    "implicit",
    "coordinates",
    "search",
    "fit",
    "rows",
    "lanes",
    "plan",
    "many",
    "path",
    "weights",
    "cross_validation",
    "beside",
    "scan",
    "certificate",
    "summary",
    "influence",
    "gradient_descent",
    "nodes",
    "tape",
    "graph",
    "__init__",
    "plots.model",
    "plots.many",
    "plots.genome",
    "plots.graph",
    "plots",
]
CORE = {"jax", "jaxlib", "jaxtyping", "numpy", "optax"}
EXTRA = {
    "plots.model": {"matplotlib"},
    "plots.many": {"matplotlib"},
    "plots.genome": {"matplotlib"},
    "plots.graph": {"matplotlib"},
}


def name_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or "__init__"


def imports_of(path):
    """Return the full names of the modules that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            if node.module == "jlogreg":
                yield from (f"jlogreg.{alias.name}" for alias in node.names)


def test_every_file_has_its_place_in_the_order():
    assert {name_of(path) for path in SOURCES} == set(ORDER)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_point_down_only(path):
    name = name_of(path)
    below = {f"jlogreg.{other}" for other in ORDER[: ORDER.index(name)]}
    for module in imports_of(path):
        if module.startswith("jlogreg."):
            assert module in below, f"{name} imports {module}"
        elif module != "jlogreg":
            assert not module.startswith(("tests", "experiments"))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_the_core_imports_nothing_optional(path):
    allowed = CORE | EXTRA.get(name_of(path), set()) | {"jlogreg"}
    standard = __import__("sys").stdlib_module_names
    for module in imports_of(path):
        root = module.partition(".")[0]
        assert root in allowed or root in standard, f"{path.name} imports {module}"
        assert not module.startswith("jax._src")


def test_runtime_dependencies_are_those_of_the_core():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.match(r"[\w-]+", line).group() for line in project["dependencies"]}
    assert names == CORE - {"numpy"}  # NumPy comes with JAX
    assert project["version"] == jlogreg.__version__


MODULES = [name for name in ORDER if name not in ("__init__", "solvers", "plots")]


@pytest.mark.parametrize("name", MODULES)
def test_all_is_what_is_public(name):
    module = importlib.import_module(f"jlogreg.{name}")
    tree = ast.parse(Path(module.__file__).read_text())
    defined = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
    }
    assert module.__all__ == sorted(module.__all__)
    assert defined <= set(module.__all__)
    for public in set(module.__all__) - defined:
        assert hasattr(module, public)


def test_the_front_door_names_what_it_imports():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    imported = {
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(jlogreg.__all__) == imported
    assert jlogreg.__all__ == sorted(jlogreg.__all__)


PUBLIC = [
    (name, getattr(importlib.import_module(f"jlogreg.{name}"), public))
    for name in MODULES
    for public in importlib.import_module(f"jlogreg.{name}").__all__
]


@pytest.mark.parametrize(
    "thing",
    [thing for _, thing in PUBLIC if inspect.isfunction(thing)],
    ids=lambda thing: f"{thing.__module__}.{thing.__name__}",
)
def test_public_functions_are_documented(thing):
    """One imperative line; and of those that users call, the errors."""
    text = inspect.getdoc(thing)
    first = text.partition("\n")[0]
    assert first.endswith(".")
    assert re.match(r"(Return|Raise|Draw|Flatten|Compute)\b", first), first
    if thing.__name__ in jlogreg.__all__:
        assert "Raises:" in text or "errors" in text


def test_equations_that_are_cited_exist():
    numbers = set(
        re.findall(r"\\tag\{(\d+)\}", (ROOT / "docs/derivation.md").read_text())
    )
    assert numbers == {str(k) for k in range(1, len(numbers) + 1)}
    cited = set()
    for path in [*SOURCES, *(ROOT / "tests").rglob("*.py")]:
        text = path.read_text()
        for group in re.findall(
            r"[Ee]quations?\s((?:\(\d+\)(?:, | and |,\n)*\s*)+)", text
        ):
            cited |= set(re.findall(r"\((\d+)\)", group))
    assert cited <= numbers
    assert len(cited) > 10  # or the pattern no longer finds them


@pytest.mark.parametrize("path", [*SOURCES, *(ROOT / "tests").rglob("*.py")], ids=str)
def test_no_functional_update_is_thrown_away(path):
    """x.at[...].set(...) alone on a line changes nothing."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            function = node.value.func
            thrown = (
                isinstance(function, ast.Attribute)
                and isinstance(function.value, ast.Subscript)
                and getattr(function.value.value, "attr", "") == "at"
            )
            assert not thrown, f"{path}:{node.lineno}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_files_and_functions_are_short(path):
    text = path.read_text()
    assert text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if body:
                assert body[-1].end_lineno - body[0].lineno < 40, node.name


def test_the_top_level_holds_what_it_should():
    shown = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    generated = {"runs", "build", "dist"}
    due = "pyproject.toml README.md LICENSE CHANGELOG.md jlogreg tests experiments docs"
    assert shown - generated == set(due.split())

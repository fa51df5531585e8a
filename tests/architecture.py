"""The import graph of jlogreg: `python -m tests.architecture` prints it as floors.

Every `import` statement counts, those inside functions too. A box is a folder, or a
file that lies beside the folders; each imports boxes of lower floors, and inside a
folder no import leads back in a circle.
"""

from __future__ import annotations

import ast
import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "jlogreg"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# A box imports boxes of the floors before its own. The front door is `__init__`.
FLOORS = [
    {"base", "progress"},
    {"losses", "data", "solvers", "graph"},
    {"objective", "metrics"},
    {"formulations", "loops"},
    {"fitting"},
    {"batch", "certification", "diagnostics"},
    {"inference"},
    {"feature_scan"},
    {"__init__", "plots", "testing", "estimators", "tables"},
    {"command"},
    {"__main__"},
]
FLOOR = {box: floor for floor, boxes in enumerate(FLOORS) for box in boxes}

# A module by its name without "jlogreg.", and the names that it imports.
Graph = Mapping[str, set[str]]


def name_of(path: Path) -> str:
    """Return a file's name as a module, without "jlogreg."; of a folder its own."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or "__init__"


MODULES = {name_of(path): path for path in SOURCES}


def box_of(module: str) -> str:
    """Return the folder that a module is in, or its own name beside the folders."""
    return module.partition(".")[0]


@functools.cache
def imports_of(text: str) -> tuple[str, ...]:
    """Return the full names of the modules that a text imports, wherever it does."""
    return tuple(_imports_of(text))


def _imports_of(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                full = f"{module}.{alias.name}"
                yield full if full.removeprefix("jlogreg.") in MODULES else module
        elif isinstance(node, ast.Name) and node.id == "__import__":
            yield node.id


def graph_of(texts: Mapping[str, str]) -> dict[str, set[str]]:
    """Return the modules of jlogreg that each module imports."""
    return {
        module: {
            name.removeprefix("jlogreg.")
            for name in imports_of(text)
            if name.startswith("jlogreg.")
        }
        for module, text in texts.items()
    }


def faults_of(graph: Graph) -> Iterator[str]:
    """Yield each import that does not lead down, and each circle inside a folder."""
    inside: dict[str, dict[str, set[str]]] = defaultdict(dict)
    for module, imported in graph.items():
        box = box_of(module)
        inside[box][module] = {name for name in imported if box_of(name) == box}
        for name in sorted(imported - inside[box][module]):
            if FLOOR[box_of(name)] >= FLOOR[box]:
                yield f"{module} imports {name}"
    for modules in inside.values():
        try:
            TopologicalSorter(modules).prepare()
        except CycleError as error:
            *circle, _ = error.args[1]
            first = circle.index(min(circle))
            circle = [*circle[first:], *circle[: first + 1]]
            yield f"circle: {' -> '.join(circle)}"


def arrows_of(graph: Graph) -> set[tuple[str, str]]:
    """Return which box imports which other."""
    return {
        (box_of(module), box_of(name))
        for module, imported in graph.items()
        for name in imported
        if box_of(module) != box_of(name)
    }


def main() -> int:
    """Print the floors from the top down, then counts and faults; return the code."""
    graph = graph_of({name: path.read_text() for name, path in MODULES.items()})
    arrows = arrows_of(graph)
    for floor, boxes in reversed(list(enumerate(FLOORS, start=1))):
        for box in sorted(boxes):
            files = (
                sum(box_of(name) == box for name in graph) - (PACKAGE / box).is_dir()
            )
            down = sorted(name for top, name in arrows if top == box)
            print(f"{floor}  {box:13} {files} files  imports {', '.join(down) or '-'}")
    faults = list(faults_of(graph))
    print(
        f"{len(FLOORS)} floors, {len(FLOOR)} boxes, {len(arrows)} arrows, "
        f"{len(graph)} files, {len(faults)} faults"
    )
    for fault in faults:
        print(fault)
    return int(bool(faults))


if __name__ == "__main__":
    raise SystemExit(main())

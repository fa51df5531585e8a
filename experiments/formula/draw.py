"""Draw the computation graph of a formula, in the terminal and as a file."""

from __future__ import annotations

import io
import json
import math
import shutil
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from experiments.errors import UserError
from experiments.formula.expression import parse
from experiments.storage.regular import write_file
from jlogreg import Graph, computation_graph
from jlogreg.plots import graph_diagram

PICTURES = (".svg", ".png", ".pdf")
TEXTS: Mapping[str, Callable[[Graph], str]] = {
    ".dot": Graph.to_dot,
    ".mmd": Graph.to_mermaid,
    ".json": lambda graph: json.dumps(graph.to_dict(), indent=2),
}


def draw(formula: str, values: Sequence[str], out: str, console: Console) -> None:
    """Print the graph of a formula at values such as `a=5`, and write it to a file.

    Raises:
        UserError: if the formula, a value or the name of the file is not valid.
    """
    path = Path(out) if out else None
    if path and path.suffix not in (*PICTURES, *TEXTS):
        known = ", ".join((*PICTURES, *TEXTS))
        raise UserError(f"--out {out}: the name must end in one of {known}")
    numbers = _numbers(values)
    jax.config.update("jax_enable_x64", True)  # all six digits shown are correct
    function = parse(formula, list(numbers))
    try:
        graph = computation_graph(function, *numbers.values(), names=list(numbers))
        console.print(_tree(graph))
        content = _file(graph, path.suffix) if path else b""
    except RecursionError:
        raise UserError("the formula is too deep to draw: write fewer terms") from None
    if path:
        try:
            write_file(path, content)
        except UserError as error:
            raise UserError(f"--out {error}") from error
        console.print(f"drawn in {path}")


def _numbers(values: Sequence[str]) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for word in values:
        name, equals, text = word.partition("=")
        name = unicodedata.normalize("NFKC", name)  # as in the formula
        if not (equals and name.isidentifier()):
            raise UserError(f"{word}: values are written NAME=NUMBER, as in a=5")
        if name in numbers:
            raise UserError(f"{word}: {name} has a value already")
        try:
            numbers[name] = float(text)
        except ValueError:
            raise UserError(f"{word}: {text!r} is not a number") from None
        if not math.isfinite(numbers[name]):
            raise UserError(f"{word}: the number must be finite")
    return numbers


def _tree(graph: Graph) -> Tree:
    """Return the graph as a tree, from the result back to the inputs."""
    shown: set[str] = set()

    def branch(name: str, tree: Tree | None) -> Tree:
        node = graph[name]
        title, value, slope = node.label
        label = Text.assemble(title, (f" = {value}", "blue"), (f"   {slope}", "red"))
        if name in shown and node.operands:
            label.append("   (as above)", style="dim")
        here = Tree(label) if tree is None else tree.add(label)
        if name not in shown:
            shown.add(name)
            for operand in node.operands:
                branch(operand, here)
        return here

    return branch(graph.result, None)


def _file(graph: Graph, suffix: str) -> bytes:
    """Return the graph as the contents of a file with this ending."""
    if suffix in TEXTS:
        return (TEXTS[suffix](graph) + "\n").encode()
    kind = suffix.removeprefix(".")
    if shutil.which("dot"):
        try:
            import graphviz
        except ModuleNotFoundError:
            pass
        else:
            return graphviz.Source(graph.to_dot()).pipe(format=kind)
    buffer = io.BytesIO()
    graph_diagram(graph).savefig(buffer, format=kind)
    return buffer.getvalue()

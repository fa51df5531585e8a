"""A computation graph, and its text in several languages.

Each value has a node. Forward, from left to right, it is computed from earlier values.
Backward, from right to left, the chain rule gives the derivative of the result with
respect to it. `dv` stands for dJ/dv, as in the rest of the library.
"""

from __future__ import annotations

import dataclasses
import html
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array

from jlogreg.base.formatting import align, value_text

__all__ = ["COLORS", "Graph", "Node"]

COLORS = ("#2166ac", "#b2182b")  # of values and of d-values in drawings


class Node(NamedTuple):
    """One value of a computation, and the derivative of the result with respect to it.

    Shapes: value of any shape, derivative of the same. expression is the text of the
    step that computes the value from the nodes named in operands; it is empty for
    arguments and constants. derivative is None for integers and booleans.

    Examples:
        >>> from jlogreg import computation_graph
        >>> node = computation_graph(lambda a, b: 3 * (a + b), 5, 6)["u"]
        >>> node.expression, node.operands
        ('a + b', ('a', 'b'))
        >>> float(node.value), float(node.derivative)
        (11.0, 3.0)
    """

    name: str
    expression: str
    operands: tuple[str, ...]
    value: Array
    derivative: Array | None

    @property
    def label(self) -> tuple[str, str, str]:
        """The lines of the node in a drawing: `v = a + u`, 11 and `dv = 3`."""
        title = f"{self.name} = {self.expression}" if self.expression else self.name
        slope = value_text(self.derivative)
        return title, value_text(self.value), f"d{self.name} = {slope}" if slope else ""


@dataclasses.dataclass(frozen=True)
class Graph:
    """The nodes of a computation, in the order of computation.

    Shapes: nodes have any shape; that of the result is (). graph["v"] is the node
    named v, and result is the name of the node that f returned. `computation_graph`
    makes it.

    Examples:
        >>> from jlogreg import computation_graph
        >>> graph = computation_graph(lambda a: 3 * a, 5)
        >>> graph
        Graph(2 nodes, J = 15)
        >>> print(graph.to_mermaid())
        flowchart LR
          n0["a<br/>5<br/>da = 3"]
          n1["J = 3 * a<br/>15<br/>dJ = 1"]
          n0 --> n1
    """

    nodes: tuple[Node, ...]
    result: str

    def __getitem__(self, name: str) -> Node:
        """Return the node of this name."""
        for node in self.nodes:
            if node.name == name:
                return node
        names = ", ".join(node.name for node in self.nodes)
        raise KeyError(f"there is no node {name}; there are {names}")

    def __repr__(self) -> str:
        """Return the number of nodes, and the result."""
        value = value_text(self[self.result].value)
        return f"Graph({len(self.nodes)} nodes, {self.result} = {value})"

    def table(self) -> str:
        """Return the graph as plain text, a line for each node."""
        rows = [("node", "expression", "value", f"d{self.result}/dnode")]
        for node in self.nodes:
            both = value_text(node.value), value_text(node.derivative)
            rows.append((node.name, node.expression, *both))
        return align(rows, left=2)

    __str__ = table

    def to_dot(self) -> str:
        """Return the graph in the language of Graphviz, values blue, d-values red."""
        lines = ["digraph {", "  rankdir=LR; node [shape=box, style=rounded];"]
        for number, node in enumerate(self.nodes):
            title, *rest = (html.escape(part) for part in node.label if part)
            parts = (
                f'<br/><font color="{color}">{part}</font>'
                for color, part in zip(COLORS, rest, strict=False)
            )
            lines.append(f"  n{number} [label=<{title}{''.join(parts)}>];")
        lines += [f"  n{start} -> n{end};" for start, end in self.edges()]
        return "\n".join([*lines, "}"])

    def to_mermaid(self) -> str:
        """Return the graph in the language of Mermaid."""
        lines = ["flowchart LR"]
        for number, node in enumerate(self.nodes):
            # Mermaid writes the code of a character with # where HTML has &#.
            parts = (
                html.escape(part.replace("#", "\0"))
                .replace("&quot;", "#quot;")
                .replace("&#x27;", "#39;")
                .replace("\0", "#35;")
                for part in node.label
                if part
            )
            label = "<br/>".join(parts)
            lines.append(f'  n{number}["{label}"]')
        lines += [f"  n{start} --> n{end}" for start, end in self.edges()]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the graph as lists, numbers and text that JSON can hold.

        Numbers that JSON does not have, such as infinity and NaN, become text.
        """
        return {
            "result": self.result,
            "nodes": [
                {
                    "name": node.name,
                    "expression": node.expression,
                    "operands": list(node.operands),
                    "shape": list(node.value.shape),
                    "value": _plain(node.value),
                    "derivative": _plain(node.derivative),
                }
                for node in self.nodes
            ],
        }

    def edges(self) -> Iterator[tuple[int, int]]:
        """Yield the pairs of nodes, by number, in which the second reads the first."""
        numbers = {node.name: number for number, node in enumerate(self.nodes)}
        for number, node in enumerate(self.nodes):
            for operand in node.operands:
                yield numbers[operand], number


def _plain(value: Any) -> Any:
    """Return an array as lists of numbers and text."""
    if hasattr(value, "dtype"):
        try:
            return _plain(np.asarray(value).tolist())
        except TypeError:  # a key of random numbers
            return value_text(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    held = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return value if held or value is None else str(value)

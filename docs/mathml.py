"""Write formulas as MathML, which browsers show without a script or a network."""

import re

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

TAG = re.compile(r"\\tag\{(\w+)\}")
# The name of a function, but not as the first part of a sub- or superscript.
FUNCTION = re.compile(r"(?<!<msub>)(?<!<msup>)(?<!nder>)<mi>(log|exp|det|max|min)</mi>")
SPACE = '<mspace width="0.167em"/>'


def mathml(text: str, display: str = "inline") -> str:
    """Return a formula as MathML, functions apart from what is beside them."""

    def spaced(found: re.Match[str]) -> str:
        before, after = found.string[: found.start()], found.string[found.end() :]
        left = SPACE if before.endswith(("</mi>", "</mn>")) else ""
        right = "" if after.startswith("<mo") or not after.startswith("<m") else SPACE
        return left + found[0] + right

    return FUNCTION.sub(spaced, convert(text, display=display))


def inline(writer: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line."""
    writer.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def display(writer: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula of its own, with the number of its equation on the right."""
    text = node.astext()
    number = "".join(f"({found})" for found in TAG.findall(text))
    formula = mathml(TAG.sub("", text).strip(), display="block")
    tag = f'<span class="equation-number">{number}</span>' if number else ""
    writer.body.append(f'<div class="equation">{formula}{tag}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Make MathML the way in which HTML has its formulas."""
    app.add_html_math_renderer("mathml", (inline, None), (display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}

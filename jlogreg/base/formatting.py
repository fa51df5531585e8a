"""Numbers, arrays and tables as readable text."""

from __future__ import annotations

import difflib
import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jlogreg.base.arrays import is_traced

__all__ = [
    "align",
    "apart",
    "as_html",
    "brief",
    "latex_table",
    "lines_as_html",
    "nearest",
    "power_text",
    "record_text",
    "table_as_html",
    "value_text",
]


def value_text(value: Any) -> str:
    """Return a number in six digits; an array as its entries (up to 4) or its range."""
    if value is None:
        return ""
    try:
        array = np.asarray(value)
    except TypeError:  # a key of random numbers cannot be converted
        return str(value.dtype)
    if array.size and (array == array.flat[0]).all():
        one = _number(array.flat[0])
        return one if array.ndim == 0 else f"{one} {array.shape}"
    if 0 in array.shape:
        return f"none {array.shape}"
    if array.size <= 4:
        return str(array.tolist() if array.dtype.kind in "biu" else _rounded(array))
    low, high = _number(array.min()), _number(array.max())
    return f"{low} to {high} {array.shape}"


def _number(value: Any) -> str:
    # + 0.0 turns -0 into 0: "-0" reads like a mistake.
    return str(value) if value.dtype.kind in "biu" else f"{value + 0.0:.6g}"


def _rounded(array: np.ndarray) -> str:
    text = np.array2string(
        array + 0.0, separator=", ", precision=4, suppress_small=False
    )
    return " ".join(text.split())


def brief(value: Any) -> str:
    """Return the text of a concrete array by `value_text`, and else the repr."""
    concrete = isinstance(value, jax.Array | np.ndarray) and not is_traced(value)
    return value_text(value) if concrete else repr(value)


def record_text(name: str, texts: Mapping[str, str]) -> str:
    """Return the repr of a record, with the texts of its fields."""
    return f"{name}({', '.join(f'{field}={text}' for field, text in texts.items())})"


def align(rows: Sequence[Sequence[str]], left: int) -> str:
    """Return a table as text, the first `left` columns aligned to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if k < left else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def apart(values: Sequence[float], least: int = 3, most: int = 15) -> list[str]:
    """Return numbers with as many digits, at least `least`, as tell them apart.

    If more are needed there is one beyond those, so that differences have two digits.
    """
    known = {value for value in values if math.isfinite(value)}
    digits = least
    while digits < most and len({f"{value:.{digits}g}" for value in known}) < len(
        known
    ):
        digits += 1
    digits += digits > least
    return [f"{value:.{digits}g}" for value in values]


def as_html(rows: Mapping[str, str]) -> str:
    """Return names and their texts as an HTML table, for notebooks."""
    lines = (
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>"
        for name, text in rows.items()
    )
    return f"<table>{''.join(lines)}</table>"


def lines_as_html(lines: Sequence[str]) -> str:
    """Return lines of text as a paragraph of HTML, nothing if there are none."""
    text = "<br>".join(map(html.escape, lines))
    return f"<p>{text}</p>" if text else ""


def table_as_html(rows: Sequence[Sequence[str]]) -> str:
    """Return a table as HTML; the first row and the first column are headings."""

    def cell(row: int, column: int, text: str) -> str:
        tag = "th" if row == 0 or column == 0 else "td"
        return f"<{tag}>{html.escape(text)}</{tag}>"

    lines = (
        "".join(cell(i, j, text) for j, text in enumerate(row))
        for i, row in enumerate(rows)
    )
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


# What LaTeX takes for commands, and how it writes them.
LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def latex_table(rows: Sequence[Sequence[str]]) -> str:
    """Return a table as a tabular of LaTeX, its numbers aligned to the right."""
    first, *rest = (
        " & ".join("".join(LATEX.get(sign, sign) for sign in text) for text in row)
        + r" \\"
        for row in rows
    )
    layout = "l" + "r" * (len(rows[0]) - 1)
    lines = [rf"\begin{{tabular}}{{{layout}}}", r"\hline", first, r"\hline", *rest]
    return "\n".join([*lines, r"\hline", r"\end{tabular}"])


def power_text(log10: float) -> str:
    """Return the number 10^log10 in two digits, also where it is no float."""
    if not log10 < -300:  # or NaN
        return f"{10.0**log10:.2g}"
    exponent = math.floor(log10)
    return f"{10 ** (log10 - exponent):.1f}e{exponent}"


def nearest(word: str, words: Iterable[str]) -> str:
    """Return a question for the known word that is most like this one, if one is."""
    folded = {known.casefold(): known for known in words}
    found = difflib.get_close_matches(word.casefold(), list(folded), n=1)
    return f", did you mean {folded[found[0]]!r}?" if found else ""

"""Numbers, arrays and tables as readable text."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jlogreg.base.arrays import is_traced

__all__ = ["align", "as_html", "brief", "value_text"]


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


def as_html(rows: Mapping[str, str]) -> str:
    """Return names and their texts as an HTML table, for notebooks."""
    lines = (
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>"
        for name, text in rows.items()
    )
    return f"<table>{''.join(lines)}</table>"

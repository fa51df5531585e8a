"""The text of one step: a primitive applied to its operands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["call_text"]

_SIGNS = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "pow": "**",
    "rem": "%",
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "and": "&",
    "or": "|",
    "xor": "^",
}


_FUNCTIONS = {
    "logistic": "sigmoid",
    "dot_general": "dot",
    "reduce_sum": "sum",
    "reduce_max": "max",
    "reduce_min": "min",
    "reduce_prod": "prod",
    "broadcast_in_dim": "broadcast",
    "is_finite": "isfinite",
    "not": "~",
}


def call_text(name: str, params: Mapping[str, Any], operands: Sequence[str]) -> str:
    """Return a primitive applied to its operands, as Python text."""
    if name in _SIGNS and len(operands) == 2:
        return f" {_SIGNS[name]} ".join(operands)
    if name == "neg":
        return f"-{operands[0]}"
    if name in ("integer_pow", "square"):
        return f"{operands[0]} ** {params.get('y', 2)}"
    if name == "transpose" and tuple(params["permutation"]) == (1, 0):
        return f"{operands[0]}.T"
    if name == "convert_element_type":
        return f"{params['new_dtype']}({operands[0]})"
    if name == "select_n" and len(operands) == 3:
        which, otherwise, then = operands
        return f"where({which}, {then}, {otherwise})"
    return f"{_FUNCTIONS.get(name, name)}({', '.join(operands)})"

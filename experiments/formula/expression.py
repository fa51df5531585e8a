"""Read a formula as mathematics: it is parsed, never evaluated as Python."""

from __future__ import annotations

import ast
import operator
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from experiments.errors import UserError

_OPERATORS: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


LARGEST_POWER = 1000  # of the powers that are computed as products
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "exp": jnp.exp,
    "log": jnp.log,
    "sqrt": jnp.sqrt,
    "abs": jnp.abs,
    "max": jnp.maximum,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
}
OF_TWO = ("max",)


_ALLOWED = f"names, numbers, + - * / **, parentheses and {', '.join(FUNCTIONS)}"


def parse(formula: str, names: Sequence[str]) -> Callable[..., Any]:
    """Return the function that a formula defines, of numbers in the order of the names.

    Raises:
        UserError: if the formula contains anything but names, numbers, + - * / **,
            parentheses and the functions of FUNCTIONS, or other names than the given
            ones.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(formula.strip(), mode="eval").body
        found = set(_check(tree, formula))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(
            f"{_quoted(formula)} is not a formula: write {_ALLOWED}"
        ) from error
    if missing := sorted(found - set(names)):
        example = " ".join(f"{name}=1" for name in missing)
        raise UserError(f"{', '.join(missing)}: no value is given; add {example}, say")
    if unused := sorted(set(names) - found):
        raise UserError(f"{', '.join(unused)}: not in the formula {_quoted(formula)}")

    def function(*values: Any) -> Any:
        return _value(tree, dict(zip(names, values, strict=True)))

    return function


def _check(node: ast.AST, formula: str) -> Iterator[str]:
    """Yield the names in a formula; refuse everything that is not allowed."""
    if isinstance(node, ast.Name):
        if node.id in FUNCTIONS:
            raise UserError(f"{node.id} is a function: write {node.id}(...)")
        yield node.id
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id not in FUNCTIONS:
            known = ", ".join(FUNCTIONS)
            raise UserError(
                f"{node.func.id} is not a known function: use one of {known}"
            )
        count = 2 if node.func.id in OF_TWO else 1
        if len(node.args) != count or node.keywords:
            numbers = "two numbers" if count == 2 else "one number"
            raise UserError(f"{node.func.id} takes {numbers}, in parentheses")
        for argument in node.args:
            yield from _check(argument, formula)
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        yield from _check(node.left, formula)
        yield from _check(node.right, formula)
    elif isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
        yield from _check(node.operand, formula)
    elif (
        isinstance(node, ast.Constant)
        and isinstance(node.value, int | float)
        and not isinstance(node.value, bool)
    ):
        if abs(node.value) > sys.float_info.max:
            raise UserError("a number in the formula is too large")
    else:
        part = ast.get_source_segment(formula.strip(), node) or formula
        text = _quoted(part)
        raise UserError(f"{text} is not allowed in a formula: write {_ALLOWED}")


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}...")


def _value(node: Any, known: dict[str, Any]) -> Any:
    """Return the value of a part; a part that occurs twice is computed once."""
    text = ast.unparse(node)
    if text not in known:
        known[text] = _compute(node, known)
    return known[text]


def _compute(node: Any, known: dict[str, Any]) -> Any:
    match node:
        case ast.Constant(value=int(number) | float(number)):
            return jnp.asarray(float(number))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return FUNCTIONS[name](*(_value(each, known) for each in arguments))
        case ast.UnaryOp():
            return _OPERATORS[type(node.op)](_value(node.operand, known))
        case ast.BinOp(op=ast.Pow(), right=ast.Constant(value=int(exponent))) if (
            exponent <= LARGEST_POWER
        ):
            # x ** 2 is a product, so that x may be negative.
            return _value(node.left, known) ** exponent
    left, right = _value(node.left, known), _value(node.right, known)
    return _OPERATORS[type(node.op)](left, right)

"""R-style formulas, by formulaic: the columns that they use and the features they make.

A formula may be read from a file of a model, so its functions are those of a short
list, and nothing else of Python is evaluated.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jlogreg.base.formatting import nearest
from jlogreg.tables.reading.faults import Fault, TableError

__all__ = ["Features", "ParsedFormula", "features_of", "parse_formula"]

FUNCTIONS = (
    *("I", "exp", "exp10", "exp2", "log", "log10", "log2", "center", "scale"),
    *("poly", "bs", "cs"),
)
NODES = (
    *(ast.Expression, ast.BinOp, ast.UnaryOp, ast.Name, ast.Load, ast.Constant),
    *(ast.Call, ast.keyword, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.USub),
)
# Powers beyond this are a mistake, and may take forever to compute.
LARGEST_POWER = 10
INTERCEPT = "Intercept"


class ParsedFormula(NamedTuple):
    """A formula: the column left of ~, or none, the right side, and its columns."""

    label: str
    terms: Any
    columns: tuple[str, ...]


class Features(NamedTuple):
    """The features of a formula (n, m), without the bias, and what they depend on."""

    names: tuple[str, ...]
    X: np.ndarray
    bias: bool
    state: dict[str, Any]


def parse_formula(
    formula: str, names: Sequence[str], source: str, label: str = ""
) -> ParsedFormula:
    """Return the parts of a formula; the label given is not looked for.

    Raises:
        TableError: if it is no formula, names a column that is not there, or holds what
            is not allowed.
    """
    from formulaic import Formula, SimpleFormula
    from formulaic.errors import FormulaicError

    def refuse(what: str, cure: str = "") -> TableError:
        return TableError(source, [Fault(f"formula {formula!r}: {what}", cure=cure)])

    left, tilde, right = formula.partition("~")
    own = left.strip().strip("`") if tilde else ""
    try:
        terms = Formula(f"{'~' * bool(tilde)}{right if tilde else left}")
    except (FormulaicError, SyntaxError, ValueError, RecursionError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else "?"
        hint = ", write the columns one by one" if "`.`" in first else ""
        raise refuse(f"cannot be read: {first}{hint}") from error
    terms = getattr(terms, "rhs", terms)
    if not isinstance(terms, SimpleFormula):
        raise refuse("must have one right side")
    columns: set[str] = set()
    for factor in {factor for term in terms for factor in term.factors}:
        if factor.eval_method.value == "lookup":
            columns.add(str(factor.expr))
        elif factor.eval_method.value == "python":
            found, fault = _columns_of(factor.expr)
            if fault:
                raise refuse(fault, f"its functions may be {', '.join(FUNCTIONS)}")
            columns |= found
    for name in (*sorted(columns), *([own] if own and own != label else [])):
        if name not in names:
            hint = nearest(name, names)
            raise refuse(f"has {name!r}, but the table no such column{hint}")
    return ParsedFormula(own, terms, tuple(sorted(columns)))


def _columns_of(expression: str) -> tuple[set[str], str]:
    """Return the columns that an expression names, and what it may not hold."""
    try:
        tree = ast.parse(expression, mode="eval")
    except (SyntaxError, ValueError, RecursionError):
        return set(), f"{expression!r} cannot be read; rename columns inside functions"
    columns, called = set(), set()
    for node in ast.walk(tree):
        if not isinstance(node, NODES):
            return set(), f"{expression!r} is not allowed"
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            if name not in FUNCTIONS:
                return set(), f"{ast.unparse(node.func)!r} is not allowed"
            called.add(name)
        elif isinstance(node, ast.Name):
            columns.add(node.id)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            match node.right:
                case ast.Constant(int() | float() as power) if power <= LARGEST_POWER:
                    pass
                case _:
                    limit = f"must have a number up to {LARGEST_POWER} as its power"
                    return set(), f"{ast.unparse(node)!r} {limit}"
    return columns - called, ""


def features_of(terms: Any, frame: Any, state: dict[str, Any], source: str) -> Features:
    """Return the features of a data frame; with a state, that of an earlier one.

    Raises:
        TableError: if they cannot be computed.
    """
    from formulaic import ModelSpec
    from formulaic.errors import FormulaicError

    spec = ModelSpec(formula=terms, transform_state=_with_numbers(state))
    try:
        with np.errstate(all="ignore"):
            matrix = spec.get_model_matrix(frame, context={})
    except (FormulaicError, ValueError, TypeError, KeyError, ArithmeticError) as error:
        what = " ".join(str(error).split()) or type(error).__name__
        fault = Fault(f"the formula cannot be computed: {what}")
        raise TableError(source, [fault]) from error
    names = [str(name) for name in matrix.columns]
    keep = [place for place, name in enumerate(names) if name != INTERCEPT]
    X = np.ascontiguousarray(np.asarray(matrix, float).T)[keep]
    chosen = tuple(names[place] for place in keep)
    found = _plain(dict(matrix.model_spec.transform_state))
    return Features(chosen, X, INTERCEPT in names, found)


def _plain(value: Any) -> Any:
    """Return a state of lists, dictionaries and Python's own numbers."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(each) for each in value]
    return value.item() if isinstance(value, np.generic) else value


def _with_numbers(value: Any) -> Any:
    """Return a state whose keys are whole numbers again, where they were."""
    if not isinstance(value, dict):
        return value
    return {
        int(key) if key.isdecimal() else key: _with_numbers(each)
        for key, each in value.items()
    }

"""Make the computation graph of a function: a node for each value on its tape."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jlogreg.base.arrays import is_traced
from jlogreg.base.checks import check_array
from jlogreg.base.errors import DtypeError, ShapeError
from jlogreg.base.formatting import value_text
from jlogreg.graph.expressions import call_text
from jlogreg.graph.graph import Graph, Node
from jlogreg.graph.tape import Step, Tape, backward, record

__all__ = ["computation_graph"]

# What JAX raises where a function asks for the numbers of traced arguments.
NEEDS_NUMBERS = (
    jax.errors.TracerArrayConversionError,
    jax.errors.ConcretizationTypeError,
)


def computation_graph(
    f: Callable[..., Any],
    *args: Any,
    names: Sequence[str] | None = None,
    **keywords: Any,
) -> Graph:
    """Return the computation graph of a function, with values and d-values.

    Shapes: args are Python numbers, arrays or pytrees of them, of any shape; the result
    of f is a float of shape (). The value of a node is the one that f computes. Its
    d-value is the derivative of the result when this value alone changes; for an
    argument it is the gradient of `jax.grad`. Functions that are jitted or have a
    derivative rule of their own are entered. Host only; section 5 of
    docs/derivation.md.

    Arguments have the names that f gives them. Computed values are called u, v, ... in
    the order of computation, unless f names them by
    `jax.ad_checkpoint.checkpoint_name`; the result is J.

    Args:
        f: a function of args, without loops or branches in JAX (`jax.lax.scan`, ...).
        args: the point at which f is evaluated.
        names: names of the arguments (of their leaves, in order), followed by names of
            computed values, if any.
        keywords: none; an error says how to give them.

    Raises:
        DtypeError: if an argument is not a number or an array, or the result is not a
            float.
        ShapeError: if the result is not one number.
        ValueError: if f contains a loop or a branch, or if names are too few, too many
            or equal.
        TypeError: if an argument is traced: call this outside jit; if one is given by
            its name, or f takes a function of NumPy or of `math`.

    Examples:
        >>> from jlogreg import computation_graph
        >>> graph = computation_graph(lambda a, b, c: 3 * (a + b * c), 5, 3, 2)
        >>> print(graph)
        node  expression  value  dJ/dnode
        a                     5         3
        b                     3         6
        c                     2         9
        u     b * c           6         3
        v     a + u          11         3
        J     3 * v          33         1
    """
    if keywords:
        name = next(iter(keywords))
        raise TypeError(
            f"{name} is given by its name, but the arguments of f by their order: "
            f"write computation_graph(f, {name}), or functools.partial(f, {name}=...) "
            "for what is no node"
        )
    leaves, structure = jax.tree.flatten(args)
    if any(map(is_traced, leaves)):
        raise TypeError("computation_graph needs known numbers: call it outside jit")
    own = _argument_names(f, args)
    given = list(own if names is None else names)
    _check_names(given, len(leaves), names)
    leaves = [_number(*pair) for pair in zip(given, leaves, strict=False)]

    def flat(*leaves: Any) -> Any:
        return f(*jax.tree.unflatten(structure, leaves))

    try:
        closed, result = jax.make_jaxpr(flat, return_shape=True)(*leaves)
    except NEEDS_NUMBERS as error:
        raise TypeError(
            "the function needs the numbers of its arguments, as those of NumPy and "
            "math do, and float, int or if: write jnp.exp(x) for np.exp(x), say, and "
            "jnp.where(x > 0, a, b) for a choice"
        ) from error
    _check_result(result)
    return _build(record(closed, leaves), len(leaves), given)


def _check_names(given: Sequence[Any], arguments: int, names: Any) -> None:
    if not all(isinstance(name, str) and name for name in given):
        raise ValueError(f"names must be texts, none of them empty, but are {names!r}")
    if len(given) < arguments:
        raise ValueError(f"names has {len(given)} of {arguments} arguments")
    if len(set(given)) < len(given):
        raise ValueError(f"names must differ, but are {', '.join(given)}")


def _number(name: str, value: Any) -> Any:
    if isinstance(value, bool | int | float) and not isinstance(value, np.generic):
        return jnp.asarray(value if isinstance(value, bool) else float(value))
    if not hasattr(value, "dtype"):
        raise DtypeError(
            f"{name} must be a number or an array of numbers, but is of type "
            f"{type(value).__name__}"
        )
    return check_array(name, value, floating=False)


def _check_result(result: Any) -> None:
    parts = jax.tree.leaves(result)
    if len(parts) != 1 or parts[0].shape:
        shapes = ", ".join(str(part.shape) for part in parts)
        raise ShapeError(
            f"the function must return one number, of shape (), but returns {shapes}: "
            "write .sum() or [0, 0], say"
        )
    if not jnp.issubdtype(parts[0].dtype, jnp.floating):
        raise DtypeError(
            f"the function must return a float, but returns {parts[0].dtype}"
        )


def _argument_names(f: Callable[..., Any], args: Sequence[Any]) -> list[str]:
    """Return a name for each leaf: the last part of its path, where that is enough."""
    try:
        bound = inspect.signature(f).bind(*args).arguments
    except (TypeError, ValueError):  # some built-in functions have no signature
        bound = {f"x{k}": value for k, value in enumerate(args)}
    paths = [
        name + jax.tree_util.keystr(path)
        for name, value in bound.items()
        for path, _ in jax.tree_util.tree_leaves_with_path(value)
    ]
    short = [path.rpartition(".")[2] for path in paths]
    return [
        end if end.isidentifier() and short.count(end) == 1 else path
        for end, path in zip(short, paths, strict=True)
    ]


class _Names:
    """The names of the places on a tape, all different."""

    def __init__(self, given: Sequence[str], arguments: int) -> None:
        self.at: dict[int, str] = dict(enumerate(given[:arguments]))
        self._next = iter(given[arguments:])
        self._taken = set(given)

    def name(self, place: int, wish: str | None, computed: bool = True) -> str:
        """Name a place and return its name: given, wished for, or the next letter."""
        given = next(self._next, None) if computed else None
        self.at[place] = given or next(
            name for name in _candidates(wish) if name not in self._taken
        )
        self._taken.add(self.at[place])
        return self.at[place]

    def check_all_used(self) -> None:
        """Raise a ValueError if more names were given than there are places."""
        if next(self._next, None) is not None:
            raise ValueError(f"names has more than the {len(self.at)} there are nodes")


def _candidates(wish: str | None) -> Iterator[str]:
    letters = "uvpqrst" if wish is None else [wish]
    yield from letters
    round_ = 1 if wish is None else 2
    while True:
        yield from (f"{letter}{round_}" for letter in letters)
        round_ += 1


def _build(tape: Tape, arguments: int, given: Sequence[str]) -> Graph:
    """Return the graph of a tape, each node after those that it reads."""
    # A value belongs to the first step that writes it; a captured array is read, and
    # neither an argument nor written by a step.
    derivatives = backward(tape)
    names = _Names(given, arguments)
    written: dict[int, tuple[Step, int]] = {}
    for step in _all_steps(tape.steps):
        for number, place in enumerate(step.writes):
            written.setdefault(place, (step, number))
    read = {_origin(tape, at) for step, _ in written.values() for at in step.reads}
    captured = sorted(read - {*written, *range(arguments)})

    def node(place: int, expression: str, operands: tuple[str, ...]) -> Node:
        value = tape.values[place]
        derivative = derivatives.get(place)
        if derivative is None and jnp.issubdtype(value.dtype, jnp.floating):
            derivative = jnp.zeros_like(value)
        return Node(names.at[place], expression, operands, value, derivative)

    for place in captured:
        names.name(place, "c", computed=False)
    nodes = [node(place, "", ()) for place in [*range(arguments), *captured]]
    for place, (step, number) in written.items():
        label = " ".join(tape.labels.get(place, "").split())
        wish = label or ("J" if place == tape.result else None)
        operands = [_operand(tape, names, operand) for operand in step.operands]
        expression = call_text(step.name, step.params, operands)
        if len(step.writes) > 1:
            expression += f"[{number}]"
        names.name(place, wish)
        reads = dict.fromkeys(_origin(tape, at) for at in step.reads)
        nodes.append(node(place, expression, tuple(names.at[at] for at in reads)))
    if isinstance(tape.result, int):
        result = names.at[_origin(tape, tape.result)]
    else:  # the function is constant
        result = names.name(-1, "J")
        one = jnp.ones_like(tape.result)
        nodes.append(Node(result, "", (), tape.result, one))
    names.check_all_used()
    return Graph(tuple(nodes), result)


def _origin(tape: Tape, place: int) -> int:
    return tape.copies.get(place, place)


def _all_steps(steps: Sequence[Step]) -> Iterator[Step]:
    for step in steps:
        yield from _all_steps(step.inside)
        yield step


def _operand(tape: Tape, names: _Names, operand: Any) -> str:
    if isinstance(operand, int):
        return names.at[_origin(tape, operand)]
    text = value_text(operand)
    return f"({text})" if text.startswith("-") else text

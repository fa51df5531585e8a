"""All public names of the library, and what the documentation of one lacks.

A reader meets each name by its docstring alone. So it must be there, give the shapes of
the arrays that the name takes, returns or holds, and have an example that runs by
itself and prints what it says.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import doctest
import inspect
import itertools
import typing
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import jax
import jaxtyping
import numpy as np

import jlogreg
import jlogreg.estimators
import jlogreg.plots
import jlogreg.tables
import jlogreg.testing

ARRAYS = (jax.Array, np.ndarray, jaxtyping.AbstractArray)


def faults(module: ModuleType) -> Iterator[str]:
    """Yield a line for each thing that the public names of a module lack."""
    for name, thing in public(module):
        yield from faults_of(name, thing)


def public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield the names that a module and its public modules export, and what they are.

    A name is in full, as in `jlogreg.loops.cost`.
    """
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.ismodule(thing):
            yield from public(thing)
        else:
            yield f"{module.__name__}.{name}", thing


def faults_of(name: str, thing: Any) -> Iterator[str]:
    """Yield a line for each thing that the docstring of one public name lacks."""
    text = docstring(thing)
    if not text:
        yield f"{name} has no docstring"
        return
    if has_arrays(thing) and "Shapes:" not in text:
        yield f"{name} has arrays, but its docstring no Shapes:"
    if "Examples:" not in text or ">>>" not in text:
        yield f"{name} has no example: write Examples: and lines that begin with >>>"
    elif difference := first_difference(name, thing):
        yield f"{name} has an example that fails: {difference}"


def docstring(thing: Any) -> str:
    """Return what somebody wrote of a thing, and not what it inherits."""
    text = thing.__doc__ or ""
    # A number has the docstring of numbers. Dataclasses and named tuples that have none
    # are given their signature.
    inherited = not isinstance(thing, type) and text == type(thing).__doc__
    automatic = text.startswith(f"{getattr(thing, '__name__', '')}(")
    return "" if inherited or automatic else text


def has_arrays(thing: Any) -> bool:
    """Return whether a function takes or returns arrays, or a class holds them.

    What is annotated Any may be one.
    """
    if not callable(thing):
        return isinstance(thing, ARRAYS)
    return any(map(_is_array, typing.get_type_hints(thing).values()))


def _is_array(hint: Any) -> bool:
    if hint is Any:
        return True
    if typing.get_origin(hint) is collections.abc.Callable:
        return False
    if isinstance(hint, type) and not typing.get_args(hint):
        held = hasattr(hint, "_fields") or dataclasses.is_dataclass(hint)
        return issubclass(hint, ARRAYS) or (held and has_arrays(hint))
    return any(map(_is_array, typing.get_args(hint)))


def first_difference(name: str, thing: Any) -> str:
    """Return how the example of a thing first differs from what it says, or nothing.

    It runs in a namespace of its own, so that it must import what it uses. In what it
    says ... stands for any text.
    """
    runner = _Runner(verbose=False, optionflags=doctest.ELLIPSIS | doctest.FAIL_FAST)
    for test in doctest.DocTestFinder(recurse=False).find(thing, name, globs={}):
        runner.run(test)
    return runner.difference


class _Runner(doctest.DocTestRunner):
    """Keep the first difference in a line, rather than print it."""

    difference = ""

    def report_failure(
        self, out: Any, test: doctest.DocTest, example: doctest.Example, got: str
    ) -> None:
        due = example.want
        if example.exc_msg is not None:  # of tracebacks only the last line is compared
            due, got = example.exc_msg, got.strip().rpartition("\n")[2]
        lines = itertools.zip_longest(
            due.splitlines(), got.splitlines(), fillvalue="nothing"
        )
        check = doctest.OutputChecker().check_output
        first = (
            f"prints {got}, not {due}"
            for due, got in lines
            if not check(due, got, doctest.ELLIPSIS)
        )
        self.difference = f"`{_line(example)}` {next(first, 'prints something else')}"

    def report_unexpected_exception(
        self,
        out: Any,
        test: doctest.DocTest,
        example: doctest.Example,
        exc_info: Any,
    ) -> None:
        kind, error, _ = exc_info
        first = str(error).partition("\n")[0]
        self.difference = f"`{_line(example)}` raises {kind.__name__}: {first}"


def _line(example: doctest.Example) -> str:
    return example.source.partition("\n")[0]


# The things themselves, by their names in full.
PUBLIC = dict(
    pair
    for module in (
        jlogreg,
        jlogreg.estimators,
        jlogreg.plots,
        jlogreg.tables,
        jlogreg.testing,
    )
    for pair in public(module)
)

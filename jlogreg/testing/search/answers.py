"""The truth about many problems, in two processes, kept in a file between searches."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from jlogreg.testing.search.exact.minimum import Minimum
from jlogreg.testing.search.oracle import Truth, Where, truth_of
from jlogreg.testing.search.problems import VERSION, Hard, make_hard
from jlogreg.testing.search.real import make_real

__all__ = ["Key", "answers_to", "make_problem"]

# Name of the problem, which is a seed if it is a number, and name of the dtype.
Key: TypeAlias = tuple[int | str, str]

# A process takes a second to start, so that few problems need none.
FEW = 40


def make_problem(name: int | str, dtype: Any) -> Hard:
    """Return the random problem of a seed, or the real problem of a name."""
    if isinstance(name, str):
        return make_real(name, np.dtype(dtype))
    return make_hard(name, np.dtype(dtype))


def answers_to(
    keys: Sequence[Key], path: Path | None = None, processes: int = 2
) -> dict[Key, Truth]:
    """Return the truth about the problems of these names and dtypes.

    Args:
        keys: names of problems and of dtypes.
        path: a file of lines of JSON. What it knows is not computed again, and what is
            computed is appended at once, so that little is lost if it is interrupted.
        processes: how many compute, if there is much to do.
    """
    known = dict(_read(path)) if path is not None and path.exists() else {}
    missing = [key for key in keys if key not in known]
    for key, truth in _computed(missing, processes):
        known[key] = truth
        if path is not None:
            with path.open("a") as file:
                file.write(_line(key, truth) + "\n")
    return {key: known[key] for key in keys}


def _computed(keys: Sequence[Key], processes: int) -> Iterator[tuple[Key, Truth]]:
    if processes < 2 or len(keys) < FEW:
        yield from map(_answer, keys)
        return
    spawn = multiprocessing.get_context("spawn")  # a fork of JAX's threads may hang
    with spawn.Pool(processes) as pool:
        yield from pool.imap_unordered(_answer, keys, chunksize=4)


def _answer(key: Key) -> tuple[Key, Truth]:
    return key, truth_of(make_problem(*key))


def _line(key: Key, truth: Truth) -> str:
    numbers: Iterable[Any] = truth.minimum or ()
    minimum = [np.asarray(number).tolist() for number in numbers]
    return json.dumps([VERSION, *key, truth.where, minimum])


def _read(path: Path) -> Iterator[tuple[Key, Truth]]:
    for line in path.read_text().splitlines():
        try:
            version, name, dtype, where, numbers = json.loads(line)
        except json.JSONDecodeError:  # a line that was interrupted
            continue
        if version == VERSION:
            arrays: Any = [_array(one) for one in numbers]
            minimum = Minimum(*arrays) if arrays else None
            yield (name, dtype), Truth(Where(where), minimum)


def _array(number: Any) -> Any:
    return np.array(number) if isinstance(number, list) else number

"""The samples of a table: its rows as columns of numbers, by a schema."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from jlogreg.tables.columns.kinds import (
    MISSING_WORD,
    Category,
    Date,
    Kind,
    Parsed,
    parse,
)
from jlogreg.tables.reading.faults import Fault, listed
from jlogreg.tables.reading.read import Table

__all__ = [
    "Rows",
    "Samples",
    "Unseen",
    "check_finite",
    "encode",
    "frame_of",
    "marks_of",
    "parse_all",
    "usable_rows",
]

Unseen = Literal["refuse", "missing"]


class Rows(NamedTuple):
    """The features of the usable rows of a table.

    Shapes: X (n, u), names of the n features, usable (M,), which of the rows of the
    table are those u, offset (1, u), or None. lacking: how many rows lack a cell that
    they need, by column.
    """

    X: np.ndarray
    names: tuple[str, ...]
    usable: np.ndarray
    lacking: dict[str, int]
    offset: np.ndarray | None = None

    def with_offset(self, column: str, values: np.ndarray) -> Rows:
        """Return the rows that have an offset, of values (M,), NaN where missing."""
        there = ~np.isnan(values)
        X = self.X if there.all() else self.X[:, there[self.usable]]
        usable = self.usable & there
        gone = {column: int((~there).sum())} if not there.all() else {}
        lacking, offset = self.lacking | gone, values[None, usable]
        return Rows(X, self.names, usable, lacking, offset)


class Samples(NamedTuple):
    """The samples of a table, a column each, as the functions of jlogreg take them.

    Shapes: X (n, m), y (1, m), names of the n features, rows (m,), the row of each
    sample in the table, from 1. lacking: how many rows lack a cell that they need, by
    column; left_out: how many have a label that is neither word, or a weight of 0, by
    that reason. A row counts for each of its reasons. total: the rows of the table.
    weight, offset and clusters, whole numbers, are (1, m), or None.

    Examples:
        >>> import pandas
        >>> from jlogreg import tables
        >>> frame = pandas.DataFrame({"dose": [0.5, None, 2.0], "alive": [0, 1, 1]})
        >>> table = tables.read(frame)
        >>> found = tables.Schema("alive").decide(table).samples(table)
        >>> found.X.tolist(), found.y.tolist(), found.rows.tolist(), found.lacking
        ([[0.5, 2.0]], [[0.0, 1.0]], [1, 3], {'dose': 1})
    """

    X: np.ndarray
    y: np.ndarray
    names: tuple[str, ...]
    rows: np.ndarray
    lacking: dict[str, int]
    left_out: dict[str, int]
    total: int
    weight: np.ndarray | None = None
    offset: np.ndarray | None = None
    clusters: np.ndarray | None = None

    @property
    def weight_and_offset(self) -> dict[str, np.ndarray | None]:
        """The arguments weight and offset of a fit."""
        return {"weight": self.weight, "offset": self.offset}

    @property
    def told(self) -> str:
        """How many rows are used, and for each reason how many are not, as a line."""
        reasons = {
            f"{name!r} is missing": count for name, count in self.lacking.items()
        }
        counts = [
            f"{why} ({count})" for why, count in (reasons | self.left_out).items()
        ]
        text = f"{len(self.rows)} of {self.total} rows are used"
        return f"{text}; left out where {', '.join(counts)}" if counts else text


def parse_all(
    kinds: dict[str, Kind],
    table: Table,
    rows: np.ndarray,
    faults: list[Fault],
    unseen: Unseen,
) -> dict[str, Parsed]:
    """Return the values of columns, of categories places among their known words.

    A word that is not known is wrong only in `rows` that have all cells that they need.
    """
    found = {}
    for name, kind in kinds.items():
        count = table.names.count(name)
        if count != 1:
            what = "is not there" if not count else f"is there {count} times"
            cure = f"its columns are {listed(table.names, 20)}"
            faults.append(Fault(f"{what}, but the model has it", name, cure=cure))
            continue
        parsed = parse(name, kind, table, faults)
        if parsed is not None:
            found[name] = parsed
    for name, parsed in found.items():
        filled = _is_filled(kinds[name])
        rows = rows if filled else rows & ~parsed.missing
    for name, parsed in found.items():
        kind = kinds[name]
        if isinstance(kind, Category):
            found[name] = _known(name, kind, parsed, rows, faults, unseen)
    return found


def _is_filled(kind: Kind) -> bool:
    """Return whether a kind that is decided has something for a missing cell."""
    if isinstance(kind, Category):
        return MISSING_WORD in kind.words
    return getattr(kind, "mean", None) is not None


def _known(
    name: str,
    kind: Category,
    parsed: Parsed,
    rows: np.ndarray,
    faults: list[Fault],
    unseen: Unseen,
) -> Parsed:
    """Return the values of a category as places among the words of the model."""
    place = {word: code for code, word in enumerate(kind.words)}
    codes = np.array([place.get(word, -1) for word in parsed.words] or [-1], np.int32)
    values = np.where(parsed.missing, -1, codes[parsed.values])
    if unseen == "refuse":
        present = rows & ~parsed.missing & (values < 0)
        for code in np.unique(parsed.values[present]):
            row = int(np.flatnonzero(present & (parsed.values == code))[0]) + 1
            word, known = parsed.words[code], listed(kind.words)
            what = f"{word!r} is none of the words of the model, {known}"
            cure = "correct it, or count unseen words as missing"
            faults.append(Fault(what, name, row, cure))
    missing = values < 0
    if MISSING_WORD in place:
        values = np.where(missing, place[MISSING_WORD], values)
        missing = np.zeros_like(missing)
    return Parsed(np.where(missing, 0, values), missing, kind.words)


def usable_rows(kinds: dict[str, Kind], parsed: dict[str, Parsed]) -> np.ndarray:
    """Return which rows (m,) have all the cells that they need."""
    rows = ~np.zeros(len(next(iter(parsed.values())).missing), bool)
    for name, kind in kinds.items():
        if getattr(kind, "mean", None) is None:
            rows &= ~parsed[name].missing
    return rows


def check_finite(
    table: Table, names: tuple[str, ...], X: np.ndarray, usable: np.ndarray
) -> None:
    """Raise a TableError if a feature of a formula is not finite."""
    finite = np.isfinite(X)
    if not finite.all():
        feature, place = np.argwhere(~finite)[0]
        row = int(np.flatnonzero(usable)[place]) + 1
        what = f"{names[feature]!r} has no finite value"
        raise table.error([Fault(what, None, row, "change the formula")])


def encode(
    kinds: dict[str, Kind], parsed: dict[str, Parsed], usable: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the features (n, u) of columns in the usable rows, and their names."""
    names: list[str] = []
    rows: list[np.ndarray] = []
    for name, kind in kinds.items():
        values, missing, _ = parsed[name]
        if isinstance(kind, Category):
            names += [f"{name}={word}" for word in kind.words[1:]]
            rows += [values == code for code in range(1, len(kind.words))]
            continue
        unit = "days" if isinstance(kind, Date) else getattr(kind, "unit", "")
        names.append(f"{name} [{unit}]" if unit else name)
        mean = getattr(kind, "mean", None)
        rows.append(values if mean is None else np.where(missing, mean, values))
        if mean is not None:
            names.append(f"{name} missing")
            rows.append(missing)
    X = _aligned(len(rows), int(usable.sum()))
    whole = bool(usable.all())
    for row, values in zip(X, rows, strict=True):  # straight to its place, once
        row[:] = values if whole else values[usable]
    return tuple(names), X


def _aligned(*shape: int) -> np.ndarray:
    """Return an array that is to be filled, where JAX takes it without a copy.

    Arrow aligns it to 64 bytes, as JAX needs it.
    """
    room = pa.allocate_buffer(8 * math.prod(shape))
    return np.frombuffer(room, np.float64).reshape(shape)


def frame_of(
    kinds: dict[str, Kind], parsed: dict[str, Parsed], rows: np.ndarray
) -> Any:
    """Return a pandas frame of columns for a formula, of these rows."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for name, kind in kinds.items():
        values, missing, _ = parsed[name]
        if isinstance(kind, Category):
            codes = values[rows]
            columns[name] = pd.Categorical.from_codes(codes, [*kind.words])
        else:
            mean = getattr(kind, "mean", None)
            filled = values if mean is None else np.where(missing, mean, values)
            columns[name] = filled[rows]
    return pd.DataFrame(columns)


def marks_of(
    kinds: dict[str, Kind], parsed: dict[str, Parsed]
) -> tuple[list[str], list[np.ndarray]]:
    """Return the features that mark missing cells which are filled."""
    filled = [
        name for name, kind in kinds.items() if getattr(kind, "mean", None) is not None
    ]
    return [f"{name} missing" for name in filled], [
        parsed[name].missing for name in filled
    ]

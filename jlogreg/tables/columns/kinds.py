"""What a column of a table becomes: the kinds of columns, and their values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jlogreg.tables.reading.faults import Fault
from jlogreg.tables.reading.read import Table, is_words

__all__ = [
    "MISSING_WORD",
    "Boolean",
    "Category",
    "Date",
    "Kind",
    "LeftOut",
    "Number",
    "Parsed",
    "Policy",
    "date_text",
    "numeric",
    "parse",
]

Policy = Literal["leave_out", "indicator"]
# The word of a category for a missing cell.
MISSING_WORD = "(missing)"
# Of the year 1000: an earlier one is a year of two digits that was read as four.
FIRST_DAY = int(np.datetime64("1000-01-01").astype(np.int64))
DAY = np.timedelta64(1, "D") / np.timedelta64(1, "us")


class Number(msgspec.Struct, frozen=True, tag="number", tag_field="kind"):
    """A column of numbers, which is a feature as it is.

    Attributes: unit, for tables of coefficients; missing, "leave_out" or "indicator",
    by default as the schema has it. Of a schema that is decided: mean, which fills
    missing cells, beside a feature that marks them; None if such rows are left out.

    Examples:
        >>> from jlogreg.tables import Number
        >>> Number(unit="years").unit
        'years'
    """

    unit: str = ""
    missing: Policy | None = None
    mean: float | None = None


class Boolean(msgspec.Struct, frozen=True, tag="boolean", tag_field="kind"):
    """A column of true and false, which is a feature with 1 and 0.

    Attributes: missing and mean, as for `Number`.

    Examples:
        >>> from jlogreg.tables import Boolean
        >>> Boolean(missing="indicator").missing
        'indicator'
    """

    missing: Policy | None = None
    mean: float | None = None


class Date(msgspec.Struct, frozen=True, tag="date", tag_field="kind"):
    """A column of dates, which is a feature in days since the first of them.

    Attributes: format, as for `time.strptime`, for words that are no ISO dates; missing
    and mean, as for `Number`. Of a schema that is decided: origin, the first date.

    Examples:
        >>> from jlogreg.tables import Date
        >>> Date(format="%d.%m.%Y").format
        '%d.%m.%Y'
    """

    format: str = ""
    missing: Policy | None = None
    origin: str = ""
    mean: float | None = None


class Category(msgspec.Struct, frozen=True, tag="category", tag_field="kind"):
    """A column of words, with a feature for each word but the base: 1 where it stands.

    Attributes: base, the word that the others are compared with, by default the first
    in the order of letters; missing, "leave_out" or "indicator", a word of its own, by
    default as the schema has it. Of a schema that is decided: words, the base first.

    Examples:
        >>> from jlogreg.tables import Category
        >>> Category(base="clay").base
        'clay'
    """

    base: str = ""
    missing: Policy | None = None
    words: tuple[str, ...] = ()


class LeftOut(msgspec.Struct, frozen=True, tag="left out", tag_field="kind"):
    """A column that is no feature.

    Attributes: reason, as text.

    Examples:
        >>> from jlogreg.tables import LeftOut
        >>> LeftOut("an identifier").reason
        'an identifier'
    """

    reason: str = ""


Kind = Number | Boolean | Date | Category | LeftOut


class Parsed(NamedTuple):
    """The values of a column (m,), which of them are missing, and the words if any.

    For a category the values are the places of the words.
    """

    values: np.ndarray
    missing: np.ndarray
    words: tuple[str, ...] = ()


def parse(name: str, kind: Kind, table: Table, faults: list[Fault]) -> Parsed | None:
    """Return the values of a column, or None and what is wrong among the faults."""
    if isinstance(kind, Category):
        return _categories(name, table, faults)
    if isinstance(kind, Date):
        return _dates(name, kind, table, faults)
    return _numbers(name, kind, table, faults)


NUMBER = {
    mark: rf"^[-+]?(\d+(\{mark}\d*)?|\{mark}\d+)([eE][-+]?\d+)?$" for mark in ",."
}


def numeric(column: Any, decimal: str) -> Any:
    """Return which words are numbers, null where the word is missing."""
    return pc.match_substring_regex(column, NUMBER[decimal])


def _numbers(name: str, kind: Kind, table: Table, faults: list[Fault]) -> Parsed | None:
    column, what = (
        table.column(name),
        "true or false" if isinstance(kind, Boolean) else "number",
    )
    cure = "correct it, count it as missing, or make the column a category"
    if is_words(column.type):
        valid = numeric(column, table.decimal)
        wrong = _rows(pc.invert(valid))
        if wrong.size or (
            isinstance(kind, Boolean) and column.null_count < len(column)
        ):
            rows = wrong if wrong.size else _rows(pc.is_valid(column))
            faults.append(_wrong(name, column, rows, f"is no {what}", cure))
            return None
        if table.decimal == ",":
            column = pc.replace_substring(column, ",", ".")
        column = column.cast(pa.float64())
    types = pa.types
    kinds = (types.is_integer, types.is_floating, types.is_decimal, types.is_null)
    if not (types.is_boolean(column.type) or any(test(column.type) for test in kinds)):
        faults.append(
            Fault(f"holds {column.type}, no {what}", name, cure="leave it out")
        )
        return None
    if isinstance(kind, Boolean) and not (
        types.is_boolean(column.type) or types.is_null(column.type)
    ):
        faults.append(Fault(f"holds numbers, no {what}", name, cure="make it a number"))
        return None
    # Whole numbers beyond 2^53 are rounded, as floats are.
    values = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), float)
    missing = np.isnan(values)
    infinite = np.flatnonzero(np.isinf(values))
    if infinite.size:
        faults.append(_wrong(name, column, infinite, "is infinite", "correct it"))
        return None
    return Parsed(values, missing)


def _dates(name: str, kind: Date, table: Table, faults: list[Fault]) -> Parsed | None:
    column = table.column(name)
    if is_words(column.type):
        if not kind.format:
            cure = 'say how they are written, such as Date("%d.%m.%Y")'
            wrong = _rows(pc.is_valid(column))
            faults.append(_wrong(name, column, wrong, "is no date in ISO 8601", cure))
            return None
        read = pc.strptime(column, kind.format, "us", error_is_null=True)
        wrong = _rows(pc.and_(pc.is_null(read), pc.is_valid(column)))
        if wrong.size:
            what = f"is no date written {kind.format!r}"
            faults.append(_wrong(name, column, wrong, what, "correct it"))
            return None
        column = read
    if not (
        pa.types.is_date(column.type)
        or pa.types.is_timestamp(column.type)
        or pa.types.is_null(column.type)
    ):
        faults.append(Fault(f"holds {column.type}, no dates", name))
        return None
    read = column.cast(pa.timestamp("us"), safe=False)
    missing = np.asarray(pc.is_null(read).to_numpy())
    days = np.asarray(pc.fill_null(read.cast(pa.int64()), 0).to_numpy()) / DAY
    early = np.flatnonzero(~missing & (days < FIRST_DAY))
    if early.size:
        what = "is a date before the year 1000"
        cure = "correct it; %y is a year of two digits"
        faults.append(_wrong(name, table.column(name), early, what, cure))
        return None
    return Parsed(np.where(missing, np.nan, days - _origin_days(kind)), missing)


def _origin_days(kind: Date) -> float:
    """Return the origin of a date in days since 1970."""
    if not kind.origin:
        return 0.0
    return float(np.datetime64(kind.origin, "us").astype(np.int64) / DAY)


def date_text(days: float) -> str:
    """Return days since 1970 as a date, with the time of the day if there is one."""
    date = np.datetime64(round(days * DAY), "us")
    return str(date.astype("datetime64[D]") if days % 1 == 0 else date)


def _categories(name: str, table: Table, faults: list[Fault]) -> Parsed | None:
    types = pa.types
    column = table.columns[name].type
    if types.is_nested(column) or types.is_binary(column):
        faults.append(Fault(f"holds {column}, no words", name, cure="leave it out"))
        return None
    places, words = table.coded(name, as_words=True)
    missing = places < 0
    return Parsed(np.where(missing, 0, places), missing, tuple(words))


def _rows(mask: Any) -> np.ndarray:
    """Return the places where a mask is true, and not null."""
    return np.flatnonzero(pc.fill_null(mask, False).to_numpy())


def _wrong(
    name: str, column: Any, rows: Sequence[int] | np.ndarray, what: str, cure: str
) -> Fault:
    """Return the fault of a column with cells that are wrong, the first by its row."""
    cell, more = column[int(rows[0])].as_py(), len(rows) - 1
    others = f", nor are {more} cells below it" if more and "no " in what else ""
    others = others or (f", and {more} cells below it" if more else "")
    return Fault(f"{str(cell)!r} {what}{others}", name, int(rows[0]) + 1, cure)

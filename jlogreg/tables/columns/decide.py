"""Decide what a column becomes where nobody has said it, and complete what was said."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jlogreg.base.formatting import nearest
from jlogreg.tables.columns.kinds import (
    MISSING_WORD,
    Boolean,
    Category,
    Date,
    Kind,
    LeftOut,
    Number,
    Parsed,
    Policy,
    date_text,
    numeric,
)
from jlogreg.tables.columns.labels import Label
from jlogreg.tables.reading.faults import Fault, listed, similar
from jlogreg.tables.reading.read import Table, is_words

__all__ = [
    "check_both",
    "complete",
    "find_kind",
    "is_filled",
    "notes_of",
    "rows_to_keep",
    "told",
]

# With more words a column is no category unless somebody says so.
MOST_WORDS = 50
# Whole numbers of as many digits, all of them, may be codes.
CODE_DIGITS = 5
# So many rows at least, before whole numbers that all differ look like a row's number.
FEW_ROWS = 10
DATE = r"^\d{1,4}[./-]\d{1,2}[./-]\d{1,4}([ T]\d.*)?$"
BEGINS_AS_NUMBER = r"^[<>≤≥~€$£+-]*\s*[.,]?\d"
IN_ALL = "in all rows that are used"
ASK = "leave it out, or make it a category"


def find_kind(name: str, table: Table, faults: list[Fault]) -> Kind | None:
    """Return what a column becomes by its type, or None with a question as a fault."""
    column = table.column(name)
    kind, types = column.type, pa.types
    if column.null_count == len(column):
        return LeftOut("it is empty")
    if types.is_dictionary(table.columns[name].type):  # somebody made it a category
        return Category()
    if is_words(kind):
        return _kind_of_words(name, table, faults)
    if types.is_boolean(kind):
        return Boolean()
    if types.is_date(kind) or types.is_timestamp(kind):
        return Date()
    if types.is_floating(kind) or types.is_decimal(kind):
        return Number()
    if types.is_integer(kind):
        if _numbers_rows(column):
            what = "numbers the rows: it looks like an identifier"
            faults.append(Fault(what, name, cure="leave it out, or make it a number"))
            return None
        return Number()
    faults.append(
        Fault(f"holds {kind}, which is no feature", name, cure="leave it out")
    )
    return None


def _numbers_rows(column: pa.ChunkedArray) -> bool:
    """Return whether whole numbers follow each other, each once, in any order."""
    if column.null_count or len(column) < FEW_ROWS:
        return False
    ends = pc.min_max(column).as_py()
    follow = ends["max"] - ends["min"] == len(column) - 1
    return bool(follow and pc.count_distinct(column).as_py() == len(column))


def _kind_of_words(name: str, table: Table, faults: list[Fault]) -> Kind | None:
    places, found = table.coded(name, as_words=True)
    words = pa.array(found, pa.string())
    is_number = np.asarray(numeric(words, table.decimal))
    counts = np.bincount(places[places >= 0], minlength=len(found))
    count, present = int(counts[is_number].sum()), int(counts.sum())
    if count == present:
        return Number()
    if count:
        others = np.flatnonzero((places >= 0) & ~is_number[places])
        kinds = sorted({found[place] for place in places[others[:1000]]})
        what = f"holds {count} numbers, but also {listed(kinds, 4)}, first here"
        cure = "count these as missing, make it a category, or leave it out"
        faults.append(Fault(what, name, int(others[0]) + 1, cure))
        return None
    first, distinct = found[0], len(found)
    if pc.all(pc.match_substring_regex(words, DATE)).as_py():
        what = f"holds dates such as {first!r}, but not as year-month-day"
        cure = 'say how they are written, such as "%d.%m.%Y", or leave it out'
        faults.append(Fault(what, name, cure=cure))
        return None
    if pc.all(pc.match_substring_regex(words, BEGINS_AS_NUMBER)).as_py():
        what = f"holds {first!r}, which begins as a number but is none"
        faults.append(Fault(what, name, cure=f"correct it, {ASK}"))
        return None
    if distinct > MOST_WORDS:
        what = f"holds {distinct} different words in {present} rows, such as {first!r}"
        faults.append(Fault(what, name, cure=ASK))
        return None
    return Category()


def is_filled(kind: Kind, policy: Policy) -> bool:
    """Return whether missing cells of a column are filled, rather than left out."""
    own = None if isinstance(kind, LeftOut) else kind.missing
    return (own or policy) == "indicator"


def rows_to_keep(
    kinds: dict[str, Kind],
    parsed: dict[str, Parsed],
    labeled: np.ndarray,
    policy: Policy,
    faults: list[Fault],
) -> np.ndarray:
    """Return which rows (M,) have a label, and all the cells that they need."""
    needed = {
        name: values.missing
        for name, values in parsed.items()
        if not is_filled(kinds[name], policy)
    }
    rows = labeled.copy()
    for missing in needed.values():
        rows &= ~missing
    if labeled.any() and not rows.any():
        name = max(needed, key=lambda each: int(needed[each].sum()))
        count = f"{needed[name].sum()} of {len(rows)}"
        what = f"no row is complete; most lack {name!r} ({count})"
        cure = 'leave the column out, or say missing="indicator"'
        faults.append(Fault(what, cure=cure))
    return rows


def check_both(label: Label, y: np.ndarray, faults: list[Fault]) -> None:
    """Return nothing, with a fault if the labels that are used are all the same."""
    for word, value in ((label.negative, 0), (label.positive, 1)):
        if y.size and not (y == value).any():
            what = f"no row that is used has the label {word!r}"
            cure = 'say missing="indicator", or give more rows'
            faults.append(Fault(what, label.column, cure=cure))


def complete(
    name: str,
    kind: Kind,
    parsed: Parsed,
    kept: np.ndarray,
    filled: bool,
    weight: np.ndarray | None,
    faults: list[Fault],
) -> Kind:
    """Return a kind with what is computed from the rows that are kept.

    A column that says nothing there is left out. The mean is weighted, so that a row of
    a frequency k is k rows.
    """
    missing = bool(parsed.missing[kept].any())
    if isinstance(kind, Category):
        return _complete_category(name, kind, parsed, kept, missing, faults)
    there = kept & ~parsed.missing if missing else kept
    values = parsed.values[there]
    if not values.size:
        return LeftOut(f"it is empty {IN_ALL}")
    low, high = float(values.min()), float(values.max())
    if low == high:
        shown = date_text(low) if isinstance(kind, Date) else f"{low:.6g}"
        where = "wherever it is not missing" if missing else IN_ALL
        return LeftOut(f"it is {shown} {where}")
    if isinstance(kind, Date):
        origin = math.floor(low)
        kind = msgspec.structs.replace(kind, origin=date_text(origin))
        values = values - origin
    own = None if weight is None else weight[there]
    mean = float(np.average(values, weights=own)) if missing and filled else None
    assert not isinstance(kind, LeftOut)
    return msgspec.structs.replace(kind, mean=mean)


def _complete_category(
    name: str,
    kind: Category,
    parsed: Parsed,
    kept: np.ndarray,
    missing: bool,
    faults: list[Fault],
) -> Kind:
    present = kept & ~parsed.missing
    counts = np.bincount(parsed.values[present], minlength=len(parsed.words))
    words = sorted(
        word for word, count in zip(parsed.words, counts, strict=False) if count
    )
    if kind.base and kind.base not in words:
        faults.append(
            Fault(
                f"the base {kind.base!r} is not there, only {listed(words)}"
                f"{nearest(kind.base, words)}",
                name,
            )
        )
        return kind
    base = kind.base or (words[0] if words else "")
    words = [base, *(word for word in words if word != base)] if words else []
    if missing and MISSING_WORD not in words:
        words.append(MISSING_WORD)
    if len(words) < 2:
        return LeftOut(f"it is {repr(words[0]) if words else 'empty'} {IN_ALL}")
    return msgspec.structs.replace(kind, base=base, words=tuple(words))


def notes_of(
    kinds: dict[str, Kind], asked: dict[str, Kind | None], table: Table
) -> tuple[str, ...]:
    """Return a line for words that are nearly the same, and for what may be codes."""
    notes = [
        f"note: {name!r}: {first!r} and {word!r} count as two words"
        for name, kind in kinds.items()
        if isinstance(kind, Category)
        for first, word in similar(kind.words)
    ]
    cure = "if they are codes, make it a category, or leave it out"
    for name, kind in kinds.items():
        found = isinstance(kind, Number) and asked[name] is None
        why = _like_codes(name, table) if found else ""
        notes += [f"note: {name!r}: {why}: {cure}"] if why else []
    return tuple(notes)


def _like_codes(name: str, table: Table) -> str:
    """Return why whole numbers may be codes, whose size says nothing, or nothing."""
    column = table.column(name)
    if not pa.types.is_integer(column.type):
        return ""
    if table.text is not None and name in table.text.padded:
        return "numbers begin with 0"
    low, high = pc.min_max(column).as_py().values()
    digits = len(str(low))
    alike = low > 0 and digits >= CODE_DIGITS and digits == len(str(high))
    return f"all numbers have {digits} digits" if alike else ""


def told(kind: Kind) -> str:
    """Return what a kind does, in words."""
    if isinstance(kind, LeftOut):
        return "left out: " + (kind.reason or "as you say")
    if isinstance(kind, Category):
        base, *words = kind.words or (kind.base, "...")
        return f"category: {listed(words, 20)} against {base!r}"
    text = (
        "number"
        if kind.__struct_config__.tag == "number"
        else str(kind.__struct_config__.tag)
    )
    unit, origin = getattr(kind, "unit", ""), getattr(kind, "origin", "")
    text += f" of {unit}" if unit else ""
    text += f", in days since {origin}" if origin else ""
    if kind.mean is not None:
        text += f"; missing cells are marked, and filled with the mean {kind.mean:.6g}"
    return text

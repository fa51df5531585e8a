"""What is wrong with a table: all of it in one error, each fault with its cure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

__all__ = ["Fault", "TableError", "listed", "similar"]


class Fault(NamedTuple):
    """One thing that is wrong with a table.

    column, row and line are None where the fault is not in one of them. row counts from
    1, below the names of the columns. line is that of a CSV file where the row begins,
    as an editor counts lines: the names of the columns are on line 1, and line breaks
    within quotes count. Only a data frame and a Parquet file, which have no lines, are
    told by rows.

    Examples:
        >>> from jlogreg.tables import Fault
        >>> print(Fault("holds 'old', which is no number", "age", 3, "leave it out"))
        column 'age', row 3: holds 'old', which is no number: leave it out
        >>> print(Fault("holds 'old', which is no number", "age", 3, line=4))
        column 'age', line 4: holds 'old', which is no number
    """

    what: str
    column: str | None = None
    row: int | None = None
    cure: str = ""
    line: int | None = None

    def __str__(self) -> str:
        """Return the fault as one line."""
        column = "" if self.column is None else f"column {self.column!r}"
        row = "" if self.row is None else f"row {self.row}"
        row = row if self.line is None else f"line {self.line}"
        place = ", ".join(part for part in (column, row) if part)
        return ": ".join(part for part in (place, self.what, self.cure) if part)


class TableError(ValueError):
    """Error with all the faults of a table; its message has a line for each.

    Examples:
        >>> from jlogreg.tables import Fault, TableError
        >>> error = TableError("patients.csv", [Fault("holds no row")])
        >>> print(error, len(error.faults))
        patients.csv: holds no row 1
    """

    __module__ = "jlogreg.tables"  # where users import it from, in every traceback

    def __init__(self, source: str, faults: Iterable[Fault]) -> None:
        """Keep the name of the table and its faults."""
        self.source, self.faults = source, tuple(faults)
        super().__init__("\n".join(f"{source}: {fault}" for fault in self.faults))


def listed(words: Sequence[object], most: int = 8) -> str:
    """Return words in quotes, separated by commas, the first few of many."""
    shown = ", ".join(repr(str(word)) for word in words[:most])
    rest = len(words) - most
    return f"{shown} and {rest} more" if rest > 0 else shown


def similar(words: Iterable[str]) -> list[tuple[str, str]]:
    """Return pairs of words that differ only by capitals or blanks."""
    seen: dict[str, str] = {}
    found = []
    for word in words:
        first = seen.setdefault(re.sub(r"\s+", " ", word.casefold()), word)
        if first != word:
            found.append((first, word))
    return found

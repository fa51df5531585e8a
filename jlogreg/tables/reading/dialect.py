"""How a CSV text is written: the lines of its rows, its delimiter and decimal mark."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from jlogreg.tables.reading.faults import Fault, TableError

__all__ = ["Beginning", "Row", "find_decimal", "find_delimiter", "rows_of", "shown"]

DELIMITERS = (",", ";", "\t", "|")
SHOWN = {"\t": "a tab"}
# The rows that tell the delimiter and the decimal mark.
FIRST_ROWS = 200
DECIMAL = {
    ",": re.compile(r"\s*[-+]?\d+,\d+\s*"),
    ".": re.compile(r"\s*[-+]?\d+\.\d+\s*"),
}


PADDED = re.compile(r"\s*0\d+\s*")


class Row(NamedTuple):
    """A row of a text: the line where it begins, and its cells."""

    line: int
    cells: list[str]


def rows_of(text: str, delimiter: str, above: int = 0) -> Iterator[Row]:
    """Return the rows of a text one by one, without those that are empty.

    Lines are counted from 1 as an editor counts them, empty ones and those within
    quotes, too, and `above` lines that were taken from the text.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    line = above + 1
    try:
        for cells in reader:
            if cells:
                yield Row(line, cells)
            line = above + reader.line_num + 1
    except csv.Error:  # a cell that is too long, for one
        return


class Beginning(NamedTuple):
    """The beginning of a file, whether it is complete, and the lines above it."""

    source: str
    text: str
    complete: bool
    above: int

    def rows(self, delimiter: str) -> list[Row]:
        """Return the first rows; the last of a text that was cut is left out."""
        every = rows_of(self.text, delimiter, self.above)
        rows = list(islice(every, FIRST_ROWS + 1))
        return rows if self.complete or len(rows) > FIRST_ROWS else rows[:-1]

    def padded(self, delimiter: str) -> frozenset[str]:
        """Return the columns whose first rows hold a number such as 007."""
        names, *rows = self.rows(delimiter) or [Row(1, [])]
        return frozenset(
            name
            for row in rows
            for name, cell in zip(names.cells, row.cells, strict=False)
            if PADDED.fullmatch(cell)
        )


def shown(delimiter: str) -> str:
    """Return a delimiter as it is told."""
    return SHOWN.get(delimiter, repr(delimiter))


def find_delimiter(given: Beginning) -> str:
    """Return the delimiter that cuts most rows into as many cells as the first.

    Raises:
        TableError: if two do so equally well.
    """
    shares = {}
    for delimiter in DELIMITERS:
        widths = [len(row.cells) for row in given.rows(delimiter)]
        width = widths[0] if widths else 1
        if width > 1:
            shares[delimiter] = Counter(widths)[width] / len(widths)
    if not shares:
        lone = given.text.splitlines()[0][:60] if given.text.strip() else ""
        what = (
            f"has one column, {lone!r}, or a delimiter that is none of , ; | or a tab"
        )
        cure = 'name it, such as delimiter=":"'
        raise TableError(given.source, [Fault(what, cure=cure)])
    best = [each for each in shares if shares[each] == max(shares.values())]
    if len(best) > 1:
        what = f"its cells may be separated by {' or '.join(map(shown, best))}"
        fault = Fault(what, cure=f"say delimiter={best[0]!r}, or so")
        raise TableError(given.source, [fault])
    return best[0]


def find_decimal(given: Beginning, delimiter: str) -> str:
    """Return the decimal mark of the numbers in the first rows.

    Raises:
        TableError: if numbers with both are there.
    """
    names, *rows = given.rows(delimiter) or [Row(1, [])]
    first: dict[str, tuple[int, int, str]] = {}
    for line, cells in rows:
        for column, cell in enumerate(cells):
            for mark, pattern in DECIMAL.items():
                if mark not in first and pattern.fullmatch(cell):
                    first[mark] = line, column, cell
    if len(first) == 2 and delimiter != ",":
        line, column, cell = first[","]
        name = dict(enumerate(names.cells)).get(column)
        what = f"holds {cell!r}, but line {first['.'][0]} a number with a decimal point"
        cure = 'write all numbers alike, or say decimal="," or decimal="."'
        raise TableError(given.source, [Fault(what, name, None, cure, line)])
    return "," if "," in first and "." not in first and delimiter != "," else "."

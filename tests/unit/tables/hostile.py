"""Messy CSV files by a seed: with what is known of each, the samples or the faults."""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jlogreg.tables import LeftOut, Schema

MISSING = ["", "NA", "nan", "NULL", "?", " ", "n/a"]
DAY = datetime.date(2021, 2, 27)


class Hostile(NamedTuple):
    """A file, the schema that is asked for, and the truth.

    names, X (n, k) and y (1, k) are those of the rows that are complete. Of faults each
    is the column, or None, and a part of the text; there are none if X counts.
    """

    content: bytes
    schema: Schema
    names: list[str]
    X: np.ndarray
    y: np.ndarray
    faults: set[tuple[str | None, str]]


class Draft:
    """The columns of a table, as words and as features, while it is being made."""

    def __init__(self, rng: np.random.Generator, comma: bool) -> None:
        """Begin without a column."""
        self.rng, self.comma = rng, comma
        self.m = int(rng.integers(12, 40))
        self.names: list[str] = []
        self.cells: list[list[str]] = []
        self.features: dict[str, np.ndarray] = {}
        self.missing = np.zeros(self.m, bool)
        self.asked: dict[str, LeftOut] = {}
        self.faults: set[tuple[str | None, str]] = set()

    def number(self, value: float) -> str:
        text = repr(round(float(value), 3))
        return text.replace(".", ",") if self.comma else text

    def add(self, name: str, cells: list[str]) -> None:
        """Add a column, somewhere."""
        place = int(self.rng.integers(0, len(self.names) + 1))
        self.names.insert(place, name)
        self.cells.insert(place, cells)

    def holed(self, cells: list[str]) -> list[str]:
        """Return cells of which a few are missing, in one of many words."""
        holes = self.rng.random(self.m) < self.rng.choice([0, 0, 0.06])
        self.missing |= holes
        word = self.rng.choice(MISSING, self.m)
        return [
            str(word[k]) if hole else cell
            for k, (cell, hole) in enumerate(zip(cells, holes, strict=True))
        ]


# Over 40 lines: a list of columns.
def good_columns(draft: Draft) -> None:
    """Add columns that are right, and the label."""
    rng, m = draft.rng, draft.m
    values = rng.normal(size=m).round(3) + 0.0005
    draft.features["größe"] = values.round(3)
    draft.add("größe", draft.holed([draft.number(value) for value in values.round(3)]))
    if rng.random() < 0.7:
        whole = rng.integers(-40, 400, m)
        whole[0], whole[1] = 1, 350  # so that they do not number the rows
        draft.features["count"] = whole.astype(float)
        blank = rng.choice(["", " "], m)
        cells = [f"{blank[k]}{whole[k]}{blank[-k]}" for k in range(m)]
        draft.add("count", draft.holed(cells))
    if rng.random() < 0.8:
        words = rng.choice(["Köln", "Ulm", "x;y", 'a "b"', "c,d"], m)
        words[:2] = "Köln", "Ulm"
        draft.add("ort", draft.holed([f"{word} " for word in words]))
        draft.features["ort"] = words
    if rng.random() < 0.5:
        flags = rng.random(m) < 0.5
        flags[:2] = True, False
        style = rng.choice([["false", "true"], ["False", "True"], ["FALSE", "TRUE"]])
        draft.add("flag", draft.holed([str(style[int(flag)]) for flag in flags]))
        draft.features["flag"] = flags
    if rng.random() < 0.5:
        days = rng.integers(0, 900, m)
        days[0] += 1000
        cells = [str(DAY + datetime.timedelta(days=int(day))) for day in days]
        draft.add("tag", draft.holed(cells))
        draft.features["tag"] = days.astype(float)
    if rng.random() < 0.3:
        draft.add("leer", [str(word) for word in rng.choice(MISSING, m)])
    if rng.random() < 0.3:
        draft.add("gleich", ["so"] * m)
    if rng.random() < 0.5:
        draft.add("nummer", [str(7 + k) for k in range(m)])
        draft.asked["nummer"] = LeftOut()


def add_label(draft: Draft) -> np.ndarray:
    """Add the label, of which each word is in complete rows, and return it."""
    y = draft.rng.random(draft.m) < 0.5
    complete = np.flatnonzero(~draft.missing)
    y[complete[0]], y[complete[-1]] = True, False
    draft.add("ja?", ["yes" if one else "no" for one in y])
    return y


def word_among_numbers(draft: Draft) -> None:
    cells = [draft.number(k + 0.5) for k in range(draft.m)]
    cells[int(draft.rng.integers(draft.m))] = str(draft.rng.choice(["<5", "old", "-"]))
    draft.add("messung", cells)
    draft.faults.add(("messung", "numbers, but also"))


def infinite(draft: Draft) -> None:
    cells = [draft.number(k + 0.5) for k in range(draft.m)]
    cells[3] = "inf"
    draft.add("grenze", cells)
    draft.faults.add(("grenze", "is infinite"))


def identifier(draft: Draft) -> None:
    draft.add("lfd", [str(100 + k) for k in draft.rng.permutation(draft.m)])
    draft.faults.add(("lfd", "numbers the rows"))


def dates(draft: Draft) -> None:
    days = draft.rng.integers(1, 28, draft.m)
    draft.add("besuch", [f"{day:02d}.03.2022" for day in days])
    draft.faults.add(("besuch", "not as year-month-day"))


def units(draft: Draft) -> None:
    draft.add("gewicht", [f"{k} kg" for k in draft.rng.integers(40, 90, draft.m)])
    draft.faults.add(("gewicht", "begins as a number"))


def twice(draft: Draft) -> None:
    for _ in range(2):
        draft.add("doppelt", [draft.number(k**1.5) for k in range(draft.m)])
    draft.faults.add(("doppelt", "2 columns have this name"))


def unnamed(draft: Draft) -> None:
    draft.add("", [draft.number(k**1.5) for k in range(draft.m)])
    draft.faults.add(("", "has no name"))


def third_word(draft: Draft) -> None:
    cells = draft.cells[draft.names.index("ja?")]
    cells[5] = "maybe"
    draft.faults.add(("ja?", "must have two"))


def one_word(draft: Draft) -> None:
    cells = draft.cells[draft.names.index("ja?")]
    cells[:] = ["yes"] * draft.m
    draft.faults.add(("ja?", "in every row"))


FAULTS: list[Callable[[Draft], None]] = [
    *(word_among_numbers, infinite, identifier, dates, units, twice, unnamed),
]
OF_LABELS = [third_word, one_word]


def hostile(seed: int) -> Hostile:
    """Return the table of a seed: with even seeds a right one, with odd ones faults."""
    rng = np.random.default_rng(seed)
    delimiter = str(rng.choice([",", ";", "\t", "|"]))
    draft = Draft(rng, comma=delimiter != "," and rng.random() < 0.5)
    good_columns(draft)
    y = add_label(draft)
    if seed % 2:
        count = int(rng.integers(1, 5))
        for fault in rng.permutation(len(FAULTS))[:count]:
            FAULTS[fault](draft)
        if rng.random() < 0.5:
            OF_LABELS[int(rng.integers(2))](draft)
    encoding = str(rng.choice(["utf-8", "utf-8-sig", "latin-1", "utf-16"]))
    text = io.StringIO()
    quoting = csv.QUOTE_ALL if rng.random() < 0.3 else csv.QUOTE_MINIMAL
    ends = str(rng.choice(["\n", "\r\n"]))
    given = {"delimiter": delimiter, "quoting": quoting, "lineterminator": ends}
    writer = csv.writer(text, **given)
    writer.writerow(draft.names)
    writer.writerows(zip(*draft.cells, strict=True))
    content = text.getvalue().encode(encoding)
    content = content if rng.random() < 0.5 else content.rstrip()
    kept = ~draft.missing
    names, rows = [], []
    for name in draft.names:
        if name in draft.features:
            for each, row in features_of(name, draft.features[name][kept]):
                names.append(each)
                rows.append(row)
    schema = Schema("ja?", "yes", columns=draft.asked)
    truth = np.array(rows, float), y[None, kept].astype(float)
    return Hostile(content, schema, names, *truth, draft.faults)


def features_of(name: str, values: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Return the features of a column in the rows that are used, none if constant."""
    if name == "ort":
        _, *words = sorted({*values.tolist()})
        return [(f"ort={word}", values == word) for word in words]
    if (values == values[0]).all():
        return []
    if name == "tag":
        return [("tag [days]", values - values.min())]
    return [(name, values)]

"""The label of a table: the column, the word that is 1 and the word that is 0."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from jlogreg.base.formatting import nearest
from jlogreg.tables.reading.faults import Fault, listed, similar
from jlogreg.tables.reading.read import Table

__all__ = ["Label", "find_label", "label_values"]

CURE = "correct them, or leave rows of other words out by naming both words"


class Label(msgspec.Struct, frozen=True):
    """The column of the label, its two words, and those whose rows are left out."""

    column: str
    positive: str
    negative: str
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return what is 1 and what is 0."""
        text = f"label {self.column!r}: {self.positive!r} is 1, {self.negative!r} is 0"
        out = f"; rows with {listed(self.others)} are left out" if self.others else ""
        return text + out


def _coded(column: str, table: Table) -> tuple[np.ndarray, list[str]]:
    """Return the place of each cell's word, -1 where it is missing, and the words."""
    places, cells = table.coded(column, as_words=False)
    words = [_word(cell) for cell in cells]
    gone = [place for place, word in enumerate(words) if word == "nan"]
    return np.where(np.isin(places, gone), -1, places) if gone else places, words


def _word(value: Any) -> str:
    """Return a label as a word: true, 1, yes."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.15g}" if isinstance(value, int | float) else str(value)


def _asked(value: Any, words: list[str], decimal: str = ".") -> str:
    """Return a word that was asked for, as it is among the words if it is."""
    word = _word(value).strip()
    if word in words:
        return word
    if word.lower() in (
        "true",
        "false",
    ):  # Python and the file may write them otherwise
        return next((known for known in words if known.lower() == word.lower()), word)
    try:
        number = f"{float(word.replace(decimal, '.')):.15g}"
    except ValueError:
        return word
    return number if number in words else word


def _alike(
    pairs: list[tuple[str, str]], counts: dict[str, int], given: list[str | None]
) -> str:
    """Return what to write of words that are alike: the one asked for, or usual."""

    def order(word: str) -> tuple[bool, int]:
        return word not in given, -counts[word]

    ordered = (sorted(pair, key=order) for pair in pairs)
    return ", ".join(f"write {usual!r} for {other!r}" for usual, other in ordered)


# Over 40 lines: the faults that a label may have, one after another.
def find_label(
    column: str, positive: Any, negative: Any, table: Table, faults: list[Fault]
) -> Label | None:
    """Return the label with both its words, or None with all that is wrong."""
    if table.names.count(column) != 1:
        return None
    places, found = _coded(column, table)
    counts = np.bincount(places[places >= 0], minlength=len(found))
    words = sorted(word for word, count in zip(found, counts, strict=True) if count)
    by_word = dict(zip(found, counts.tolist(), strict=True))
    shown = ", ".join(f"{word!r} ({by_word[word]})" for word in words[:8])
    shown += f" and {len(words) - 8} more" if len(words) > 8 else ""
    if not words:
        faults.append(Fault("the label is missing in every row", column))
        return None
    if len(words) == 1:
        what = f"the label is {words[0]!r} in every row: there is nothing to tell apart"
        faults.append(Fault(what, column))
        return None
    given = [
        None if each is None else _asked(each, words, table.decimal)
        for each in (positive, negative)
    ]
    for word in given:
        if word is not None and word not in words:
            pairs = similar([word, *words])
            likely = [known for first, known in pairs if first == word]
            usual = max(likely, key=lambda known: by_word[known], default="")
            hint = f"; write {usual!r}, as the table does" if usual else ""
            what = f"no label is {word!r}, they are {shown}"
            what += hint or nearest(word, words)
            faults.append(Fault(what, column))
            return None
    chosen, other = given
    if chosen is None:
        if set(words) in ({"0", "1"}, {"false", "true"}):
            chosen = words[1]
        else:
            what = f"the labels are {shown}, and none is named as the positive one"
            cure = f"say which, one of {listed(words)}"
            faults.append(Fault(what, column, cure=cure))
            return None
    if other is None:
        rest = [word for word in words if word != chosen]
        if len(rest) > 1:
            what = f"the label has {len(words)} words, {shown}, but must have two"
            pairs = similar(words)
            cures = [
                _alike(pairs, by_word, given),
                CURE * (len(words) - len(pairs) > 2),
            ]
            cure = "; ".join(part for part in cures if part)
            faults.append(Fault(what, column, cure=cure))
            return None
        other = rest[0]
    if other == chosen:
        faults.append(Fault(f"{chosen!r} is both positive and negative", column))
        return None
    others = tuple(word for word in words if word not in (chosen, other))
    lost = [pair for pair in similar(words) if len({*pair} & {*others}) == 1]
    if lost:
        what = "rows of a word that differs by capitals or blanks would be left out"
        faults.append(Fault(what, column, cure=_alike(lost, by_word, given)))
        return None
    return Label(column, chosen, other, others)


def label_values(
    label: Label, table: Table, faults: list[Fault]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels (m,), NaN for none, and which of those are other words (m,)."""
    places, words = _coded(label.column, table)
    # The last is that of a missing one.
    codes, others = np.full(len(words) + 1, np.nan), np.zeros(len(words) + 1, bool)
    for place, word in enumerate(words):
        match _asked(word, [label.positive, label.negative]):
            case label.positive:
                codes[place] = 1.0
            case label.negative:
                codes[place] = 0.0
            case other if other in label.others:
                others[place] = True
            case _:
                rows = np.flatnonzero(places == place)
                both = f"{label.positive!r} or {label.negative!r}"
                what = f"the label is {word!r}, not {both}"
                if rows.size:
                    faults.append(Fault(what, label.column, int(rows[0]) + 1))
    return codes[places], others[places]

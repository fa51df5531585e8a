"""The schema of a table: what each of its columns becomes, and the label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from jlogreg.base.formatting import nearest
from jlogreg.tables.columns.decide import (
    check_both,
    complete,
    find_kind,
    is_filled,
    notes_of,
    rows_to_keep,
    told,
)
from jlogreg.tables.columns.formula import features_of, parse_formula
from jlogreg.tables.columns.kinds import Kind, LeftOut, Parsed, Policy, parse
from jlogreg.tables.columns.labels import Label, find_label, label_values
from jlogreg.tables.columns.roles import ROLES, Roles
from jlogreg.tables.reading.faults import Fault, listed
from jlogreg.tables.reading.read import Table
from jlogreg.tables.samples import (
    Rows,
    Samples,
    Unseen,
    check_finite,
    encode,
    frame_of,
    marks_of,
    parse_all,
    usable_rows,
)

__all__ = ["Schema"]


class Schema(Roles, frozen=True):
    """What each column of a table becomes: asked in part, and then decided for a table.

    Attributes: label, the name of its column; positive, the word or number that is 1,
    and negative that which is 0 (of two, the other); columns, what those become that
    you decide, a `Number`, `Boolean`, `Date`, `Category` or `LeftOut`; missing, what
    happens to rows with missing cells: "leave_out", or "indicator" (numbers are filled
    with the mean and marked by a feature, categories have a word for it); formula, in
    the manner of R, of which the part before ~ is the label; weight, offset and
    clusters, columns that are no features, and weights, "frequency" or "probability",
    what they mean, as in `jlogreg.summary`. `decide` fills in the rest, with
    missing_words, the words that stood for a missing cell, which do so in other tables.

    Shapes: a table has a row for each sample; `samples` has a column.

    Examples:
        >>> import pandas
        >>> from jlogreg import tables
        >>> frame = pandas.DataFrame(
        ...     {"dose": [0.5, 1.5, 2.0], "soil": list("aab"), "alive": list("nyn")}
        ... )
        >>> schema = tables.Schema("alive", "y").decide(tables.read(frame))
        >>> print(schema)
        label 'alive': 'y' is 1, 'n' is 0
        'dose': number
        'soil': category: 'b' against 'a'
    """

    label: str = ""
    positive: str | float | bool | None = None
    negative: str | float | bool | None = None
    columns: dict[str, Kind] = msgspec.field(default_factory=dict)
    missing: Policy = "leave_out"
    formula: str = ""
    missing_words: tuple[str, ...] = ()
    decided: Label | None = None
    state: dict[str, Any] = msgspec.field(default_factory=dict)
    bias: bool = True
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return a line for each column: what it becomes."""
        lines = [] if self.decided is None else [str(self.decided)]
        if self.formula:
            lines.append(f"formula {self.formula}{'' if self.bias else ', no bias'}")
        lines += self.lines()
        lines += [f"{name!r}: {told(kind)}" for name, kind in self.columns.items()]
        return "\n".join([*lines, *self.notes])

    @property
    def used(self) -> dict[str, Kind]:
        """The columns that are not left out."""
        return {
            name: kind
            for name, kind in self.columns.items()
            if not isinstance(kind, LeftOut)
        }

    def decide(self, table: Table) -> Schema:
        """Return the complete schema for a table.

        Raises:
            TableError: with all that is wrong with the table, by column, and each
                question that you must answer.
        """
        faults: list[Fault] = []
        label, asked = self._asked(table, faults)
        found = find_label(label, self.positive, self.negative, table, faults)
        kinds: dict[str, Kind] = {}
        parsed: dict[str, Parsed] = {}
        for name, given in asked.items():
            kind = given or find_kind(name, table, faults)
            values = (
                kind
                and not isinstance(kind, LeftOut)
                and parse(name, kind, table, faults)
            )
            if kind is not None:
                kinds[name] = kind
            if values:
                parsed[name] = values
        y = label_values(found, table, faults)[0] if found else np.zeros(len(table))
        labeled = ~np.isnan(y)
        weight = self.role_values(table, faults, needed=labeled).get("weight")
        if faults or found is None:
            raise table.error(faults)
        labeled = labeled if weight is None else labeled & (weight > 0)
        kept = rows_to_keep(kinds, parsed, labeled, self.missing, faults)
        check_both(found, y[kept], faults)
        if not faults:
            for name, values in parsed.items():
                kind = kinds[name]
                filled = is_filled(kind, self.missing)
                kinds[name] = complete(name, kind, values, kept, filled, weight, faults)
        if not faults and all(isinstance(kind, LeftOut) for kind in kinds.values()):
            faults.append(Fault("no column is left that says something"))
        if faults:
            raise table.error(faults)
        schema = msgspec.structs.replace(
            self, label=label, positive=found.positive, negative=found.negative,
            columns=kinds, decided=found, notes=notes_of(kinds, asked, table),
            missing_words=tuple(sorted(table.missing)),
        )  # fmt: skip
        return schema._with_state(table, parsed, kept)

    def features(self, table: Table, unseen: Unseen = "refuse") -> Rows:
        """Return the features of the rows that have all the cells they need.

        Args:
            table: with the columns of this schema, which is decided.
            unseen: what happens to a word that no category has: "refuse" is an error,
                "missing" treats it as a missing cell.

        Raises:
            TableError: with all that is wrong with the table.
        """
        faults: list[Fault] = []
        table = table.with_missing(self.missing_words)
        rows = np.ones(len(table), bool)
        parsed = parse_all(self.used, table, rows, faults, unseen)
        offset = self.role_values(table, faults, ["offset"]).get("offset")
        if faults:
            raise table.error(faults)
        found = self._rows(table, parsed, rows)
        return found if offset is None else found.with_offset(self.offset, offset)

    def _rows(
        self, table: Table, parsed: dict[str, Parsed], wanted: np.ndarray
    ) -> Rows:
        """Return the features of the wanted rows (M,) that have all they need."""
        usable = usable_rows(self.used, parsed) & wanted
        if not self.formula:
            names, X = encode(self.used, parsed, usable)
        else:
            parts = parse_formula(self.formula, table.names, table.source, self.label)
            frame = frame_of(self.used, parsed, usable)
            found = features_of(parts.terms, frame, self.state, table.source)
            more, marks = marks_of(self.used, parsed)
            names = (*found.names, *more)
            X = np.vstack([found.X, *(mark[None, usable] for mark in marks)])
            check_finite(table, names, X, usable)
        lacking = {
            name: int(parsed[name].missing.sum())
            for name, kind in self.used.items()
            if getattr(kind, "mean", None) is None and parsed[name].missing.any()
        }
        return Rows(X, names, usable, lacking)

    def samples(
        self, table: Table, unseen: Unseen = "refuse", roles: Sequence[str] = ROLES
    ) -> Samples:
        """Return the rows of a table that have a label and all the cells they need.

        Args:
            table: with the columns of this schema, which is decided, and the label.
            unseen: as for `features`.
            roles: of which the columns are read, if the schema has them.

        Raises:
            TableError: with all that is wrong with the table.
        """
        faults: list[Fault] = []
        table, label = table.with_missing(self.missing_words), self.decided
        assert label is not None
        y, others = np.zeros(len(table)), np.zeros(len(table), bool)
        if table.names.count(label.column) != 1:
            hint = nearest(label.column, table.names)
            what = f"has no column {label.column!r}, the label{hint}"
            faults.append(
                Fault(what, cure=f"its columns are {listed(table.names, 20)}")
            )
        else:
            y, others = label_values(label, table, faults)
        labeled = ~np.isnan(y)
        parsed = parse_all(self.used, table, labeled, faults, unseen)
        values = self.role_values(table, faults, roles, labeled)
        if faults:
            raise table.error(faults)
        out = {f"{label.column!r} is {listed(label.others)}": others}
        if "weight" in values:
            out[f"{self.weight!r} is 0"] = values["weight"] == 0
        wanted = labeled & ~np.logical_or.reduce([*out.values()])
        X, names, rows, lacking, _ = self._rows(table, parsed, wanted)
        if (~labeled & ~others).any():
            lacking = {label.column: int((~labeled & ~others).sum()), **lacking}
        left_out = {why: int(gone.sum()) for why, gone in out.items() if gone.any()}
        own = {role: column[None, rows] for role, column in values.items()}
        places, y, total = np.flatnonzero(rows) + 1, y[None, rows], len(table)
        return Samples(X, y, names, places, lacking, left_out, total, **own)

    def _asked(
        self, table: Table, faults: list[Fault]
    ) -> tuple[str, dict[str, Kind | None]]:
        """Return the column of the label, and what was asked of the others."""
        label, names = self.label, [*table.names]
        chosen: Sequence[str] = names
        if self.formula:
            parts = parse_formula(self.formula, names, table.source)
            chosen = [name for name in names if name in parts.columns]
            if parts.label and label not in ("", parts.label):
                what = (
                    f"the formula has the label {parts.label!r}, but label is {label!r}"
                )
                faults.append(Fault(what))
            label = parts.label or label
        if label not in names:
            what = (
                f"has no column {label!r} for the label"
                if label
                else "label is not given"
            )
            cure = f"its columns are {listed(names, 20)}{nearest(label, names)}"
            faults.append(Fault(what, cure=cure))
        for name in self.columns:
            if name not in names:
                what = f"has no column {name!r}{nearest(name, names)}"
                faults.append(Fault(what, cure=f"its columns are {listed(names, 20)}"))
        self.check_roles(label, [*self.used, *(chosen if self.formula else [])], faults)
        own = {label, *self.of_roles.values()}
        asked = {name: self.columns.get(name) for name in chosen if name not in own}
        for name, count in Counter(chosen).items():
            out = isinstance(self.columns.get(name), LeftOut)
            if count > 1 and not out:
                what = f"{count} columns have this name"
                faults.append(Fault(what, name, cure="give them different names"))
                asked.pop(name, None)
            elif name == "" and not out:
                what = "a column has no name, and may number the rows"
                faults.append(Fault(what, name, cure="name it, or leave out ''"))
                asked.pop(name, None)
        if not asked and not faults:
            faults.append(Fault("has no column beside the label"))
        return label, asked

    def _with_state(
        self, table: Table, parsed: dict[str, Parsed], kept: np.ndarray
    ) -> Schema:
        """Return the schema with the state of its formula."""
        if not self.formula:
            return self
        gone = [
            Fault(
                f"{kind.reason}, so the formula cannot use it",
                name,
                cure="remove it there",
            )
            for name, kind in self.columns.items()
            if isinstance(kind, LeftOut)
        ]
        if gone:
            raise table.error(gone)
        parts = parse_formula(self.formula, table.names, table.source)
        frame = frame_of(self.used, parsed, usable_rows(self.used, parsed) & kept)
        features = features_of(parts.terms, frame, {}, table.source)
        return msgspec.structs.replace(self, state=features.state, bias=features.bias)

"""The columns of a table that are no features: weights, an offset and clusters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
import numpy as np

from jlogreg.base.formatting import nearest
from jlogreg.tables.columns.kinds import Category, Number, parse
from jlogreg.tables.reading.faults import Fault, listed
from jlogreg.tables.reading.read import Table

__all__ = ["ROLES", "Meaning", "Roles"]

Meaning = Literal["", "frequency", "probability"]
ROLES = ("weight", "offset", "clusters")


class Roles(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of the weights, with their meaning, of the offset and the clusters.

    An empty name is no column.
    """

    weight: str = ""
    weights: Meaning = ""
    offset: str = ""
    clusters: str = ""

    @property
    def of_roles(self) -> dict[str, str]:
        """The columns that have a role, by role."""
        return {role: getattr(self, role) for role in ROLES if getattr(self, role)}

    def lines(self) -> list[str]:
        """Return a line for each column that has a role."""
        meaning = f", a {self.weights}" if self.weights else ""
        return [
            f"{role} {name!r}{meaning if role == 'weight' else ''}"
            for role, name in self.of_roles.items()
        ]

    def check_roles(
        self, label: str, features: Iterable[str], faults: list[Fault]
    ) -> None:
        """Return nothing, with a fault for each role that cannot be."""
        if self.weights not in ("", "frequency", "probability"):
            what = f"weights is {self.weights!r}, but must be frequency or probability"
            faults.append(Fault(what))
        elif self.weight and not self.weights:
            what = "what the weights mean is not given"
            cure = (
                "say whether a weight is a frequency, the number of samples that are "
                "alike, or a probability, the inverse of that of being sampled"
            )
            faults.append(Fault(what, self.weight, cure=cure))
        elif self.weights and not self.weight:
            faults.append(Fault("weights have a meaning, but no column"))
        seen = {label: "the label"} | dict.fromkeys(features, "a feature")
        for role, name in self.of_roles.items():
            if name in seen:
                faults.append(Fault(f"is {seen[name]}, and the {role}, too", name))
            seen[name] = f"the {role}"

    def role_values(
        self,
        table: Table,
        faults: list[Fault],
        roles: Sequence[str] = ROLES,
        needed: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Return the values (M,) of the columns that have these roles, by role.

        Clusters are numbered from 0. A cell that is missing is a fault in the `needed`
        rows, and NaN, or the cluster 0, in others.
        """
        found = {}
        for role, name in self.of_roles.items():
            if role not in roles:
                continue
            if table.names.count(name) != 1:
                faults.append(_not_one(role, name, table.names))
                continue
            own: list[Fault] = []
            kind = Category() if role == "clusters" else Number()
            parsed = parse(name, kind, table, own)
            if parsed is not None:
                found[role] = parsed.values
                _check_cells(role, name, parsed.values, parsed.missing, needed, own)
            faults += [fault._replace(cure="correct it") for fault in own]
        return found


def _not_one(role: str, name: str, names: Sequence[str]) -> Fault:
    if name in names:
        what = f"{names.count(name)} columns have this name, the {role}"
        return Fault(what, name, cure="give them different names")
    what = f"has no column {name!r}, the {role}{nearest(name, names)}"
    return Fault(what, cure=f"its columns are {listed(names, 20)}")


def _check_cells(
    role: str,
    name: str,
    values: np.ndarray,
    missing: np.ndarray,
    needed: np.ndarray | None,
    faults: list[Fault],
) -> None:
    wrong = [(f"the {role} is missing", missing & needed)] if needed is not None else []
    if role == "weight":
        wrong.append(("the weight is negative", values < 0))
        if not (values > 0).any():
            faults.append(Fault("no weight is above 0", name))
    for what, rows in wrong:
        places = np.flatnonzero(rows)
        if places.size:
            more = f", in {places.size} rows" if places.size > 1 else ""
            faults.append(Fault(what + more, name, int(places[0]) + 1))

"""K problems on the same features: the rows that differ, and what is in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jlogreg.base.arrays import as_array, is_subnormal
from jlogreg.base.checks import check_matrix, check_number, check_range
from jlogreg.base.errors import RankError, ShapeError
from jlogreg.base.params import Params, check_params
from jlogreg.base.shapes import as_labels, check_orientation
from jlogreg.data.design import Design
from jlogreg.data.features import take_features
from jlogreg.data.samples import Samples, prepare_rows, scale_weights
from jlogreg.fitting.many_features.working_sets import take_rows, take_unknowns
from jlogreg.formulations.centering import Centering
from jlogreg.formulations.problem import Limits, Problem
from jlogreg.objective.jeffreys import Jeffreys
from jlogreg.objective.penalties import check_column, is_single

__all__ = ["Common", "Gathered", "Problems", "check_problems", "unless_zero"]


@dataclass(frozen=True)
class Gathered:
    """A table of rows (R, ...), and the row that each problem (K,) takes from it."""

    table: Any
    index: np.ndarray

    def __len__(self) -> int:
        """Return the number of problems."""
        return len(self.index)

    def __getitem__(self, picked: Any) -> Any:
        """Return the rows of some problems."""
        return _rows_of(self.table, self.index[picked])


def _rows_of(table: Any, picked: Any) -> Array:
    """Return some rows of a table."""
    return table[picked] if isinstance(table, Gathered) else as_array(table[picked])


class Problems(NamedTuple):
    """The arguments that may differ between problems; None where there is none.

    Shapes: y, weight and offset (1, m), l2, l1 and jeffreys (), init w (n, 1),
    b (1, 1), features (p,); in a table each with a leading axis: of the problems, or of
    one row common to all of them. features are those that a problem has, n for none,
    and init is then of these p; X (p, m) holds them once they are prepared. Tables are
    on the host, where their rows are taken without a compiled program.
    """

    y: Any
    weight: Any
    offset: Any
    l2: Any
    init: Params | None
    l1: Any = None
    jeffreys: Any = None
    features: Any = None
    X: Any = None

    def common(self) -> Problems:
        """Return the rows common to all problems; None where each has its own."""
        return self._each(lambda leaf: _rows_of(leaf, 0), lambda size: size == 1)

    def pick(self, picked: np.ndarray) -> Problems:
        """Return the selected problems' own rows; None for those common to all."""
        return self._each(lambda leaf: _rows_of(leaf, picked), lambda size: size > 1)

    def select(self, picked: np.ndarray) -> Problems:
        """Return the tables of some of the problems."""

        def selected(table: Any) -> Any:
            if isinstance(table, Gathered):
                return Gathered(table.table, table.index[picked])
            return table[picked]

        own = self._each(selected, lambda size: size > 1)
        return own.with_common(self._each(lambda table: table, lambda size: size == 1))

    def with_common(self, common: Problems) -> Problems:
        """Return one problem's rows: its own, and the common ones."""
        given = {name: row for name, row in self._asdict().items() if row is not None}
        return common._replace(**given)

    def all_valid(self) -> bool:
        """Return whether all the numbers of the tables are in their ranges."""
        tables = (self.y, self.weight, self.offset, self.l2, self.l1, self.jeffreys)
        y, weight, offset, l2, l1, jeffreys = map(_all_rows, tables)
        return (
            _is_within(y, 0.0, 1.0)
            and (weight is None or _is_within(weight, 0.0))
            and (weight is None or not is_subnormal(weight).any())
            and (offset is None or _is_within(offset))
            and _is_within(l2, 0.0)
            and (l1 is None or _is_within(l1, 0.0))
            and (jeffreys is None or _is_within(jeffreys, 0.0))
        )

    def used_samples(self, dtype: Any) -> Float[Array, "1 m"] | None:
        """Return 1 for each sample with a weight in some problem, 0 for the others."""
        if self.weight is None:
            return None
        return as_array((_all_rows(self.weight) > 0).any(axis=0), dtype)

    def _each(
        self, change: Callable[[Any], Array], applies: Callable[[int], bool]
    ) -> Problems:
        """Return the tables changed whose length applies; None for the others."""

        def changed(table: Any) -> Any:
            leaves = jax.tree.leaves(table)
            usable = bool(leaves) and applies(len(leaves[0]))
            return jax.tree.map(change, table) if usable else None

        return Problems(*map(changed, self))


class Common(NamedTuple):
    """The arguments that all problems of a batch have in common."""

    X: Design
    center: Float[Array, "n 1"] | None
    free: Float[Array, "n+1 1"] | None
    finite: Bool[Array, "1 m"] | None
    shared: Any
    limits: Limits
    rows: Problems

    def prepared(self, own: Problems, valid: bool) -> Problems:
        """Return a problem's own rows with every number valid or NaN, and its features.

        If all numbers are known to be valid, the common rows stay common; else each
        problem gets rows of its own.
        """
        rows = own if valid else own.with_common(self.rows)
        weight = rows.weight
        if not valid:
            if weight is not None and self.finite is not None:
                weight = jnp.where(self.finite | (weight == 0), weight, jnp.nan)
            samples = prepare_rows(Samples(self.X, rows.y, weight, rows.offset))
            weight = samples.weight
            l1 = None if rows.l1 is None else check_range("l1", rows.l1, 0.0)
            rows = rows._replace(
                y=samples.y,
                offset=samples.offset,
                l2=check_range("l2", rows.l2, 0.0),
                l1=l1,
            )
            if rows.jeffreys is not None:
                strength = check_range("jeffreys", rows.jeffreys, 0.0)
                rows = rows._replace(jeffreys=strength)
        features = own.with_common(self.rows).features
        if features is not None:
            rows = rows._replace(X=take_features(self.X, features))
        # With Jeffreys' prior weights are counts.
        counts = own.with_common(self.rows).jeffreys is not None
        scaled = weight is not None and not counts
        return rows._replace(weight=scale_weights(weight) if scaled else weight)

    def problem(self, own: Problems) -> tuple[Problem, Params | None, Centering]:
        """Return one of the problems, of prepared rows, its start, and the way back.

        The problem is in centred unknowns, the start in the user's.
        """
        rows = own.with_common(self.rows)
        samples = Samples(self.X, rows.y, rows.weight, rows.offset)
        prior = None
        if rows.jeffreys is not None:
            prior = Jeffreys(rows.jeffreys, self.free is None)
        problem = Problem(samples, rows.l2, self.free, rows.l1, prior)
        center = self.center
        if rows.features is not None:
            problem = take_unknowns(problem, rows.features, rows.X)
            if center is not None:
                center = take_rows(center, rows.features, 0)
        centering = Centering.of(problem, center)
        return centering.problem(problem), rows.init, centering


def _all_rows(table: Any) -> Any:
    """Return the rows of a table, each once."""
    return table.table if isinstance(table, Gathered) else table


def unless_zero(table: Any) -> Any:
    """Return a table of penalties, None where all of it is 0: there is no such one."""
    given = table is not None and np.asarray(_all_rows(table)).any()
    return table if given else None


def _is_within(table: np.ndarray, low: float = -np.inf, high: float = np.inf) -> bool:
    # A comparison with NaN fails; an infinity is beyond the largest number.
    largest = float(np.finfo(table.dtype).max)
    low, high = max(low, -largest), min(high, largest)
    return bool(table.min() >= low and table.max() <= high)


def check_problems(rows: Problems, n: int, m: int, dtype: Any) -> tuple[Problems, int]:
    """Return the rows as tables with a leading axis, and the number of problems.

    Shapes: as users give them: Y, weight and offset (K, m) or (1, m), l2, l1 and
    jeffreys a number or (K, 1), init w (n, 1), b (1, 1) or w (K, n, 1), b (K, 1, 1). A
    jeffreys that is 0 for all problems becomes None.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a penalty common to all problems is out of range.
    """
    check_orientation("X", (n, m), "Y", rows.y)
    given = {
        "Y": as_labels(rows.y, dtype),
        "weight": rows.weight,
        "offset": rows.offset,
    }
    tables = {
        name: _check_table(name, value, m, dtype)
        for name, value in given.items()
        if value is not None or name == "Y"
    }
    tables["l2"] = _check_penalties("l2", rows.l2, dtype)
    if rows.l1 is not None:
        tables["l1"] = _check_penalties("l1", rows.l1, dtype)
    jeffreys = 0.0 if rows.jeffreys is None else rows.jeffreys
    tables["jeffreys"] = _check_penalties("jeffreys", jeffreys, dtype)
    init = None if rows.init is None else _check_init(rows.init, n, dtype)
    sizes = {name: len(table) for name, table in tables.items()}
    if init is not None:
        sizes["init"] = len(init.w)
    count = max(sizes.values())
    for name, size in sizes.items():
        if size not in (1, count):
            largest = next(other for other in sizes if sizes[other] == count)
            raise ShapeError(
                f"{name} is for {size} problems, but {largest} for {count}: give one "
                "row a problem, or one for all"
            )
    tables["jeffreys"] = unless_zero(tables["jeffreys"])
    y, l2 = tables.pop("Y"), tables.pop("l2")
    return Problems(y, None, None, l2, init)._replace(**tables), count


def _check_table(name: str, value: Any, m: int, dtype: Any) -> Any:
    """Return rows (K, m) as (K, 1, m) on the host."""
    if isinstance(value, Gathered):
        return Gathered(_check_table(name, value.table, m, dtype), value.index)
    array = isinstance(value, np.ndarray)
    whole = array and value.ndim == 2 and len(value) > 1 and value.shape[1] == m
    # Only the first of such rows is checked: all have its dtype.
    first = check_matrix(name, value[:1] if whole else value, ("K", m), dtype)
    return np.asarray(value if whole else first)[:, None]


def _check_penalties(name: str, given: Any, dtype: Any) -> Any:
    if isinstance(given, Gathered):
        return Gathered(_check_penalties(name, given.table, dtype), given.index)
    if is_single(given):
        number = check_range(name, check_number(name, given, dtype), 0.0)
        return np.asarray(number)[None]
    return np.asarray(check_column(name, given, "K", dtype))[:, 0]


def _check_init(init: Params, n: int, dtype: Any) -> Params:
    ranks = {getattr(leaf, "ndim", 0) for leaf in init}
    if ranks == {3}:
        w, b = jax.device_get([*map(as_array, init)])
        if w.shape[1:] != (n, 1) or b.shape != (len(w), 1, 1):
            raise ShapeError(
                f"init has w of shape {w.shape} and b of shape {b.shape}, but must "
                f"have (K, {n}, 1) and (K, 1, 1)"
            )
        check_params(Params(w[0], b[0]), n, dtype, name="init")
        return Params(w, b)
    if ranks != {2}:
        raise RankError(
            "init must be Params(w (n, 1), b (1, 1)), or have a leading axis of "
            "the problems"
        )
    init = jax.device_get(check_params(init, n, dtype, name="init"))
    return jax.tree.map(lambda leaf: leaf[None], init)

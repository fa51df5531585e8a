"""Problems dealt to devices: each has all samples, and a part of the problems."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from jlogreg.base.arrays import is_traced

__all__ = ["Deal", "deal_over"]

Tree = TypeVar("Tree")


class Deal(NamedTuple):
    """How many problems are dealt: to some devices of this process, of all processes.

    devices: those of this process, or (None,) for where JAX computes by default; first
    and total: their place among all devices that take problems, and the number of all.
    """

    devices: tuple[Any, ...] = (None,)
    first: int = 0
    total: int = 1

    def own(self, count: int) -> np.ndarray:
        """Return the numbers of the problems, of so many, that this process takes."""
        bounds = [
            count * place // self.total
            for place in (self.first, self.first + len(self.devices))
        ]
        return np.arange(*bounds)

    def join(self, tables: Tree, count: int) -> Tree:
        """Return tables (count, ...) with the rows that each process has of its own."""
        if self.total == len(self.devices):
            return tables
        mask = np.zeros(count, bool)
        mask[self.own(count)] = True
        masks = np.asarray(multihost_utils.process_allgather(mask))
        owner = masks.argmax(axis=0)

        def joined(table: Any) -> np.ndarray:
            parts = np.asarray(multihost_utils.process_allgather(np.asarray(table)))
            return parts[owner, np.arange(count)]

        return jax.tree.map(joined, tables)


def deal_over(tree: Any) -> Deal:
    """Return how problems are dealt over the devices on which arrays of a tree lie.

    Those of the first array that lies on several devices, or the default.
    """
    for leaf in jax.tree.leaves(tree):
        known = isinstance(leaf, jax.Array) and not is_traced(leaf)
        if known and len(leaf.sharding.device_set) > 1:
            order = [(one.process_index, one.id) for one in leaf.sharding.device_set]
            here = jax.process_index()
            own = {one.id: one for one in leaf.sharding.addressable_devices}
            first = sum(process < here for process, _ in order)
            return Deal(tuple(own[key] for key in sorted(own)), first, len(order))
    return Deal()

"""Problems dealt to devices: each has all samples, and a part of the problems."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from jlogreg.base.arrays import is_traced
from jlogreg.base.programs import is_tracing

__all__ = ["Deal", "deal_over", "without_mesh"]

Tree = TypeVar("Tree")
Function = TypeVar("Function", bound=Callable[..., Any])


class Deal(NamedTuple):
    """How many problems are dealt: to some devices of this process, of all processes.

    devices: those of this process, or (None,) for where JAX computes by default; first
    and total: their place among all devices that take problems, and the number of all.
    """

    devices: tuple[Any, ...] = (None,)
    first: int = 0
    total: int = 1

    def own(self, count: int) -> slice:
        """Return which of so many problems this process takes."""
        end = self.first + len(self.devices)
        return slice(count * self.first // self.total, count * end // self.total)

    def any(self, condition: bool) -> bool:
        """Return whether a condition holds in any process that takes problems."""
        if self.total == len(self.devices):
            return condition
        return bool(np.any(multihost_utils.process_allgather(np.array(condition))))

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
            every, here = leaf.sharding.device_set, jax.process_index()
            own = sorted(leaf.sharding.addressable_devices, key=lambda one: one.id)
            first = sum(one.process_index < here for one in every)
            return Deal(tuple(own), first, len(every))
    return Deal()


def without_mesh(function: Function) -> Function:
    """Return the function so that it runs outside of the mesh of `jax.set_mesh`.

    There programs would run on all devices of the mesh, and none on one of them.
    """

    @functools.wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        if is_tracing() or jax.sharding.get_mesh().empty:
            return function(*arguments, **named)
        with jax.set_mesh(Mesh(np.empty((), object), ())):
            return function(*arguments, **named)

    return cast(Function, called)

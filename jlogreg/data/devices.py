"""Meshes of devices: samples are spread over them, and problems are dealt to them.

A mesh with an explicit axis along the samples spreads them. Whatever belongs to the
same samples must be spread alike. What is computed for many problems takes all samples
on each device instead, and a part of the problems.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from jlogreg.base.arrays import gathered, is_traced
from jlogreg.base.checks import AnyArray, check_count, check_matrix, refuse_traced
from jlogreg.base.errors import ShapeError
from jlogreg.base.programs import program
from jlogreg.base.shapes import as_labels, check_orientation

__all__ = ["Deal", "deal_over", "gather", "is_spread", "mesh", "put", "spread_alike"]

Tree = TypeVar("Tree")
AXES = ("problems", "samples")
INSTEAD = "put the arrays on the mesh before"


def mesh(*, problems: int = 1, samples: int | None = None) -> Mesh:
    """Return a mesh of devices with the axes "problems" and "samples"; host only.

    Both axes are explicit. The devices are those of all processes that
    `jax.distributed.initialize` has joined, else those of this process.

    Args:
        problems: devices along the first axis.
        samples: devices along the second axis; by default as many as there are.

    Raises:
        DtypeError: if a number is not whole.
        ValueError: if a number is below 1, or there are not so many devices.

    Examples:
        >>> import jlogreg
        >>> jlogreg.mesh(samples=1).axis_names
        ('problems', 'samples')
    """
    devices = jax.devices()
    problems = check_count("problems", problems, least=1)
    if samples is None:
        samples = max(len(devices) // problems, 1)
    samples = check_count("samples", samples, least=1)
    count = problems * samples
    if count > len(devices):
        raise ValueError(
            f"a mesh of problems = {problems} and samples = {samples} takes {count} "
            f"devices, but there are {len(devices)}: take fewer, or set "
            "jax_num_cpu_devices to have more of one CPU"
        )
    table = np.array(devices[:count]).reshape(problems, samples)
    return Mesh(table, AXES, axis_types=(AxisType.Explicit,) * 2)


def put(
    mesh: Mesh,
    X: Float[AnyArray, "n m"],
    y: Float[AnyArray, "K m"],
    weight: Float[AnyArray, "K m"] | None = None,
    offset: Float[AnyArray, "K m"] | None = None,
) -> tuple[Array, Array, Array | None, Array | None]:
    """Return X, y, weight and offset spread over a mesh by samples; host only.

    Shapes: X (n, m), the others (1, m), or (K, m) for many problems, all of the samples
    of this process. Results have a column for each sample of all processes, in the
    order of their devices. Where the devices cannot have equal parts of them, samples
    of weight 0, whose other numbers are 0, fill up each process.

    Args:
        mesh: as `mesh` makes it, or any with an axis "samples".
        X: features, a column per sample.
        y: labels.
        weight: at least 0.
        offset: added to the logits.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape, or is not like that of another process.
        TypeError: if an argument is traced.
        ValueError: if the mesh has no axis "samples".

    Examples:
        >>> import jax.numpy as jnp
        >>> import jlogreg
        >>> X, y = jnp.array([[0.0, 1.0, 2.0]]), jnp.array([[0.0, 1.0, 0.0]])
        >>> X, y, weight, offset = jlogreg.put(jlogreg.mesh(samples=1), X, y)
        >>> X.shape, weight
        ((1, 3), None)
    """
    refuse_traced("put", INSTEAD, X, y, weight, offset)
    spread = _along_samples(mesh)
    X = check_matrix("X", X, ("n", "m"), no_rows=True)
    m, dtype = X.shape[1], X.dtype
    check_orientation("X", X.shape, "y", y)
    rows = {"y": as_labels(y, dtype), "weight": weight, "offset": offset}
    given = {"X": X} | {
        name: check_matrix(name, row, ("K", m), dtype)
        for name, row in rows.items()
        if row is not None or name == "y"
    }
    most, fills = _part(list(given.values()), spread)
    if weight is None and fills:
        given["weight"] = jnp.ones((1, m), dtype)

    def placed(row: Array) -> Array:
        filled = np.pad(row, ((0, 0), (0, most - m)))
        return jax.make_array_from_process_local_data(spread, filled)

    result = {name: placed(row) for name, row in given.items()}
    return result["X"], result["y"], result.get("weight"), result.get("offset")


def _along_samples(mesh: Any) -> NamedSharding:
    """Return how arrays (r, m) are spread over a mesh.

    Raises:
        ValueError: if it is no mesh with an axis "samples".
    """
    if not isinstance(mesh, Mesh) or "samples" not in mesh.axis_names:
        raise ValueError(
            'mesh must have an axis "samples", as jlogreg.mesh() makes it, but is '
            f"{mesh!r}"
        )
    return NamedSharding(mesh, PartitionSpec(None, "samples"))


def _part(rows: list[Array], spread: NamedSharding) -> tuple[int, bool]:
    """Return the samples in the part of each process, and whether some fill it up.

    Raises:
        ShapeError: if the processes differ in rows or dtype.
    """
    m, itemsize = rows[0].shape[1], rows[0].dtype.itemsize
    counts = [m]
    if jax.process_count() > 1:
        own = np.array([m, itemsize, *map(len, rows)])
        counts, *others = np.asarray(multihost_utils.process_allgather(own)).T
        if any((other != other[0]).any() for other in others):
            found = [f"{list(map(int, part))}" for part in zip(*others, strict=True)]
            raise ShapeError(
                "each process must give the same rows of its own samples, but their "
                f"bytes a number and numbers of rows are {', '.join(found)}"
            )
    # What a process gives is cut into as many pieces as it has places on the axis.
    places = spread.mesh.shape["samples"]
    indices = spread.addressable_devices_indices_map((1, places)).values()
    pieces = len({index[1].start or 0 for index in indices if index})
    most = -(-max(counts) // pieces) * pieces
    return int(most), any(count != most for count in counts)


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


def is_spread(tree: Any) -> bool:
    """Return whether an array (r, m) of a tree is spread over devices along m."""
    return any(_axis(leaf) is not None for leaf in jax.tree.leaves(tree))


def spread_alike(tree: Tree, m: int) -> Tree:
    """Return the tree with all arrays (r, m) spread like the first that is spread.

    Raises:
        ValueError: if one is spread along r.
    """
    tree = jax.tree.map(_with_explicit_axes, tree)
    for leaf in jax.tree.leaves(tree):
        _check_whole_columns(leaf)
    model = next((leaf for leaf in jax.tree.leaves(tree) if _axis(leaf)), None)
    if model is None:
        return tree

    def like_model(leaf: Array) -> Array:
        is_there = leaf.ndim != 2 or leaf.shape[1] != m or _axis(leaf) == _axis(model)
        return leaf if is_there else _put(leaf, model)

    return jax.tree.map(like_model, tree)


def gather(tree: Tree) -> Tree:
    """Return the tree with all arrays that are spread over devices as a whole.

    Known numbers come to the host, also those of other processes, which must then call
    this, too; traced ones to each of the devices.
    """

    def whole(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array):
            return leaf
        if is_traced(leaf):
            return leaf if _axis(leaf) is None else _replicated(leaf)
        return gathered(leaf)

    return jax.tree.map(whole, tree)


def _with_explicit_axes(leaf: Any) -> Any:
    """Return a known array whose samples are spread on a mesh with explicit axes.

    Nothing moves. On a mesh with automatic axes, which `jax.sharding.Mesh` makes, XLA
    would gather all samples on each device wherever a block of them is cut.
    """
    if is_traced(leaf) or not isinstance(leaf, jax.Array):
        return leaf
    found = leaf.sharding
    if not isinstance(found, NamedSharding) or _is_explicit(found):
        return leaf
    if len(found.spec) != 2 or found.spec[0] or not isinstance(found.spec[1], str):
        return leaf
    names = found.mesh.axis_names
    kinds = (AxisType.Explicit,) * len(names)
    mesh = Mesh(found.mesh.devices, names, axis_types=kinds)
    with jax.ensure_compile_time_eval():
        return jax.device_put(leaf, NamedSharding(mesh, found.spec))


def _is_explicit(sharding: Any) -> bool:
    is_named = isinstance(sharding, NamedSharding)
    return is_named and AxisType.Explicit in sharding.mesh.axis_types


def _check_whole_columns(leaf: Any) -> None:
    """Raise unless each sample of an array (r, m) is whole on some device."""
    if not isinstance(leaf, jax.Array):
        return
    spec = jax.typeof(leaf).sharding.spec
    if len(spec) == 2 and spec[0] is not None:
        raise ValueError(
            f"an array of shape {leaf.shape} is spread over devices along its rows, "
            "but sums go over samples: put it with jlogreg.put(mesh, X, y), along the "
            "samples, or whole on each device"
        )


def _axis(leaf: Any) -> str | None:
    """Return the explicit axis of a mesh along which an array (r, m) is spread."""
    if not isinstance(leaf, jax.Array):
        return None
    spec = jax.typeof(leaf).sharding.spec
    axis = spec[1] if len(spec) == 2 else None
    return axis if isinstance(axis, str) else None


def _put(leaf: Array, model: Array) -> Array:
    """Return an array (r, m) spread like another."""
    if is_traced(leaf) or is_traced(model):
        return _resharded(model, leaf)
    assert isinstance(model.sharding, NamedSharding)
    spec = PartitionSpec(None, _axis(model))
    with jax.ensure_compile_time_eval():
        return jax.device_put(leaf, NamedSharding(model.sharding.mesh, spec))


# Compiled, with the model among its arguments: by that JAX knows the devices.
@partial(program, keep_unused=True)
def _resharded(model: Array, leaf: Array) -> Array:
    mesh = jax.typeof(model).sharding.mesh
    return jax.sharding.reshard(
        leaf, NamedSharding(mesh, PartitionSpec(None, _axis(model)))
    )


@program
def _replicated(leaf: Array) -> Array:
    mesh = jax.typeof(leaf).sharding.mesh
    return jax.sharding.reshard(leaf, NamedSharding(mesh, PartitionSpec()))

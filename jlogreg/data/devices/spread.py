"""Samples spread over devices: all rows go where one of them is.

A mesh with an explicit axis along the samples spreads them. Whatever belongs to the
same samples must be spread alike; what cannot be computed so is gathered first.
"""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from jlogreg.base.arrays import gathered, is_traced
from jlogreg.base.programs import program

__all__ = ["gather", "is_spread", "spread_alike"]

Tree = TypeVar("Tree")


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
    if len(found.spec) != 2 or found.spec[0] or not found.spec[1]:
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


def _axis(leaf: Any) -> str | tuple[str, ...] | None:
    """Return the explicit axes of a mesh along which an array (r, m) is spread."""
    if not isinstance(leaf, jax.Array):
        return None
    spec = jax.typeof(leaf).sharding.spec
    axis = spec[1] if len(spec) == 2 else None
    return axis if isinstance(axis, str | tuple) else None


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

"""The sum over samples, block by block and device by device.

The cost and its derivatives are sums with one term per sample, and one function
computes all these sums. Where a block pays it goes block by block, so that what each
sample needs in between, its logit and the derivatives there, stays in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec
from jaxtyping import Array

from jlogreg.data.design import Design
from jlogreg.data.samples import Samples
from jlogreg.data.streaming.streamed import streams_of

__all__ = [
    "Sums",
    "cache_block",
    "estimates_cheaply",
    "gram_block",
    "sum_over_devices",
    "sum_over_samples",
]

Sums = TypeVar("Sums")
# Of a mesh; None where one device has all samples.
Axes = str | tuple[str, ...] | None

# To cut a block copies it, which pays where the features are few and most of the memory
# that a pass moves are rows of one number a sample. On two cores a pass over 4 x
# 5 000 000 took 22 ms in blocks and 44 without, 8 x 3 000 000 took 19 and 30, but
# 12 x 2 000 000 took 17 and 15, and 100 x 2 000 000 96 and 65.
MAX_BLOCK_FEATURES = 8
# Entries of X in a block: 8 MiB of float32, which a shared last-level cache holds.
# Smaller blocks lose time by the start of each.
BLOCK_ENTRIES = 2**21
# Samples in a block when the summand takes a Gram matrix: X diag(s) and X of 20 to 100
# features stay in the cache of one core. Over 20 x 1 000 000 the pass took 15 ms, with
# 8000 samples in a block 20, with 100 000 30, and without blocks 85.
GRAM_SAMPLES = 2048


def sum_over_samples(
    summand: Callable[..., Sums],
    samples: Samples,
    *given: Any,
    block: int | None = None,
    every: int = 1,
) -> Sums:
    """Return the sum of summand(part, *given) over the samples, block by block.

    If the samples are spread over devices, along one axis of a mesh with explicit axes,
    each device sums its own samples, and then the sums are added.

    Args:
        summand: maps a part of the samples to a pytree of sums over this part.
        samples: X (n, m) and its rows (1, m).
        given: further arguments of summand, common to all samples.
        block: samples in a block; by default as many as fit the cache on a CPU if the
            features are few, and else all of them.
        every: sum one block in `every`, for an estimate; by default all blocks.
    """

    def of_device(part: Samples, axis: Axes, *given: Any) -> Sums:
        def of_part(part: Samples) -> Sums:
            return summand(part, *given)

        return _sum_blocks(of_part, part, block, every, axis)

    return _sum_devices(of_device, samples, *given)


def sum_over_devices(summand: Callable[[Samples], Sums], samples: Samples) -> Sums:
    """Return the sum of summand(part) over the devices that hold a part each."""
    return _sum_devices(lambda part, axis: summand(part), samples)


def _sum_devices(of_device: Callable[..., Sums], samples: Samples, *given: Any) -> Sums:
    """Return the sum of of_device(part, axis, *given) over the devices.

    axis is that of the mesh, or several, or None where one device has all samples.
    """
    axis = _axis_of(samples)
    if axis is None:
        return of_device(samples, None, *given)

    # On each device: the sums of its samples, then the sum over devices.
    def own(shard: Samples, *given: Any) -> Sums:
        return lax.psum(of_device(shard, axis, *given), axis)

    spread = jax.tree.map(lambda leaf: jax.typeof(leaf).sharding.spec, samples)
    mesh = jax.typeof(samples.y).sharding.mesh
    whole = PartitionSpec()
    specs = (spread, *(whole for _ in given))
    across = jax.shard_map(own, mesh=mesh, in_specs=specs, out_specs=whole)
    return across(samples, *given)


def _axis_of(samples: Samples) -> Axes:
    """Return the axes of an explicit mesh along which samples are spread, or None."""
    axis = jax.typeof(samples.y).sharding.spec[1]
    return axis if isinstance(axis, str | tuple) else None


def _sum_blocks(
    summand: Callable[[Samples], Sums],
    samples: Samples,
    block: int | None,
    every: int,
    axis: Axes,
) -> Sums:
    """Return the sums over the samples of one device; arguments as above."""
    n, m = samples.X.shape
    if block is None:
        block = m if n > MAX_BLOCK_FEATURES else cache_block(samples)
    if not samples.X.sliceable:
        return summand(samples)
    streams = streams_of(samples.X)
    if streams:
        block = min(block, _entries_block(n))
    length = min(block, m)
    if length == m and not streams:
        return summand(samples)
    # The sums of nothing.
    shapes = jax.eval_shape(lambda: summand(samples.slice_samples(0, length)))
    sums = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    if axis is not None:  # the sums differ between devices
        sums = jax.tree.map(lambda leaf: lax.pcast(leaf, axis, to="varying"), sums)

    def add(sums: Sums, part: Samples) -> Sums:
        return jax.tree.map(jnp.add, sums, summand(part))

    # A block that is read has several that are summed, in the same order as in memory.
    def add_read(sums: Sums, part: Samples) -> Sums:
        return _over_parts(add, sums, part, length)

    if not streams or every > 1:
        return _over_parts(add, sums, samples, length, every)
    read = max(min(stream.block for stream in streams) // length, 1) * length
    return _over_parts(add_read, sums, samples, read)


def _over_parts(
    add: Callable[[Sums, Samples], Sums],
    sums: Sums,
    samples: Samples,
    length: int,
    every: int = 1,
) -> Sums:
    """Return what add(sums, part) makes of the sums, part after part.

    An estimate, of one part in `every`, does without the last samples, which are fewer
    than a part.
    """
    count, rest = divmod(samples.X.shape[1], length)

    def step(sums: Sums, index: Array) -> tuple[Sums, None]:
        return add(sums, samples.slice_samples(index * length, length)), None

    if count:
        # Reverse differentiation would keep every part's slice of X, a second X; with
        # checkpoint it cuts the slice again.
        checkpointed = jax.checkpoint(step, prevent_cse=False)
        sums, _ = lax.scan(checkpointed, sums, jnp.arange(0, count, every))
    if rest and every == 1:
        sums = add(sums, samples.slice_samples(count * length, rest))
    return sums


def gram_block(samples: Samples) -> int:
    """Return the number of samples in a block when a Gram matrix is summed."""
    m = samples.X.shape[1]
    return min(m, GRAM_SAMPLES) if jax.default_backend() == "cpu" else m


def estimates_cheaply(X: Design) -> bool:
    """Return whether the sum of one block in many costs as little of a pass.

    A file of compressed pieces that are larger than a block would be read as a whole.
    """
    pieces = [stream.piece for stream in streams_of(X)]
    return X.sliceable and all(piece <= 2 * GRAM_SAMPLES for piece in pieces)


def cache_block(samples: Samples) -> int:
    """Return the number of samples in a block that fits the cache of a CPU."""
    n, m = samples.X.shape
    if jax.default_backend() != "cpu" or n == 0:
        return m
    return min(m, _entries_block(n))


def _entries_block(n: int) -> int:
    # Whole cache lines: blocks of an odd length took a sixth longer.
    return max(1024, BLOCK_ENTRIES // max(n, 1) // 128 * 128)

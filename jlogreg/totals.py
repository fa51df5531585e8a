"""Sum over the samples: loss, gradient and curvature in one pass over the data.

Samples are summed. Everything that the cost and its derivatives need is a sum of
one term a sample, so one function adds up any of them, block by block: a block of X is
used for the logits and again for the gradient while it is still in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from jlogreg.arrays import Params
from jlogreg.losses import log_loss, log_loss_dz, log_loss_dz2
from jlogreg.predict import adjoint
from jlogreg.samples import Samples
from jlogreg.tails import FAST

__all__ = [
    "Totals",
    "curvature_along_total",
    "curvature_total",
    "gram",
    "gram_block",
    "loss_total",
    "power_of_two",
    "sample_logits",
    "sum_over_samples",
    "totals",
    "weighted",
]

Sums = TypeVar("Sums")

# Entries of X in a block: 8 MiB of float32, which a shared last-level cache holds. Over
# 100 x 2 000 000 on two cores, blocks of 2^20 to 2^22 entries took 38 to 41 ms, one
# block of everything 45; smaller blocks lose to the cost of starting each.
BLOCK_ENTRIES = 2**21

# Samples in a block whose gram is taken: X diag(s) and X of 20 to 100 features stay in
# a core's own cache. Of 20 x 1 000 000 the pass took 15 ms, with 8000 samples 20, with
# 100 000 30, and 85 without blocks.
GRAM_SAMPLES = 2048


class Totals(NamedTuple):
    """Hold sums over samples: of the losses () and of their gradients."""

    loss: Float[Array, ""]
    gradient: Params


def totals(params: Params, samples: Samples, block: int | None = None) -> Totals:
    """Return the sums over samples of the loss and of its gradient.

    Shapes: loss (), gradient w (n, 1), b (1, 1). Sums of weight * log_loss(z, y), of
    weight * dz * x and of weight * dz; equations (11) and (12) of docs/derivation.md
    before the division by m.
    """

    def summand(part: Samples, params: Params) -> Totals:
        z = sample_logits(params, part)
        loss = weighted(log_loss(FAST, z, part.y), part).sum()
        dz = weighted(log_loss_dz(FAST, z, part.y), part)
        return Totals(loss=loss, gradient=adjoint(part.X, dz))

    return sum_over_samples(summand, samples, params, block=block)


def loss_total(
    params: Params, samples: Samples, block: int | None = None
) -> Float[Array, ""]:
    """Return the sum over samples of the weighted log losses."""

    def summand(part: Samples, params: Params) -> Array:
        return weighted(log_loss(FAST, sample_logits(params, part), part.y), part).sum()

    return sum_over_samples(summand, samples, params, block=block)


def curvature_total(
    params: Params, samples: Samples, block: int | None = None
) -> Float[Array, "n+1 n+1"]:
    """Return the sum over samples of the Hessian, in the order w, then b.

    Shapes: (n + 1, n + 1). The sum of weight * a (1 - a) * [x; 1] [x; 1]T; equation
    (13) of docs/derivation.md before the division by m.
    """

    def summand(part: Samples, params: Params) -> Array:
        s = weighted(log_loss_dz2(FAST, sample_logits(params, part)), part)
        return gram(part, s)

    block = block or gram_block(samples)
    return sum_over_samples(summand, samples, params, block=block)


def curvature_along_total(
    params: Params, vector: Params, samples: Samples, block: int | None = None
) -> Params:
    """Return the sum over samples of the Hessian times a vector, without the Hessian.

    Shapes: vector and result w (n, 1), b (1, 1). Equation (13) of docs/derivation.md
    applied from the right: two passes forward, one backward.
    """

    def summand(part: Samples, params: Params, vector: Params) -> Params:
        s = weighted(log_loss_dz2(FAST, sample_logits(params, part)), part)
        return adjoint(part.X, s * (part.X.forward(vector.w) + vector.b))

    return sum_over_samples(summand, samples, params, vector, block=block)


def gram(samples: Samples, s: Float[Array, "1 m"]) -> Float[Array, "n+1 n+1"]:
    """Return the sum over samples of s [x; 1] [x; 1]T, in the order w, then b.

    Shapes: s (1, m), result (n + 1, n + 1).
    """
    wb, bb = adjoint(samples.X, s)
    return jnp.block([[samples.X.gram(s), wb], [wb.T, bb]])


def sum_over_samples(
    summand: Callable[..., Sums],
    samples: Samples,
    *given: Any,
    block: int | None = None,
    every: int = 1,
) -> Sums:
    """Return the sum of summand(part, *given) over the samples, taken block by block.

    Where the samples are spread over devices, along one axis of a mesh whose axes are
    explicit, each device sums its own, and the sums are added up.

    Args:
        summand: maps some of the samples to a pytree of sums over them.
        samples: X (n, m) and its rows (1, m).
        given: what else summand depends on, the same for all samples.
        block: samples in a block; by default what fits the cache on a CPU, all of
            them elsewhere.
        every: how many blocks there are for one that is summed.
    """
    axis = _axis_of(samples)
    if axis is None:
        return _sum_blocks(lambda part: summand(part, *given), samples, block, every)

    def own(part: Samples, *given: Any) -> Sums:
        def of_part(part: Samples) -> Sums:
            return summand(part, *given)

        return lax.psum(_sum_blocks(of_part, part, block, every, axis), axis)

    spread = jax.tree.map(lambda leaf: jax.typeof(leaf).sharding.spec, samples)
    mesh = jax.typeof(samples.y).sharding.mesh
    whole = PartitionSpec()
    specs = (spread, *(whole for _ in given))
    across = jax.shard_map(own, mesh=mesh, in_specs=specs, out_specs=whole)
    return across(samples, *given)


def _axis_of(samples: Samples) -> str | None:
    """Return the axis of an explicit mesh that the samples are spread along, if any."""
    axis = jax.typeof(samples.y).sharding.spec[1]
    return axis if isinstance(axis, str) else None


def _sum_blocks(
    summand: Callable[[Samples], Sums],
    samples: Samples,
    block: int | None,
    every: int,
    axis: str | None = None,
) -> Sums:
    """Return the sums over the samples that one device has."""
    n, m = samples.X.shape
    length = _block_length(n, m) if block is None else min(block, m)
    if not samples.X.divisible:
        return summand(samples)
    count, rest = divmod(m, length)

    def add(sums: Sums, index: Array) -> tuple[Sums, None]:
        more = summand(samples.part(index * length, length))
        return jax.tree.map(jnp.add, sums, more), None

    if count == 1:
        sums = summand(samples.part(0, length) if rest else samples)
    else:
        shapes = jax.eval_shape(lambda: summand(samples.part(0, length)))
        sums = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        if axis is not None:  # each device has sums of its own
            sums = jax.tree.map(lambda leaf: lax.pcast(leaf, axis, to="varying"), sums)
        # Reverse differentiation would keep every block's slice of X, a second X;
        # with checkpoint it cuts the slice again.
        checkpointed = jax.checkpoint(add, prevent_cse=False)
        sums, _ = lax.scan(checkpointed, sums, jnp.arange(0, count, every))
    if rest and every == 1:
        sums = jax.tree.map(jnp.add, sums, summand(samples.part(count * length, rest)))
    return sums


def gram_block(samples: Samples) -> int:
    """Return how many samples a block has that is summed with its gram."""
    m = samples.X.shape[1]
    return min(m, GRAM_SAMPLES) if jax.default_backend() == "cpu" else m


@partial(jax.jit, inline=True)
def power_of_two(array: Array) -> Float[Array, ""]:
    """Return the power of 2 just below the largest |entry|: dividing by it is exact.

    It is a constant for differentiation: nothing that is scaled by it depends on it.
    """
    _, exponent = jnp.frexp(lax.stop_gradient(jnp.abs(array).max()))
    # XLA divides by multiplying with the reciprocal, which must not be flushed to 0.
    largest = np.finfo(array.dtype).maxexp - 2
    return jnp.ldexp(jnp.ones((), array.dtype), jnp.minimum(exponent - 1, largest))


def _block_length(n: int, m: int) -> int:
    if jax.default_backend() != "cpu":
        return m
    # Whole cache lines: blocks of an odd length took a sixth longer.
    return min(m, max(1024, BLOCK_ENTRIES // n // 128 * 128))


def sample_logits(params: Params, part: Samples) -> Float[Array, "1 m"]:
    """Return the logits of some samples, with their offset."""
    z = part.X.forward(params.w) + params.b
    return z if part.offset is None else z + part.offset


def weighted(row: Float[Array, "1 m"], part: Samples) -> Float[Array, "1 m"]:
    """Return the row, times the weights where there are any."""
    if part.weight is None:
        return row
    # A sample that is left out may have overflowed.
    out = (part.weight == 0) & ~jnp.isfinite(row)
    return part.weight * jnp.where(out, 0.0, row)

"""Features with mean 0 and standard deviation 1, computed without a copy of X."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from jlogreg.base.arrays import largest, smallest
from jlogreg.base.checks import AnyArray, check_matrix, check_range
from jlogreg.base.params import Params
from jlogreg.base.programs import program
from jlogreg.data.design import Dense, Design, Stacked, check_design, matmul
from jlogreg.data.reduction import gram_block, sum_over_samples
from jlogreg.data.samples import (
    Samples,
    check_samples,
    prepare_samples,
    scale_weights,
)
from jlogreg.data.sparse import Sparse

__all__ = ["Standardized", "is_standardized", "magnitudes", "standardize", "written"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Standardized:
    """A design with the features (X - mean) / scale, without a copy of X.

    Shapes: X (n, m), an array or a design; mean and scale (n, 1), scale above 0.
    `standardize` computes both. The methods are those of `Dense`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import Params, standardize
        >>> design = standardize(jnp.array([[2.0, 6.0]]))
        >>> design.mean.tolist(), design.scale.tolist()
        ([[4.0]], [[2.0]])
        >>> params = Params(w=jnp.array([[1.0]]), b=jnp.array([[0.0]]))
        >>> w, b = design.to_original_scale(params)
        >>> w.tolist(), b.tolist()
        ([[0.5]], [[-2.0]])
    """

    X: Any
    mean: Float[Array, "n 1"]
    scale: Float[Array, "n 1"]

    @property
    def shape(self) -> tuple[int, int]:
        """The sizes (n, m)."""
        n, m = self.X.shape
        return n, m

    @property
    def dtype(self) -> Any:
        """The dtype of the entries."""
        return self.X.dtype

    @property
    def sliceable(self) -> bool:
        """Whether `slice_samples` works, at a cost proportional to `size`."""
        return bool(self.X.sliceable)

    def slice_samples(self, start: Array | int, size: int) -> Standardized:
        """Return the samples `start` to `start + size - 1`."""
        return Standardized(self.X.slice_samples(start, size), self.mean, self.scale)

    def forward(self, w: Float[Array, "n K"]) -> Float[Array, "K m"]:
        """Return wT (X - mean) / scale."""
        u = w / self.scale
        return self.X.forward(u) - matmul(u.T, self.mean)

    def adjoint(self, dz: Float[Array, "K m"]) -> Float[Array, "n K"]:
        """Return ((X - mean) / scale) dzT."""
        total = dz.sum(axis=1, keepdims=True)
        return (self.X.adjoint(dz) - matmul(self.mean, total.T)) / self.scale

    def gram(self, s: Float[Array, "1 m"]) -> Float[Array, "n n"]:
        """Return the sandwich product of the standardised features."""
        if self.sliceable:
            # Not from the gram of X: where the mean is large its digits would cancel.
            return Dense(self.dense()).gram(s)
        # (X - mean) diag(s) (X - mean)T, multiplied out.
        across = matmul(self.X.adjoint(s), self.mean.T)
        square = matmul(self.mean, self.mean.T) * s.sum()
        centred = self.X.gram(s) - across - across.T + square
        return centred / self.scale / self.scale.T

    def gram_diagonal(self, s: Float[Array, "1 m"]) -> Float[Array, "n 1"]:
        """Return the diagonal of the sandwich product."""
        if self.sliceable:
            return Dense(self.dense()).gram_diagonal(s)
        # The diagonal of the products in `gram`.
        across = self.X.adjoint(s) * self.mean
        centred = self.X.gram_diagonal(s) - 2 * across + self.mean**2 * s.sum()
        return centred / self.scale**2

    def dense(self) -> Float[Array, "n m"]:
        """Return the standardised features as one array."""
        return (self.X.dense() - self.mean) / self.scale

    def finite(self) -> Bool[Array, "1 m"]:
        """Return which samples have only finite features."""
        usable = jnp.isfinite(self.mean) & jnp.isfinite(self.scale) & (self.scale > 0)
        return self.X.finite() & usable.all()

    def zero_nonfinite(self) -> Standardized:
        """Return the same design with the non-finite entries of X replaced by 0."""
        return Standardized(self.X.zero_nonfinite(), self.mean, self.scale)

    def validated(self, name: str) -> Standardized:
        """Return the same design, its shapes and dtypes checked."""
        X = check_design(f"{name}.X", self.X)
        shape: tuple[int, int] = (X.shape[0], 1)
        mean = check_matrix(f"{name}.mean", self.mean, shape, X.dtype)
        scale = check_matrix(f"{name}.scale", self.scale, shape, X.dtype)
        return Standardized(X, mean, scale)

    def check_values(self, name: str) -> None:
        """Raise a ValueError unless all entries that are not traced are finite."""
        self.X.check_values(f"{name}.X")
        check_range(f"{name}.mean", self.mean)
        check_range(f"{name}.scale", self.scale, 0.0, above=True)

    def to_original_scale(self, params: Params) -> Params:
        """Return the parameters for X itself that give the same logits.

        Shapes: params and result w (n, K), b (K, 1), or with a leading axis of problems
        as those of `fit_many`. Formula: w / scale and b - (w / scale)T mean.
        """
        if params.w.ndim == 3:
            return jax.vmap(self.to_original_scale)(params)
        w = params.w / self.scale
        return Params(w=w, b=params.b - matmul(w.T, self.mean))


def standardize(
    X: Float[AnyArray, "n m"] | Design, weight: Float[AnyArray, "1 m"] | None = None
) -> Standardized:
    """Return the design of X with every feature at mean 0 and standard deviation 1.

    Shapes: X (n, m), an array or a design; weight (1, m), at least 0. Formula: mean =
    sum_i v_i x_i / sum_i v_i and scale^2 = sum_i v_i (x_i - mean)^2 / sum_i v_i with
    the weights v, or 1. A constant feature becomes 0. A sample of weight 0 is left out,
    whatever it contains. X is not copied; `Standardized.to_original_scale` takes fitted
    parameters back to X.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a weight is negative, NaN or infinite, if all are 0, or if a
            feature is not finite in a sample of another weight. Where the weights or X
            are traced the mean and the scale are NaN instead. Without weights X is not
            checked.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import standardize
        >>> X = jnp.array([[2.0, 6.0], [5.0, 5.0]])
        >>> standardize(X).dense().tolist()
        [[-1.0, 1.0], [0.0, 0.0]]
        >>> standardize(X, jnp.array([[3.0, 1.0]])).mean.tolist()
        [[3.0], [5.0]]
    """
    design = check_design("X", X)
    labels = np.zeros((1, design.shape[1]), design.dtype)  # required, but not used
    samples = check_samples(design, labels, weight)
    if weight is not None:
        samples = prepare_samples(samples)
    mean, scale = _moments(samples)
    return Standardized(design, mean, scale)


@partial(program, inline=True)
def _moments(samples: Samples) -> tuple[Float[Array, "n 1"], Float[Array, "n 1"]]:
    """Return the mean and the standard deviation of every feature, 1 for a constant.

    Sums of features lose the digits that a variance is made of, and squares overflow.
    So the numbers are first put between -1 and 1 by their extremes, which tell a
    constant, too, and then centred.
    """
    v = None if samples.weight is None else scale_weights(samples.weight)
    samples = samples._replace(weight=v)
    if not samples.X.sliceable:
        return _moments_of_sums(samples)
    # The middle of the extremes, and half the range.
    X = samples.X.dense()
    kept = True if v is None else v > 0
    high = largest(jnp.where(kept, X, -jnp.inf), axis=1)[:, None]
    low = smallest(jnp.where(kept, X, jnp.inf), axis=1)[:, None]
    middle, half = lax.stop_gradient((low / 2 + high / 2, high / 2 - low / 2))
    constant = half == 0
    unit = jnp.where(constant, 1.0, half)
    # The mean and the variance between -1 and 1, in two passes.
    mean = _weighted_mean(samples, middle, unit, 1)
    center = middle + unit * mean
    deviation = unit * jnp.sqrt(_weighted_mean(samples, center, unit, 2))
    center = jnp.where(constant, low, center)
    return center, jnp.where(constant, 1.0, deviation)


def _weighted_mean(
    samples: Samples, center: Array, unit: Array, power: int
) -> Float[Array, "n 1"]:
    """Return the weighted mean of ((X - center) / unit)^power, summed in blocks."""

    def summand(part: Samples, center: Array, unit: Array) -> tuple[Array, Array]:
        v = part.weights()
        u = jnp.where(v > 0, (part.X.dense() - center) / unit, 0.0)
        # A sum, and no product with v, for which u**power would be written.
        return (v * u**power).sum(axis=1, keepdims=True), v.sum()

    block = gram_block(samples)
    total, weight = sum_over_samples(summand, samples, center, unit, block=block)
    return total / weight


def _moments_of_sums(
    samples: Samples,
) -> tuple[Float[Array, "n 1"], Float[Array, "n 1"]]:
    """Return mean and deviation of features that cannot be centred, but multiplied."""
    v, total = samples.weights(), samples.total_weight()
    mean = samples.X.adjoint(v) / total
    unit = jnp.ones_like(mean)
    variance = Standardized(samples.X, mean, unit).gram_diagonal(v) / total
    # The variance of a constant is the rounding error of a difference of squares.
    constant = variance <= 8 * float(np.finfo(mean.dtype).eps) * mean**2
    return mean, jnp.where(constant, unit, jnp.sqrt(variance))


def is_standardized(X: Design) -> bool:
    """Return whether `written` writes features."""
    if isinstance(X, Stacked):
        return is_standardized(X.shared) or is_standardized(X.own)
    return isinstance(X, Standardized) and X.sliceable


def written(X: Design) -> Design:
    """Return the design with standardised features written for all their products.

    A product less that with the mean has lost the digits of small sums.
    """
    if isinstance(X, Stacked):
        return Stacked(written(X.shared), written(X.own))
    return Dense(X.dense()) if is_standardized(X) else X


def magnitudes(X: Design) -> Design:
    """Return the design of the absolute values, or of what they do not exceed."""
    if isinstance(X, Stacked):
        return Stacked(magnitudes(X.shared), magnitudes(X.own))
    if isinstance(X, Sparse):
        sizes = (jnp.abs(X.X.data), X.X.indices)
        return Sparse(type(X.X)(sizes, shape=X.X.shape))
    if isinstance(X, Standardized) and not X.sliceable:
        return Standardized(magnitudes(X.X), -jnp.abs(X.mean), X.scale)
    return Dense(jnp.abs(X.dense()))

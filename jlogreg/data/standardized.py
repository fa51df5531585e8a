"""Standardise features without touching them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jlogreg.base.checks import AnyArray, check_matrix, check_range
from jlogreg.base.params import Params
from jlogreg.data.design import Dense, Design, check_design, matmul

__all__ = ["Standardized", "standardize"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Standardized:
    """Hold features as (X - mean) / scale, without a copy of X.

    Shapes: X an array or a design of (n, m); mean and scale (n, 1), scale not 0;
    `standardize` makes them. The methods are those of `Dense`.

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
        """Return (n, m)."""
        n, m = self.X.shape
        return n, m

    @property
    def dtype(self) -> Any:
        """Return the dtype of the numbers."""
        return self.X.dtype

    @property
    def sliceable(self) -> bool:
        """Return whether `slice_samples` is as cheap as it is small."""
        return bool(self.X.sliceable)

    def slice_samples(self, start: Array | int, size: int) -> Standardized:
        """Return `size` of the samples, from `start` on."""
        return Standardized(self.X.slice_samples(start, size), self.mean, self.scale)

    def forward(self, w: Float[Array, "n K"]) -> Float[Array, "K m"]:
        """Return wT (X - mean) / scale."""
        u = w / self.scale
        return self.X.forward(u) - matmul(u.T, self.mean)

    def adjoint(self, dz: Float[Array, "K m"]) -> Float[Array, "n K"]:
        """Return (X - mean) / scale dzT."""
        total = dz.sum(axis=1, keepdims=True)
        return (self.X.adjoint(dz) - matmul(self.mean, total.T)) / self.scale

    def gram(self, s: Float[Array, "1 m"]) -> Float[Array, "n n"]:
        """Return the gram of the standardised features."""
        if self.sliceable:
            # Not from the gram of X: where the mean is large its digits would cancel.
            return Dense(self.dense()).gram(s)
        across = matmul(self.X.adjoint(s), self.mean.T)
        square = matmul(self.mean, self.mean.T) * s.sum()
        centred = self.X.gram(s) - across - across.T + square
        return centred / self.scale / self.scale.T

    def gram_diagonal(self, s: Float[Array, "1 m"]) -> Float[Array, "n 1"]:
        """Return the diagonal of the gram."""
        if self.sliceable:
            return Dense(self.dense()).gram_diagonal(s)
        across = self.X.adjoint(s) * self.mean
        centred = self.X.gram_diagonal(s) - 2 * across + self.mean**2 * s.sum()
        return centred / self.scale**2

    def dense(self) -> Float[Array, "n m"]:
        """Return the standardised features."""
        return (self.X.dense() - self.mean) / self.scale

    def finite(self) -> Bool[Array, "1 m"]:
        """Return which samples have finite features only."""
        usable = jnp.isfinite(self.mean) & jnp.isfinite(self.scale) & (self.scale > 0)
        return self.X.finite() & usable.all()

    def zero_nonfinite(self) -> Standardized:
        """Return the same with 0 in X for every number that is not finite."""
        return Standardized(self.X.zero_nonfinite(), self.mean, self.scale)

    def validated(self, name: str) -> Standardized:
        """Return the same, its shapes and dtypes checked."""
        X = check_design(f"{name}.X", self.X)
        shape: tuple[int, int] = (X.shape[0], 1)
        mean = check_matrix(f"{name}.mean", self.mean, shape, X.dtype)
        scale = check_matrix(f"{name}.scale", self.scale, shape, X.dtype)
        return Standardized(X, mean, scale)

    def check_values(self, name: str) -> None:
        """Raise a ValueError unless the numbers, where known, are finite."""
        self.X.check_values(f"{name}.X")
        check_range(f"{name}.mean", self.mean)
        check_range(f"{name}.scale", self.scale, 0.0, above=True)

    def to_original_scale(self, params: Params) -> Params:
        """Return parameters for X itself that give the same logits.

        Shapes: params w (n, K), b (K, 1), and so the result.
        """
        w = params.w / self.scale
        return Params(w=w, b=params.b - matmul(w.T, self.mean))


def standardize(X: Float[AnyArray, "n m"] | Design) -> Standardized:
    """Return the design of X with every feature at mean 0 and standard deviation 1.

    Shapes: X (n, m), an array or a design. A constant feature becomes 0. X is not
    copied; `Standardized.to_original_scale` takes fitted parameters back to X.

    Raises:
        DtypeError, RankError, ShapeError: X is no such array.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import standardize
        >>> design = standardize(jnp.array([[2.0, 6.0], [5.0, 5.0]]))
        >>> design.dense().tolist()
        [[-1.0, 1.0], [0.0, 0.0]]
    """
    design = check_design("X", X)
    m = design.shape[1]
    ones = jnp.ones((1, m), design.dtype)
    mean = design.adjoint(ones) / m
    unit = jnp.ones_like(mean)
    variance = Standardized(design, mean, unit).gram_diagonal(ones) / m
    eps = np.finfo(design.dtype).eps
    # Of a constant feature only the rounding of its mean is left; where the variance is
    # a difference of squares, the rounding of those.
    rest = (4 * eps * jnp.abs(mean)) ** 2 if design.sliceable else 8 * eps * mean**2
    constant = variance <= rest
    return Standardized(design, mean, jnp.where(constant, unit, jnp.sqrt(variance)))

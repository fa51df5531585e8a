"""The preconditioner: a bound of the Hessian that problems on one X share.

No curvature a (1 - a) exceeds a quarter, so no Hessian exceeds the one with a quarter
in every sample, which depends on the features and the penalty alone (Böhning and
Lindsay, Ann. Inst. Stat. Math. 40, 1988). Problems that have both in common share its
inverse; problems with penalties of their own, its spectrum.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from jlogreg.base.arrays import at_least, largest
from jlogreg.base.params import Params
from jlogreg.data.design import matmul
from jlogreg.data.reduction import gram_block, sum_over_samples
from jlogreg.data.samples import Samples
from jlogreg.formulations.problem import (
    Problem,
    restricted,
    restricted_matrix,
    ridge,
    to_vector,
)
from jlogreg.objective.sums import gram
from jlogreg.solvers.cholesky import factorize_reversed, rounding_level

__all__ = [
    "Preconditioner",
    "Spectrum",
    "adapt_preconditioner",
    "shared_preconditioner",
    "spectral_preconditioner",
]

# With more unknowns than these the bound is a diagonal: its factor, or its spectrum,
# would take longer than the fits.
MAX_FACTOR, MAX_SPECTRUM = 4096, 1024


class Spectrum(NamedTuple):
    """The eigenvectors and eigenvalues of the bound without a penalty.

    With w and b + wT mean as unknowns, the bound is one block for w, and a quarter. A
    penalty adds to the eigenvalues and does not change the eigenvectors; equation (26)
    of docs/derivation.md.

    Shapes: vectors (n, n), values (n, 1), mean (n, 1).
    """

    vectors: Float[Array, "n n"]
    values: Float[Array, "n 1"]
    mean: Float[Array, "n 1"]

    def solve(
        self, right: Float[Array, "n+1 1"], l2: Float[Array, ""]
    ) -> Float[Array, "n+1 1"]:
        """Return the inverse of the bound with a penalty, times right."""
        # To the unknowns w and b + wT mean, and to the eigenvectors; then back.
        w, b = right[:-1], right[-1:]
        along = matmul((w - self.mean * b).T, self.vectors)
        w = matmul(along / (self.values + l2).T, self.vectors.T).T
        return to_vector(Params(w, 4 * b - matmul(self.mean.T, w)))


class Preconditioner(NamedTuple):
    """The inverse of a bound of the Hessian, which depends on X and l2.

    Shapes: inverse (n + 1, n + 1) of the bound scaled to a diagonal of ones, or a
    spectrum, or None where only the diagonal is known; scale (n + 1, 1), one over the
    square root of that diagonal; l2 () with a spectrum. singular says that the bound
    has no inverse to the precision at hand; use_diagonal, that the inverse is that of
    very different samples, so that the diagonal alone does better; free is that of the
    problem.
    """

    inverse: Array | Spectrum | None
    scale: Float[Array, "n+1 1"]
    singular: Bool[Array, ""]
    l2: Float[Array, ""] | None = None
    use_diagonal: Bool[Array, ""] | None = None
    free: Float[Array, "n+1 1"] | None = None

    def solve(self, right: Float[Array, "n+1 1"]) -> Float[Array, "n+1 1"]:
        """Return the inverse of the bound times right."""
        return restricted(self._solve(restricted(right, self.free)), self.free)

    def _solve(self, right: Float[Array, "n+1 1"]) -> Float[Array, "n+1 1"]:
        diagonal = self.scale * self.scale * right
        if self.inverse is None:
            return diagonal
        if isinstance(self.inverse, Spectrum):
            assert self.l2 is not None
            result = self.inverse.solve(right, self.l2)
        else:
            unit = self.scale * right
            result = self.scale * matmul(unit.T, self.inverse).T
        if self.use_diagonal is None:
            return result
        return jnp.where(self.use_diagonal, diagonal, result)


def shared_preconditioner(problem: Problem) -> Preconditioner:
    """Return the inverse of a bound of the Hessian at any point, for equal weights."""
    samples, penalty = problem.samples, ridge(problem)
    n = samples.X.shape[0]
    if n + 1 > MAX_FACTOR:
        return _diagonal(samples, penalty)
    bound = _quarters(samples) + jnp.diag(penalty[:, 0])
    factor = factorize_reversed(restricted_matrix(bound, problem.free))
    inverse = factor.solve(jnp.diag(1 / factor.scale[:, 0])) / factor.scale
    return Preconditioner(inverse, factor.scale, factor.singular)


def spectral_preconditioner(problem: Problem) -> Preconditioner:
    """Return a bound for problems that differ in their penalties, one number each.

    It is singular if the bound has no inverse without a penalty.
    """
    samples, penalty = problem.samples, ridge(problem)
    n = samples.X.shape[0]
    if n + 1 > MAX_SPECTRUM or problem.l2.ndim:
        return _diagonal(samples, penalty)
    quarters = restricted_matrix(_quarters(samples), problem.free)
    factor = factorize_reversed(quarters)
    # The block for w, once b + wT mean is the other unknown; equation (26).
    mean = 4 * quarters[:-1, -1:]
    values, vectors = jnp.linalg.eigh(quarters[:-1, :-1] - 0.25 * mean * mean.T)
    eps = float(np.finfo(values.dtype).eps)
    # An eigenvalue below rounding error is raised to it.
    values = at_least(values, 10 * n * eps * at_least(values[-1], eps))
    spectrum = Spectrum(vectors, values[:, None], mean)
    return Preconditioner(spectrum, factor.scale, factor.singular)


def adapt_preconditioner(problem: Problem, shared: Preconditioner) -> Preconditioner:
    """Return the preconditioner for one problem's weights and penalty.

    The inverse stays that of equally weighted samples; the scale, a number per feature,
    becomes the problem's own.
    """
    samples, penalty = problem.samples, ridge(problem)
    X, weight = samples.X, samples.weight
    shared = shared._replace(free=problem.free)
    # More unknowns without a penalty than samples make the bound singular.
    free = jnp.sum(penalty == 0)
    if problem.free is not None:
        free = jnp.sum((penalty == 0) & (problem.free > 0))
    if isinstance(shared.inverse, Spectrum):
        part = problem.l2 * jnp.square(largest(shared.scale[:-1]))
        none = part <= rounding_level(len(penalty), penalty.dtype)
        shared = shared._replace(l2=problem.l2, singular=shared.singular & none)
    if weight is None and shared.inverse is not None:
        return shared._replace(singular=shared.singular | (free > X.shape[1]))
    quarters = samples.weighted(jnp.full_like(samples.y, 0.25))
    quarters = quarters / samples.total_weight()
    scale = _scale(Samples(X, quarters), penalty)
    kept = X.shape[1] if weight is None else jnp.sum(weight > 0)
    # The excluded samples may hold most of the features' variation, so that the shared
    # inverse says nothing about the others.
    differs = ~(scale <= 10 * shared.scale).all()
    singular = (shared.singular & ~differs) | (free > kept)
    return shared._replace(scale=scale, singular=singular, use_diagonal=differs)


def _quarters(samples: Samples) -> Float[Array, "n+1 n+1"]:
    """Return the mean over samples, equally weighted, of [x; 1] [x; 1]T / 4."""
    alone = Samples(samples.X, jnp.full_like(samples.y, 0.25 / samples.X.shape[1]))
    block = gram_block(alone)
    return sum_over_samples(lambda part: gram(part, part.y), alone, block=block)


def _diagonal(samples: Samples, penalty: Array) -> Preconditioner:
    quarters = jnp.full_like(samples.y, 0.25 / samples.X.shape[1])
    scale = _scale(Samples(samples.X, quarters), penalty)
    return Preconditioner(None, scale, jnp.zeros((), bool))


def _scale(samples: Samples, penalty: Array) -> Float[Array, "n+1 1"]:
    """Return one over the square root of the diagonal of a bound."""
    squares = sum_over_samples(
        lambda part: part.X.gram_diagonal(part.y), samples, block=gram_block(samples)
    )
    total = samples.y.sum(axis=1, keepdims=True)
    bound = to_vector(Params(squares, total)) + penalty
    return lax.rsqrt(jnp.where(bound > 0, bound, 1.0))

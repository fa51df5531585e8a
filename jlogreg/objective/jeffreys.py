"""Jeffreys' prior of the parameters: the log determinant of their information.

With the information I = X~ diag(v s) X~T of the parameters, the cost gains

    - jeffreys / sum(v) * log det I,

so that its minimum, Firth's estimate for jeffreys = 1/2, is finite where labels are
separated; equation (55) of docs/derivation.md (Firth, Biometrika 80, 1993). Far out
the curvature s of all samples vanishes, and the term grows without bound.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from jlogreg.base.arrays import is_traced
from jlogreg.base.checks import check_number, check_range
from jlogreg.base.errors import ShapeError
from jlogreg.base.params import Params
from jlogreg.data.design import Design, inner_products, matmul
from jlogreg.data.pairwise import Pairwise, Triplewise
from jlogreg.data.reduction import gram_block
from jlogreg.data.samples import Samples
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss_dz, log_loss_dz2
from jlogreg.objective.prediction import adjoint
from jlogreg.objective.sums import curvature_total, gram, sum_over_written
from jlogreg.solvers.cholesky import ReversedFactor, factorize_reversed

__all__ = [
    "FIRTH",
    "RIVAL_LEVERAGE",
    "AtZero",
    "Jeffreys",
    "JeffreysTotals",
    "at_zero",
    "check_jeffreys",
    "check_parameters",
    "jeffreys_term",
    "jeffreys_totals",
    "log_det",
    "row_entries",
]

# The strength of the prior that makes an estimate Firth's.
FIRTH = 0.5
# The information, and its derivatives of n^3 numbers, are formed up to this number of
# features.
MAX_FEATURES = 512
# Minima may have rivals where some sample, once, has a larger leverage at 0. Of 738
# small problems with smaller ones, most with heavy tails, 4 had a second minimum and
# none a lower one; of 3196 with larger ones, 398 had, and 266 a lower one.
RIVAL_LEVERAGE = 0.25
# Entries of the products of pairs in a block of samples.
PAIR_ENTRIES = 2**21


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Jeffreys:
    """How strong Jeffreys' prior is, and whether the bias is one of its parameters.

    Shapes: strength (), 1/2 for Firth's estimate.
    """

    strength: Float[Array, ""]
    bias: bool = field(metadata={"static": True})


def check_jeffreys(jeffreys: Any, bias: bool, X: Design) -> Jeffreys | None:
    """Return the prior, None for a number that is known to be 0.

    Raises:
        DtypeError, RankError: if it is not a number.
        ShapeError: if there are more parameters than samples, so that their information
            has no determinant but 0, or too many to form it.
        ValueError: if it is negative, NaN or infinite, and not traced.
    """
    strength = check_number("jeffreys", jeffreys, X.dtype)
    strength = check_range("jeffreys", strength, 0.0)
    if not is_traced(strength) and not np.asarray(strength).any():
        return None
    check_parameters(bias, X)
    return Jeffreys(strength, bias)


def check_parameters(bias: bool, X: Design) -> None:
    """Raise a ShapeError if the information of the parameters cannot be formed.

    It has no determinant but 0 if there are more parameters than samples.
    """
    n, m = X.shape
    if n + bias > m:
        raise ShapeError(
            f"X has shape ({n}, {m}): with more parameters than samples their "
            "information has the determinant 0, and jeffreys no meaning; drop "
            "features, or take a penalty l2 instead"
        )
    if n > MAX_FEATURES:
        raise ShapeError(
            f"X has {n} features, but jeffreys is for {MAX_FEATURES} at most; take a "
            "penalty l2 instead"
        )


def jeffreys_term(
    params: Params, samples: Samples, jeffreys: Jeffreys
) -> Float[Array, ""]:
    """Return what the prior adds to the cost; equation (55).

    Infinity if the information is singular. Derivatives of every order are exact.
    """
    information = _information(params, samples, jeffreys)
    return -jeffreys.strength * log_det(information) / samples.total_weight()


def _information(
    params: Params, samples: Samples, jeffreys: Jeffreys
) -> Float[Array, "k k"]:
    """Return the information of the k parameters, not divided by the weight."""
    k = len(params.w) + jeffreys.bias
    return curvature_total(params, samples)[:k, :k]


@jax.custom_jvp
def log_det(matrix: Float[Array, "k k"]) -> Float[Array, ""]:
    """Return the log determinant of a positive definite matrix, -inf if singular."""
    return _log_det_by(factorize_reversed(matrix), matrix)


def _log_det_by(factor: ReversedFactor, matrix: Array) -> Float[Array, ""]:
    value = jnp.where(factor.singular, -jnp.inf, factor.log_det())
    return jnp.where(jnp.isfinite(matrix).all(), value, jnp.nan)


@log_det.defjvp
def _log_det_rule(primals: Any, tangents: Any) -> tuple[Array, Array]:
    # d log det I = tr(I^-1 dI).
    (matrix,), (change,) = primals, tangents

    def solve(_multiply: Any, right: Array) -> Array:
        factor = factorize_reversed(lax.stop_gradient(matrix))
        return jnp.where(factor.singular, jnp.nan, factor.solve(right))

    unit = jnp.eye(len(matrix), dtype=matrix.dtype)
    multiply = partial(matmul, matrix)
    inverse = lax.custom_linear_solve(multiply, unit, solve, symmetric=True)
    return log_det(matrix), jnp.sum(inverse * change)


def row_entries(X: Design, k: int) -> int:
    """Return how many numbers of the samples k parameters form at once."""
    m = X.shape[1]
    return k * m if isinstance(X, Triplewise) else _pair_entries(k, m)


def _pair_entries(k: int, m: int) -> int:
    """Return how many products of pairs of k rows are formed at once of m samples."""
    pairs = max(1, k * (k + 1) // 2)
    return pairs * max(1, min(m, PAIR_ENTRIES // pairs))


class AtZero(NamedTuple):
    """What the prior does at the parameters 0.

    Shapes: (). added to the cost; rivals, whether the cost may have several minima.
    """

    added: Float[Array, ""]
    rivals: Bool[Array, ""]


def at_zero(samples: Samples, jeffreys: Jeffreys) -> AtZero:
    """Return what the prior adds to the cost at 0, and whether minima may have rivals.

    A second minimum takes samples far from the others.
    """
    n = samples.X.shape[0]
    w, b = jnp.zeros((n, 1), samples.X.dtype), jnp.zeros((1, 1), samples.X.dtype)
    params = Params(w, b)
    information = _information(params, samples, jeffreys)
    factor = factorize_reversed(information)

    def count(part: Samples, root: Array) -> Array:
        h = log_loss_dz2(FAST, part.logits(params)) * _lengths(part.X, root)
        return jnp.sum((h > RIVAL_LEVERAGE) & (part.weights() > 0), dtype=b.dtype)

    root, block = factor.inverse_root(), gram_block(samples)
    far = sum_over_written(count, samples, root, block=block)
    log_det_0 = _log_det_by(factor, information)
    added = -jeffreys.strength * log_det_0 / samples.total_weight()
    return AtZero(added, far > 0)


class JeffreysTotals(NamedTuple):
    """The sums over samples in the derivatives of the prior; equations (56) to (58).

    Shapes: gradient w (n, 1), b (1, 1); curvature (n + 1, n + 1), what the prior adds
    to the Hessian; augmented (n + 1, n + 1), what it adds with the leverages for more
    weight.
    """

    gradient: Params
    curvature: Float[Array, "n+1 n+1"]
    augmented: Float[Array, "n+1 n+1"]


def jeffreys_totals(
    params: Params, samples: Samples, root: Float[Array, "k k"], jeffreys: Jeffreys
) -> JeffreysTotals:
    """Return the sums for a Newton step, in one pass over the data.

    Args:
        params: where they are taken.
        samples: the samples.
        root: a square root of the inverse of the information: root rootT = I^-1.
        jeffreys: the prior.
    """
    n, k = len(params.w), len(root)

    def summand(part: Samples, params: Params, root: Array, tau: Array) -> Any:
        z = part.logits(params)
        s = log_loss_dz2(FAST, z)
        half = log_loss_dz(FAST, z, jnp.full_like(z, 0.5))  # a - 1/2
        h = part.weighted(s * _lengths(part.X, root))
        change = part.weighted(-2 * half * s)
        if isinstance(part.X, Triplewise):
            third = part.X.third_moments(change)
        else:
            third = _third(part, _rows(part.X, root), change)
        found = JeffreysTotals(
            gradient=adjoint(part.X, 2 * tau * h * half),  # (56)
            curvature=gram(part, 2 * tau * h * (3 * s - 0.5)),  # (57), but for third
            augmented=gram(part, 2 * tau * h * s),  # (58)
        )
        return found, third

    given, shared = (params, root, jeffreys.strength), isinstance(samples.X, Triplewise)
    block = gram_block(samples)
    if not shared:
        block = _pair_entries(k, block) // max(1, k * (k + 1) // 2)
    found, third = sum_over_written(summand, samples, *given, block=block)
    if shared:  # rootT M root for each row M of the moments, which are symmetric
        third = matmul(third[:, :k, :k].reshape(-1, k), root)
        third = third.reshape(n + 1, k, k).swapaxes(1, 2).reshape(-1, k)
        third = matmul(third, root).reshape(n + 1, k * k)
    curved = jeffreys.strength * inner_products(third, third)
    return JeffreysTotals(found.gradient, found.curvature + curved, found.augmented)


def _rows(X: Design, root: Array) -> Float[Array, "k m"]:
    """Return rootT x~ of each sample; root has a row for the bias, or none."""
    n = X.shape[0]
    rows = X.forward(root[:n])
    return rows + root[n:].T if len(root) > n else rows


def _lengths(X: Design, root: Array) -> Float[Array, "1 m"]:
    """Return x~T root rootT x~ of each sample.

    By the products of pairs that many problems share, which is one matrix product. In
    float32 as sums of squares, which keep more digits: of 1000 separated problems of 10
    features 387 have no answer there, by pairs 409.
    """
    n = X.shape[0]
    if not isinstance(X, Pairwise) or X.dtype == jnp.float32:
        return jnp.square(_rows(X, root)).sum(axis=0, keepdims=True)
    inverse = inner_products(root, root)
    lengths = X.squares(inverse[:n, :n])
    if len(root) == n:
        return lengths
    return lengths + 2 * X.forward(inverse[:n, n:]) + inverse[n:, n:]


def _third(part: Samples, u: Array, change: Array) -> Float[Array, "n+1 p"]:
    """Return the sum of x~ times the pairs of u, those of different rows twice."""
    pairs = [u[j : j + 1] * u[j:] for j in range(len(u))]
    # By slices: XLA gathers rows number by number on a CPU.
    twice = [np.where(np.arange(len(pair)) == 0, 1.0, 2.0**0.5) for pair in pairs]
    roots = jnp.asarray(np.concatenate(twice)[:, None], u.dtype)
    third = adjoint(part.X, jnp.concatenate(pairs) * roots * change)
    return jnp.concatenate([third.w, third.b.T])

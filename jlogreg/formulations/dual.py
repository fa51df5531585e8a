"""Fit more features than samples in the span of the samples: m unknowns, not n.

With one penalty for all features the minimiser is a combination of the samples, w =
Xc alphaT with Xc = X - mean; equation (21) of docs/derivation.md. All that the cost
needs of X is then the Gram matrix C = XcT Xc (m, m). Centring keeps its digits where
features have a large mean, and changes nothing but the bias.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jlogreg.base.params import Params
from jlogreg.base.status import Status
from jlogreg.data.design import Dense, Design, matmul
from jlogreg.data.samples import Samples
from jlogreg.formulations.problem import (
    Coordinates,
    Limits,
    Problem,
    Solution,
    SolveState,
    Whole,
    nothing,
    to_solution,
    to_vector,
)
from jlogreg.objective.cost import objective
from jlogreg.objective.pointwise import pointwise
from jlogreg.solvers.cholesky import Factor, factorize
from jlogreg.solvers.driver import Direction, Evaluation, Objective, Solver, where

__all__ = [
    "DUAL",
    "DualBasis",
    "DualFactor",
    "dual_applies",
    "dual_basis",
    "dual_factor",
    "dual_objective",
]

# Features whose products are added to the Gram matrix at a time, centred in the cache.
BLOCK_FEATURES = 2048


# A penalty of so many roundings of the curvature can be told from none. With less the
# factor is made of roundings, and steps of it lead about, or nowhere.
LOST_ROUNDINGS = 16


class DualBasis(NamedTuple):
    """Hold the span of the samples.

    Shapes: X (n, m), mean (n, 1), gram (m, m) of X - mean.
    """

    X: Float[Array, "n m"]
    mean: Float[Array, "n 1"]
    gram: Float[Array, "m m"]

    def start(self, params: Params) -> Float[Array, "m+1 1"]:
        """Return the coordinates of params, or of what of them is in the span."""
        z = matmul(params.w.T, self.X - self.mean)
        alpha = factorize(self.gram).solve(z.T)
        return jnp.concatenate([alpha, params.b + matmul(params.w.T, self.mean)])

    def params(self, point: Float[Array, "m+1 1"]) -> Params:
        """Return w = (X - mean) alphaT and b of coordinates."""
        alpha = point[:-1]
        w = matmul(self.X, alpha) - self.mean * alpha.sum()
        return Params(w=w, b=point[-1:] - matmul(w.T, self.mean))


class DualFactor(NamedTuple):
    """Hold the inverse of the Hessian in the span.

    Shapes: root (m, 1) of the curvature, inner the factor of l2 + root C rootT, l2 ().
    """

    root: Float[Array, "m 1"]
    inner: Factor
    l2: Float[Array, ""]

    def solve(self, right: Array, right_b: Array) -> tuple[Array, Array]:
        """Return gamma (m, c) and beta (1, c), equation (22) of docs/derivation.md.

        Shapes: right (m, c), right_b (1, c). They solve (l2 + S C) gamma =
        -S (right + l2 beta) and -sum(gamma) = right_b, with S = root^2.
        """
        ones = self.root * self.inner.solve(self.root)
        own = self.root * self.inner.solve(self.root * right)
        beta = (right_b - own.sum(axis=0, keepdims=True)) / (self.l2 * ones.sum())
        return -own - self.l2 * beta * ones, beta

    def inverse(self, span: DualBasis, right: Float[Array, "n+1 c"]) -> Array:
        """Return the inverse of the Hessian in the features times right."""
        X, mean, _ = span
        w, b = right[:-1], right[-1:]
        w = w - mean * b
        centred = matmul(X.T, w) - matmul(mean.T, w)
        gamma, beta = self.solve(centred, b)
        total = gamma.sum(axis=0, keepdims=True)
        w = (w + matmul(X, gamma) - mean * total) / self.l2
        return jnp.concatenate([w, beta - matmul(mean.T, w)])


def dual_applies(X: Design, l2: Array) -> bool:
    """Return whether a problem of these shapes is solved in the span of its samples."""
    n, m = X.shape
    return m < n and isinstance(X, Dense) and l2.ndim == 0


def dual_basis(samples: Samples) -> DualBasis:
    """Return the span of the samples that have a weight; the others count for none."""
    X = samples.X.dense()
    n, m = X.shape
    if samples.weight is None:
        mean = X.mean(axis=1, keepdims=True)
    else:
        kept = samples.weight > 0
        X = jnp.where(kept, X, 0.0)
        mean = X.sum(axis=1, keepdims=True) / kept.sum(dtype=X.dtype)
        X = jnp.where(kept, X, mean)  # at the centre it spans nothing
    count, rest = divmod(n, BLOCK_FEATURES)

    def product(start: Array | int, size: int) -> Array:
        part = lax.dynamic_slice_in_dim(X, start, size, axis=0)
        part = part - lax.dynamic_slice_in_dim(mean, start, size, axis=0)
        return matmul(part.T, part)

    def add(gram: Array, index: Array) -> tuple[Array, None]:
        return gram + product(index * BLOCK_FEATURES, BLOCK_FEATURES), None

    gram = jnp.zeros((m, m), X.dtype)
    if count:
        gram, _ = lax.scan(add, gram, jnp.arange(count))
    if rest:
        gram = gram + product(count * BLOCK_FEATURES, rest)
    return DualBasis(X=X, mean=mean, gram=gram)


def dual_objective(
    problem: Problem, known: Whole, span: DualBasis, tol: Array
) -> Objective:
    """Return the cost in the coordinates alpha (m) above b, for one penalty l2 ().

    The gradient is held by its coordinates, r = dz / m + l2 alpha above db, so that
    dw = Xc rT.
    """
    samples, l2 = problem
    m, C = known.weight, span.gram

    def evaluate(point: Array, step: Array) -> Evaluation:
        rows = jnp.concatenate([point[:-1], step[:-1]], axis=1).T
        own, change = matmul(rows, C)[:, None]
        z, change = own + point[-1:], change + step[-1:]
        free = jnp.where(l2 == 0, z, point[-1:])
        seen = pointwise(samples, z, change, free, tol)
        dz = seen.dz.T / m
        penalty = l2 * jnp.sum(own.T * point[:-1]) / 2
        slope = jnp.sum(dz * change.T) + l2 * jnp.sum(own.T * step[:-1])
        return Evaluation(
            value=seen.loss / m + penalty,
            gradient=jnp.append(dz + l2 * point[:-1], dz.sum())[:, None],
            curvature=seen.dz2.T / m,
            slope=slope,
            n_moved=seen.n_moved,
            n_large_moves=seen.n_large_moves,
            separated=seen.n_not_separated == 0,
        )

    def direction(found: Evaluation) -> Direction:
        r, db = found.gradient[:-1], found.gradient[-1:]
        factor = dual_factor(found.curvature, C, l2)
        image = matmul(C, r)
        gamma, beta = factor.solve(-image, -db)
        step = (gamma - r) / factor.l2
        squared = -jnp.sum(image * step) - jnp.sum(db * beta)
        return Direction(
            vector=jnp.concatenate([step, beta]),
            decrement=jnp.sqrt(jnp.maximum(squared, 0)),
            singular=l2 == 0,
            solved=jnp.ones((), bool),
            factor=factor,
        )

    return Objective(evaluate, known.value_at_zero, tol, direction)


def dual_factor(curvature: Array, C: Array, l2: Array) -> DualFactor:
    """Return the inverse of the Hessian, from its curvature (m, 1) a sample."""
    root = jnp.sqrt(curvature)
    inner = root * C * root.T
    eps = float(np.finfo(C.dtype).eps)
    # With a penalty that is lost beside the curvature, a step of a slightly larger one
    # still goes down; without any the step must keep some digits.
    least = jnp.where(l2 == 0, eps**0.5, LOST_ROUNDINGS * eps)
    l2 = jnp.maximum(l2, least * (jnp.diagonal(inner).max() + eps))
    eye = jnp.eye(C.shape[0], dtype=C.dtype)
    return DualFactor(root=root, inner=factorize(inner + l2 * eye, 1), l2=l2)


def _start_in_span(
    solver: Solver,
    problem: Problem,
    span: DualBasis,
    init: Params | None,
    limits: Limits,
) -> Array:
    if init is not None:
        return span.start(init)
    return jnp.zeros((span.gram.shape[0] + 1, 1), span.gram.dtype)


def _end_in_span(
    solver: Solver,
    problem: Problem,
    span: DualBasis,
    begun: SolveState,
    init: Params | None,
    limits: Limits,
) -> Solution:
    (samples, l2), state = problem, begun.state
    params = span.params(state.point)
    if init is not None:
        # Without a step w has not moved, also where it is outside the span.
        params = where(state.steps > 0, params, init)
    J, slope = objective(params, samples, l2)
    # H is at least l2 in w and the curvature in b, which bounds the decrement. Should
    # roundings have parted the span from X, the precision does not suffice.
    curvature = state.evaluation.curvature.sum()
    bound = jnp.sum(slope.w**2) / l2 + jnp.sum(slope.b**2) / curvature
    parted = (state.status == Status.CONVERGED) & ~(bound <= limits.tol**2)
    evaluation = state.evaluation._replace(value=J, gradient=to_vector(slope))
    state = state._replace(
        evaluation=evaluation,
        status=jnp.where(parted, Status.SINGULAR, state.status).astype(jnp.int32),
    )
    return to_solution(state, params, state.direction.factor)


DUAL = Coordinates(
    share=lambda problem, penalties_differ: dual_basis(problem.samples),
    prepare=nothing,
    objective=lambda problem, known, span, own, tol: dual_objective(
        problem, known, span, tol
    ),
    start=_start_in_span,
    end=_end_in_span,
)

"""The dual formulation: m + 1 unknowns, for more features than samples.

With one penalty for all features the minimizer is a combination of the samples, w = Xc
alphaT with Xc = X - mean; equation (21) of docs/derivation.md. The unknowns alpha are
the coefficients of the representer theorem, not those of a Fenchel dual. Of X the cost
then needs only the Gram matrix C = XcT Xc (m, m). Centring keeps its digits where
features have a large mean, and changes nothing but the bias.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jlogreg.base.arrays import at_least, largest
from jlogreg.base.params import Params
from jlogreg.base.status import Status
from jlogreg.data.design import Design, matmul
from jlogreg.data.devices.spread import is_spread
from jlogreg.formulations.centering import Centering
from jlogreg.formulations.dual_basis import DualBasis, dual_basis, has_rows
from jlogreg.formulations.problem import (
    Formulation,
    Limits,
    Prepared,
    Problem,
    Solution,
    SolveState,
    rounding_decrement,
    solution_of,
    to_vector,
)
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss, log_loss_dz, log_loss_dz2
from jlogreg.objective.pointwise import pointwise
from jlogreg.solvers.cholesky import Factor, factorize
from jlogreg.solvers.driver import DenseObjective, Direction, Evaluation, Solver, where

__all__ = [
    "DUAL",
    "Dual",
    "DualFactor",
    "dual_applies",
    "dual_factor",
    "dual_objective",
]

# With at most this number of features the unknowns are those of the primal.
MIN_FEATURES = 64
# A penalty of at least this many roundings of the curvature differs from none. With a
# smaller one the factor would consist of roundings, and its steps would lead nowhere.
LOST_ROUNDINGS = 16


class DualFactor(NamedTuple):
    """The inverse of the Hessian, by the factor of an (m, m) matrix.

    Shapes: root (m, 1), the square root of the curvature; inner, the factor of
    l2 + root C rootT; l2 (); bias (), 1, or 0 where the bias stays 0.
    """

    root: Float[Array, "m 1"]
    inner: Factor
    l2: Float[Array, ""]
    bias: Float[Array, ""]

    def solve(self, right: Array, right_b: Array) -> tuple[Array, Array]:
        """Return gamma (m, c) and beta (1, c), equation (22) of docs/derivation.md.

        Shapes: right (m, c), right_b (1, c). They solve (l2 + S C) gamma =
        -S (right + l2 beta) and -sum(gamma) = right_b, with S = root^2.
        """
        ones = self.root * self.inner.solve(self.root)
        own = self.root * self.inner.solve(self.root * right)
        beta = (right_b - own.sum(axis=0, keepdims=True)) / (self.l2 * ones.sum())
        beta = self.bias * beta
        return -own - self.l2 * beta * ones, beta

    def inverse(self, basis: DualBasis, right: Float[Array, "n+1 c"]) -> Array:
        """Return the inverse of the primal Hessian times right."""
        # To centred features, and to their products with the samples.
        w, b = right[:-1], right[-1:]
        w = w - basis.mean * b
        gamma, beta = self.solve(basis.forward(w).T, b)
        # Back: w from gamma by equation (22), then the bias of the features.
        w = (w + basis.adjoint(gamma.T)) / self.l2
        return jnp.concatenate([w, beta - matmul(basis.mean.T, w)])


def dual_applies(X: Design, l2: Array) -> bool:
    """Return whether the dual formulation applies to a problem of these shapes.

    With few features the primal costs as little, and keeps the digits of small ones,
    which the Gram matrix of the samples loses. That matrix has pairs of samples, so it
    is not formed where they are spread over devices.
    """
    n, m = X.shape
    has_span = has_rows(X) and l2.ndim == 0 and not is_spread(X)
    return m < n > MIN_FEATURES and has_span


def dual_objective(
    problem: Problem, prepared: Prepared, basis: DualBasis, tol: Array
) -> DenseObjective:
    """Return the cost as a function of alpha (m) above b, for one penalty l2 ().

    The gradient has the coefficients r = dz / m + l2 alpha above db, so that dw is
    Xc rT.
    """
    samples, l2, bias = problem.samples, problem.l2, _bias(problem)
    m, C = prepared.total_weight, basis.gram

    def evaluate(point: Array, step: Array) -> Evaluation:
        # Logits z = alpha C + b of the point and the step, by one product with C.
        rows = jnp.concatenate([point[:-1], step[:-1]], axis=1).T
        own, change = matmul(rows, C)[:, None]
        z, change = own + point[-1:], change + step[-1:]
        free = jnp.where(l2 == 0, z, point[-1:])
        each = pointwise(samples, z, change, free, tol)
        # |w|^2 = alpha C alphaT.
        dz = each.dz.T / m
        penalty = l2 * jnp.sum(own.T * point[:-1]) / 2
        slope = jnp.sum(dz * change.T) + l2 * jnp.sum(own.T * step[:-1])
        return Evaluation(
            value=each.loss / m + penalty,
            gradient=jnp.append(dz + l2 * point[:-1], bias * dz.sum())[:, None],
            curvature=each.dz2.T / m,
            slope=slope,
            n_moved=each.n_moved,
            n_large_moves=each.n_large_moves,
            separated=each.n_not_separated == 0,
            rounding=rounding_decrement(each.pearson, m),
        )

    return DenseObjective(
        evaluate=evaluate,
        newton_direction=lambda evaluation, _: _newton_direction(
            evaluation, C, l2, bias
        ),
        value_at_zero=prepared.value_at_zero,
        tol=tol,
    )


def _bias(problem: Problem) -> Float[Array, ""]:
    """Return 1, or 0 where the bias stays 0."""
    if problem.free is None:
        return jnp.ones((), problem.l2.dtype)
    return problem.free[-1, 0]


def _newton_direction(
    evaluation: Evaluation, C: Array, l2: Array, bias: Array
) -> Direction:
    """Return the coefficients of -H^-1 g, by equation (22), and the decrement."""
    r, db = evaluation.gradient[:-1], evaluation.gradient[-1:]
    factor = dual_factor(evaluation.curvature, C, l2, bias)
    image = matmul(C, r)
    gamma, beta = factor.solve(-image, -db)
    step = (gamma - r) / factor.l2
    squared = -jnp.sum(image * step) - jnp.sum(db * beta)
    return Direction(
        vector=jnp.concatenate([step, beta]),
        decrement=jnp.sqrt(at_least(squared, 0)),
        singular=l2 == 0,
        solved=jnp.ones((), bool),
        inflation=jnp.zeros_like(squared),
        factor=factor,
    )


def dual_factor(curvature: Array, C: Array, l2: Array, bias: Array) -> DualFactor:
    """Return the inverse of the Hessian of a curvature (m, 1), a number per sample."""
    root = jnp.sqrt(curvature)
    inner = root * C * root.T
    eps = float(np.finfo(C.dtype).eps)
    # If the penalty is below the roundings of the curvature, a step with a slightly
    # larger one still goes down; without a penalty the step must keep some digits.
    least = jnp.where(l2 == 0, eps**0.5, LOST_ROUNDINGS * eps)
    l2 = at_least(l2, least * (largest(jnp.diagonal(inner)) + eps))
    eye = jnp.eye(C.shape[0], dtype=C.dtype)
    return DualFactor(root, factorize(inner + l2 * eye, 1), l2, bias)


class Dual:
    """The dual formulation; problems share the Gram matrix of the samples."""

    def shared(self, problem: Problem, penalties_differ: bool) -> DualBasis:
        """Return the basis of the samples that have a weight."""
        return dual_basis(problem)

    def own(self, problem: Problem, shared: DualBasis) -> None:
        """Return nothing."""

    def objective(
        self, problem: Problem, shared: DualBasis, prepared: Prepared, tol: Array
    ) -> DenseObjective:
        """Return the cost as a function of alpha above b."""
        return dual_objective(problem, prepared, shared, tol)

    def initial(
        self,
        solver: Solver,
        problem: Problem,
        shared: DualBasis,
        init: Params | None,
        limits: Limits,
    ) -> Float[Array, "m+1 1"]:
        """Return the coefficients of init, as far as it is in the span, or zero."""
        if init is not None:
            return shared.coefficients(init)
        return jnp.zeros((shared.gram.shape[0] + 1, 1), shared.gram.dtype)

    def finish(
        self,
        solver: Solver,
        problem: Problem,
        shared: DualBasis,
        solve: SolveState,
        init: Params | None,
        limits: Limits,
    ) -> Solution:
        """Return the solution, its cost and gradient computed from X itself.

        In centred unknowns, as the steps; equation (28).
        """
        state, l2, mean = solve.state, problem.l2, shared.mean
        centering = Centering(mean, None)
        params = shared.params(state.point)
        if init is not None:
            # Without a step w has not moved, also where it is outside the span.
            params = where(state.steps > 0, params, centering.to_centered(init))
        J, slope = self._value_and_gradient(problem, shared, params)
        # H is at least l2 in w and the curvature in b, which bounds the decrement. If
        # the gradient from X exceeds that bound, the precision does not suffice.
        curvature = state.evaluation.curvature.sum()
        bound = jnp.sum(slope.w**2) / l2 + jnp.sum(slope.b**2) / curvature
        lost = (state.status == Status.CONVERGED) & ~(bound <= limits.tol**2)
        evaluation = state.evaluation._replace(value=J, gradient=to_vector(slope))
        state = state._replace(
            evaluation=evaluation,
            status=jnp.where(lost, Status.SINGULAR, state.status).astype(jnp.int32),
        )
        solution = solution_of(state, params, state.direction.factor)
        return centering.solution(solution, init)

    def _value_and_gradient(
        self, problem: Problem, basis: DualBasis, params: Params
    ) -> tuple[Array, Params]:
        """Return the cost (8) and its gradient, (11) and (12), in centred unknowns."""
        samples, l2, m = problem.samples, problem.l2, problem.samples.total_weight()
        z = samples.add_offset(basis.forward(params.w) + params.b)
        J = samples.weighted(log_loss(FAST, z, samples.y)).sum() / m
        dz = samples.weighted(log_loss_dz(FAST, z, samples.y)) / m
        dw = basis.adjoint(dz) + l2 * params.w
        db = _bias(problem) * dz.sum(axis=1, keepdims=True)
        return J + l2 * jnp.sum(params.w * params.w) / 2, Params(w=dw, b=db)

    def inverse_hessian(
        self, problem: Problem, params: Params, factor: DualFactor | None
    ) -> Callable[[Array], Array]:
        """Return H^-1 at params, by the factor of an (m, m) matrix."""
        samples, basis = problem.samples, dual_basis(problem)
        if factor is None:
            s = samples.weighted(log_loss_dz2(FAST, samples.logits(params)))
            m = samples.total_weight()
            factor = dual_factor(s.T / m, basis.gram, problem.l2, _bias(problem))
        # With a factor that is given, the Gram matrix is not used, nor computed.
        return partial(factor.inverse, basis)


DUAL: Formulation = Dual()

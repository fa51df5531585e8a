"""Convex functions that have nothing to do with logistic regression, for solvers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jlogreg.solvers.cholesky import factorize
from jlogreg.solvers.driver import (
    DenseObjective,
    Direction,
    Evaluation,
    MatrixFreeObjective,
)

K = 5  # parameters
TOL = 1e-8


def positive_definite(seed, k=K):
    """Return a random matrix of a condition below 100, scaled to its size's roots."""
    random = np.random.default_rng(seed)
    Q = np.linalg.qr(random.standard_normal((k, k)))[0]
    return (Q * 10.0 ** random.uniform(-1, 1, k)) @ Q.T, random


class Toy:
    """A convex function.

    With x = A (p - c), kind 0 is 1 + 1/2 xT x, kind 1 one more than the sum of log cosh
    x, kind 2 of sqrt(1 + x^2). The 1 lets roundings be those of the value.
    """

    def __init__(self, kind, A, c):
        self.kind, self.A, self.c = kind, A, c

    def value(self, point):
        x = self.A @ (point - self.c)
        terms = [
            x**2 / 2,
            jnp.logaddexp(x, -x) - jnp.log(2.0),
            jnp.sqrt(1 + x**2) - 1,
        ]
        return 1 + jnp.stack(terms)[self.kind].sum()

    def evaluate(self, point, step):
        value, gradient = jax.value_and_grad(self.value)(point)
        return Evaluation(
            value=value,
            gradient=gradient,
            curvature=jax.hessian(self.value)(point)[:, 0, :, 0],
            slope=jnp.sum(gradient * step),
            n_moved=jnp.sum(jnp.abs(step) > TOL, dtype=value.dtype),
            n_large_moves=jnp.sum(jnp.abs(step) > 0.5, dtype=value.dtype),
            separated=jnp.zeros((), bool),
        )

    def newton_direction(self, evaluation):
        factor, g = factorize(evaluation.curvature), evaluation.gradient
        vector = -factor.solve(g)
        return Direction(
            vector=vector,
            decrement=jnp.sqrt(jnp.maximum(-jnp.sum(vector * g), 0)),
            singular=factor.singular,
            solved=jnp.ones((), bool),
            factor=factor,
        )

    def evaluate_or_multiply(self, vector, change, curvature, trying):
        """Do what a matrix-free objective does; the logits are the vector's entries."""
        evaluation = self.evaluate(vector, change.T)._replace(slope=jnp.zeros(()))
        times = jnp.where(trying, evaluation.gradient, curvature @ vector)
        return evaluation._replace(gradient=times), vector.T

    def objective(self, matrix_free):
        zero = self.value(jnp.zeros_like(self.c))
        if not matrix_free:
            return DenseObjective(self.evaluate, self.newton_direction, zero, TOL)
        return MatrixFreeObjective(
            evaluate=self.evaluate,
            evaluate_or_multiply=self.evaluate_or_multiply,
            precondition=lambda g: g,
            zero_logits=jnp.zeros((1, K)),
            singular=jnp.zeros((), bool),
            value_at_zero=zero,
            tol=TOL,
        )

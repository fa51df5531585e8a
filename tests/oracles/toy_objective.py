"""Convex functions that have nothing to do with logistic regression, for solvers."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jlogreg.solvers import driver
from jlogreg.solvers.cholesky import factorize

K = 5  # parameters
TOL = 1e-8


def positive_definite(seed, k=K):
    """Return a random matrix of a condition below 100, and the generator."""
    random = np.random.default_rng(seed)
    Q = np.linalg.qr(random.standard_normal((k, k)))[0]
    return (Q * 10.0 ** random.uniform(-1, 1, k)) @ Q.T, random


def conjugate_gradients(matrix, right, inverse):
    """Return the iterates of Nocedal and Wright's algorithm 5.3, and rT M^-1 r."""
    x, r = np.zeros_like(right), -right
    y = inverse @ r
    p, sizes, iterates = -y, [(r.T @ y).item()], [x]
    while sizes[-1] and len(iterates) <= len(right):
        step = sizes[-1] / (p.T @ matrix @ p).item()
        x, r = x + step * p, r + step * matrix @ p
        y = inverse @ r
        sizes.append((r.T @ y).item())
        p = -y + sizes[-1] / sizes[-2] * p
        iterates.append(x)
    return iterates, sizes


def evaluation(value, gradient, curvature=None, step=0.0, **known):
    """Return an evaluation whose logits are the entries of the point."""
    size, one = jnp.abs(step), jnp.asarray(value)
    counts = [jnp.sum(size > bound, dtype=one.dtype) for bound in (TOL, 0.5)]
    slope, no = jnp.sum(gradient * step), jnp.zeros((), bool)
    result = driver.Evaluation(one, gradient, curvature, slope, *counts, no, one * 0)
    return result._replace(**{key: jnp.asarray(known[key]) for key in known})


class Toy(NamedTuple):
    """A convex function of (K, 1).

    With x = A (p - c), kind 0 is 1 + 1/2 xT x, kind 1 one more than the sum of log cosh
    x, kind 2 of sqrt(1 + x^2) - 1, and kind 3, which has no minimum, of log(1 + e^x).
    The 1 lets roundings be those of the value.
    """

    kind: Any
    A: Any
    c: Any

    def value(self, point):
        x = self.A @ (point - self.c)
        terms = [
            x**2 / 2,
            jnp.logaddexp(x, -x) - jnp.log(2.0),
            jnp.sqrt(1 + x**2) - 1,
            jnp.logaddexp(x, 0.0),
        ]
        return 1 + jnp.stack(terms)[self.kind].sum()

    def gradient(self, point):
        return jax.grad(self.value)(point)

    def hessian(self, point):
        return jax.hessian(self.value)(point)[:, 0, :, 0]

    def evaluate(self, point, step):
        value, gradient = jax.value_and_grad(self.value)(point)
        return evaluation(value, gradient, self.hessian(point), step)

    def newton_direction(self, evaluation, inspected):
        factor, g = factorize(evaluation.curvature), evaluation.gradient
        vector = -factor.solve(g)
        decrement = jnp.sqrt(jnp.maximum(-jnp.sum(vector * g), 0))
        solved = jnp.ones((), bool)
        rest = (decrement, factor.singular, solved, 0 * decrement, factor)
        return driver.Direction(vector, *rest)

    def evaluate_or_multiply(self, vector, change, curvature, trying):
        """Do what a matrix-free objective does; the logits are the vector's entries."""
        evaluation = self.evaluate(vector, change.T)._replace(slope=jnp.zeros(()))
        times = jnp.where(trying, evaluation.gradient, curvature @ vector)
        return evaluation._replace(gradient=times), vector.T

    def evaluate_along(self, point, logits, step, searches):
        """Do what a matrix-free objective does, by Newton's step along the line."""
        end = point + step
        slope = jnp.sum(self.gradient(end) * step)
        factor = jnp.clip(1 - slope / jnp.sum(step * (self.hessian(end) @ step)), 0.05)
        factor = jnp.where(searches & jnp.isfinite(factor), factor, 1.0)
        result = self.evaluate(point + factor * step, factor * step)
        result = result._replace(curvature=jnp.zeros((1, 0)))
        return result, logits + factor * step.T, factor

    def objective(self, matrix_free, precondition=lambda g: g):
        zero = self.value(jnp.zeros_like(self.c))
        if not matrix_free:
            return driver.DenseObjective(
                self.evaluate, self.newton_direction, zero, TOL
            )
        return driver.MatrixFreeObjective(
            evaluate=self.evaluate,
            evaluate_or_multiply=self.evaluate_or_multiply,
            evaluate_along=self.evaluate_along,
            precondition=precondition,
            zero_logits=jnp.zeros((1, K)),
            singular=factorize(self.A.T @ self.A).singular,
            value_at_zero=zero,
            tol=TOL,
        )


def make_toy(seed, kind):
    """Return a toy, and a start where it is not yet flat."""
    random = np.random.default_rng(seed)
    Q = np.linalg.qr(random.standard_normal((K, K)))[0]
    A = (Q * 10.0 ** random.uniform(-0.4, 0.4, K)) @ Q.T
    c, x = random.uniform(-2, 2, (K, 1)), random.uniform(-3, 3, (K, 1))
    return Toy(kind, A, c), c + np.linalg.solve(A, x)


class Step(NamedTuple):
    """The states before and after a step, and the passes that it took."""

    before: driver.State
    after: driver.State
    passes: int


def take_steps(one_pass, state, max_steps=2000):
    """Yield the steps of a solver until it has ended, the evaluation of the start too.

    one_pass maps a state to the next.
    """
    while state.status == driver.RUNNING and state.steps < max_steps:
        before, passes = state, 0
        while state.steps == before.steps:
            state, passes = one_pass(state), passes + 1
            assert passes < 100, "a step without end"
        assert state.steps == before.steps + 1
        yield Step(before, state, passes)

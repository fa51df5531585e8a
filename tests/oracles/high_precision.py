"""Fit to 60 digits: Newton's method on equation (8) of docs/derivation.md, in mpmath.

It shares no code with jlogreg, starts from the exact values of the data, and its result
depends on the data alone. Arrays are NumPy's, of mpmath's numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from mpmath import mp, mpf

__all__ = [
    "WORKING",
    "Exact",
    "State",
    "big",
    "exact",
    "exact_minimum",
    "exp",
    "inverse_hessian",
    "root",
]

WORKING = 60  # digits computed with
ROUNDINGS = mpf(10) ** (10 - WORKING)
# A whole step that moves no logit by more is the last: the next would be its square.
LAST_MOVE = mpf(10) ** -28
LAST_SLOPE = mpf(10) ** -52
MAX_STEPS = 60

big = np.frompyfunc(lambda number: mpf(float(number)), 1, 1)
exp = np.frompyfunc(mp.exp, 1, 1)
log1p = np.frompyfunc(mp.log1p, 1, 1)
root = np.frompyfunc(mp.sqrt, 1, 1)


class Exact(NamedTuple):
    """A problem without its samples of weight 0, and a last feature of ones.

    Shapes: rows (n + 1, m); y, weight and offset (m,), the weights divided by their
    sum; l2 (n + 1,), 0 for the bias. A number in the middle of each row, and of the
    offset, is taken from it, which only moves the bias: center (n + 1,), the offset's
    last.
    """

    rows: Any
    y: Any
    weight: Any
    offset: Any
    l2: Any
    center: Any

    def moved(self, theta: Any, sign: int) -> Any:
        """Return parameters (n + 1,) for centred rows, or with -1 for given ones."""
        shift = theta[:-1] @ self.center[:-1] + self.center[-1]
        return np.append(theta[:-1], theta[-1] + sign * shift)


class State(NamedTuple):
    """The parameters (n + 1,), their cost and its gradient, and derivatives (m,)."""

    theta: Any
    J: Any
    gradient: Any
    dz: Any
    dz2: Any


def exact(problem: Any) -> Exact:
    """Return a problem with X, y, l2, and weight and offset, which may be None."""
    n, m = problem.X.shape
    weight = np.ones((1, m)) if problem.weight is None else problem.weight
    offset = np.zeros((1, m)) if problem.offset is None else problem.offset
    kept = np.asarray(weight)[0] != 0
    rows = np.vstack([problem.X, np.ones((1, m)), problem.y, weight, offset])
    *rows, y, weight, offset = big(rows[:, kept])
    l2 = np.append(np.broadcast_to(problem.l2, (n, 1)), 0.0)
    *features, ones = rows
    center = np.array([sorted(row)[len(row) // 2] for row in (*features, offset)])
    rows = np.array([*(x - c for x, c in zip(features, center, strict=False)), ones])
    offset = offset - center[-1]
    return Exact(rows, y, weight / weight.sum(), offset, big(l2), center)


def evaluate(theta: Any, data: Exact) -> State:
    z = theta @ data.rows + data.offset
    a, q = 1 / (1 + exp(-z)), 1 / (1 + exp(z))
    losses = data.y * log1p(exp(-z)) + (1 - data.y) * log1p(exp(z))
    J = (data.weight * losses).sum() + (data.l2 * theta**2).sum() / 2
    dz = (1 - data.y) * a - data.y * q
    gradient = data.rows @ (data.weight * dz) + data.l2 * theta
    return State(theta, J, gradient, dz, a * q)


def scaled_hessian(state: State, data: Exact) -> tuple[Any, Any]:
    """Return the Hessian with ones on its diagonal, and what scales it so."""
    H = (data.rows * (data.weight * state.dz2)) @ data.rows.T + np.diag(data.l2)
    scale = 1 / root(np.diag(H))
    return mp.matrix((H * scale * scale[:, None]).tolist()), scale


def inverse_hessian(state: State, data: Exact) -> Any:
    unit, scale = scaled_hessian(state, data)
    inverse = np.reshape(list(mp.inverse(unit)), (len(scale), len(scale)))
    return inverse * scale * scale[:, None]


def exact_minimum(problem: Any, near: Any = None) -> State:
    """Return the minimum, by Newton's method from zero with halved steps.

    near: (n + 1,), where to start instead.

    Raises:
        ArithmeticError: the steps do not become small, or the gradient does not.
    """
    with mp.workdps(WORKING):
        data = exact(problem)
        start = np.zeros(len(data.rows)) if near is None else np.array(near, float)
        state = evaluate(data.moved(big(start), 1), data)
        for _ in range(MAX_STEPS):
            unit, scale = scaled_hessian(state, data)
            right = mp.matrix(list(scale * state.gradient))
            step = scale * list(mp.cholesky_solve(unit, right))
            moved = max(abs(step @ data.rows)) + root((data.l2 * step**2).sum())
            if moved < LAST_MOVE:
                state = evaluate(state.theta - step, data)
                check_gradient(state, data)
                return state._replace(theta=data.moved(state.theta, -1))
            state = descend(state, step, data)
    raise ArithmeticError(f"no convergence in {MAX_STEPS} steps")


def descend(state: State, step: Any, data: Exact) -> State:
    """Return the state after the step, halved until the cost does not rise."""
    for halvings in range(MAX_STEPS):
        tried = evaluate(state.theta - step / 2**halvings, data)
        if tried.J <= state.J * (1 + ROUNDINGS):
            return tried
    raise ArithmeticError("no step lowers the cost")


def check_gradient(state: State, data: Exact) -> None:
    """Raise if the gradient is not 0 next to its terms, and to roundings of logits."""
    sizes = abs(data.rows)
    size_z = abs(state.theta) @ sizes + abs(data.offset)
    size = sizes @ (data.weight * (abs(state.dz) + state.dz2 * size_z))
    size += data.l2 * abs(state.theta)
    if any(abs(state.gradient) > LAST_SLOPE * size):
        raise ArithmeticError(f"the gradient is {state.gradient.astype(float)}")

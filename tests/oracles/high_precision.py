"""Fit to 60 digits: Newton's method on equation (8) of docs/derivation.md, in mpmath.

It shares no code with jlogreg, starts from the exact values of the float64 data, and
its result depends on the data alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from mpmath import mp, mpf

WORKING = 60  # digits computed with
LAST_STEP = mpf(10) ** -52
MAX_STEPS = 60


class Exact(NamedTuple):
    """A problem in mpmath's numbers, with the bias as a last feature of ones.

    rows are n + 1 lists of m numbers, columns the same transposed; weight is divided
    by the sum of the weights; l2 has n + 1 numbers, 0 for the bias.
    """

    rows: list[list[mpf]]
    columns: list[tuple[mpf, ...]]
    y: list[mpf]
    weight: list[mpf]
    offset: list[mpf]
    l2: list[mpf]


class State(NamedTuple):
    """The parameters, their cost, and each sample's terms of the derivatives."""

    theta: list[mpf]
    J: mpf
    dz: list[mpf]
    dz2: list[mpf]


def exact(problem: Any) -> Exact:
    n, m = problem.X.shape
    rows = [numbers(row) for row in problem.X] + [m * [mpf(1)]]
    weight = m * [mpf(1)] if problem.weight is None else numbers(problem.weight)
    return Exact(
        rows=rows,
        columns=list(zip(*rows, strict=True)),
        y=numbers(problem.y),
        weight=[v / mp.fsum(weight) for v in weight],
        offset=m * [mpf(0)] if problem.offset is None else numbers(problem.offset),
        l2=[*numbers(np.broadcast_to(problem.l2, (n, 1))), mpf(0)],
    )


def numbers(array: np.ndarray) -> list[mpf]:
    return [mpf(number) for number in array.ravel().tolist()]


def evaluate(theta: list[mpf], data: Exact) -> State:
    J, dz, dz2 = mpf(0), [], []
    samples = zip(data.columns, data.y, data.weight, data.offset, strict=True)
    for x, y, v, offset in samples:
        z = mp.fdot(theta, x) + offset
        a, q = 1 / (1 + mp.exp(-z)), 1 / (1 + mp.exp(z))
        J += v * (y * mp.log1p(mp.exp(-z)) + (1 - y) * mp.log1p(mp.exp(z)))
        dz.append(v * ((1 - y) * a - y * q))
        dz2.append(v * a * q)
    J += mp.fsum(l2 * t * t for l2, t in zip(data.l2, theta, strict=True)) / 2
    return State(theta, J, dz, dz2)


def gradient(state: State, data: Exact) -> list[mpf]:
    terms = zip(data.rows, data.l2, state.theta, strict=True)
    return [mp.fdot(row, state.dz) + l2 * t for row, l2, t in terms]


def hessian(state: State, data: Exact) -> Any:
    result = mp.diag(data.l2)
    for j, row in enumerate(data.rows):
        scaled = [x * c for x, c in zip(row, state.dz2, strict=True)]
        for k in range(j + 1):
            result[j, k] += mp.fdot(scaled, data.rows[k])
            result[k, j] = result[j, k]
    return result


def exact_minimum(problem: Any) -> State:
    """Return the minimum, by Newton's method from zero with halved steps.

    Raises:
        ArithmeticError: the steps do not become small, or the gradient does not.
    """
    with mp.workdps(WORKING):
        data = exact(problem)
        state = evaluate(len(data.rows) * [mpf(0)], data)
        for _ in range(MAX_STEPS):
            slope = mp.matrix(gradient(state, data))
            step = list(mp.cholesky_solve(hessian(state, data), slope))
            state = descend(state, step, data)
            if small(step, state.theta):
                check_gradient(state, data)
                return state
    raise ArithmeticError(f"no convergence in {MAX_STEPS} steps")


def small(step: list[mpf], theta: list[mpf]) -> bool:
    pairs = zip(step, theta, strict=True)
    return all(abs(s) <= LAST_STEP * abs(t) for s, t in pairs)


def descend(state: State, step: list[mpf], data: Exact) -> State:
    """Return the state after the step, halved until the cost does not rise."""
    rounding = state.J * mpf(10) ** (4 - WORKING)
    for halvings in range(MAX_STEPS):
        pairs = zip(state.theta, step, strict=True)
        tried = evaluate([t - s / 2**halvings for t, s in pairs], data)
        rise = tried.J - state.J
        if rise <= rounding:
            return tried
    raise ArithmeticError("no step lowers the cost")


def check_gradient(state: State, data: Exact) -> None:
    """Raise if the gradient is not 0 next to the terms that it is the sum of."""
    slope = gradient(state, data)
    for row, l2, t, found in zip(data.rows, data.l2, state.theta, slope, strict=True):
        size = mp.fdot(map(abs, row), map(abs, state.dz)) + abs(l2 * t)
        if abs(found) > LAST_STEP * size:
            raise ArithmeticError(f"gradient {mp.nstr(found)} of {mp.nstr(size)}")

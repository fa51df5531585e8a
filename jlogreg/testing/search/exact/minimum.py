"""The minimum of a cost, by Newton's method in ball arithmetic of many hundred bits.

A ball is a number and a bound on its error, so that the last step is known to be small.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jlogreg.testing.search.exact.separation import flint_module

__all__ = ["Minimum", "find_minimum"]

# Bits of the first attempt; each other attempt has twice as many.
FIRST_BITS, MOST_BITS = 384, 6144
MAX_STEPS = 3000
# The last step moves no logit by more.
LAST_MOVE = 2.0**-100


class Minimum(NamedTuple):
    """The minimum, rounded to double precision.

    Shapes: w (n,), b (); z (m,), the logits; amplification (m,): the change of each
    logit, in units of eps, where each term of each sum over the samples is off by eps
    of its size. condition is that of the Hessian with centered features and a diagonal
    of 1; raw_condition, that with the features as they are.
    """

    w: Any
    b: float
    z: Any
    amplification: Any
    condition: float
    raw_condition: float


class _Data(NamedTuple):
    """Centered rows, scaled by powers of 2, above a row of ones; all in balls.

    A (k, m); y, weight and offset are lists of m, the weights of sum 1; ridge of k.
    """

    A: Any
    y: list[Any]
    weight: list[Any]
    offset: Any
    ridge: list[Any]
    scale: list[Any]
    mean: list[Any]


class _Point(NamedTuple):
    """theta (k, 1), logits (m, 1), dz and s = a (1 - a) as lists, and H^-1 at theta.

    gradient (k, 1). unit is the Hessian with its diagonal scaled to 1 by `root`,
    inverse its inverse.
    """

    theta: Any
    z: Any
    dz: list[Any]
    s: list[Any]
    gradient: Any
    unit: Any
    inverse: Any
    root: list[Any]


def find_minimum(X: Any, y: Any, weight: Any, offset: Any, l2: Any) -> Minimum:
    """Return the minimum of a cost that has one, and only one.

    Shapes: X (n, m); y, weight and offset (m,), each weight above 0; l2 (n,).

    Raises:
        ArithmeticError: if no minimum is found with 6144 bits.
    """
    bits = FIRST_BITS
    while bits <= MOST_BITS:
        with flint_module().ctx.workprec(bits):
            data = _exact(X, y, weight, offset, l2)
            point = _newton(data)
            if point is not None:
                return _rounded(data, point)
        bits *= 2
    raise ArithmeticError(f"no minimum was found with {MOST_BITS} bits")


def _exact(X: Any, y: Any, weight: Any, offset: Any, l2: Any) -> _Data:
    flint = flint_module()
    arb = flint.arb
    total = sum(map(arb, weight.tolist()), arb(0))
    v = [arb(x) / total for x in weight.tolist()]
    rows, scales, means = [], [], []
    for row in X.tolist():
        largest = max(map(abs, row))
        scale = arb(2.0 ** int(np.floor(np.log2(largest))) if largest else 1.0)
        mean = sum((a * x for a, x in zip(v, row, strict=True)), arb(0)).mid()
        rows.append([(x - mean) / scale for x in row])
        scales.append(scale)
        means.append(mean)
    ridge = [arb(x) / scale**2 for x, scale in zip(l2.tolist(), scales, strict=True)]
    return _Data(
        A=flint.arb_mat([*rows, [arb(1)] * len(v)]),
        y=[arb(x) for x in y.tolist()],
        weight=v,
        offset=flint.arb_mat([[x] for x in offset.tolist()]),
        ridge=[*ridge, arb(0)],
        scale=scales,
        mean=means,
    )


def _newton(data: _Data) -> _Point | None:
    """Return the minimum, or None if there are too few bits.

    A step d is multiplied by log(1 + c) / c, with c the largest change of a logit. Then
    the cost falls from any start, since the third derivative of a loss is at most its
    second (Sun and Tran-Dinh, Generalized self-concordant functions, 2019, theorem 2).
    A minimum may be thousands of logits away; so steps become longer while the cost
    still falls at their end.
    """
    theta = flint_module().arb_mat(data.A.nrows(), 1)
    stretch = 1
    try:
        point = _look(data, theta)
        for _ in range(MAX_STEPS):
            step = _step(point)
            moves = (data.A.transpose() * step).entries()
            move = max(abs(x).upper() for x in moves)
            if move < LAST_MOVE:
                return point
            if not _is_known(moves):
                return None
            size = ((1 + move).log() / move).mid()
            trial = _look(data, (point.theta - step * (stretch * size)).mid())
            if stretch > 1 and not _slope_along(step, trial) > 0:
                stretch = 1
                trial = _look(data, (point.theta - step * size).mid())
            elif move > 0.5:
                stretch *= 2
            point = trial
    except ZeroDivisionError:
        return None
    raise ArithmeticError(f"no minimum was found in {MAX_STEPS} steps")


def _is_known(moves: list[Any]) -> bool:
    """Return whether numbers are known to a few bits, or are too small to matter."""
    return all(
        x.is_finite() and x.rad() < abs(x.mid()) / 2 + LAST_MOVE / 4 for x in moves
    )


def _slope_along(step: Any, point: _Point) -> Any:
    return (step.transpose() * point.gradient)[0, 0]


def _look(data: _Data, theta: Any) -> _Point:
    """Return what Newton's method needs at theta.

    Raises:
        ZeroDivisionError: if the Hessian is singular to the precision.
    """
    arb_mat = flint_module().arb_mat
    k = data.A.nrows()
    z = data.A.transpose() * theta + data.offset
    dz, s = [], []
    for logit, label in zip(z.entries(), data.y, strict=True):
        e = (-abs(logit)).exp()
        likely, rest = 1 / (1 + e), e / (1 + e)
        a, q = (likely, rest) if logit.mid() >= 0 else (rest, likely)
        dz.append((1 - label) * a - label * q)
        s.append(likely * rest)
    curvature = [v * x for v, x in zip(data.weight, s, strict=True)]
    rows = data.A.tolist()
    weighted = [[c * x for c, x in zip(curvature, row, strict=True)] for row in rows]
    H = (data.A * arb_mat(weighted).transpose()).tolist()
    for j in range(k):
        H[j][j] += data.ridge[j]
    unit, root = _unit(H)
    terms = [[v * x] for v, x in zip(data.weight, dz, strict=True)]
    ridge = [[r * t] for r, t in zip(data.ridge, theta.entries(), strict=True)]
    gradient = data.A * arb_mat(terms) + arb_mat(ridge)
    return _Point(theta, z, dz, s, gradient, unit, unit.inv(), root)


def _unit(H: list[list[Any]]) -> tuple[Any, list[Any]]:
    """Return a matrix with its diagonal scaled to 1, and the roots that scale it."""
    k = range(len(H))
    root = [H[j][j].mid().sqrt().mid() for j in k]
    scaled = [[H[i][j] / (root[i] * root[j]) for j in k] for i in k]
    return flint_module().arb_mat(scaled), root


def _step(point: _Point) -> Any:
    """Return H^-1 g, (k, 1)."""
    arb_mat = flint_module().arb_mat
    both = zip(point.gradient.entries(), point.root, strict=True)
    scaled = point.inverse * arb_mat([[g / c] for g, c in both])
    both = zip(scaled.entries(), point.root, strict=True)
    return arb_mat([[x / c] for x, c in both])


def _rounded(data: _Data, point: _Point) -> Minimum:
    arb_mat = flint_module().arb_mat
    *theta, bias = point.theta.entries()
    w = [t / c for t, c in zip(theta, data.scale, strict=True)]
    b = bias - sum((x * mean for x, mean in zip(w, data.mean, strict=True)), bias * 0)
    # The change of each logit by a change of the gradient: A^T H^-1.
    both = zip(data.A.tolist(), point.root, strict=True)
    scaled = [[x / c for x in row] for row, c in both]
    response = _floats(arb_mat(scaled).transpose() * point.inverse)
    root, A = _floats(point.root), _floats(data.A)
    t, offset = np.abs(_floats(point.theta)[:, 0]), np.abs(_floats(data.offset)[:, 0])
    v, dz, s = _floats(data.weight), np.abs(_floats(point.dz)), _floats(point.s)
    slope = np.abs(A) @ (v * (dz + s * (t @ np.abs(A) + offset)))
    slope += _floats(data.ridge) * t
    change = np.abs(response / root) @ slope
    return Minimum(
        _floats(w),
        float(b),
        _floats(point.z)[:, 0],
        change,
        _condition(point.unit, point.inverse),
        _raw_condition(data, point),
    )


def _raw_condition(data: _Data, point: _Point) -> float:
    """Return the condition of the Hessian with the means added to the rows again."""
    arb_mat = flint_module().arb_mat
    k = data.A.nrows()
    unit, root = point.unit.tolist(), point.root
    H = [[unit[i][j] * root[i] * root[j] for j in range(k)] for i in range(k)]
    # The penalties are of w, which centering does not change.
    T = [[int(i == j) for j in range(k)] for i in range(k)]
    for j, (mean, scale) in enumerate(zip(data.mean, data.scale, strict=True)):
        T[j][-1] = mean / scale
        H[j][j] -= data.ridge[j]
    raw = (arb_mat(T) * arb_mat(H) * arb_mat(T).transpose()).tolist()
    for j, ridge in enumerate(data.ridge):
        raw[j][j] += ridge
    matrix, _ = _unit(raw)
    return _condition(matrix, matrix.inv())


def _condition(unit: Any, inverse: Any) -> float:
    """Return the condition of a matrix, whose inverse was computed to many digits."""
    both = [_floats(matrix) for matrix in (unit, inverse)]
    if not all(np.isfinite(matrix).all() for matrix in both):
        return np.inf  # an entry of the inverse is beyond the largest float
    return float(np.prod([np.linalg.eigvalsh(matrix)[-1] for matrix in both]))


def _floats(balls: Any) -> Any:
    """Return a list or a matrix of balls as an array."""
    if isinstance(balls, list):
        return np.array([float(ball) for ball in balls])
    return np.array([[float(ball) for ball in row] for row in balls.tolist()])

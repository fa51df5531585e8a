"""The check of a solver, by problems with a known minimum and problems without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jlogreg.base.params import Params
from jlogreg.base.status import Status
from jlogreg.testing.assertions import assert_close
from jlogreg.testing.problems import Kind, Problem, make_problem

__all__ = ["check_solver", "solvable", "unsolvable"]

TALL, WIDE = (3, 20), (12, 6)


def check_solver(
    fit: Callable[..., Any], *, dtype: Any = np.float32, tol: float | None = None
) -> None:
    """Raise an AssertionError unless a fit finds minima, and claims success only then.

    It is called as fit(X, y, weight, offset, l2) and returns Params(w, b), or a result
    with `params` and a `status`, which is 0 if it claims success. It must minimize
    J = sum(weight log_loss(z, y)) / sum(weight) + l2 / 2 |w|^2, z = wT X + b + offset.

    The problems have n = 3 features and m = 20 samples or, with a penalty, n = 12 and
    m = 6. Some have soft labels such that the minimum is known in closed form, with and
    without weights, offset and penalty, and one is ill-scaled. Others have labels of 0
    and 1, with weights and offset, one of them separable with a penalty; their minimum
    is computed by Newton's method in float64. For these problems the fit must claim
    success, its logits must be those of the minimum, its gradient must be near 0 to the
    same tolerance, and its cost at most that of its start. Problems without a minimum
    are separable, quasi-separable or of one class. For these it must not claim success,
    if it has a status.

    Shapes: X (n, m); y, weight and offset (1, m); l2 (); w (n, 1); b (1, 1). All are
    copies, as NumPy arrays: a fit may change them.

    Args:
        fit: the fit to check. Jit it: there are only two shapes.
        dtype: of the problems.
        tol: the allowed difference of each logit z from that of the minimum, relative
            to 1 + |z|; by default four times the square root of the dtype's eps, since
            the cost does not change within it.

    Raises:
        AssertionError: if the fit is wrong, or its claim.

    Examples:
        >>> import jax
        >>> from jlogreg import fit
        >>> from jlogreg.testing import check_solver
        >>> def mine(X, y, weight, offset, l2):
        ...     return fit(X, y, weight=weight, offset=offset, l2=l2)
        >>> check_solver(jax.jit(mine))
        >>> check_solver(lambda *data: jax.jit(mine)(*data)._replace(status=0))
        Traceback (most recent call last):
            ...
        AssertionError: separable: the fit claims success, but there is no minimum
    """
    tol = 4 * float(np.finfo(dtype).eps) ** 0.5 if tol is None else tol
    for name, problem in solvable(dtype):
        result = fit(*map(np.copy, problem[1:]))
        if not _claims(result):
            raise AssertionError(
                f"{name}: the fit claims no success (status {_status(result)}), but "
                "there is a minimum"
            )
        _at_minimum(name, _params(result), problem, tol)
    for name, problem in unsolvable(dtype):
        result = fit(*map(np.copy, problem[1:]))
        if hasattr(result, "status") and _claims(result):
            raise AssertionError(
                f"{name}: the fit claims success, but there is no minimum"
            )


def solvable(dtype: Any) -> list[tuple[str, Problem]]:
    """Return problems with their names; each has its minimum as params."""
    made = {
        "soft labels": ((Kind.SOFT_LABELS, TALL), 0.0, False),
        "weights and an offset": ((Kind.WEIGHTED, TALL), 0.0, True),
        "ill-scaled": ((Kind.ILL_SCALED, TALL), 0.0, False),
        "a penalty": ((Kind.PLAIN, TALL), 0.1, True),
        "more features than samples": ((Kind.PLAIN, WIDE), 0.5, True),
    }
    drawn = {
        "labels of 0 and 1": ((Kind.WELL_POSED, TALL), 0.0),
        "separable, with a penalty": ((Kind.SEPARABLE, TALL), 0.1),
    }
    return [
        *((name, _known(*row, dtype)) for name, row in made.items()),
        *((name, _solved(*row, dtype)) for name, row in drawn.items()),
    ]


def unsolvable(dtype: Any) -> list[tuple[str, Problem]]:
    """Return problems without a minimum, with their names."""
    kinds = (Kind.SEPARABLE, Kind.QUASI_SEPARABLE, Kind.ONE_CLASS)
    return [(str(kind), make_problem(kind, TALL, dtype, seed=1)) for kind in kinds]


def _known(
    kind: tuple[Kind, tuple[int, int]], l2: float, weighted: bool, dtype: Any
) -> Problem:
    """Return a problem with labels chosen such that its params are the minimum.

    Without a penalty the gradient is 0 if each label is its probability, y = a. With a
    penalty choose residuals r = a - y with a weighted mean of 0; then dw =
    X (weight r)T / sum(weight) + l2 w is 0 at w = -X (weight r)T / sum(weight) / l2.
    """
    drawn = make_problem(*kind, dtype, seed=5, l2=l2, weighted=weighted)
    X, _, weight, offset, _ = (np.asarray(array, float) for array in drawn[1:])
    part = weight / weight.sum()
    residual = np.zeros_like(part)
    w, b = (np.asarray(leaf, float) for leaf in drawn.params)
    if l2:
        residual = np.random.default_rng(6).uniform(-0.1, 0.1, part.shape)
        residual -= np.sum(part * residual)
        w = -X @ (part * residual).T / l2
    else:  # logits of moderate size in any units
        w = w / np.abs(X).max(axis=1, keepdims=True)
    y = _sigmoid(w.T @ X + b + offset) - residual
    minimum: Any = (w, b)
    return drawn._replace(params=Params(*minimum), y=y.astype(dtype))


def _solved(kind: tuple[Kind, tuple[int, int]], l2: float, dtype: Any) -> Problem:
    """Return a problem with its minimum, by Newton's method in float64 from 0."""
    problem = make_problem(*kind, dtype, seed=2, l2=l2, weighted=True)
    X, y, weight, offset, penalty = (np.asarray(part, float) for part in problem[1:])
    part, rows = weight / weight.sum(), np.vstack([X, np.ones_like(y)])
    ridge = penalty * np.diag([1.0] * len(X) + [0.0])
    wb = np.zeros((len(rows), 1))
    for _ in range(20):  # gradient, then Hessian X diag(v a (1 - a)) XT + l2 I
        a = _sigmoid(wb.T @ rows + offset)
        slope = rows @ (part * (a - y)).T + ridge @ wb
        wb -= np.linalg.solve(rows * (part * a * (1 - a)) @ rows.T + ridge, slope)
    minimum: Any = (wb[:-1], wb[-1:])
    return problem._replace(params=Params(*minimum))


def _sigmoid(z: Any) -> Any:
    return 0.5 * (1 + np.tanh(z / 2))


def _status(result: Any) -> int:
    return int(getattr(result, "status", Status.CONVERGED))


def _claims(result: Any) -> bool:
    return _status(result) == Status.CONVERGED


def _params(result: Any) -> Params:
    params = getattr(result, "params", result)
    leaves: Any = (np.asarray(leaf, float) for leaf in params)
    return Params(*leaves)


def _at_minimum(name: str, params: Params, problem: Problem, tol: float) -> None:
    """Assert that parameters are the minimum, by the formulas in float64."""
    shapes = [leaf.shape for leaf in problem.params]
    result = [leaf.shape for leaf in params]
    if result != shapes:
        raise AssertionError(f"{name}: w and b have shapes {result}, expected {shapes}")
    X, y, weight, offset, l2 = (np.asarray(array, float) for array in problem[1:])
    part = weight / weight.sum()

    def logits(params: Params) -> Any:
        return params.w.T @ X + params.b + offset

    def cost(params: Params) -> float:
        z = logits(params)
        losses = np.logaddexp(0, z) - y * z
        return float(np.sum(part * losses) + l2 * np.sum(params.w**2) / 2)

    z, expected = logits(params), logits(problem.params)
    size = tol * (1 + np.abs(expected))
    assert_close(z, expected, size, f"{name}: the logits, ")
    slope = X @ (part * (_sigmoid(z) - y)).T + l2 * params.w
    allowed = np.abs(X) @ (part * size).T + l2 * np.abs(params.w) * tol
    assert_close(slope, 0 * slope, allowed, f"{name}: the gradient in w, ")
    start = Params(0 * params.w, 0 * params.b)
    if not cost(params) <= cost(start):
        raise AssertionError(
            f"{name}: the cost is {cost(params)!r}, at the start {cost(start)!r}"
        )

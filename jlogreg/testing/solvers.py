"""Hold a fit to problems whose minimum is known, and to those that have none."""

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
    """Raise an AssertionError unless a fit finds minima, and says so only then.

    It is called as fit(X, y, weight, offset, l2) and returns Params(w, b), or what has
    them as `params` and a `status`, 0 where it claims success. What is to be minimal is
    J = sum(weight log_loss(z, y)) / sum(weight) + l2 / 2 |w|^2, z = wT X + b + offset.
    The problems have n = 3 features and m = 20 samples or, with a penalty, n = 12 and
    m = 6: soft labels, made so that the minimum is known in closed form, with and
    without weights, offset and penalty, ill-scaled too; and labels of 0 and 1, with
    weights and offset, and separated ones with a penalty, whose minimum Newton's method
    finds in float64. There it must claim success, its logits must be those of the
    minimum, its gradient as near to 0, and its cost at most that of its start. Where
    there is no minimum (a plane separates the labels, all or some, or there is one
    class) it must claim none, if it has a status. It must never claim NaN.

    Shapes: X (n, m); y, weight and offset (1, m); l2 (); w (n, 1); b (1, 1). All are
    NumPy arrays, and copies: a fit may change them.

    Args:
        fit: what is tested. Jit it: there are two shapes.
        dtype: of the problems.
        tol: how far each logit z may be from that of the minimum, over 1 + |z|; by
            default four times the square root of the dtype's rounding, since closer by
            the cost does not change.

    Raises:
        AssertionError: the fit is wrong, or claims what is not so.

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
        found = fit(*map(np.copy, problem[1:]))
        if not _claims(found):
            raise AssertionError(
                f"{name}: the fit claims no success (status {_status(found)}), but "
                "there is a minimum"
            )
        _at_minimum(name, _params(found), problem, tol)
    for name, problem in unsolvable(dtype):
        found = fit(*map(np.copy, problem[1:]))
        if hasattr(found, "status") and _claims(found):
            raise AssertionError(
                f"{name}: the fit claims success, but there is no minimum"
            )


def solvable(dtype: Any) -> list[tuple[str, Problem]]:
    """Return problems that have a minimum, their params."""
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
    """Return problems that have none."""
    kinds = (Kind.SEPARABLE, Kind.QUASI_SEPARABLE, Kind.ONE_CLASS)
    return [(str(kind), make_problem(kind, TALL, dtype, seed=1)) for kind in kinds]


def _known(
    kind: tuple[Kind, tuple[int, int]], l2: float, weighted: bool, dtype: Any
) -> Problem:
    """Return a problem whose labels are such that its params are the minimum.

    Without a penalty the gradient is 0 where each label is its probability, y = a. With
    one choose what is left, r = a - y, so that its weighted mean is 0; then dw =
    X (weight r)T / sum(weight) + l2 w is 0 at w = -X (weight r)T / sum(weight) / l2.
    """
    drawn = make_problem(*kind, dtype, seed=5, l2=l2, weighted=weighted)
    X, _, weight, offset, _ = (np.asarray(array, float) for array in drawn[1:])
    part = weight / weight.sum()
    left = np.zeros_like(part)
    w, b = (np.asarray(leaf, float) for leaf in drawn.params)
    if l2:
        left = np.random.default_rng(6).uniform(-0.1, 0.1, part.shape)
        left -= np.sum(part * left)
        w = -X @ (part * left).T / l2
    else:  # logits of moderate size in any units
        w = w / np.abs(X).max(axis=1, keepdims=True)
    y = _sigmoid(w.T @ X + b + offset) - left
    minimum: Any = (w, b)
    return drawn._replace(params=Params(*minimum), y=y.astype(dtype))


def _solved(kind: tuple[Kind, tuple[int, int]], l2: float, dtype: Any) -> Problem:
    """Return a problem with its minimum: Newton's method, in float64, from 0."""
    problem = make_problem(*kind, dtype, seed=2, l2=l2, weighted=True)
    X, y, weight, offset, penalty = (np.asarray(part, float) for part in problem[1:])
    part, rows = weight / weight.sum(), np.vstack([X, np.ones_like(y)])
    ridge = penalty * np.diag([1.0] * len(X) + [0.0])
    wb = np.zeros((len(rows), 1))
    for _ in range(20):
        a = _sigmoid(wb.T @ rows + offset)
        slope = rows @ (part * (a - y)).T + ridge @ wb
        wb -= np.linalg.solve(rows * (part * a * (1 - a)) @ rows.T + ridge, slope)
    minimum: Any = (wb[:-1], wb[-1:])
    return problem._replace(params=Params(*minimum))


def _sigmoid(z: Any) -> Any:
    return 0.5 * (1 + np.tanh(z / 2))


def _status(found: Any) -> int:
    return int(getattr(found, "status", Status.CONVERGED))


def _claims(found: Any) -> bool:
    return _status(found) == Status.CONVERGED


def _params(found: Any) -> Params:
    leaves: Any = (np.asarray(leaf, float) for leaf in getattr(found, "params", found))
    return Params(*leaves)


def _at_minimum(name: str, params: Params, problem: Problem, tol: float) -> None:
    """Assert it of parameters, by the textbook's formulas in float64."""
    shapes = [leaf.shape for leaf in problem.params]
    found = [leaf.shape for leaf in params]
    if found != shapes:
        raise AssertionError(f"{name}: w and b have shapes {found}, due {shapes}")
    X, y, weight, offset, l2 = (np.asarray(array, float) for array in problem[1:])
    part = weight / weight.sum()

    def logits(params: Params) -> Any:
        return params.w.T @ X + params.b + offset

    def cost(params: Params) -> float:
        z = logits(params)
        losses = np.logaddexp(0, z) - y * z
        return float(np.sum(part * losses) + l2 * np.sum(params.w**2) / 2)

    z, due = logits(params), logits(problem.params)
    size = tol * (1 + np.abs(due))
    assert_close(z, due, size, f"{name}: the logits, ")
    slope = X @ (part * (_sigmoid(z) - y)).T + l2 * params.w
    allowed = np.abs(X) @ (part * size).T + l2 * np.abs(params.w) * tol
    assert_close(slope, 0 * slope, allowed, f"{name}: the gradient in w, ")
    start = Params(0 * params.w, 0 * params.b)
    if not cost(params) <= cost(start):
        raise AssertionError(
            f"{name}: the cost is {cost(params)!r}, at the start {cost(start)!r}"
        )

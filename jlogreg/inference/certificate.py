"""Check a fit from the outside: by other code, in the highest precision at hand.

It runs on the host in NumPy and shares nothing with the solvers but the definition of
the cost: logits, losses and gradient are summed in long double, the Newton decrement is
taken from a Hessian in double precision.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jlogreg.base.arrays import is_traced
from jlogreg.base.checks import AnyArray
from jlogreg.data.design import Design
from jlogreg.data.samples import Samples
from jlogreg.objective.cost import prepare_problem

__all__ = [
    "Certificate",
    "block_sums",
    "certificate",
    "sample_blocks",
    "to_long_double",
]

# Samples that are looked at together.
BLOCK = 4096


class Certificate(NamedTuple):
    """Hold what is true of a fit, as Python numbers.

    cost is J; gradient_norm the largest |entry| of dw and db; decrement sqrt(gT H^-1
    g), infinite where H is singular; change the most that a Newton step would add to a
    logit, infinite likewise; separated whether the parameters prove that there is no
    finite minimum.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import certificate, fit
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> found = certificate(fit(X, y), X, y)
        >>> found.decrement < 1e-4, found.separated
        (True, False)
    """

    cost: float
    gradient_norm: float
    decrement: float
    change: float
    separated: bool


def certificate(
    fit: Any,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
) -> Certificate:
    """Return what a fit has reached, computed anew; host only.

    Shapes: fit a Fit of one problem, or anything with params w (n, 1), b (1, 1); X
    (n, m), y, weight and offset (1, m), l2 () or (n, 1), the same that were fitted.
    The excess of J over its minimum is about decrement^2 / 2, and the parameters are
    right to where the largest change of a logit says; section 9 of docs/derivation.md.

    Raises:
        DtypeError, RankError, ShapeError: an argument is no such array.
        ValueError: a number is out of range, NaN or infinite.
        TypeError: a number is traced: call this outside jit.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import certificate, fit
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> found = fit(X, y)
        >>> abs(certificate(found, X, y).cost - float(found.cost)) < 1e-6
        True
    """
    if any(map(is_traced, (fit.params.w, y, l2, weight, offset))):
        raise TypeError("certificate needs known numbers: call it outside jit")
    params, samples, penalty = prepare_problem(fit.params, X, y, weight, offset, l2)
    point = np.concatenate([to_long_double(params.w), to_long_double(params.b)])
    w_ridge = np.broadcast_to(to_long_double(penalty), params.w.shape)
    ridge = np.concatenate([w_ridge, np.zeros((1, 1), np.longdouble)])
    unpenalised = np.where(ridge == 0, point, 0)

    parts = list(sample_blocks(samples))
    sums = [block_sums(part, point, unpenalised) for part in parts]
    total = sum(one.weight for one in sums)
    slope = sum(one.slope for one in sums) / total + ridge * point
    H = sum(one.curvature for one in sums) / float(total)
    step = _solve(H + np.diag(ridge[:, 0].astype(float)), slope)
    loss = sum(one.loss for one in sums) / total
    squared, change = np.longdouble(np.inf), np.longdouble(np.inf)
    if step is not None:
        squared = np.maximum((slope * step).sum(), 0)
        moves = [np.abs(step.T @ part.x)[part.weight > 0] for part in parts]
        change = np.concatenate(moves).max()
    return Certificate(
        cost=float(loss + (ridge * point**2).sum() / 2),
        gradient_norm=float(np.abs(slope).max()),
        decrement=float(np.sqrt(squared)),
        change=float(change),
        separated=all(one.separated for one in sums),
    )


class _Part(NamedTuple):
    """Hold some samples, with a row of ones below their features: all (., size)."""

    x: np.ndarray
    labels: np.ndarray
    weight: np.ndarray
    offset: np.ndarray


class _Sums(NamedTuple):
    loss: Any
    slope: Any
    curvature: Any
    weight: Any
    separated: bool


def to_long_double(array: Any) -> np.ndarray:
    """Return an array in long double."""
    return np.asarray(array).astype(np.longdouble)


def sample_blocks(samples: Samples) -> Iterator[_Part]:
    """Return an iterator of the samples in blocks."""
    X, y, weight, offset = samples
    m = X.shape[1]
    columns = np.asarray(X.dense())
    v = np.ones((1, m)) if weight is None else np.asarray(weight)
    known = np.zeros((1, m)) if offset is None else np.asarray(offset)
    for start in range(0, m, BLOCK):
        part = slice(start, start + BLOCK)
        labels, *rest = (
            to_long_double(np.asarray(row)[:, part]) for row in (y, v, known)
        )
        x = np.concatenate([to_long_double(columns[:, part]), np.ones_like(labels)])
        yield _Part(x, labels, *rest)


def block_sums(part: _Part, point: np.ndarray, unpenalised: np.ndarray) -> _Sums:
    """Return the sums over a block; sections 4 and 5 of docs/derivation.md."""
    x, labels, v, known = part
    z = point.T @ x + known
    e = np.exp(-np.abs(z))
    a, rest = np.where(z >= 0, 1, e) / (1 + e), np.where(z >= 0, e, 1) / (1 + e)
    loss = np.where(z >= 0, 1 - labels, labels) * np.abs(z) + np.log1p(e)
    dz = v * ((1 - labels) * a - labels * rest)
    free = unpenalised.T @ x
    right = np.where(labels == 1, free > 0, (labels == 0) & (free < 0))
    return _Sums(
        loss=(v * loss).sum(),
        slope=x @ dz.T,
        curvature=(x * (v * a * rest)).astype(float) @ x.T.astype(float),
        weight=v.sum(),
        separated=bool((right | (v == 0)).all()),
    )


def _solve(H: np.ndarray, slope: np.ndarray) -> np.ndarray | None:
    """Return H^-1 slope, or None where H, scaled to a diagonal of ones, is singular."""
    diagonal = np.diag(H)[:, None]
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1))
    try:
        step = np.linalg.solve(H * scale * scale.T, (scale * slope).astype(float))
    except np.linalg.LinAlgError:
        return None
    return to_long_double(scale) * step  # which may be more than a double holds

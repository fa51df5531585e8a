"""Whether a fit said what is true."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jlogreg.base.status import Status
from jlogreg.testing.search.oracle import Truth, Where, parts_of
from jlogreg.testing.search.problems import Hard

__all__ = [
    "WRONG",
    "Judgement",
    "Said",
    "collinear",
    "default_tol",
    "judge",
    "well_conditioned",
]

# Well-conditioned is: the condition of the Hessian and each |logit| below these.
CONDITION = {"float32": 1e4, "float64": 1e9}
LOGIT = 25.0
# Collinear to the precision is: the ratio of two singular values, in units of eps.
SINGULAR = 256
# Roundings that a number goes through in each link of the chain.
ROUNDINGS = 8


class Said(StrEnum):
    """What a fit said, next to what is true.

    RIGHT: CONVERGED at the minimum, SEPARATED of labels that are, or any word but these
    two where there is no single minimum to be found. ANOTHER_WORD: not wrong, but the
    minimum was not found, or separation not seen. All others are wrong.
    """

    RIGHT = "right"
    ANOTHER_WORD = "another word"
    AT_INFINITY = "CONVERGED, but the minimum is at infinity"
    SEPARATED = "CONVERGED, but the labels are separated"
    NOT_UNIQUE = "CONVERGED, but the minimum is not unique"
    OFF = "CONVERGED, but a logit is off by more than tol and rounding"
    NOT_SEPARATED = "SEPARATED, but they are not"


WRONG = tuple(Said)[2:]


class Judgement(NamedTuple):
    """What a fit said, and by how much its logits are off, where they are known.

    error: the largest |difference| of a logit; excess: the largest in units of what is
    allowed.
    """

    said: Said
    error: float = 0.0
    excess: float = 0.0


def default_tol(dtype: Any) -> float:
    """Return the tolerance of a fit, 2 sqrt(eps)."""
    return float(2 * np.finfo(dtype).eps ** 0.5)


def well_conditioned(truth: Truth, dtype: Any, centered: bool) -> bool:
    """Return whether there is one minimum that this precision can find.

    The condition of the Hessian with a diagonal of 1 is below 1e4 in float32 and 1e9 in
    float64, and no logit is beyond 25.

    Args:
        truth: the truth about a problem.
        dtype: of the problem.
        centered: whether the features count as centered; large means do no harm then.
    """
    if truth.minimum is None:
        return False
    _, _, z, _, condition, raw = truth.minimum
    known = (condition if centered else raw) < CONDITION[np.dtype(dtype).name]
    return known and abs(z).max() < LOGIT


def collinear(problem: Hard) -> bool:
    """Return whether the features are collinear to the precision of their dtype.

    They are if the smallest singular value of the centered features, each divided by
    its standard deviation, is below 256 eps times the largest.
    """
    X = parts_of(problem).X.astype(np.longdouble)
    X -= X.mean(axis=1, keepdims=True)
    spread = X.std(axis=1, keepdims=True)
    scaled = (X / (spread + (spread == 0))).astype(float)
    values = np.linalg.svd(scaled, compute_uv=False)
    enough = X.shape[1] > X.shape[0] and values[-1] >= SINGULAR * (
        np.finfo(problem.X.dtype).eps * values[0]
    )
    return not enough


def judge(
    problem: Hard,
    truth: Truth,
    status: int,
    w: Float[np.ndarray, "n 1"],
    b: Float[np.ndarray, "1 1"],
) -> Judgement:
    """Return whether a fit with the default tolerance said what is true.

    Shapes: w (n, 1), b (1, 1). The logits are those of the samples that have a weight.
    CONVERGED allows each of them a difference of

        tol + 8 eps sum |term| + min(tol, 8 eps amplification)

    from the logit of the minimum. First, a fit ends when a step moves no logit by more
    than tol. Second, w and b are rounded, so that z = w^T x + b + offset is no better
    known than the sum of the absolute values of its terms. Third, the gradient is a sum
    over the samples; its rounding, eps times the sum of absolute values, is propagated
    through the inverse Hessian, which gives the amplification. It counts up to tol
    only: where it is larger the fit cannot know that it is within tol, and must not say
    that it is.
    """
    if status == Status.SEPARATED:
        return Judgement(Said.RIGHT if truth.separated else Said.NOT_SEPARATED)
    if status != Status.CONVERGED:
        missed = truth.separated or truth.where == Where.ONE_POINT
        return Judgement(Said.ANOTHER_WORD if missed else Said.RIGHT)
    if truth.separated:
        return Judgement(Said.SEPARATED)
    if truth.where == Where.MANY_POINTS:
        return Judgement(Said.NOT_UNIQUE)
    if truth.where == Where.QUASI_SEPARATED:
        return Judgement(Said.AT_INFINITY)
    if truth.minimum is None:
        return Judgement(Said.RIGHT)  # nothing speaks against it
    parts, long = parts_of(problem), np.longdouble
    z = w.astype(long).T @ parts.X + b.astype(long) + parts.offset
    size = abs(w.T) @ abs(parts.X) + abs(b) + abs(parts.offset)
    tol, eps = default_tol(w.dtype), ROUNDINGS * float(np.finfo(w.dtype).eps)
    amplified = np.minimum(tol, eps * truth.minimum.amplification)
    error = abs(z - truth.minimum.z)
    # NaN is off.
    excess = np.nan_to_num(error / (tol + eps * size + amplified), nan=np.inf).max()
    said = Said.RIGHT if excess <= 1 else Said.OFF
    return Judgement(said, float(error.max()), float(excess))

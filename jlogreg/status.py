"""Say how a fit ended, in a number under jit and in words on the host."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

from jlogreg.checks import is_traced

__all__ = ["FitError", "Status", "raise_if_failed"]


class Status(enum.IntEnum):
    """Say how a fit ended.

    Only CONVERGED is an answer; everything else says why there is none. SEPARATED is
    proved, by equation (19) of docs/derivation.md.
    """

    CONVERGED = 0
    MAX_STEPS = 1
    SEPARATED = 2
    SINGULAR = 3
    DIVERGED = 4
    NONFINITE = 5
    BAD_INPUT = 6

    @property
    def message(self) -> str:
        """Return what happened, and what to do about it."""
        return _MESSAGES[self]


_MESSAGES = {
    Status.CONVERGED: "the minimum was found",
    Status.MAX_STEPS: (
        "the steps ran out before the tolerance was met: allow more with max_steps, "
        "start nearer with init, or scale the features if the solver is a descent"
    ),
    Status.SEPARATED: (
        "a plane separates the labels, so the cost has no finite minimum: add a "
        "penalty, l2=1e-3 say, or more samples; with labels of one class only the "
        "bias is infinite whatever the penalty"
    ),
    Status.SINGULAR: (
        "the cost is at its minimum, but many parameters give it: features are "
        "collinear (duplicated, constant, or more of them than samples), or nearly so "
        "for this precision; predictions are as good as they get, coefficients are "
        "arbitrary. Drop features, add a penalty, or use float64"
    ),
    Status.DIVERGED: (
        "the parameters grow while the cost hardly falls: the minimum is at infinity, "
        "since some samples are separated from the others (quasi-separation), or the "
        "steps find no way down. Add a penalty, or look for a feature that occurs with "
        "one label only"
    ),
    Status.NONFINITE: (
        "a number overflowed, though the input is finite: scale the features to "
        "moderate size, for example with standardize"
    ),
    Status.BAD_INPUT: (
        "a number of the input is out of range: X, offset and init must be finite, y "
        "in [0, 1], weight and l2 at least 0, and some weight positive; call validate "
        "to see which"
    ),
}


class FitError(RuntimeError):
    """Say that a fit has no answer, and why."""


def raise_if_failed(fit: Any) -> None:
    """Raise a FitError unless every problem of a fit converged; host only.

    Shapes: fit.status () or, of many problems, with leading axes.

    Raises:
        FitError: a status is not CONVERGED; the message counts them and says what to do
            about the first.
        TypeError: the status is traced: call this outside jit.
    """
    if is_traced(fit.status):
        raise TypeError("raise_if_failed needs known numbers: call it outside jit")
    status = np.asarray(fit.status)
    failed = np.flatnonzero(status != Status.CONVERGED)
    if not failed.size:
        return
    first = Status(int(status.flat[failed[0]]))
    text = f"{first.name}: {first.message}"
    if status.ndim:
        text = (
            f"{failed.size} of {status.size} fits have no answer; the first is number "
            f"{failed[0]}, {text}"
        )
    raise FitError(text)

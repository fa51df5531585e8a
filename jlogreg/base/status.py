"""How a fit ended: a number under jit, words on the host."""

from __future__ import annotations

import enum
from typing import Any

import jax
import numpy as np

from jlogreg.base.arrays import is_traced
from jlogreg.base.errors import FitError

__all__ = ["Status", "count_statuses", "name_statuses", "raise_if_failed"]


class Status(enum.IntEnum):
    """Outcome of a fit.

    Only CONVERGED comes with a solution; each other status is a reason for its absence.
    SEPARATED is proved by equation (19) of docs/derivation.md.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import Status, fit
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]])
        >>> status = Status(int(fit(X, y).status))
        >>> status.name, status.message[:29]
        ('SEPARATED', 'a plane separates the labels,')
        >>> Status(int(fit(X, y, l2=0.1).status)).name
        'CONVERGED'
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
        """The outcome in words, with a remedy."""
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
        "for this precision, perhaps among the few samples that quasi-separation "
        "leaves; predictions are as good as they get, coefficients are "
        "arbitrary. Drop features, add a penalty, or use float64"
    ),
    Status.DIVERGED: (
        "the parameters grow while the cost hardly falls: the minimum is at infinity, "
        "since some samples are separated from the others (quasi-separation), or the "
        "steps find no way down. Add a penalty or a larger one, or look for a feature "
        "that occurs with one label only"
    ),
    Status.NONFINITE: (
        "a number overflowed, though the input is finite: measure the features in "
        "other units, so that they are of moderate size; in float64 standardize does it"
    ),
    Status.BAD_INPUT: (
        "a number of the input is out of range: X, offset and init must be finite, y "
        "in [0, 1], weight, l2 and l1 at least 0, and some weight positive; call "
        "validate to see which. A sample whose label is missing (NaN) needs a weight "
        "of 0"
    ),
}


def count_statuses(status: Any) -> str:
    """Return the name of one status, or the number of fits with each status.

    Shapes: status () or any other. The repr of status if it is traced or not an array.
    """
    if not isinstance(status, jax.Array | np.ndarray) or is_traced(status):
        return repr(status)
    codes, counts = np.unique(np.asarray(status), return_counts=True)
    if not np.ndim(status):
        return Status(int(codes[0])).name
    pairs = zip(codes.tolist(), counts.tolist(), strict=True)
    return ", ".join(f"{count} {Status(code).name}" for code, count in pairs)


def name_statuses(status: Any) -> Any:
    """Return the name of one status, or an array of names of the shape of status.

    Raises:
        TypeError: if the status is traced.
    """
    if is_traced(status):
        raise TypeError("the name of a status needs known numbers: ask outside jit")
    names = np.array([each.name for each in Status])[np.asarray(status)]
    return names if names.ndim else str(names)


def raise_if_failed(fit: Any) -> None:
    """Raise a FitError unless every problem of a fit converged; host only.

    Shapes: fit.status (), or with leading axes for many problems.

    Raises:
        FitError: if a status is not CONVERGED; the message counts these problems and
            gives a remedy for the first.
        TypeError: if the status is traced: call this outside jit.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit, raise_if_failed
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]])
        >>> raise_if_failed(fit(X, y, l2=0.1))  # has converged, so nothing happens
        >>> raise_if_failed(fit(X, y))
        Traceback (most recent call last):
            ...
        jlogreg.FitError: SEPARATED: a plane separates the labels, ...
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
        counts = count_statuses(status.flat[failed])
        text = (
            f"{failed.size} of {status.size} fits have no answer ({counts}); the first "
            f"is number {failed[0]}, {text}"
        )
    raise FitError(text)

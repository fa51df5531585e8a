"""What may be the cause of a fit without an answer."""

from __future__ import annotations

import numpy as np

from jlogreg.base.errors import FitError
from jlogreg.base.status import Status, raise_if_failed
from jlogreg.certification.collinearity import collinearity
from jlogreg.fitting.fit import Fit
from jlogreg.tables.samples import Samples

__all__ = ["explained"]

MOST_FEATURES, MOST_SHOWN = 1000, 5
ENDLESS = (Status.SEPARATED, Status.DIVERGED)


def explained(found: Fit, given: Samples) -> None:
    """Raise the error of a fit without an answer, with the features that may cause it.

    Raises:
        FitError: if the fit has not converged.
    """
    try:
        raise_if_failed(found)
    except FitError as error:
        hints = []
        if found.status in ENDLESS:
            hints = _one_sided(given)
        elif found.status == Status.SINGULAR and len(given.names) <= MOST_FEATURES:
            hints = _dependent(given)
        shown = hints[:MOST_SHOWN]
        rest = len(hints) - len(shown)
        shown += [f"and {rest} more"] * (rest > 0)
        raise FitError("\n".join([str(error), *shown])) from None


def _one_sided(given: Samples) -> list[str]:
    """Return the features that alone separate labels: words with one label only."""
    lines, y = [], given.y[0] == 1
    for name, row in zip(given.names, given.X, strict=True):
        if set(np.unique(row).tolist()) == {0.0, 1.0}:
            for value in (1.0, 0.0):
                of_label = y[row == value]
                if of_label.all() or not of_label.any():
                    which = "rows" if value else "other rows"
                    label = 1 if of_label.all() else 0
                    lines.append(
                        f"{name!r}: all {of_label.size} {which} have the label {label}"
                    )
        elif max(row[y].min(), row[~y].min()) > min(row[y].max(), row[~y].max()):
            lines.append(f"{name!r} alone tells the labels apart")
    return lines


def _dependent(given: Samples) -> list[str]:
    """Return the features that are constant or follow from others."""
    names = [repr(name) for name in given.names]
    lines = collinearity(np.asarray(given.X)).text(names).split("; ")
    more = len(given.names) - given.X.shape[1]
    if more > 0:
        lines.append(f"there are {more} more features than rows")
    return [line for line in lines if line]

"""The penalty that the parameters of an estimator ask for."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any

import numpy as np

__all__ = ["check_penalty"]

# The older parameter penalty, and the share of L1 that it stands for.
SHARES = {"l2": 0.0, "l1": 1.0, None: 0.0}


def check_penalty(model: Any) -> tuple[float | None, np.ndarray]:
    """Return the C of an estimator, None if it has a list of them, and its l1_ratios.

    Raises:
        ValueError: if a share is not in [0, 1], or the parameters ask for what the
            solver liblinear alone does.
    """
    C = getattr(model, "C", None)
    penalty = getattr(model, "penalty", "deprecated")
    name = "l1_ratio" if hasattr(model, "l1_ratio") else "l1_ratios"
    given = getattr(model, name)
    if model.solver == "liblinear" or model.dual:
        raise ValueError(
            f"solver is {model.solver!r} and dual {model.dual}, but liblinear has "
            "another cost, with a penalty of the intercept, which is not served: "
            "leave both out"
        )
    if given is None:
        _warn(f"'{name}=None' was deprecated in version 1.8 of scikit-learn: write 0")
    # The default of l1_ratios is a word.
    ratios = [0.0] if given is None or isinstance(given, str) else np.atleast_1d(given)
    if not len(ratios) or not all(
        isinstance(each, Real) and 0 <= float(each) <= 1 for each in ratios
    ):
        raise ValueError(f"{name} must be between 0 and 1, but is {given!r}")
    found = np.asarray(ratios, float)
    if penalty == "deprecated":
        return C, found
    _warn(
        f"'penalty' was deprecated in version 1.8 of scikit-learn: write {name}, 0 for "
        "the squares and 1 for the sizes, and C=np.inf instead of penalty=None"
    )
    if penalty == "elasticnet" and given is None:
        raise ValueError(f"{name} is None: with penalty='elasticnet' it must be given")
    if penalty in ("l1", "l2") and not (found == SHARES[penalty]).all():
        warnings.warn(
            f"Inconsistent values: penalty={penalty} with {name}={given}; the penalty "
            "counts",
            UserWarning,
            stacklevel=4,
        )
    found = np.full_like(found, SHARES[penalty]) if penalty in SHARES else found
    return np.inf if penalty is None else C, found


def _warn(text: str) -> None:
    warnings.warn(text, FutureWarning, stacklevel=5)

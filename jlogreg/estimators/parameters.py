"""Parameters of scikit-learn that ask for another cost than the one there is."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

__all__ = ["check_penalty"]


def check_penalty(model: Any) -> float | None:
    """Return the C of an estimator, None if it has a list of them.

    Raises:
        ValueError: if the parameters ask for a penalty other than that of the squares,
            or for what the solver liblinear alone does.
    """
    C = getattr(model, "C", None)
    penalty = getattr(model, "penalty", "deprecated")
    name = "l1_ratio" if hasattr(model, "l1_ratio") else "l1_ratios"
    ratio = getattr(model, name)
    if penalty != "deprecated":
        warnings.warn(
            "'penalty' was deprecated in version 1.8 of scikit-learn: leave it out, "
            "and write C=np.inf instead of penalty=None",
            FutureWarning,
            stacklevel=4,
        )
    if penalty is None:
        C = np.inf
    given: Any = [] if ratio is None or isinstance(ratio, str) else np.ravel(ratio)
    if penalty in ("l1", "elasticnet") or any(each != 0 for each in given):
        raise ValueError(
            f"{name} is {ratio!r} and penalty {penalty!r}, but there is no L1 penalty "
            f"yet: leave both out, or write {name}=0 for the squares of the "
            "coefficients alone"
        )
    if model.solver == "liblinear" or model.dual:
        raise ValueError(
            f"solver is {model.solver!r} and dual {model.dual}, but liblinear has "
            "another cost, with a penalty of the intercept, which is not served: "
            "leave both out"
        )
    return C

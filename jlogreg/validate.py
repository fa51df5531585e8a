"""Check on the host what depends on the numbers inside the arrays.

Where the numbers are known, in eager mode and for constants of a compiled function, a
bad one is an error. Where they are traced, it is NaN in whatever is computed from it.
Never does it become a plausible result.
"""

from __future__ import annotations

from typing import Any

import jax

from jlogreg.arrays import Samples, check_samples
from jlogreg.checks import check_range, is_traced

__all__ = ["check_sample_values", "validate"]


def validate(X: Any, y: Any, *, weight: Any = None, offset: Any = None) -> None:
    """Raise unless the data can be fitted.

    Shapes: X (n, m); y, weight and offset (1, m). X and offset must be finite, y in
    [0, 1], weight at least 0 and not 0 everywhere. Of traced arguments only shapes and
    dtypes can be checked.

    Raises:
        DtypeError, RankError, ShapeError: an argument is not such an array.
        ValueError: a number in it is out of its range, NaN or infinite.
    """
    check_sample_values(check_samples(X, y, weight, offset))


def check_sample_values(samples: Samples) -> Samples:
    """Return the samples, every number in its range, or NaN where it is traced.

    A traced X stays as it is, since to look at it would be a pass over all the data: a
    NaN in it goes through every sum by itself.

    Raises:
        ValueError: a number that is known is out of its range, NaN or infinite.
    """
    X, y, weight, offset = samples
    if not is_traced(X):
        check_range("X", X)
    if weight is not None:
        weight = check_range("weight", weight, 0.0)
        if not is_traced(weight):
            with jax.ensure_compile_time_eval():
                if not weight.any():
                    raise ValueError("weight is 0 for every sample: none is left")
    if offset is not None:
        offset = check_range("offset", offset)
    return Samples(X, check_range("y", y, 0.0, 1.0), weight, offset)

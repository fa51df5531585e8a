"""Check on the host what depends on the numbers inside the arrays.

Arguments that are traced (under jit, vmap or grad) are passed over: their numbers are
not known yet. Everything else is checked, so in eager mode a bad number never becomes a
plausible result.
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
    [0, 1], weight at least 0 and not 0 everywhere. Traced arguments have only their
    shapes and dtypes checked.

    Raises:
        DtypeError, RankError, ShapeError: an argument is not such an array.
        ValueError: a number in it is out of its range, NaN or infinite.
    """
    check_sample_values(check_samples(X, y, weight, offset))


def check_sample_values(samples: Samples) -> None:
    """Raise a ValueError unless every number in the samples is in its range."""
    check_range("X", samples.X)
    check_range("y", samples.y, 0.0, 1.0)
    if samples.offset is not None:
        check_range("offset", samples.offset)
    if samples.weight is not None:
        check_range("weight", samples.weight, 0.0)
        if not is_traced(samples.weight):
            with jax.ensure_compile_time_eval():
                if not samples.weight.any():
                    raise ValueError("weight is 0 for every sample: none is left")

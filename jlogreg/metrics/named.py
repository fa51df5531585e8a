"""The metrics by name, each as a function of the logits, labels and weights of a row.

So a caller can compute any of them from what a fit predicts, inside a program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jlogreg.base.formatting import nearest
from jlogreg.losses.arithmetic import EXACT
from jlogreg.losses.elementwise import sigmoid
from jlogreg.metrics.decisions import THRESHOLD, counts_of, share_of_right
from jlogreg.metrics.probability import (
    BINS,
    expected_calibration_error,
    mean_log_loss,
    mean_squared_error,
)
from jlogreg.metrics.ranking import AREA_UNDER_ROC, MEAN_PRECISION
from jlogreg.metrics.rows import Metric

__all__ = ["METRICS", "check_names", "together"]

_PROBABILITY = partial(sigmoid, EXACT)


def _of_probability(evaluate: Callable[..., Any], *settings: Any) -> Metric:
    """Return a metric of probabilities as one of logits, with these settings."""

    def evaluated(a: Array, y: Array, weight: Array) -> Any:
        given = (jnp.asarray(setting, a.dtype) for setting in settings)
        return evaluate(a, y, weight, *given)

    return Metric(evaluated, prepare=_PROBABILITY)


_BINS = np.arange(float(BINS))[:, None]
METRICS: dict[str, Metric] = {
    "accuracy": _of_probability(share_of_right, THRESHOLD),
    "average_precision": MEAN_PRECISION,
    "brier": _of_probability(mean_squared_error),
    "calibration_error": _of_probability(expected_calibration_error, _BINS),
    "confusion": _of_probability(counts_of, THRESHOLD),
    "log_loss": Metric(mean_log_loss),
    "roc_auc": AREA_UNDER_ROC,
}


def check_names(name: str, value: Sequence[str]) -> tuple[str, ...]:
    """Return the names of metrics, checked.

    Raises:
        ValueError: if value holds anything else.
    """
    names = (value,) if isinstance(value, str) else tuple(value)
    unknown = [each for each in names if each not in METRICS]
    if isinstance(value, str) or unknown:
        hint = nearest(str(unknown[0]), METRICS) if unknown else f": write [{value!r}]"
        raise ValueError(
            f"{name} must be a sequence of some of {', '.join(METRICS)}, but is "
            f"{value!r}{hint}"
        )
    return names


def together(names: Sequence[str]) -> Metric:
    """Return some metrics as one, by name; what several of them prepare is shared."""
    chosen = {name: METRICS[name] for name in names}
    kinds = list(dict.fromkeys(metric.prepare for metric in chosen.values()))

    def prepare(scores: Array) -> list[Any]:
        return [scores if kind is None else kind(scores) for kind in kinds]

    def evaluate(prepared: list[Any], y: Array, weight: Array) -> dict[str, Any]:
        return {
            name: metric.evaluate(prepared[kinds.index(metric.prepare)], y, weight)
            for name, metric in chosen.items()
        }

    return Metric(evaluate, prepare)

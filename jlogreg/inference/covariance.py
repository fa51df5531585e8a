"""The Fisher information, and standard errors."""

from __future__ import annotations

import math

import numpy as np

from jlogreg.base.params import Params
from jlogreg.base.status import Status
from jlogreg.data.samples import Samples
from jlogreg.fitting.fit import Fit
from jlogreg.inference.certificate import (
    block_sums,
    certificate,
    sample_blocks,
    to_long_double,
)

__all__ = ["information", "standard_errors"]


def information(params: Params, samples: Samples) -> np.ndarray:
    """Return the Fisher information, summed on the host in double precision.

    Shapes: params w (n, 1), b (1, 1); result (n + 1, n + 1), the bias last. The sum in
    equation (27) of docs/derivation.md.
    """
    point = np.concatenate([to_long_double(params.w), to_long_double(params.b)])
    looks = (
        block_sums(part, point, np.zeros_like(point)) for part in sample_blocks(samples)
    )
    return np.sum([one.curvature for one in looks], axis=0)


# For more features the matrix of their covariances is not formed.
MAX_COVARIANCE_FEATURES = 512


# So many standard errors from the maximum of the likelihood count as there.
MAX_DISTANCE = 0.01


def standard_errors(fit: Fit, samples: Samples) -> tuple[np.ndarray | None, str]:
    """Return the standard errors (n + 1, 1), or None and why they would mean nothing.

    m gT H^-1 g is the square of the distance from the maximum of the likelihood, in
    standard errors; equations (18) and (27).
    """
    n, m = samples.X.shape
    if fit.status != Status.CONVERGED:
        return None, "the fit has no answer"
    if n > MAX_COVARIANCE_FEATURES:
        return None, f"there are more than {MAX_COVARIANCE_FEATURES} features"
    reached = certificate(fit, samples.X, samples.y, offset=samples.offset)
    if not math.sqrt(m) * reached.decrement <= MAX_DISTANCE:
        return None, (
            "a penalty, weights or another offset led away from the maximum of the "
            "likelihood of X and y"
        )
    matrix = information(fit.params, samples)
    scale = 1 / np.sqrt(np.diag(matrix))[:, None]
    variances = np.diag(np.linalg.inv(matrix * scale * scale.T))[:, None]
    return scale * np.sqrt(variances), ""

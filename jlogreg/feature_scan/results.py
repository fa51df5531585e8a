"""The results of a scan, and those of one feature."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jlogreg.base.arrays import at_least
from jlogreg.base.formatting import as_html, power_text, record_text
from jlogreg.base.status import Status, count_statuses
from jlogreg.diagnostics.tails import log10_p_value

__all__ = ["Scan", "result"]


class Scan(NamedTuple):
    """The results of a scan, for V features.

    Shapes: all (V, 1). estimate is the feature's weight, adjusted for the covariates;
    standard_error that of the Fisher information; z their ratio, or the root of the
    likelihood-ratio statistic with the sign of the estimate; log10_p the logarithm to
    the base 10 of the two-sided p-value, which does not underflow; status a Status.
    Where the status is not CONVERGED the others are NaN. firth says that the estimate
    is Firth's, with the standard error of the augmented information; saddle_point that
    p is that of the saddle-point approximation, not that of a normal z.

    Examples:
        >>> import jax.numpy as jnp
        >>> import numpy as np
        >>> from jlogreg import scan_features
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> G = np.array([[0, 1, 1, 2, 1, 2], [1, 0, 2, 1, -1, 0]], np.int8)
        >>> scan = scan_features(G, None, y)
        >>> [f"{z:.2f}" for z in scan.z[:, 0]], scan.status.tolist()
        (['0.58', '0.48'], [[0], [0]])
    """

    estimate: Float[Array, "V 1"]
    standard_error: Float[Array, "V 1"]
    z: Float[Array, "V 1"]
    log10_p: Float[Array, "V 1"]
    status: Int[Array, "V 1"]
    firth: Bool[Array, "V 1"]
    saddle_point: Bool[Array, "V 1"]

    def __repr__(self) -> str:
        """Return how the fits ended, and the smallest p, in short."""
        return record_text("Scan", self._described())

    def _repr_html_(self) -> str:
        return as_html(self._described())

    def _described(self) -> dict[str, str]:
        texts = {"features": str(len(self.status))}
        texts["status"] = count_statuses(np.asarray(self.status))
        log10_p = np.asarray(self.log10_p)[:, 0]
        if np.isfinite(log10_p).any():
            row = int(np.nanargmin(log10_p))
            texts["smallest p"] = f"{power_text(float(log10_p[row]))} of feature {row}"
        if np.any(self.firth):
            texts["by Firth"] = str(int(np.sum(self.firth)))
        if np.any(self.saddle_point):
            texts["by saddle point"] = str(int(np.sum(self.saddle_point)))
        return texts


def result(
    estimate: Array,
    variance: Array,
    status: Array,
    drop: Array | None,
    firth: bool = False,
) -> Scan:
    """Return the results of one feature; an estimate of 0 where it has not converged.

    It may go on, so that its numbers are not NaN yet. With a drop of the log-likelihood
    without the feature the test is that of the likelihood ratio, equation (40).
    """
    converged = status == Status.CONVERGED
    estimate = jnp.where(converged, estimate, 0.0)
    standard_error = jnp.sqrt(jnp.where(converged, variance, 1.0))
    z = estimate / standard_error
    if drop is not None:
        drop = at_least(jnp.where(converged, drop, 0.0), 0)
        z = jnp.sign(estimate) * jnp.sqrt(2 * drop)
    scan = Scan(
        *(estimate, standard_error, z, log10_p_value(z), status.astype(jnp.int32)),
        *(jnp.full((), firth), jnp.zeros((), bool)),
    )
    return jax.tree.map(lambda number: number.reshape(1), scan)

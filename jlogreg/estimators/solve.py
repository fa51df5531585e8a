"""The fit of checked samples: columns for rows, penalties for C, NumPy's arrays."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from jlogreg.base.params import Params
from jlogreg.base.status import Status
from jlogreg.batch.fit_many import fit_many
from jlogreg.estimators.samples import Training
from jlogreg.fitting.fit import Fit, fit

__all__ = ["columns_of", "precision", "settings_of", "solve", "store", "warn_of"]

# The number of samples is made a multiple of this.
BLOCK = 64


@contextmanager
def precision(dtype: Any) -> Iterator[None]:
    """Return a context in which arrays of float64 keep their digits.

    JAX cuts them to float32 unless x64 is on, and it is on in this context only.
    """
    if dtype == np.float64:
        with jax.enable_x64(True):
            yield
    else:
        yield


def columns_of(given: Training) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Return features (n, M), a BCOO if they are sparse, labels and weights (K, M).

    Samples of weight 0 fill them up to a multiple of BLOCK, so that the parts of one
    table, such as folds, which differ in a few samples, have one compiled program.
    Weights are None where all are 1.
    """
    (m, n), weight = given.X.shape, given.weight
    if not isinstance(given.X, np.ndarray):
        from jax.experimental.sparse import BCOO

        entries = given.X.tocoo()
        places = np.stack(entries.coords[::-1], axis=1).astype(np.int32)
        sparse = BCOO((jnp.asarray(entries.data), jnp.asarray(places)), shape=(n, m))
        return sparse, given.Y, None if (weight == 1).all() else weight
    more = -m % BLOCK
    if not more and (weight == 1).all():
        return jnp.asarray(given.X.T), given.Y, None
    rows = given.X.T, given.Y, weight
    X, Y, weight = (np.pad(row, ((0, 0), (0, more))) for row in rows)
    return jnp.asarray(X), Y, weight


def settings_of(model: Any, dtype: Any) -> dict[str, Any]:
    """Return the settings of a fit that an estimator has by other names."""
    # Newton's method leaves an error of tol^2 / 2: a smaller tol would gain nothing.
    least = 2 * float(np.finfo(dtype).eps) ** 0.5
    return {
        "bias": bool(model.fit_intercept),
        "tol": float(np.clip(model.tol, least, 0.1)),
        "max_steps": int(model.max_iter),
    }


def solve(
    model: Any, given: Training, C: Any, ratio: float, init: Params | None
) -> Fit:
    """Return the fits of all labels, with a leading axis K, on the host.

    Args:
        model: the estimator, for its settings.
        given: the samples.
        C: the inverse of the penalty, of the sums of the losses.
        ratio: the share of the penalty that is L1's.
        init: where to start, with a leading axis K.
    """
    settings = settings_of(model, given.X.dtype)
    # The mean of the losses is their sum over the sum of the weights.
    size = 1 / (C * given.total)
    shares = {"l2": 1 - ratio, "l1": ratio}
    penalties = {
        name: (share * size).astype(given.X.dtype) for name, share in shares.items()
    }
    with precision(given.X.dtype):
        X, Y, weight = columns_of(given)
        if len(Y) > 1:
            alike = (size == size[0]).all()
            each = {name: p[0, 0] if alike else p for name, p in penalties.items()}
            found = fit_many(X, Y, weight=weight, init=init, **each, **settings)
            return jax.device_get(found)
        start = None if init is None else jax.tree.map(lambda leaf: leaf[0], init)
        of_one = {name: p[0, 0] for name, p in penalties.items()}
        one = fit(X, Y, weight=weight, init=start, **of_one, **settings)
        return jax.tree.map(lambda leaf: leaf[None], jax.device_get(one))


def store(model: Any, given: Training, params: Params, status: Any) -> Any:
    """Return the model, with what every fitted classifier has.

    Args:
        model: the estimator.
        given: the samples.
        params: of K problems, w (K, n, 1), b (K, 1, 1).
        status: (K,), that of each.

    Raises:
        ValueError: if a fit has no numbers at all.
    """
    model.classes_, model.status_ = given.classes, np.asarray(status)
    model._multilabel = given.multilabel
    model.coef_ = np.array(params.w[:, :, 0])
    model.intercept_ = np.array(params.b[:, 0, 0])
    if not (np.isfinite(model.coef_).all() and np.isfinite(model.intercept_).all()):
        raise ValueError(_message(model.status_))
    return model


def warn_of(status: Any) -> None:
    """Raise scikit-learn's warning if a fit has not converged: how many, and why."""
    if np.any(status):
        warnings.warn(_message(status), ConvergenceWarning, stacklevel=4)


def _message(status: Any) -> str:
    status = np.ravel(status)
    failed = status[status != Status.CONVERGED]
    first = Status(int(failed[0]))
    count = f"{failed.size} of {status.size} fits: " if status.size > 1 else ""
    return (
        f"{count}{first.name}: {first.message}. (max_steps is max_iter here, and l2 is "
        "1 / (C * the sum of the weights).)"
    )

"""The arguments of a scan: what they must be."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jlogreg.base.checks import check_matrix, check_range, refuse_traced
from jlogreg.base.errors import DtypeError, RankError, ShapeError
from jlogreg.base.params import check_bias
from jlogreg.base.shapes import as_labels, check_orientation
from jlogreg.data.devices.deal import without_mesh
from jlogreg.data.devices.spread import gather
from jlogreg.data.samples import Samples, check_samples, prepare_samples
from jlogreg.fitting.options import check_limits
from jlogreg.solvers.newton import Newton

__all__ = ["Given", "Method", "check_block", "check_method", "check_scan"]

# The words of the error for traced arguments: what runs on the host, and the cure.
ON_HOST = ("a scan", "map fit over Stacked designs with jax.vmap instead")


class Method(NamedTuple):
    """The test of each feature, and when the estimate is Firth's."""

    test: str
    firth: str


class Given(NamedTuple):
    """The arguments of the null model; alone: whether there are no covariates."""

    samples: Samples
    alone: bool
    bias: bool
    tol: Array


def check_method(test: Any, firth: Any) -> Method:
    """Return the method, its words checked."""
    tests, uses = ("wald", "score", "lr"), ("never", "fallback", "always")
    for name, word, words in (("test", test, tests), ("firth", firth, uses)):
        if not isinstance(word, str) or word not in words:
            raise ValueError(f"{name} must be one of {words}, but is {word!r}")
    if test == "score" and firth != "never":
        raise ValueError(
            'test="score" has no estimate of its own: take firth="never", or another'
        )
    return Method(test, firth)


@without_mesh
def check_scan(
    covariates: Any, y: Any, weight: Any, offset: Any, bias: bool, tol: Any
) -> Given:
    """Return the arguments of the null model.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        TypeError: if an argument is traced.
        ValueError: if a number is out of range, NaN or infinite.
    """
    refuse_traced(*ON_HOST, covariates, y, weight, offset, tol)
    covariates, y, weight, offset = gather((covariates, y, weight, offset))
    y = as_labels(y, getattr(covariates, "dtype", None))
    y = check_matrix("y", y, (1, "m"))
    X = y[:0] if covariates is None else covariates
    X = check_matrix("covariates", X, ("p", "m"), y.dtype, no_rows=True)
    check_orientation("covariates", X.shape, "y", y)
    alone = len(X) == 0
    used = X
    if weight is not None:
        weight = check_matrix("weight", weight, (1, y.shape[1]), y.dtype)
        used = jnp.where(weight == 0, 0.0, X)
    check_range("covariates", used)
    samples = prepare_samples(check_samples(X, y, weight, offset))
    tol, _ = check_limits(Newton(), tol, None, y.dtype)
    return Given(samples, alone, check_bias(bias), tol)


def check_block(G: Any, z: Array) -> np.ndarray:
    """Return some features as a NumPy array."""
    refuse_traced(*ON_HOST, G)
    if not isinstance(G, jax.Array | np.ndarray):
        raise DtypeError(
            f"G must be an array, but is of type {type(G).__name__}: convert it with "
            "np.asarray(..., np.int8)"
        )
    if G.ndim != 2:
        raise RankError(
            f"G has rank {G.ndim}, shape {G.shape}, but must have rank 2, shape (V, "
            f"{z.shape[1]}): write G.reshape(1, -1) for one feature"
        )
    check_orientation("G", G.shape, "y", z)
    if G.shape[1] != z.shape[1] or not len(G):
        raise ShapeError(
            f"G has shape {G.shape}, but must have (V, {z.shape[1]}), a row per feature"
        )
    if G.dtype not in (np.int8, z.dtype):
        raise DtypeError(
            f"G has dtype {G.dtype}, but must be int8, or {z.dtype} like y: convert it "
            f"with G.astype(np.int8), where -1 is missing, or G.astype(np.{z.dtype}), "
            "where NaN is"
        )
    return np.asarray(gather(G))

"""The parameters of a model: initial values, checks, and K models side by side."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jlogreg.base.arrays import canonical_dtype
from jlogreg.base.checks import check_array, check_count, check_dtype, check_matrix
from jlogreg.base.errors import DtypeError, RankError, ShapeError
from jlogreg.base.formatting import as_html, brief, record_text

__all__ = [
    "Fitted",
    "Params",
    "as_params",
    "check_bias",
    "check_params",
    "init_params",
    "stack",
]


class Params(NamedTuple):
    """Parameters of one model, or of K models side by side.

    Shapes: w (n, 1), b (1, 1); for K stacked models w (n, K), b (K, 1).

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import Params, predict
        >>> params = Params(w=jnp.array([[2.0]]), b=jnp.array([[-3.0]]))
        >>> predict(params, jnp.array([[1.0, 2.0]])).tolist()
        [[0.0, 1.0]]
    """

    w: Float[Array, "n K"]
    b: Float[Array, "K 1"]

    def __repr__(self) -> str:
        """Return the entries, or the range of each array if it is large."""
        return record_text("Params", self._described())

    def _repr_html_(self) -> str:
        return as_html(self._described())

    def _described(self) -> dict[str, str]:
        return {name: brief(leaf) for name, leaf in self._asdict().items()}


class Fitted(Protocol):
    """Protocol of what holds the parameters of a model, or of K models: a `Fit`."""

    @property
    def params(self) -> Params:
        """The parameters, with a leading axis for K models."""


def as_params(model: Params | Fitted) -> Params:
    """Return the parameters of a model, those of a fit to K problems side by side."""
    if isinstance(model, Params):
        return model
    params: Any = model.params if hasattr(model, "params") else model
    several = getattr(getattr(params, "w", None), "ndim", 2) == 3
    return stack(params) if several else params


def init_params(n: int, dtype: Any = None) -> Params:
    """Return parameters of 0, from which fits start by default.

    Shapes: w (n, 1), b (1, 1). The cost is convex, so every start leads to the
    minimum.

    Args:
        n: number of features; 0 for the bias alone.
        dtype: float32 or float64; by default JAX's default.

    Raises:
        ValueError: if n is less than 0.
        DtypeError: if n is not a whole number, or dtype not float32 or float64.

    Examples:
        >>> from jlogreg import init_params
        >>> w, b = init_params(2)
        >>> w.tolist(), b.tolist()
        ([[0.0], [0.0]], [[0.0]])
    """
    n = check_count("n", n, least=0)
    dtype = canonical_dtype(float if dtype is None else dtype)
    check_dtype("dtype", dtype, "pass dtype=jnp.float32")
    return Params(w=jnp.zeros((n, 1), dtype), b=jnp.zeros((1, 1), dtype))


def check_bias(bias: Any) -> bool:
    """Return whether a model has a bias.

    Raises:
        DtypeError: if that is not True or False.
    """
    if not isinstance(bias, bool | np.bool_):
        raise DtypeError(f"bias must be True or False, but is {bias!r}")
    return bool(bias)


def stack(params: Params) -> Params:
    """Return K models side by side, so that they predict with one matrix product.

    Shapes: params w (K, n, 1), b (K, 1, 1), as `fit_many` returns them; result w
    (n, K), b (K, 1). `logits`, `predict_proba` and `predict` then return (K, m).

    Raises:
        DtypeError: if params is not a Params, or w or b not a float32 or float64 array.
        RankError, ShapeError: if w or b has another shape.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import Params, logits, stack
        >>> three = Params(w=jnp.ones((3, 2, 1)), b=jnp.zeros((3, 1, 1)))
        >>> logits(stack(three), jnp.ones((2, 5))).shape
        (3, 5)
    """
    if not isinstance(params, Params):
        raise DtypeError(
            f"params must be Params(w, b), but is of type {type(params).__name__}"
        )
    w, b = check_array("params.w", params.w), check_array("params.b", params.b)
    if w.ndim != 3 or b.ndim != 3:
        raise RankError(
            f"params has w of shape {w.shape} and b of shape {b.shape}, but must have "
            "a leading axis of the models, (K, n, 1) and (K, 1, 1): map over several "
            "fits, or use fit_many"
        )
    if w.shape[2] != 1 or b.shape != (w.shape[0], 1, 1):
        raise ShapeError(
            f"params has w of shape {w.shape} and b of shape {b.shape}, but must have "
            "(K, n, 1) and (K, 1, 1)"
        )
    return Params(w=w[:, :, 0].T, b=b[:, :, 0])


def check_params(
    params: Params, n: int | str, dtype: Any = None, K: int | str = 1, name: str = ""
) -> Params:
    """Return params, with the shapes w (n, K) and b (K, 1) and the dtype checked.

    Args:
        params: the argument.
        n: number of features; a letter if it is free.
        dtype: of the other arguments, or None.
        K: number of models; a letter if it is free.
        name: of the argument in messages; by default "params", and "w" and "b".

    Raises:
        DtypeError: if params is not a Params, or a dtype is another one.
        RankError, ShapeError: if w or b has another shape.
    """
    if not isinstance(params, Params):
        raise DtypeError(
            f"{name or 'params'} must be Params(w, b), but is of type "
            f"{type(params).__name__}"
        )
    prefix = f"{name}." if name else ""
    w = check_matrix(f"{prefix}w", params.w, (n, K), dtype)
    b = check_matrix(f"{prefix}b", params.b, (w.shape[1], 1), w.dtype)
    return Params(w=w, b=b)

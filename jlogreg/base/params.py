"""Hold the shape discipline: a column per sample, rank 2, or a clear error."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jlogreg.base.arrays import canonical_dtype
from jlogreg.base.checks import check_array, check_count, check_dtype, check_matrix
from jlogreg.base.errors import DtypeError, RankError, ShapeError
from jlogreg.base.formatting import as_html, brief

__all__ = ["Params", "check_params", "init_params", "stack"]


class Params(NamedTuple):
    """Hold the parameters of one model, or of K models side by side.

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
        """Return the numbers, or of many their range."""
        return f"Params(w={brief(self.w)}, b={brief(self.b)})"

    def _repr_html_(self) -> str:
        return as_html({name: brief(leaf) for name, leaf in self._asdict().items()})


def init_params(n: int, dtype: Any = None) -> Params:
    """Return the zero parameters that every descent here starts from.

    Shapes: w (n, 1), b (1, 1). The cost is convex, so no start is better than zero.

    Args:
        n: number of features, at least 1.
        dtype: float32 or float64; by default JAX's own default.

    Raises:
        ValueError: n is less than 1.
        DtypeError: n is no whole number, or dtype is not float32 or float64.

    Examples:
        >>> from jlogreg import init_params
        >>> w, b = init_params(2)
        >>> w.tolist(), b.tolist()
        ([[0.0], [0.0]], [[0.0]])
    """
    n = check_count("n", n, least=1)
    dtype = canonical_dtype(float if dtype is None else dtype)
    check_dtype("dtype", dtype, "pass dtype=jnp.float32")
    return Params(w=jnp.zeros((n, 1), dtype), b=jnp.zeros((1, 1), dtype))


def stack(params: Params) -> Params:
    """Return K models side by side, so that they predict with one matrix product.

    Shapes: params as `fit_many` returns them, w (K, n, 1), b (K, 1, 1); result w
    (n, K), b (K, 1). `logits`, `predict_proba` and `predict` then return (K, m).

    Raises:
        DtypeError: params is no Params, or w or b is no array of floats.
        RankError, ShapeError: w or b has another shape.

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
    """Return params with w (n, K) and b (K, 1) checked.

    Raises:
        DtypeError: params is no Params, or a dtype is another one.
        RankError, ShapeError: w or b has another shape.
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

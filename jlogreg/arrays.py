"""Hold the shape discipline: a column per sample, rank 2, or a clear error."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jlogreg.checks import check_array, check_count, check_dtype, check_matrix
from jlogreg.errors import DtypeError, RankError, ShapeError
from jlogreg.host import canonical_dtype
from jlogreg.text import as_html, brief

__all__ = [
    "Params",
    "broadcast_shape",
    "check_params",
    "flatten_images",
    "init_params",
    "stack",
]


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


def flatten_images(images: Num[Any, "m ..."]) -> Num[Array, "n m"]:
    """Flatten every image into one column.

    Shapes: images (m, h, w, c) or (m, h, w), of any dtype of real numbers that JAX
    keeps as it is (float64 becomes float32 unless x64 is on); result (h * w * c, m) of
    the same dtype. Down a column the image runs in its own C order: rows,
    then pixels along a row, then colours. Equation (1) of docs/derivation.md.

    Raises:
        RankError: images has rank other than 3 or 4; one image is images[None].
        ShapeError: a size is 0.
        DtypeError: images is not an array of real numbers, or of 64-bit whole numbers
            without x64.

    Examples:
        >>> import numpy as np
        >>> from jlogreg import flatten_images
        >>> images = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)  # two of 2 x 2
        >>> flatten_images(images).tolist()
        [[0, 4], [1, 5], [2, 6], [3, 7]]
    """
    images = check_array("images", images, floating=False)
    if images.ndim not in (3, 4):
        raise RankError(
            f"images has rank {images.ndim}, shape {images.shape}, but must be (m, h, "
            "w, c) or (m, h, w): write images[None] for a single image"
        )
    if 0 in images.shape:
        raise ShapeError(f"images has shape {images.shape}: a size of 0 holds nothing")
    return images.reshape(images.shape[0], -1).T


def broadcast_shape(*shapes: Sequence[int]) -> tuple[int, ...]:
    """Return the shape that arrays of these shapes have once broadcast together.

    The general principle: an (r, c) matrix with a (1, c) row, an (r, 1) column or a
    scalar, by + - * or /, is as if the row, column or scalar were repeated to (r, c).
    Hence in each position the sizes are equal, or one of them is 1.

    Args:
        shapes: one or more shapes of rank 2, or () for a scalar.

    Raises:
        RankError: a shape has rank 1, or more than 2, or no shape is given.
        ShapeError: in some position two sizes differ and neither is 1, or a size is
            negative.

    Examples:
        >>> from jlogreg import broadcast_shape
        >>> broadcast_shape((3, 4), (1, 4), (3, 1), ())
        (3, 4)
        >>> broadcast_shape((1, 4), (4, 1))  # a row and a column make a matrix
        (4, 4)
    """
    if not shapes:
        raise RankError("broadcast_shape needs at least one shape")
    sizes = [tuple(operator.index(size) for size in shape) for shape in shapes]
    for shape in sizes:
        if len(shape) not in (0, 2):
            raise RankError(
                f"the shape {shape} has rank {len(shape)}, but must have rank 2 (or 0, "
                "a scalar): write (1, c) for a row, (r, 1) for a column"
            )
        if any(size < 0 for size in shape):
            raise ShapeError(f"the shape {shape} has a negative size")
    matrices = [shape for shape in sizes if shape]
    result = []
    for position in zip(*matrices, strict=True):
        others = {size for size in position if size != 1}
        if len(others) > 1:
            raise ShapeError(
                f"the shapes {', '.join(map(str, sizes))} do not broadcast: in each "
                "position sizes must be equal, or one of them 1"
            )
        result.append(others.pop() if others else 1)
    return tuple(result)


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

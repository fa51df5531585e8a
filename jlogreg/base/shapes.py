"""Images as columns, labels as rows, samples as columns, and the broadcasting rule."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float, Num

from jlogreg.base.arrays import as_array, canonical_dtype
from jlogreg.base.checks import check_array, check_dtype
from jlogreg.base.errors import DtypeError, RankError, ShapeError

__all__ = [
    "OneAgainstRest",
    "as_labels",
    "broadcast_shape",
    "check_orientation",
    "flatten_images",
    "one_against_rest",
]


def flatten_images(images: Num[Any, "m ..."]) -> Num[Array, "n m"]:
    """Flatten every image into one column.

    Shapes: images (m, h, w, c) or (m, h, w), real numbers of any dtype; result
    (h * w * c, m) of the same dtype (but float32 for float64 unless x64 is enabled).
    A column holds its image in C order: rows, then pixels along a row, then colours.
    Equation (1) of docs/derivation.md.

    Raises:
        RankError: if the rank is not 3 or 4; write images[None] for one image.
        ShapeError: if a size is 0.
        DtypeError: if images is not an array of real numbers, or one of 64-bit whole
            numbers without x64.

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


class OneAgainstRest(NamedTuple):
    """Labels of many classes as rows of 0 and 1.

    Shapes: Y (K, m), a row for each class: 1 where a sample has it, 0 where it has
    another, NaN where its label is missing; classes (K, 1), of NumPy, sorted.
    """

    Y: Float[Array, "K m"]
    classes: np.ndarray


def one_against_rest(labels: Any, *, dtype: Any = None) -> OneAgainstRest:
    """Return a row of labels 0 and 1 for each class, as `fit_many` takes them; host.

    Shapes: labels (1, m), words or numbers, an array of NumPy or JAX; result Y (K, m)
    and classes (K, 1). A label that is None or NaN is missing: its column is NaN, and
    the sample needs a weight of 0. The rows of predicted logits (K, m) give the classes
    back, as `classes[logits.argmax(axis=0), 0]`.

    Args:
        labels: the class of each sample.
        dtype: of Y, float32 or float64; by default JAX's own default.

    Raises:
        DtypeError: if labels is not an array, its classes cannot be sorted, or dtype is
            another one.
        RankError, ShapeError: if labels is not (1, m).
        ValueError: if there are fewer than two classes.

    Examples:
        >>> import numpy as np
        >>> from jlogreg import one_against_rest
        >>> found = one_against_rest(np.array([["red", "blue", "red", "green"]]))
        >>> found.classes.tolist()
        [['blue'], ['green'], ['red']]
        >>> found.Y.tolist()
        [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0]]
    """
    dtype = canonical_dtype(float if dtype is None else dtype)
    check_dtype("dtype", dtype, "pass dtype=jnp.float32")
    if not hasattr(labels, "ndim"):
        raise DtypeError(
            f"labels must be an array, but is of type {type(labels).__name__}: write "
            "np.array([labels]) for a row"
        )
    if labels.ndim != 2:
        raise RankError(
            f"labels has rank {labels.ndim}, shape {labels.shape}, but must have rank "
            "2, shape (1, m): write labels.reshape(1, -1) for a row"
        )
    if labels.shape[0] != 1 or labels.shape[1] == 0:
        raise ShapeError(
            f"labels has shape {labels.shape}, but must have shape (1, m), m at least 1"
        )
    row = np.asarray(labels)
    missing = (row != row) | np.array([[label is None for label in row[0]]])
    try:
        classes = np.unique(row[~missing])[:, None]
    except TypeError as error:
        raise DtypeError(f"labels has classes of several types: {error}") from None
    if len(classes) < 2:
        raise ValueError(f"labels has {len(classes)} classes, but must have 2 or more")
    Y = np.where(missing, np.nan, row == classes)
    return OneAgainstRest(as_array(Y, dtype), classes)


def check_orientation(name: str, shape: Sequence[int], row: str, value: Any) -> None:
    """Raise a ShapeError if features seem to have a row, not a column, per sample.

    They seem to if they have as many rows, and not as many columns, as another argument
    has labels. Without this check the message would blame that argument.

    Args:
        name: of the features in messages.
        shape: theirs.
        row: the name of the other argument.
        value: the other argument, which has a number per sample.
    """
    given = np.shape(value) if hasattr(value, "shape") else ()
    samples = given[-1:] if given[-1:] != (1,) else given[:1]
    if shape[0] > 1 and samples == (shape[0],) != (shape[1],):
        raise ShapeError(
            f"{name} has shape {tuple(shape)} and {row} {given}: {name} seems to have "
            f"a row per sample, but needs a column per sample: write {name}.T"
        )


def as_labels(value: Any, dtype: Any = None) -> Any:
    """Return labels; booleans become 0 and 1 of a dtype, by default JAX's own."""
    if getattr(value, "dtype", None) != np.bool_:
        return value
    return value.astype(canonical_dtype(float if dtype is None else dtype))


def broadcast_shape(*shapes: Sequence[int]) -> tuple[int, ...]:
    """Return the common shape to which arrays of these shapes broadcast.

    The general principle: + - * or / of an (r, c) matrix with a (1, c) row, an (r, 1)
    column or a scalar works as if the row, column or scalar were repeated to (r, c).
    Hence in each position the sizes are equal, or one of them is 1.

    Args:
        shapes: one or more shapes of rank 2, or () for a scalar.

    Raises:
        RankError: if a shape has rank 1 or more than 2, or if no shape is given.
        ShapeError: if in some position two sizes differ and neither is 1, or if a size
            is negative.

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

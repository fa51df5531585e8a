"""Features that are read block by block, for data larger than memory."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from jlogreg.base.arrays import as_array, canonical_dtype
from jlogreg.base.checks import check_count
from jlogreg.base.errors import DtypeError, ReadError
from jlogreg.data.design import Dense, Design
from jlogreg.data.streaming.reader import Reader
from jlogreg.data.streaming.sources import open_source

__all__ = ["Streamed", "streams_of"]

# Bytes of a block that is read: long reads, and little beside the memory of a process.
BLOCK_BYTES = 2**24

# The readers by their numbers, which compiled programs are given: so designs of the
# same shape share the programs.
_READERS: weakref.WeakValueDictionary[int, Reader] = weakref.WeakValueDictionary()
_NUMBERS = itertools.count()


@dataclass(frozen=True)
class _Form:
    """What is fixed in a compiled program; the reader is kept, but not compared."""

    shape: tuple[int, int]
    dtype: np.dtype
    block: int
    piece: int
    is_float: bool
    zeroed: bool = False
    reader: Reader | None = field(default=None, compare=False, repr=False)


@jax.tree_util.register_pytree_node_class
class Streamed:
    """A design whose features are read from a source, block by block.

    Shapes: source stands for (n, m), a column per sample. It is an array that can be
    sliced, such as np.load(path, mmap_mode="r"), a dataset of h5py or a zarr array; or
    any object with shape, dtype and read(start, stop), which returns an array
    (n, stop - start), such as `jlogreg.tables.ParquetColumns`. The numbers there may be
    integers or float16. A thread reads a block while the one before is summed; no more
    than two blocks are in memory. The methods are those of `Dense`, but for `dense`,
    which raises an error. The file must not change.

    Args:
        source: what is read.
        row_per_sample: whether an array has the shape (m, n).
        block: samples in a block, about; by default as many as 16 MiB hold.
        dtype: that of the features in memory, float32 or float64; by default NumPy's
            for float32 and the source's.

    Raises:
        DtypeError, RankError, ShapeError: if the source has the wrong type, dtype, rank
            or shape.
        ValueError: if block is not at least 1.

    Examples:
        >>> import numpy as np
        >>> import jax.numpy as jnp
        >>> from jlogreg import Streamed, fit
        >>> X = Streamed(np.arange(6, dtype=np.int8)[None])  # or a memory map
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]], X.dtype)
        >>> print(f"w = {fit(X, y).params.w[0, 0]:.3f}")
        w = 1.214
    """

    def __init__(
        self,
        source: Any,
        *,
        row_per_sample: bool = False,
        block: int | None = None,
        dtype: Any = None,
    ) -> None:
        """Open the source; nothing is read yet."""
        opened = open_source(source, row_per_sample)
        usual = np.result_type(opened.dtype, np.float32) if dtype is None else dtype
        try:
            kind = canonical_dtype(np.dtype(usual))
        except TypeError:
            kind = None
        if kind not in (np.float32, np.float64):
            raise DtypeError(f"dtype must be float32 or float64, but is {usual}")
        n, m = opened.shape
        if block is None:
            block = max(BLOCK_BYTES // max(n * kind.itemsize, 1), 1)
        reader, number = Reader(opened, kind), next(_NUMBERS)
        _READERS[number] = reader
        self._number = as_array(np.int32(number))
        self._form = _Form(
            shape=(n, m),
            dtype=kind,
            block=min(check_count("block", block, least=1), m),
            piece=getattr(opened, "piece", 1),
            is_float=np.dtype(opened.dtype).kind == "f",
            reader=reader,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """The sizes (n, m)."""
        return self._form.shape

    @property
    def dtype(self) -> Any:
        """The dtype of the entries."""
        return self._form.dtype

    @property
    def block(self) -> int:
        """The number of samples that are read at a time."""
        return self._form.block

    @property
    def piece(self) -> int:
        """The number of samples that the source reads where one is asked for."""
        return self._form.piece

    @property
    def sliceable(self) -> bool:
        """Whether `slice_samples` works, at a cost proportional to `size`."""
        return True

    def slice_samples(self, start: Array | int, size: int) -> Dense:
        """Return the samples `start` to `start + size - 1`, read from the source."""
        block = jax.ShapeDtypeStruct((self.shape[0], size), self.dtype)
        read, given = partial(_read, size=size), (self._number, start)
        X = jax.pure_callback(read, block, *given, vmap_method="sequential")
        return Dense(X).zero_nonfinite() if self._form.zeroed else Dense(X)

    def forward(self, w: Float[Array, "n K"]) -> Float[Array, "K m"]:
        """Return wT X."""
        return self._rows(lambda part: part.forward(w))

    def adjoint(self, dz: Float[Array, "K m"]) -> Float[Array, "n K"]:
        """Return X dzT."""
        return self._sum(lambda part, dz: part.adjoint(dz), dz)

    def gram(self, s: Float[Array, "1 m"]) -> Float[Array, "n n"]:
        """Return the sandwich product X diag(s) XT."""
        return self._sum(lambda part, s: part.gram(s), s)

    def gram_diagonal(self, s: Float[Array, "1 m"]) -> Float[Array, "n 1"]:
        """Return the diagonal of X diag(s) XT."""
        return self._sum(lambda part, s: part.gram_diagonal(s), s)

    def dense(self) -> Float[Array, "n m"]:
        """Raise a NotImplementedError: the features are never in memory as a whole."""
        raise NotImplementedError(
            "X is read block by block, but here all of it is needed in memory: pass "
            "an array"
        )

    def finite(self) -> Bool[Array, "1 m"]:
        """Return which samples have only finite features, in one pass."""
        if not self._form.is_float:
            return jnp.ones((1, self.shape[1]), bool)
        return self._rows(lambda part: part.finite())

    def zero_nonfinite(self) -> Streamed:
        """Return the same design with its non-finite entries replaced by 0."""
        return self.tree_unflatten(replace(self._form, zeroed=True), (self._number,))

    def validated(self, name: str) -> Streamed:
        """Return the same design: its shape and dtype were checked at the beginning."""
        return self

    def check_values(self, name: str) -> None:
        """Raise a ValueError unless all entries are finite; it takes a pass."""
        for start in range(0, self.shape[1], self.block):
            size = min(self.block, self.shape[1] - start)
            part = as_array(_read(self._number, start, size))
            Dense(part).check_values(
                f"{name}, of the samples {start} to {start + size - 1},"
            )

    def follow(self, starts: list[int], size: int) -> None:
        """Expect blocks of this size in this order, or, where it is empty, in any."""
        _READERS[int(self._number)].follow(starts, size)

    def identity(self) -> str:
        """Return the file, with its size and time, by which a call is resumed."""
        return _READERS[int(self._number)].identity()

    def __repr__(self) -> str:
        """Return the file, the shape and the dtype."""
        (n, m), reader = self.shape, self._form.reader
        return f"Streamed({reader and reader.name}, ({n}, {m}), {self.dtype})"

    def tree_flatten(self) -> tuple[tuple[Array], _Form]:
        """Return the number of the reader, and what programs are compiled for."""
        return (self._number,), self._form

    @classmethod
    def tree_unflatten(cls, form: _Form, leaves: tuple[Array]) -> Streamed:
        """Return the design of these parts."""
        design = object.__new__(cls)
        design._form, (design._number,) = form, leaves
        return design

    def _rows(self, function: Callable[[Dense], Array]) -> Array:
        """Return rows (K, m) of a function of the blocks."""
        m, size = self.shape[1], self.block
        count, rest = divmod(m, size)
        starts = jnp.arange(count) * size
        rows = lax.map(lambda start: function(self.slice_samples(start, size)), starts)
        whole = jnp.moveaxis(rows, 0, 1).reshape(rows.shape[1], count * size)
        if not rest:
            return whole
        last = function(self.slice_samples(count * size, rest))
        return jnp.concatenate([whole, last], axis=1)

    def _sum(self, function: Callable[[Dense, Array], Array], rows: Array) -> Array:
        """Return the sum of a function of the blocks and their part of the rows."""
        m, size = self.shape[1], self.block

        def at(start: Array | int, size: int) -> Array:
            part = lax.dynamic_slice_in_dim(rows, start, size, axis=1)
            return function(self.slice_samples(start, size), part)

        count, rest = divmod(m, size)
        shape = jax.eval_shape(lambda: at(0, size))
        zero = jnp.zeros(shape.shape, shape.dtype)
        starts = jnp.arange(count) * size
        total, _ = lax.scan(lambda sum_, i: (sum_ + at(i, size), None), zero, starts)
        return total + at(count * size, rest) if rest else total


def _read(number: Any, start: Any, size: int) -> np.ndarray:
    reader = _READERS.get(int(number))
    if reader is None:
        raise ReadError("a design that is read from a file is no longer there")
    return reader.block(start, size)


def streams_of(X: Design) -> list[Streamed]:
    """Return the designs, in X or in what it is made of, that are read from files."""
    parts = jax.tree.leaves(X, is_leaf=lambda part: isinstance(part, Streamed))
    return [part for part in parts if isinstance(part, Streamed)]

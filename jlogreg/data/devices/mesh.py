"""A mesh of devices, and samples put on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from jlogreg.base.checks import AnyArray, check_count, check_matrix, refuse_traced
from jlogreg.base.errors import DtypeError, ShapeError
from jlogreg.base.shapes import as_labels, check_orientation

__all__ = ["gather_bytes", "mesh", "put"]

AXES = ("problems", "samples")
INSTEAD = "call it outside jit, on the arrays themselves"


def mesh(*, problems: int = 1, samples: int | None = None) -> Mesh:
    """Return a mesh of devices with the axes "problems" and "samples"; host only.

    Both axes are explicit. The devices are those of all processes that
    `jax.distributed.initialize` has joined, else those of this process.

    Args:
        problems: devices along the first axis.
        samples: devices along the second axis; by default as many as there are.

    Raises:
        DtypeError: if a number is not whole.
        ValueError: if a number is below 1, or there are not so many devices.

    Examples:
        >>> import jlogreg
        >>> jlogreg.mesh(samples=1).axis_names
        ('problems', 'samples')
    """
    devices = jax.devices()
    problems = check_count("problems", problems, least=1)
    if samples is None:
        samples = max(len(devices) // problems, 1)
    samples = check_count("samples", samples, least=1)
    count = problems * samples
    if count > len(devices):
        raise ValueError(
            f"a mesh of problems = {problems} and samples = {samples} takes {count} "
            f"devices, but there are {len(devices)}: take fewer, or set "
            "jax_num_cpu_devices to have more of one CPU"
        )
    table = np.array(devices[:count]).reshape(problems, samples)
    return Mesh(table, AXES, axis_types=(AxisType.Explicit,) * 2)


def put(
    mesh: Mesh,
    X: Float[AnyArray, "n m"],
    y: Float[AnyArray, "K m"],
    weight: Float[AnyArray, "K m"] | None = None,
    offset: Float[AnyArray, "K m"] | None = None,
) -> tuple[Array, Array, Array | None, Array | None]:
    """Return X, y, weight and offset spread over a mesh by samples; host only.

    Shapes: X (n, m), the others (1, m), or (K, m) for many problems, all of the samples
    of this process. Results have a column for each sample of all processes, in the
    order of their devices. Where the devices cannot have equal parts of them, samples
    of weight 0, whose other numbers are 0, fill up each process.

    Args:
        mesh: as `mesh` makes it, or any with an axis "samples".
        X: features, a column per sample.
        y: labels.
        weight: at least 0.
        offset: added to the logits.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape, or is not like that of another process; an error of one
            process is one of all.
        TypeError: if an argument is traced.
        ValueError: if the mesh has no axis "samples".

    Examples:
        >>> import jax.numpy as jnp
        >>> import jlogreg
        >>> X, y = jnp.array([[0.0, 1.0, 2.0]]), jnp.array([[0.0, 1.0, 0.0]])
        >>> X, y, weight, offset = jlogreg.put(jlogreg.mesh(samples=1), X, y)
        >>> X.shape, weight
        ((1, 3), None)
    """
    refuse_traced("put", INSTEAD, X, y, weight, offset)
    spread = _along_samples(mesh)
    alone = spread.is_fully_addressable
    given, counts = _checked_by_all(lambda: _checked(X, y, weight, offset), alone)
    m, most = given["X"].shape[1], _part(counts, spread)
    if weight is None and any(count != most for count in counts):
        given["weight"] = jnp.ones((1, m), given["X"].dtype)

    def placed(row: Array) -> Array:
        filled = np.pad(row, ((0, 0), (0, most - m)))
        return jax.make_array_from_process_local_data(spread, filled)

    result = {name: placed(row) for name, row in given.items()}
    return result["X"], result["y"], result.get("weight"), result.get("offset")


def _along_samples(mesh: Any) -> NamedSharding:
    """Return how arrays (r, m) are spread over a mesh.

    Raises:
        ValueError: if it is no mesh with an axis "samples".
    """
    if not isinstance(mesh, Mesh) or "samples" not in mesh.axis_names:
        raise ValueError(
            'mesh must have an axis "samples", as jlogreg.mesh() makes it, but is '
            f"{mesh!r}"
        )
    return NamedSharding(mesh, PartitionSpec(None, "samples"))


def _checked(X: Any, y: Any, weight: Any, offset: Any) -> dict[str, Array]:
    """Return the rows that are given, by name, checked.

    Raises:
        DtypeError, RankError, ShapeError: if one has the wrong type, dtype, rank or
            shape.
    """
    if any(hasattr(X, name) for name in ("tocoo", "nse", "slice_samples")):
        raise DtypeError(
            f"X is a {type(X).__name__}, but only arrays can be spread over devices: "
            "pass an array of NumPy or JAX"
        )
    X = check_matrix("X", X, ("n", "m"), no_rows=True)
    m, dtype = X.shape[1], X.dtype
    check_orientation("X", X.shape, "y", y)
    rows = {"y": as_labels(y, dtype), "weight": weight, "offset": offset}
    return {"X": X} | {
        name: check_matrix(name, row, ("K", m), dtype)
        for name, row in rows.items()
        if row is not None or name == "y"
    }


def _checked_by_all(
    check: Callable[[], dict[str, Array]], alone: bool
) -> tuple[dict[str, Array], list[int]]:
    """Return the rows of this process, and the numbers of samples of all.

    alone says that the mesh has devices of this process only.

    Raises:
        ShapeError: if another process has other rows or dtypes, or none that are valid:
            it would be waited for in vain.
    """
    if alone:
        given = check()
        return given, [given["X"].shape[1]]
    failure, m = None, 0
    try:
        given = check()
        m = given["X"].shape[1]
        names = (f"{len(row)} rows of {name}" for name, row in given.items())
        words = f"has {', '.join(names)}, {given['X'].dtype}"
    except Exception as error:
        failure, words = error, f"fails: {error}"
    said = [content.decode() for content in gather_bytes(words.encode())]
    if failure is not None:
        raise failure
    for index, other in enumerate(said):
        if other != words:
            raise ShapeError(
                "each process must give the same rows of its own samples, but process "
                f"{jax.process_index()} {words}, and process {index} {other}"
            )
    counts = np.asarray(multihost_utils.process_allgather(np.array(m)))
    return given, [int(count) for count in counts]


def gather_bytes(content: bytes) -> list[bytes]:
    """Return what each process gives, in all of them; they wait for each other."""
    sizes = np.asarray(multihost_utils.process_allgather(np.int32(len(content))))
    padded = np.zeros(max(1, *map(int, sizes)), np.uint8)
    padded[: len(content)] = np.frombuffer(content, np.uint8)
    rows = np.asarray(multihost_utils.process_allgather(padded))
    return [row[:size].tobytes() for row, size in zip(rows, sizes, strict=True)]


def _part(counts: list[int], spread: NamedSharding) -> int:
    """Return the samples in the part of each process, with those that fill it up."""
    # What a process gives is cut into as many pieces as it has places on the axis.
    places = spread.mesh.shape["samples"]
    indices = spread.addressable_devices_indices_map((1, places)).values()
    pieces = len({index[1].start or 0 for index in indices if index})
    return -(-max(counts) // pieces) * pieces

"""Read a user's own files: HDF5, NPZ, CSV and Parquet."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from experiments.config import LARGEST, Section
from experiments.errors import UserError

Floats = NDArray[np.float32]


LARGE_FILE = 2**26


class Files(Section):
    """Name files of the user's, whose contents tell runs apart."""

    def paths(self) -> list[Path]:
        """Return the files."""
        return []


def fingerprint(config: Files) -> str:
    """Return a digest of the user's files, "" where there are none.

    It is that of their contents, or of size and time where reading would take long.
    """
    digest = hashlib.sha256()
    paths = config.paths()
    for path in paths:
        status = path.stat()
        if status.st_size > LARGE_FILE:
            digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
        else:
            digest.update(path.read_bytes())
    return digest.hexdigest() if paths else ""


class Table(NamedTuple):
    """Samples as a file holds them: what they are, and their labels."""

    values: NDArray[Any]  # (m, h, w, c), (m, h, w) or (m, n)
    labels: NDArray[Any]  # (m,)
    features: tuple[str, ...] | None = None


def read_table(path: Path, images: str, labels: str, label: str) -> Table:
    """Return the samples of a file, read by the ending of its name."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(READERS)
        raise UserError(
            f"{path}: its ending is none of those that can be read: {known}"
        )
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    try:
        read = reader(path, images, labels, label)
    except UserError:
        raise
    except Exception as error:
        # A broken file can fail anywhere inside its library: h5py alone raises
        # OSError, RuntimeError, KeyError and ValueError for truncated files.
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read: {reason}") from error
    _check(path, read, images, labels)
    return read


def _read_hdf5(path: Path, images: str, labels: str, label: str) -> Table:
    import h5py

    with h5py.File(path, "r") as file:
        for key in (images, labels):
            if not isinstance(file.get(key), h5py.Dataset):
                raise UserError(f"{path}: has no data set {key!r}, only {list(file)}")
        # An empty or a string data set gives no array by itself.
        return Table(np.asarray(file[images][()]), np.asarray(file[labels][()]))


def _read_npz(path: Path, images: str, labels: str, label: str) -> Table:
    # np.load would leave a broken file open; a file that is open already is closed.
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        for key in (images, labels):
            if key not in file:
                raise UserError(f"{path}: has no array {key!r}, only {list(file)}")
        return Table(file[images], file[labels])


def _read_csv(path: Path, images: str, labels: str, label: str) -> Table:
    return _from_table(path, pa.csv.read_csv(path), label)


def _read_parquet(path: Path, images: str, labels: str, label: str) -> Table:
    import pyarrow.parquet

    return _from_table(path, pyarrow.parquet.read_table(path), label)


def _from_table(path: Path, table: pa.Table, label: str) -> Table:
    if label not in table.column_names:
        raise UserError(f"{path}: has no column {label!r}, only {table.column_names}")
    twice = sorted(
        {name for name, count in Counter(table.column_names).items() if count > 1}
    )
    if twice:
        raise UserError(f"{path}: has more than one column {twice[0]!r}")
    for column in table.itercolumns():
        if column.null_count:
            raise UserError(f"{path}: has {column.null_count} missing values")
    features = tuple(name for name in table.column_names if name != label)
    for name in features:
        kind = table.schema.field(name).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            raise UserError(f"{path}: the column {name!r} holds {kind}, not numbers")
    if not features:
        raise UserError(f"{path}: has no column beside {label!r}")
    columns = [table.column(name).to_numpy() for name in features]
    values = np.stack([column.astype(np.float64) for column in columns], axis=1)
    return Table(values, table.column(label).to_numpy(), features)


READERS: dict[str, Callable[[Path, str, str, str], Table]] = {
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
    ".npz": _read_npz,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}


def _check(path: Path, read: Table, images: str, labels: str) -> None:
    values, answers = read.values, read.labels
    if values.ndim not in (2, 3, 4):
        raise UserError(
            f"{path}: {images} has shape {values.shape}, but must be images (m, h, w, "
            "c) or (m, h, w), or features (m, n)"
        )
    if values.ndim > 2 and values.dtype != np.uint8:
        raise UserError(f"{path}: {images} holds {values.dtype}, but images are uint8")
    if values.dtype.kind not in "iuf" or not (abs(values) <= np.float32(LARGEST)).all():
        raise UserError(
            f"{path}: {images} must hold finite numbers that fit float32, but holds "
            f"{values.dtype}, NaN or infinity"
        )
    if 0 in values.shape:
        raise UserError(f"{path}: {images} has shape {values.shape}: nothing to learn")
    if answers.shape != values.shape[:1]:
        raise UserError(
            f"{path}: {labels} has shape {answers.shape}, but must be "
            f"({values.shape[0]},), one label for each sample"
        )


def label_row(labels: NDArray[Any], name: str) -> Floats:
    """Return labels as a row (1, m) of 0 and 1."""
    if labels.dtype.kind not in "biuf" or not np.isin(labels, (0, 1)).all():
        shown = ", ".join(sorted({str(label) for label in labels})[:4])
        raise UserError(f"{name}: labels must be 0 or 1, but are {shown}")
    return labels[None].astype(np.float32)

"""Read the user's own files of samples: HDF5, NPZ, CSV and Parquet."""

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
    """Settings that name files of the user, whose contents tell runs apart."""

    def paths(self) -> list[Path]:
        """Return the files."""
        return []


def fingerprint(config: Files) -> str:
    """Return a digest of the user's files, "" if there are none.

    It is that of their contents, or for large files of their size and time.
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


class LabeledSamples(NamedTuple):
    """Samples of a file, a row each, with their labels and the names of features."""

    values: NDArray[Any]  # (m, h, w, c), (m, h, w) or (m, n)
    labels: NDArray[Any]  # (m,)
    features: tuple[str, ...] | None = None


def read_samples(path: Path, images: str, labels: str, label: str) -> LabeledSamples:
    """Return the samples of a file; the ending of its name tells the format.

    Args:
        path: the file.
        images: the key of images or features, in HDF5 and NPZ.
        labels: the key of labels there.
        label: the column of labels, in CSV and Parquet.

    Raises:
        UserError: if the file is missing or broken, or has other contents.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(READERS)
        raise UserError(f"{path}: its name must end in one of {known}")
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


def _read_hdf5(path: Path, images: str, labels: str, label: str) -> LabeledSamples:
    import h5py

    with h5py.File(path, "r") as file:
        for key in (images, labels):
            if not isinstance(file.get(key), h5py.Dataset):
                raise UserError(f"{path}: has no data set {key!r}, only {list(file)}")
        # An empty data set, or one of strings, does not give an array by itself.
        return LabeledSamples(
            np.asarray(file[images][()]), np.asarray(file[labels][()])
        )


def _read_npz(path: Path, images: str, labels: str, label: str) -> LabeledSamples:
    # np.load leaves a broken file open, so it is given a file that is closed here.
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        for key in (images, labels):
            if key not in file:
                raise UserError(f"{path}: has no array {key!r}, only {list(file)}")
        return LabeledSamples(file[images], file[labels])


def _read_csv(path: Path, images: str, labels: str, label: str) -> LabeledSamples:
    return _from_table(path, pa.csv.read_csv(path), label)


def _read_parquet(path: Path, images: str, labels: str, label: str) -> LabeledSamples:
    import pyarrow.parquet

    return _from_table(path, pyarrow.parquet.read_table(path), label)


def _from_table(path: Path, table: pa.Table, label: str) -> LabeledSamples:
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
        raise UserError(f"{path}: has no column other than {label!r}")
    columns = [table.column(name).to_numpy() for name in features]
    values = np.stack([column.astype(np.float64) for column in columns], axis=1)
    return LabeledSamples(values, table.column(label).to_numpy(), features)


READERS: dict[str, Callable[[Path, str, str, str], LabeledSamples]] = {
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
    ".npz": _read_npz,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}


def _check(path: Path, read: LabeledSamples, images: str, labels: str) -> None:
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
    """Return labels (m,) as a row (1, m) of 0 and 1; the name is for errors."""
    if labels.dtype.kind not in "biuf" or not np.isin(labels, (0, 1)).all():
        shown = ", ".join(sorted({str(label) for label in labels})[:4])
        raise UserError(f"{name}: labels must be 0 or 1, but are {shown}")
    return labels[None].astype(np.float32)

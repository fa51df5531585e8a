"""Read the user's own files of samples: HDF5, NPZ, CSV and Parquet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.config import LARGEST, Section
from experiments.datasets import tables
from experiments.errors import UserError, one_line
from experiments.storage.regular import check_file, open_file, read_file

Floats = NDArray[np.float32]
LARGE_FILE = 2**26
# So many soft links lead to no data set: they may lead in a circle.
MOST_LINKS = 16


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
        check_file(path)
        status = path.stat()
        if status.st_size > LARGE_FILE:
            digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
        else:
            digest.update(read_file(path))
    return digest.hexdigest() if paths else ""


class LabeledSamples(NamedTuple):
    """Samples of a file, a row each, with their labels and the names of features."""

    values: NDArray[Any]  # (m, h, w, c), (m, h, w) or (m, n)
    labels: NDArray[Any]  # (m,)
    features: tuple[str, ...] | None = None


class Names(NamedTuple):
    """What a file calls its parts: keys in HDF5 and NPZ, columns in tables."""

    images: str
    labels: str
    label: str
    leave_out: tuple[str, ...] = ()


def read_samples(path: Path, names: Names) -> LabeledSamples:
    """Return the samples of a file; the ending of its name tells the format.

    Raises:
        UserError: if the file is missing or broken, or has other contents.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(READERS)
        raise UserError(f"{path}: its name must end in one of {known}")
    check_file(path)
    try:
        read = reader(path, names)
    except UserError:
        raise
    except Exception as error:
        # A broken file can fail anywhere inside its library: h5py alone raises
        # OSError, RuntimeError, KeyError and ValueError for truncated files.
        raise UserError(f"{path}: cannot be read: {one_line(error)}") from error
    _check(path, read, names)
    return read


def _read_hdf5(path: Path, names: Names) -> LabeledSamples:
    import h5py

    with h5py.File(path, "r") as file:
        # An empty data set, or one of strings, does not give an array by itself.
        images, labels = (
            np.asarray(_data_set(path, file, key)[()])
            for key in (names.images, names.labels)
        )
        return LabeledSamples(images, labels)


def _data_set(path: Path, file: Any, key: str) -> Any:
    """Return the data set of a key, if its data are in the file itself.

    Data elsewhere may change while the file, and with it the name of the run, does not.
    Nothing outside of the file is opened.
    """
    import h5py

    parts, place, steps = key.split("/"), file, 0
    while parts:
        part, *parts = parts
        if part in ("", "."):
            continue
        link = place.get(part, getlink=True) if isinstance(place, h5py.Group) else None
        if isinstance(link, h5py.ExternalLink):
            raise UserError(f"{path}: {key!r} is a link into another file")
        if isinstance(link, h5py.SoftLink) and steps < MOST_LINKS:
            place = file if link.path.startswith("/") else place
            parts, steps = [*link.path.split("/"), *parts], steps + 1
        elif isinstance(link, h5py.HardLink):
            place = place[part]
        else:
            place = None
    if not isinstance(place, h5py.Dataset):
        raise UserError(f"{path}: has no data set {key!r}, only {list(file)}")
    if place.external or place.is_virtual:
        raise UserError(f"{path}: the data of {key!r} are in other files or data sets")
    return place


def _read_npz(path: Path, names: Names) -> LabeledSamples:
    # np.load leaves a broken file open, so it is given a file that is closed here.
    with open_file(path) as opened, np.load(opened, allow_pickle=False) as file:
        arrays = [file.get(key) for key in (names.images, names.labels)]
        for key, array in zip((names.images, names.labels), arrays, strict=True):
            # What is no array is given as bytes.
            if not isinstance(array, np.ndarray):
                raise UserError(f"{path}: has no array {key!r}, only {list(file)}")
        return LabeledSamples(*arrays)


def _read_table(path: Path, names: Names) -> LabeledSamples:
    table = tables.read_table(path)
    parts = tables.features_and_labels(path, table, names.label, names.leave_out)
    return LabeledSamples(*parts)


READERS: dict[str, Callable[[Path, Names], LabeledSamples]] = {
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
    ".npz": _read_npz,
    ".csv": _read_table,
    ".parquet": _read_table,
}


def _check(path: Path, read: LabeledSamples, names: Names) -> None:
    values, answers = read.values, read.labels
    images, labels = names.images, names.labels
    if values.ndim not in (2, 3, 4):
        raise UserError(
            f"{path}: {images} has shape {values.shape}, but must be images (m, h, w, "
            "c) or (m, h, w), or features (m, n)"
        )
    if values.ndim > 2 and values.dtype != np.uint8:
        raise UserError(f"{path}: {images} holds {values.dtype}, but images are uint8")
    if values.dtype.kind not in "biuf":
        raise UserError(
            f"{path}: {images} must hold finite numbers, but holds {values.dtype}"
        )
    if (wrong := ~(abs(values) <= np.float32(LARGEST))).any():
        place = ", ".join(map(str, np.argwhere(wrong)[0]))
        raise UserError(
            f"{path}: {images} must hold finite numbers that fit float32, but holds "
            f"{wrong.sum()} others, the first at [{place}]"
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

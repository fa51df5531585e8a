"""Load data sets: those of installed packages, and the user's own files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.config import Fraction, Section, Text
from experiments.datasets.files import Files, Floats, Names, label_row, read_samples
from experiments.datasets.standardize import mean_and_deviation
from experiments.errors import UserError
from jlogreg import flatten_images


class DataConfig(Files):
    """The data set to load.

    `files` are the user's own: HDF5 or NPZ with images (m, h, w, c) uint8, or features
    (m, n), and labels (m,) under the keys below; CSV or Parquet with a label column,
    in which all columns but those in `leave_out` are features. The index of a pandas
    frame, which a Parquet file names as such, is none.

    Attributes:
        source: data that come with the project, or files of your own.
        train: the file of the samples to learn from.
        test: the file of those that are held out; without it, some of train are.
        train_images: the key of the images, or features, in train.
        train_labels: the key of the labels in train.
        test_images: the key of the images, or features, in test.
        test_labels: the key of the labels in test.
        label: the column of the label in a CSV or Parquet file.
        leave_out: its columns that are no features.
        test_fraction: the share of the samples that is held out without a test file.
        standardize: whether each feature gets the mean 0 and the deviation 1.
    """

    source: Literal["faces", "breast_cancer", "files"]
    train: str = ""
    test: str = ""
    train_images: Text = "train_set_x"
    train_labels: Text = "train_set_y"
    test_images: Text = "test_set_x"
    test_labels: Text = "test_set_y"
    label: Text = "label"
    leave_out: tuple[str, ...] = ()
    test_fraction: Fraction = 0.25
    standardize: bool = False

    def paths(self) -> list[Path]:
        """Return the user's files."""
        names = (self.train, self.test) if self.source == "files" else ()
        return [Path(name) for name in names if name]


class DigitsConfig(Section):
    """The handwritten digits, and the fraction of them to hold out.

    Attributes:
        source: the digits come with the project.
        test_fraction: the share of the samples that is held out.
    """

    source: Literal["digits"] = "digits"
    test_fraction: Fraction = 0.25


class Data(NamedTuple):
    """Two sets of samples, each sample a column.

    Shapes: X_train (n, m), y_train (1, m), X_test (n, p), y_test (1, p), float32.
    image_shape is (h, w) or (h, w, c), or None if a column is not an image. If the
    features have been standardized, (X - mean) / deviation, units are the mean (n, 1)
    and the deviation (n, 1) of each feature before.
    """

    X_train: Floats
    y_train: Floats
    X_test: Floats
    y_test: Floats
    classes: tuple[str, str]
    features: tuple[str, ...] | None = None
    image_shape: tuple[int, ...] | None = None
    units: Mapping[str, NDArray[np.float64]] = MappingProxyType({})


class Digits(NamedTuple):
    """Two sets of images and, for each digit, a row of labels: 1 for that digit.

    Shapes: X_train (64, m), Y_train (10, m), X_test (64, p), Y_test (10, p), float32;
    a column is an image (8, 8), in [0, 1].
    """

    X_train: Floats
    Y_train: Floats
    X_test: Floats
    Y_test: Floats


def load(config: DataConfig, seed: int, whole: bool = False) -> Data:
    """Return the data that the configuration names, split by the seed if it is one set.

    With `whole`, the held-out samples are also in the train set.

    Raises:
        UserError: if a file is missing, broken or has other contents than expected.
    """
    if config.source == "files":
        data = _load_files(config, seed)
    elif config.source == "faces":
        data = _load_faces(config, seed)
    else:
        data = _load_breast_cancer(config, seed)
    if whole:
        data = data._replace(
            X_train=np.hstack([data.X_train, data.X_test]),
            y_train=np.hstack([data.y_train, data.y_test]),
        )
    return _standardized(data) if config.standardize else data


def load_digits(config: DigitsConfig, seed: int) -> Digits:
    """Return the handwritten digits, split by the seed.

    Raises:
        UserError: if a part of the split is too small for every digit.
    """
    from sklearn import datasets

    bunch = datasets.load_digits()  # images of (8, 8) as rows, grey levels 0, ..., 16
    X, digit = _columns(bunch.data / 16), bunch.target[None]
    X_train, train, X_test, test = _split(
        "digits", X, digit, config.test_fraction, seed
    )
    every = np.arange(10)[:, None]  # (10, 1), against a row (1, m)
    Y_train, Y_test = ((row == every).astype(np.float32) for row in (train, test))
    return Digits(X_train, Y_train, X_test, Y_test)


def _load_faces(config: DataConfig, seed: int) -> Data:
    from skimage.data import lfw_subset

    images = lfw_subset()  # (200, 25, 25): 100 faces, then 100 other images
    X = _columns(images)
    y = (np.arange(images.shape[0]) < 100)[None].astype(np.float32)
    parts = _split("faces", X, y, config.test_fraction, seed)
    return Data(*parts, classes=("no face", "face"), image_shape=images.shape[1:])


def _load_breast_cancer(config: DataConfig, seed: int) -> Data:
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    malignant = (bunch.target == 0)[None].astype(np.float32)
    parts = _split(
        "breast_cancer", _columns(bunch.data), malignant, config.test_fraction, seed
    )
    return Data(
        *parts,
        classes=("benign", "malignant"),
        features=tuple(map(str, bunch.feature_names)),
    )


def _load_files(config: DataConfig, seed: int) -> Data:
    if not config.train:
        raise UserError("data.train is not set: name the file with --data.train FILE")
    columns = config.label, config.leave_out
    names = Names(config.train_images, config.train_labels, *columns)
    train = read_samples(Path(config.train), names)
    X, y = _columns(train.values), label_row(train.labels, config.train)
    shape = train.values.shape[1:] if train.values.ndim > 2 else None
    if config.test:
        names = Names(config.test_images, config.test_labels, *columns)
        test = read_samples(Path(config.test), names)
        if test.values.shape[1:] != train.values.shape[1:]:
            raise UserError(
                f"{config.test}: a sample has shape {test.values.shape[1:]}, but in "
                f"{config.train} it has {train.values.shape[1:]}"
            )
        if test.features != train.features:
            raise UserError(f"{config.test}: has other columns than {config.train}")
        y_test = label_row(test.labels, config.test)
        parts = (X, y, _columns(test.values), y_test)
    else:
        parts = _split(config.train, X, y, config.test_fraction, seed)
    return Data(*parts, classes=("0", "1"), features=train.features, image_shape=shape)


def _columns(values: NDArray[Any]) -> Floats:
    """Return samples (m, ...) as columns (n, m), the bytes of images over 255."""
    if values.ndim == 2:
        return np.ascontiguousarray(values.T, dtype=np.float32)
    columns = np.asarray(flatten_images(values), dtype=np.float32)
    return columns / np.float32(255) if values.dtype == np.uint8 else columns


def _split(
    name: str, X: Floats, y: Floats, fraction: float, seed: int
) -> tuple[Floats, Floats, Floats, Floats]:
    from sklearn.model_selection import train_test_split

    try:
        train, test = train_test_split(
            np.arange(y.size), test_size=fraction, random_state=seed, stratify=y[0]
        )
    except ValueError as error:
        raise UserError(f"{name}: the samples cannot be split: {error}") from error
    return X[:, train], y[:, train], X[:, test], y[:, test]


def _standardized(data: Data) -> Data:
    """Return the data with features of mean 0 and deviation 1 on the train set.

    A feature that is constant there becomes 0 there.
    """
    mean, deviation = mean_and_deviation(data.X_train)

    def scaled(X: Floats) -> Floats:
        return ((X - mean) / deviation).astype(np.float32)

    return data._replace(
        X_train=scaled(data.X_train),
        X_test=scaled(data.X_test),
        units={"mean": mean, "deviation": deviation},
    )

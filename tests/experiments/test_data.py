"""Data arrive as columns, split the same way each time; bad files are one line."""

import os

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from skimage.data import lfw_subset
from sklearn import datasets

from experiments.datasets import files
from experiments.datasets.files import fingerprint
from experiments.datasets.load import DataConfig, DigitsConfig, load, load_digits
from tests.experiments.conftest import toy_images, write_csv, write_hdf5

BOTH = ("faces", "breast_cancer")


def assert_sound(data):
    """Assert what holds for every data set: shapes, dtype, labels."""
    n = data.X_train.shape[0]
    for X, y in [(data.X_train, data.y_train), (data.X_test, data.y_test)]:
        assert X.shape == (n, y.size)
        assert y.shape == (1, y.size)
        assert X.dtype == y.dtype == np.float32
        assert np.isfinite(X).all()
        assert np.isin(y, (0, 1)).all()
    assert len(data.classes) == 2
    if data.features is not None:
        assert len(data.features) == n
    if data.image_shape is not None:
        assert np.prod(data.image_shape) == n


def columns_of(X, y):
    """Return the samples as a sorted list, so that their order does not matter."""
    return sorted((tuple(x), float(label)) for x, label in zip(X.T, y[0], strict=True))


def all_columns(data):
    X = np.hstack([data.X_train, data.X_test])
    return columns_of(X, np.hstack([data.y_train, data.y_test]))


# --- what comes inside packages -------------------------------------------------------


def test_faces_are_pixels_between_0_and_1_and_labelled_1():
    data = load(DataConfig("faces"), seed=0)
    assert_sound(data)
    assert data.X_train.shape == (625, 150)
    assert data.X_test.shape == (625, 50)
    assert data.image_shape == (25, 25)
    assert data.features is None
    assert data.classes == ("no face", "face")
    assert data.X_train.min() >= 0
    assert 0.9 < data.X_train.max() <= 1
    images = lfw_subset().astype(np.float32).reshape(200, -1)
    assert all_columns(data) == columns_of(images.T, np.arange(200)[None] < 100)


def test_breast_cancer_has_30_named_features_and_malignant_is_1():
    data = load(DataConfig("breast_cancer"), seed=0)
    assert_sound(data)
    assert data.X_train.shape == (30, 426)
    assert data.X_test.shape == (30, 143)
    assert data.image_shape is None
    assert data.features[0] == "mean radius"
    assert data.classes == ("benign", "malignant")
    bunch = datasets.load_breast_cancer()
    malignant = (bunch.target_names[bunch.target] == "malignant")[None]
    assert all_columns(data) == columns_of(bunch.data.T.astype(np.float32), malignant)


def test_digits_are_columns_with_a_row_of_labels_each():
    data = load_digits(DigitsConfig(), seed=3)
    shapes = [(64, 1347), (10, 1347), (64, 450), (10, 450)]
    assert [part.shape for part in data] == shapes
    for part in data:
        assert (part.dtype, part.min(), part.max()) == (np.float32, 0, 1)
    pixels, labels = np.hstack(data[::2]), np.hstack(data[1::2])
    assert (labels.sum(axis=0) == 1).all()
    bunch = datasets.load_digits()
    images = sorted(zip(map(tuple, bunch.data), bunch.target, strict=True))
    columns = map(tuple, 16 * pixels.T.astype(float))
    assert sorted(zip(columns, labels.argmax(axis=0), strict=True)) == images


@pytest.mark.parametrize("source", [*BOTH, "digits", "files"])
@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_the_split_is_stratified_and_decided_by_the_seed(source, fraction, table):
    def split(seed):
        if source == "digits":
            return load_digits(DigitsConfig(test_fraction=fraction), seed)
        train = str(table) if source == "files" else ""
        return load(DataConfig(source, train=train, test_fraction=fraction), seed)[:4]

    first, again, other = split(5), split(5), split(6)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert columns_of(*first[2:]) != columns_of(*other[2:])
    _, y_train, _, y_test = first
    m = y_train.shape[1] + y_test.shape[1]
    assert y_test.shape[1] == np.ceil(fraction * m)
    ones = y_train.sum(axis=1) + y_test.sum(axis=1)
    for y in (y_train, y_test):
        assert (np.abs(y.sum(axis=1) - ones / m * y.shape[1]) < 1).all()


@pytest.mark.parametrize("source", BOTH)
def test_standardized_features_have_mean_0_and_deviation_1_on_the_train_set(source):
    raw = load(DataConfig(source), seed=0)
    data = load(DataConfig(source, standardize=True), seed=0)
    assert_sound(data)
    X = raw.X_train.astype(np.float64)
    mean, deviation = X.mean(axis=1, keepdims=True), X.std(axis=1, keepdims=True)
    # A mean of 600 in float32 is off by some roundings of 600.
    within = 50 * np.finfo(np.float32).eps * (1 + np.abs(mean / deviation))
    assert (np.abs(data.X_train.mean(axis=1, keepdims=True)) <= within).all()
    assert (np.abs(data.X_train.std(axis=1, keepdims=True) - 1) <= within).all()
    due = (raw.X_test - mean) / deviation
    assert (np.abs(data.X_test - due) <= within * (1 + np.abs(due))).all()
    assert data.X_test.mean(axis=1).any()
    np.testing.assert_array_equal(data.y_train, raw.y_train)
    again = (raw.X_test - data.units["mean"]) / data.units["deviation"]
    np.testing.assert_array_equal(data.X_test, again.astype(np.float32))
    assert not raw.units


def test_large_features_are_standardized_too(tmp_path, samples):
    # The square of 1e30 overflows float32.
    values, labels = samples
    small, large = (
        load(DataConfig("files", train=str(path), standardize=True), seed=0)
        for path in (
            write_csv(tmp_path / "small.csv", values, labels),
            write_csv(tmp_path / "large.csv", values * 1e30, labels),
        )
    )
    np.testing.assert_allclose(large.X_train, small.X_train, rtol=1e-5, atol=1e-6)


# A rounded mean of 0.1 would leave a difference, which its deviation makes 1 or -1.
@pytest.mark.parametrize("constant", [0.0, 3.0, 0.1])
def test_a_standardized_constant_is_0(constant, tmp_path, samples):
    values, labels = samples
    values[:, 1] = constant
    path = write_csv(tmp_path / "table.csv", values, labels)
    data = load(DataConfig("files", train=str(path), standardize=True), seed=0)
    assert_sound(data)
    assert not data.X_train[1].any()
    assert not data.X_test[1].any()
    assert data.X_train[0].any()


# --- the user's own files -------------------------------------------------------------


def write_npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def write_table(path, columns):
    table = pa.table(columns)
    if path.suffix == ".csv":
        pa.csv.write_csv(table, path)
    else:
        pa.parquet.write_table(table, path)
    return path


def from_file(train, test="", **settings):
    return load(DataConfig("files", train=str(train), test=str(test), **settings), 0)


ARRAY_FILES = {"train.h5": write_hdf5, "train.HDF5": write_hdf5, "train.npz": write_npz}


@pytest.mark.parametrize("name", ARRAY_FILES)
@pytest.mark.parametrize("shape", [(4, 5, 3), (4, 5)])
def test_images_become_columns_divided_by_255(name, shape, tmp_path):
    images, labels = toy_images(8, shape=shape)
    others, answers = toy_images(4, seed=1, shape=shape)
    path = ARRAY_FILES[name](
        tmp_path / name,
        train_set_x=images,
        train_set_y=labels,
        test_set_x=others,
        test_set_y=answers,
    )
    data = from_file(path, path)
    assert_sound(data)
    assert data.image_shape == shape
    assert data.classes == ("0", "1")
    assert data.X_train.shape == (np.prod(shape), 8)
    for X, y, pictures, truth in [
        (data.X_train, data.y_train, images, labels),
        (data.X_test, data.y_test, others, answers),
    ]:
        np.testing.assert_array_equal(y[0], truth)
        for k, picture in enumerate(pictures):
            due = picture.ravel().astype(np.float64) / 255
            assert np.abs(X[:, k] - due).max() <= np.finfo(np.float32).eps


@pytest.mark.parametrize("name", ARRAY_FILES)
@pytest.mark.parametrize("kind", [np.float64, np.float16, np.int32, np.uint8])
def test_features_are_taken_as_they_are(name, kind, tmp_path):
    values = np.arange(30).reshape(10, 3).astype(kind)
    labels = np.arange(10) % 2
    path = ARRAY_FILES[name](tmp_path / name, train_set_x=values, train_set_y=labels)
    with_test = ARRAY_FILES[name](
        tmp_path / f"test-{name}", test_set_x=values[:2], test_set_y=labels[:2]
    )
    data = from_file(path, with_test)
    assert_sound(data)
    assert data.image_shape is None
    assert data.features is None
    np.testing.assert_array_equal(data.X_train, values.T)
    np.testing.assert_array_equal(data.X_test, values[:2].T)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_labels_may_be_any_kind_of_number(kind, tmp_path):
    values, labels = np.eye(6), np.array([0, 1, 1, 0, 1, 0]).astype(kind)
    path = write_hdf5(tmp_path / "train.h5", train_set_x=values, train_set_y=labels)
    data = from_file(path, test_fraction=0.5)
    assert_sound(data)
    assert data.y_train.sum() + data.y_test.sum() == 3


def test_the_keys_are_settings(tmp_path):
    values = np.arange(12.0).reshape(6, 2)
    labels = np.arange(6) % 2
    path = tmp_path / "all.h5"
    write_hdf5(path, **{"a/x": values, "a/y": labels, "bx": -values, "by": 1 - labels})
    keys = {"train_images": "a/x", "train_labels": "a/y"}
    keys |= {"test_images": "bx", "test_labels": "by"}
    data = from_file(path, path, **keys)
    np.testing.assert_array_equal(data.X_train, values.T)
    np.testing.assert_array_equal(data.y_train, labels[None])
    np.testing.assert_array_equal(data.X_test, -values.T)
    np.testing.assert_array_equal(data.y_test, 1 - labels[None])


@pytest.mark.parametrize("name", ["train.csv", "train.parquet"])
def test_tables_have_named_features_and_a_label_anywhere(name, tmp_path):
    columns = {
        "width": [1.5, 2.5, 3.5, 4.5],
        "sick": [0, 1, 1, 0],
        "height in cm": [10, 20, 30, 40],
    }
    path = write_table(tmp_path / name, columns)
    data = from_file(path, path, label="sick")
    assert_sound(data)
    assert data.features == ("width", "height in cm")
    np.testing.assert_array_equal(
        data.X_train, [columns["width"], columns["height in cm"]]
    )
    np.testing.assert_array_equal(data.y_train, [columns["sick"]])


@pytest.mark.parametrize("name", ["train.csv", "train.parquet"])
def test_labels_of_a_table_may_be_true_and_false(name, tmp_path):
    path = write_table(tmp_path / name, {"a": [1, 2], "label": [True, False]})
    np.testing.assert_array_equal(from_file(path, path).y_train, [[1, 0]])


def test_one_file_is_split_into_samples_of_its_own(table, samples):
    data, (values, labels) = from_file(table), samples
    assert_sound(data)
    assert data.X_train.shape == (3, 9)
    assert all_columns(data) == columns_of(values.T.astype(np.float32), labels[None])


def test_the_fingerprint_is_that_of_the_contents(table):
    config = DataConfig("files", train=str(table))
    both = DataConfig("files", train=str(table), test=str(table))
    before = fingerprint(config)
    assert len(before) == 64
    assert fingerprint(config) == before != fingerprint(both)
    table.write_text(table.read_text().replace("1", "2"))
    assert fingerprint(config) != before


def test_the_fingerprint_of_a_large_file_is_its_size_and_time(table, monkeypatch):
    monkeypatch.setattr(files, "LARGE_FILE", 10)
    config = DataConfig("files", train=str(table))
    before = fingerprint(config)
    assert fingerprint(config) == before
    os.utime(table, ns=(0, 0))
    later = fingerprint(config)
    table.write_bytes(table.read_bytes() + b"\n")
    os.utime(table, ns=(0, 0))
    assert len({before, later, fingerprint(config)}) == 3


@pytest.mark.parametrize("source", BOTH)
def test_what_comes_in_packages_has_no_fingerprint(source):
    assert fingerprint(DataConfig(source)) == ""


# --- invalid files --------------------------------------------------------------------


@pytest.fixture
def refused_file(config, refused):
    """Return a function that expects one line of a file, with these words in it."""

    def call(path, words, *overrides):
        line = refused(config, "--data.train", path, *overrides)
        assert f"{path}: " in line
        assert words in line

    return call


IMAGES, LABELS = toy_images(8)


def arrays(x=IMAGES, y=LABELS):
    return {"train_set_x": x, "train_set_y": y}


# The arrays that a file holds, and what the message says after the file's name.
BAD_ARRAYS = {
    "no images": ({"train_set_y": LABELS}, "'train_set_x', only ['train_set_y']"),
    "no labels": ({"train_set_x": IMAGES}, "'train_set_y', only ['train_set_x']"),
    "nothing": ({}, "'train_set_x', only []"),
    "rank 1": (arrays(np.arange(8.0)), "train_set_x has shape (8,), but must be"),
    "rank 5": (arrays(IMAGES[None]), "train_set_x has shape (1, 8, 4, 4, 3), but"),
    "rank 0": (arrays(np.uint8(1)), "train_set_x has shape (), but must be"),
    "float images": (arrays(IMAGES / 255), "train_set_x holds float64, but images are"),
    "int images": (arrays(IMAGES.astype(int)), "train_set_x holds int64, but images"),
    "complex": (arrays(np.ones((8, 2), complex)), "train_set_x must hold finite"),
    "text": (arrays(np.full((8, 2), b"x")), "train_set_x must hold finite numbers"),
    "NaN": (arrays(np.full((8, 2), np.nan)), "train_set_x must hold finite numbers"),
    "infinity": (arrays(np.full((8, 2), -np.inf)), "train_set_x must hold finite"),
    "too large": (arrays(np.full((8, 2), 1e39)), "finite numbers that fit float32"),
    "labels (m, 1)": (arrays(y=LABELS[:, None]), "train_set_y has shape (8, 1), but"),
    "labels (1, m)": (arrays(y=LABELS[None]), "has shape (1, 8), but must be (8,)"),
    "fewer labels": (arrays(y=LABELS[:7]), "train_set_y has shape (7,), but must be"),
    "one label": (arrays(y=np.int64(1)), "train_set_y has shape (), but must be (8,)"),
    "labels -1, 1": (arrays(y=2 * LABELS - 1), "labels must be 0 or 1, but are -1, 1"),
    "labels 1, 2": (arrays(y=LABELS + 1), "labels must be 0 or 1, but are 1, 2"),
    "labels 0 to 7": (arrays(y=np.arange(8)), "must be 0 or 1, but are 0, 1, 2, 3"),
    "labels 0.5": (arrays(y=LABELS / 2), "labels must be 0 or 1, but are 0.0, 0.5"),
    "labels NaN": (arrays(y=LABELS * np.nan), "labels must be 0 or 1, but are nan"),
    "text labels": (arrays(y=np.full(8, b"yes")), "labels must be 0 or 1, but are"),
    "no samples": (arrays(IMAGES[:0], LABELS[:0]), "has shape (0, 4, 4, 3): nothing"),
    "no pixels": (arrays(IMAGES[:, :0]), "has shape (8, 0, 4, 3): nothing to learn"),
    "no features": (arrays(np.ones((8, 0))), "has shape (8, 0): nothing to learn"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
@pytest.mark.parametrize("name", ["train.h5", "train.npz"])
def test_arrays_of_the_wrong_kind_are_refused(name, case, tmp_path, refused_file):
    content, words = BAD_ARRAYS[case]
    path = ARRAY_FILES[name](tmp_path / name, **content)
    refused_file(path, words)
    # As the test file it is refused in the same way.
    valid = ARRAY_FILES[name](tmp_path / f"valid-{name}", **arrays())
    keys = ["--data.test_images=train_set_x", "--data.test_labels=train_set_y"]
    refused_file(path, words, "--data.train", valid, "--data.test", path, *keys)


RAGGED = [np.arange(k) for k in range(8)]
# What only HDF5 can hold, and what the message says after the file's name.
ODD_HDF5 = {
    "group for images": ({"train_set_x/in": IMAGES}, "no data set 'train_set_x', only"),
    "group for labels": ({"train_set_y/in": LABELS}, "no data set 'train_set_y', only"),
    "link to nowhere": ({"train_set_x": h5py.SoftLink("/nowhere")}, "train_set_x"),
    "link to no file": (
        {"train_set_x": h5py.ExternalLink("n", "/x")},
        "train_set_x",
    ),
    "empty images": ({"train_set_x": h5py.Empty("uint8")}, "train_set_x"),
    "empty labels": ({"train_set_y": h5py.Empty("int64")}, "train_set_y"),
    "string for images": ({"train_set_x": "cats"}, "train_set_x"),
    "string for labels": ({"train_set_y": "cats"}, "train_set_y"),
    "ragged labels": ({"train_set_y": RAGGED}, "labels must be 0 or 1"),
    "references for labels": ({"train_set_y": h5py.Reference}, "labels must be 0 or 1"),
}


@pytest.mark.parametrize("case", ODD_HDF5)
def test_what_only_hdf5_can_hold_is_refused(case, tmp_path, refused_file):
    content, words = ODD_HDF5[case]
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        for key, values in content.items():
            if values is RAGGED:
                ragged = file.create_dataset(key, 8, h5py.vlen_dtype(np.int64))
                for k, row in enumerate(RAGGED):
                    ragged[k] = row
            else:
                file[key] = [file.ref] * 8 if values is h5py.Reference else values
        for key in arrays().keys() - set(file):  # `in` follows links
            file[key] = arrays()[key]
    refused_file(tmp_path / "odd.h5", words)


@pytest.mark.parametrize("name", [*ARRAY_FILES, "train.parquet"])
def test_damaged_files_and_those_of_another_kind_are_refused(
    name, tmp_path, refused_file
):
    path = tmp_path / name
    if name in ARRAY_FILES:
        ARRAY_FILES[name](path, **arrays())
    else:
        write_table(path, {"a": np.arange(500.0), "label": np.arange(500) % 2})
    content = path.read_bytes()
    shares = (0.0, 0.001, 0.1, 0.5, 0.9, 0.999)
    cut = [content[: int(share * len(content))] for share in shares]
    if "npz" not in name:
        cut.append(content[:-1])
    for damaged in [*cut, b"a,b,label\n1,2,0\n", bytes(4096), b"PK\x03\x04"]:
        path.write_bytes(damaged)
        refused_file(path, ": cannot be read: ")


def test_a_single_array_is_no_npz(tmp_path, refused_file):
    path = tmp_path / "train.npz"
    with path.open("wb") as file:
        np.save(file, IMAGES)
    refused_file(path, ": cannot be read: ")


@pytest.mark.parametrize("key", ["train_set_x", "train_set_y"])
def test_pickled_objects_are_not_unpickled(key, tmp_path, refused_file):
    trap = tmp_path / "trap"
    content = arrays() | {key: np.array([Trap(trap)] * 8)}
    path = write_npz(tmp_path / "train.npz", **content)
    refused_file(path, ": cannot be read: ")
    refused_file(path, "allow_pickle=False")
    assert not trap.exists()


class Trap:
    """Unpickled, this makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return type(self.path).touch, (self.path,)


@pytest.mark.parametrize("key", ["train", "test"])
def test_files_that_are_none_are_refused(key, tmp_path, config, refused):
    (tmp_path / "folder.npz").mkdir()
    for name in ("none.h5", "none.csv", "folder.npz", "table.txt", "table"):
        words = "there is no such file"
        if name.startswith("table"):
            words = "must end in one of .h5, .hdf5, .npz, .csv, .parquet"
        line = refused(config, f"--data.{key}", tmp_path / name)
        assert f"{tmp_path / name}: " in line
        assert words in line


# The text of a CSV file, and what the message says after its name.
BAD_TABLES = {
    "empty": ("", "cannot be read: Empty CSV file"),
    "no label": ("a,b\n1,2\n", "has no column 'label', only ['a', 'b']"),
    "only a label": ("label\n1\n", "has no column other than 'label'"),
    "only a heading": ("a,label\n", "a"),
    "text": ("a,b,label\n1,x,0\n2,y,1\n", "the column 'b' holds string, not numbers"),
    "truth": ("a,b,label\n1,true,0\n", "the column 'b' holds bool, not numbers"),
    "date": ("a,b,label\n1,2020-01-01,0\n", "the column 'b' holds date32"),
    "missing": ("a,b,label\n1,,0\n2,3,1\n", "has 1 missing values"),
    "NaN": ("a,b,label\n1,nan,0\n2,NaN,1\n", "has 2 missing values"),
    "missing label": ("a,b,label\n1,2,\n2,3,1\n", "has 1 missing values"),
    "infinity": ("a,b,label\n1,inf,0\n2,3,1\n", "finite numbers that fit float32"),
    "too large": ("a,b,label\n1,1e39,0\n2,3,1\n", "finite numbers that fit float32"),
    "text labels": ("a,label\n1,no\n2,yes\n", "must be 0 or 1, but are no, yes"),
    "labels 1, 2": ("a,label\n1,1\n2,2\n", "labels must be 0 or 1, but are 1, 2"),
    "torn line": ("a,b,label\n1,2,0\n1,\n", "cannot be read: CSV parse error"),
    "doubled column": ("a,a,label\n1,2,0\n", "has more than one column 'a'"),
    "doubled label": ("a,label,label\n1,0,0\n", "has more than one column 'label'"),
    "semicolons": ("a;b;label\n1;2;0\n", "has no column 'label', only ['a;b;label']"),
    "too few to split": ("a,label\n1,0\n2,1\n", "cannot be split"),
    "a single sample": ("a,label\n1,0\n", "cannot be split"),
    "one of a class": ("a,label\n1,0\n2,0\n3,0\n4,1\n", "cannot be split"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_tables_of_the_wrong_kind_are_refused(case, tmp_path, refused_file):
    text, words = BAD_TABLES[case]
    path = tmp_path / "bad.csv"
    path.write_text(text)
    refused_file(path, words)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"b": ["x", "y"]}, "the column 'b' holds string, not numbers"),
        ({"b": [[1], [2, 3]]}, "the column 'b' holds list"),
        ({"b": [1, None]}, "has 1 missing values"),
        ({"b": [1.0, float("nan")]}, "finite numbers that fit float32"),
        ({"label": ["x", "y"]}, "labels must be 0 or 1, but are x, y"),
        ({"label": [[1], [2, 3]]}, "labels must be 0 or 1"),
        ({"label": [{"x": 1}, {"x": 2}]}, "labels must be 0 or 1"),
    ],
)
def test_what_only_parquet_can_hold_is_refused(columns, words, tmp_path, refused_file):
    content = {"a": [1.0, 2.0], "label": [0, 1]} | columns
    refused_file(write_table(tmp_path / "bad.parquet", content), words)


def test_samples_of_another_shape_in_the_test_file_are_refused(
    tmp_path, config, refused
):
    small, labels = toy_images(4, shape=(4, 3, 3))
    train = write_hdf5(tmp_path / "train.h5", **arrays())
    test = write_hdf5(tmp_path / "test.h5", test_set_x=small, test_set_y=labels)
    line = refused(config, "--data.train", train, "--data.test", test)
    assert f"{test}: a sample has shape (4, 3, 3), but in {train} it has (4, 4, 3)" in (
        line
    )


def test_other_columns_in_the_test_file_are_refused(tmp_path, config, table, refused):
    test = tmp_path / "test.csv"
    test.write_text(table.read_text().replace("a,b,c", "a,c,b"))
    line = refused(config, "--data.test", test)
    assert f"{test}: has other columns than {table}" in line


def test_one_class_alone_is_learnt(tmp_path, config, table, run_ok):
    """It is no mistake: the answer is that class, ever more surely."""
    train = tmp_path / "ones.csv"
    train.write_text("a,b,c,label\n1,2,3,1\n4,5,6,1\n")
    folder, _ = run_ok(config, "--data.train", train, "--data.test", table)
    rows = (folder / "results.csv").read_text().splitlines()
    assert "train accuracy,100.0,%" in rows

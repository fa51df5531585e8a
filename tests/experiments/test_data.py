"""Data arrive as columns, split the same way each time; bad files are one line."""

import os

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from skimage.data import lfw_subset
from sklearn.datasets import load_breast_cancer

from experiments.datasets import files
from experiments.datasets.files import fingerprint
from experiments.datasets.load import DataConfig, load
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


# --- what comes inside packages -------------------------------------------------------


def test_faces_are_pixels_between_0_and_1():
    data = load(DataConfig("faces"), seed=0)
    assert_sound(data)
    assert data.X_train.shape == (625, 150)
    assert data.X_test.shape == (625, 50)
    assert data.image_shape == (25, 25)
    assert data.features is None
    assert data.classes == ("no face", "face")
    assert data.X_train.min() >= 0
    assert 0.9 < data.X_train.max() <= 1


def test_faces_are_labelled_1():
    data = load(DataConfig("faces"), seed=0)
    images = lfw_subset().astype(np.float32).reshape(200, -1)
    X = np.hstack([data.X_train, data.X_test])
    y = np.hstack([data.y_train, data.y_test])
    assert columns_of(X[:, y[0] == 1], y[y == 1][None]) == columns_of(
        images[:100].T, np.ones((1, 100))
    )
    assert columns_of(X[:, y[0] == 0], y[y == 0][None]) == columns_of(
        images[100:].T, np.zeros((1, 100))
    )


def test_breast_cancer_has_30_named_features_and_malignant_is_1():
    data = load(DataConfig("breast_cancer"), seed=0)
    assert_sound(data)
    assert data.X_train.shape == (30, 426)
    assert data.X_test.shape == (30, 143)
    assert data.image_shape is None
    assert data.features[0] == "mean radius"
    assert data.classes == ("benign", "malignant")
    bunch = load_breast_cancer()
    malignant = (bunch.target_names[bunch.target] == "malignant")[None]
    found = columns_of(
        np.hstack([data.X_train, data.X_test]), np.hstack([data.y_train, data.y_test])
    )
    assert found == columns_of(bunch.data.T.astype(np.float32), malignant)


@pytest.mark.parametrize("source", BOTH)
@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_the_split_is_stratified(source, fraction):
    data = load(DataConfig(source, test_fraction=fraction), seed=3)
    total = data.y_train.size + data.y_test.size
    assert data.y_test.size == np.ceil(fraction * total)
    ones = data.y_train.sum() + data.y_test.sum()
    for y in (data.y_train, data.y_test):
        assert abs(y.sum() - ones / total * y.size) < 1


@pytest.mark.parametrize("source", BOTH)
def test_the_split_is_decided_by_the_seed(source):
    config = DataConfig(source)
    first, again, other = (load(config, seed) for seed in (5, 5, 6))
    for one, two in zip(first[:4], again[:4], strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first.X_test, other.X_test)
    assert columns_of(first.X_test, first.y_test) != columns_of(
        other.X_test, other.y_test
    )


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


def test_one_file_is_split_by_the_seed(table, samples):
    config = DataConfig("files", train=str(table))
    first, again, other = (load(config, seed) for seed in (0, 0, 1))
    assert_sound(first)
    assert first.X_train.shape == (3, 9)
    for one, two in zip(first[:4], again[:4], strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first.X_test, other.X_test)
    values, labels = samples
    found = columns_of(
        np.hstack([first.X_train, first.X_test]),
        np.hstack([first.y_train, first.y_test]),
    )
    assert found == columns_of(values.T.astype(np.float32), labels[None])


def test_the_fingerprint_is_that_of_the_contents(table, tmp_path):
    config = DataConfig("files", train=str(table))
    both = DataConfig("files", train=str(table), test=str(table))
    before = fingerprint(config)
    assert len(before) == 64
    assert fingerprint(config) == before
    assert fingerprint(both) != before
    table.write_text(table.read_text().replace("1", "2"))
    assert fingerprint(config) != before


def test_the_fingerprint_of_a_large_file_is_its_size_and_time(table, monkeypatch):
    monkeypatch.setattr(files, "LARGE_FILE", 10)
    config = DataConfig("files", train=str(table))
    before = fingerprint(config)
    assert fingerprint(config) == before
    os.utime(table, ns=(0, 0))
    later = fingerprint(config)
    assert later != before
    table.write_bytes(table.read_bytes() + b"\n")
    os.utime(table, ns=(0, 0))
    assert fingerprint(config) not in (before, later)


@pytest.mark.parametrize("source", BOTH)
def test_what_comes_in_packages_has_no_fingerprint(source):
    assert fingerprint(DataConfig(source)) == ""


# --- bad files ------------------------------------------------------------------------

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
def test_arrays_of_the_wrong_kind_are_refused(name, case, tmp_path, config, refused):
    content, words = BAD_ARRAYS[case]
    path = ARRAY_FILES[name](tmp_path / name, **content)
    line = refused(config, "--data.train", path)
    assert f"{path}: " in line
    assert words in line
    # As the test file it is refused in the same way.
    good = ARRAY_FILES[name](tmp_path / f"good-{name}", **arrays())
    keys = ["--data.test_images=train_set_x", "--data.test_labels=train_set_y"]
    line = refused(config, "--data.train", good, "--data.test", path, *keys)
    assert f"{path}: " in line
    assert words in line


def odd_hdf5(path, case):
    """Write what only HDF5 can hold."""
    with h5py.File(path, "w") as file:
        content = {
            "group for images": {"train_set_x/inner": IMAGES},
            "group for labels": {"train_set_y/inner": LABELS},
            "link to nowhere": {"train_set_x": h5py.SoftLink("/nowhere")},
            "link to no file": {"train_set_x": h5py.ExternalLink("no.h5", "/x")},
            "empty images": {"train_set_x": h5py.Empty("uint8")},
            "empty labels": {"train_set_y": h5py.Empty("int64")},
            "string for images": {"train_set_x": "cats"},
            "string for labels": {"train_set_y": "cats"},
        }.get(case, {})
        if case == "ragged labels":
            ragged = file.create_dataset("train_set_y", 8, h5py.vlen_dtype(np.int64))
            for k in range(8):
                ragged[k] = np.arange(k)
        elif case == "references for labels":
            file["train_set_y"] = [file.ref] * 8
        for key, values in content.items():
            file[key] = values
        for key in arrays().keys() - set(file):  # `in` follows links
            file[key] = arrays()[key]
    return path


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("group for images", "has no data set 'train_set_x', only"),
        ("group for labels", "has no data set 'train_set_y', only"),
        ("link to nowhere", "train_set_x"),
        ("link to no file", "train_set_x"),
        ("empty images", "train_set_x"),
        ("empty labels", "train_set_y"),
        ("string for images", "train_set_x"),
        ("string for labels", "train_set_y"),
        ("ragged labels", "labels must be 0 or 1"),
        ("references for labels", "labels must be 0 or 1"),
    ],
)
def test_what_only_hdf5_can_hold_is_refused(case, words, tmp_path, config, refused):
    path = odd_hdf5(tmp_path / "odd.h5", case)
    line = refused(config, "--data.train", path)
    assert f"{path}: " in line
    assert words in line


@pytest.mark.parametrize("name", [*ARRAY_FILES, "train.parquet"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_truncated_files_are_refused(name, share, tmp_path, config, refused):
    path = tmp_path / name
    if name in ARRAY_FILES:
        ARRAY_FILES[name](path, **arrays())
    else:
        write_table(path, {"a": np.arange(500.0), "label": np.arange(500) % 2})
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert f"{path}: cannot be read: " in refused(config, "--data.train", path)


def test_hdf5_without_its_last_byte_is_refused(tmp_path, config, refused):
    path = write_hdf5(tmp_path / "train.h5", **arrays())
    path.write_bytes(path.read_bytes()[:-1])
    assert f"{path}: cannot be read: " in refused(config, "--data.train", path)


@pytest.mark.parametrize("name", [*ARRAY_FILES, "train.parquet"])
@pytest.mark.parametrize("content", [b"a,b,label\n1,2,0\n", bytes(4096), b"PK\x03\x04"])
def test_files_of_another_kind_are_refused(name, content, tmp_path, config, refused):
    path = tmp_path / name
    path.write_bytes(content)
    assert f"{path}: cannot be read: " in refused(config, "--data.train", path)


def test_a_single_array_is_no_npz(tmp_path, config, refused):
    path = tmp_path / "train.npz"
    with path.open("wb") as file:
        np.save(file, IMAGES)
    assert f"{path}: cannot be read: " in refused(config, "--data.train", path)


@pytest.mark.parametrize("key", ["train_set_x", "train_set_y"])
def test_pickled_objects_are_not_unpickled(key, tmp_path, config, refused):
    trap = tmp_path / "trap"
    path = write_npz(
        tmp_path / "train.npz", **arrays() | {key: np.array([Trap(trap)] * 8)}
    )
    line = refused(config, "--data.train", path)
    assert f"{path}: cannot be read: " in line
    assert "allow_pickle=False" in line
    assert not trap.exists()


class Trap:
    """Unpickled, this makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return type(self.path).touch, (self.path,)


@pytest.mark.parametrize("key", ["train", "test"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.h5", "there is no such file"),
        ("none.csv", "there is no such file"),
        ("folder.npz", "there is no such file"),
        ("table.txt", "must end in one of .h5, .hdf5, .npz, .csv, .parquet"),
        ("table", "must end in one of .h5, .hdf5, .npz, .csv, .parquet"),
    ],
)
def test_files_that_are_none_are_refused(key, name, words, tmp_path, config, refused):
    path = tmp_path / name
    if name.startswith("folder"):
        path.mkdir()
    line = refused(config, f"--data.{key}", path)
    assert f"{path}: " in line
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
def test_tables_of_the_wrong_kind_are_refused(case, tmp_path, config, refused):
    text, words = BAD_TABLES[case]
    path = tmp_path / "bad.csv"
    path.write_text(text)
    line = refused(config, "--data.train", path)
    assert f"{path}: " in line
    assert words in line


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
def test_what_only_parquet_can_hold_is_refused(
    columns, words, tmp_path, config, refused
):
    content = {"a": [1.0, 2.0], "label": [0, 1]} | columns
    path = write_table(tmp_path / "bad.parquet", content)
    line = refused(config, "--data.train", path)
    assert f"{path}: " in line
    assert words in line


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

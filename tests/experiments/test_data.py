"""Data arrive as columns, split the same way each time; bad files are one line."""

import io
import json
import os
import zipfile

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from skimage.data import lfw_subset
from sklearn import datasets

from experiments.datasets import files
from experiments.datasets.files import fingerprint
from experiments.datasets.load import DataConfig, DigitsConfig, load, load_digits
from experiments.errors import UserError
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
    return sorted((tuple(x), tuple(label)) for x, label in zip(X.T, y.T, strict=True))


def all_columns(X_train, y_train, X_test, y_test):
    return columns_of(np.hstack([X_train, X_test]), np.hstack([y_train, y_test]))


# --- what comes inside packages -------------------------------------------------------


def test_faces_are_pixels_between_0_and_1_and_labelled_1():
    data = load(DataConfig("faces"), seed=0)
    assert_sound(data)
    assert (data.X_train.shape, data.X_test.shape) == ((625, 150), (625, 50))
    assert data.image_shape == (25, 25)
    assert data.features is None
    assert data.classes == ("no face", "face")
    assert data.X_train.min() >= 0
    assert 0.9 < data.X_train.max() <= 1
    images = lfw_subset().astype(np.float32).reshape(200, -1)
    assert all_columns(*data[:4]) == columns_of(images.T, np.arange(200)[None] < 100)


def test_breast_cancer_has_30_named_features_and_malignant_is_1():
    data = load(DataConfig("breast_cancer"), seed=0)
    assert_sound(data)
    assert (data.X_train.shape, data.X_test.shape) == ((30, 426), (30, 143))
    assert data.image_shape is None
    assert data.features[0] == "mean radius"
    assert data.classes == ("benign", "malignant")
    bunch = datasets.load_breast_cancer()
    malignant = (bunch.target_names[bunch.target] == "malignant")[None]
    samples = columns_of(bunch.data.T.astype(np.float32), malignant)
    assert all_columns(*data[:4]) == samples
    whole = load(DataConfig("breast_cancer"), seed=0, whole=True)
    assert columns_of(whole.X_train, whole.y_train) == samples
    np.testing.assert_array_equal(whole.X_test, data.X_test)


def test_digits_are_columns_with_a_row_of_labels_each():
    data = load_digits(DigitsConfig(), seed=3)
    shapes = [(64, 1347), (10, 1347), (64, 450), (10, 450)]
    assert [part.shape for part in data] == shapes
    for part in data:
        assert (part.dtype, part.min(), part.max()) == (np.float32, 0, 1)
    bunch = datasets.load_digits()
    pixels = (bunch.data.T / 16).astype(np.float32)
    labels = np.arange(10)[:, None] == bunch.target
    assert all_columns(*data) == columns_of(pixels, labels)


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
    assert all_columns(*first) == all_columns(*other)
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
    for X, part in [(data.X_train, raw.X_train), (data.X_test, raw.X_test)]:
        expected = (part - mean) / deviation
        assert (np.abs(X - expected) <= within * (1 + np.abs(expected))).all()
        again = (part - data.units["mean"]) / data.units["deviation"]
        np.testing.assert_array_equal(X, again.astype(np.float32))
    assert not raw.units


# The square of 1e30 overflows float32. A rounded mean of 0.1 would leave a difference,
# which its deviation makes 1 or -1.
@pytest.mark.parametrize("constant", [0.0, 3.0, 0.1])
def test_large_features_are_standardized_too_and_a_constant_is_0(
    constant, tmp_path, samples
):
    values, labels = samples
    values[:, 1] = constant
    small, large = (
        from_file(write_csv(tmp_path / name, table, labels), standardize=True)
        for name, table in [("a.csv", values), ("b.csv", values * [1e30, 1, 1])]
    )
    assert_sound(large)
    np.testing.assert_allclose(large.X_train, small.X_train, rtol=1e-5, atol=1e-6)
    assert not large.X_train[1].any()
    assert not large.X_test[1].any()
    assert large.X_train[0].any()


# --- the user's own files -------------------------------------------------------------


def write(path, content):
    """Write text, bytes, or arrays or columns by name; return the path."""
    if isinstance(content, str | bytes):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    elif path.suffix == ".npz":
        np.savez(path, **content)
    elif path.suffix == ".csv":
        pa.csv.write_csv(pa.table(content), path)
    elif path.suffix == ".parquet":
        pa.parquet.write_table(pa.table(content), path)
    else:
        write_hdf5(path, **content)
    return path


def from_file(train, test="", **settings):
    return load(DataConfig("files", train=str(train), test=str(test), **settings), 0)


ARRAY_FILES = ("train.h5", "train.HDF5", "train.npz")


@pytest.mark.parametrize("name", ARRAY_FILES)
@pytest.mark.parametrize(
    ("shape", "kind", "label_kind"),
    [
        ((4, 5, 3), np.uint8, int),
        ((4, 5), np.uint8, np.uint8),
        ((3,), np.uint8, bool),
        ((3,), np.float16, np.float32),
        ((3,), np.int32, int),
        ((3,), float, float),
    ],
)
def test_arrays_of_any_keys_become_columns(name, shape, kind, label_kind, tmp_path):
    """The bytes of images over 255, features as they are."""
    (x, y), (others, answers) = toy_images(8, 0, shape), toy_images(4, 1, shape)
    content = {"a/x": x.astype(kind), "a/y": y.astype(label_kind)}
    content |= {"bx": others.astype(kind), "by": answers.astype(label_kind)}
    path = write(tmp_path / name, content)
    keys = {"train_images": "a/x", "train_labels": "a/y"}
    data = from_file(path, path, **keys, test_images="bx", test_labels="by")
    assert_sound(data)
    image = len(shape) > 1
    assert data.image_shape == (shape if image else None)
    assert (data.features, data.classes) == (None, ("0", "1"))
    for X, samples in [(data.X_train, x), (data.X_test, others)]:
        expected = samples.reshape(len(samples), -1).T / (255 if image else 1)
        np.testing.assert_allclose(X, expected, rtol=0, atol=np.finfo(np.float32).eps)
    np.testing.assert_array_equal(data.y_train[0], y)
    np.testing.assert_array_equal(data.y_test[0], answers)


@pytest.mark.parametrize("name", ["train.csv", "train.parquet"])
@pytest.mark.parametrize("labels", [[0, 1, 1, 0], [False, True, True, False]])
def test_tables_have_named_features_and_a_label_anywhere(name, labels, tmp_path):
    width, height = [1.5, 2.5, 3.5, 4.5], [10, 20, 30, 40]
    columns = {"width": width, "sick": labels, "height in cm": height}
    path = write(tmp_path / name, columns)
    data = from_file(path, path, label="sick")
    assert_sound(data)
    assert data.features == ("width", "height in cm")
    np.testing.assert_array_equal(data.X_train, [width, height])
    np.testing.assert_array_equal(data.y_train, [labels])


def test_true_and_false_are_1_and_0_and_columns_may_be_left_out(tmp_path):
    for name in ("train.csv", "train.parquet"):
        columns = {
            "id": [*"abcd"],
            "x": [True, False, True, True],
            "label": [0, 1, 1, 0],
        }
        path = write(tmp_path / name, columns)
        data = from_file(path, path, leave_out=("id",))
        assert data.features == ("x",)
        np.testing.assert_array_equal(data.X_train, [[1, 0, 1, 1]])
        with pytest.raises(UserError, match="has no column 'name', only"):
            from_file(path, leave_out=("name",))


def test_the_index_of_a_frame_is_no_feature(tmp_path):
    frame = {"a": [1, 2], "label": [0, 1], "__index_level_0__": [7, 3], "who": [5, 6]}
    for index, features in [
        (["__index_level_0__"], ("a", "who")),
        (["__index_level_0__", "who"], ("a",)),
        ([{"kind": "range", "start": 0}], ("a", "__index_level_0__", "who")),
    ]:
        metadata = {"pandas": json.dumps({"index_columns": index})}
        table = pa.table(frame).replace_schema_metadata(metadata)
        pa.parquet.write_table(table, tmp_path / "train.parquet")
        data = from_file(tmp_path / "train.parquet", tmp_path / "train.parquet")
        assert data.features == features


def test_rows_of_any_length_and_columns_that_change_late_are_read(tmp_path):
    """Rows longer than a megabyte; and numbers that are whole for as many bytes."""
    row = ",".join([f"0.{'123456789' * 30}"] * 5000)
    names = ",".join(f"x{j}" for j in range(5000))
    lines = [f"{names},label", *(f"{row},{k % 2}" for k in range(4))]
    path = write(tmp_path / "wide.csv", "\n".join(lines))
    assert from_file(path, path).X_train.shape == (5000, 4)
    lines = ["a,label", *(f"{k % 7},{k % 2}" for k in range(300_000)), "0.5,1"]
    path = write(tmp_path / "long.csv", "\n".join(lines))
    data = from_file(path, path)
    assert data.X_train.shape == (1, 300_001)
    assert data.X_train[0, -1] == 0.5


@pytest.mark.parametrize("kind", ["external", "virtual", "through a link"])
def test_data_outside_of_an_hdf5_file_are_not_read(kind, tmp_path, refused_file):
    path, outside = tmp_path / "train.h5", tmp_path / "outside"
    os.mkfifo(outside)  # to open it would never end
    with h5py.File(write(path, arrays()), "a") as file:
        del file["train_set_x"]
        if kind == "external":
            storage = [(str(outside), 0, 16)]
            file.create_dataset("train_set_x", (8, 2), "u1", external=storage)
        elif kind == "virtual":
            layout = h5py.VirtualLayout((8, 2), "u1")
            layout[:] = h5py.VirtualSource(str(outside), "x", (8, 2))
            file.create_virtual_dataset("train_set_x", layout)
        else:
            file["elsewhere"] = h5py.ExternalLink(str(outside), "/")
            file["inner/link"] = h5py.SoftLink("/elsewhere/x")
            file["train_set_x"] = h5py.SoftLink("./inner/link")
    words = "is a link into another file" if "link" in kind else "are in other files"
    refused_file(path, words)


def test_what_is_no_array_in_an_npz_file_is_refused(tmp_path, refused_file):
    for key in ("train_set_x", "train_set_y"):
        path = write(
            tmp_path / f"{key}.npz", {k: v for k, v in arrays().items() if k != key}
        )
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(key, "no array")
        refused_file(path, f"has no array {key!r}")


def test_one_class_alone_is_learnt(tmp_path, config, table, run_ok):
    """It is no mistake: the answer is that class, ever more surely."""
    train = write(tmp_path / "ones.csv", "a,b,c,label\n1,2,3,1\n4,5,6,1\n")
    folder, _ = run_ok(config, "--data.train", train, "--data.test", table)
    rows = (folder / "results.csv").read_text().splitlines()
    assert "train accuracy,100.0,%" in rows


def test_the_fingerprint_is_that_of_the_contents_or_of_size_and_time(
    table, monkeypatch
):
    config = DataConfig("files", train=str(table))
    both = DataConfig("files", train=str(table), test=str(table))
    before = fingerprint(config)
    assert len(before) == 64
    assert fingerprint(config) == before != fingerprint(both)
    table.write_text(table.read_text().replace("1", "2"))
    assert fingerprint(config) != before
    assert fingerprint(DataConfig("faces")) == ""
    monkeypatch.setattr(files, "LARGE_FILE", 10)
    before = fingerprint(config)
    assert fingerprint(config) == before
    os.utime(table, ns=(0, 0))
    later = fingerprint(config)
    table.write_bytes(table.read_bytes() + b"\n")
    os.utime(table, ns=(0, 0))
    assert len({before, later, fingerprint(config)}) == 3


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


def features(value):
    return arrays(np.full((8, 2), value))


EMPTY = h5py.Empty("uint8")
# They lead out of the file, to another place in it, to none, and in a circle.
BAD_LINKS = {
    h5py.ExternalLink("none", "/x"): "'train_set_x' is a link into another file",
    h5py.SoftLink("/train_set_y"): "train_set_x has shape (8,), but must be",
    h5py.SoftLink("nothing/here"): "has no data set 'train_set_x'",
    h5py.SoftLink("train_set_x"): "has no data set 'train_set_x'",
}
# The endings of files, what they hold, and what the message says.
BAD_FILES = [
    ("h5 npz", {"train_set_y": LABELS}, "'train_set_x', only ['train_set_y']"),
    ("h5 npz", {"train_set_x": IMAGES}, "'train_set_y', only ['train_set_x']"),
    ("h5 npz", arrays(np.arange(8.0)), "train_set_x has shape (8,), but must be"),
    ("h5 npz", arrays(IMAGES[None]), "train_set_x has shape (1, 8, 4, 4, 3), but"),
    ("h5 npz", arrays(IMAGES / 255), "train_set_x holds float64, but images are"),
    ("h5 npz", arrays(IMAGES[0].astype(int)), "train_set_x holds int64, but images"),
    ("h5 npz", features(1j), "train_set_x must hold finite"),
    ("h5 npz", features(np.nan), "train_set_x must hold finite numbers"),
    ("h5 npz", features(1e39), "but holds 16 others, the first at [0, 0]"),
    ("h5 npz", arrays(y=LABELS[:, None]), "train_set_y has shape (8, 1), but must"),
    ("h5 npz", arrays(y=LABELS[:7]), "train_set_y has shape (7,), but must be (8,)"),
    ("h5 npz", arrays(y=np.arange(8)), "labels must be 0 or 1, but are 0, 1, 2, 3"),
    ("h5 npz", arrays(y=LABELS / 2), "labels must be 0 or 1, but are 0.0, 0.5"),
    ("h5 npz", arrays(y=LABELS * np.nan), "labels must be 0 or 1, but are nan"),
    ("h5 npz", arrays(y=np.full(8, b"yes")), "labels must be 0 or 1, but are"),
    ("h5 npz", arrays(IMAGES[:0], LABELS[:0]), "has shape (0, 4, 4, 3): nothing"),
    ("h5 npz", arrays(np.ones((8, 0))), "has shape (8, 0): nothing to learn"),
    ("h5", {"train_set_x/in": IMAGES, "train_set_y": LABELS}, "no data set 'train_set"),
    *(("h5", arrays(link), words) for link, words in BAD_LINKS.items()),
    ("h5", arrays(EMPTY), "train_set_x"),
    ("h5", arrays(y=EMPTY), "train_set_y"),
    ("h5", arrays("cats"), "train_set_x"),
    ("h5", arrays(y="cats"), "train_set_y"),
    ("csv", "", "is empty"),
    ("csv", "a,b\n1,2\n", "has no column 'label', only ['a', 'b']"),
    ("csv", "label\n1\n", "has one column, 'label'"),
    ("csv", "a,label\n", "holds no row below the names of its columns"),
    ("csv", "a,b,label\n1,x,0\n2,y,1\n", "column 'b', line 2: 'x' is no number, no"),
    ("csv", "a,b,label\n1,,0\n2,3,1\n", "column 'b', line 2: missing cells: 1, the fi"),
    (
        "csv",
        "a,b,label\n1,0,0\n2,NA,1\n3,nan,1\n",
        "column 'b', line 3: missing cells: 2, the f",
    ),
    ("csv", "a,b,label\n1,2,\n2,3,1\n", "column 'label', line 2: missing cells: 1"),
    (
        "csv",
        "a,b,label\n1,2,0\n2,-inf,1\n3,1e39,1\n",
        "column 'b', line 3: '-inf' is infinite: leave it out by",
    ),
    (
        "csv",
        "a,b,label\n1,2,0\n2,-1e39,1\n3,1e39,1\n",
        "column 'b', line 3: cells that do not fit float32: 2",
    ),
    ("csv", ",a,label\n0,1,0\n1,2,1\n", "has a column without a name"),
    ("csv", "a,label\n1,no\n2,yes\n", "labels must be 0 or 1, but are no, yes"),
    ("csv", "a,b,label\n1,2,0\n1,\n", "line 3: has 2 cells, but there are 3"),
    ("csv", "a,a,label\n1,2,0\n", "has more than one column 'a'"),
    ("csv", "a:b:label\n1:2:0\n", "has one column, 'a:b:label', or a delim"),
    ("csv", "a,label\n1,0\n2,1\n", "the samples cannot be split"),
    ("csv", "a,label\n1,0\n2,0\n3,0\n4,1\n", "the samples cannot be split"),
    ("parquet", {"a": [[1], [2, 3]], "label": [0, 1]}, "column 'a': holds list"),
    ("parquet", {"a": [1, None], "label": [0, 1]}, "row 2: missing cells: 1"),
    ("parquet", {"a": [1.0, np.nan], "label": [0, 1]}, "column 'a', row 2: miss"),
    ("parquet", {"a": [1, 2], "label": [[1], [2, 3]]}, "labels must be 0 or 1"),
    ("parquet", {"a": [1, 2], "label": [{"x": 1}, {"x": 2}]}, "labels must be 0 or 1"),
]


@pytest.mark.parametrize(
    ("ending", "content", "words"),
    [(end, *row) for ends, *row in BAD_FILES for end in ends.split()],
)
def test_files_with_other_contents_are_refused(
    ending, content, words, tmp_path, refused_file
):
    path = write(tmp_path / f"bad.{ending}", content)
    refused_file(path, words)
    if ending in ("h5", "npz"):  # as the test file it is refused in the same way
        valid = write(tmp_path / "valid.npz", arrays())
        keys = ["--data.test_images=train_set_x", "--data.test_labels=train_set_y"]
        refused_file(path, words, "--data.train", valid, "--data.test", path, *keys)


@pytest.mark.parametrize("name", [*ARRAY_FILES, "train.parquet"])
def test_damaged_files_and_those_of_another_kind_are_refused(
    name, tmp_path, refused_file
):
    table = {"a": np.arange(500.0), "label": np.arange(500) % 2}
    path = write(tmp_path / name, arrays() if name in ARRAY_FILES else table)
    content = path.read_bytes()
    single = io.BytesIO()
    np.save(single, IMAGES)
    shares = (0.0, 0.001, 0.1, 0.5, 0.9, 0.999)
    cut = [content[: int(share * len(content))] for share in shares]
    if "npz" not in name:
        cut.append(content[:-1])
    for damaged in [*cut, single.getvalue(), bytes(4096), b"PK\x03\x04"]:
        refused_file(write(path, damaged), ": cannot be read: ")


class Trap:
    """Unpickled, this makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return type(self.path).touch, (self.path,)


@pytest.mark.parametrize("key", ["train_set_x", "train_set_y"])
def test_pickled_objects_are_not_unpickled(key, tmp_path, refused_file):
    trap = tmp_path / "trap"
    content = arrays() | {key: np.array([Trap(trap)] * 8)}
    refused_file(write(tmp_path / "train.npz", content), "allow_pickle=False")
    assert not trap.exists()


@pytest.mark.parametrize("key", ["train", "test"])
def test_files_that_are_none_are_refused(key, tmp_path, config, refused):
    (tmp_path / "folder.npz").mkdir()
    for name in ("none.h5", "none.csv", "folder.npz"):
        line = refused(config, f"--data.{key}", tmp_path / name)
        none = "is not a file" if "folder" in name else "No such file or directory"
        assert line == f"{tmp_path / name}: {none}"
    for name in ("table.txt", "table"):
        words = "its name must end in one of .h5, .hdf5, .npz, .csv, .parquet"
        line = refused(config, f"--data.{key}", tmp_path / name)
        assert f"{tmp_path / name}: {words}" in line


def test_other_samples_in_the_test_file_are_refused(tmp_path, config, table, refused):
    small, labels = toy_images(4, shape=(4, 3, 3))
    train = write(tmp_path / "train.h5", arrays())
    test = write(tmp_path / "a.h5", {"test_set_x": small, "test_set_y": labels})
    line = refused(config, "--data.train", train, "--data.test", test)
    words = f"a sample has shape (4, 3, 3), but in {train} it has (4, 4, 3)"
    assert f"{test}: {words}" in line
    test = write(tmp_path / "a.csv", table.read_text().replace("a,b,c", "a,c,b"))
    line = refused(config, "--data.test", test)
    assert f"{test}: has other columns than {table}" in line

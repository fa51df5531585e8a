"""Features read from files: the answers are those in memory, and failures are told."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest
from jax.experimental.sparse import BCOO
from pyarrow import parquet
from scipy.sparse import csr_matrix

import jlogreg as jl
from jlogreg.data.streaming.reader import Reader
from jlogreg.data.streaming.sources import open_source
from jlogreg.tables import ParquetColumns
from tests.helpers import (
    assert_close,
    cost_and_derivatives,
    in_blocks,
    leaf_pairs,
    make_problem,
    same_bits,
)

M = 9000  # several blocks that are read, each of several that are summed, and a rest
NUMBERS = np.random.default_rng(0).integers(-9, 9, (3, 50))
BEGIN = jl.init_params(3, np.float64)


class Source:
    """A source that counts its reads, waits, or fails at a sample."""

    def __init__(self, X, at=None, error=None):
        self.X, self.shape, self.dtype = X, X.shape, X.dtype
        self.at, self.error, self.reads = at, error, []

    def read(self, start, stop):
        self.reads.append((start, stop))
        if self.at is not None and start <= self.at < stop:
            if isinstance(self.error, BaseException):
                raise self.error
            return self.error(self.X[:, start:stop])
        return self.X[:, start:stop]


class Sliced:
    """What zarr and its like have in common, with the chunks of a compressed array."""

    chunks = (3, 40)

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, key):
        return self.array[key]


def saved(path, array):
    np.save(path / "X.npy", array)
    return np.load(path / "X.npy", mmap_mode="r")


def hdf5(path, array):
    with h5py.File(path / "X.h5", "w") as file:
        file.create_dataset("X", data=array, chunks=(7, 3))
    return h5py.File(path / "X.h5", "r")["X"]


def table(path, array):
    columns = dict(zip("abc", array, strict=True))
    words = {"word": ["text"] * array.shape[1]}
    parquet.write_table(pa.table(words | columns), path / "X.parquet", row_group_size=7)
    return path / "X.parquet"


FORMATS = {
    "npy": lambda path, X: jl.Streamed(saved(path, X)),
    "npy, columns first": lambda path, X: jl.Streamed(saved(path, X.T.copy().T)),
    "npy, a row per sample": lambda path, X: jl.Streamed(
        saved(path, X.T.copy()), row_per_sample=True
    ),
    "big-endian": lambda path, X: jl.Streamed(saved(path, X.astype(">i8"))),
    "int8": lambda path, X: jl.Streamed(saved(path, X.astype(np.int8))),
    "float16": lambda path, X: jl.Streamed(saved(path, X.astype(np.float16))),
    "part": lambda path, X: jl.Streamed(saved(path, np.pad(X, 2))[2:-2, 2:-2]),
    "HDF5": lambda path, X: jl.Streamed(hdf5(path, X.T), row_per_sample=True),
    "Parquet": lambda path, X: jl.Streamed(ParquetColumns(table(path, X), [*"abc"])),
    "sliced": lambda path, X: jl.Streamed(Sliced(X)),
    "array": lambda path, X: jl.Streamed(X),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_numbers(kind, tmp_path):
    design = FORMATS[kind](tmp_path, NUMBERS)
    assert design.shape == (3, 50)
    assert design.dtype == (np.float32 if kind in ("int8", "float16") else np.float64)
    reader = design._form.reader
    # Over the ends of row groups, and one after the other, so that they are read ahead.
    for start, size in [(3, 1), (0, 20), (20, 20), (40, 10), (0, 50)]:
        block = reader.block(start, size)
        np.testing.assert_array_equal(block, NUMBERS[:, start : start + size])
        assert block.dtype == design.dtype
        assert block.flags.c_contiguous
    design.check_values("X")


def spread_out():
    """Return a problem with weights and offsets, and 1 NaN in a sample left out."""
    problem = make_problem((3, M), np.float64, "soft labels", seed=5, l2=0.1)
    weight = problem.weight.at[0, 17].set(0.0)
    return problem._replace(weight=weight, X=problem.X.at[1, 17].set(jnp.nan))


def test_answers_are_those_in_memory():
    problem = spread_out()
    params, X, y, options = problem.params, problem.X, problem.y, problem.options
    with in_blocks(64):
        expected = jl.fit(X, y, **options)
        derivatives = cost_and_derivatives(problem)
        for block in (M, 1000):
            streamed = jl.Streamed(np.asarray(X), block=block)
            assert same_bits(jl.fit(streamed, y, **options), expected)
        results = cost_and_derivatives(problem._replace(X=streamed))
        many = jl.fit_many(streamed, jnp.concatenate([y, 1 - y]), **options)
    for one, other in leaf_pairs(results, derivatives):
        assert_close(one, other, 1e-14 * M * max(1, np.abs(other).max()))
    assert many.status.tolist() == [0, 0]
    assert_close(many.params.w[0], expected.params.w, 1e-9)
    offset = options["offset"]
    z = jl.logits(params, streamed, offset=offset)
    np.testing.assert_array_equal(z, jl.logits(params, X, offset=offset))
    # A sample that counts may hold no NaN.
    assert jnp.isnan(jl.cost(params, streamed, y))
    with pytest.raises(ValueError, match="samples 0 to 999, must be finite"):
        jl.validate(streamed, y)


def test_transformations_and_one_pass_for_all():
    X = np.random.default_rng(1).standard_normal((3, 3000))
    y = (X[:1] > 0).astype(float)
    source = Source(X)
    design = jl.Streamed(source, block=1024)

    @jax.jit
    def costs(design, y, b):
        def at(b):
            return jl.cost(jl.Params(jnp.ones((3, 1)), b), design, y)

        return jax.vmap(jax.value_and_grad(at))(b)

    b = jnp.arange(4.0)[:, None, None]
    found = costs(design, y, b)
    assert sum(stop - start for start, stop in source.reads) == 2 * 3000
    for one, other in leaf_pairs(found, costs(jl.Dense(jnp.asarray(X)), y, b)):
        assert_close(one, other, 1e-12)
    # Another file of the same form shares the programs, and not the numbers.
    before = costs._cache_size()
    other, _ = costs(jl.Streamed(2 * X, block=1024), y, b)
    assert costs._cache_size() == before
    assert_close(other, costs(jl.Dense(jnp.asarray(2 * X)), y, b)[0], 1e-12)


def test_the_next_block_is_read_while_the_last_is_summed():
    begun = threading.Event()

    class Watched(Source):
        def read(self, start, stop):
            if start == 20:
                begun.set()
            return super().read(start, stop)

    source = Watched(NUMBERS)
    reader = Reader(open_source(source, False), np.float64)
    reader.block(0, 20)
    assert begun.wait(timeout=10)
    assert source.reads == [(0, 20), (20, 40)]  # no more than one ahead
    reader.block(20, 20)
    reader.block(40, 10)
    assert source.reads == [(0, 20), (20, 40), (40, 50)]


FAILURES = {
    "error": (
        OSError("the disk is gone"),
        jl.ReadError,
        r"4095 .* disk is gone",
    ),
    "truncated": (lambda block: block[:, 1:], jl.ReadError, r"shape \(3, 2047\), but"),
    "masked": (
        lambda block: np.ma.masked_equal(block, 1),
        jl.ReadError,
        r"is masked: return block\.filled",
    ),
    "complex": (lambda block: block + 1j, jl.ReadError, "has dtype complex128"),
    "NaN": (lambda block: block * np.nan, jl.ReadError, "float64, but the source says"),
    "interrupt": (KeyboardInterrupt(), KeyboardInterrupt, None),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_failures_reach_the_caller_and_leave_the_design_usable(kind):
    error, expected, message = FAILURES[kind]
    numbers = np.ones((3, 5000), int if kind == "NaN" else float)
    source = Source(numbers, 2500, error)
    design, y = jl.Streamed(source, block=2048), jnp.zeros((1, 5000))
    with in_blocks(), pytest.raises(expected, match=message):
        jl.hessian(BEGIN, design, y)
    assert source.reads[-1][1] <= 5000
    source.at = None
    assert_close(jl.cost(BEGIN, design, y), np.log(2), 1e-12)
    if kind == "error":  # where no program of jlogreg waits, as JAX's own error
        source.at = 2500
        with pytest.raises(Exception, match="the disk is gone"):
            jax.jit(jl.cost)(BEGIN, design, y).block_until_ready()


def test_file_that_changes(tmp_path):
    kept = saved(tmp_path, np.ones((3, 50)))
    path, y = tmp_path / "X.npy", jnp.zeros((1, 50))
    design = jl.Streamed(kept)
    first = jl.Streamed(kept).identity()
    assert first == design.identity()
    jl.cost(BEGIN, design, y)
    os.utime(path, ns=(0, 0))
    with pytest.raises(jl.ReadError, match=r"X.npy: .* written to since it was opened"):
        jl.cost(BEGIN, design, y)
    design = jl.Streamed(kept)
    assert design.identity() != first  # what was interrupted is of another file
    os.truncate(path, 1000)
    with pytest.raises(jl.ReadError, match="it had 1328 bytes, and has 1000"):
        jl.cost(BEGIN, design, y)
    # Shorter from the beginning: the read itself finds it.
    with pytest.raises(EOFError, match="the file ends at byte 1000"):
        open_source(kept, False).read(0, 50)


def test_a_memory_map_is_read_as_it_is(tmp_path):
    saved(tmp_path, NUMBERS)
    path = tmp_path / "X.npy"
    changed = np.load(path, mmap_mode="c")
    changed[:] *= 2
    assert (jl.Streamed(changed)._form.reader.block(0, 50) == 2 * NUMBERS).all()
    # What is known of its file is known of an array that is made of it, too.
    mapped = np.load(path, mmap_mode="r")
    design = jl.Streamed(np.asarray(mapped))
    os.utime(path, ns=(0, 0))
    with pytest.raises(jl.ReadError, match="written to since it was opened"):
        jl.cost(BEGIN, design, jnp.zeros((1, 50)))
    np.save(tmp_path / "other.npy", NUMBERS + 1)
    (tmp_path / "other.npy").replace(path)
    with pytest.raises(OSError, match=r"X\.npy is not the file that is mapped"):
        jl.Streamed(mapped)


def test_files_that_are_not_on_a_disk_and_relative_names(tmp_path, monkeypatch):
    with h5py.File("none", "w", driver="core", backing_store=False) as file:
        design = jl.Streamed(file.create_dataset("X", data=NUMBERS))
        assert (design._form.reader.block(0, 50) == NUMBERS).all()
    monkeypatch.chdir(tmp_path)
    hdf5(tmp_path, NUMBERS.T).file.close()
    with h5py.File("X.h5") as file:
        design = jl.Streamed(file["X"])
        monkeypatch.chdir("/")
        assert (design._form.reader.block(0, 3) == NUMBERS.T).all()


def test_missing_cells_of_parquet_are_nan(tmp_path):
    kinds = {"a": pa.int8(), "b": pa.int64(), "c": pa.bool_(), "d": pa.int8()}
    some = pa.array([1, None, 0, 1], pa.int8())
    columns = {name: some.cast(kind) for name, kind in kinds.items()}
    columns["d"] = pa.array([1, 2, 3, 4], pa.int8())
    parquet.write_table(pa.table(columns), tmp_path / "X.parquet", row_group_size=2)
    expected = np.array([[1, np.nan, 0, 1]] * 3 + [[1, 2, 3, 4]])
    for names in ("a", "bd", "cd", "abcd"):
        design = jl.Streamed(ParquetColumns(tmp_path / "X.parquet", [*names]))
        rows = ["abcd".index(name) for name in names]
        found = design._form.reader.block(0, 4)
        np.testing.assert_array_equal(found, expected[rows])
        y = jnp.array([[0, 1, 1, 0]], design.dtype)
        status = jl.fit(design, y, l2=1.0).status
        assert status == jl.Status.BAD_INPUT
    assert ParquetColumns(tmp_path / "X.parquet", ["d"]).dtype == np.int8


def test_what_needs_all_of_it_says_so():
    design = jl.Streamed(NUMBERS)
    y = jnp.asarray((NUMBERS[:1] > 0).astype(float))
    with pytest.raises(NotImplementedError, match="all of it is needed in memory"):
        jl.certificate(jl.fit(design, y, l2=1.0), design, y, l2=1.0)
    with pytest.raises(NotImplementedError, match="pass an array"):
        design.dense()


REFUSED = {
    "rank": (jl.RankError, r"\(3,\), but", lambda: jl.Streamed(np.ones(3))),
    "empty": (jl.ShapeError, "no samples", lambda: jl.Streamed(np.ones((3, 0)))),
    "words": (jl.DtypeError, "of numbers", lambda: jl.Streamed(np.array([["a"]]))),
    "list": (jl.DtypeError, "is a list", lambda: jl.Streamed([[1.0]])),
    "dtype": (jl.DtypeError, "int8", lambda: jl.Streamed(NUMBERS, dtype=np.int8)),
    "no dtype": (jl.DtypeError, "foo", lambda: jl.Streamed(NUMBERS, dtype="foo")),
    "masked": (
        jl.DtypeError,
        r"source\.filled",
        lambda: jl.Streamed(np.ma.masked_greater(NUMBERS, 3)),
    ),
    "SciPy": (jl.DtypeError, "for X itself", lambda: jl.Streamed(csr_matrix(NUMBERS))),
    "BCOO": (
        jl.DtypeError,
        "sparse BCOO",
        lambda: jl.Streamed(BCOO.fromdense(jnp.ones((2, 3)))),
    ),
    "block": (ValueError, "block", lambda: jl.Streamed(NUMBERS, block=0)),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused(kind):
    error, message, make = REFUSED[kind]
    with pytest.raises(error, match=message):
        make()


def test_columns_that_are_refused(tmp_path):
    path = table(tmp_path, NUMBERS)
    with pytest.raises(jl.DtypeError, match=r"the column 'word' .* must be a number"):
        ParquetColumns(path)
    with pytest.raises(KeyError, match="no column 'd'"):
        ParquetColumns(path, ["d"])


PROGRAM = """
import json, sys
import numpy as np
import jlogreg as jl

class Source:
    shape, dtype = (20, 800_000), np.dtype(np.float32)
    def read(self, start, stop):
        k = np.arange(start, stop, dtype=np.float32)
        return np.sin(k[None] * np.arange(1, 21, dtype=np.float32)[:, None])

def memory(name):
    line = next(line for line in open("/proc/self/status") if line.startswith(name))
    return int(line.split()[1]) * 1024

design = jl.Streamed(Source(), block=50_000)
y = (np.arange(800_000) % 3 == 0).astype(np.float32)[None]
jl.fit(design, y, l2=1e-3)  # compiled, which takes more than the fit
before = memory("VmRSS")
open("/proc/self/clear_refs", "w").write("5")  # the peak is measured from now on
found = jl.fit(design, y, l2=1e-3)
print(json.dumps([memory("VmHWM") - before, found.status.tolist()]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_a_fit_takes_little_memory():
    words = [sys.executable, "-c", PROGRAM]
    said = subprocess.run(words, capture_output=True, text=True, timeout=120)
    above, status = json.loads(said.stdout)
    assert status == 0
    # X is 64 MB. A fit holds two blocks of 4 MB, and 6 rows of 3.2 MB at most.
    assert above < 28e6, said.stderr

"""Run the command line in process, on files small enough to compile nothing large."""

import io
import json
import re
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import h5py
import jax
import matplotlib.image
import numpy as np
import pytest
from rich.console import Console

from experiments import timing
from experiments.__main__ import main
from experiments.benchmarks.harness import report

ROOT = Path(__file__).parent.parent.parent
CONFIGS = ROOT / "experiments/configs"
# What every run folder holds.
COMMON = {".lock", "config.toml", "environment.json", "finished.json", "results.csv"}

CONFIG = """\
# Learn from a small table.
program = "classify"

[data]
source = "files"
train = "{train}"

[descent]
learning_rate = 0.5
steps = 5
print_every = 2
"""


class Result(NamedTuple):
    """The exit code of a command, and the text that it printed."""

    code: int | None
    out: str
    err: str


class Killed(BaseException):
    """An end that nothing between here and the test catches, as nothing does a kill."""


def call_main(*arguments):
    """Call the command line in process."""
    with (
        redirect_stdout(io.StringIO()) as out,
        redirect_stderr(io.StringIO()) as err,
    ):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
    return Result(code, out.getvalue(), err.getvalue())


def error_line(result):
    """Return the line that a command that failed has printed as an error."""
    assert result.code == 2
    (line,) = result.err.splitlines(keepends=True)
    return re.fullmatch(r"error: (\S.*)\n", line)[1]


@contextmanager
def fails_at(place, name, at, failure=Killed):
    """Let the call of this number, counted from 1, fail; yield a list of the calls."""
    plain, calls = getattr(place, name), []

    def call(*arguments, **options):
        calls.append(arguments)
        if len(calls) == at:
            raise failure
        return plain(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, name, call)
        yield calls


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def run_cli(runs):
    """Return a function that calls `run` with the run folders under tmp_path."""

    def call(config, *overrides, runs=runs):
        return call_main("run", config, *overrides, "--runs", runs)

    return call


@pytest.fixture
def run_ok(run_cli, runs):
    """Return a function that calls `run` and returns its folder and what it printed."""

    def call(config, *overrides, runs=runs):
        before = set(runs.glob("*"))
        result = run_cli(config, *overrides, runs=runs)
        assert (result.code, result.err) == (0, "")
        (folder,) = set(runs.glob("*")) - before
        return folder, result.out

    return call


@pytest.fixture
def refused(run_cli, runs):
    """Return a function that expects one line and code 2, and nothing written."""

    def call(config, *overrides):
        result = run_cli(config, *overrides)
        assert result.out == ""
        assert not runs.exists()
        return error_line(result)

    return call


@pytest.fixture
def samples():
    """Return 12 samples of 3 features, and labels that two of them decide."""
    random = np.random.default_rng(1)
    values = random.normal(size=(12, 3)).round(3)
    return values, np.arange(12) % 2 | (values[:, 0] > 1)


@pytest.fixture
def table(tmp_path, samples):
    """Return a CSV file of 12 samples and 3 features."""
    return write_csv(tmp_path / "table.csv", *samples)


@pytest.fixture
def config(tmp_path, table):
    """Return a configuration of five steps on the table, two in a compiled call."""
    path = tmp_path / "mine.toml"
    path.write_text(CONFIG.format(train=table))
    return path


@pytest.fixture
def no_pause(monkeypatch):
    monkeypatch.setattr(timing, "PAUSE", 0)


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=300)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Return a function that reads the only file that a benchmark has written."""
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")

    def read(name):
        (path,) = report.RESULTS.iterdir()
        assert path.name == f"{name}-{jax.default_backend()}.json"
        return json.loads(path.read_text())

    return read


def write_csv(path, values, labels):
    rows = [[*row, int(label)] for row, label in zip(values, labels, strict=True)]
    lines = [",".join(map(str, row)) for row in [["a", "b", "c", "label"], *rows]]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_hdf5(path, **arrays):
    with h5py.File(path, "w") as file:
        for key, values in arrays.items():
            file[key] = values
    return path


def toy_images(count, seed=0, shape=(4, 4, 3)):
    """Return dark images labelled 0 and bright ones labelled 1, in turn."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    floor = labels.reshape(-1, *(1,) * len(shape)) * 128
    images = floor + random.integers(0, 120, size=(count, *shape))
    return images.astype(np.uint8), labels


def numpy_descent(X, y, rate, steps, w=None, b=0.0, l2=0.0):
    """Return w (n, 1), b and the costs before each step and at the end, in float64."""
    X, y = np.asarray(X, np.float64), np.asarray(y, np.float64)
    w = np.zeros((X.shape[0], 1)) if w is None else np.asarray(w, np.float64)
    costs = []
    for step in range(steps + 1):
        z = w.T @ X + b
        costs.append((np.logaddexp(0, z) - y * z).mean() + l2 / 2 * (w**2).sum())
        if step < steps:
            dz = np.exp(-np.logaddexp(0, -z)) - y
            w, b = w - rate * (X @ dz.T / y.size + l2 * w), b - rate * dz.mean()
    return w, b, np.array(costs)


def printed_costs(out):
    """Return the steps and the costs that a run printed, six decimals each."""
    lines = re.findall(r"^step +(\d+)   J (\d+\.\d{6})$", out, re.MULTILINE)
    assert len(lines) == out.count("   J ")
    return {int(step): float(J) for step, J in lines}


def table_cells(text):
    """Return the rows of a table on the terminal as lists of text."""
    rows = [line for line in text.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in row.strip("│").split("│")] for row in rows]


def names(folder):
    return {path.name for path in folder.iterdir()}


def contents(folder):
    """Return the bytes of each file of a run, by name."""
    paths = [path for path in folder.iterdir() if path.name != ".lock"]
    return {path.name: path.read_bytes() for path in paths if path.is_file()}


def only_folder(runs):
    (folder,) = runs.iterdir()
    return folder


def arrays_of(folder, name="params.npz"):
    with np.load(folder / name) as file:
        return dict(file)


def assert_is_png(path):
    """Assert that a file is a picture with something drawn on it."""
    assert path.stat().st_size > 0
    picture = matplotlib.image.imread(path, format="png")
    assert min(picture.shape[:2]) > 100
    assert np.ptp(picture[..., :3]) > 0.5

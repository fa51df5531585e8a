"""The contract of all programs: the run folder, and the same results after a kill."""

import json
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pytest

from experiments import timing
from experiments.config import read_table
from experiments.environment import environment
from experiments.programs import PROGRAMS
from experiments.runner import read_results
from experiments.storage.run import Run
from jlogreg.batch import setup
from tests.experiments.conftest import (
    COMMON,
    CONFIGS,
    Killed,
    arrays_of,
    assert_is_png,
    call_main,
    contents,
    fails_at,
    names,
    only_folder,
    table_cells,
    toy_images,
    write_hdf5,
)


class Case(NamedTuple):
    """A small run of a configuration, and what it leaves.

    The files and columns named in `varies` depend on the machine's speed, or on the
    order of the work; `tolerance` is how far arrays may be from those of another run.
    """

    overrides: str
    progress: dict[str, int]
    figures: str
    arrays: Mapping[str, dict[str, tuple[int, ...]]] = MappingProxyType({})
    others: frozenset[str] = frozenset()
    varies: frozenset[str] = frozenset()
    tolerance: float = 0.0


METRICS = frozenset({"metrics.jsonl"})
FIT = dict.fromkeys(("status", "steps", "cost", "gradient_norm", "decrement"), (24,))
FIT |= {"w": (24, 30, 1), "b": (24, 1, 1), "finished": (24, 1), "arguments": ()}
CASES = {
    "bootstrap": Case(
        "--bootstrap.replicates=24 --bootstrap.l2=0.1",
        {"fitting": 24},
        "intervals",
        {
            "params.npz": {
                "w": (30, 1), "b": (1, 1), "covariance": (31, 31), "wald": (30, 2),
                "bootstrap": (30, 2),
            },
            "replicates.npz": FIT,
        },
        varies=frozenset({"results.csv", "intervals.png"}),
        tolerance=1e-5,
    ),
    "cats": Case(
        "--data.train={data} --data.test={data} --descent.steps=5 "
        "--descent.print_every=2 --data.test_images=train_set_x "
        "--data.test_labels=train_set_y",
        {"descending": 5},
        "cost weights largest_losses",
        {"params.npz": {"w": (192, 1), "b": (1, 1), "costs": (1, 5)}},
        METRICS,
    ),
    "coverage": Case(
        "--simulation.samples=[20] --simulation.replicates=24 "
        "--simulation.bootstrap=0",
        {"simulating": 2},
        "coverage type_one",
        {
            "params.npz": {
                "w": (2, 1), "b": (2, 1, 1), "finished": (2,), "counts": (2, 8, 3),
            }
        },
        METRICS,
    ),
    "faces": Case(
        "--descent.steps=5 --descent.print_every=2 --data.standardize=true",
        {"descending": 5},
        "cost weights largest_losses",
        {
            "params.npz": {
                "w": (625, 1), "b": (1, 1), "costs": (1, 5), "mean": (625, 1),
                "deviation": (625, 1),
            }
        },
        METRICS,
    ),
    "learning_rates": Case(
        "--sweep.steps=10",
        {},
        "costs",
        {
            "params.npz": {
                "w": (8, 30, 1), "b": (8, 1, 1), "costs": (8, 10),
                "learning_rates": (8,), "mean": (30, 1), "deviation": (30, 1),
            }
        },
    ),
    "probes": Case(
        "--data.test_fraction=0.7 --grid.smallest=1e-4 --grid.largest=1e-2 "
        "--grid.penalties=3 --grid.folds=2",
        {"fitting": 90},
        "path weights reliability",
        {
            "params.npz": {
                "w": (10, 64, 1), "b": (10, 1, 1), "l2": (3, 1),
                "fold_loss": (10, 3, 2), "loss": (10, 3), "standard_error": (10, 3),
                "best": (10, 1), "one_standard_error": (10, 1), "status": (10, 3, 2),
                "path_w": (10, 3, 64, 1), "path_b": (10, 3, 1, 1),
                "probability": (10, 539), "test_probability": (10, 1258),
            }
        },
    ),
    "scan": Case(
        "--simulation.samples=76 --simulation.variants=40",
        {"scanning": 40},
        "manhattan qq",
        others=frozenset({"fileset", "scan.glm.logistic"}),
    ),
    "sparse_probes": Case(
        "--data.test_fraction=0.9 --grid.smallest=0.3 --grid.penalties=2 "
        "--grid.folds=2 --stability.replicates=2",
        {"fitting": 60, "resampling": 20},
        "path weights stability",
        {
            "params.npz": {
                "w": (10, 64, 1), "b": (10, 1, 1), "l1": (2, 1),
                "fold_loss": (10, 2, 2), "loss": (10, 2), "standard_error": (10, 2),
                "best": (10, 1), "one_standard_error": (10, 1), "status": (10, 2, 2),
                "path_w": (10, 2, 64, 1), "path_b": (10, 2, 1, 1),
                "n_selected": (10, 2), "share": (10, 64),
                "probability": (10, 179), "test_probability": (10, 1618),
            }
        },
    ),
    "surface": Case(
        "--surface.points=5 --surface.steps=2",
        {},
        "log_loss squared_error",
        {
            "surfaces.npz": {
                "w": (1, 5), "b": (5, 1), "log_loss": (5, 5), "squared_error": (5, 5),
                "path": (2, 3), "costs": (1, 3),
            }
        },
    ),
    "tic_toc": Case(
        "--size.features=4 --size.samples=6 --size.dot=50 --size.rounds=3",
        {"timing": 2},
        "times",
        others=METRICS,
        varies=frozenset({"times.png", "ms", "times as fast as loops", "seconds"}),
    ),
    "vectorising": Case(
        "--data.test_fraction=0.9 --descent.digit=3 --descent.steps=4 "
        "--descent.rates=3 --timing.rounds=2",
        {"timing": 2},
        "times",
        {"params.npz": {"w": (6, 64, 1), "b": (6, 1, 1)}},
        METRICS,
        frozenset({"times.png", "ms a model", "times as fast", "seconds"}),
    ),
}  # fmt: skip


class Finished(NamedTuple):
    """A run that nothing interrupted."""

    case: Case
    config: Path
    overrides: list[str]
    folder: Path
    out: str
    bars: list[tuple[str, int, list[int]]]
    files_written: int


@pytest.fixture(scope="module", autouse=True)
def small_batches():
    """Compute in batches of 8 problems, wait for nothing, print tables of one width."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setup, "MAX_WIDTH", 8)
        patch.setattr(timing, "PAUSE", 0)
        patch.setenv("COLUMNS", "400")
        yield


@contextmanager
def recorded_bars():
    """Yield a list that will hold the words, total and advances of each bar."""
    bars, plain = [], Run.progress

    @contextmanager
    def recorded(run, what, total, done=0):
        steps = [done]
        bars.append((what, total, steps))
        with plain(run, what, total, done) as advance:
            yield lambda count: (steps.append(count), advance(count))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "progress", recorded)
        yield bars


@pytest.fixture(scope="module", params=CASES)
def finished(request, tmp_path_factory):
    """Return a run of each configuration."""
    folder, name = tmp_path_factory.mktemp("finished"), request.param
    images, labels = toy_images(20, shape=(8, 8, 3))
    data = write_hdf5(folder / "data.h5", train_set_x=images, train_set_y=labels)
    overrides = CASES[name].overrides.format(data=data).split()
    config, runs = CONFIGS / f"{name}.toml", folder / "runs"
    with recorded_bars() as bars, fails_at(Path, "replace", 0) as renames:
        code, out, err = call_main("run", config, *overrides, "--runs", runs)
    assert (code, err) == (0, "")
    left = only_folder(runs), out, bars, len(renames)
    return Finished(CASES[name], config, overrides, *left)


def rows_of(path, case):
    """Return the rows of a table or of the metrics, without the columns that vary."""
    if path.suffix == ".csv":
        rows = read_results(path.parent)
    else:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: row[key] for key in row if key not in case.varies} for row in rows]


def assert_same_run(folder, finished):
    """Assert that a folder holds what a run that nothing interrupted holds."""
    case, whole = finished.case, finished.folder
    assert (folder.name, names(folder)) == (whole.name, names(whole))
    for name in names(whole) - case.varies - {".lock", "fileset", "finished.json"}:
        if name.endswith(".npz"):
            arrays, expected = arrays_of(folder, name), arrays_of(whole, name)
            assert arrays.keys() == expected.keys()
            for key, array in expected.items():
                assert arrays[key].dtype == array.dtype
                assert arrays[key].shape == array.shape
                if case.tolerance and array.dtype.kind == "f":
                    assert np.abs(arrays[key] - array).max() <= case.tolerance, key
                elif key != "steps" or not case.tolerance:
                    assert arrays[key].tobytes() == array.tobytes(), key
        elif name in ("results.csv", "metrics.jsonl"):
            assert rows_of(folder / name, case) == rows_of(whole / name, case)
        else:
            assert (folder / name).read_bytes() == (whole / name).read_bytes(), name


def test_every_configuration_has_a_case():
    assert CASES.keys() == {path.stem for path in CONFIGS.iterdir()}


def test_the_folder_holds_what_the_program_makes(finished):
    case, folder = finished.case, finished.folder
    figures = {f"{name}.png" for name in case.figures.split()}
    assert names(folder) == COMMON | figures | case.arrays.keys() | case.others
    for name in figures:
        assert_is_png(folder / name)
    for name, shapes in case.arrays.items():
        arrays = arrays_of(folder, name)
        assert {key: array.shape for key, array in arrays.items()} == shapes
        # One of the ways of `vectorising` is plain Python, which has only float64.
        dtype = np.float64 if finished.config.stem == "vectorising" else np.float32
        assert arrays["w"].dtype == arrays["b"].dtype == dtype
    last = f"Results, parameters and figures are in {folder}"
    assert finished.out.splitlines()[-1] == last
    assert folder.name.startswith(f"{finished.config.stem}-")
    settings = read_table(folder / "config.toml")
    for section, values in read_table(finished.config, finished.overrides).items():
        if isinstance(values, dict):
            assert settings[section].items() >= values.items()
    written = json.loads((folder / "environment.json").read_text())
    assert written == environment()
    assert {"jlogreg", "jax", "numpy"} <= written["packages"].keys()


def test_the_progress_bar_counts(finished):
    titles = [(title, total) for title, total, _ in finished.bars]
    assert titles == [*finished.case.progress.items()]
    for _, total, steps in finished.bars:
        assert sum(steps) == total
        assert all(step > 0 for step in steps[1:])
        assert len(steps) > 2 or finished.config.stem == "scan"


@pytest.mark.parametrize("moment", ["in the middle", "at the end"])
def test_a_run_that_is_killed_resumes_to_the_same_end(moment, finished, run_cli, runs):
    """Killed before a file gets its name."""
    at = finished.files_written // (2 if moment == "in the middle" else 1)
    with fails_at(Path, "replace", at), pytest.raises(Killed):
        run_cli(finished.config, *finished.overrides)
    assert "finished.json" not in names(only_folder(runs))
    with recorded_bars() as bars:
        result = run_cli(finished.config, *finished.overrides)
    assert (result.code, result.err) == (0, "")
    for _, total, steps in bars:
        assert sum(steps) == total
        assert ("Resuming after" in result.out) == (steps[0] > 0)
    assert_same_run(only_folder(runs), finished)


def test_a_finished_run_is_shown_and_not_run_again(finished, run_cli, monkeypatch):
    folder, before = finished.folder, contents(finished.folder)
    times = {name: (folder / name).stat().st_mtime_ns for name in before}
    program = PROGRAMS[read_table(finished.config)["program"]]
    monkeypatch.setattr(program, "work", None)
    result = run_cli(finished.config, *finished.overrides, runs=folder.parent)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"Finished before; delete {folder} to run it again.\n")
    cells, others = map(table_cells, (result.out, finished.out))
    assert cells == others != []
    assert contents(folder) == before
    assert {name: (folder / name).stat().st_mtime_ns for name in before} == times

"""A run that is killed at any moment goes on as if nothing had happened."""

import errno
import fcntl
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from experiments import runner
from experiments.environment import environment
from experiments.programs import classify
from experiments.runner import TEMPORARY, Run, read_results
from tests.experiments.conftest import ROOT, printed_costs

FILES = {
    "config.toml",
    "environment.json",
    "metrics.jsonl",
    "params.npz",
    "cost.png",
    "weights.png",
    "results.csv",
}


class Killed(BaseException):
    """Nothing between here and the test catches this, as nothing catches a kill."""


def killed():
    return Killed()


def disk_full():
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(autouse=True)
def small_figures(monkeypatch):
    for name in ("cost_curves", "weights_bars"):
        monkeypatch.setattr(classify, name, lambda *_: Figure(figsize=(1, 1)))


class TornFile:
    """Pass everything on to a file, but write only half when it breaks."""

    def __init__(self, file, breaks, failure):
        self.file, self.breaks, self.failure = file, breaks, failure

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, content):
        if self.breaks():
            self.file.write(content[: len(content) // 2])
            self.file.flush()
            raise self.failure()
        self.file.write(content)


@contextmanager
def broken(step, at, failure):
    """Let the step fail on its calls at these places, counted from 1."""
    calls = itertools.count(1)

    def breaks():
        return next(calls) == at

    originals = {"fsync": os.fsync, "replace": Path.replace}
    plain_open = Path.open

    def fail_or_call(*arguments):
        if breaks():
            raise failure()
        return originals[step](*arguments)

    def fail_or_open(path, mode="r", **options):
        if "r" not in mode and step == "open" and breaks():
            raise failure()
        file = plain_open(path, mode, **options)
        torn = "r" not in mode and step == "write"
        return TornFile(file, breaks, failure) if torn else file

    with pytest.MonkeyPatch.context() as patch:
        if step in originals:
            place = os if step == "fsync" else Path
            patch.setattr(place, step, fail_or_call)
        else:
            patch.setattr(Path, "open", fail_or_open)
        yield


def only_folder(runs):
    (folder,) = runs.iterdir()
    return folder


def names(folder):
    return {path.name for path in folder.iterdir()} - {".lock"}


def arrays_of(folder):
    with np.load(folder / "params.npz") as file:
        return dict(file)


def assert_same_run(folder, due):
    """Assert that two folders hold the same, bit for bit."""
    assert folder.name == due.name
    assert names(folder) == names(due)
    for name in names(due) - {"params.npz"}:
        assert (folder / name).read_bytes() == (due / name).read_bytes(), name
    found, expected = arrays_of(folder), arrays_of(due)
    assert found.keys() == expected.keys() == {"w", "b", "costs"}
    for key, values in expected.items():
        assert found[key].dtype == values.dtype
        assert found[key].shape == values.shape
        assert found[key].tobytes() == values.tobytes()


def assert_no_half_files(folder, due):
    """Assert that what has its final name is whole."""
    for path in folder.iterdir():
        if path.name in FILES - {"params.npz", "metrics.jsonl"}:
            assert path.read_bytes() == (due / path.name).read_bytes(), path.name
        elif path.name == "params.npz":
            costs = arrays_of(folder)["costs"]
            steps = costs.shape[1]
            assert steps in (2, 4, 5)
            assert costs.tobytes() == arrays_of(due)["costs"][:, :steps].tobytes()
        else:
            assert path.name in (".lock", "metrics.jsonl") or path.name.startswith(
                TEMPORARY
            )


@pytest.fixture
def uninterrupted(config, run_ok, tmp_path):
    """Return the folder of a run that nothing interrupted."""
    folder, out = run_ok(config, runs=tmp_path / "uninterrupted")
    assert names(folder) == FILES
    assert list(printed_costs(out)) == [0, 2, 4, 5]
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 3
    assert arrays_of(folder)["costs"].shape == (1, 5)
    return folder


# --- interruptions --------------------------------------------------------------------


@pytest.mark.parametrize("failure", [killed, disk_full])
@pytest.mark.parametrize("step", ["fsync", "replace", "write", "open"])
def test_a_run_resumes_after_every_single_failure(
    step, failure, config, run_cli, tmp_path, uninterrupted
):
    failures = 0
    for at in itertools.count(1):
        runs = tmp_path / f"runs-{at}"
        with broken(step, at, failure), suppress(Killed, OSError):
            if run_cli(config, runs=runs).code == 0:
                break
        failures += 1
        assert_no_half_files(only_folder(runs), uninterrupted)
        result = run_cli(config, runs=runs)
        assert (result.code, result.err) == (0, "")
        assert_same_run(only_folder(runs), uninterrupted)
    assert_same_run(only_folder(runs), uninterrupted)
    # Three lines of metrics; nine files, three of them the parameters.
    due = {"fsync": 3 + 2 * 9, "replace": 9, "write": 3 + 9, "open": 1 + 3 + 9}
    assert failures == due[step]


@pytest.mark.parametrize("step", ["fsync", "replace", "write"])
def test_a_run_that_is_killed_again_and_again_arrives(
    step, config, run_cli, runs, uninterrupted
):
    """Each attempt gets one call further than the one before."""
    for at in itertools.count(1):
        with broken(step, at, killed), suppress(Killed):
            if run_cli(config).code == 0:
                break
        assert_no_half_files(only_folder(runs), uninterrupted)
    assert at > 3
    assert_same_run(only_folder(runs), uninterrupted)


@pytest.fixture
def halfway(config, run_cli, runs):
    """Return the folder of a run whose second parameters were not written any more."""
    # Settings, environment, empty metrics, first parameters, second parameters.
    with broken("replace", 5, killed), pytest.raises(Killed):
        run_cli(config)
    folder = only_folder(runs)
    assert arrays_of(folder)["costs"].shape == (1, 2)
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2
    return folder


def test_a_resumed_run_says_so(config, run_cli, halfway, uninterrupted):
    result = run_cli(config)
    assert result.code == 0
    assert "Resuming after step 2." in result.out
    assert list(printed_costs(result.out)) == [2, 4, 5]
    assert_same_run(halfway, uninterrupted)


@pytest.mark.parametrize(
    "tail",
    [
        b'{"step": 4, "co',
        b'{"step": 4, "cost": 0.25}',
        b'{"step": 4, "cost": 0.25}\n',
        b"{",
        b"\n",
        b"12",
        bytes(50),
        # No UTF-8: after a power cut the end of a file may be anything.
        b"\xff\xfe\xfd",
    ],
)
def test_a_torn_last_line_is_dropped(tail, config, run_cli, halfway, uninterrupted):
    with (halfway / "metrics.jsonl").open("ab") as file:
        file.write(tail)
    assert run_cli(config).code == 0
    assert_same_run(halfway, uninterrupted)


@pytest.mark.parametrize("name", ["params.npz", "results.csv", "something else"])
def test_stale_temporary_files_are_cleared(
    name, config, run_cli, halfway, uninterrupted
):
    (halfway / f"{TEMPORARY}{name}").write_bytes(b"half a fi")
    assert run_cli(config).code == 0
    assert_same_run(halfway, uninterrupted)


def test_a_run_that_lacks_only_its_results_is_not_taken_again(
    config, run_cli, runs, run_ok, uninterrupted
):
    folder, _ = run_ok(config)
    (folder / "results.csv").unlink()
    result = run_cli(config)
    assert "Resuming after step 5." in result.out
    assert list(printed_costs(result.out)) == [5]
    assert_same_run(folder, uninterrupted)


def test_a_keyboard_interrupt_is_code_130_and_resumes(
    config, run_cli, runs, uninterrupted
):
    with broken("replace", 5, KeyboardInterrupt):
        result = run_cli(config)
    assert result.code == 130
    assert result.out.splitlines()[-1] == "Interrupted; the same command resumes."
    assert run_cli(config).code == 0
    assert_same_run(only_folder(runs), uninterrupted)


def test_a_full_disk_is_one_line(config, run_cli, runs):
    with broken("write", 5, disk_full):
        result = run_cli(config)
    assert result.code == 2
    (line,) = result.err.splitlines()
    assert line.startswith("error: ")
    assert os.strerror(errno.ENOSPC) in line
    assert str(only_folder(runs)) in line


@pytest.mark.parametrize("inside", ["", "inside"])
def test_a_file_where_the_run_folders_go_is_one_line(inside, config, table, run_cli):
    result = run_cli(config, runs=table / inside)
    assert result.code == 2
    (line,) = result.err.splitlines()
    assert line.startswith("error: ")
    assert str(table) in line


# --- finished runs, other runs --------------------------------------------------------


def test_a_finished_run_is_shown_and_not_run_again(
    config, run_ok, run_cli, monkeypatch
):
    folder, first = run_ok(config)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    monkeypatch.setattr(classify, "work", None)
    result = run_cli(config)
    assert (result.code, result.err) == (0, "")
    assert "Finished before; delete " in result.out
    assert "step" not in result.out
    # What is shown is the same table, with the same numbers.
    shown = [line for line in result.out.splitlines() if "│" in line]
    assert len(shown) == 4
    for line in shown:
        numbers = line.split("│")[2].split()
        assert numbers
        (original,) = (
            other for other in first.splitlines() if line.split("│")[1] in other
        )
        assert float(original.split("│")[2]) == pytest.approx(
            float(numbers[0]), rel=1e-5
        )
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert after == before
    for name in names(folder):
        assert (folder / name).stat().st_mtime_ns == times[name]


def test_a_finished_run_names_its_folder_in_one_piece(config, run_ok, run_cli):
    folder, _ = run_ok(config)
    assert f"delete {folder} to run it again" in run_cli(config).out


# To rich, brackets are markup and colons make emojis.
@pytest.mark.parametrize("name", ["runs[bold]", "runs[/red]", ":cat:"])
def test_folders_may_have_any_name(name, config, run_ok, tmp_path):
    folder, out = run_ok(config, runs=tmp_path / name)
    assert f"Results, parameters and figures are in {folder}\n" in out


def test_a_run_ends_with_its_folder_in_one_piece(config, run_ok):
    folder, out = run_ok(config)
    assert out.endswith(f"\nResults, parameters and figures are in {folder}\n")
    assert folder.name.startswith("mine-")


@contextmanager
def locked(folder):
    """Hold the lock as another process would."""
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.mark.parametrize("state", ["finished", "halfway"])
def test_two_processes_are_not_at_the_same_run(
    state, config, request, run_cli, uninterrupted
):
    if state == "halfway":
        folder = request.getfixturevalue("halfway")
    else:
        folder, _ = request.getfixturevalue("run_ok")(config)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with locked(folder):
        result = run_cli(config)
        assert result.code == 2
        assert result.err == f"error: {folder}: another process is at this run\n"
        assert result.out == ""
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert run_cli(config).code == 0
    assert_same_run(folder, uninterrupted)


@pytest.mark.parametrize(
    "overrides",
    [
        ["--descent.steps", "6"],
        ["--descent.learning_rate", "0.25"],
        ["--descent.print_every", "3"],
        ["--descent.l2", "0.1"],
        ["--data.test_fraction", "0.5"],
        ["--data.standardize", "true"],
        ["--seed", "1"],
    ],
)
def test_another_setting_is_another_run(overrides, config, run_ok, runs):
    folder, _ = run_ok(config)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    other, _ = run_ok(config, *overrides)
    assert other != folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    settings = tomllib.loads((other / "config.toml").read_text())
    assert settings != tomllib.loads((folder / "config.toml").read_text())


def test_a_setting_that_says_what_is_so_anyway_is_the_same_run(
    config, run_ok, run_cli, runs
):
    folder, _ = run_ok(config)
    result = run_cli(config, "--descent.steps=5", "--seed", "0")
    assert "Finished before" in result.out
    assert only_folder(runs) == folder


def test_other_contents_of_a_file_are_another_run(config, table, run_ok, run_cli, runs):
    folder, _ = run_ok(config)
    content = table.read_text()
    table.write_text(content.replace("1", "2", 1))
    other, _ = run_ok(config)
    assert other != folder
    table.write_text(content)
    assert "Finished before" in run_cli(config).out
    assert set(runs.iterdir()) == {folder, other}


def test_other_code_is_another_run(config, run_ok, monkeypatch):
    folder, _ = run_ok(config)
    monkeypatch.setattr(runner, "code_digest", lambda: "other")
    other, _ = run_ok(config)
    assert other.name != folder.name


# --- what a folder holds --------------------------------------------------------------


def test_a_folder_says_what_was_run_and_where(config, run_ok):
    folder, _ = run_ok(config, "--descent.l2=0.5")
    settings = tomllib.loads((folder / "config.toml").read_text())
    assert settings["descent"] == {
        "learning_rate": 0.5,
        "steps": 5,
        "print_every": 2,
        "l2": 0.5,
    }
    assert settings["data"]["label"] == "label"
    found = json.loads((folder / "environment.json").read_text())
    assert found == environment()
    assert {"jlogreg", "jax", "numpy"} <= found["packages"].keys()
    assert len(found["code"]) == 12


def test_metrics_are_the_costs_that_were_printed(config, run_ok):
    folder, out = run_ok(config)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    costs = arrays_of(folder)["costs"][0]
    assert records == [{"step": k, "cost": float(costs[k])} for k in (0, 2, 4)]
    printed = printed_costs(out)
    for record in records:
        assert printed[record["step"]] == pytest.approx(record["cost"], abs=5e-7)


def test_results_are_read_as_they_were_written(config, run_ok):
    folder, _ = run_ok(config)
    rows = read_results(folder)
    assert [row["unit"] for row in rows] == ["nats", "nats", "%", "%"]
    assert [row["quantity"] for row in rows] == [
        "cost J at the start",
        "cost J at the end",
        "train accuracy",
        "test accuracy",
    ]


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path, Console(file=io.StringIO()))


def test_write_replaces_a_file_whole(run):
    run.write("name", b"long before")
    run.write("name", b"after")
    assert [path.name for path in run.folder.iterdir()] == ["name"]
    assert (run.folder / "name").read_bytes() == b"after"


def test_write_syncs_the_file_before_it_renames_it_and_the_folder_after(
    run, monkeypatch
):
    order = []
    fsync, replace = os.fsync, Path.replace

    def spy_fsync(descriptor):
        order.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def spy_replace(path, target):
        order.append("replace")
        return replace(path, target)

    monkeypatch.setattr(runner.os, "fsync", spy_fsync)
    monkeypatch.setattr(Path, "replace", spy_replace)
    run.write("name", b"content")
    assert order == [f"{TEMPORARY}name", "replace", run.folder.name]


@pytest.mark.parametrize("step", ["fsync", "replace", "write", "open"])
def test_a_write_that_fails_leaves_the_old_file(step, run):
    run.write("name", b"before")
    with broken(step, 1, disk_full), pytest.raises(OSError, match="No space left"):
        run.write("name", b"after")
    assert (run.folder / "name").read_bytes() == b"before"
    again = Run(run.folder, run.console)
    assert [path.name for path in again.folder.iterdir()] == ["name"]


def test_a_file_written_in_pieces_gets_its_name_at_the_end(run):
    with run.open_whole("name") as file:
        file.write(b"one, ")
        file.write(b"two")
        assert not (run.folder / "name").exists()
    assert (run.folder / "name").read_bytes() == b"one, two"
    with suppress(Killed), run.open_whole("name") as file:
        file.write(b"half a fi")
        raise killed()
    again = Run(run.folder, run.console)
    assert [path.name for path in again.folder.iterdir()] == ["name"]
    assert (run.folder / "name").read_bytes() == b"one, two"


def test_arrays_survive_writing_bit_for_bit(run):
    values = np.array([[0.1, -0.0, np.inf, np.nan, 1e-45]], np.float32)
    assert run.read_arrays("a.npz") is None
    run.write_arrays("a.npz", one=values, two=np.arange(3))
    found = run.read_arrays("a.npz")
    assert found.keys() == {"one", "two"}
    assert found["one"].dtype == np.float32
    assert found["one"].tobytes() == values.tobytes()


def test_metrics_from_a_step_on_are_dropped(run):
    for step in (0, 2, 4, 6):
        run.log(step=step, cost=step / 3)
    run.keep_metrics(before=4)
    assert run.metrics() == [{"step": 0, "cost": 0.0}, {"step": 2, "cost": 2 / 3}]
    run.log(step=4, cost=float("nan"))
    assert len((run.folder / "metrics.jsonl").read_text().splitlines()) == 3
    assert np.isnan(run.metrics()[-1]["cost"])


# --- a real kill ----------------------------------------------------------------------


def test_a_run_resumes_after_sigkill(config, run_cli, tmp_path):
    """A process is killed; this one goes on with its run, and does another whole."""
    steps = ["--descent.steps", "60", "--descent.print_every", "2"]
    due, killed = tmp_path / "due", tmp_path / "killed"
    words = ["-m", "experiments", "run", config, *steps, "--runs", killed]
    with subprocess.Popen([sys.executable, *map(str, words)], cwd=ROOT) as victim:
        deadline = time.monotonic() + 50
        lines = 0
        while lines < 4:
            assert victim.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
            lines = sum(
                path.read_bytes().count(b"\n")
                for path in killed.glob("*/metrics.jsonl")
            )
        victim.send_signal(signal.SIGKILL)
        assert victim.wait() == -signal.SIGKILL
    folder = only_folder(killed)
    assert not (folder / "results.csv").exists()
    assert 0 < arrays_of(folder)["costs"].shape[1] < 60
    resumed = run_cli(config, *steps, runs=killed)
    assert (resumed.code, resumed.err) == (0, "")
    assert "Resuming after step " in resumed.out
    assert run_cli(config, *steps, runs=due).code == 0
    assert arrays_of(folder)["costs"].shape == (1, 60)
    assert_same_run(folder, only_folder(due))

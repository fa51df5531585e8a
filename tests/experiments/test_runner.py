"""A run of its own for each configuration, data and code, and files written whole."""

import fcntl
import io
import json
import os
import tomllib
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from experiments import runner
from experiments.environment import environment
from experiments.runner import TEMPORARY, Run
from tests.experiments.conftest import (
    Killed,
    arrays_of,
    contents,
    fails_at,
    names,
    only_folder,
    printed_costs,
)


@pytest.fixture
def halfway(config, run_cli, runs):
    """Return the folder of a run whose second parameters were not written any more."""
    # Settings, environment, empty metrics, first parameters, second parameters.
    with fails_at(Path, "replace", 5), pytest.raises(Killed):
        run_cli(config)
    folder = only_folder(runs)
    assert arrays_of(folder)["costs"].shape == (1, 2)
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2
    return folder


def test_a_resumed_run_says_so_and_takes_no_step_again(config, run_cli, halfway):
    result = run_cli(config)
    assert result.code == 0
    assert "Resuming after step 2." in result.out
    assert list(printed_costs(result.out)) == [2, 4, 5]
    (halfway / "results.csv").unlink()
    result = run_cli(config)
    assert "Resuming after step 5." in result.out
    assert list(printed_costs(result.out)) == [5]


def test_a_keyboard_interrupt_is_code_130_and_resumes(config, run_cli):
    with fails_at(Path, "replace", 5, KeyboardInterrupt):
        result = run_cli(config)
    assert result.code == 130
    assert result.out.splitlines()[-1] == "Interrupted; the same command resumes."
    assert "Resuming after step 2." in run_cli(config).out


@pytest.mark.parametrize("inside", ["", "inside"])
def test_a_file_where_the_run_folders_go_is_one_line(inside, config, table, run_cli):
    result = run_cli(config, runs=table / inside)
    assert result.code == 2
    (line,) = result.err.splitlines()
    assert line.startswith("error: ")
    assert str(table) in line


# To rich, brackets are markup and colons make emojis.
@pytest.mark.parametrize("name", ["runs[bold]", "runs[/red]", ":cat:"])
def test_folders_may_have_any_name(name, config, run_ok, tmp_path):
    folder, out = run_ok(config, runs=tmp_path / name)
    assert out.endswith(f"\nResults, parameters and figures are in {folder}\n")


@contextmanager
def locked(folder):
    """Hold the lock as another process would."""
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.mark.parametrize("state", ["finished", "halfway"])
def test_two_processes_are_not_at_the_same_run(state, config, request, run_cli):
    if state == "halfway":
        folder = request.getfixturevalue("halfway")
    else:
        folder, _ = request.getfixturevalue("run_ok")(config)
    before = contents(folder)
    with locked(folder):
        line = f"error: {folder}: another process is at this run\n"
        assert run_cli(config) == (2, "", line)
    assert contents(folder) == before
    assert run_cli(config).code == 0


@pytest.mark.parametrize(
    "override",
    [
        *("--descent.steps=6", "--descent.learning_rate=0.25", "--descent.l2=0.1"),
        *("--data.test_fraction=0.5", "--data.standardize=true", "--seed=1"),
        "--descent.print_every=3",
    ],
)
def test_another_setting_is_another_run(override, config, run_ok):
    folder, _ = run_ok(config)
    before = contents(folder)
    other, _ = run_ok(config, override)
    assert other != folder
    assert contents(folder) == before
    assert contents(other)["config.toml"] != before["config.toml"]


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
    table.write_text(content)
    assert "Finished before" in run_cli(config).out
    assert set(runs.iterdir()) == {folder, other}


def test_other_code_is_another_run(config, run_ok, monkeypatch):
    folder, _ = run_ok(config)
    monkeypatch.setattr(runner, "code_digest", lambda: "other")
    other, _ = run_ok(config)
    assert other.name != folder.name


def test_a_folder_says_what_was_run_and_where(config, run_ok):
    folder, _ = run_ok(config, "--descent.l2=0.5")
    settings = tomllib.loads((folder / "config.toml").read_text())
    due = {"learning_rate": 0.5, "steps": 5, "print_every": 2, "l2": 0.5}
    assert settings["descent"] == due
    assert settings["data"]["label"] == "label"
    found = json.loads((folder / "environment.json").read_text())
    assert found == environment()
    assert {"jlogreg", "jax", "numpy"} <= found["packages"].keys()
    assert len(found["code"]) == 12


# --- files ----------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path, Console(file=io.StringIO()))


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
    run.log(step=0)
    assert order[3:] == ["metrics.jsonl"]


def test_a_file_gets_its_name_when_all_of_it_is_written(run):
    run.write("name", b"long before")
    with run.open_whole("name") as file:
        file.write(b"one, ")
        file.write(b"two")
        assert (run.folder / "name").read_bytes() == b"long before"
    assert (run.folder / "name").read_bytes() == b"one, two"
    with suppress(Killed), run.open_whole("name") as file:
        file.write(b"half a fi")
        raise Killed
    assert names(run.folder) == {"name", f"{TEMPORARY}name"}
    Run(run.folder, run.console)  # clears what is half written
    assert names(run.folder) == {"name"}
    assert (run.folder / "name").read_bytes() == b"one, two"


def test_arrays_survive_writing_bit_for_bit(run):
    values = np.array([[0.1, -0.0, np.inf, np.nan, 1e-45]], np.float32)
    assert run.read_arrays("a.npz") is None
    run.write_arrays("a.npz", one=values, two=np.arange(3))
    found = run.read_arrays("a.npz")
    assert found.keys() == {"one", "two"}
    assert found["one"].dtype == np.float32
    assert found["one"].tobytes() == values.tobytes()


# After a power cut the end of a file may be anything, no UTF-8 too.
TORN = [
    *(b'{"step": 2, "co', b'{"step": 4, "cost": 0.25}', b"{", b"\n", b"12"),
    *(b'{"step": 4, "cost": 0.25}\n', bytes(50), b"\xff\xfe\xfd", b""),
]


@pytest.mark.parametrize("tail", TORN)
def test_metrics_from_a_step_on_and_a_torn_last_line_are_dropped(tail, run):
    for step in (0, 2, 4, 6):
        run.log(step=step, cost=step / 3)
    with (run.folder / "metrics.jsonl").open("ab") as file:
        file.write(tail)
    run.keep_metrics(before=4)
    kept = [{"step": 0, "cost": 0.0}, {"step": 2, "cost": 2 / 3}]
    assert run.metrics() == kept
    lines = "".join(json.dumps(record) + "\n" for record in kept)
    assert (run.folder / "metrics.jsonl").read_text() == lines
    run.log(step=4, cost=float("nan"))
    assert len((run.folder / "metrics.jsonl").read_text().splitlines()) == 3
    assert np.isnan(run.metrics()[-1]["cost"])

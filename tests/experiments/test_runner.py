"""A run of its own for each configuration, data and code, and files written whole."""

import fcntl
import io
import json
import os
from pathlib import Path

import jax
import numpy as np
import platformdirs
import pytest
from rich.console import Console

from experiments import runner
from experiments.environment import KEPT_FOR, keep_programs
from experiments.storage.run import TEMPORARY, Run
from tests.experiments.conftest import (
    contents,
    error_line,
    fails_at,
    names,
    only_folder,
    printed_costs,
)


@pytest.fixture
def halfway(config, run_cli, runs):
    """Return the folder of a run that was interrupted at its second parameters."""
    # Settings, environment, empty metrics, first parameters, second parameters.
    with fails_at(Path, "replace", 5, KeyboardInterrupt):
        result = run_cli(config)
    assert (result.code, result.err) == (130, "")
    assert result.out.splitlines()[-1] == "Interrupted; the same command resumes."
    return only_folder(runs)


def test_an_interrupted_run_resumes_and_takes_no_step_again(config, halfway, run_cli):
    (halfway / f"{TEMPORARY}old").touch()
    result = run_cli(config)
    assert result.code == 0
    assert "Resuming after step 2." in result.out
    assert list(printed_costs(result.out)) == [2, 4, 5]
    assert not any(name.startswith(TEMPORARY) for name in names(halfway))


def test_two_processes_are_not_at_the_same_run(config, halfway, run_cli):
    before = contents(halfway)
    with (halfway / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # a run wants it for itself alone
        line = f"{halfway}: another process is at this run"
        assert error_line(run_cli(config)) == line
    assert contents(halfway) == before
    assert run_cli(config).code == 0


def test_another_thing_in_the_place_of_a_folder_or_file_is_one_line(
    config, table, run_ok, run_cli, tmp_path
):
    folder, _ = run_ok(config)
    place = tmp_path / "one" / folder.name / "results.csv"
    place.mkdir(parents=True)
    line = error_line(run_cli(config, runs=tmp_path / "one"))
    assert line == f"{place}: must be a file, but is a folder: delete it"
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / folder.name).touch()
    for runs in (tmp_path / "two", table, table / "inside"):
        line = error_line(run_cli(config, runs=runs))
        assert line.startswith(f"{runs / folder.name}: ")


# To rich, brackets are markup and colons make emojis.
@pytest.mark.parametrize("name", ["runs[bold]", "runs[/red]", ":cat:"])
def test_folders_may_have_any_name(name, config, run_ok, tmp_path):
    folder, out = run_ok(config, runs=tmp_path / name)
    assert out.endswith(f"\nResults, parameters and figures are in {folder}\n")


def test_settings_data_and_code_tell_runs_apart(
    config, table, run_ok, run_cli, runs, monkeypatch
):
    folder, _ = run_ok(config)
    before = contents(folder)
    defaults = ["--descent.steps=5", "--seed", "0"]
    assert "Finished before" in run_cli(config, *defaults).out
    for override in ("--descent.steps=6", "--data.test_fraction=0.5", "--seed=1"):
        run_ok(config, override)  # in a new folder
    content = table.read_text()
    table.write_text(content.replace("1", "2", 1))
    run_ok(config)
    table.write_text(content)
    monkeypatch.setattr(runner, "code_digest", lambda: "other")
    run_ok(config)
    assert len(names(runs)) == 6
    assert contents(folder) == before


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

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(Path, "replace", spy_replace)
    run.write("name", b"content")
    assert order == [f"{TEMPORARY}name", "replace", run.folder.name]
    run.log(step=0)
    assert order[3:] == ["metrics.jsonl"]


# After a power cut the metrics may be anything, no UTF-8 too.
TORN = [b'{"step": 2, "co', b'{"step": 4, "cost": 0.25}', b"\n", bytes(50), b"\xff"]


@pytest.mark.parametrize("tail", TORN)
def test_metrics_begin_with_the_steps_that_are_done_whatever_was_there(tail, run):
    kept = [{"step": 0, "cost": 0.0}, {"step": 2, "cost": 2 / 3}]
    (run.folder / "metrics.jsonl").write_bytes(b'{"step": 0, "cost": 1}\n' + tail)
    run.begin_metrics(kept)
    run.log(step=4, cost=float("nan"))
    *lines, last = (run.folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == kept
    assert np.isnan(json.loads(last)["cost"])


CACHE = "jax_compilation_cache_dir"
LEAST = "jax_persistent_cache_min_compile_time_secs"


@pytest.fixture
def kept_under(tmp_path, monkeypatch):
    """Return a function that keeps programs under a folder and returns where."""
    names = (CACHE, LEAST, "jax_enable_compilation_cache")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_enable_compilation_cache", True)
    jax.config.update(CACHE, None)

    def keep(folder):
        monkeypatch.setattr(platformdirs, "user_cache_path", lambda *_, **__: folder)
        keep_programs()
        return getattr(jax.config, CACHE)

    yield keep
    for name, value in before.items():
        jax.config.update(name, value)


def test_programs_are_kept_for_a_month(tmp_path, kept_under):
    old, new = (tmp_path / "programs" / name for name in ("old", "new"))
    old.parent.mkdir()
    for path in (old, new):
        path.touch()
    os.utime(old, (old.stat().st_mtime - KEPT_FOR - 1,) * 2)
    assert kept_under(tmp_path) == str(tmp_path / "programs")
    assert names(old.parent) == {"new"}
    assert getattr(jax.config, LEAST) == 0


def test_programs_are_kept_where_the_user_says_or_nowhere(tmp_path, kept_under):
    (tmp_path / "file").touch()
    assert kept_under(tmp_path / "file") is None
    jax.config.update(CACHE, "mine")
    assert kept_under(tmp_path) == "mine"
    jax.config.update(CACHE, None)
    jax.config.update("jax_enable_compilation_cache", False)
    assert kept_under(tmp_path) is None
    assert names(tmp_path) == {"file"}

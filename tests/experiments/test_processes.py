"""One run by several processes of the command line; one of them may be killed."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest

from experiments.processes import join
from experiments.runner import read_results
from tests.experiments.conftest import (
    CONFIGS,
    ROOT,
    arrays_of,
    call_main,
    names,
    only_folder,
    write_csv,
)

BOOTSTRAP = (
    CONFIGS / "bootstrap.toml", "--bootstrap.replicates=24", "--bootstrap.l2=0.1"
)  # fmt: skip
SCAN = (
    *(CONFIGS / "scan.toml", "--simulation.samples=76", "--simulation.variants=40"),
    "--figures=false",
)


@pytest.fixture
def start(runs):
    """Return a function that starts processes of a command; they end with the test."""
    running = []

    def call(count, *arguments, own=()):
        try:
            with socket.create_server(("127.0.0.1", 0)) as server:
                address = f"127.0.0.1:{server.getsockname()[1]}"
        except OSError as error:
            pytest.skip(f"no port of this machine: {error}")
        for index in range(count):
            words = [*arguments, *own[index : index + 1], "--runs", runs]
            words += ["--distributed", "--coordinator", address]
            words += ["--processes", count, "--process", index]
            command = [sys.executable, "-m", "experiments", "run", *map(str, words)]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            one = subprocess.Popen(command, cwd=ROOT, text=True, **pipes)
            running.append(one)
        return running

    yield call
    for one in running:
        one.kill()
        one.communicate()


def ended(running):
    """Return the codes of processes, once they have ended, and what they have said."""
    said = [one.communicate(timeout=300) for one in running]
    codes = [one.returncode for one in running]
    # JAX's collectives announce themselves.
    out = [
        "".join(x for x in text.splitlines(True) if "[Gloo]" not in x)
        for text, _ in said
    ]
    return codes, out, [text for _, text in said]


def same(folder, other, tolerance):
    """Assert that two runs have the same files, and the same numbers to rounding."""
    assert (folder.name, names(folder)) == (other.name, names(other))
    for name in (name for name in names(folder) if name.endswith(".npz")):
        arrays, expected = arrays_of(folder, name), arrays_of(other, name)
        for key in expected.keys() - {"arguments", "steps"}:
            np.testing.assert_allclose(arrays[key], expected[key], atol=tolerance)
    rows, expected = read_results(folder), read_results(other)
    for row, other_row in zip(rows, expected, strict=True):
        for cell, known in zip(row.values(), other_row.values(), strict=True):
            try:
                assert float(cell) == pytest.approx(float(known), rel=1e-3, abs=1e-3)
            except ValueError:
                assert cell == known


def by_one(*arguments):
    """Return what one process says of a run, with the random numbers of a fresh one."""
    with jax.enable_x64(False):
        return call_main("run", *arguments)


def share(start, runs, tmp_path, count, arguments):
    """Let several processes make a run; return what one process makes of it, too."""
    codes, out, errors = ended(start(count, *arguments))
    assert codes == [0] * count, errors
    assert out[0].splitlines()[-1].endswith(f"are in {only_folder(runs)}")
    assert out[1:] == [""] * (count - 1)
    alone = by_one(*arguments, "--runs", tmp_path / "alone")
    assert (alone.code, alone.err) == (0, "")
    return only_folder(runs), only_folder(tmp_path / "alone")


def test_two_processes_share_replicates(start, runs, tmp_path):
    same(*share(start, runs, tmp_path, 2, BOOTSTRAP), tolerance=1e-5)


@pytest.mark.nightly
def test_four_processes_share_the_variants_of_a_scan(start, runs, tmp_path):
    folder, alone = share(start, runs, tmp_path, 4, SCAN)
    same(folder, alone, tolerance=1e-5)
    table, expected = (
        (one / "scan.glm.logistic").read_text() for one in (folder, alone)
    )
    words, known = (text.split() for text in (table, expected))
    assert len(words) == len(known)
    for word, other in zip(words, known, strict=True):
        assert word == other or float(word) == pytest.approx(float(other), rel=1e-3)


@pytest.mark.parametrize("victim", [1, pytest.param(0, marks=pytest.mark.nightly)])
def test_a_killed_process_ends_the_other_and_one_process_goes_on(
    victim, start, runs, tmp_path
):
    random = np.random.default_rng(0)
    values = random.normal(size=(41, 3)).round(3)
    table = write_csv(tmp_path / "table.csv", values, values[:, 0] > 0)
    path = tmp_path / "long.toml"
    path.write_text(
        f'program = "classify"\n[data]\nsource = "files"\ntrain = "{table}"\n'
        "[descent]\nlearning_rate = 0.5\nsteps = 600\nprint_every = 2\n"
    )
    running = start(2, path)
    killed, other = running[victim], running[1 - victim]
    deadline = time.monotonic() + 200
    while not list(runs.glob("*/params.npz")) and time.monotonic() < deadline:
        assert killed.poll() is other.poll() is None
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    begin = time.monotonic()
    other.wait(timeout=60)
    assert time.monotonic() - begin < 10  # two seconds, on a busy machine
    _, _, errors = ended(running)
    assert (killed.returncode, other.returncode) == (-signal.SIGKILL, 3)
    line = errors[1 - victim].splitlines()[-1]
    # JAX may be the first to see that process 0 is gone.
    said = [
        f"error: process {victim} of 2 has ended",
        "error: a process of 2 has ended",
    ]
    assert line.startswith(tuple(said[: 2 - victim]))
    assert "all others end; the same command resumes, with any number of" in line
    # One process takes the steps that are left.
    resumed = by_one(path, "--runs", runs)
    assert (resumed.code, resumed.err) == (0, "")
    assert "Resuming after step" in resumed.out
    assert by_one(path, "--runs", tmp_path / "alone").code == 0
    same(only_folder(runs), only_folder(tmp_path / "alone"), tolerance=1e-5)


def test_processes_with_other_settings_all_say_so(start):
    codes, _, errors = ended(start(2, *BOOTSTRAP, own=["--seed=1", "--seed=2"]))
    assert codes == [2, 2]
    for text in errors:
        line = text.splitlines()[-1]
        assert "the settings, the data or the code differ between the processes" in line


REFUSED = {
    "--process 0": "--coordinator, --processes, --process: add --distributed",
    "--distributed --processes 2": "--coordinator, --processes, --process: give all "
    "three, or none where SLURM or Open MPI has started the processes",
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_group_that_is_not_named_is_one_line(words, refused):
    assert refused(BOOTSTRAP[0], *words.split()) == REFUSED[words]


def test_work_for_one_process_is_refused(refused):
    line = refused(CONFIGS / "surface.toml", "--distributed")
    assert line.startswith("--distributed: surface is work for one process; several ")


def test_threads_of_a_process_do_not_interrupt_each_other():
    found = []

    def run():
        join.schedule_as_batch()
        found.append(os.sched_getscheduler(0))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [os.SCHED_BATCH]

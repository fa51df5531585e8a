"""A run that is killed, or finds the disk full, at any moment: nothing is lost."""

import errno
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from zipfile import BadZipFile

import numpy as np
import pytest

from experiments.runner import TEMPORARY
from tests.experiments.conftest import ROOT
from tests.experiments.victim import DEAD

STEPS = 2
LARGE = 1100  # bytes; no file has more

# Before, within or after: seven files that are written whole, one in two pieces, two
# lines, and the lock.
MOMENTS = 7 * 14 + 2 + 2 * 8 + 6


@pytest.fixture(scope="module")
def start():
    """Return a function that runs a command line in a process that may die."""
    words = [sys.executable, "-m", "tests.experiments.victim"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(
        words, cwd=ROOT, stderr=subprocess.DEVNULL, **pipes
    ) as server:
        assert server.stdout.readline() == "ready\n"

        def call(config, runs, **options):
            arguments = ["run", str(config), "--runs", str(runs)]
            order = json.dumps({"arguments": arguments, **options})
            print(order, file=server.stdin, flush=True)
            return json.loads(server.stdout.readline())

        yield call
        server.stdin.close()


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    """Return the configuration of a program that computes next to nothing."""
    path = tmp_path_factory.mktemp("light") / "light.toml"
    path.write_text(f'program = "light"\nsteps = {STEPS}\n')
    return path


@pytest.fixture(scope="module")
def due(start, light, tmp_path_factory):
    """Return the folder of a run that nothing interrupted."""
    runs = tmp_path_factory.mktemp("due")
    result = start(light, runs)
    assert (result["code"], result["err"]) == (0, "")
    assert f"in {only(runs)}\n" in result["out"]
    assert contents(only(runs)).keys() == {
        "config.toml", "environment.json", "metrics.jsonl", "params.npz", "figure.png",
        "results.csv",
    }  # fmt: skip
    assert max(map(len, contents(only(runs)).values())) < LARGE
    return only(runs)


def only(runs):
    (folder,) = runs.iterdir()
    return folder


def contents(folder):
    paths = [path for path in folder.iterdir() if path.name != ".lock"]
    return {path.name: path.read_bytes() for path in paths}


def assert_whole(runs, due):
    """Assert that what has its name is what it will be, or was on the way there."""
    for folder in runs.glob("*"):
        assert folder.name == due.name
        found, end = contents(folder), contents(due)
        for name in {name for name in found if not name.startswith(TEMPORARY)}:
            if name == "metrics.jsonl":
                *whole, torn = found[name].split(b"\n")
                assert whole == end[name].split(b"\n")[: len(whole)]
                assert end[name].split(b"\n")[len(whole)].startswith(torn)
            elif name == "params.npz":
                with np.load(folder / name) as one, np.load(due / name) as other:
                    part = other["costs"][:, : one["costs"].shape[1]]
                    assert one["costs"].tobytes() == part.tobytes()
                    assert one["w"][0, 0] == one["costs"][0, -1]
            else:
                assert found[name] == end[name], name
        # Whatever a result says is there before the result is.
        assert "results.csv" not in found or found == end


def assert_resumes(start, light, runs, due):
    result = start(light, runs)
    assert (result["code"], result["err"]) == (0, "")
    assert contents(only(runs)) == contents(due)


def assert_one_line(result, runs, words):
    """Assert that a failure is one line, that it names the folder, and its reason."""
    assert result["code"] == 2
    (line,) = result["err"].splitlines()
    assert line.startswith(f"error: {runs}")
    assert words in line


def runs_of(tmp_path, number):
    return tmp_path / f"runs-{number}"


def test_a_run_that_dies_at_any_moment_resumes(start, light, due, tmp_path):
    for at in itertools.count(1):
        runs = runs_of(tmp_path, at)
        result = start(light, runs, die_at=at)
        if result["code"] == 0:
            break
        assert (result["code"], result["err"]) == (DEAD, "")
        assert_whole(runs, due)
        assert_resumes(start, light, runs, due)
    assert contents(only(runs)) == contents(due)
    assert at > MOMENTS


@pytest.mark.parametrize("stride", [3, 7, 20])
def test_a_run_that_dies_again_and_again_arrives(stride, start, light, due, tmp_path):
    """Each attempt gets a few moments further than the one before."""
    for at in itertools.count(1, stride):
        result = start(light, tmp_path / "runs", die_at=at)
        assert_whole(tmp_path / "runs", due)
        if result["code"] == 0:
            break
        assert result["code"] == DEAD
    assert at > 3 * stride
    assert contents(only(tmp_path / "runs")) == contents(due)


@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=pytest.mark.nightly)])
def test_a_disk_that_is_full_at_any_moment_is_one_line(
    stride, start, light, due, tmp_path
):
    for at in itertools.count(1, stride):
        runs = runs_of(tmp_path, at)
        result = start(light, runs, full_at=at)
        if result["code"] == 0:
            break
        assert_one_line(result, runs, os.strerror(errno.ENOSPC))
        assert_whole(runs, due)
        assert_resumes(start, light, runs, due)
    assert at > MOMENTS


def test_output_that_cannot_be_written_is_one_line(start, light, due, tmp_path):
    """Not a fault of the run's folder, and the work goes on where there is room."""
    runs = tmp_path / "runs"
    for _ in range(2):
        result = start(light, runs, out_to="/dev/full")
        line = f"error: standard output: {os.strerror(errno.ENOSPC)}\n"
        assert (result["code"], result["err"]) == (2, line)
        assert_whole(runs, due)
    assert_resumes(start, light, runs, due)


@pytest.mark.parametrize("stride", [111, pytest.param(7, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("by_signal", [False, True])
def test_a_write_that_breaks_off_at_any_byte_is_no_file(
    by_signal, stride, start, light, due, tmp_path
):
    """The system breaks it off, and ends the process, or lets it say so."""
    ends = set()
    for most in range(0, LARGE, stride):
        runs = runs_of(tmp_path, most)
        result = start(light, runs, most_bytes=most, by_signal=by_signal)
        ends.add(result["code"])
        if by_signal and result["code"]:
            assert (result["code"], result["err"]) == (-signal.SIGXFSZ, "")
        elif result["code"]:
            assert_one_line(result, runs, "File too large")
        assert_whole(runs, due)
        assert_resumes(start, light, runs, due)
    assert ends == {0, -signal.SIGXFSZ if by_signal else 2}


def kill(count, start, light, due, tmp_path):
    """Kill runs at random moments, so often; return how many it took to the end."""
    begun = time.perf_counter()
    start(light, tmp_path / "timed")
    length = time.perf_counter() - begun
    seed = random.randrange(2**32)
    moments, kills, arrived = random.Random(seed), 0, 0
    while kills < count:
        runs = runs_of(tmp_path, arrived)
        result = start(light, runs, kill_after=moments.uniform(0, 1.1 * length))
        assert_whole(runs, due)
        if result["code"] == -signal.SIGKILL:
            kills += 1
        else:
            assert (result["code"], result["err"]) == (0, ""), seed
            assert contents(only(runs)) == contents(due)
            arrived += 1
    assert_resumes(start, light, runs_of(tmp_path, arrived), due)
    return f"{kills} kills over {1000 * length:.0f} ms, {arrived + 1} runs arrived"


def test_a_run_that_is_killed_at_random_moments_arrives(start, light, due, tmp_path):
    kill(10, start, light, due, tmp_path)


@pytest.mark.nightly
def test_a_run_that_is_killed_200_times_arrives(start, light, due, tmp_path):
    print(kill(200, start, light, due, tmp_path))


@pytest.mark.parametrize("name", ["params.npz", "figure.png", "results.csv"])
def test_the_comparison_notices_a_wrong_byte(name, due, tmp_path):
    folder = tmp_path / "runs" / due.name
    folder.mkdir(parents=True)
    for path, content in contents(due).items():
        (folder / path).write_bytes(content)
    assert_whole(tmp_path / "runs", due)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 3] ^= 1
    (folder / name).write_bytes(content)
    # NumPy checks the sums of an archive itself.
    with pytest.raises((AssertionError, BadZipFile, ValueError)):
        assert_whole(tmp_path / "runs", due)

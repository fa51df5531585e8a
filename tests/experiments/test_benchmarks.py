"""Benchmarks at toy sizes: a table, a JSON record, a note for a missing peer."""

import io
import json
import math
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from joblib import parallel_config
from rich.console import Console
from threadpoolctl import threadpool_limits

from experiments.__main__ import main
from experiments.benchmarks import (
    bootstrap,
    descent,
    first_call,
    grid,
    heads,
    one_fit,
    one_pass,
    scaling,
    scan,
)
from experiments.benchmarks.harness import compare, report
from experiments.benchmarks.harness.compare import Attempt, Way
from experiments.benchmarks.harness.problems import Models, Problems
from experiments.benchmarks.peers import nemos, plink
from experiments.benchmarks.peers import scikit_learn as scikit
from experiments.errors import UserError
from jlogreg import Params, cost, fit

pytestmark = pytest.mark.usefixtures("no_pause")


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=300)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Return a function that reads the only file that a benchmark has written."""
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")

    def read(name):
        (path,) = (tmp_path / "results").iterdir()
        assert path.name == f"{name}-{jax.default_backend()}.json"
        return json.loads(path.read_text())

    return read


@pytest.fixture
def one_process(monkeypatch):
    """Let one process do the work of two."""

    def share(calls):
        return [function(*args, **more) for function, args, more in calls]

    for module in (scikit, grid):
        monkeypatch.setattr(module, "share", share)
    monkeypatch.setattr(grid, "processes", lambda: parallel_config("sequential"))
    monkeypatch.setattr(scikit, "_wait", lambda seconds: None)
    with threadpool_limits(1):
        yield


@pytest.fixture
def no_nemos(monkeypatch):
    monkeypatch.setitem(sys.modules, "nemos", None)


def rows_of(text):
    """Return the rows of the table on the terminal as lists of text."""
    lines = [line for line in text.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def check_record(record, name, work):
    """Check the record of a comparison; return its ways by name."""
    assert record["benchmark"] == name
    assert {"processor", "cores", "memory_GiB", "device", "jax"} <= set(
        record["machine"]
    )
    assert record["work"] == json.loads(json.dumps(work._asdict()))
    ways = {way["way"]: way for way in record["ways"]}
    timed = [way for way in ways.values() if way["fastest_s"] is not None]
    assert timed
    for way in timed:
        assert 0 < way["fastest_s"] <= way["median_s"]
        assert way["reached"] <= work.goal
    assert record["ratio"] > 0
    return ways


def check_lines(text, record):
    """Check that the terminal shows the ways and notes of the record."""
    shown = [row[0] for row in rows_of(text)]
    assert len(shown) == len(record["ways"])
    for way in record["ways"]:
        part = f" ({way['part']})" if way["part"] else ""
        assert f"{way['way']}{part}" in shown
    for note in record["notes"]:
        assert note in " ".join(text.split())
    assert f"times as fast as {record['against']}" in text


# --- the harness ----------------------------------------------------------------------


def ways(**seconds):
    def one(name, seconds):
        ours = name.startswith("jlogreg")
        way = Way(name, lambda: None, lambda _: 0.0, ours)
        return Attempt(way, seconds, 1e-7)

    return [one(name, value) for name, value in seconds.items()]


TOY = heads.Work(rows=1, features=1, samples=1, rounds=2)


def test_a_comparison_times_the_ways_that_reach_the_goal(console, results, monkeypatch):
    calls = {}

    def interleaved(ways, rounds, once):
        calls.update(ways=list(ways), rounds=rounds, once=list(once))
        took = {"jlogreg": [1.0, 1.0], "fast": [8.0, 4.0], "slow": [9.0, 9.0]}
        return {name: took[name] for name in ways}

    monkeypatch.setattr(compare, "interleaved", interleaved)
    own, fast, slow, part, missed, lost, long = ways(
        jlogreg=5.0, fast=1.0, slow=3.0, part=2.0, missed=1.0, lost=1.0, long=61.0
    )
    tried = [
        own, fast, slow, part._replace(part="1 of 9"), missed._replace(reached=1e-5),
        lost._replace(reached=math.inf), long,
    ]  # fmt: skip
    compare.compare(console, "toy", TOY, "error", tried, ["a note"])
    assert calls == {"ways": ["jlogreg", "fast", "slow"], "rounds": 2, "once": ["slow"]}
    record, text = results("toy"), console.file.getvalue()
    found = check_record(record, "toy", TOY)
    check_lines(text, record)
    assert (record["against"], record["ratio"]) == ("fast", 6.0)
    assert found["slow"]["jlogreg_ratio"] == 9.0
    assert found["part"]["ratio"] == 3.0
    assert found["long"]["part"] == "one call"
    assert found["lost"]["reached"] is None
    for name in ("missed", "lost"):
        assert found[name]["median_s"] is found[name]["ratio"] is None
    cells = {row[0]: row[1:] for row in rows_of(text)}
    assert cells["fast"] == ["6000.0", "4000.0", "1.00", "1.0e-07"]
    assert cells["part (1 of 9)"] == ["~2000.0", "", "~3.00", "1.0e-07"]
    assert cells["missed"] == ["", "", "", "1.0e-05, given up"]
    assert "jlogreg: 6.00 times as fast as fast" in text


def test_nothing_is_written_where_ours_misses_the_goal(console, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    own, peer = ways(jlogreg=1.0, peer=1.0)
    compare.compare(console, "toy", TOY, "error", [own._replace(reached=1.0), peer])
    assert console.file.getvalue() == "jlogreg does not reach the goal\n"
    assert not (tmp_path / "results").exists()


def test_the_loosest_tolerance_that_reaches_the_goal_is_kept():
    def make(tol):
        return Way(f"tol {tol}", lambda: tol, lambda answer: answer / 10)

    tried = compare.loosest(make, 2e-3, (1.0, 0.1, 0.01, 0.001))
    assert (tried.tol, tried.reached) == (0.01, 0.001)
    assert compare.loosest(make, 0.0, (1.0, 0.1)).tol == 0.1
    assert compare.loosest(make, 2e-3, start=1e-4).tol == 1e-4
    assert compare.loosest(make, 0.0, start=1e-5).tol == compare.TOLERANCES[-1]
    assert compare.loosest(make, 0.0, (1.0, 0.1), patience=0.0).tol == 1.0


@pytest.mark.parametrize("weighted", [False, True])
def test_the_largest_gradient_is_that_of_the_cost(weighted):
    random = np.random.default_rng(0)
    X, Y = random.normal(size=(20, 3)), random.integers(0, 2, (4, 20)) * 1.0
    weight = random.integers(0, 3, (4, 20)) * 1.0 if weighted else None
    models = Models(w=random.normal(size=(3, 4)), b=random.normal(size=(4, 1)))
    largest = 0.0
    for k in range(4):
        own = None if weight is None else weight[k : k + 1]
        params = Params(w=models.w[:, k : k + 1], b=models.b[k : k + 1])
        slope = jax.grad(cost)(params, X.T, Y[k : k + 1], weight=own, l2=0.1)
        largest = max(largest, *(float(np.abs(leaf).max()) for leaf in slope))
    problems = Problems(X, Y, weight, 0.1)
    assert problems.largest_gradient(models) == pytest.approx(largest, rel=1e-12)
    assert problems.size == 4
    assert problems.part(np.array([2])).size == 1


@pytest.mark.parametrize("solver", scikit.SOLVERS)
def test_each_solver_finds_the_same_minimum(solver):
    random = np.random.default_rng(0)
    X, y = random.normal(size=(60, 3)), random.integers(0, 2, (1, 60)) * 1.0
    weight = random.integers(1, 4, (2, 60)) * 1.0
    start = Models(w=np.ones((3, 1)), b=np.zeros((1, 1)))
    for given in (None, start):
        problems = Problems(X, y, weight, 0.1, given)
        found = scikit.fit_rows(problems, solver, 1e-8)
        assert problems.largest_gradient(found) < 1e-5
        for k in range(2):
            ours = fit(X.T, y, weight=weight[k : k + 1], l2=0.1).params
            np.testing.assert_allclose(found.w[:, k : k + 1], ours.w, atol=1e-4)
            np.testing.assert_allclose(found.b[k], ours.b[0], atol=1e-4)


# --- every benchmark ------------------------------------------------------------------


@pytest.mark.usefixtures("one_process", "no_nemos")
@pytest.mark.parametrize("name", ["heads", "heads_large"])
def test_heads(name, console, results):
    work = heads.Work(
        rows=4, features=6, samples=60, goal=1e-5, rounds=2, probes=2, finals=1
    )
    getattr(heads, name)(console, work)
    record, text = results(name), console.file.getvalue()
    found = check_record(record, name, work)
    check_lines(text, record)
    assert record["notes"] == [nemos.MISSING]
    assert "jlogreg" in found
    assert "4 label rows over one 6 x 60 matrix" in text
    for solver in scikit.SOLVERS:  # each has one row at least
        assert any(way.startswith(f"scikit-learn {solver},") for way in found)
    assert record["against"].startswith("scikit-learn")


def test_descent(console, results):
    work = descent.Work(features=24, samples=10, steps=30, rounds=1)
    descent.run(console, work)
    record, text = results("descent"), console.file.getvalue()
    found = check_record(record, "descent", work)
    check_lines(text, record)
    assert list(found) == ["NumPy", "jlogreg, on X itself", "jlogreg"]
    assert record["against"] == "NumPy"
    # Of entries below 1, by 30 steps in float32.
    assert all(way["reached"] < 30 * np.finfo(np.float32).eps for way in found.values())
    assert "30 steps of gradient descent, 24 x 10" in text
    assert "J, which falls from 0.693147 to 0." in " ".join(text.split())


def test_one_pass(console, results):
    work = one_pass.Work(features=5, samples=200, rounds=1)
    one_pass.run(console, work)
    record, text = results("pass"), console.file.getvalue()
    found = check_record(record, "pass", work)
    check_lines(text, record)
    assert list(found) == ["NumPy", "jlogreg", "plain sum of X"]
    assert record["against"] == "NumPy"
    assert text.splitlines()[-2].startswith("jlogreg: ")
    assert "GB/s of X" in text


@pytest.mark.parametrize("name", ["descent", "pass"])
def test_a_wrong_answer_of_ours_misses_the_goal(name, console, results, monkeypatch):
    if name == "descent":
        plain = descent.gradient_descent

        def wrong(*data, steps, **options):
            return plain(*data, steps=steps - 1, **options)

        monkeypatch.setattr(descent, "gradient_descent", wrong)
        work = descent.Work(features=24, samples=10, steps=30, rounds=1)
        descent.run(console, work)
    else:
        value = one_pass.value_and_gradient
        monkeypatch.setattr(
            one_pass, "value_and_gradient", lambda p, X, y: value(p, X, y, l2=0.1)
        )
        one_pass.run(console, one_pass.Work(features=5, samples=200, rounds=1))
    assert console.file.getvalue().endswith("jlogreg does not reach the goal\n")


@pytest.mark.parametrize("name", ["tall", "tall_100", "wide"])
def test_one_fit(name, console, results):
    n, m = (30, 20) if name == "wide" else (3, 200)
    work = getattr(one_fit, name.upper())._replace(
        features=n, samples=m, l2=0.05, rounds=1
    )
    getattr(one_fit, name)(console, work)
    record, text = results(name), console.file.getvalue()
    found = check_record(record, name, work)
    check_lines(text, record)
    assert "jlogreg" in found
    several = len(jax.devices()) > 1 and name != "wide"
    assert ("jlogreg, 2 devices" in found) == several
    for solver in work.solvers:
        assert any(way.startswith(f"scikit-learn {solver},") for way in found)
    assert f"one fit, {n} x {m}, float32, l2 = 0.05" in text


def test_first_call(console, results):
    work = first_call.Work(features=3, samples=20, rounds=1)
    first_call.run(console, work)
    record = results("first_call")
    assert record["work"] == work._asdict()
    seconds = {way["way"]: way["median_s"] for way in record["ways"]}
    assert list(seconds) == [row[0] for row in rows_of(console.file.getvalue())]
    both = seconds["import"] + seconds["first fit"]
    assert seconds["import and first fit"] == pytest.approx(both)
    assert 0 < seconds["second fit, another l2"] < seconds["first fit"]


@pytest.mark.usefixtures("one_process")
def test_bootstrap(console, results):
    work = bootstrap.Work(
        replicates=3, features=3, goal=1e-5, rounds=1, probes=2, finals=1
    )
    bootstrap.run(console, work)
    record = results("bootstrap")
    found = check_record(record, "bootstrap", work)
    check_lines(console.file.getvalue(), record)
    assert "jlogreg" in found
    assert any("a plain loop" in way for way in found)


@pytest.mark.usefixtures("one_process")
def test_grid(console, results):
    work = grid.Work(
        labels=2, penalties=2, features=4, rounds=1, solvers=("newton-cholesky",)
    )
    grid.run(console, work)
    record = results("grid")
    found = check_record(record, "grid", work)
    check_lines(console.file.getvalue(), record)
    for tool in grid.TOOLS:
        for spread in grid.SPREADS:
            assert any(tool in way and spread in way for way in found)
    (note,) = record["notes"]
    assert note.startswith("held-out losses, of 20 fits, are off by at most: jlogreg ")


SCAN = scan.Work(features=30, samples=100, covariates=2, rounds=1, probes=4)


def test_scan_without_peers_says_so(console, results, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    for name in ("statsmodels", "statsmodels.api"):
        monkeypatch.setitem(sys.modules, name, None)
    scan.scan(console, SCAN)
    record = results("scan")
    found = check_record(record, "scan", SCAN)
    check_lines(console.file.getvalue(), record)
    assert record["notes"] == [scan.NO_STATSMODELS, plink.MISSING]
    assert set(found) <= {
        "jlogreg",
        *(f"jlogreg, tol {tol:g}" for tol in compare.LOOSE),
    }
    assert record["against"] in found


@pytest.mark.skipif(not shutil.which("plink2"), reason="plink2 is not on the PATH")
def test_scan_agrees_with_plink(console, results, monkeypatch):
    monkeypatch.setitem(sys.modules, "statsmodels.api", None)
    scan.scan(console, SCAN)
    record = results("scan")
    found = check_record(record, "scan", SCAN)
    assert record["against"] == scan.PLINK in found
    assert record["notes"][1].startswith("PLINK v2")
    assert record["notes"][2].startswith("against PLINK 2's table, 30 features: ")


def test_scan_files_runs_our_program(console, results, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)

    def call(command, cwd=None):
        assert command[:3] == [sys.executable, "-m", "experiments"]
        assert main(command[3:]) == 0

    monkeypatch.setattr(plink, "call", call)
    scan.scan_files(console, SCAN)
    record = results("scan_files")
    assert list(check_record(record, "scan_files", SCAN)) == ["jlogreg"]
    assert record["notes"] == [plink.MISSING]


def test_a_program_that_fails_is_one_line():
    with pytest.raises(UserError, match="ended with 3: no luck"):
        plink.call([sys.executable, "-c", "import sys; print('no luck'); sys.exit(3)"])


def test_a_folder_without_a_table_is_one_line(tmp_path):
    with pytest.raises(UserError, match="holds 0 tables instead of 1"):
        plink.read_estimates(tmp_path)


def test_a_table_tells_estimates_per_copy_of_alt(tmp_path):
    lines = ["ALT\tA1\tBETA\tSE", "A\tA\t0.5\t0.1", "A\tG\t0.25\t0.2", "A\tA\tNA\tNA"]
    (tmp_path / "x.glm.logistic").write_text("\n".join([*lines, ""]))
    found = plink.read_estimates(tmp_path)
    np.testing.assert_array_equal(found.estimate, [[0.5], [-0.25], [np.nan]])
    np.testing.assert_array_equal(found.standard_error, [[0.1], [0.2], [np.nan]])


def test_scaling(console, results, monkeypatch):
    work = scaling.Work(counts=(1, 3), features=2, samples=20, rounds=1)
    monkeypatch.setattr(
        scaling, "_row", lambda count, work: scaling._measure(count, *work[1:])
    )
    scaling.run(console, work)
    record = results("scaling")
    assert record["work"] == json.loads(json.dumps(work._asdict()))
    assert [way["problems"] for way in record["ways"]] == [1, 3]
    for way in record["ways"]:
        assert way["us_a_problem"] == pytest.approx(
            1e6 * way["median_s"] / way["problems"]
        )
        assert way["memory_MiB"] is None or way["memory_MiB"] < work.memory_MiB
    assert [row[0] for row in rows_of(console.file.getvalue())] == ["1", "3"]


def test_scaling_measures_in_a_fresh_process(monkeypatch):
    seen = []

    def run(command, **more):
        seen.append((command, more["cwd"]))
        return subprocess.CompletedProcess(command, 0, '{"problems": 7}', "")

    monkeypatch.setattr(subprocess, "run", run)
    assert scaling._row(7, scaling.WORK) == {"problems": 7}
    ((command, folder),) = seen
    assert command[1:] == ["-m", "experiments.benchmarks.scaling", *command[3:]]
    assert command[3:] == ["7", "32", "500", "256", "3"]
    assert (folder / "experiments/benchmarks/scaling.py").exists()


# --- the command line -----------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch):
    """Restore the environment that a benchmark sets for its processes."""
    for name in ("JAX_PLATFORMS", "XLA_PYTHON_CLIENT_PREALLOCATE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("environment")
def test_a_platform_that_jax_does_not_see_is_one_line(command, monkeypatch):
    def devices(name):
        raise RuntimeError(f"Unknown backend: {name}")

    monkeypatch.setattr(jax, "devices", devices)
    monkeypatch.setattr(heads, "heads", None)
    error = "error: --platform gpu: JAX sees no gpu here\n"
    assert command("bench", "heads", "--platform", "gpu") == (2, "", error)


@pytest.mark.usefixtures("environment")
def test_a_platform_holds_for_processes_too(command, monkeypatch):
    import os

    monkeypatch.setattr(
        heads, "heads", lambda console: console.print(os.environ["JAX_PLATFORMS"])
    )
    assert command("bench", "heads", "--platform", "cpu") == (0, "cpu\n", "")


def test_no_other_platform_is_known(command):
    result = command("bench", "heads", "--platform", "abacus")
    assert result.code == 2
    assert "invalid choice: 'abacus'" in result.err

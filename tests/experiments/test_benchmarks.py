"""Benchmarks at toy sizes: a table, a JSON record, a note for a missing peer."""

import io
import json
import math
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from functools import partial

import jax
import numpy as np
import pytest
from joblib import parallel_config
from threadpoolctl import threadpool_limits

import jlogreg as jl
from experiments import benchmarks
from experiments.benchmarks import (
    bootstrap,
    descent,
    estimators,
    first_call,
    firth,
    grid,
    growth,
    heads,
    metrics,
    one_fit,
    one_pass,
    passes,
    processes,
    profile,
    scaling,
    scan,
    small_jobs,
    sparse,
    stream,
    table,
)
from experiments.benchmarks.harness import compare, fresh_process, report
from experiments.benchmarks.harness.compare import Attempt, Way
from experiments.benchmarks.harness.problems import Models, Problems
from experiments.benchmarks.harness.sparse_problems import (
    SparseProblems,
    duality_gap,
    largest_penalty,
)
from experiments.benchmarks.peers import firthmodels, nemos, plink
from experiments.benchmarks.peers import scikit_learn as scikit
from experiments.benchmarks.peers import sparse as sparse_peers
from experiments.datasets.simulation import simulate_null, write_null
from experiments.errors import UserError
from tests.experiments.conftest import call_main, table_cells

pytestmark = pytest.mark.usefixtures("no_pause")


@pytest.fixture
def alone(monkeypatch):
    """Let one process do all the work, without the peers that may be missing."""

    def share(calls):
        return [function(*args, **more) for function, args, more in calls]

    def call(command, cwd=None):
        assert command[:3] == [sys.executable, "-m", "experiments"]
        assert call_main(*command[3:]).code == 0

    for module in (scikit, grid, metrics):
        monkeypatch.setattr(module, "share", share)
    monkeypatch.setattr(grid, "processes", lambda: parallel_config("sequential"))
    monkeypatch.setattr(scikit, "_wait", lambda seconds: None)
    monkeypatch.setattr(plink, "call", call)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    missing = ("nemos", "statsmodels", "statsmodels.api", "adelie", "celer")
    for name in (*missing, "firthmodels"):
        monkeypatch.setitem(sys.modules, name, None)
    with threadpool_limits(1):
        yield


ROWS = heads.Work(
    rows=4, features=6, samples=60, goal=1e-5, rounds=2, probes=2, finals=1
)
TALL = {"features": 3, "samples": 200, "l2": 0.05, "rounds": 1}
WIDE = TALL | {"features": 30, "samples": 20}
DEVICES = ["jlogreg, 2 devices"] if len(jax.devices()) > 1 else []
DIGITS = {"labels": 3, "penalties": 2, "features": 30, "goal": 1e-3, "rounds": 1}
SCAN = scan.Work(features=30, samples=100, covariates=2, rounds=1, probes=4)
LINEAR = "scikit-learn liblinear"
FEW = {"rows": 2, "features": 5, "samples": 200, "penalties": 2, "goal": 1e-3}
FEW |= {"rounds": 1, "peers": (LINEAR, "celer", "adelie")}
ONE = {"features": 31, "samples": 200, "penalties": 2, "smallest": 0.1, "rounds": 1}
ONE |= {"goal": 1e-3, "peers": (LINEAR,)}
# A small work for each benchmark, and words in the names of the ways that it has.
CASES = {
    "heads": (ROWS, scikit.SOLVERS),
    "heads_large": (ROWS, scikit.SOLVERS),
    "descent": (
        descent.Work(features=24, samples=10, steps=30, goal=4e-6, rounds=1),
        ["NumPy", "jlogreg, on X itself"],
    ),
    "pass": (
        one_pass.Work(features=5, samples=200, rounds=1),
        ["NumPy", "plain sum of X"],
    ),
    "firth_many": (firth.ManyWork(rows=4, features=2, samples=40, rounds=1), []),
    "firth_scan": (
        firth.ScanWork(20, 200, 1, frequencies=(0.02, 0.1), rounds=1, probes=4),
        ["fallback", "Wald", "score"],
    ),
    "profile": (
        profile.Work(features=3, samples=60, rounds=1),
        ["jlogreg, a loop of fits"],
    ),
    "tall": (one_fit.TALL._replace(**TALL), [*DEVICES, *one_fit.TALL.solvers]),
    "tall_100": (one_fit.TALL_100._replace(**TALL), [*DEVICES, *one_fit.TALL.solvers]),
    "wide": (one_fit.WIDE._replace(**WIDE), one_fit.WIDE.solvers),
    "bootstrap": (
        bootstrap.Work(
            replicates=3, features=3, goal=1e-5, rounds=1, probes=2, finals=1
        ),
        ["scikit-learn", ", a plain loop"],
    ),
    "grid": (
        grid.Work(
            labels=2, penalties=2, features=4, rounds=1, solvers=("newton-cholesky",)
        ),
        [*grid.TOOLS, *grid.SPREADS],
    ),
    "lasso_cv": (
        sparse.CV._replace(
            labels=2,
            penalties=2,
            folds=2,
            features=20,
            rounds=1,
            goal=1e-3,
            smallest=0.3,
            solvers=("liblinear",),
        ),
        ["LogisticRegressionCV, liblinear"],
    ),
    "lasso_many": (sparse.MANY._replace(**FEW), [LINEAR]),
    "lasso_many_30": (sparse.MANY_30._replace(**FEW), [LINEAR]),
    "lasso_many_400": (sparse.MANY_400._replace(**FEW), [LINEAR]),
    "lasso_no_bias": (sparse.NO_BIAS._replace(**FEW), [LINEAR]),
    "lasso_path": (sparse.PATH._replace(**ONE | {"features": 30}), [LINEAR]),
    "lasso_path_tall": (sparse.PATH_TALL._replace(**ONE), [LINEAR]),
    "lasso_path_wide": (sparse.PATH_WIDE._replace(filled=0.5, **ONE), [LINEAR]),
    "metrics": (
        metrics.Work(replicates=3, samples=50, rounds=1),
        ["a plain loop", "one thread", "two processes"],
    ),
    "estimators": (estimators.WORK._replace(**DIGITS), ["functions"]),
    "estimators_cv": (estimators.WORK._replace(**DIGITS), ["functions"]),
    "stream": (
        stream.Work(3, 3000, block=1024, batch=100, goal=0.01, rounds=1),
        [
            "Streamed",
            "minibatch_descent",
            "in memory",
            "one pass over the disk",
            "SGDClassifier",
        ],
    ),
    "table": (
        table.Work(rows=500, columns=5, goal=1e-2, rounds=1),
        ["standard errors", "five folds", "reading", "pandas and scikit-learn"],
    ),
    "scan": (SCAN, []),
    "scan_files": (SCAN, []),
}
# How the notes begin, of peers that are missing and of errors.
GONE = [f"{name} is not installed" for name in ("celer", "adelie")]
NOTES = {
    **dict.fromkeys(
        ("lasso_many", "lasso_many_30", "lasso_many_400", "lasso_no_bias"), GONE
    ),
    "heads": [nemos.MISSING],
    "heads_large": [nemos.MISSING],
    "grid": ["held-out losses, of 20 fits, are off by at most: jlogreg "],
    "firth_many": [firthmodels.MISSING, "in float32 0 of 4 have no answer"],
    "firth_scan": [plink.MISSING],
    "profile": [profile.NO_STATSMODELS],
    "scan": [scan.NO_STATSMODELS, plink.MISSING],
    "scan_files": [plink.MISSING],
}


def checked(name, work, console, results):
    """Return the record of a comparison, and its ways by name."""
    record, text = results(name), console.file.getvalue()
    assert record["benchmark"] == name
    machine = {"processor", "cores", "memory_GiB", "device", "jax"}
    assert machine <= set(record["machine"])
    assert record["work"] == json.loads(json.dumps(work._asdict()))
    assert record["ratio"] > 0
    assert any(way["fastest_s"] for way in record["ways"])
    shown = [row[0] for row in table_cells(text)]
    assert len(shown) == len(record["ways"])
    for way in record["ways"]:
        part = f" ({way['part']})" if way["part"] else ""
        assert f"{way['way']}{part}" in shown
        if way["fastest_s"] is not None:
            assert 0 < way["fastest_s"] <= way["median_s"]
            assert way["reached"] <= work.goal
    for note in record["notes"]:
        assert note in " ".join(text.split())
    assert f"times as fast as {record['against']}" in text
    return record, {way["way"]: way for way in record["ways"]}


def tried(name, seconds, reached=1e-7, part=""):
    way = Way(name, lambda: None, lambda _: 0.0, ours=name == "jlogreg")
    return Attempt(way, seconds, reached, part=part)


def test_a_comparison_times_the_ways_that_reach_the_goal(console, results, monkeypatch):
    calls = {}

    def interleaved(ways, rounds, once):
        calls.update(ways=list(ways), rounds=rounds, once=list(once))
        took = {"jlogreg": [1.0, 1.0], "fast": [8.0, 4.0], "slow": [9.0, 9.0]}
        return {name: took[name] for name in ways}

    monkeypatch.setattr(compare, "interleaved", interleaved)
    attempts = [
        *(tried("jlogreg", 5.0), tried("fast", 1.0), tried("slow", 3.0)),
        *(tried("part", 2.0, part="1 of 9"), tried("missed", 1.0, 1e-5)),
        *(tried("lost", 1.0, math.inf), tried("long", 61.0)),
    ]
    work = ROWS._replace(goal=1e-6)
    compare.compare(console, "toy", work, "error", attempts, ["a note"])
    assert calls == {"ways": ["jlogreg", "fast", "slow"], "rounds": 2, "once": ["slow"]}
    record, ways = checked("toy", work, console, results)
    assert (record["against"], record["ratio"]) == ("fast", 6.0)
    assert ways["slow"]["jlogreg_ratio"] == 9.0
    assert ways["part"]["ratio"] == 3.0
    assert ways["long"]["part"] == "one call"
    assert ways["lost"]["reached"] is None
    for name in ("missed", "lost"):
        assert ways[name]["median_s"] is ways[name]["ratio"] is None
    cells = {row[0]: row[1:] for row in table_cells(console.file.getvalue())}
    assert cells["fast"] == ["6000.0", "4000.0", "1.00", "1.0e-07"]
    assert cells["part (1 of 9)"] == ["~2000.0", "", "~3.00", "1.0e-07"]
    assert cells["missed"] == ["", "", "", "1.0e-05, given up"]
    assert "jlogreg: 6.00 times as fast as fast" in console.file.getvalue()


def test_a_way_of_minutes_has_no_untimed_calls(console, results, monkeypatch):
    calls = []

    def interleaved(ways, rounds, once):
        calls.extend(once)
        return {name: [1.0] for name in ways}

    monkeypatch.setattr(compare, "interleaved", interleaved)
    attempts = [tried("jlogreg", 61.0), tried("fast", 1.0)]
    compare.compare(console, "toy", ROWS._replace(goal=1e-6), "error", attempts)
    assert calls == ["jlogreg"]


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
    weight = random.integers(0, 3, (4, 20)) * 1.0 if weighted else np.ones((4, 20))
    w, b = random.normal(size=(4, 3, 1)), random.normal(size=(4, 1, 1))

    def slope(w, b, y, weight):
        return jax.grad(jl.cost)(jl.Params(w, b), X.T, y, weight=weight, l2=0.1)

    slopes = jax.vmap(slope)(w, b, Y[:, None], weight[:, None])
    largest = max(float(np.abs(leaf).max()) for leaf in slopes)
    problems = Problems(X, Y, weight if weighted else None, 0.1)
    models = Models(w=w[..., 0].T, b=b[..., 0])
    assert problems.largest_gradient(models) == pytest.approx(largest, rel=1e-12)
    assert problems.size == 4
    assert problems.part(np.array([2])).size == 1


@pytest.mark.parametrize("bias", [True, False])
def test_the_gap_bounds_the_cost_above_its_minimum(bias):
    random = np.random.default_rng(0)
    X, y = random.normal(size=(40, 4)), random.integers(0, 2, (1, 40)) * 1.0
    l1 = 0.3 * largest_penalty(X, y, bias)[0]
    found = jl.fit(X.T, y, l1=l1, bias=bias)
    w, b = (np.asarray(leaf)[..., 0] for leaf in found.params)
    assert 0 <= duality_gap(X, y[0], w, b[0], l1, bias) < 1e-12
    assert not jl.fit(X.T, y, l1=1.01 * l1 / 0.3, bias=bias).params.w.any()
    for size in (1e-3, 0.1):
        v, c = w + size, b[0] + size * bias
        params = jl.Params(v[:, None], np.full((1, 1), c))
        above = float(jl.cost(params, X.T, y, l1=l1) - found.cost)
        assert 0 < above <= duality_gap(X, y[0], v, c, l1, bias) < 2000 * above


@pytest.mark.parametrize("name", sparse_peers.PEERS)
def test_each_peer_finds_the_minimum_with_a_penalty(name):
    module, path, *_ = sparse_peers.PEERS[name]
    pytest.importorskip(module)
    random = np.random.default_rng(0)
    X, Y = random.normal(size=(60, 5)), random.integers(0, 2, (1, 60)) * 1.0
    top = largest_penalty(X, Y, False)[:, None]
    problems = SparseProblems(np.asfortranarray(X), Y, top * [[0.5, 0.2]], bias=False)
    w, b = path(problems, 0, 1e-10)
    assert not b.any()
    for row, l1 in zip(w, problems.l1[0], strict=True):
        exact = jl.fit(X.T, Y, l1=l1, bias=False).params.w[:, 0]
        np.testing.assert_allclose(row, exact, atol=1e-4)


@pytest.mark.parametrize("solver", scikit.SOLVERS)
def test_each_solver_finds_the_same_minimum(solver):
    random = np.random.default_rng(0)
    X, y = random.normal(size=(60, 3)), random.integers(0, 2, (1, 60)) * 1.0
    weight = random.integers(1, 4, (2, 60)) * 1.0
    start = Models(w=np.ones((3, 1)), b=np.zeros((1, 1)))
    for given in (None, start):
        problems = Problems(X, y, weight, 0.1, given)
        models = scikit.fit_rows(problems, solver, 1e-8)
        assert problems.largest_gradient(models) < 1e-5
        for k in range(2):
            ours = jl.fit(X.T, y, weight=weight[k : k + 1], l2=0.1).params
            np.testing.assert_allclose(models.w[:, k : k + 1], ours.w, atol=1e-4)
            np.testing.assert_allclose(models.b[k], ours.b[0], atol=1e-4)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("name", CASES)
def test_a_benchmark_shows_and_records_its_ways(name, console, results):
    work, words = CASES[name]
    benchmarks.load(name)(console, work)
    record, ways = checked(name, work, console, results)
    for part in ("jlogreg", *words):
        assert any(part in way for way in ways)
    for note, start in zip(record["notes"], NOTES.get(name, []), strict=True):
        assert note.startswith(start)


@pytest.mark.parametrize(
    ("name", "module", "function"),
    [
        ("descent", descent, "gradient_descent"),
        ("pass", one_pass, "value_and_gradient"),
    ],
)
def test_nothing_is_written_where_ours_misses_the_goal(
    name, module, function, console, results, monkeypatch
):
    wrong = partial(getattr(module, function), l2=0.1)
    monkeypatch.setattr(module, function, wrong)
    module.run(console, CASES[name][0])
    assert console.file.getvalue().endswith("jlogreg does not reach the goal\n")
    assert not report.RESULTS.exists()


@pytest.fixture
def in_this_process(monkeypatch):
    """Run the programs of benchmarks of whole processes here, without the imports."""

    def numbers(program, *arguments, settings):
        with (
            pytest.MonkeyPatch.context() as patch,
            redirect_stdout(io.StringIO()) as out,
        ):
            patch.setattr(sys, "argv", ["-c", *map(str, arguments)])
            exec(program, {})
        return [float(word) for word in out.getvalue().split()]

    monkeypatch.setattr(fresh_process, "numbers", numbers)


def test_a_program_runs_in_a_process_of_its_own():
    program = "import os, sys; print(os.environ['A'], *sys.argv[1:])"
    assert fresh_process.numbers(program, 2, settings={"A": "1"}) == [1, 2]


def test_first_call(console, results, in_this_process):
    entries = ("fit", "cross_validate", "summary")
    work = first_call.Work(features=3, samples=20, rounds=1, entries=entries)
    first_call.run(console, work)
    record = results("first_call")
    assert record["work"] == json.loads(json.dumps(work._asdict()))
    names = [way["way"] for way in record["ways"]]
    assert names == [row[0] for row in table_cells(console.file.getvalue())]
    for way in record["ways"]:
        assert way["compiled_again"] == 0
        assert min(way[f"{part}_s"] for part in ("import", "kept", "second")) > 0


def test_small_jobs(console, results, in_this_process):
    work = small_jobs.Work(rounds=1, sizes=dict.fromkeys(small_jobs.JOBS, (3, 60)))
    small_jobs.run(console, work)
    record = results("small_jobs")
    assert [job["job"] for job in record["jobs"]] == list(small_jobs.JOBS)
    for job in record["jobs"]:
        ratios = {way["way"]: way["ratio"] for way in job["ways"]}
        assert ratios.keys() >= {small_jobs.KEPT, small_jobs.FRESH}
        assert ratios[job["against"]] == 1


@pytest.mark.skipif(not shutil.which("plink2"), reason="plink2 is not on the PATH")
def test_scan_agrees_with_plink(console, results, monkeypatch):
    monkeypatch.setitem(sys.modules, "statsmodels.api", None)
    scan.scan(console, SCAN)
    record, ways = checked("scan", SCAN, console, results)
    assert record["against"] == scan.PLINK in ways
    assert record["notes"][1].startswith("PLINK v2")
    assert record["notes"][2].startswith("against PLINK 2's table, 30 features: ")


@pytest.mark.skipif(not shutil.which("plink2"), reason="plink2 is not on the PATH")
@pytest.mark.parametrize("word", ["firth", "firth-fallback"])
def test_firths_scan_agrees_with_plink_row_by_row(word, tmp_path):
    """Estimates, errors, and which of them are Firth's.

    PLINK 2 stops at steps of 1e-4. Its errors were those of the plain information until
    2023, and are those of the augmented one since.
    """
    study = simulate_null(60, 600, 2, (0.003, 0.02), 1 / 9)
    files = write_null(study, tmp_path)
    plink.call(plink.command(files, tmp_path, word))
    own = {"firth": "always", "firth-fallback": "fallback"}[word]
    scan = jl.scan_features(study.G, study.covariates, study.y, firth=own)
    scan = jax.tree.map(np.asarray, scan)
    table = plink.read_estimates(tmp_path)
    known = scan.status == jl.Status.CONVERGED
    np.testing.assert_array_equal(np.isfinite(table.estimate), known)
    assert known.sum() > 50
    used = scan.firth
    if word == "firth-fallback":
        (path,) = tmp_path.glob("*.hybrid")
        rows = [line.split("\t") for line in path.read_text().splitlines()]
        marks = [row[rows[0].index("FIRTH?")] == "Y" for row in rows[1:]]
        np.testing.assert_array_equal(marks, used[:, 0])
        assert 3 < used.sum() < 40
    for j in np.flatnonzero(known[:, 0]):
        error = table.standard_error[j, 0]
        assert abs(table.estimate[j, 0] - scan.estimate[j, 0]) < 2e-3 * error
        allowed = [float(scan.standard_error[j, 0])]
        if used[j, 0]:
            allowed.append(firth._exact(study, study.G[j].astype(float))[1])
        assert min(abs(error / one - 1) for one in allowed) < 2e-3


def test_a_table_tells_estimates_per_copy_of_alt(tmp_path):
    with pytest.raises(UserError, match="ended with 3: no luck"):
        plink.call([sys.executable, "-c", "import sys; print('no luck'); sys.exit(3)"])
    with pytest.raises(UserError, match="holds 0 tables instead of 1"):
        plink.read_estimates(tmp_path)
    lines = ["ALT\tA1\tBETA\tSE", "A\tA\t0.5\t0.1", "A\tG\t0.25\t0.2", "A\tA\tNA\tNA"]
    (tmp_path / "x.glm.logistic").write_text("\n".join([*lines, ""]))
    table = plink.read_estimates(tmp_path)
    np.testing.assert_array_equal(table.estimate, [[0.5], [-0.25], [np.nan]])
    np.testing.assert_array_equal(table.standard_error, [[0.1], [0.2], [np.nan]])


def test_growth_is_fitted_along_each_axis(console, results):
    few = {"features": (2, 4), "samples": (40, 80), "problems": (2, 4)}
    work = growth.Work(**few, variants=(4, 8), n=2, m=40, few=30, rounds=1)
    growth.run(console, work)
    ways = results("growth")["ways"]
    assert [way["axis"] for way in ways] == ["m", "n", "m", "n", "m", "K", "K", "V"]
    for way in ways:
        assert all(second > 0 for second in way["seconds"])
    assert growth.exponent((1, 2, 4), (3, 12, 48)) == pytest.approx(2)
    assert growth.exponent((1, 2), (None, None)) is None


def test_processes_are_compared_by_their_answers(console, results, monkeypatch):
    said = {"median_s": 2.0, "fastest_s": 1.0, "sum": 5.0}
    monkeypatch.setattr(processes, "_measured", lambda job, sizes, way, calls: said)
    processes.run(console, processes.Work(rounds=1))
    rows = results("processes")["ways"]
    assert len(rows) == 3 * len(processes.WAYS)
    assert {row["ratio"] for row in rows} == {1.0}
    with pytest.raises(UserError, match=r"fit: two has another answer: 4\.9 instead"):
        processes._check("fit: two", 4.9, 5.0)


def test_passes_have_parts(console, results, monkeypatch):
    monkeypatch.setattr(processes.os, "sched_setaffinity", lambda *_: None)
    monkeypatch.setattr(processes, "schedule_as_batch", lambda: None)
    monkeypatch.setattr(jax.config, "update", lambda *_: None)
    plain = passes.measured(0, 1, 0, 2, 40, 3, 5, 2)

    def start(module, job, count, numbers):
        assert module == passes.__name__
        return plain | {"reduce_s": [0.1, 0.2]}

    monkeypatch.setattr(passes, "start", start)
    work = passes.Work(features=2, samples=40, reduced=(3, 5), calls=2)
    passes.run(console, work)
    rows = results("passes")["ways"]
    assert [row["processes"] for row in rows] == [1, 2]
    assert all(row["local_s"] > 0 < row["joint_s"] for row in rows)
    assert rows[0]["reduce_bytes"] == [12, 20]


def test_a_process_of_the_benchmark_times_its_calls(monkeypatch):
    monkeypatch.setattr(processes.os, "sched_setaffinity", lambda *_: None)
    monkeypatch.setattr(processes, "schedule_as_batch", lambda: None)
    monkeypatch.setattr(jax.config, "update", lambda *_: None)
    for job, sizes in {
        "fit": (2, 40),
        "fit_many": (3, 2, 40),
        "scan_features": (4, 40),
    }.items():
        found = processes._worker(job, 0, 1, 1, 1, 0, 1, *sizes)
        assert found["sum"] > 0 < found["fastest_s"] <= found["median_s"]


def test_scaling_measures_in_fresh_processes(console, results, monkeypatch):
    work = scaling.Work(counts=(1, 3), features=2, samples=20, rounds=1)

    def run(command, cwd, **options):
        assert command[1:3] == ["-m", "experiments.benchmarks.scaling"]
        assert (cwd / "experiments/benchmarks/scaling.py").exists()
        measured = scaling._measure(*map(int, command[3:]))
        return subprocess.CompletedProcess(command, 0, json.dumps(measured), "")

    monkeypatch.setattr(subprocess, "run", run)
    scaling.run(console, work)
    record = results("scaling")
    assert record["work"] == json.loads(json.dumps(work._asdict()))
    assert [way["problems"] for way in record["ways"]] == [1, 3]
    for way in record["ways"]:
        us = 1e6 * way["median_s"] / way["problems"]
        assert way["us_a_problem"] == pytest.approx(us)
        assert way["converged"] == way["problems"]
        assert way["memory_MiB"] is None or way["memory_MiB"] < work.memory_MiB
    assert [row[0] for row in table_cells(console.file.getvalue())] == ["1", "3"]

"""The command line: lists, benchmarks, and mistakes, each reported in one line."""

import errno
import io
import os
import re
import subprocess
import sys

import jax
import pytest
from rich.console import Console

from experiments import benchmarks
from experiments.benchmarks import heads
from experiments.config import describe
from experiments.runner import as_table
from tests.experiments.conftest import (
    CONFIGS,
    ROOT,
    call_main,
    error_line,
    table_cells,
)


def test_list_names_and_describes_every_configuration():
    result = call_main("list")
    assert (result.code, result.err) == (0, "")
    listed = {}
    for name, text in table_cells(result.out):
        if name:
            lines = listed.setdefault(name, [])
        lines.append(text)
    assert {name: " ".join(lines) for name, lines in listed.items()} == {
        f"experiments/configs/{path.name}": describe(path)
        for path in sorted(CONFIGS.iterdir())
    }
    for path in CONFIGS.iterdir():
        assert re.fullmatch(r".{40,}\.", describe(path))


def test_every_benchmark_is_described_in_the_help_and_the_readme():
    text = (ROOT / "README.md").read_text()
    listed = re.findall(r"^\| `python -m experiments bench (\w+)` \|", text, re.M)
    assert sorted(listed) == sorted(benchmarks.BENCHMARKS)
    help_text = " ".join(call_main("bench", "--help").out.split())
    for name in benchmarks.BENCHMARKS:
        line = benchmarks.describe(name)
        assert benchmarks.load(name).__doc__.startswith(line)
        assert re.fullmatch(r"(Time|Measure) .+\.", line)
        assert f"{name} {line}" in help_text


@pytest.fixture
def environment(monkeypatch):
    """Restore the environment that a benchmark sets for its processes."""
    for name in ("JAX_PLATFORMS", "XLA_PYTHON_CLIENT_PREALLOCATE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("environment")
def test_a_platform_holds_for_processes_too_or_is_one_line(monkeypatch):
    def devices(name):
        raise RuntimeError(f"Unknown backend: {name}")

    monkeypatch.setattr(
        heads, "heads", lambda console: console.print(os.environ["JAX_PLATFORMS"])
    )
    assert call_main("bench", "heads", "--platform", "cpu") == (0, "cpu\n", "")
    monkeypatch.setattr(jax, "devices", devices)
    line = error_line(call_main("bench", "heads", "--platform", "gpu"))
    assert line == "--platform gpu: JAX sees no gpu here"


MISTAKEN = {
    "": "the following arguments are required: command",
    "walk": "invalid choice: 'walk'",
    "run": "the following arguments are required: CONFIG.toml",
    "run x.toml --runs": "--runs: expected one argument",
    "bench": "the following arguments are required: NAME",
    "bench desc": "invalid choice: 'desc' (choose from",
    "bench heads --platform abacus": "invalid choice: 'abacus'",
    "list all": "error: all: only `run` takes settings",
    "bench descent --rounds=1": "error: --rounds=1: only `run` takes settings",
}


@pytest.mark.parametrize("words", MISTAKEN)
def test_a_command_that_is_mistaken_is_code_2(words):
    result = call_main(*words.split())
    assert (result.code, result.out) == (2, "")
    assert MISTAKEN[words] in result.err.splitlines()[-1]


def test_options_are_not_abbreviated(config, refused):
    assert "unknown field `run`" in refused(config, "--run", "elsewhere")


@pytest.mark.parametrize("name", ["a long name of a folder " * 8, "[red]x[/red]"])
def test_a_message_stays_one_line_and_brackets_are_no_markup(name, tmp_path, refused):
    assert f"{name}/none.toml: No such file" in refused(tmp_path / name / "none.toml")


# What a shell does to the streams, and the exit code.
STREAMS = {
    "list >&- 2>&-": 0,
    "bench --help >&-": 0,
    "list >/dev/full": 2,
    "--help >/dev/full": 0,
    "run none.toml 2>&-": 2,
    "run none.toml 2>/dev/full": 2,
    "run none.toml <&- >&- 2>&-": 2,
}


@pytest.mark.parametrize("words", STREAMS)
def test_streams_that_are_closed_or_full_make_no_traceback(words, tmp_path):
    command = f"exec {sys.executable} -m experiments {words}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        ["/bin/sh", "-c", command], cwd=tmp_path, env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (STREAMS[words], "")
    full = f"error: standard output: {os.strerror(errno.ENOSPC)}\n"
    assert run.stderr == (full if words == "list >/dev/full" else "")


def test_nothing_is_cut_where_the_output_is_no_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    rows = [{"variant": "v" * 98, "value": "w" * 98}]
    monkeypatch.setattr(
        benchmarks, "load", lambda _: lambda console: console.print(as_table(rows))
    )
    cells = table_cells(call_main("bench", "heads").out)
    assert cells == [["v" * 98, "w" * 98]]
    console = Console(file=io.StringIO(), width=40)
    console.print(as_table(rows))
    words = "".join(row[1] for row in table_cells(console.file.getvalue()))
    assert words == "w" * 98


# Words that no file, folder, setting or formula has for a name or a value.
ODD = [
    "a\0b",
    "\udcff",
    "\ufeff",
    "a" * 5000,
    "[" * 3000,
    ".".join("a" * 3000),
    "\x1b[2J",
]


@pytest.mark.parametrize("word", ODD, ids=ascii)
def test_an_odd_word_anywhere_is_one_line(word, config, tmp_path):
    for words in (
        ["run", word],
        ["run", config, "--runs", tmp_path / word],
        ["run", config, "--data.train", word],
        ["run", config, f"--data.label={word}"],
        ["run", config, f"--{word}=1.5"],
        ["graph", word, "a=1"],
        ["graph", "a", f"a={word}"],
        ["graph", "a", "a=1", "--out", f"{tmp_path}/{word}/a.dot"],
    ):
        result = call_main(*words)
        if result.code:
            assert error_line(result).isprintable()
        else:
            assert {"--runs", "--out"} & set(words)


@pytest.mark.parametrize("words", ["run none.toml", "list", "bench --help"])
def test_mistakes_and_lists_need_no_jax(words, tmp_path):
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "experiments", *words.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = run.stderr.splitlines()
    imported = {line.rpartition("|")[2].strip() for line in lines if "|" in line}
    errors = [line for line in lines if not line.startswith("import time:")]
    if words == "run none.toml":
        assert run.returncode == 2
        (line,) = errors
        assert line.startswith("error: none.toml: No such file or directory; ")
    else:
        assert (run.returncode, errors) == (0, [])
    assert "experiments.benchmarks" in imported
    assert not imported & {"jax", "matplotlib", "sklearn", "h5py"}
    assert not list(tmp_path.iterdir())  # no run folder

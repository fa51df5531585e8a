"""The command line: lists, benchmarks, and mistakes, each reported in one line."""

import os
import re
import subprocess
import sys

import pytest

from experiments import __main__ as cli
from experiments import benchmarks
from experiments.benchmarks import descent, heads
from experiments.config import describe
from tests.experiments.conftest import CONFIGS, ROOT


def test_list_names_and_describes_every_configuration(command):
    result = command("list")
    assert (result.code, result.err) == (0, "")
    rows = [line.split("│") for line in result.out.splitlines() if "│" in line]
    listed = {}
    for _, name, text, _ in rows:
        if name.strip():
            current = name.strip()
        listed.setdefault(current, []).append(text.strip())
    expected = {f"experiments/configs/{path.name}": path for path in CONFIGS.iterdir()}
    assert list(listed) == sorted(expected)
    assert len(listed) == 9
    for name, path in expected.items():
        assert (ROOT / name).samefile(path)
        assert " ".join(listed[name]) == describe(path)


def test_list_shows_brackets(command, tmp_path, monkeypatch):
    (tmp_path / "one.toml").write_text("# Learn [a, b] from [data].\n")
    monkeypatch.setattr(cli, "CONFIGS", tmp_path)
    assert "Learn [a, b] from [data]." in command("list").out


@pytest.mark.parametrize(
    ("name", "module", "function"),
    [("descent", descent, "run"), ("heads_large", heads, "heads_large")],
)
def test_bench_calls_the_benchmark_of_that_name(
    name, module, function, command, monkeypatch
):
    monkeypatch.setattr(heads, "heads", None)
    monkeypatch.setattr(module, function, lambda console: console.print(f"this {name}"))
    assert command("bench", name) == (0, f"this {name}\n", "")


@pytest.mark.parametrize("name", benchmarks.BENCHMARKS)
def test_a_benchmark_is_described_by_its_docstring(name, command):
    function = benchmarks.load(name)
    line = benchmarks.describe(name)
    assert function.__doc__.startswith(line)
    assert re.fullmatch(r"(Time|Measure) .+\.", line)
    assert f"{name} {line}" in " ".join(command("bench", "--help").out.split())


def test_the_readme_lists_every_benchmark():
    text = (ROOT / "README.md").read_text()
    listed = re.findall(r"^\| `python -m experiments bench (\w+)` \|", text, re.M)
    assert sorted(listed) == sorted(benchmarks.BENCHMARKS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: command"),
        (["walk"], "invalid choice: 'walk'"),
        (["run"], "the following arguments are required: CONFIG.toml"),
        (["bench"], "the following arguments are required: NAME"),
        (["bench", "none"], "invalid choice: 'none' (choose from"),
        (["bench", "desc"], "invalid choice: 'desc'"),
        (["run", "x.toml", "--runs"], "--runs: expected one argument"),
    ],
)
def test_an_unfinished_command_is_code_2(arguments, words, command):
    result = command(*arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("usage: python -m experiments")
    assert words in result.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["list", "all"], "all"),
        (["list", "--seed", "1"], "--seed"),
        (["bench", "descent", "--rounds=1"], "--rounds=1"),
    ],
)
def test_only_run_takes_settings(arguments, word, command, monkeypatch):
    monkeypatch.setattr(descent, "run", None)
    error = f"error: {word}: only `run` takes settings\n"
    assert command(*arguments) == (2, "", error)


def test_options_are_not_abbreviated(config, refused):
    assert "unknown field `run`" in refused(config, "--run", "elsewhere")


def test_a_long_line_stays_one_line(tmp_path, refused):
    name = "a long name of a folder " * 8
    assert f"{name}/none.toml: No such file" in refused(tmp_path / name / "none.toml")


def test_brackets_in_a_message_are_no_markup(tmp_path, refused):
    assert "[red]x[/red].toml: No such" in refused(tmp_path / "[red]x[/red].toml")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ["run", "none.toml"],
            2,
            r"error: none\.toml: No such file or directory; ",
        ),
        (["list"], 0, None),
        (["bench", "--help"], 0, None),
    ],
    ids=["run", "list", "bench"],
)
def test_mistakes_and_lists_need_no_jax(words, code, message, tmp_path):
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "experiments", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = run.stderr.splitlines()
    imported = {line.rpartition("|")[2].strip() for line in lines if "|" in line}
    errors = [line for line in lines if not line.startswith("import time:")]
    assert run.returncode == code
    assert len(errors) == (message is not None)
    assert not errors or re.match(message, errors[0])
    assert "experiments.benchmarks" in imported
    assert not imported & {"jax", "matplotlib", "sklearn", "h5py"}
    assert not list(tmp_path.iterdir())  # no run folder

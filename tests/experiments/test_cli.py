"""The command line lists, measures, and says in one line what it was not told."""

import re
import subprocess
import sys

import pytest

from experiments import __main__ as cli
from experiments.benchmarks import descent, one_pass
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
    due = {f"experiments/configs/{path.name}": path for path in CONFIGS.iterdir()}
    assert list(listed) == sorted(due)
    assert len(listed) == 9
    for name, path in due.items():
        assert (ROOT / name).samefile(path)
        assert " ".join(listed[name]) == describe(path)


def test_list_shows_brackets(command, tmp_path, monkeypatch):
    (tmp_path / "one.toml").write_text("# Learn [a, b] from [data].\n")
    monkeypatch.setattr(cli, "CONFIGS", tmp_path)
    assert "Learn [a, b] from [data]." in command("list").out


@pytest.mark.parametrize(("name", "module"), [("descent", descent), ("pass", one_pass)])
def test_bench_calls_the_benchmark_of_that_name(name, module, command, monkeypatch):
    other = {descent: one_pass, one_pass: descent}[module]
    monkeypatch.setattr(module, "main", lambda console: console.print(f"this {name}"))
    monkeypatch.setattr(other, "main", None)
    assert command("bench", name) == (0, f"this {name}\n", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: command"),
        (["walk"], "invalid choice: 'walk'"),
        (["run"], "the following arguments are required: CONFIG.toml"),
        (["bench"], "the following arguments are required: name"),
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
    monkeypatch.setattr(descent, "main", None)
    due = f"error: {word}: only `run` takes settings\n"
    assert command(*arguments) == (2, "", due)


def test_options_are_not_abbreviated(config, refused):
    assert "unknown field `run`" in refused(config, "--run", "elsewhere")


def test_a_long_line_stays_one_line(tmp_path, refused):
    name = "a long name of a folder " * 8
    assert f"{name}/none.toml: No such file" in refused(tmp_path / name / "none.toml")


def test_brackets_in_a_message_are_no_markup(tmp_path, refused):
    assert "[red]x[/red].toml: No such" in refused(tmp_path / "[red]x[/red].toml")


def test_the_module_returns_its_code(tmp_path):
    """A mistake in the file needs no JAX, and neither does the list."""
    words = ["-X", "importtime", "-m", "experiments", "run", "none.toml"]
    run = subprocess.run(
        [sys.executable, *words, "--runs", tmp_path / "runs"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = run.stderr.splitlines()
    imported = {line.rpartition("|")[2].strip() for line in lines if "|" in line}
    (error,) = (line for line in lines if not line.startswith("import time:"))
    assert run.returncode == 2
    assert re.match(r"error: none\.toml: No such file or directory; see ", error)
    assert "experiments.config" in imported
    assert not imported & {"jax", "matplotlib", "sklearn", "h5py"}
    assert not (tmp_path / "runs").exists()

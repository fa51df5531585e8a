"""The README is true: its commands, its example, its shapes."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from experiments.__main__ import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_there_are_two_commands_and_ci_reads_them_from_here():
    commands = [block.strip() for block in blocks("sh")]
    assert len(commands) == 2
    assert "python -m experiments run experiments/configs/faces.toml" in commands[0]
    assert commands[1].endswith("python -m pytest")
    for command in commands:
        assert command.startswith("python3 -m venv .venv && ")
        assert "\n" not in command
    script = (ROOT / ".ci/run").read_text()
    read = re.search(r"^commands=\$\((.*)\)$", script, re.MULTILINE).group(1)
    found = subprocess.run(
        ["bash", "-c", read], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip().splitlines() == commands


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_the_examples_run(number, capsys):
    """What follows a print's # is what it prints."""
    source = blocks("python")[number]
    exec(compile(source, "README.md", "exec"), {"__name__": "readme"})
    due = re.findall(r"^print\(.*\)  # (.*)$", source, re.MULTILINE)
    assert due
    assert capsys.readouterr().out.splitlines() == due


@pytest.mark.parametrize("block", blocks("console"))
def test_the_commands_print_what_is_shown(block, capsys):
    """A block is a command line and what it prints."""
    line, _, due = block.partition("\n")
    assert main(shlex.split(line.removeprefix("$ python -m experiments "))) == 0
    assert capsys.readouterr().out.split() == due.split()


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert len(links) >= 4
    for link in links:
        assert (ROOT / link).exists(), link

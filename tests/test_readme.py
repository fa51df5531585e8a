"""The README is right: its commands, its examples, its links."""

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
    run, test = commands = [block.strip() for block in blocks("sh")]
    assert "python -m experiments run experiments/configs/faces.toml" in run
    assert test.endswith("python -m pytest")
    for command in commands:
        assert command.startswith("python3 -m venv .venv && ")
        assert "\n" not in command
    script = (ROOT / ".ci/run").read_text()
    read = re.search(r"^commands=\$\((.*)\)$", script, re.MULTILINE).group(1)
    output = subprocess.check_output(["bash", "-c", read], cwd=ROOT, text=True)
    assert output.strip().splitlines() == commands


@pytest.mark.parametrize("source", blocks("python"))
def test_the_examples_print_their_comments(source, capsys):
    exec(compile(source, "README.md", "exec"), {"__name__": "readme"})
    expected = re.findall(r"^print\(.*\)  # (.*)$", source, re.MULTILINE)
    assert expected
    assert capsys.readouterr().out.splitlines() == expected


@pytest.mark.parametrize("block", blocks("console"))
def test_the_commands_print_the_output_below_them(block, capsys):
    line, _, expected = block.partition("\n")
    assert main(shlex.split(line.removeprefix("$ python -m experiments "))) == 0
    assert capsys.readouterr().out.split() == expected.split()


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert len(links) >= 4
    assert [link for link in links if not (ROOT / link).exists()] == []

"""Planted faults are found, equivalent ones survive, endless ones run out of time."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation.__main__ import TESTS, read, report
from tests.mutation.campaign import ROOT, Campaign
from tests.mutation.mutants import mutants

CORE = '''"""Count."""

LIMIT = 3


def larger(a, b):
    """Return the larger."""
    if a >= b:
        return a
    return b


def counted(n):
    k = 0
    while k < n:
        k += 1
    return k


def within(n):
    return n <= LIMIT


def unused(n):
    return -n
'''
CHECKS = """
import pytest
from toy.core import counted, larger, within

@pytest.mark.parametrize(("a", "b"), [(1, 2), (2, 1)])
def test_larger(a, b):
    assert larger(a, b) == 2

def test_counted():
    assert [counted(0), counted(3)] == [0, 3]

def test_within():
    assert [within(2), within(3), within(4), within(5)] == [True, True, False, False]
"""
SURVIVE = {
    ("larger", "if a > b:"),  # equivalent
    *(("unused", f"return {text}") for text in ("None", "n")),
}
ENDLESS = {("counted", text) for text in ("pass", "k -= 1", "while k >= n:")}


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    for file, text in [
        ("toy/__init__.py", ""),
        ("toy/core.py", CORE),
        ("tests/test_core.py", CHECKS),
    ]:
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).write_text(text)
    return Campaign(root, "toy", {"core": ["tests/test_core.py"]}, patience=0.4)


def named(verdicts, name):
    places = [v.mutant for v in verdicts if v.name == name]
    return {(mutant.function, mutant.after) for mutant in places}


def test_a_campaign_finds_what_the_tests_notice_and_says_it_twice(campaign):
    kept = campaign.root / "reach.json"
    campaign.record(1, kept, ["core"])
    first, again = campaign.run(1, ["core"]), campaign.run(2, ["core"])
    assert [v.name for v in first] == [v.name for v in again]
    assert named(first, "survived") == SURVIVE
    assert named(first, "timeout") == ENDLESS
    assert ("", "LIMIT = 4") in named(first, "killed")
    killed = len(first) - len(SURVIVE) - len(ENDLESS)
    assert {v.test for v in first if v.mutant.function == "unused"} == {
        "no test reaches it"
    }

    accepted = {("core", "larger", "if a >= b:", "if a > b:"): "The same number."}
    text, fine = report(first, accepted)
    assert not fine
    row = f"| core | {len(first)} | {killed} | 3 | 1 | 2 | "
    assert row + f"{100 * killed / len(first):.1f} |" in text
    left = [v for v in first if v.mutant.function != "unused"]
    assert report(left, accepted)[1]
    for stale in ("if a <= b:", "if a == b:"):  # one killed, one that is none
        accepted["core", "larger", "if a >= b:", stale] = "Wrong."
        text, fine = report(left, accepted)
        assert not fine
        assert "Reasons without a survivor: 1" in text
        del accepted["core", "larger", "if a >= b:", stale]


def test_tests_that_fail_unplanted_are_an_error(campaign):
    (campaign.root / "tests/test_wrong.py").write_text("def test_no():\n    assert 0")
    wrong = Campaign(campaign.root, "toy", {"core": ["tests/test_wrong.py"]})
    with pytest.raises(RuntimeError, match="fails without any mutant"):
        wrong.record(1, campaign.root / "wrong.json", ["core"])


PLANTED = '''"""Text."""

__all__ = ["f"]
A: Number = 2


@cached(size=3)
def f(x: Ones = 1.5, *, deep=False):
    """Text."""
    assert x is not None
    if not deep and x in (0, 1):
        raise ValueError(f"no {x}")
    x = jnp.minimum(x.T[1:, :], -x)
    log(f"x {x}", end="", strict=True)
    return where(deep, x // 2, x ** y)
'''
DUE = """A: Number = 3
def f(x: Ones = 3.0, *, deep=False):
def f(x: Ones = 1.5, *, deep=True):
if (not (not deep and x in (0, 1))):
if deep and x in (0, 1):
if not deep or x in (0, 1):
if not deep and x not in (0, 1):
if not deep and x in (1, 1):
if not deep and x in (0, 2):
pass
pass
x = jnp.maximum(x.T[1:, :], -x)
x = jnp.minimum(x[1:, :], -x)
x = jnp.minimum(x.T[:, :], -x)
x = jnp.minimum(x.T[2:, :], -x)
x = jnp.minimum(x.T[1:, :], x)
pass
log("", end="", strict=True)
log(f"x {x}", strict=True)
log(f"x {x}", end='?', strict=True)
return None
return where(~(deep), x // 2, x ** y)
return where(deep, x * 2, x ** y)
return where(deep, x // 3, x ** y)
return where(deep, x // 2, x * y)"""


def test_what_is_planted():
    """Nothing in docstrings, annotations, decorators, checks and words of errors."""
    found = mutants("m", PLANTED.encode())
    assert sorted(mutant.after for mutant in found) == sorted(DUE.splitlines())
    assert [m.start for m in found] == sorted(m.start for m in found)
    for mutant in found:
        text = mutant.planted(PLANTED.encode()).decode()
        assert ast.dump(ast.parse(text)) != ast.dump(ast.parse(PLANTED))


def test_what_is_mutated_and_what_is_explained_exist():
    modules = {name: ROOT / f"jlogreg/{name.replace('.', '/')}.py" for name in TESTS}
    for files in TESTS.values():
        assert all((ROOT / f"tests/{file}.py").exists() for file in files)
    explained = read(Path(ROOT / "tests/mutation/survivors.toml"), [*TESTS])
    for module in {key[0] for key in explained}:
        path = modules[module]
        here = {
            (m.module, m.function, m.before, m.after)
            for m in mutants(module, path.read_bytes())
        }
        assert {key for key in explained if key[0] == module} <= here
    assert all(len(why.split()) > 3 for why in explained.values())


def test_an_unknown_module_is_refused():
    command = [sys.executable, "-m", "tests.mutation", "nonsense"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 2
    assert "there is no module nonsense" in found.stderr

"""A run that is killed, or finds the disk full, at any moment: nothing is lost."""

import subprocess
import sys

import pytest

from tests.experiments import victim
from tests.experiments.conftest import ROOT

MARKS = {"dies_at_any_byte": pytest.mark.nightly}
TESTS = [pytest.param(name, marks=MARKS.get(name, ())) for name in victim.TESTS]


@pytest.mark.parametrize("test", TESTS)
def test_nothing_is_lost_by_a_run_that(test, tmp_path):
    words = [sys.executable, "-m", "tests.experiments.victim", test, tmp_path]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

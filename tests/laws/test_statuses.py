"""CONVERGED and SEPARATED are true: hard problems, against exact answers.

`python -m jlogreg.testing.search` looks at more of them.
"""

import jax
import numpy as np
import pytest

from jlogreg.testing.search.answers import answers_to
from jlogreg.testing.search.judge import WRONG
from jlogreg.testing.search.problems import SHAPES, make_hard
from jlogreg.testing.search.rates import SOLVERS, outcomes_of

COUNT = 34  # problems for each program

# Seeds that are known to be wrong. Remove them once they are right.
KNOWN = {
    ("float32", "newton", 4): set(),
    ("float64", "newton", 4): set(),
    ("float64", "newton", 9): set(),
    ("float32", "newton_cg", 3): set(),
    ("float64", "newton_cg", 3): set(),
    ("float32", "lbfgs", 3): set(),
}


@jax.numpy_dtype_promotion("standard")  # optax itself promotes its step count
@pytest.mark.parametrize(("dtype", "solver", "shape"), KNOWN)
def test_converged_and_separated_are_true(dtype, solver, shape):
    """The problems have one shape of SHAPES, so that one program fits them all."""
    seeds = range(shape, shape + COUNT * len(SHAPES), len(SHAPES))
    problems = [make_hard(seed, np.dtype(dtype)) for seed in seeds]
    answers = answers_to([(seed, dtype) for seed in seeds], processes=1)
    outcomes = outcomes_of(problems, [*answers.values()], SOLVERS[solver](), COUNT)
    wrong = {one.problem.seed for one in outcomes if one.judgement.said in WRONG}
    assert wrong == KNOWN[dtype, solver, shape]

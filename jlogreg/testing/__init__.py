"""Test code of your own: problems for Hypothesis to draw, and laws to hold it to."""

from jlogreg.testing.kinds import Kind, Problem, make_problem
from jlogreg.testing.laws import (
    check_convex,
    check_gradient,
    check_no_retrace,
    check_vmap,
)
from jlogreg.testing.ranks import check_rank_discipline
from jlogreg.testing.solver import check_solver
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

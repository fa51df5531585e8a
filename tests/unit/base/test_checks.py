"""Arguments that are accepted though they are not exactly as the signature says.

The mistakes are in tests/mistakes.py.
"""

import jax
import numpy as np
import pytest

import jlogreg as jl
from tests.table import cases

COST = cases()["cost"]


def test_errors_are_what_python_calls_them():
    assert issubclass(jl.RankError, ValueError)
    assert issubclass(jl.ShapeError, ValueError)
    assert issubclass(jl.DtypeError, TypeError)


def test_a_number_of_another_precision_is_accepted():
    assert COST.call(l2=np.float32(0.5)) == COST.call(l2=0.5)
    assert COST.call(l2=1) == COST.call(l2=1.0)


@jax.enable_x64(False)
def test_without_x64_doubles_become_floats():
    arrays = jax.tree.map(np.asarray, COST.arguments)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(arrays)} == {"float64"}
    assert COST.function(**arrays).dtype == np.float32
    assert jl.init_params(2, np.float64).w.dtype == np.float32


@pytest.mark.parametrize("shapes", [((2, 2), ()), ((), (2, 2)), ((2, 2), (2, 2))])
def test_elements_are_numbers_or_matrices_of_one_shape(shapes):
    assert jl.log_loss(*map(np.zeros, shapes)).shape == (2, 2)
    assert jl.log_loss(0.0, 1.0).shape == ()
    assert jl.sigmoid(0.0) == 0.5

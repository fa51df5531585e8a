"""The general broadcasting principle, against NumPy and against explicit repetition."""

import itertools
import operator

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jlogreg import RankError, ShapeError, broadcast_shape, log_loss
from jlogreg.testing import broadcastable_shapes
from tests.helpers import EPS, assert_close, seeds

SIZES = range(4)
MATRICES = [*itertools.product(SIZES, SIZES)]
OPERATIONS = [operator.add, operator.sub, operator.mul, operator.truediv]


def outcome(f, *shapes):
    """Return the shape, or the word "error"."""
    try:
        return f(*shapes)
    except ValueError:
        return "error"


def test_broadcast_shape_agrees_with_numpy_on_all_small_pairs():
    shapes = [(), *MATRICES]
    outcomes = {}
    for pair in itertools.product(shapes, repeat=2):
        outcomes[pair] = outcome(broadcast_shape, *pair)
        assert outcomes[pair] == outcome(np.broadcast_shapes, *pair), pair
    assert "error" in outcomes.values()  # or the comparison would see one side only
    assert outcomes[(3, 1), (1, 2)] == (3, 2)


@given(st.lists(st.sampled_from([(), *MATRICES]), min_size=1, max_size=5))
def test_broadcast_shape_agrees_with_numpy_on_many_shapes(shapes):
    assert outcome(broadcast_shape, *shapes) == outcome(np.broadcast_shapes, *shapes)


def repeated(array, shape):
    """Return array repeated to the shape by explicit copies, without broadcasting."""
    array = np.asarray(array)
    if array.ndim == 0:
        return np.array([[array[()]] * shape[1]] * shape[0])
    rows = array.repeat(shape[0] // array.shape[0], axis=0)
    return rows.repeat(shape[1] // array.shape[1], axis=1)


@given(
    shapes=broadcastable_shapes(),
    seed=seeds,
    operation=st.sampled_from(OPERATIONS),
)
def test_rows_columns_and_scalars_act_as_if_repeated(shapes, seed, operation):
    random = np.random.default_rng(seed)
    pair = [random.uniform(1, 2, shape) for shape in shapes]
    result = operation(*map(jnp.asarray, pair))
    shape = broadcast_shape(*shapes)
    assert result.shape == shape
    if shape:
        # XLA may divide by multiplying with a reciprocal: two roundings, not one.
        exact = operation(*(repeated(array, shape) for array in pair))
        assert_close(result, exact, 2 * EPS * np.abs(exact))


def test_a_row_never_meets_a_column_silently_in_a_loss():
    """The trap that strict shapes exist for: (1, m) against (m, 1) makes (m, m)."""
    z, y = jnp.zeros((1, 3)), jnp.zeros((3, 1))
    assert (z - y).shape == (3, 3)
    with pytest.raises(ShapeError, match=r"z \(1, 3\), y \(3, 1\)"):
        log_loss(z, y)


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (1, 1, 1, 1)])
def test_other_ranks_are_refused(shape):
    with pytest.raises(RankError, match=r"write \(1, c\) for a row, \(r, 1\)"):
        broadcast_shape((2, 3), shape)


def test_what_is_no_shape_is_refused():
    with pytest.raises(RankError, match="at least one shape"):
        broadcast_shape()
    with pytest.raises(ShapeError, match="negative"):
        broadcast_shape((2, -3))
    with pytest.raises(ShapeError, match=r"\(2, 3\), \(3, 2\) do not broadcast"):
        broadcast_shape((2, 3), (3, 2))
    with pytest.raises(TypeError):
        broadcast_shape((2.0, 3.0))

"""Rows of many problems: one each, or one for all that is held once."""

import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from jlogreg.batch.problems import Gathered, Problems, check_problems
from tests.inputs import put

N, M, K = 3, 5, 4
random = np.random.default_rng(0)
Y = random.random((K, M))
WEIGHT, L2 = np.arange(1.0, M + 1)[None], np.arange(1.0, K + 1)[:, None]
W, B = random.random((K, N, 1)), random.random((K, 1, 1))


def checked(y=Y, weight=None, offset=None, l2=0.5, init=None):
    return check_problems(Problems(y, weight, offset, l2, init), N, M, np.float64)


def test_large_tables_stay_where_they_are():
    assert np.shares_memory(checked()[0].y, Y)
    on_device = jnp.asarray(Y)
    assert np.shares_memory(checked(y=on_device)[0].y, np.asarray(on_device))


def test_rows_that_are_common_to_all_are_given_once():
    rows, _ = checked(weight=WEIGHT, l2=L2, init=jl.Params(W, B))
    picked, common = rows.pick(np.array([2, 0])), rows.common()
    assert picked.weight is picked.offset is None
    assert common.y is common.l2 is common.init is None
    np.testing.assert_array_equal(picked.y[:, 0], Y[[2, 0]])
    np.testing.assert_array_equal(common.weight, WEIGHT)
    rows, count = checked(y=Y[:1])
    assert count == 1
    assert rows.pick(np.array([0, 0])) == Problems(*[None] * 5)


def test_rows_that_problems_repeat_are_held_once():
    index = np.array([2, 0, 2, 1, 1])
    rows, count = checked(y=Gathered(Y, index), l2=Gathered(L2, index[::-1]))
    assert count == len(rows.y) == 5
    picked = rows.pick(np.array([4, 2, 0]))
    np.testing.assert_array_equal(picked.y[:, 0], Y[[1, 2, 2]])
    np.testing.assert_array_equal(picked.l2, L2[[2, 2, 1], 0])
    assert rows.common().y is None
    assert np.shares_memory(rows.y.table, Y)
    with pytest.raises(jl.ShapeError, match=r"^weight is for 3 problems, but Y for 5"):
        checked(y=Gathered(Y, index), weight=np.ones((3, M)))


def test_a_sample_is_used_if_some_problem_has_it():
    assert checked()[0].used_samples(np.float64) is None
    weight = np.array([[0.0, 2, 0, 0, np.nan], [0, 0, 0, 0.5, 0], [0] * 5, [0] * 5])
    for table in (weight, Gathered(weight, np.arange(4))):
        used = checked(weight=table)[0].used_samples(np.float32)
        np.testing.assert_array_equal(used, [[0, 1, 0, 1, 0]])
        assert used.dtype == np.float32


LARGEST = np.finfo(float).max
VALID = {
    "y": np.round(Y),
    "weight": 0 * Y + LARGEST,
    "offset": 0 * Y - LARGEST,
    "l2": 0 * L2,
}
INVALID = {
    "y": [np.nan, -0.1, 1.1],
    "weight": [np.nan, -1.0, np.inf],
    "offset": [np.nan, np.inf, -np.inf],
    "l2": [np.nan, -1.0, np.inf],
}


def test_rows_are_valid_if_no_number_is_out_of_range():
    assert checked(**VALID)[0].all_valid()
    for name, numbers in INVALID.items():
        for number in numbers:
            table = put(VALID[name], (-1, 0), number)
            for rows in (table, Gathered(table, np.arange(4))):
                assert not checked(**{**VALID, name: rows})[0].all_valid()

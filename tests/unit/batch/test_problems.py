"""Rows of many problems: one each, or one for all that is held once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jlogreg import Params, ShapeError
from jlogreg.batch.problems import Gathered, Problems, check_problems

N, M, K = 3, 5, 4
random = np.random.default_rng(0)
Y = random.random((K, M))
WEIGHT, L2 = np.arange(1.0, M + 1)[None], np.arange(1.0, K + 1)[:, None]
W, B = random.random((K, N, 1)), random.random((K, 1, 1))


def checked(y=Y, weight=None, offset=None, l2=0.5, init=None):
    return check_problems(Problems(y, weight, offset, l2, init), N, M, np.float64)


def test_tables_have_a_leading_axis_of_the_problems_or_of_one_row():
    rows, count = checked(weight=WEIGHT, l2=L2, init=Params(W, B))
    assert count == K
    assert (rows.y.shape, rows.weight.shape) == ((K, 1, M), (1, 1, M))
    assert rows.offset is None
    assert rows.l2.shape == (K,)
    assert (rows.init.w.shape, rows.init.b.shape) == ((K, N, 1), (K, 1, 1))
    rows, _ = checked(init=Params(W[0], B[0]))
    assert rows.l2.shape == (1,)
    assert (rows.init.w.shape, rows.init.b.shape) == ((1, N, 1), (1, 1, 1))


def test_large_tables_stay_where_they_are():
    assert np.shares_memory(checked()[0].y, Y)
    assert isinstance(checked(y=jnp.asarray(Y))[0].y, jax.Array)


@pytest.mark.parametrize("as_array", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
def test_a_problem_has_its_own_rows_and_those_of_all(as_array):
    given = {"y": Y, "weight": WEIGHT, "l2": L2, "init": Params(W, B)}
    rows, _ = checked(**jax.tree.map(as_array, given))
    picked, common = rows.pick(np.array([2, 0])), rows.common()
    assert picked.weight is None  # it is the same for all
    assert common.y is common.l2 is common.init is None
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(picked))
    for lane, number in enumerate((2, 0)):
        own = jax.tree.map(lambda leaf, lane=lane: leaf[lane], picked)
        one = own.with_common(common)
        np.testing.assert_array_equal(one.y, Y[number : number + 1])
        np.testing.assert_array_equal(one.weight, WEIGHT)
        assert one.l2 == L2[number, 0]
        assert one.offset is None
        np.testing.assert_array_equal(one.init.w, W[number])


def test_all_problems_may_be_alike():
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
    with pytest.raises(ShapeError, match=r"^weight is for 3 problems, but Y for 5"):
        checked(y=Gathered(Y, index), weight=np.ones((3, M)))


def test_a_sample_is_used_if_some_problem_has_it():
    assert checked()[0].used_samples(np.float64) is None
    weight = np.array([[0.0, 2, 0, 0, np.nan], [0, 0, 0, 0.5, 0], [0] * 5, [0] * 5])
    for table in (weight, Gathered(weight, np.arange(4))):
        used = checked(weight=table)[0].used_samples(np.float32)
        np.testing.assert_array_equal(used, [[0, 1, 0, 1, 0]])
        assert used.dtype == np.float32


BAD = {
    "y": [np.nan, -0.1, 1.1, np.inf],
    "weight": [np.nan, -1.0, np.inf],
    "offset": [np.nan, np.inf, -np.inf],
    "l2": [np.nan, -1.0, np.inf],
}


@pytest.mark.parametrize(
    ("name", "bad"), [(name, bad) for name, some in BAD.items() for bad in some]
)
def test_rows_are_good_if_no_number_is_bad(name, bad):
    good = {"y": Y, "weight": WEIGHT, "offset": -WEIGHT, "l2": L2}
    assert checked(**good)[0].all_valid()
    spoilt = good[name].copy()
    spoilt[-1, 0] = bad
    assert not checked(**{**good, name: spoilt})[0].all_valid()
    rows = {**good, name: Gathered(spoilt, np.arange(4) % len(spoilt))}
    assert not checked(**rows)[0].all_valid()


def test_extreme_numbers_are_good():
    largest = np.finfo(float).max
    ends = {"y": np.round(Y), "weight": 0 * WEIGHT + largest, "l2": 0 * L2}
    assert checked(**ends, offset=0 * WEIGHT - largest)[0].all_valid()

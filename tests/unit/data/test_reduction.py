"""Samples are summed: split them anywhere, the totals are the same."""

from functools import partial
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.experimental.sparse import BCOO
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jlogreg import Dense, Params, Sparse
from jlogreg.data import reduction as module
from jlogreg.data.reduction import gram_block, sum_over_samples
from jlogreg.data.samples import Samples
from jlogreg.objective.sums import (
    curvature_along_total,
    curvature_total,
    loss_total,
    totals,
)
from tests.helpers import assert_close, problems


@partial(jax.jit, static_argnames="block")
def all_totals(params, samples, block=None):
    return (
        totals(params, samples, block),
        loss_total(params, samples, block),
        curvature_total(params, samples, block),
        curvature_along_total(params, params, samples, block),
    )


def samples_of(problem):
    return Samples(Dense(problem.X), problem.y, problem.weight, problem.offset)


def size_of_terms(problem):
    """Return a bound of every sum of absolute values that the totals add up."""
    weight, X = np.asarray(problem.weight, float), np.asarray(problem.X, float)
    ones = np.vstack([np.abs(X), np.ones((1, X.shape[1]))])
    w = np.abs(np.vstack(problem.params)).astype(float)
    z = w.T @ ones + np.abs(np.asarray(problem.offset, float))
    return float(((1 + z) * weight * (1 + ones.sum(axis=0) ** 2)).sum() + 1)


@given(problems(shapes=[(3, 20)]), st.sampled_from([3, 10]))
def test_totals_do_not_depend_on_the_blocks(problem, block):
    samples = samples_of(problem)
    found = all_totals(problem.params, samples, block)
    due = all_totals(problem.params, samples)
    n, m = problem.X.shape
    within = 4 * (n + m) * np.finfo(problem.X.dtype).eps * size_of_terms(problem)
    for leaf, other in zip(jax.tree.leaves(found), jax.tree.leaves(due), strict=True):
        assert_close(leaf, other, within)


@given(problems(shapes=[(3, 20)]))
def test_totals_of_two_parts_add_up(problem):
    samples = samples_of(problem)
    parts = [
        jax.tree.map(lambda row, part=part: row[:, part], samples)
        for part in (slice(7), slice(7, None))
    ]
    left, right, whole = (
        jax.tree.leaves(all_totals(problem.params, part)) for part in (*parts, samples)
    )
    within = 64 * np.finfo(problem.X.dtype).eps * size_of_terms(problem)
    for one, other, due in zip(left, right, whole, strict=True):
        assert_close(one + other, due, within)


@pytest.mark.parametrize("block", [1, 2, 3, 5, 7, 8])
def test_every_sample_is_counted_once(block):
    X = 2.0 ** np.arange(7)[None]  # each subset has another sum
    samples = Samples(Dense(X), X)
    lengths = []

    def summand(part):
        lengths.append(part.X.shape[1])
        return part.X.dense().sum()

    assert sum_over_samples(summand, samples, block=block) == 127
    assert min(lengths) > 0  # no pass for nothing


@pytest.mark.parametrize(("block", "every", "due"), [(2, 2, 51), (2, 3, 3), (1, 4, 17)])
def test_of_some_blocks_only_those_are_summed_and_no_rest(block, every, due):
    X = 2.0 ** np.arange(7)[None]
    samples = Samples(Dense(X), X)
    options = {"block": block, "every": every}
    found = sum_over_samples(lambda part: part.X.dense().sum(), samples, **options)
    assert found == due


def test_what_cannot_be_cut_is_summed_at_once():
    row = 2.0 ** np.arange(7)[None]
    X = Sparse(BCOO.fromdense(jnp.asarray(row)))
    seen = []
    total = sum_over_samples(
        lambda part: seen.append(part) or part.X.dense().sum(), Samples(X, row), block=2
    )
    assert total == 127
    assert [part.X.shape for part in seen] == [(1, 7)]


def lengths_of(function, n, m):
    """Return how many samples the blocks have that a function cuts, without data."""
    X = jax.ShapeDtypeStruct((n, m), np.float32)
    row = jax.ShapeDtypeStruct((1, m), np.float32)
    params = Params(
        w=jax.ShapeDtypeStruct((n, 1), np.float32),
        b=jax.ShapeDtypeStruct((1, 1), np.float32),
    )
    lengths = []

    class Counted(Samples):
        def slice_samples(self, start, size):
            lengths.append(size)
            return Samples.slice_samples(self, start, size)

    def called(params, X, row):
        return function(params, Counted(Dense(X), row))

    with mock.patch.object(module, "Samples", Counted):
        jax.eval_shape(called, params, X, row)
    return set(lengths)


ALONG = partial(lambda *given, **more: curvature_along_total(given[0], *given, **more))
FUNCTIONS = [totals, loss_total, curvature_total, ALONG]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_block_is_the_callers(function):
    assert lengths_of(partial(function, block=300), 2, 700) == {300, 100}
    assert lengths_of(partial(function, block=800), 2, 700) == set()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_block_fits_the_cache_in_whole_lines_and_a_gram_a_cores_own(
    function, monkeypatch
):
    monkeypatch.setattr(module, "BLOCK_ENTRIES", 2**14)
    monkeypatch.setattr(module, "GRAM_SAMPLES", 1500)
    for n, length in [(1, 2**14), (3, 42 * 128), (8, 16 * 128), (9, 20000)]:
        length = 1500 if function is curvature_total else length
        rest = {length, 20000 % length} if length < 20000 else set()
        assert lengths_of(function, n, 20000) == rest
    monkeypatch.setattr(module, "BLOCK_ENTRIES", 1)
    assert lengths_of(function, 8, 1000) == set()


@pytest.mark.parametrize(("block", "cut"), [(2, {2, 1}), (5, {5}), (9, {5})])
def test_each_device_cuts_its_own_samples(block, cut):
    mesh = jax.make_mesh((4,), ("samples",), axis_types=(AxisType.Explicit,))
    X = jax.device_put(
        2.0 ** np.arange(20)[None], NamedSharding(mesh, P(None, "samples"))
    )
    lengths = set()

    def summand(part, factor):
        lengths.add(part.X.shape[1])
        return factor * part.X.dense().sum()

    found = sum_over_samples(summand, Samples(Dense(X), X), 3.0, block=block)
    assert found == 3 * (2**20 - 1)
    assert lengths == cut


@pytest.mark.parametrize("function", FUNCTIONS)
def test_elsewhere_than_on_a_cpu_nothing_is_cut(function, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert lengths_of(function, 100, 50000) == set()


def test_a_gram_is_taken_of_so_many_samples_at_once(monkeypatch):
    for m in (5, 5000):
        X = np.zeros((1, m))
        samples = Samples(Dense(X), X)
        with monkeypatch.context() as patch:
            assert gram_block(samples) == min(m, 2048)
            patch.setattr(jax, "default_backend", lambda: "gpu")
            assert gram_block(samples) == m


def test_only_samples_of_weight_0_may_have_overflowed():
    row = np.array([[np.inf, np.inf, 2.0, np.nan, np.nan, 3.0]])
    weight = np.array([[0.0, 1.0, 0.5, 0.0, 1.0, 0.0]])
    samples = Samples(Dense(row), row, weight)
    found = samples.weighted(row)
    np.testing.assert_array_equal(found, [[0.0, np.inf, 1.0, 0.0, np.nan, 0.0]])
    np.testing.assert_array_equal(samples._replace(weight=None).weighted(row), row)


def test_large_data_are_cut_into_blocks_and_differentiate_in_both_modes(monkeypatch):
    """The scan over blocks is what large data take; small data never see it."""
    monkeypatch.setattr(module, "BLOCK_ENTRIES", 1)
    random = np.random.default_rng(0)
    m = 2500  # blocks of 1024, and a rest
    X, y = random.standard_normal((2, m)), (random.random((1, m)) < 0.5).astype(float)
    samples = Samples(Dense(X), y)
    params = Params(w=np.array([[0.3], [-0.2]]), b=np.array([[0.1]]))
    lengths = []

    def summand(part):
        lengths.append(part.X.shape[1])
        return part.X.dense().sum()

    sum_over_samples(summand, samples)
    assert set(lengths) == {1024, 452}

    def loss(params, X):
        return loss_total(params, samples._replace(X=Dense(X)))

    @jax.jit  # one compilation for all
    def measured(params, X):
        forward = jax.jvp(lambda X: loss(params, X), (X,), (X,))[1]
        reverse = jax.grad(loss, argnums=(0, 1))(params, X)
        return reverse, forward, totals(params, samples).gradient.w

    reverse, forward, dw = measured(params, X)
    assert_close(reverse[0].w, dw, 1e-11 * m)
    z = params.w.T @ X + params.b
    dz = 1 / (1 + np.exp(-z)) - samples.y
    assert_close(reverse[1], params.w * dz, 1e-14)
    assert_close(forward, np.sum(reverse[1] * X), 1e-11 * m)

"""Samples are summed in parts, each once; test_spread.py compares their sums."""

from functools import partial
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.sparse import BCOO
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jlogreg as jl
from jlogreg.data import reduction as module
from jlogreg.data.reduction import gram_block, sum_over_samples
from jlogreg.data.samples import Samples
from jlogreg.objective.sums import (
    curvature_along_total,
    curvature_total,
    loss_total,
    totals,
)

# Each subset of the samples has another sum.
POWERS = 2.0 ** np.arange(20)[None]


def sum_of_powers(row, design=None, **options):
    """Return the sum of a row of features, and the lengths of the parts of it."""
    lengths = set()

    def summand(part, factor):
        lengths.add(part.X.shape[1])
        return factor * part.X.dense().sum()

    samples = Samples(design or jl.Dense(row), row)
    return sum_over_samples(summand, samples, 3.0, **options) / 3, lengths


@pytest.mark.parametrize(
    ("block", "every", "expected", "lengths"),
    [
        *((block, 1, 127, {block, 7 % block} - {0}) for block in (1, 2, 3, 5)),
        *((block, 1, 127, {7}) for block in (7, 8)),
        # Of some blocks only, and without the rest.
        *((2, 2, 51, {2}), (2, 3, 3, {2}), (1, 4, 17, {1})),
    ],
)
def test_every_sample_is_counted_once(block, every, expected, lengths):
    result = sum_of_powers(POWERS[:, :7], block=block, every=every)
    assert result == (expected, lengths)


@pytest.mark.parametrize(("block", "lengths"), [(2, {2, 1}), (5, {5}), (9, {5})])
def test_each_device_cuts_its_own_samples(block, lengths):
    mesh = jax.make_mesh((4,), ("samples",), axis_types=(AxisType.Explicit,))
    row = jax.device_put(POWERS, NamedSharding(mesh, P(None, "samples")))
    assert sum_of_powers(row, block=block) == (2**20 - 1, lengths)


def test_a_sparse_design_is_not_cut():
    row = POWERS[:, :7]
    design = jl.Sparse(BCOO.fromdense(jnp.asarray(row)))
    assert sum_of_powers(row, design, block=2) == (127, {7})
    with pytest.raises(NotImplementedError, match="no parts"):
        design.slice_samples(0, 2)


def lengths_of(function, n, m):
    """Return how many samples the blocks have that a function cuts, without data."""
    X, row, w, b = (
        jax.ShapeDtypeStruct(shape, np.float32)
        for shape in [(n, m), (1, m), (n, 1), (1, 1)]
    )
    lengths = set()

    class Counted(Samples):
        def slice_samples(self, start, size):
            lengths.add(size)
            return Samples.slice_samples(self, start, size)

    def called(params, X, row):
        return function(params, Counted(jl.Dense(X), row))

    with mock.patch.object(module, "Samples", Counted):
        jax.eval_shape(called, jl.Params(w, b), X, row)
    return lengths


def along(params, samples, **options):
    return curvature_along_total(params, params, samples, **options)


@pytest.mark.parametrize("function", [totals, loss_total, curvature_total, along])
def test_blocks_are_the_callers_or_fit_the_cache_of_a_cpu(function, monkeypatch):
    """Whole cache lines, of few features; for a Gram matrix, the cache of one core."""
    assert lengths_of(partial(function, block=300), 2, 700) == {300, 100}
    assert lengths_of(partial(function, block=800), 2, 700) == set()
    monkeypatch.setattr(module, "BLOCK_ENTRIES", 2**14)
    monkeypatch.setattr(module, "GRAM_SAMPLES", 1500)
    for n, length in [(1, 2**14), (3, 42 * 128), (8, 16 * 128), (9, 20000)]:
        length = 1500 if function is curvature_total else length
        rest = {length, 20000 % length} if length < 20000 else set()
        assert lengths_of(function, n, 20000) == rest
    monkeypatch.setattr(module, "BLOCK_ENTRIES", 1)
    least = 1500 if function is curvature_total else 1024
    assert lengths_of(function, 8, 2000) == {least, 2000 - least}
    assert lengths_of(function, 8, 1000) == set()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert lengths_of(function, 8, 50000) == set()


def test_a_gram_is_taken_of_so_many_samples_at_once(monkeypatch):
    few, many = (Samples(jl.Dense(np.zeros((1, m))), None) for m in (5, 5000))
    assert (gram_block(few), gram_block(many)) == (5, 2048)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert (gram_block(few), gram_block(many)) == (5, 5000)


def test_only_samples_of_weight_0_may_have_overflowed():
    row = np.array([[np.inf, np.inf, 2.0, np.nan, np.nan, 3.0]])
    weight = np.array([[0.0, 1.0, 0.5, 0.0, 1.0, 0.0]])
    samples = Samples(jl.Dense(row), row, weight)
    result = samples.weighted(row)
    np.testing.assert_array_equal(result, [[0.0, np.inf, 1.0, 0.0, np.nan, 0.0]])
    np.testing.assert_array_equal(samples._replace(weight=None).weighted(row), row)

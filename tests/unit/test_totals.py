"""Samples are summed: split them anywhere, the totals are the same."""

from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jlogreg import Dense, Params
from jlogreg import totals as module
from jlogreg.samples import Samples
from jlogreg.totals import (
    curvature_along_total,
    curvature_total,
    loss_total,
    sum_over_samples,
    totals,
)
from tests.problems import assert_close, problems


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
        jax.tree.map(lambda row: row[:, :7], samples),
        jax.tree.map(lambda row: row[:, 7:], samples),
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
    seen = sum_over_samples(lambda part: part.X.dense().sum(), samples, block=block)
    assert seen == 127


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

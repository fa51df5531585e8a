"""What holds of every fit: it is the minimum, by whatever way, however it is put."""

from functools import partial
from unittest import mock

import jax
import numpy as np
import optax
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jlogreg import (
    Newton,
    Optax,
    Params,
    Status,
    logits,
)
from jlogreg.data import reduction as module
from jlogreg.data.design import Dense
from jlogreg.data.samples import Samples
from jlogreg.formulations.dual import dual_basis
from jlogreg.formulations.primal import newton_totals
from tests.helpers import (
    EPS,
    SHAPE,
    TOL,
    WIDE,
    Problem,
    assert_close,
    cost_and_gradient,
    entry,
    fit_problem,
    has_converged,
    make_problem,
    newton,
    newton_cg,
    problems,
    seeds,
    select_samples,
    slack,
)
from tests.oracles.numpy_fit import (
    assert_same_fit,
    augmented,
    gradient_slack,
    numpy_minimum,
    params_slack,
)

SOME = settings(max_examples=settings.default.max_examples * 2 // 5)


def float64s(*shapes, **options):
    return problems(dtypes=(np.float64,), shapes=shapes, **options)


with jax.numpy_dtype_promotion("standard"):  # optax itself promotes its step count
    LBFGS = Optax(optax.lbfgs())
lbfgs = jax.jit(partial(fit_problem, LBFGS))
many = jax.jit(jax.vmap(partial(fit_problem, Newton()), in_axes=(0, None)))


@SOME
@given(float64s(SHAPE), seeds)
def test_the_gradient_is_0_and_no_other_point_costs_less(problem, seed):
    found = newton(problem)
    assume(has_converged(found))
    J, slope = cost_and_gradient(found.params, problem)
    zero = np.zeros((SHAPE[0] + 1, 1))
    assert_close(np.vstack(slope), zero, gradient_slack(problem, found.params))
    within = slack(problem._replace(params=found.params)).J
    assert_close(found.cost, J, within)
    random = np.random.default_rng(seed)
    for reach in (1e-6, 1e-3, 1.0, 100.0):
        w, b = (
            leaf * (1 + reach * random.standard_normal(leaf.shape))
            for leaf in found.params
        )
        other = problem._replace(params=Params(w, b))
        cost_there = cost_and_gradient(other.params, other)[0]
        assert cost_there - J >= -within - slack(other).J


@SOME
@given(float64s(SHAPE))
def test_newton_and_newton_cg_agree(problem):
    due, found = newton(problem), newton_cg(problem)
    assume(has_converged(due))
    assert_same_fit(found, due, problem, inexact=True)


@SOME
@given(float64s(SHAPE))
def test_newton_and_a_descent_agree(problem):
    with jax.numpy_dtype_promotion("standard"):
        found = lbfgs(problem)
    due = newton(problem)
    assume(has_converged(due))
    assume(has_converged(found))
    assert_same_fit(found, due, problem, inexact=True)


def put_otherwise(way, problem, random):
    """Return a problem, the same put otherwise, and the way back for its params."""
    few = np.arange(12)
    if way == "out":  # what weighs nothing may contain anything
        out = np.arange(SHAPE[1]) >= len(few)
        garbage = random.choice([np.nan, np.inf, -np.inf, 1e300])
        rows = {"X": problem.X, "y": problem.y, "offset": problem.offset}
        spoilt = {name: np.where(out, garbage, row) for name, row in rows.items()}
        problem = problem._replace(weight=problem.weight + 1)
        other = problem._replace(weight=np.where(out, 0, problem.weight), **spoilt)
        return select_samples(problem, few), other, lambda params: params
    if way == "twice":
        once = select_samples(problem, few)
        weight = once.weight * np.where(few < 8, 2.0, 1.0)
        other = select_samples(problem, np.append(few, few[:8]))
        return once._replace(weight=weight), other, lambda params: params
    if way == "column":
        column = np.full((SHAPE[0], 1), problem.l2)
        return problem, problem._replace(l2=column), lambda params: params
    if way == "labels":

        def back(params):
            return jax.tree.map(np.negative, params)

        turned = {"y": 1 - problem.y, "offset": -problem.offset}
        return problem, problem._replace(params=back(problem.params), **turned), back
    rows, columns = random.permutation(SHAPE[0]), random.permutation(SHAPE[1])
    other = select_samples(problem, columns)
    start = problem.params._replace(w=problem.params.w[rows])
    other = other._replace(params=start, X=other.X[rows])
    return problem, other, lambda params: Params(params.w[np.argsort(rows)], params.b)


@pytest.mark.parametrize("way", ["out", "twice", "column", "labels", "order"])
@SOME
@given(float64s(SHAPE), seeds)
def test_a_problem_that_is_put_otherwise_is_the_same(way, problem, seed):
    """Samples left out or given twice, a column of one penalty, labels, order."""
    problem, other, back = put_otherwise(way, problem, np.random.default_rng(seed))
    (J, slope), (due_J, due) = (
        cost_and_gradient(other.params, other),
        cost_and_gradient(problem.params, problem),
    )
    within = slack(problem)
    assert_close(J, due_J, within.J)
    slope = back(jax.tree.map(np.asarray, slope))
    assert_close(np.vstack(slope), np.vstack(due), np.vstack(within[1:]))
    found, due = newton(other), newton(problem)
    assume(has_converged(due))
    params = back(jax.tree.map(np.asarray, found.params))
    assert_same_fit(found._replace(params=params), due, problem)


@SOME
@given(float64s(SHAPE), seeds)
def test_units_of_powers_of_two_change_nothing_else(problem, seed):
    random = np.random.default_rng(seed)
    unit = 2.0 ** random.integers(-30, 31, (SHAPE[0], 1))
    problem = problem._replace(l2=np.zeros(()))
    start = problem.params._replace(w=problem.params.w / unit)
    found = newton(problem._replace(params=start, X=problem.X * unit))
    due = newton(problem)
    # All but the largest entry of the gradient, which has units.
    w = np.asarray(found.params.w) * unit
    found = found._replace(params=found.params._replace(w=w))
    for leaf, other in zip(found, due, strict=True):
        if leaf is not found.gradient_norm:
            jax.tree.map(np.testing.assert_array_equal, leaf, other)


@SOME
@given(
    float64s(SHAPE, WIDE),
    st.integers(-3, 6),
    st.sampled_from([0, 1, 2, 100]),
    st.sampled_from(["newton", "newton_cg"]),
)
def test_no_fit_costs_more_than_its_start(problem, reach, most, name):
    start = jax.tree.map(lambda leaf: leaf * 10.0**reach, problem.params)
    problem = problem._replace(params=start, l2=np.maximum(problem.l2, 1e-3))
    found = {"newton": newton, "newton_cg": newton_cg}[name](problem, np.int32(most))
    here, there = (problem._replace(params=params) for params in (start, found.params))
    within = slack(here).J + slack(there).J
    assert (
        cost_and_gradient(found.params, problem)[0]
        <= cost_and_gradient(start, problem)[0] + within
    )
    assert found.steps <= most


def lanes_of(seeds):
    """Return four problems, each of its own kind, and the same as one batch."""
    hazards = ["plain", "soft labels", "ill-scaled", "plain"]
    alone = [
        jax.tree.map(np.asarray, make_problem(SHAPE, np.float64, hazard, seed, l2))
        for hazard, seed, l2 in zip(hazards, seeds, [0.01, 0.0, 1.0, 0.0], strict=True)
    ]
    return alone, jax.tree.map(lambda *leaves: np.stack(leaves), *alone)


@SOME
@given(seeds)
def test_many_fits_in_one_call_are_the_fits_one_by_one(seed):
    alone, batch = lanes_of(range(seed, seed + 4))
    found = many(batch, 100)
    for lane, problem in enumerate(alone):
        here, due = entry(found, lane), newton(problem)
        assert here.status == due.status
        if has_converged(due):
            assert_same_fit(here, due, problem)


@SOME
@given(seeds, st.integers(0, 3), st.sampled_from([None, np.nan, 1e200, -1.0, 0.0]))
def test_a_lane_does_not_see_the_others(seed, lane, planted):
    _, batch = lanes_of(range(seed, seed + 4))
    _, other = lanes_of(range(seed + 9, seed + 13))
    for leaf in jax.tree.leaves(other):
        if planted is not None:  # a failure, in several ways
            leaf[(lane + 1) % 4] = planted
    for leaf, own in zip(jax.tree.leaves(other), jax.tree.leaves(batch), strict=True):
        leaf[lane] = own[lane]
    due, found = entry(many(batch, 100), lane), entry(many(other, 100), lane)
    jax.tree.map(np.testing.assert_array_equal, found, due)


@SOME
@given(float64s(WIDE, hazards=["plain", "soft labels"]))
def test_the_span_of_the_samples_holds_the_minimum(problem):
    problem = problem._replace(l2=np.maximum(problem.l2, 0.01))
    found, other = newton(problem), newton_cg(problem)
    assume(has_converged(found))  # not with labels of one class
    due = numpy_minimum(problem)
    within = params_slack(problem, due)
    # Products with the Gram matrix add up more, each of n terms, than w itself does.
    m, n = problem.X.shape[1], problem.X.shape[0]
    assert_close(found.params.w, due.w, 2 * (n + m) * within.w)
    assert_close(found.params.b, due.b, 2 * (n + m) * within.b)
    assert_same_fit(other, found, problem, inexact=True)


def samples_of(problem):
    return Samples(Dense(problem.X), problem.y, problem.weight, problem.offset)


@jax.jit
def by_coordinates(problem, point):
    """Return logits three ways: by the Gram matrix, by params, and there and back."""
    span = dual_basis(samples_of(problem))
    params = span.params(point)
    again = span.params(span.start(params))
    products = point[:-1].T @ span.gram + point[-1:]
    return products, logits(params, problem.X), logits(again, problem.X)


@SOME
@given(float64s(WIDE, hazards=["plain"]))
def test_coordinates_in_the_span_have_the_logits_of_their_params(problem):
    problem = problem._replace(weight=problem.weight + 1)  # all count
    point = problem.params.w[: WIDE[1] + 1]
    due, *others = by_coordinates(problem, point)
    X = np.abs(problem.X - problem.X.mean(axis=1, keepdims=True))
    size = np.abs(point[:-1]).T @ X.T @ (X + np.abs(problem.X)) + np.abs(point[-1])
    within = 4 * sum(WIDE) * EPS * size
    # On the way back a system with the Gram matrix is solved, which is singular.
    for found, lost in zip(others, (1, 64), strict=True):
        assert_close(found, due, lost * within)


@partial(jax.jit, static_argnums=1)
def sums_of(problem, block):
    samples = samples_of(problem)
    step = jax.tree.map(lambda leaf: leaf / 8, problem.params)
    with mock.patch.object(module, "GRAM_SAMPLES", block):
        return newton_totals(samples, problem.params, step, problem.l2, TOL)


@SOME
@given(float64s(SHAPE))
def test_the_sums_of_a_newton_step_do_not_depend_on_the_blocks(problem):
    due, found = sums_of(problem, 20), sums_of(problem, 7)
    X, weight = np.abs(augmented(problem)[0]), problem.weight
    size = np.abs(np.vstack(problem.params)).T @ X + np.abs(problem.offset) + 1
    few = 4 * sum(SHAPE) * EPS
    assert_close(found.loss, due.loss, few * (weight * size).sum())
    slope, due_slope = np.vstack(found.gradient), np.vstack(due.gradient)
    assert_close(slope, due_slope, few * X @ (weight * size).T)
    assert_close(found.curvature, due.curvature, few * (X * weight * size) @ X.T)
    for name in ("n_moved", "n_large_moves", "n_not_separated"):
        assert getattr(found, name) == getattr(due, name)


@pytest.mark.parametrize(("block", "parts"), [(20, False), (7, True)])
def test_blocks_are_summed_one_after_another(block, parts):
    """Or the test above would compare a sum with itself."""
    text = jax.make_jaxpr(sums_of, static_argnums=1)(make_problem(SHAPE, float), block)
    assert ("scan[" in str(text)) == parts


@SOME
@given(seeds, st.sampled_from([0.0, 1.0]))
def test_a_plane_between_the_labels_is_found_and_contradictions_hide_it(seed, bias):
    """Ten samples separated by a margin, then the same with the other labels too."""
    random = np.random.default_rng(seed)
    w, X = random.standard_normal((SHAPE[0], 1)), random.standard_normal((SHAPE[0], 10))
    z = w.T @ X + bias * random.standard_normal()
    X = X + 0.1 * np.sign(z) * w / (w.T @ w)  # a margin
    y, no, zero = (z > 0) * 1.0, np.zeros((1, 20)), Params(0 * w, np.zeros((1, 1)))
    both_labels = np.hstack([X, X]), np.hstack([y, 1 - y])
    twice = Problem(zero, *both_labels, weight=no + 1, offset=no, l2=np.zeros(()))
    alone = twice._replace(weight=np.repeat([[1.0, 0.0]], 10, axis=1))
    assert newton(alone).status == Status.SEPARATED
    assert newton_cg(alone).status == Status.SEPARATED
    found = newton(twice)
    assert has_converged(found)
    within = params_slack(twice, found.params)  # all is even: the minimum is at 0
    assert_close(found.params.w, np.zeros((SHAPE[0], 1)), within.w)
    assert_close(found.params.b, np.zeros((1, 1)), within.b)


@pytest.mark.parametrize("planted", [1e-6, -1e-9])
def test_the_comparison_notices_a_wrong_minimum(planted):
    problem = make_problem(SHAPE, np.float64, seed=3)
    found = newton(problem)
    w = found.params.w * (1 + planted)
    wrong = found._replace(params=found.params._replace(w=w))
    assert_same_fit(found, found, problem)
    with pytest.raises(AssertionError, match="too far"):
        assert_same_fit(wrong, found, problem)
    slope = np.vstack(cost_and_gradient(wrong.params, problem)[1])
    with pytest.raises(AssertionError, match="too far"):
        assert_close(slope, 0 * slope, gradient_slack(problem, found.params))

"""Each kind of problem has the properties that it promises."""

import jax
import numpy as np
import pytest

from jlogreg.testing import Kind, make_problem, problems
from jlogreg.testing.problems import can_be
from jlogreg.testing.strategies import SHAPES
from tests.oracles.separation import separation, with_ones

CASES = [(kind, shape) for kind in Kind for shape in SHAPES if can_be(kind, shape)]


def missing_rank(problem):
    rows = with_ones(problem)
    return len(rows) - np.linalg.matrix_rank(rows)


def spread_of_scales(problem):
    sizes = np.abs(with_ones(problem)).max(axis=1)
    return sizes.max() / sizes.min()


def both_labels(problem):
    return len(np.unique(problem.y)) == 2


def largest_logit(problem):
    return np.abs(problem.params.w.T @ problem.X).max()


PROPERTIES = {
    Kind.PLAIN: [],
    Kind.WEIGHTED: [],
    Kind.WELL_POSED: [
        lambda p: separation(p) == "",
        lambda p: missing_rank(p) == 0,
    ],
    Kind.COLLINEAR: [
        lambda p: separation(p) == "",
        lambda p: missing_rank(p) == 1,
        lambda p: (p.X[1] == 2 * p.X[0]).all(),
    ],
    Kind.CONSTANT_COLUMN: [
        lambda p: separation(p) == "",
        lambda p: missing_rank(p) == 1,
        lambda p: (p.X[0] == p.X[0, 0]).all(),
    ],
    Kind.ONE_CLASS: [lambda p: not both_labels(p)],
    Kind.SEPARABLE: [lambda p: separation(p) == "complete", both_labels],
    Kind.QUASI_SEPARABLE: [lambda p: separation(p) == "quasi"],
    Kind.SOFT_LABELS: [lambda p: ((p.y > 0) & (p.y < 1)).all()],
    Kind.ILL_SCALED: [lambda p: spread_of_scales(p) > 1e2],
    Kind.ZERO_START: [lambda p: not any(leaf.any() for leaf in p.params)],
    Kind.HUGE_LOGITS: [lambda p: 99 <= largest_logit(p) <= 10_001],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("kind", "shape"), CASES)
def test_a_kind_has_its_properties(kind, shape, dtype):
    for seed in range(4):
        problem = make_problem(kind, shape, dtype, seed=seed, weighted=seed % 2 == 1)
        assert (problem.X.shape, problem.y.shape) == (shape, (1, shape[1]))
        assert {leaf.dtype for leaf in jax.tree.leaves(problem)} == {np.dtype(dtype)}
        assert all(holds(problem) for holds in PROPERTIES[kind])


def test_weights_are_drawn_on_request():
    plain, weighted = (make_problem(weighted=given) for given in (False, True))
    assert (plain.weight == 1).all()
    assert not plain.offset.any()
    drawn = [make_problem("weighted", seed=seed) for seed in range(20)]
    assert {0.0, 0.5, 1.0, 2.0, 3.0} == {
        float(weight) for problem in drawn for weight in problem.weight.flat
    }
    assert any(problem.offset.any() for problem in drawn)
    assert len(np.unique(weighted.weight)) > 2


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: make_problem("well-posed", (30, 6)), r"of shape \(30, 6\) is well-po"),
        (lambda: problems("separable", shapes=[(3, 1)]), "of these shapes is separabl"),
        (lambda: problems("hard"), "'hard' is not a valid Kind"),
    ],
)
def test_kinds_and_shapes_that_do_not_exist(make, words):
    with pytest.raises(ValueError, match=words):
        make()

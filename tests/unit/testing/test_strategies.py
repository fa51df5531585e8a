"""What the strategies draw."""

import ast
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import jlogreg as jl
import jlogreg.testing
from jlogreg.testing import broadcastable_shapes, matrices, parameters, problems
from jlogreg.testing.strategies import SHAPES

FILES = sorted(Path(jlogreg.testing.__file__).parent.glob("*.py"))
FEW = settings(max_examples=25)


def test_every_kind_shape_and_dtype_is_drawn():
    seen = set()

    @settings(max_examples=300)
    @given(problems())
    def draw(problem):
        for leaf in jax.tree.leaves(problem):
            size = np.abs(leaf[leaf != 0])
            assert (size >= np.finfo(leaf.dtype).tiny).all()  # none is subnormal
        seen.add((problem.X.shape, problem.X.dtype.name, bool(problem.l2)))
        seen.add(bool(problem.offset.any()))

    draw()
    assert len(seen) == len(SHAPES) * 2 * 2 + 2


def test_without_x64_all_is_float32():
    with jax.enable_x64(False):
        strategies = matrices(), parameters(), problems()

    @FEW
    @given(st.tuples(*strategies))
    def check(drawn):
        assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(drawn))

    check()


@FEW
@given(matrices([(2, 30)], [np.float64], [1e-3]), parameters([40], scales=[1e3]))
def test_the_shape_and_scale_of_matrices_and_parameters(A, params):
    assert (A.shape, A.dtype) == ((2, 30), np.float64)
    assert (params.w.shape, params.b.shape) == ((40, 1), (1, 1))
    assert 2e-4 < A.std() < 4e-3
    assert 2e2 < params.w.std() < 4e3


@pytest.mark.parametrize("count", [1, 3])
def test_shapes_broadcast(count):
    @FEW
    @given(broadcastable_shapes(count))
    def check(shapes):
        assert len(shapes) == count
        assert jl.broadcast_shape(*shapes) == np.broadcast_shapes(*shapes)

    check()
    for shape in [(3, 4), (1, 4), (3, 1), ()]:  # each is drawn
        find(broadcastable_shapes(), lambda shapes, shape=shape: shape in shapes)


def test_the_error_without_hypothesis_says_what_to_install(monkeypatch):
    for name in [*sys.modules]:
        if name.startswith("jlogreg.testing"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ImportError, match=r'pip install "jlogreg\[testing\]"'):
        __import__("jlogreg.testing")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_assert_statement_that_python_may_leave_out(path):
    nodes = ast.walk(ast.parse(path.read_text()))
    assert not any(isinstance(node, ast.Assert) for node in nodes)

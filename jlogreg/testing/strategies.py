"""Hypothesis strategies of matrices, parameters and problems.

A new shape is a compilation, so shapes come from a short list. Values come from a drawn
seed through NumPy's generator: an example is as cheap as making an array. None of the
numbers is subnormal, since XLA flushes these to 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from jlogreg.base.arrays import canonical_dtype
from jlogreg.base.errors import extra
from jlogreg.base.params import Params
from jlogreg.testing.problems import Kind, Problem, can_be, make_problem

__all__ = ["broadcastable_shapes", "matrices", "parameters", "problems"]

with extra("testing"):
    from hypothesis import strategies as st


Shape: TypeAlias = tuple[int, int]


SHAPES = ((1, 1), (1, 7), (3, 20), (5, 64), (30, 6))
SCALES = (1e-3, 1.0, 1e3)


_seeds = st.integers(0, 2**32 - 1)


def matrices(
    shapes: Sequence[Shape] = SHAPES,
    dtypes: Sequence[Any] | None = None,
    scales: Sequence[float] = SCALES,
) -> st.SearchStrategy[np.ndarray]:
    """Return a strategy of matrices of normal numbers.

    Shapes: (n, m), as given.

    Args:
        shapes: (n, m) to choose from. Each new one is a compilation.
        dtypes: to choose from; by default float32 and, where x64 is on, float64.
        scales: standard deviations to choose from.

    Examples:
        >>> from hypothesis import given, settings
        >>> from jlogreg.testing import matrices
        >>> @settings(max_examples=10)
        ... @given(matrices([(2, 3)]))
        ... def test_a_transpose_is_its_own_inverse(A):
        ...     assert (A.T.T == A).all()
        >>> test_a_transpose_is_its_own_inverse()
    """
    return st.builds(_normal, *_choices(shapes, _known(dtypes), scales), _seeds)


def parameters(
    features: Sequence[int] = (1, 3, 5, 30),
    dtypes: Sequence[Any] | None = None,
    scales: Sequence[float] = SCALES,
) -> st.SearchStrategy[Params]:
    """Return a strategy of parameters, with entries as in `matrices`.

    Shapes: w (n, 1), b (1, 1), for n in `features`.

    Args:
        features: numbers of features to choose from.
        dtypes: to choose from; by default float32 and, where x64 is on, float64.
        scales: standard deviations to choose from.

    Examples:
        >>> from hypothesis import given, settings
        >>> from jlogreg.testing import parameters
        >>> @settings(max_examples=10)
        ... @given(parameters([3]))
        ... def test_w_is_a_column(params):
        ...     assert params.w.shape == (3, 1)
        >>> test_w_is_a_column()
    """
    return st.builds(_params, *_choices(features, _known(dtypes), scales), _seeds)


def problems(
    kind: str | Sequence[str] | None = None,
    *,
    shapes: Sequence[Shape] = SHAPES,
    dtypes: Sequence[Any] | None = None,
    l2: Sequence[float] = (0.0, 0.01, 1.0),
    weighted: bool | None = None,
) -> st.SearchStrategy[Problem]:
    """Return a strategy of problems of a kind, of several kinds, or of all.

    Shapes: as for `Problem`, with (n, m) in `shapes`.

    Args:
        kind: a `Kind` or its name, or several of them; None for all.
        shapes: (n, m) to choose from. Each new one is a compilation.
        dtypes: to choose from; by default float32 and, where x64 is on, float64.
        l2: penalties to choose from.
        weighted: whether weights and an offset are drawn; None for both cases.

    Raises:
        ValueError: if a kind does not exist, or none exists in these shapes.

    Examples:
        >>> from hypothesis import given, settings
        >>> from jlogreg import Status, fit
        >>> from jlogreg.testing import problems
        >>> @settings(max_examples=10, deadline=None)  # the first one compiles
        ... @given(problems("separable", shapes=[(3, 20)]))
        ... def test_a_plane_between_the_labels_is_found(problem):
        ...     assert fit(problem.X, problem.y).status == Status.SEPARATED
        >>> test_a_plane_between_the_labels_is_found()
    """
    names = list(Kind) if kind is None else [kind] if isinstance(kind, str) else kind
    pairs = [
        (one, shape)
        for one in map(Kind, names)
        for shape in shapes
        if can_be(one, shape)
    ]
    if not pairs:
        raise ValueError(f"no problem of these shapes is {' or '.join(names)}")
    either = (False, True) if weighted is None else (weighted,)
    drawn = _choices(pairs, _known(dtypes), l2, either)
    return st.builds(_problem, *drawn, _seeds)


def broadcastable_shapes(
    count: int = 2, shapes: Sequence[Shape] = ((3, 4), (1, 5), (4, 1), (2, 2))
) -> st.SearchStrategy[tuple[tuple[int, ...], ...]]:
    """Return a strategy of shapes that broadcast: matrices, rows, columns and scalars.

    Shapes: each is (r, c), (1, c), (r, 1) or (), for one (r, c) in `shapes`.

    Args:
        count: the number of shapes.
        shapes: (r, c) to choose from.

    Examples:
        >>> from hypothesis import given, settings
        >>> from jlogreg import broadcast_shape
        >>> from jlogreg.testing import broadcastable_shapes
        >>> @settings(max_examples=10)
        ... @given(broadcastable_shapes(2))
        ... def test_the_order_does_not_matter(pair):
        ...     assert broadcast_shape(*pair) == broadcast_shape(*pair[::-1])
        >>> test_the_order_does_not_matter()
    """

    def together(shape: Shape) -> st.SearchStrategy[tuple[tuple[int, ...], ...]]:
        r, c = shape
        one = st.sampled_from([(r, c), (1, c), (r, 1), ()])
        return st.tuples(*[one] * count)

    return st.sampled_from(list(shapes)).flatmap(together)


def _choices(*options: Sequence[Any]) -> list[st.SearchStrategy[Any]]:
    return [st.sampled_from(list(some)) for some in options]


def _known(dtypes: Sequence[Any] | None) -> Sequence[Any]:
    """Return the given dtypes, or those that JAX keeps as they are."""
    both = {np.dtype(np.float32): None, np.dtype(canonical_dtype(float)): None}
    return list(both) if dtypes is None else dtypes


def _normal(shape: Shape, dtype: Any, scale: float, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (scale * random.standard_normal(shape)).astype(dtype)


def _params(n: int, dtype: Any, scale: float, seed: int) -> Params:
    both: Any = _normal((n + 1, 1), dtype, scale, seed)
    return Params(w=both[:n], b=both[n:])


def _problem(
    pair: tuple[Kind, Shape], dtype: Any, l2: float, weighted: bool, seed: int
) -> Problem:
    return make_problem(*pair, dtype, seed=seed, l2=l2, weighted=weighted)

"""What grows with the data: the temporary bytes of programs, and not their number."""

from contextlib import contextmanager

import jax
import numpy as np
import pytest

import jlogreg as jl
from jlogreg.base.programs import _Program, is_tracing
from jlogreg.data.reduction import GRAM_SAMPLES

ITEM = 8  # bytes of a float64
# Rows of one number a sample that a pass holds: logits, losses, and two derivatives.
ROWS = 4
# Parts of X of a block of GRAM_SAMPLES that are there at once, and bytes for the rest.
BLOCKS, REST = 3, 2**18


@contextmanager
def recorded():
    """Yield a dictionary that will have name and temporary bytes of each program."""
    found, plain = {}, _Program.__call__

    def call(self, *arguments, **named):
        if is_tracing():
            return plain(self, *arguments, **named)
        key = (id(self), *map(str, jax.tree.leaves(jax.tree.map(described, arguments))))
        if key not in found:
            lowered = self.whole().lower(*arguments, **named)
            memory = lowered.compile().memory_analysis()
            found[key] = self.part.__name__, memory.temp_size_in_bytes
        return plain(self, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Program, "__call__", call)
        yield found


def described(leaf):
    """Return the shape and dtype of an array, or what a program is compiled for."""
    return jax.typeof(leaf) if hasattr(leaf, "dtype") else leaf


def data(n, m, K=1):
    random = np.random.default_rng(n + m)
    X = random.normal(size=(n, m))
    return X, 1.0 * (random.random((K, m)) < 0.5)


def temporary(function, *arguments):
    compiled = jax.jit(function).lower(*arguments).compile()
    return compiled.memory_analysis().temp_size_in_bytes


def one_pass(X, y):
    return jl.value_and_gradient(jl.init_params(len(X), X.dtype), X, y)


def curvature(X, y):
    return jl.hessian(jl.init_params(len(X), X.dtype), X, y)


@pytest.mark.parametrize("n", [4, 40])
@pytest.mark.parametrize(
    ("function", "rows", "blocks"),
    [(one_pass, ROWS, 0), (curvature, 0, BLOCKS)],
    ids=["gradient", "hessian"],
)
def test_a_pass_takes_rows_of_the_samples_or_some_blocks(function, rows, blocks, n):
    """Never a copy of the features."""
    for m in (20_000, 80_000):
        most = ITEM * (rows * m + blocks * n * GRAM_SAMPLES) + REST
        assert temporary(function, *data(n, m)) <= most


def test_a_fit_takes_rows_of_the_samples_and_some_blocks():
    """By the same programs for any number of samples."""
    names, n = [], 24
    for m in (10_000, 40_000):
        X, y = map(jax.device_put, data(n, m))
        with recorded() as found:
            jl.fit(X, y)
        names.append([name for name, _ in found.values()])
        most = ITEM * (ROWS * m + BLOCKS * n * GRAM_SAMPLES) + REST
        assert max(size for _, size in found.values()) <= most
    assert names[0] == names[1]


def test_programs_of_many_problems_keep_to_the_limit_and_are_few():
    limit = 2**20
    for K in (60, 600):
        X, Y = data(3, 50, K)
        with recorded() as found:
            jl.fit_many(X, Y, l2=0.1, memory_limit=limit)
        assert max(size for _, size in found.values()) <= limit
        assert len(found) <= 10


def test_programs_of_a_scan_are_the_same_for_any_number_of_features():
    C, y = data(2, 60)
    seen = []
    for V in (2048, 8192):
        G = np.random.default_rng(V).integers(0, 3, (V, 60)).astype(np.int8)
        with recorded() as found:
            jl.scan_features(G, C, y)
        seen.append(sorted(found.values()))
    assert seen[0] == seen[1]

"""Two processes that JAX has joined: data of their own, and data spread over both."""

import json
import socket
import subprocess
import sys

import numpy as np
import pytest

import jlogreg as jl

OWN = """
import json, sys
import jax
import numpy as np
import jlogreg as jl
index, port = map(int, sys.argv[1:])
jax.distributed.initialize(f"127.0.0.1:{port}", 2, index)
random = np.random.default_rng(index)
X = random.normal(size=(3, 50)).astype(np.float32)
Y = (random.random((4, 50)) < 0.5).astype(np.float32)
found = jl.fit_many(X, Y, l2=0.1)
l2 = np.array([[0.01], [0.1]], np.float32)
best = jl.cross_validate(X, Y[:1], l2, folds=3).best
status = jl.scan_features(X, None, Y[:1]).status
print(json.dumps([found.params.w.tolist(), best.tolist(), status.tolist()]))
"""

# Each process puts its own samples, 40 and 61 of them, on two devices, and compares
# what all functions make of them with what they make of all samples in one place.
SPREAD = """
import json, sys
import jax
import numpy as np
import jlogreg as jl
from jlogreg import inference
index, port = map(int, sys.argv[1:])
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 2)
jax.distributed.initialize(f"127.0.0.1:{port}", 2, index)
random = np.random.default_rng(0)
X, Y = random.normal(size=(4, 101)), 1.0 * (random.random((7, 101)) < 0.5)
G = random.integers(0, 3, (9, 101)).astype(np.int8)
own = slice(0, 40) if index == 0 else slice(40, None)
mesh = jl.mesh()
given = jl.put(mesh, X[:, own], Y[:, own])[:3]
first = jl.put(mesh, X[:, own], Y[:1, own])[:3]
whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
start, l2 = jl.init_params(4, np.float64), np.array([[0.1], [0.01]])
fitted = lambda X, y, weight: jl.fit(X, y, weight=weight)
functions = {
    "cost": lambda X, y, weight: jl.cost(start, X, y, weight=weight),
    "fit": lambda *given: fitted(*given)[:2],
    "fit with l1": lambda X, y, w: jl.fit(X, y, weight=w, l1=0.01)[:2],
    "path": lambda X, y, w: jl.regularization_path(X, y, l2, weight=w)[:2],
    "certificate": lambda X, y, w: jl.certificate(fitted(X, y, w), X, y, weight=w).cost,
    "summary": lambda X, y, w: jl.summary(
        fitted(X, y, w), X, y, weight=w
    ).columns["std_error"],
    "covariance": lambda X, y, w: inference.covariance(
        fitted(X, y, w), X, y, weight=w
    ),
}
many = {
    "fit_many": lambda X, Y, w: jl.fit_many(X, Y, weight=w, l2=0.1)[:2],
    "penalty_grid": lambda X, Y, w: jl.penalty_grid(X, Y, weight=w),
}

def difference(found, expected):
    pairs = zip(*map(jax.tree.leaves, (found, expected)), strict=True)
    numbers = [[np.asarray(leaf, float) for leaf in pair] for pair in pairs]
    return max(float(np.abs(a - b).max()) for a, b in numbers)

def error(function):
    try:
        return str(function())
    except ValueError as found:
        return f"{type(found).__name__}: {found}"

said = {
    **{
        name: difference(function(*first), function(X, Y[:1], None))
        for name, function in functions.items()
    },
    **{
        name: difference(function(*given), function(X, Y, None))
        for name, function in many.items()
    },
    "scan_features": difference(
        jl.scan_features(G, X[:2], jax.device_put(Y[:1], whole))[:4],
        jl.scan_features(G, X[:2], Y[:1])[:4],
    ),
}
wrong = jl.put(mesh, X[:, own], Y[:1, own] + 1)[:3]
said["bad labels"] = error(lambda: fitted(*wrong))
ones = np.ones((1, 101))
own_rows = {"weight": ones[:, own]} if index else {"offset": ones[:, own]}
said["other features"] = error(lambda: jl.put(mesh, X[: 3 + index, own], Y[:, own]))
said["other rows"] = error(lambda: jl.put(mesh, X[:, own], Y[:1, own], **own_rows))
said["no samples"] = error(lambda: jl.put(mesh, X[:, :index], Y[:, :index]))
print(json.dumps(said))
"""


def said_by_two(program):
    """Return what each of two joined processes prints at last."""
    try:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            port = listening.getsockname()[1]
    except OSError as error:
        pytest.skip(f"no port of this machine: {error}")
    words = [sys.executable, "-c", program]
    running = [
        subprocess.Popen([*words, str(i), str(port)], stdout=subprocess.PIPE, text=True)
        for i in range(2)
    ]
    lines = [process.communicate(timeout=300)[0] for process in running]
    return [json.loads(text.splitlines()[-1]) for text in lines]


@pytest.mark.nightly
def test_functions_of_the_host_take_the_data_of_their_process():
    said = said_by_two(OWN)
    for i in range(2):
        random = np.random.default_rng(i)
        X = random.normal(size=(3, 50)).astype(np.float32)
        Y = (random.random((4, 50)) < 0.5).astype(np.float32)
        expected = jl.fit_many(X, Y, l2=0.1).params.w
        np.testing.assert_allclose(said[i][0], expected, rtol=1e-5, atol=1e-6)
        assert said[i][1] in ([[0]], [[1]])
        assert said[i][2] == [[0], [0], [0]]


def test_samples_of_two_processes_give_what_they_give_in_one():
    """To rounding, for every function; and a fault is the same error in each."""
    both = said_by_two(SPREAD)
    same = "ShapeError: each process must give the same rows of its own samples, but "
    rows = [f"has {count} rows of X, 7 rows of y, float64" for count in (3, 4)]
    others = [
        f"has 4 rows of X, 1 rows of y, 1 rows of {name}, float64"
        for name in ("offset", "weight")
    ]
    empty = "X has rank 2, shape (4, 0): a size of 0 leaves nothing to compute with"
    for i, said in enumerate(both):
        assert "y must be in [0, 1] everywhere, but 39 of 124" in said["bad labels"]
        for name, words in [("other features", rows), ("other rows", others)]:
            of_both = [f"process {k} {words[k]}" for k in (i, 1 - i)]
            assert said.pop(name) == f"{same}{of_both[0]}, and {of_both[1]}"
        assert empty in said.pop("no samples")
    assert both[0] == both[1]
    said = both[0]
    del said["bad labels"]
    # Numbers of the order of 1, of sums of 101 terms and a few solves.
    assert {name: off for name, off in said.items() if not off < 1e-12} == {}

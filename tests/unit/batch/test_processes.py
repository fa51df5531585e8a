"""Data of its own in each of two processes, that JAX has joined."""

import json
import socket
import subprocess
import sys

import numpy as np
import pytest

import jlogreg as jl

PROGRAM = """
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


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@pytest.mark.nightly
def test_functions_of_the_host_take_the_data_of_their_process():
    try:
        port = free_port()
    except OSError as error:
        pytest.skip(f"no port of this machine: {error}")
    words = [sys.executable, "-c", PROGRAM]
    running = [
        subprocess.Popen([*words, str(i), str(port)], stdout=subprocess.PIPE, text=True)
        for i in range(2)
    ]
    said = [json.loads(process.communicate(timeout=120)[0]) for process in running]
    for i in range(2):
        random = np.random.default_rng(i)
        X = random.normal(size=(3, 50)).astype(np.float32)
        Y = (random.random((4, 50)) < 0.5).astype(np.float32)
        expected = jl.fit_many(X, Y, l2=0.1).params.w
        np.testing.assert_allclose(said[i][0], expected, rtol=1e-5, atol=1e-6)
        assert said[i][1] in ([[0]], [[1]])
        assert said[i][2] == [[0], [0], [0]]

"""What compiled passes send, and the model of their time."""

import jax
import numpy as np
import pytest

import jlogreg as jl
from experiments.processes.collectives import Collective, Machine, collectives, fitted

n, m = 5, 400
FUNCTIONS = {
    "gradient": (
        lambda X, y: jl.value_and_gradient(jl.init_params(n, X.dtype), X, y),
        n + 2,
    ),
    "hessian": (
        lambda X, y: jl.hessian(jl.init_params(n, X.dtype), X, y),
        (n + 1) ** 2,
    ),
}


@pytest.mark.skipif(len(jax.devices()) < 4, reason="takes four devices")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_pass_sends_its_sums_and_nothing_of_the_samples(name):
    function, numbers = FUNCTIONS[name]
    X = np.zeros((n, m))
    X, y, _, _ = jl.put(jl.mesh(samples=4), X, X[:1])
    found = collectives(jax.jit(function).lower(X, y).compile())
    assert {part.operation for part in found} == {"all-reduce"}
    sent = sum(part.size for part in found)
    # A scalar or two more, such as the number of samples.
    assert 8 * numbers <= sent <= 8 * (numbers + 2)


class Text:
    def as_text(self):
        return """
  %a = (f32[3,4]{1,0}, s8[2]{0}) all-gather(%x, %y), dimensions={0}
  %b = bf16[] all-reduce-start(%x)
  ROOT %c = f32[7]{0} add(%a, %b)
"""


def test_the_bytes_are_those_of_all_results():
    assert collectives(Text()) == [
        Collective("all-gather", "f32[3,4] s8[2]", 50),
        Collective("all-reduce", "bf16[]", 2),
    ]


def test_the_model_is_that_of_its_parts():
    machine = Machine(1e-9, 0.0, 1e-4, 1e9)
    assert machine.summing(8e9, 4) == 2.0
    assert machine.reducing(1e9, 4) == pytest.approx(4e-4 + 1.5)
    assert machine.reducing(1e9, 4, ring=True) == pytest.approx(6e-4 + 1.5)
    assert machine.reducing(1e9, 1) == 0
    assert machine.efficiency(8e9, 1e9, 4) == pytest.approx(2 / (2 + 4e-4 + 1.5))
    assert machine._replace(spread=0.1).summing(8e9, 4) > 2.3
    # What it was fitted to.
    reduced = [1e3, 1e6]
    rows = [
        {
            "processes": count,
            "local_s": 5e-6,
            "deviation_s": 5e-7,
            "reduce_s": [machine.reducing(size, count) for size in reduced],
            "reduce_bytes": reduced,
        }
        for count in (1, 2)
    ]
    work = {"features": 50, "samples": 100}
    expected = machine._replace(spread=0.1)
    assert fitted({"work": work, "ways": rows}) == pytest.approx(expected)

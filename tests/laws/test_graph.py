"""Each node of a computation graph: its text, its value, and its d-value.

The oracle reads only the text of the expressions. It evaluates them to 50 digits from
the nodes that they name. The rounding of each is kept as it was, so that a change of
one node moves the others as in exact arithmetic, at the place where the graph is.
"""

import collections
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp

import jlogreg as jl
from jlogreg.graph import computation_graph as module

mp.dps = 50

ONE = {
    "negative": lambda x: -x,
    "square": lambda x: x**2,
    "cube": lambda x: x**3,
    "from a constant": lambda x: -1.5 - x,
    "times a constant": lambda x: x * -0.375,
    "constant power": lambda x: 2 ** jnp.tanh(x),
    "inverse power": lambda x: (jnp.abs(x) + 0.5) ** -1.25,
    "exp": lambda x: jnp.exp(jnp.sin(x)),
    "log": lambda x: jnp.log(jnp.abs(x) + 0.5),
    "log1p": lambda x: jnp.log1p(jnp.cos(x) * 0.75),
    "root": lambda x: jnp.sqrt(x * x + 0.25),
    "bend": lambda x: jnp.where(x > 0.65625, x, 1.3125 - x),
    "logistic": jax.nn.sigmoid,
    "sigmoid": jl.sigmoid,
    "log_sigmoid": jl.log_sigmoid,
}


def soft_label(y):
    return jnp.where(y > 0.65625, 0.75, 0.25)


TWO = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / (y * y + 1),
    "power": lambda x, y: (jnp.abs(x) + 0.5) ** jnp.tanh(y),
    "larger": jnp.maximum,
    "smaller": jnp.minimum,
    "log_loss": lambda x, y: jl.log_loss(x, soft_label(y).astype(x.dtype)),
}
WRAPPERS = {
    "none": lambda f: f,
    "jit": jax.jit,
    "jit twice": lambda f: jax.jit(jax.jit(f)),
    "checkpoint": jax.checkpoint,
    "both": lambda f: jax.checkpoint(jax.jit(f)),
}

# Only an absolute error can be asked for where the argument decides the digits: of
# sin(1e6), say, and of the slope of tanh where it is flat.
FLAT = ("sin(", "cos(", "tanh(", "sigmoid(")

# Half of the 50 digits go into the step of a difference: the error of a slope.
FLOOR = 1e-30

OF_MPMATH = ("exp", "log", "log1p", "sin", "cos", "tanh", "sqrt", "isfinite")
READS = {name: getattr(mp, name) for name in (*OF_MPMATH, "nan", "inf")}
READS |= {"__builtins__": {}, "abs": abs, "max": max, "min": min, "bool": bool}
READS |= {
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "log_sigmoid": lambda x: -mp.log1p(mp.exp(-x)),
    "log_loss": lambda x, y: y * mp.log1p(mp.exp(-x)) + (1 - y) * mp.log1p(mp.exp(x)),
    "where": lambda which, then, otherwise: then if which else otherwise,
    "float32": lambda x: x,
    "float64": lambda x: x,
}


class Program(NamedTuple):
    """Steps, each of which reads two earlier values, and the values at the start.

    The wrapper of a step must make no difference.
    """

    steps: tuple
    starts: tuple

    def __call__(self, *values, wrapped=True):
        values = list(values)
        for name, first, second, wrapper in self.steps:
            read = [values[-1 - back % len(values)] for back in (first, second)]
            f = TWO.get(name) or ONE[name]
            f = WRAPPERS[wrapper](f) if wrapped else f
            values.append(f(*read) if name in TWO else f(read[0]))
        return values[-1]

    def plain(self, *values):
        return self(*values, wrapped=False)


@st.composite
def programs(draw):
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    few, many = st.integers(-12, 12), st.integers(-3 * 2**20, 3 * 2**20)
    numbers = st.one_of(few.map(lambda k: k / 4), many.map(lambda k: k / 2**20))
    starts = draw(st.lists(numbers.filter(bool), min_size=1, max_size=3))
    newest = st.sampled_from([0, 0, 0, 1, 2])  # how many values back
    any_one, names = st.integers(0, 7), st.sampled_from([*ONE, *TWO])
    step = st.tuples(names, newest, any_one, st.sampled_from(list(WRAPPERS)))
    steps = draw(st.lists(step, min_size=2, max_size=7))
    return Program(tuple(steps), tuple(dtype(start) for start in starts))


PLAIN = Program((("exp", 0, 0, "jit"), ("subtract", 0, 1, "none")), (0.75,))


class Replay:
    """The nodes of a graph, computed again from the text of their expressions."""

    def __init__(self, graph):
        self.nodes = graph.nodes
        self.eps = float(jnp.finfo(self.nodes[-1].value.dtype).eps)
        self.computed = [node for node in self.nodes if node.expression]
        self.code = {n.name: compile(n.expression, "", "eval") for n in self.computed}
        self.values = {node.name: number(node.value) for node in self.nodes}
        self.exact = {n.name: self.compute(n, self.values) for n in self.computed}
        self.sides = {
            (node.name, operand): self.sides_of(node, operand)
            for node in self.computed
            for operand in node.operands
            if not isinstance(self.values[operand], bool)
        }
        self.sizes = self.path_products()

    def compute(self, node, values):
        return eval(self.code[node.name], READS, values)

    def step(self, name):
        return mpmath.mpf(10) ** -20 * max(1, abs(self.values[name]))

    def sides_of(self, node, operand):
        """Return the slopes of a node in one operand, to the left and to the right."""
        h, middle = self.step(operand), self.exact[node.name]
        left, right = (
            self.compute(node, self.values | {operand: self.values[operand] + side})
            for side in (-h, h)
        )
        return (middle - left) / h, (right - middle) / h

    def is_bent(self):
        """Return whether a node has a kink or a jump here, where JAX takes one side."""
        return any(
            abs(left - right) > 1e-6 * (1 + abs(left))
            for left, right in self.sides.values()
        )

    def path_products(self):
        """Return for each node the sum over its paths to J of the product of slopes."""
        sizes = collections.defaultdict(float, {self.nodes[-1].name: 1.0})
        for node in reversed(self.computed):
            if node.derivative is not None:
                for operand in node.operands:
                    slopes = self.sides.get((node.name, operand), (0,))
                    size = max(float(is_flat(node)), *map(float, map(abs, slopes)))
                    sizes[operand] += sizes[node.name] * size
        return sizes

    def within(self, name):
        """Return the rounding error of a d-value: each slope is off by 16 eps."""
        return 16 * self.eps * (len(self.nodes) + 2) * self.sizes[name] + FLOOR

    def result_after(self, name, h):
        """Return J after h is added to a node, the later nodes computed again."""
        values, moved = self.values | {name: self.values[name] + h}, {name}
        for node in self.computed:
            if node.name != name and moved & {*node.operands}:
                new = self.compute(node, values)
                if not isinstance(new, bool):
                    new += self.values[node.name] - self.exact[node.name]
                values[node.name] = new
                moved.add(node.name)
        return values[self.nodes[-1].name]

    def assert_values(self):
        for node in self.computed:
            named = {*self.code[node.name].co_names} - {*READS}
            assert sorted(node.operands) == sorted(named)
            found, expected = self.values[node.name], self.exact[node.name]
            within = 4 * self.eps * max(abs(found), is_flat(node)) + 1e-37
            assert abs(found - expected) <= within, f"{node}: expected {expected}"

    def assert_slopes(self):
        for node in self.nodes:
            if node.derivative is None:
                assert isinstance(self.values[node.name], bool)
                continue
            h = self.step(node.name)
            left, right = (self.result_after(node.name, by) for by in (-h, h))
            expected = (right - left) / (2 * h)
            off = abs(number(node.derivative) - expected)
            assert off <= self.within(node.name), f"{node}: expected {expected}"


def number(value):
    return bool(value) if value.dtype == bool else mpmath.mpf(float(value))


def is_flat(node):
    return node.expression.startswith(FLAT)


def graph_of(f, program):
    names = "xyz"[: len(program.starts)]
    return jl.computation_graph(f, *program.starts, names=names)


def assert_like_grad(program, replay):
    starts = tuple(map(jnp.asarray, program.starts))
    assert replay.nodes[-1].value == program.plain(*starts)
    slopes = jax.grad(program.plain, tuple(range(len(starts))))(*starts)
    for node, start, slope in zip(replay.nodes, starts, slopes, strict=False):
        assert node.value == start
        assert node.derivative.dtype == slope.dtype
        assert abs(node.derivative - slope) <= 2 * float(replay.within(node.name))


def test_random_programs():
    """Text, values and d-values are right, and wrappers make no difference."""
    seen = collections.Counter()

    @given(programs())
    def law(program):
        graph = graph_of(program, program)
        assert str(graph) == str(graph_of(program.plain, program))
        replay = Replay(graph)
        assert_like_grad(program, replay)
        seen["programs"] += 1
        if replay.is_bent() or max(map(abs, replay.values.values())) > 1e6:
            return
        seen["read"] += 1
        replay.assert_values()
        replay.assert_slopes()
        for node in replay.nodes:
            size = 0 if node.derivative is None else abs(float(node.derivative))
            blunt = replay.within(node.name) > 1e-2 * size
            seen[replay.eps, blunt] += size > 1e3 * FLOOR

    law()
    # The first few programs are as simple as can be, and not like the others.
    assert seen["programs"] - seen["read"] < 5 + 0.05 * seen["programs"]
    # Where slopes cancel, or tanh is flat on all paths to J, the roundings of a float32
    # are as large as the d-value itself; those of a float64 only where it would be 0.
    single, double = (float(jnp.finfo(dtype).eps) for dtype in (np.float32, np.float64))
    assert min(seen[single, False], seen[double, False]) > seen["programs"]
    assert seen[single, True] < 10 + 0.05 * seen[single, False]
    assert seen[double, True] < 10 + 0.002 * seen[double, False]


@pytest.mark.parametrize("place", range(4))
def test_a_wrong_derivative_is_noticed(monkeypatch, place):
    def wrong(tape, backward=module.backward):
        slopes = backward(tape)
        return slopes | {place: slopes[place] * (1 + 1e-12)}

    monkeypatch.setattr(module, "backward", wrong)
    with pytest.raises(AssertionError, match="expected"):
        Replay(graph_of(PLAIN, PLAIN)).assert_slopes()


@pytest.mark.parametrize(("name", "other"), [("sub", "add"), ("exp", "log1p")])
def test_a_wrong_text_is_noticed(monkeypatch, name, other):
    def wrong(step, *rest, call_text=module.call_text):
        return call_text(other if step == name else step, *rest)

    monkeypatch.setattr(module, "call_text", wrong)
    with pytest.raises(AssertionError, match="expected"):
        Replay(graph_of(PLAIN, PLAIN)).assert_values()

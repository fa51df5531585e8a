"""Each node of a computation graph: its text, its value, and its d-value by nudging.

The oracle reads nothing but the text of the expressions. It computes them to 50 digits
from the nodes that they name. The rounding of each is kept as it was, so that what is
nudged moves the others as in exact arithmetic, at the place where the graph is.
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

from jlogreg import computation_graph, log_loss, log_sigmoid, sigmoid
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
    "sigmoid": sigmoid,
    "log_sigmoid": log_sigmoid,
}
TWO = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / (y * y + 1),
    "power": lambda x, y: (jnp.abs(x) + 0.5) ** jnp.tanh(y),
    "larger": jnp.maximum,
    "smaller": jnp.minimum,
    "log_loss": lambda x, y: log_loss(
        x, jnp.where(y > 0.65625, 0.75, 0.25).astype(x.dtype)
    ),
}
WRAPPERS = {
    "none": lambda f: f,
    "jit": jax.jit,
    "jit twice": lambda f: jax.jit(jax.jit(f)),
    "checkpoint": jax.checkpoint,
    "both": lambda f: jax.checkpoint(jax.jit(f)),
}

# What these functions read decides with how many digits: of sin(1e6), say, and of the
# slope of tanh where it is flat, an absolute error is all that one may ask for.
FLAT = ("sin(", "cos(", "tanh(", "sigmoid(")

# Half of 50 digits go into the step of a nudge, so of a slope this much is lost.
FLOOR = 1e-30

READS = {
    "__builtins__": {},
    "nan": mp.nan,
    "inf": mp.inf,
    "exp": mp.exp,
    "log": mp.log,
    "log1p": mp.log1p,
    "sin": mp.sin,
    "cos": mp.cos,
    "tanh": mp.tanh,
    "sqrt": mp.sqrt,
    "abs": abs,
    "max": max,
    "min": min,
    "isfinite": mp.isfinite,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "log_sigmoid": lambda x: -mp.log1p(mp.exp(-x)),
    "log_loss": lambda x, y: y * mp.log1p(mp.exp(-x)) + (1 - y) * mp.log1p(mp.exp(x)),
    "where": lambda which, then, otherwise: then if which else otherwise,
    "float32": lambda x: x,
    "float64": lambda x: x,
    "bool": bool,
}


class Program(NamedTuple):
    """Hold steps, each of which reads two of the values before it, and where to start.

    How a step is wrapped must make no difference.
    """

    steps: tuple
    starts: tuple

    def __call__(self, *values):
        return self.run(values, wrapped=True)

    def plain(self, *values):
        return self.run(values, wrapped=False)

    def run(self, values, wrapped):
        values = list(values)
        for name, first, second, wrapper in self.steps:
            read = [values[-1 - back % len(values)] for back in (first, second)]
            f = TWO.get(name) or ONE[name]
            f = WRAPPERS[wrapper](f) if wrapped else f
            values.append(f(*read) if name in TWO else f(read[0]))
        return values[-1]


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


class Replay:
    """Compute the nodes of a graph anew from the text of their expressions."""

    def __init__(self, found):
        self.nodes = found.nodes
        self.eps = float(jnp.finfo(self.nodes[-1].value.dtype).eps)
        self.computed = [node for node in self.nodes if node.expression]
        self.code = {
            node.name: compile(node.expression, node.name, "eval")
            for node in self.computed
        }
        self.values = {node.name: number(node.value) for node in self.nodes}
        self.exact = {
            node.name: self.compute(node, self.values) for node in self.computed
        }
        self.sides = {
            (node.name, operand): self.nudge_alone(node, operand)
            for node in self.computed
            for operand in node.operands
            if not isinstance(self.values[operand], bool)
        }
        self.sizes = self.path_products()

    def compute(self, node, values):
        return eval(self.code[node.name], READS, values)

    def step(self, name):
        return mpmath.mpf(10) ** -20 * max(1, abs(self.values[name]))

    def nudge_alone(self, node, operand):
        """Return the slopes of a node in an operand alone, to the left and right."""
        h, middle = self.step(operand), self.exact[node.name]
        left, right = (
            self.compute(node, self.values | {operand: self.values[operand] + side})
            for side in (-h, h)
        )
        return (middle - left) / h, (right - middle) / h

    def is_bent(self):
        """Return whether a node bends or jumps here: JAX takes the slope of a side."""
        return any(
            abs(left - right) > 1e-6 * (1 + abs(left))
            for left, right in self.sides.values()
        )

    def path_products(self):
        """Return for each node the sum, over its paths to J, of the slopes' sizes."""
        sizes = collections.defaultdict(float, {self.nodes[-1].name: 1.0})
        for node in reversed(self.computed):
            if node.derivative is not None:
                for operand in node.operands:
                    slopes = self.sides.get((node.name, operand), (0,))
                    size = max(float(is_flat(node)), *map(float, map(abs, slopes)))
                    sizes[operand] += sizes[node.name] * size
        return sizes

    def within(self, name):
        """Return how far roundings carry a d-value: each slope is off by 16 eps."""
        return 16 * self.eps * (len(self.nodes) + 2) * self.sizes[name] + FLOOR

    def nudged(self, name, h):
        """Return J after a node is nudged and all that follows is computed anew."""
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
            found, due = self.values[node.name], self.exact[node.name]
            within = 4 * self.eps * max(abs(found), is_flat(node)) + 1e-37
            assert abs(found - due) <= within, f"{node}: due {due}"

    def assert_slopes(self):
        for node in self.nodes:
            if node.derivative is None:
                assert isinstance(self.values[node.name], bool)
                continue
            h = self.step(node.name)
            due = (self.nudged(node.name, h) - self.nudged(node.name, -h)) / (2 * h)
            off = abs(number(node.derivative) - due)
            assert off <= self.within(node.name), f"{node}: due {due}"


def number(value):
    return bool(value) if value.dtype == bool else mpmath.mpf(float(value))


def is_flat(node):
    return node.expression.startswith(FLAT)


def graph_of(f, program):
    return computation_graph(f, *program.starts, names="xyz"[: len(program.starts)])


def test_each_text_is_right_and_each_d_value_is_the_nudge():
    seen = collections.Counter()

    @given(programs())
    def law(program):
        replay = Replay(graph_of(program, program))
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
    # The first few are as simple as can be, and not like the others.
    assert seen["programs"] - seen["read"] < 5 + 0.05 * seen["programs"]
    # Where slopes cancel, or tanh is flat on all ways to J, the roundings of a float32
    # are as large as the d-value itself; those of a float64 only where it would be 0.
    (single, single_blunt), (double, double_blunt) = (
        [seen[float(jnp.finfo(dtype).eps), blunt] for blunt in (False, True)]
        for dtype in (jnp.float32, jnp.float64)
    )
    assert min(single, double) > seen["programs"]
    assert single_blunt < 10 + 0.05 * single
    assert double_blunt < 10 + 0.002 * double


@given(programs())
def test_the_result_is_that_of_the_function_and_the_slopes_are_those_of_grad(program):
    found = graph_of(program.plain, program)
    starts = tuple(map(jnp.asarray, program.starts))
    assert found.nodes[-1].value == program.plain(*starts)
    due = jax.grad(program.plain, tuple(range(len(starts))))(*starts)
    replay = Replay(found)
    for node, start, slope in zip(found.nodes, starts, due, strict=False):
        assert node.value == start
        assert node.derivative.dtype == slope.dtype
        assert abs(node.derivative - slope) <= 2 * float(replay.within(node.name))


@given(programs())
def test_what_is_wrapped_around_the_steps_makes_no_difference(program):
    assert str(graph_of(program, program)) == str(graph_of(program.plain, program))


def test_planted_faults_are_noticed(monkeypatch):
    """Or the laws above could be empty: each slope, each text."""
    program = Program((("exp", 0, 0, "jit"), ("subtract", 0, 1, "none")), (0.75,))
    Replay(graph_of(program, program)).assert_slopes()
    backward, call_text = module.backward, module.call_text

    def off_at(place, factor):
        return lambda tape: {
            at: slope * (factor if at == place else 1)
            for at, slope in backward(tape).items()
        }

    for place in range(4):
        monkeypatch.setattr(module, "backward", off_at(place, 1 + 1e-12))
        with pytest.raises(AssertionError, match="due"):
            Replay(graph_of(program, program)).assert_slopes()
    monkeypatch.setattr(module, "backward", backward)
    wrong = {"sub": "add", "exp": "log1p"}
    for name, other in wrong.items():
        monkeypatch.setattr(
            module,
            "call_text",
            lambda step, *rest, name=name, other=other: call_text(
                other if step == name else step, *rest
            ),
        )
        with pytest.raises(AssertionError, match="due"):
            Replay(graph_of(program, program)).assert_values()

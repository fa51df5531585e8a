"""Each node of a computation graph: its text, its value, and its d-value.

The oracle reads only the text of the expressions. It evaluates each to 50 digits from
the nodes that it names, and there takes its slopes; the chain rule does the rest.
"""

import collections
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf

import jlogreg as jl

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


class Replay(NamedTuple):
    """What the text of a graph says of its nodes, by name.

    slopes: of the result, by the chain rule; within: the error of a d-value by
    rounding. is_smooth: whether no node has a kink or a jump here, where JAX takes one
    side, and none is so large that its digits are lost in the next.
    """

    slopes: dict
    within: dict
    is_smooth: bool


def number(value):
    return bool(value) if value.dtype == bool else mpf(float(value))


def read(node, values):
    """Return the exact value of an expression, and its slopes on both sides."""
    code = compile(node.expression, "", "eval")
    assert sorted(node.operands) == sorted({*code.co_names} - {*READS})
    middle, slopes = eval(code, READS, values), {}
    for operand in node.operands:
        at = values[operand]
        if node.derivative is not None and not isinstance(at, bool):
            h = mpf(10) ** -20 * max(1, abs(at))
            left, right = (
                eval(code, READS, values | {operand: at + side}) for side in (-h, h)
            )
            slopes[operand] = (middle - left) / h, (right - middle) / h
    return middle, slopes


def replay(graph):
    """Read a graph, and check the value of each node by those of its operands."""
    values = {node.name: number(node.value) for node in graph.nodes}
    eps = float(jnp.finfo(graph.nodes[-1].value.dtype).eps)
    slopes, sizes = (collections.defaultdict(mpf) for _ in range(2))
    slopes[graph.result] = sizes[graph.result] = mpf(1)
    is_smooth = max(map(abs, values.values())) <= 1e6
    for node in reversed(graph.nodes):
        assert (node.derivative is None) == isinstance(values[node.name], bool)
        if not node.expression:
            continue
        value, sides = read(node, values)
        flat = node.expression.startswith(FLAT)
        few = 4 * eps * max(abs(value), flat) + 1e-37
        assert not is_smooth or abs(values[node.name] - value) <= few, node
        for operand, (left, right) in sides.items():
            slope = (left + right) / 2
            slopes[operand] += slopes[node.name] * slope
            sizes[operand] += sizes[node.name] * max(abs(slope), flat)
            is_smooth &= abs(left - right) <= 1e-6 * (1 + abs(left))
    few = 16 * eps * (len(values) + 2)
    return Replay(
        slopes, {name: few * sizes[name] + FLOOR for name in values}, is_smooth
    )


def graph_of(f, program):
    names = "xyz"[: len(program.starts)]
    return jl.computation_graph(f, *program.starts, names=names)


def assert_like_grad(program, graph, within):
    starts = tuple(map(jnp.asarray, program.starts))
    assert graph.nodes[-1].value == program.plain(*starts)
    slopes = jax.grad(program.plain, tuple(range(len(starts))))(*starts)
    for node, start, slope in zip(graph.nodes, starts, slopes, strict=False):
        assert node.value == start
        assert node.derivative.dtype == slope.dtype
        assert abs(node.derivative - slope) <= 2 * float(within[node.name])


def test_random_programs():
    """Text, values and d-values are right, and wrappers make no difference."""
    seen = collections.Counter()

    @given(programs())
    def law(program):
        graph = graph_of(program, program)
        assert str(graph) == str(graph_of(program.plain, program))
        slopes, within, is_smooth = replay(graph)
        assert_like_grad(program, graph, within)
        seen["programs"] += 1
        seen["smooth"] += is_smooth
        for node in graph.nodes:
            if is_smooth and node.derivative is not None:
                off = abs(number(node.derivative) - slopes[node.name])
                assert off <= within[node.name], f"{node}: {slopes[node.name]}"
                seen["sharp"] += within[node.name] < 1e-2 * abs(slopes[node.name])

    law()
    # The first few programs are as simple as can be, and not like the others.
    assert seen["programs"] - seen["smooth"] < 5 + 0.05 * seen["programs"]
    # Most d-values are much larger than their roundings.
    assert seen["sharp"] > 3 * seen["programs"]

"""The tape of a function: the steps of its evaluation, and reverse differentiation.

The steps are the equations of the function's jaxpr. Wrappers of equations (jit,
checkpoint) are removed. A function with a derivative rule of its own (custom_jvp,
custom_vjp) is entered, too: values inside it have their derivatives by the chain rule,
and its arguments have theirs by the function's own rule, as in `jax.grad`. A function
that works on the bits of numbers is a single step, since its inside has no derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jaxtyping import Array

__all__ = ["Step", "Tape", "backward", "record"]

# Steps inside these run many times or not at all, and so have no single value.
_REFUSED = {"while": "a loop", "scan": "a loop", "cond": "a branch"}
_WRAPPERS = ("jit", "pjit", "closed_call", "core_call", "checkpoint", "remat", "remat2")
_OWN_RULE = ("custom_jvp_call", "custom_vjp_call")
_BITS = ("bitcast_convert_type", "reduce_precision")


# A place on the tape, or a constant.
Operand: TypeAlias = int | Array


class Step(NamedTuple):
    """One step: a primitive, its operands, and the places that it reads and writes.

    reads are the places among the operands, each once; function takes their values
    and returns the values at `writes`. inside are the steps of a function with a
    derivative rule of its own.
    """

    name: str
    params: Mapping[str, Any]
    operands: tuple[Operand, ...]
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    function: Callable[..., Sequence[Any]]
    inside: tuple[Step, ...] = ()


class Tape:
    """The values of a computation, by place, and the steps that computed them.

    labels are the names that the function gave by `jax.ad_checkpoint.checkpoint_name`.
    copies maps a place to the one that it repeats: the arguments of a function with a
    derivative rule of its own, as seen from inside.
    """

    def __init__(self) -> None:
        """Make an empty tape."""
        self.values: list[Any] = []
        self.labels: dict[int, str] = {}
        self.copies: dict[int, int] = {}
        self.constants: dict[tuple[Any, ...], int] = {}
        self.steps: tuple[Step, ...] = ()
        self.result: Operand = -1

    def put(self, value: Any) -> int:
        """Store a value, and return its place."""
        self.values.append(value)
        return len(self.values) - 1

    def constant(self, constant: Any) -> Operand:
        """Return the place of a captured array, or a captured number itself.

        Equal arrays have one place: JAX may capture one array several times.
        """
        value = jnp.asarray(constant)
        if not value.ndim:
            return value
        keys = jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
        content = np.asarray(jax.random.key_data(value) if keys else value).tobytes()
        identity = value.dtype, value.shape, content
        if identity not in self.constants:
            self.constants[identity] = self.put(value)
        return self.constants[identity]

    def copy(self, operand: Operand) -> Operand:
        """Return a new place with the value of another, or the constant itself."""
        if not isinstance(operand, int):
            return operand
        place = self.put(self.values[operand])
        self.copies[place] = self.copies.get(operand, operand)
        return place


def record(closed: Any, leaves: Sequence[Any]) -> Tape:
    """Return the tape of a closed jaxpr; its arguments have the first places.

    Raises:
        ValueError: if the function contains a loop or a branch.
    """
    tape = Tape()
    arguments = [tape.put(jnp.asarray(leaf)) for leaf in leaves]
    tape.steps, (tape.result,) = _enter(tape, closed, arguments)
    return tape


def backward(tape: Tape) -> dict[int, Any]:
    """Return the derivative of the result with respect to each value, by place.

    Values that the result does not depend on are omitted.
    """
    if not isinstance(tape.result, int):
        return {}
    derivatives = {tape.result: jnp.ones_like(tape.values[tape.result])}
    _go_back(tape, tape.steps, derivatives)
    return derivatives


def _go_back(tape: Tape, steps: Sequence[Step], derivatives: dict[int, Any]) -> None:
    """Add the contributions of each step to the derivatives, the last step first."""
    for step in reversed(steps):
        if not any(place in derivatives for place in step.writes):
            continue
        results, pull = jax.vjp(step.function, *(tape.values[i] for i in step.reads))
        pairs = zip(step.writes, results, strict=True)
        given = [derivatives.get(place, _nothing(value)) for place, value in pairs]
        # A result may be used inside as well. The derivatives of the step itself were
        # taken above, before the inside adds to them.
        _go_back(tape, step.inside, derivatives)
        for place, part in zip(step.reads, pull(given), strict=True):
            if part.dtype != jax.dtypes.float0:
                before = derivatives.get(place)
                derivatives[place] = part if before is None else before + part


def _nothing(value: Any) -> Any:
    """Return the zero derivative of a result that nothing depends on."""
    if jnp.issubdtype(value.dtype, jnp.inexact):
        return jnp.zeros_like(value)
    return np.zeros(value.shape, jax.dtypes.float0)


def _enter(
    tape: Tape, closed: Any, arguments: Sequence[Operand]
) -> tuple[tuple[Step, ...], list[Operand]]:
    """Evaluate a closed jaxpr; return its steps and the places of its results."""
    jaxpr = closed.jaxpr
    held: dict[Any, Operand] = {}
    for variable, constant in zip(jaxpr.constvars, closed.consts, strict=True):
        held[variable] = tape.constant(constant)
    held.update(zip(jaxpr.invars, arguments, strict=True))

    def find(atom: Any) -> Operand:
        if isinstance(atom, core.Literal):
            kind: Any = atom.aval
            return jnp.asarray(atom.val, kind.dtype)
        return held[atom]

    steps: list[Step] = []
    for equation in jaxpr.eqns:
        operands = [find(atom) for atom in equation.invars]
        more, results = _take(tape, jaxpr, equation, operands)
        steps += more
        held.update(zip(equation.outvars, results, strict=True))
    return tuple(steps), [find(atom) for atom in jaxpr.outvars]


def _take(
    tape: Tape, jaxpr: Any, equation: Any, operands: Sequence[Operand]
) -> tuple[Sequence[Step], Sequence[Operand]]:
    """Evaluate an equation; return its steps and the places of its results."""
    name = equation.primitive.name
    if name in _REFUSED:
        raise ValueError(
            f"the function contains {_REFUSED[name]} ({name}), which has no graph: "
            "what it computes has no one value. Write the rounds of a loop out, or "
            "take the side of a branch that is meant"
        )
    if name == "name":
        if isinstance(operands[0], int):
            tape.labels.setdefault(operands[0], equation.params["name"])
        return (), operands
    if name in _WRAPPERS:
        return _enter(tape, _closed(equation.params["jaxpr"]), operands)
    reads, function = _alone(jaxpr, equation, operands)
    values = [*map(jnp.asarray, function(*(tape.values[at] for at in reads)))]
    if not reads:
        return (), values  # a function of constants is a constant
    inside: tuple[Step, ...] = ()
    writes = [tape.put(value) for value in values]
    if name in _OWN_RULE and _takes_bits(equation.params["call_jaxpr"]):
        # Named for the function: "log_loss at losses.py:1".
        whole = equation.params["call_jaxpr"].jaxpr
        name = str(whole.debug_info.func_src_info).partition(" ")[0]
    elif name in _OWN_RULE:
        # Captured arrays come first; the function's own rule does not cover them.
        held = equation.params["num_consts"]
        arguments = [*operands[:held], *map(tape.copy, operands[held:])]
        inside, results = _enter(tape, equation.params["call_jaxpr"], arguments)
        writes = _same(inside, results, writes)
    step = Step(
        name, equation.params, tuple(operands), reads, tuple(writes), function, inside
    )
    return (step,), writes


def _closed(jaxpr: Any) -> Any:
    return core.ClosedJaxpr(jaxpr, ()) if isinstance(jaxpr, core.Jaxpr) else jaxpr


def _takes_bits(closed: Any) -> bool:
    return any(
        equation.primitive.name in _BITS
        or (
            equation.primitive.name in _WRAPPERS
            and _takes_bits(_closed(equation.params["jaxpr"]))
        )
        for equation in closed.jaxpr.eqns
    )


def _same(
    inside: Sequence[Step], results: Sequence[Operand], writes: Sequence[int]
) -> list[int]:
    """Return the place of each result: that of the step inside, if one computed it."""
    theirs = [place for step in inside for place in step.writes]
    places: list[int] = []
    for result, place in zip(results, writes, strict=True):
        if isinstance(result, int) and result in theirs and result not in places:
            place = result
        places.append(place)
    return places


def _alone(
    jaxpr: Any, equation: Any, operands: Sequence[Operand]
) -> tuple[tuple[int, ...], Callable[..., Sequence[Any]]]:
    """Return the places that an equation reads, and the function of their values."""
    variables = {
        atom: operand
        for atom, operand in zip(equation.invars, operands, strict=True)
        if not isinstance(atom, core.Literal)
    }
    alone = jaxpr.replace(
        constvars=(), invars=[*variables], outvars=equation.outvars, eqns=[equation]
    )
    whole = core.jaxpr_as_fun(core.ClosedJaxpr(alone, ()))
    reads = tuple(dict.fromkeys(o for o in variables.values() if isinstance(o, int)))

    def function(*values: Any) -> Sequence[Any]:
        at = dict(zip(reads, values, strict=True))
        given = (at[o] if isinstance(o, int) else o for o in variables.values())
        return whole(*given)

    return reads, function

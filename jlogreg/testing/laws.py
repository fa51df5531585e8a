"""Laws of functions: gradient, convexity, independence under vmap, no second trace.

A law is a plain function. It returns nothing, or raises an AssertionError that says
where f breaks the law, by how much, and how much was allowed. It takes f as you call
it: compile f once, outside, if it is to be called often. The allowance for rounding is
computed at the point itself, from the change of f when the point is rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jlogreg.base.arrays import canonical_dtype
from jlogreg.testing.assertions import assert_close, leaves_of, name_of
from jlogreg.testing.finite_differences import (
    ROUNDINGS,
    Leaves,
    complex_step,
    difference,
    rounding,
)

__all__ = ["check_convex", "check_gradient", "check_no_retrace", "check_vmap"]


def check_gradient(
    f: Callable[[Any], Any],
    point: Any,
    gradient: Callable[[Any], Any] | None = None,
    *,
    formula: Callable[[Any], Any] | None = None,
    within: Any = None,
) -> None:
    """Raise an AssertionError unless a gradient is the gradient of f.

    It is compared with `jax.grad(f)`, and with derivatives that use no derivative rule.
    With `formula` this is a complex step, f'(x) = Im f(x + ih) / h, which is as exact
    as the value itself. Without it these are central differences, which are accurate to
    at most nine digits in float64 and three in float32. They evaluate f up to 0.003
    from an entry, or 0.2 in float32, times its size if that is above 1. One kink in
    this interval is allowed; oscillations are not.

    Shapes: point is an array or a tree of arrays; the gradient is like it.

    Args:
        f: a function of the point that returns a scalar.
        point: the point at which gradients are compared, in float32 or float64.
        gradient: the gradient to test, a function of the point; by default
            `jax.grad(f)`.
        formula: f written for NumPy arrays of complex numbers, without abs, max or
            comparison of values that depend on the point. It may be f itself.
        within: the allowed difference of each entry, a tree like the point or a number.
            By default 64 roundings of the largest entry and of the entries of the
            point.

    Raises:
        AssertionError: if an entry differs by more, or is NaN.
        TypeError: if formula returns a real number.

    Examples:
        >>> import numpy as np
        >>> import jax.numpy as jnp
        >>> from jlogreg.testing import check_gradient
        >>> x = np.float32([[1.0, 2.0]])
        >>> f = lambda x: jnp.sum(x**3)
        >>> check_gradient(f, x, lambda x: 3 * x**2, formula=lambda x: np.sum(x**3))
        >>> check_gradient(f, x, lambda x: 3.001 * x**2)
        Traceback (most recent call last):
            ...
        AssertionError: the gradient, against jax.grad, at (0, 1): found 12.00...
    """
    slope = gradient or jax.grad(f)
    result = leaves_of(slope(point))
    known = within is not None
    near = _like(point, within) if known else rounding(slope, point, f(point))
    if gradient is not None:
        _compare(result, leaves_of(jax.grad(f)(point)), near, "jax.grad")
    if formula is not None:
        _compare(result, complex_step(formula, point), near, "a complex step")
    else:
        expected, lost = difference(f, point)
        near = {path: near[path] + lost[path] for path in near}
        _compare(result, expected, near, "central differences")


def check_convex(
    f: Callable[[Any], Any],
    one: Any,
    other: Any,
    *,
    at: Sequence[float] = (0.25, 0.5, 0.75),
    within: Callable[[Any], Any] | None = None,
) -> None:
    """Raise an AssertionError if f lies above its chord between two points.

    The law is f((1 - t) p + t q) <= (1 - t) f(p) + t f(q) for each t of `at`.

    Shapes: the points are arrays, or trees of arrays, of equal shapes.

    Args:
        f: a function of a point that returns a scalar.
        one: a point, p.
        other: another point, q.
        at: the fractions t of the way from p to q at which f is evaluated.
        within: the allowed error of f at a point, a function of the point. By default
            64 roundings of the value and of the entries of the point.

    Raises:
        AssertionError: if f lies above the chord, or is NaN. A chord that ends where f
            is infinite is not checked.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg.testing import check_convex
        >>> p, q = jnp.array([[-1.0]]), jnp.array([[3.0]])
        >>> check_convex(lambda x: jnp.sum(x**2), p, q)
        >>> check_convex(lambda x: jnp.sum(x**3), p - 2, q)
        Traceback (most recent call last):
            ...
        AssertionError: <lambda> is not convex: 0.25 of the way it is -3.375, above ...
    """
    off = within or (lambda point: sum(map(np.sum, rounding(f, point).values())))
    ends = [(float(f(point)), float(off(point))) for point in (one, other)]
    for t in at:
        middle = jax.tree.map(lambda p, q, t=t: (1 - t) * p + t * q, one, other)
        value = float(f(middle))
        chord, allowed = ((1 - t) * p + t * q for p, q in zip(*ends, strict=True))
        allowed += float(off(middle))
        if not (value <= chord + allowed or chord == np.inf):
            raise AssertionError(
                f"{name_of(f)} is not convex: {t} of the way it is {value!r}, above "
                f"the chord, {chord!r}, by {value - chord:.3g}; {allowed:.3g} allowed"
            )


def check_vmap(
    f: Callable[..., Any],
    *arguments: Any,
    in_axes: int | Sequence[int | None] = 0,
    roundings: float = ROUNDINGS,
) -> None:
    """Raise an AssertionError unless vmap returns f of each entry of the batch.

    Integers, booleans, infinities and NaN must be equal; other numbers may differ by
    some roundings of the largest entry of their array.

    Shapes: under `jax.vmap` arguments and results have a leading axis, the batch.

    Args:
        f: a function of the arguments of one entry; arrays, or trees of arrays.
        arguments: the arguments of the whole batch.
        in_axes: as for `jax.vmap`, one for each argument; None if all entries share it.
        roundings: the number of roundings allowed; more for an iteration.

    Raises:
        AssertionError: if an entry differs from the call of f on it alone.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import log_loss
        >>> from jlogreg.testing import check_vmap
        >>> z, y = jnp.ones((4, 1, 3)), jnp.zeros((1, 3))
        >>> check_vmap(log_loss, z, y, in_axes=(0, None))
    """
    axes = [in_axes] * len(arguments) if isinstance(in_axes, int) else list(in_axes)
    many = leaves_of(jax.vmap(f, tuple(axes))(*arguments))
    pairs = list(zip(arguments, axes, strict=True))
    for lane in range(max(len(leaf) for leaf in many.values())):
        expected = leaves_of(f(*(_lane(*pair, lane) for pair in pairs)))
        if expected.keys() != many.keys():
            raise AssertionError(f"vmap returns {[*many]}, f {[*expected]}")
        for path, leaf in expected.items():
            what = f"lane {lane} of {name_of(f)}{path} under vmap, "
            result = many[path][lane]
            # Under vmap a Python number that f returns becomes an array of JAX.
            dtype = canonical_dtype(leaf.dtype)
            if result.dtype != dtype:
                raise AssertionError(f"{what}{result.dtype} not {dtype}")
            _assert_same(result, leaf, roundings, what)


def check_no_retrace(f: Callable[..., Any], arguments: Any, *others: Any) -> None:
    """Raise an AssertionError if f is traced again for other numbers.

    f is called with the arguments, and then with each of the others. The later calls
    may trace nothing: neither f, nor a function that it compiles inside. They must
    differ in numbers only, not in shapes, dtypes, or in which arguments are Python
    numbers; and f must not have been called with them before. Jit f as you use it.

    Shapes: any, but the same in all calls.

    Args:
        f: the function to call.
        arguments: a tuple of arguments, or a dict by name.
        others: the same with other numbers.

    Raises:
        AssertionError: if a function was traced again; the message names it.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from jlogreg.testing import check_no_retrace
        >>> def scaled(x, size):
        ...     return size * x
        >>> x = jnp.ones((1, 2))
        >>> check_no_retrace(jax.jit(scaled), (x, 0.5), (x, 0.25))
        >>> static = jax.jit(scaled, static_argnames="size")
        >>> check_no_retrace(static, (x, 0.5), (x, 0.25))
        Traceback (most recent call last):
            ...
        AssertionError: other numbers, call 1, trace scaled again. Is a number ...
    """
    _call(f, arguments)
    for call, other in enumerate(others, 1):
        traced = _traced(f, other)
        if traced:
            raise AssertionError(
                f"other numbers, call {call}, trace {', '.join(traced)} again. Is a "
                "number static, or a Python number once and an array then, or is a new "
                "function compiled in each call?"
            )


def _compare(result: Leaves, expected: Leaves, within: Leaves, oracle: str) -> None:
    if result.keys() != expected.keys():
        raise AssertionError(f"the gradient has {[*result]}, expected {[*expected]}")
    for path, leaf in expected.items():
        what = f"the gradient{path}, against {oracle}, "
        assert_close(result[path], leaf, within[path], what)


def _like(point: Any, within: Any) -> Leaves:
    """Return the allowed differences as arrays like those of the point."""
    given, leaves = leaves_of(within), leaves_of(point)
    one = given if given.keys() == leaves.keys() else dict.fromkeys(leaves, within)
    return {path: np.asarray(leaf, float) for path, leaf in one.items()}


def _call(f: Callable[..., Any], arguments: Any) -> Any:
    return f(**arguments) if isinstance(arguments, dict) else f(*arguments)


def _traced(f: Callable[..., Any], arguments: Any) -> list[str]:
    """Return the names of the functions that a call traces."""
    names: list[str] = []

    def listen(event: str, duration_secs: float, **about: Any) -> None:
        # Under grad or vmap of a compiled function JAX reports only the lowering.
        if event.endswith(("/jaxpr_trace_duration", "/jaxpr_to_mlir_module_duration")):
            name = str(about.get("fun_name", "a function"))
            names.append(name.removeprefix("jit(").removesuffix(")"))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        _call(f, arguments)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    return list(dict.fromkeys(names))


def _lane(argument: Any, axis: int | None, lane: int) -> Any:
    if axis is None:
        return argument

    def alone(leaf: Any) -> Any:
        return jnp.asarray(np.asarray(leaf).take(lane, axis))

    return jax.tree.map(alone, argument)


def _assert_same(
    result: np.ndarray, expected: np.ndarray, roundings: float, what: str
) -> None:
    within = 0.0
    if np.issubdtype(expected.dtype, np.inexact):
        finite = np.isfinite(expected)
        size = np.abs(np.where(finite, expected, 0)).max(initial=0.0)
        within = roundings * np.finfo(expected.dtype).eps * size
    same = (result == expected) | ((result != result) & (expected != expected))
    assert_close(np.where(same, 0, result), np.where(same, 0, expected), within, what)

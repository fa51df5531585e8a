"""The decisions of a line search in plain Python, and all cases of some choices."""

from __future__ import annotations

import itertools
import math

import jax
import numpy as np

EPS = float(np.finfo(float).eps)
TOL = 2.0**-20
INF, NAN = math.inf, math.nan


def every(**choices):
    """Return all combinations of some choices: as dictionaries, and as arrays."""
    rows = [
        dict(zip(choices, row, strict=True))
        for row in itertools.product(*choices.values())
    ]
    return rows, {key: np.array([row[key] for row in rows]) for key in choices}


def falls_enough(row, promised):
    """Say whether a trial is lower by enough."""
    value, found = row["value"], row["found"]
    if found <= value - 1e-4 * promised:
        return True
    near = promised <= math.sqrt(EPS) * abs(value)
    return near and row["slope"] <= 0.5 * promised + EPS * abs(value)


def shorter_step(row, promised):
    """Return the part of a step at the minimum of the parabola, within bounds."""
    rise = row["found"] - row["value"]
    part = promised / (2 * (rise + promised)) if rise + promised else NAN
    return min(max(part, 0.1), 0.5) if math.isfinite(part) else 0.1


def assert_every_case(function, choices, expected):
    rows, cases = every(**choices)
    found = jax.vmap(function)(cases)
    wanted = [expected(row) for row in rows]
    assert {key for row in wanted for key in row} == set(found)
    for key, values in found.items():
        same = np.isclose(
            np.asarray(values, float),
            np.array([row[key] for row in wanted], float),
            rtol=4 * EPS,
            atol=0,
            equal_nan=True,
        )
        wrong = np.flatnonzero(~same)
        assert not wrong.size, (key, rows[wrong[0]], values[wrong[0]])
    return wanted

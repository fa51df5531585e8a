"""The results of many fits, as far as they are known, and what a user sees of them."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool

from jlogreg.base.errors import ShapeError
from jlogreg.batch.chunks import BatchSolver
from jlogreg.data.devices.deal import Deal
from jlogreg.fitting.fit import Fit

__all__ = ["Progress", "Results"]


class Progress(NamedTuple):
    """The progress of a call; the arrays are its own, and go on changing.

    Shapes: finished (K, 1); fit with a leading axis K, whose rows are valid where
    finished. per_second is the number of problems that this call finishes in a second;
    arguments a digest of those of `fit_many`, by which it knows its own progress.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit_many
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> seen = []
        >>> found = fit_many(X, jnp.concatenate([y, 1 - y]), progress=seen.append)
        >>> seen[-1].finished.tolist()
        [[True], [True]]
    """

    finished: Bool[Any, "K 1"]
    fit: Fit
    per_second: float
    arguments: str = ""


class Results:
    """The fits of all the problems, as far as they are finished."""

    def __init__(
        self, batch: BatchSolver, resume: Progress | None = None, arguments: str = ""
    ) -> None:
        """Begin with nothing, or with a copy of the results of an earlier call."""
        self.fit, self.finished = batch.empty_fit(), np.zeros(batch.n_problems, bool)
        if resume is not None:
            if not isinstance(resume, Progress):
                raise TypeError(
                    "resume must be the last Progress of an earlier call, but is a "
                    f"{type(resume).__name__}"
                )
            expected = (batch.n_problems, 1)
            if np.shape(resume.finished) != expected:
                raise ShapeError(
                    f"resume is of other problems: its finished has shape "
                    f"{np.shape(resume.finished)}, but must have {expected}"
                )
            if resume.arguments != arguments:
                raise ValueError(
                    "resume is of a call with other arguments: pass the same data and "
                    "settings, or leave resume out"
                )
            self.fit, finished = jax.tree.map(np.array, (resume.fit, resume.finished))
            self.finished = finished[:, 0]
        self.arguments = arguments
        self.before, self.start = int(self.finished.sum()), time.perf_counter()
        self.joined = self.before

    def store(self, numbers: np.ndarray, fit: Fit) -> None:
        """Store the fits of some problems, by their numbers; -1 stands for none."""
        real = numbers >= 0

        def write(table: np.ndarray, rows: Array) -> None:
            table[numbers[real]] = np.asarray(rows)[real]

        jax.tree.map(write, self.fit, fit)
        self.finished[numbers[real]] = True

    def join(self, deal: Deal) -> None:
        """Take the results that other processes have, if any has new ones."""
        count = int(self.finished.sum())
        if deal.any(count > self.joined):
            tables = deal.join((self.fit, self.finished), len(self.finished))
            self.fit, self.finished = jax.tree.map(np.array, tables)
            self.joined = int(self.finished.sum())

    def progress(self) -> Progress:
        """Return the progress of the call."""
        done = int(self.finished.sum()) - self.before
        seconds = time.perf_counter() - self.start
        rate = done / seconds
        return Progress(self.finished[:, None], self.fit, rate, self.arguments)

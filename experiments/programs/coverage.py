"""Simulate many data sets; count what intervals cover, and what tests reject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
from matplotlib.figure import Figure

from experiments.config import Fraction, Positive, Section, WholeNumber
from experiments.runner import Row
from experiments.storage.run import Run
from jlogreg import Fit, Status, fit_many
from jlogreg.inference import Interval, confidence_interval, score_test
from jlogreg.plots.style import line_colors

INTERVALS = ("Wald", "profile", "Firth profile", "bootstrap")
TESTS = ("Wald test", "LR test", "Firth LR test", "score test")
METHODS = INTERVALS + TESTS
# A test rejects a weight of 0 where the interval of the same name does not contain it.
DUALS = {"Wald test": "Wald", "LR test": "profile", "Firth LR test": "Firth profile"}

Samples = Annotated[int, msgspec.Meta(ge=8, le=100_000)]


class SimulationConfig(Section):
    """The cells, the true weight of the first of two features, and the counts.

    The second has the weight 0.

    Attributes:
        samples: the samples of a data set, a cell for each.
        shares: those of the label 1, a cell for each.
        weight: that of the first feature.
        replicates: the data sets of a cell.
        level: that of the intervals.
        bootstrap: of how many data sets of a cell there is a bootstrap, too.
        resamples: how many a bootstrap draws.
    """

    samples: Annotated[list[Samples], msgspec.Meta(min_length=1)]
    shares: Annotated[list[Fraction], msgspec.Meta(min_length=1)]
    weight: Annotated[Positive, msgspec.Meta(le=10)]
    replicates: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    level: Annotated[float, msgspec.Meta(ge=0.5, le=0.999)] = 0.95
    bootstrap: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 0
    resamples: Annotated[int, msgspec.Meta(ge=2, le=100_000)] = 200


class Config(Section):
    """What to simulate.

    Attributes:
        seed: that of all random numbers.
    """

    program: Literal["coverage"]
    simulation: SimulationConfig
    seed: WholeNumber = 0


class Cell(NamedTuple):
    """Simulated data sets of one size: the labels Y (K, m) of the first m samples."""

    samples: int
    share: float
    b: float
    Y: jax.Array


def load(config: Config) -> jax.Array:
    """Return the features X (2, m) of the largest cell; the others take the first."""
    random = np.random.default_rng(config.seed)
    shape = (max(config.simulation.samples), 2)
    return jnp.asarray(random.standard_normal(shape).T, jnp.float32)


def work(config: Config, X: jax.Array, run: Run) -> Sequence[Row]:
    """Simulate and count cell by cell, draw the shares."""
    settings = config.simulation
    cells = [(m, share) for m in settings.samples for share in settings.shares]
    counts = run.read_arrays("params.npz") or {
        "w": np.array([[settings.weight], [0]], np.float32),
        "b": np.zeros((len(cells), 1, 1), np.float32),
        "finished": np.zeros(len(cells), bool),
        # How often the event happened, how often there was an answer, of how many.
        "counts": np.zeros((len(cells), len(METHODS), 3), int),
    }
    done = int(counts["finished"].sum())
    if done:
        run.console.print(f"Resuming after {done} cells.")
    with run.progress("simulating", len(cells), done) as advance:
        for k in range(done, len(cells)):
            cell = _simulate(config, X, *cells[k])
            counts["b"][k] = cell.b
            counts["counts"][k] = _count(config, X, cell)
            counts["finished"][k] = True
            run.write_arrays("params.npz", **counts)
            advance(1)
    rows = [
        row
        for (m, share), of_cell in zip(cells, counts["counts"], strict=True)
        for row in _rows(m, share, of_cell)
    ]
    run.begin_metrics(rows)
    level = settings.level
    for name, methods, nominal, title in (
        ("coverage", INTERVALS, 100 * level, f"{100 * level:g} % intervals: coverage"),
        ("type_one", TESTS, 100 * (1 - level), "tests of a weight of 0: rejections"),
    ):
        run.write_figure(f"{name}.png", _draw(rows, methods, nominal, title))
    run.console.print(
        f"{len(cells)} cells of {settings.replicates} data sets, each cell in one call"
    )
    return rows


def _simulate(config: Config, X: jax.Array, m: int, share: float) -> Cell:
    """Return data sets whose first m samples have label 1 with this mean probability.

    Later samples have labels, too, which a weight of 0 leaves out.
    """
    z = config.simulation.weight * np.asarray(X[0], float)
    low, high = -1e3, 1e3
    for _ in range(100):  # the mean probability rises with b
        b = (low + high) / 2
        below = _sigmoid(z[:m] + b).mean() < share
        low, high = (b, high) if below else (low, b)
    random = np.random.default_rng([config.seed, m, round(share * 1e9)])
    draws = random.random((config.simulation.replicates, z.size))
    labels = draws < _sigmoid(z + b)
    return Cell(m, share, b, jnp.asarray(labels, jnp.float32))


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -z))


def _count(config: Config, X: jax.Array, cell: Cell) -> np.ndarray:
    """Return the counts (methods, 3) of events, of answers, and of data sets.

    The samples beyond those of the cell have the weight 0, so that all cells have one
    shape and are compiled once.
    """
    settings, Y = config.simulation, cell.Y
    weight = jnp.asarray(np.arange(X.shape[1])[None] < cell.samples, X.dtype)
    common: dict[str, Any] = {"weight": weight, "level": settings.level}
    fits = fit_many(X, Y, weight=weight)
    firth = fit_many(X, Y, weight=weight, jeffreys=0.5)
    ends = {
        "Wald": _ends(confidence_interval(fits, X, Y, **common)),
        "profile": _profile(fits, X, Y, **common),
        "Firth profile": _profile(firth, X, Y, jeffreys=0.5, **common),
        "bootstrap": _bootstrap(config, X, cell),
    }
    events = {name: _covers(ends[name][:, 0], settings.weight) for name in INTERVALS}
    events |= {test: 1 - _covers(ends[DUALS[test]][:, 1], 0.0) for test in DUALS}
    smaller = fit_many(X[:1], Y, weight=weight)
    p = np.asarray(score_test(smaller, X[:1], Y, X[1:], weight=weight).p).reshape(-1)
    events["score test"] = np.where(np.isnan(p), np.nan, p < 1 - settings.level)
    chosen = [events[method] for method in METHODS]
    counts = [[np.nansum(e), np.sum(~np.isnan(e)), e.size] for e in chosen]
    return np.array(counts, int)


def _ends(interval: Interval) -> np.ndarray:
    """Return the ends (K, 3, 2) of the intervals."""
    return np.concatenate([interval.low, interval.high], axis=-1)


def _covers(ends: np.ndarray, value: float) -> np.ndarray:
    """Return 1 where low and high (K, 2) enclose the value, else 0, or NaN."""
    inside = (ends[:, 0] <= value) & (value <= ends[:, 1])
    return np.where(np.isnan(ends).any(axis=1), np.nan, inside)


def _profile(fits: Fit, X: jax.Array, Y: jax.Array, **options: Any) -> np.ndarray:
    """Return the ends of the profiles, NaN where there is no estimate.

    A search that has no end would keep the others waiting, so estimates take the places
    of those that there are not.
    """
    ends = np.full((len(Y), len(X) + 1, 2), np.nan)
    found = np.flatnonzero(np.asarray(fits.status) == Status.CONVERGED)
    if found.size:
        rows = np.resize(found, len(Y))
        picked = jax.tree.map(lambda leaf: leaf[rows], fits)
        profile = confidence_interval(picked, X, Y[rows], kind="profile", **options)
        ends[found] = _ends(profile)[: found.size]
    return ends


def _bootstrap(config: Config, X: jax.Array, cell: Cell) -> np.ndarray:
    """Return the ends of the bootstrap's intervals in the first data sets."""
    settings = config.simulation
    Y = cell.Y[: settings.bootstrap, : cell.samples]
    if not len(Y):
        return np.full((0, len(X) + 1, 2), np.nan)
    X = X[:, : cell.samples]
    interval = confidence_interval(
        fit_many(X, Y),
        X,
        Y,
        kind="bootstrap",
        level=settings.level,
        key=jax.random.key(config.seed),
        replicates=settings.resamples,
    )
    return _ends(interval)


def _rows(m: int, share: float, counts: np.ndarray) -> list[dict[str, Any]]:
    """Return a row for each method that took part in a cell.

    A data set without an answer is neither covered nor rejected. The standard error of
    a share p of K data sets is sqrt(p (1 - p) / K).
    """
    rows: list[dict[str, Any]] = []
    for method, (events, answers, total) in zip(METHODS, counts.tolist(), strict=True):
        if total:
            p = events / total
            rows.append(
                {
                    "samples": m,
                    "share of 1": share,
                    "method": method,
                    "counted": "covered" if method in INTERVALS else "rejected",
                    "%": 100 * events / total,
                    "error %": 100 * (p * (1 - p) / total) ** 0.5,
                    "no answer %": 100 * (total - answers) / total,
                    "data sets": total,
                }
            )
    return rows


def _draw(
    rows: Sequence[Mapping[str, Any]],
    methods: Sequence[str],
    nominal: float,
    title: str,
) -> Figure:
    """Draw the share of each method in each cell, with twice its standard error."""
    cells = list(dict.fromkeys((row["samples"], row["share of 1"]) for row in rows))
    figure = Figure(figsize=(1.5 + 1.3 * len(cells), 4.2), layout="constrained")
    axes = figure.add_subplot()
    for k, color in enumerate(line_colors(len(methods), ordered=False)):
        own = [row for row in rows if row["method"] == methods[k]]
        if not own:
            continue
        place = [cells.index((row["samples"], row["share of 1"])) for row in own]
        axes.errorbar(
            np.array(place) + 0.16 * (k - (len(methods) - 1) / 2),
            [row["%"] for row in own],
            yerr=[2 * row["error %"] for row in own],
            fmt="osD^"[k],
            color=color,
            label=methods[k],
            markersize=5,
            capsize=2,
        )
    label = f"nominal {nominal:.3g} %"
    axes.axhline(nominal, color="black", linewidth=0.8, label=label)
    axes.set_xticks(range(len(cells)), [f"{m}\n{share:g}" for m, share in cells])
    for edge in range(1, len(cells)):
        axes.axvline(edge - 0.5, color="0.9", linewidth=0.8)
    axes.set_xlim(-0.5, len(cells) - 0.5)
    axes.set_xlabel("samples, and share of label 1 below")
    axes.set_ylabel("% of the data sets (-+ 2 standard errors)")
    axes.set_title(title)
    axes.grid(alpha=0.3, axis="y")
    figure.legend(loc="outside lower center", ncols=3)
    return figure

"""Confidence intervals: by Wald's test, by the profile, by resampling.

Equations (38) and (42) of docs/derivation.md.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from jlogreg.base.arrays import at_least, at_most
from jlogreg.base.checks import AnyArray, check_count
from jlogreg.base.programs import program
from jlogreg.base.status import Status
from jlogreg.batch.resampling import bootstrap_weights
from jlogreg.data.design import Design, check_design
from jlogreg.diagnostics.fitted import (
    Fitted,
    Given,
    answer_of,
    check_enough_samples,
    is_reached,
    reached_status,
)
from jlogreg.diagnostics.sandwich import Kind
from jlogreg.diagnostics.tails import check_level, normal_quantile
from jlogreg.fitting.fit import Fit
from jlogreg.formulations.primal import primal_objective
from jlogreg.formulations.problem import prepare, to_vector
from jlogreg.inference.covariance import (
    check_kind,
    check_kind_of_fit,
    model_covariance,
)
from jlogreg.inference.profile import default_limits, paired, profile_ends
from jlogreg.solvers.driver import minimize
from jlogreg.solvers.newton import Newton

__all__ = ["Interval", "confidence_interval"]

# Replicates that are fitted side by side, and the share that may have no answer.
SIDE_BY_SIDE, MOST_FAILED = 64, 0.1
SCALES = ("log-odds", "odds ratio")


class Interval(NamedTuple):
    """Estimates with the ends of their confidence intervals.

    Shapes: estimate, low and high (n + 1, 1), in the order w, then b; status (n + 1, 2)
    of both ends; for K problems with a leading axis. Where a status is not CONVERGED
    that end is NaN.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> from jlogreg.inference import confidence_interval
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> found = confidence_interval(fit(X, y), X, y)
        >>> f"{found.low[0, 0]:.2f} to {found.high[0, 0]:.2f}"
        '-0.57 to 3.00'
    """

    estimate: Float[Array, "n+1 1"]
    low: Float[Array, "n+1 1"]
    high: Float[Array, "n+1 1"]
    status: Int[Array, "n+1 2"]


def confidence_interval(
    fit: Fit,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    kind: str = "wald",
    level: Any = 0.95,
    scale: str = "log-odds",
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
    jeffreys: Any = 0.0,
    bias: bool = True,
    covariance: str = "fisher",
    clusters: Any = None,
    weights: str = "frequency",
    key: Any = None,
    replicates: int = 1000,
) -> Interval:
    """Return the confidence intervals of all weights and of the bias.

    Shapes: fit, X, y, weight, offset, l2 and clusters as for `covariance`; level ();
    result Interval of (n + 1, 1), for K problems with a leading axis.

    - "wald": the estimate -+ z standard errors;
    - "profile": all values that the likelihood-ratio test does not reject, equation
      (42) of docs/derivation.md. Unlike Wald's it does not depend on the unit or the
      scale, and holds with few samples. Each end is searched by fits with an offset,
      all ends side by side. With a penalty the ends are those of the penalised cost;
      with jeffreys the information is that of all unknowns at each point;
    - "bootstrap": quantiles of the estimates of resampled samples (Efron, Ann. Statist.
      7, 1979), NaN if more than a tenth of them have no answer.

    Where the labels are separated, the estimate and an end of its interval are
    infinite: the fit has not converged, and everything is NaN. Of a fit that converged
    all ends are finite. Derivatives in the data and the level are exact for "wald" and
    "profile"; for "bootstrap" there are none in reverse.

    Args:
        fit: the result of `fit` or `fit_many`.
        X: the features.
        y: the labels.
        kind: "wald", "profile" or "bootstrap".
        level: the probability that an interval contains the parameter, above 0 and at
            most 0.999999.
        scale: "log-odds", or "odds ratio" for exp(w), the factor of the odds for a
            feature that is larger by 1.
        weight: that of the fit.
        offset: that of the fit.
        l2: that of the fit.
        jeffreys: that of the fit.
        bias: that of the fit.
        covariance: the kind of `covariance`, for "wald".
        clusters: as for `covariance`, for "wald".
        weights: as for `covariance`. The profile needs frequencies, the bootstrap
            probabilities.
        key: a key of jax.random, for "bootstrap".
        replicates: the number of resamples, for "bootstrap".

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: as for `covariance`, or if a word or the level is out of range, or a
            key is missing.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> from jlogreg.inference import confidence_interval
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> found = confidence_interval(fit(X, y), X, y, kind="profile")
        >>> f"{found.low[0, 0]:.2f} to {found.high[0, 0]:.2f}"
        '-0.07 to 4.16'
    """
    (_, m), dtype = (design := check_design("X", X)).shape, design.dtype
    chosen, labels = check_kind(covariance, weights, clusters, m)
    _check_words(kind, scale, weight, chosen, key)
    replicates = check_count("replicates", replicates, least=2)
    level = check_level(level, dtype)

    def compute(given: Given) -> Answer:
        check_enough_samples(given)
        check_kind_of_fit(chosen, given)
        if kind == "wald":
            result = _wald(chosen, given, labels, level)
        elif kind == "profile":
            result = _profile(given, level)
        else:
            result = _bootstrap(replicates, given, level, key)
        interval, reached, distance = result
        if scale == "odds ratio":
            estimate, low, high = map(jnp.exp, interval[:3])
            interval = Interval(estimate, low, high, interval.status)
        return interval, reached, distance

    rows, penalties = (y, weight, offset), {"l2": l2, "jeffreys": jeffreys}
    found: Interval = answer_of(compute, fit, X, *rows, bias=bias, **penalties)
    return found


def _check_words(kind: str, scale: str, weight: Any, chosen: Kind, key: Any) -> None:
    """Raise a ValueError for words that are unknown or do not go together."""
    kinds = ("wald", "profile", "bootstrap")
    for name, word, words in (("kind", kind, kinds), ("scale", scale, SCALES)):
        if not isinstance(word, str) or word not in words:
            raise ValueError(f"{name} must be one of {words}, but is {word!r}")
    if kind != "wald" and chosen.name != "fisher":
        raise ValueError(f'covariance="{chosen.name}" is for kind="wald" alone')
    if weight is not None:
        needed = {"profile": "frequency", "bootstrap": "probability"}.get(kind)
        if needed not in (None, chosen.weights):
            raise ValueError(
                f'kind="{kind}" with a weight needs weights="{needed}": '
                + {
                    "profile": "others are no number of labels, and have no likelihood",
                    "bootstrap": "write a sample as often as it occurs otherwise",
                }[kind]
            )
    if kind == "bootstrap" and key is None:
        raise ValueError('kind="bootstrap" needs a key, such as jax.random.key(0)')


Answer = tuple[Interval, Array, Array]


@partial(program, static_argnums=0, inline=True)
def _wald(kind: Kind, given: Given, labels: Array | None, level: Array) -> Answer:
    matrix, reached, distance = model_covariance(kind, given, labels)
    theta = to_vector(given.params)
    half = normal_quantile(level) * jnp.sqrt(jnp.diagonal(matrix)[:, None])
    ends = jnp.concatenate([theta - half, theta + half], axis=1)
    return _answer(given, ends, reached, distance)


@partial(program, inline=True)
def _profile(given: Given, level: Array) -> Answer:
    reached, distance = is_reached(Fitted.of(given))
    ends, status = profile_ends(given, normal_quantile(level))
    return _answer(given, ends, reached, distance, status)


@partial(program, static_argnums=0, inline=True)
def _bootstrap(replicates: int, given: Given, level: Array, key: Any) -> Answer:
    fitted = paired(Fitted.of(given))
    reached, distance = is_reached(fitted)
    problem, start = fitted.problem, to_vector(fitted.params)
    samples, limits = problem.samples, default_limits(start.dtype)
    l2 = jnp.broadcast_to(problem.l2, given.params.w.shape)
    rows = bootstrap_weights(key, samples.X.shape[1], replicates, dtype=start.dtype)

    def refit(row: Array) -> tuple[Array, Array]:
        resampled = samples._replace(weight=samples.weights() * row[None])
        own = problem._replace(samples=resampled, l2=l2)
        cost = primal_objective(own, prepare(resampled), limits.tol)
        newton = Newton(keep_factor=False)
        end = minimize(newton, cost, start, limits.max_steps)
        return end.point, end.status

    points, statuses = lax.map(refit, rows, batch_size=SIDE_BY_SIDE)
    answered = statuses == Status.CONVERGED
    points = jax.vmap(fitted.centering.step_to_original)(points)[:, :, 0]
    if fitted.centering.offset is not None:
        points = points.at[:, -1].add(-fitted.centering.offset[0, 0])
    ends = _quantiles(points, answered, level)
    share = answered.sum(dtype=start.dtype) / replicates
    enough = share >= 1 - MOST_FAILED
    # The reason is that of the first that failed.
    first = statuses[jnp.argmax(~answered)]
    status = jnp.where(enough, Status.CONVERGED, first).astype(jnp.int32)
    return _answer(given, ends, reached, distance, jnp.broadcast_to(status, ends.shape))


def _quantiles(
    points: Float[Array, "replicates k"], used: Array, level: Array
) -> Float[Array, "k 2"]:
    """Return the quantiles of the used rows, linear between neighbours."""
    last = at_least(used.sum(dtype=points.dtype) - 1, 0)
    # Sorting may lose NaN, so what is not used is put last.
    ordered = jnp.sort(jnp.where(used[:, None], points, jnp.inf), axis=0)
    places = last * jnp.stack([(1 - level) / 2, (1 + level) / 2])
    below = jnp.floor(places)
    share = (places - below)[:, None]
    low = ordered[below.astype(jnp.int32)]
    high = ordered[at_most(below + 1, last).astype(jnp.int32)]
    return (low + share * jnp.where(share > 0, high - low, 0.0)).T


def _answer(
    given: Given, ends: Array, reached: Array, distance: Array, status: Any = None
) -> Answer:
    """Return an interval, NaN where there is no answer."""
    own = reached_status(given.status, reached)
    status = own if status is None else jnp.where(reached, status, own)
    status = jnp.broadcast_to(status, ends.shape).astype(jnp.int32)
    ends = jnp.where(status == Status.CONVERGED, ends, jnp.nan)
    theta = jnp.where(reached, to_vector(given.params), jnp.nan)
    return Interval(theta, ends[:, :1], ends[:, 1:], status), reached, distance

"""The summary of a fit: a table of coefficients, statistics, and what to beware of."""

# Over 300 lines: the record, and the functions that fill it, some of them mostly words.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Num

from jlogreg.base.arrays import is_traced
from jlogreg.base.checks import AnyArray
from jlogreg.base.errors import ShapeError
from jlogreg.base.formatting import (
    align,
    apart,
    latex_table,
    lines_as_html,
    power_text,
    table_as_html,
    value_text,
)
from jlogreg.base.params import check_bias, check_params
from jlogreg.base.status import Status
from jlogreg.certification.collinearity import collinearity
from jlogreg.data.design import Design
from jlogreg.data.devices.spread import gather
from jlogreg.data.samples import Samples, check_samples, prepare_samples
from jlogreg.data.streaming.streamed import streams_of
from jlogreg.diagnostics.fit_statistics import FitStatistics
from jlogreg.diagnostics.fitted import prepare_fit
from jlogreg.diagnostics.tails import (
    check_level,
    log10_chi2_tail,
    log10_p_value,
    normal_quantile,
    p_of_log10,
)
from jlogreg.fitting.fit import Fit
from jlogreg.inference.covariance import (
    check_kind,
    check_kind_of_fit,
    variances_and_statistics,
)
from jlogreg.inference.intervals import confidence_interval
from jlogreg.objective.penalties import check_l1
from jlogreg.objective.prediction import logits

__all__ = ["Summary", "summary"]

# Listed features at most; of more features, those with the largest |z| or |w|.
MAX_LISTED = 20
# With more features the covariance matrix is not formed.
MAX_COVARIANCE_FEATURES = 512
# Samples of the rarer label for each unknown, and clusters, below which there is a
# warning (Peduzzi et al., J. Clin. Epidemiol. 49, 1996; Cameron and Miller, J. Human
# Resources 50, 2015).
FEW_LABELS, FEW_CLUSTERS = 10, 20
NO_ERRORS_WITH_L1 = (
    "no standard errors, intervals or p: with an L1 penalty the data have chosen the "
    "features, too, and the usual errors do not allow for that"
)


@dataclass(frozen=True, repr=False)
class Summary:
    """The summary of a fit; printed, it is text, and in a notebook a table.

    Shapes: columns (k,) each, in the order w, then b: "weight", and where there are
    standard errors "std_error", "z", "p" and "log10_p", "weight_low" and "weight_high",
    the ends of the interval of the weight, and "odds_ratio", "odds_ratio_low" and
    "odds_ratio_high", the exponentials of the weight and of these ends. heading,
    statistics and notes are lines of text.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit, summary
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> table = summary(fit(X, y), X, y, ["hours"]).to_dict()
        >>> table["name"], [f"{w:.2f}" for w in table["weight"]]
        (['hours', 'bias'], ['1.21', '-3.04'])
    """

    names: tuple[str, ...]
    columns: dict[str, np.ndarray]
    level: float
    heading: tuple[str, ...]
    statistics: tuple[str, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        """Return the summary as lines of text."""
        blocks = [self.heading, self.statistics]
        lines = [line for block in blocks for line in block]
        return "\n".join([*lines, "", align(self.rows(), left=1), *self.notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        above = lines_as_html([*self.heading, *self.statistics])
        return above + table_as_html(self.rows()) + lines_as_html(self.notes)

    def to_latex(self) -> str:
        """Return the table of coefficients as a tabular of LaTeX."""
        return latex_table(self.rows())

    def to_dict(self) -> dict[str, list[Any]]:
        """Return the names and all columns, as lists of Python numbers."""
        columns = {name: column.tolist() for name, column in self.columns.items()}
        return {"name": list(self.names), **columns}

    def to_frame(self) -> Any:
        """Return the table as a data frame of pandas, or of polars without it.

        Raises:
            ImportError: if neither is installed.
        """
        try:
            from pandas import DataFrame
        except ImportError:
            try:
                from polars import DataFrame
            except ImportError:
                raise ImportError(
                    "a data frame needs pandas or polars: install one, or take to_dict"
                ) from None
        return DataFrame(self.to_dict())

    def rows(self) -> list[list[str]]:
        """Return the table of the listed features, in their order, and of the bias."""
        columns, n = self.columns, len(self.names) - (self.names[-1:] == ("bias",))
        # Those with the largest |z|, or |w|, then the bias, if any.
        size = np.abs(columns.get("z", columns["weight"]))[:n]
        listed = [*np.sort(np.argsort(-size, kind="stable")[:MAX_LISTED])]
        listed += range(n, len(self.names))
        rows = [["", "weight"]]
        names = [" ".join(name.splitlines()) for name in self.names]
        rows += [[names[j], f"{columns['weight'][j]:.4g}"] for j in listed]
        if "z" not in columns:
            return rows
        rows[0] += [
            "std. error",
            "z",
            "p",
            "odds ratio",
            f"{100 * self.level:g}% interval",
        ]
        for row, j in zip(rows[1:], listed, strict=True):
            at = {name: column[j] for name, column in columns.items()}
            row += [f"{at['std_error']:.3g}", f"{at['z']:.2f}"]
            # So many digits that the odds ratio, its ends and 1 are not the same.
            ends = (at[f"odds_ratio{end}"] for end in ("", "_low", "_high"))
            _, ratio, low, high = apart([1.0, *ends])
            row += [power_text(at["log10_p"]), ratio, f"{low} to {high}"]
        return rows


# Over 40 lines: the parts of a summary, one after another.
def summary(
    fit: Fit,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    names: Sequence[str] | None = None,
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
    l1: Any = 0.0,
    jeffreys: Any = 0.0,
    bias: bool = True,
    interval: str = "wald",
    level: float = 0.95,
    covariance: str = "fisher",
    clusters: Num[AnyArray, "1 m"] | None = None,
    weights: str = "frequency",
) -> Summary:
    """Return status, statistics and the table of coefficients of a fit; host only.

    Shapes: fit of one problem, w (n, 1); X (n, m), y, weight, offset and clusters (1,
    m), l2 () or (n, 1); n names; result a Summary, which prints as text.
    Standard errors, z and Wald's two-sided p, equations (27) to (37) of
    docs/derivation.md, and the odds ratio e^w with its interval, are given if the
    parameters are the minimum for these arguments, to a hundredth of a standard error;
    the statistics of equation (44) if the weights are frequencies. If there are more
    than 20 features, those with the largest |z|, or else |w|, are listed.

    Args:
        fit: the result of `fit`.
        X: the features, the same as in the fit.
        y: the labels.
        names: of the features; by default x0, x1, ...
        weight: that of the fit, if it had one.
        offset: that of the fit, if it had one.
        l2: that of the fit. With one, the errors are those of the penalised estimate
            about its own mean.
        l1: that of the fit, a number or one for each feature. With one there are no
            standard errors, intervals or p, since the data choose the features, too.
        jeffreys: that of the fit; the log-likelihood is without it.
        bias: that of the fit.
        interval: "wald" or "profile", the kind of a
            `confidence_interval`.
        level: of the intervals.
        covariance: the kind of `jlogreg.inference.covariance`.
        clusters: of the samples, for `covariance="cluster"`.
        weights: "frequency" if a weight of k is a sample that occurs k times, so that k
            ones among n equal samples may be one sample with the label k/n and the
            weight n; "probability" if it is how much a sample stands for.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape, if the fit is of many problems, or if there are not n names.
        ValueError: if a label is not in [0, 1], a number not finite, or a word unknown.
        TypeError: if a number is traced: call this outside jit.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit, summary
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]], jnp.float32)
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]], jnp.float32)
        >>> print(summary(fit(X, y), X, y, ["hours"]))
        CONVERGED: the minimum was found
        1 feature, 6 samples, mean label 0.5
        cost J 0.412998 nats after 5 steps
        training accuracy 0.6667
        log-likelihood -2.47799 (bias alone -4.15888), AIC 8.956, BIC 8.5395
        pseudo-R2: McFadden 0.404, Nagelkerke 0.572, Tjur 0.445
        all weights are 0: chi-square 3.362, df 1, p = 0.067
        <BLANKLINE>
               weight  std. error      z     p  odds ratio      95% interval
        hours   1.214       0.913   1.33  0.18        3.37     0.563 to 20.1
        bias   -3.035        2.55  -1.19  0.23      0.0481  0.000327 to 7.06
        (beware: 3 samples of the rarer label for 2 unknowns...
    """
    if any(map(is_traced, (fit.params.w, y, weight, offset, l2, l1, jeffreys))):
        raise TypeError("summary needs known numbers: call it outside jit")
    if np.ndim(fit.status):
        raise ShapeError(
            f"the fit is of {np.size(fit.status)} problems: take one of them, with "
            "jax.tree.map(lambda leaf: leaf[0], fit)"
        )
    fit, X, y, weight, offset = gather((fit, X, y, weight, offset))
    samples = prepare_samples(check_samples(X, y, weight, offset))
    n, _ = samples.X.shape
    params = check_params(fit.params, n, samples.X.dtype)
    labels = [f"x{j}" for j in range(n)] if names is None else [*map(str, names)]
    if len(labels) != n:
        raise ShapeError(f"there are {n} features, but {len(labels)} names")
    if interval not in ("wald", "profile"):
        raise ValueError(f'interval must be "wald" or "profile", but is {interval!r}')
    k = n + check_bias(bias)
    sparse = check_l1(l1, n, samples.X.dtype) is not None
    given = {"weight": weight, "offset": offset, "l2": l2, "bias": bias}
    given["jeffreys"] = jeffreys
    kind = {"covariance": covariance, "clusters": clusters, "weights": weights}
    theta = np.concatenate(params).astype(float)[:k, 0]
    columns: dict[str, Any] = {"weight": theta}
    notes: list[str] = []
    statistics: tuple[str, ...] = ()
    if sparse and fit.status == Status.CONVERGED:
        found, why_not = None, NO_ERRORS_WITH_L1
        kept = int(np.count_nonzero(theta[:n]))
        statistics = (f"{kept} of {_count(n, 'weight')} are not 0",)
    else:
        found, why_not = _standard_errors(fit, samples, labels, given, kind)
    if found is not None:
        errors, numbers = found
        ends = _interval(fit, X, y, theta, errors[:k], interval, level, given, weights)
        z = theta / errors[:k]
        log10_p = log10_p_value(jnp.asarray(z))
        columns |= {"std_error": errors[:k], "z": z, "p": p_of_log10(log10_p)}
        columns |= {"log10_p": log10_p, "weight_low": ends[0], "weight_high": ends[1]}
        columns |= {
            f"odds_ratio{end}": np.exp(columns[f"weight{end}"])
            for end in ("", "_low", "_high")
        }
        if weights == "frequency" or weight is None:
            # The likelihood is not at its maximum in a fit with a prior.
            statistics = _statistics(numbers, k, bias, not np.any(np.asarray(jeffreys)))
    if n > MAX_LISTED:
        largest = "|w|" if found is None else "|z|"
        notes += [f"({MAX_LISTED} of {n} features, those with the largest {largest})"]
    beware = why_not or _warning(fit, samples, k, l2, kind)
    notes += [f"({beware})"] if beware else []
    columns = {name: np.asarray(column, float) for name, column in columns.items()}
    every = (*labels, "bias") if bias else tuple(labels)
    heading = tuple(_heading(fit, samples))
    return Summary(every, columns, float(level), heading, statistics, tuple(notes))


def _standard_errors(
    fit: Fit,
    samples: Samples,
    names: Sequence[str],
    given: dict[str, Any],
    kind: dict[str, Any],
) -> tuple[tuple[np.ndarray, FitStatistics] | None, str]:
    """Return the standard errors (n + 1,) and the statistics, or why there are none."""
    n, m = samples.X.shape
    options = (kind["covariance"], kind["weights"], kind["clusters"], m)
    chosen, labels = check_kind(*options)
    if fit.status != Status.CONVERGED:
        cause = ""
        if fit.status == Status.SINGULAR and not streams_of(samples.X):
            kept = np.asarray(samples.weights())[0] > 0
            X = np.asarray(samples.X.dense())[:, kept]
            cause = collinearity(X, given["bias"]).text(names)
        ending = f": {cause}" if cause else ""
        return None, f"no standard errors: the fit has no answer{ending}"
    if n > MAX_COVARIANCE_FEATURES:
        most = MAX_COVARIANCE_FEATURES
        return None, f"no standard errors: there are more than {most} features"
    penalties = (given["l2"], given["bias"], given["jeffreys"])
    prepared = prepare_fit(fit, *samples, *penalties)
    check_kind_of_fit(chosen, prepared)
    found, reached, numbers = variances_and_statistics(chosen, prepared, labels)
    if not reached:
        return None, (
            "no standard errors: a penalty, other weights or another offset led away "
            "from the minimum for these arguments: give weight, offset, l2, l1 "
            "and jeffreys as in the fit"
        )
    variances = np.asarray(found, float)[:, 0]
    if not np.isfinite(variances).all():
        return None, (
            "no standard errors: with these arguments the minimum is not the only one; "
            "drop constant and collinear features, and give bias as in the fit"
        )
    return (np.sqrt(variances), numbers), ""


def _interval(
    fit: Fit,
    X: Any,
    y: Any,
    theta: np.ndarray,
    errors: np.ndarray,
    interval: str,
    level: Any,
    given: dict[str, Any],
    weights: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the intervals of the log-odds (k,)."""
    if interval == "wald":  # from the errors that are there, without a pass over X
        half = float(normal_quantile(check_level(level, jnp.result_type(float))))
        return theta - half * errors, theta + half * errors
    found = confidence_interval(
        fit, X, y, kind=interval, level=level, weights=weights, **given
    )
    low, high = (np.asarray(end, float)[: len(theta), 0] for end in found[1:3])
    return low, high


def _statistics(
    numbers: FitStatistics, k: int, bias: bool, is_likelihood: bool
) -> tuple[str, ...]:
    """Return the lines on likelihood, criteria and R2."""
    at = {name: float(value) for name, value in numbers._asdict().items()}
    null = "bias alone" if bias else "no features"
    lines = [
        f"log-likelihood {at['log_likelihood']:.6g} ({null} {at['null']:.6g}), "
        f"AIC {at['aic']:.5g}, BIC {at['bic']:.5g}",
        f"pseudo-R2: McFadden {at['mcfadden']:.3g}, Nagelkerke {at['nagelkerke']:.3g}, "
        f"Tjur {at['tjur']:.3g}",
    ]
    if bias and is_likelihood and k > 1 and at["unknowns"] == k:
        rise = 2 * (at["log_likelihood"] - at["null"])
        log10_p = float(log10_chi2_tail(jnp.asarray(rise), k - 1))
        lines.append(
            f"all weights are 0: chi-square {rise:.4g}, df {k - 1}, p = "
            f"{power_text(log10_p)}"
        )
    return tuple(lines)


def _warning(fit: Fit, samples: Samples, k: int, l2: Any, kind: dict[str, Any]) -> str:
    """Return what to beware of, the gravest first; nothing if there is nothing."""
    y, v = np.asarray(samples.y, float), np.asarray(samples.weights(), float)
    counts = v if kind["weights"] == "frequency" else (v > 0).astype(float)
    rarer = min((counts * y).sum(), (counts * (1 - y)).sum())
    clusters = kind["clusters"]
    if clusters is not None and len(np.unique(np.asarray(clusters))) < FEW_CLUSTERS:
        count = len(np.unique(np.asarray(clusters)))
        return f"beware: {count} clusters are few, and errors of few are too small"
    if fit.several:
        return "beware: the cost has another minimum; this is the lower of two"
    if np.any(np.asarray(l2) > 0):
        return (
            "beware: the penalty draws the weights to 0, and intervals and p do not "
            "make up for that"
        )
    if rarer < FEW_LABELS * k:
        return (
            f"beware: {rarer:.6g} samples of the rarer label for {k} unknowns; "
            'interval="profile" holds better with few'
        )
    return ""


def _heading(fit: Fit, samples: Samples) -> list[str]:
    """Return the lines on status, data, cost and accuracy."""
    status, (n, m) = Status(int(fit.status)), samples.X.shape
    y, v = np.asarray(samples.y, float), np.asarray(samples.weights(), float)
    z = np.asarray(logits(fit.params, samples.X, offset=samples.offset))
    # Of a sample with the label k/n, k are right if 1 is predicted; none if nothing is.
    right = np.where(np.isnan(z), 0, np.where(z > 0, y, 1 - y))
    total = "" if samples.weight is None else f" of total weight {v.sum():.6g}"
    data = f"{_count(n, 'feature')}, {_count(m, 'sample')}{total}"
    return [
        f"{status.name}: {status.message}",
        f"{data}, mean label {np.average(y, weights=v):.3g}",
        f"cost J {value_text(fit.cost)} nats after {_count(int(fit.steps), 'step')}",
        f"training accuracy {np.average(right, weights=v):.4f}",
    ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

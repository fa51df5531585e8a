"""Summary of a fit as text, for a notebook."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jlogreg.base.arrays import is_traced
from jlogreg.base.checks import AnyArray
from jlogreg.base.errors import ShapeError
from jlogreg.base.formatting import align, value_text
from jlogreg.base.params import check_bias, check_params
from jlogreg.base.status import Status
from jlogreg.data.design import Design
from jlogreg.data.samples import Samples, check_samples, prepare_samples
from jlogreg.diagnostics.fitted import prepare_fit
from jlogreg.diagnostics.sandwich import Kind
from jlogreg.diagnostics.tails import log10_p_value, p_of_log10
from jlogreg.fitting.fit import Fit
from jlogreg.inference.covariance import model_covariance
from jlogreg.objective.prediction import logits

__all__ = ["summary"]

# Listed features at most; of more features, those with the largest |z| or |w|.
MAX_LISTED = 20
# With more features the covariance matrix is not formed.
MAX_COVARIANCE_FEATURES = 512


def summary(
    fit: Fit,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    names: Sequence[str] | None = None,
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    bias: bool = True,
) -> str:
    """Return status, cost, steps, accuracy and coefficients of a fit; host only.

    Shapes: fit of one problem, w (n, 1); X (n, m), y, weight and offset (1, m); n
    names; result a text of several lines.
    Standard errors, z and Wald's two-sided p, equation (27) of docs/derivation.md, are
    given if the parameters maximise the likelihood of X and y, to a hundredth of a
    standard error; not after a fit with a penalty, other weights or another offset. If
    there are more than 20 features, those with the largest |z|, or else |w|, are
    listed.

    Weights are frequency weights: a weight of k is a sample that occurs k times. So k
    ones among n equal samples may be one sample with the label k/n and the weight n.
    The standard errors are wrong for weights that mean something else, such as
    importance or the inverse of a probability of being sampled.

    Args:
        fit: the result of `fit`.
        X: the features, the same as in the fit.
        y: the labels.
        names: of the features; by default x0, x1, ...
        weight: that of the fit, if it had one.
        offset: that of the fit, if it had one.
        bias: that of the fit.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape, if the fit is of many problems, or if there are not n names.
        ValueError: if a label is not in [0, 1], or a number not finite.
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
        training accuracy 66.7%
        <BLANKLINE>
               weight  std. error      z     p
        hours   1.214       0.913   1.33  0.18
        bias   -3.035        2.55  -1.19  0.23
    """
    if any(map(is_traced, (fit.params.w, y, weight, offset))):
        raise TypeError("summary needs known numbers: call it outside jit")
    if np.ndim(fit.status):
        raise ShapeError(
            f"the fit is of {np.size(fit.status)} problems: take one of them, with "
            "jax.tree.map(lambda leaf: leaf[0], fit)"
        )
    samples = prepare_samples(check_samples(X, y, weight, offset))
    n, _ = samples.X.shape
    params = check_params(fit.params, n, samples.X.dtype)
    labels = [f"x{j}" for j in range(n)] if names is None else [*map(str, names)]
    if len(labels) != n:
        raise ShapeError(f"there are {n} features, but {len(labels)} names")
    bias = check_bias(bias)
    errors, why_not = _standard_errors(fit, samples, bias)
    theta = np.asarray(params.w, float)
    if bias:
        theta = np.concatenate([theta, np.asarray(params.b, float)])
    lines = [*_heading(fit, samples), "", _coefficients(theta, labels, errors)]
    if n > MAX_LISTED:
        largest = "|w|" if errors is None else "|z|"
        lines.append(
            f"({MAX_LISTED} of {n} features, those with the largest {largest})"
        )
    if why_not:
        lines.append(f"(no standard errors: {why_not})")
    return "\n".join(lines)


def _standard_errors(
    fit: Fit, samples: Samples, bias: bool
) -> tuple[np.ndarray | None, str]:
    """Return the standard errors (n + 1, 1), or None and why there are none."""
    n, m = samples.X.shape
    if fit.status != Status.CONVERGED:
        return None, "the fit has no answer"
    if n > MAX_COVARIANCE_FEATURES:
        return None, f"there are more than {MAX_COVARIANCE_FEATURES} features"
    given = prepare_fit(fit, *samples, 0.0, bias)
    matrix, reached, _ = model_covariance(Kind("fisher", "frequency", m), given, None)
    if not reached:
        return None, (
            "a penalty, other weights or another offset led away from the maximum of "
            "the likelihood of X and y"
        )
    errors = np.sqrt(np.diag(np.asarray(matrix, float)))[:, None]
    return errors if bias else errors[:-1], ""


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
        f"training accuracy {np.average(right, weights=v):.1%}",
    ]


def _coefficients(
    theta: np.ndarray, labels: Sequence[str], errors: np.ndarray | None
) -> str:
    """Return the table of the listed features, in their order, and of the bias."""
    # The listed features: those with the largest |z|, or |w|, then the bias, if any.
    n = len(labels)
    size = np.abs(theta if errors is None else theta / errors)[:n, 0]
    listed = [*np.sort(np.argsort(-size, kind="stable")[:MAX_LISTED])]
    listed += range(n, len(theta))
    rows = [["", "weight"]]
    rows += [[[*labels, "bias"][j], f"{theta[j, 0]:.4g}"] for j in listed]
    if errors is not None:
        rows[0] += ["std. error", "z", "p"]
        for row, j in zip(rows[1:], listed, strict=True):
            z = theta[j, 0] / errors[j, 0]
            row += [f"{errors[j, 0]:.3g}", f"{z:.2f}", _probability(z)]
    return align(rows, left=1)


def _probability(z: float) -> str:
    """Return Wald's two-sided p = 2 Phi(-|z|) as text."""
    p = float(p_of_log10(log10_p_value(jnp.asarray(z))))
    return f"{p:.2g}" if p > 1e-300 else "< 1e-300"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

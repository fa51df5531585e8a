"""The scan of many features: one fit for each of them, given the same covariates.

The features go through a few Newton steps side by side, many in a call; those that have
not converged, through more; and the few that remain, through `fit`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Num

from jlogreg.base.arrays import as_array
from jlogreg.base.checks import AnyArray
from jlogreg.base.errors import ShapeError
from jlogreg.base.status import Status
from jlogreg.data.devices.deal import Deal, deal_over, without_mesh
from jlogreg.feature_scan.checks import (
    Given,
    Method,
    check_block,
    check_method,
    check_scan,
)
from jlogreg.feature_scan.firth import firth_scan
from jlogreg.feature_scan.null_model import NullModel, fit_null_model
from jlogreg.feature_scan.parts import (
    Nulls,
    Parts,
    among,
    copied,
    in_parts,
    joined,
)
from jlogreg.feature_scan.results import Scan
from jlogreg.feature_scan.saddle_point import UNRELIABLE, saddle_scan
from jlogreg.feature_scan.single_feature import Plan, fit_scan, newton_scan

__all__ = ["one_sided", "scan_blocks", "scan_features"]

# Entries of the features that are taken side by side, so that their intermediate
# results stay in the cache. With 2000 samples 512 features took 4.4 us each, 256 took
# 4.8, 1024 took 5.
ENTRIES, MIN_FEATURES, MAX_FEATURES = 2**20, 8, 512
# Batches of features in one call.
BATCHES = 16
# Newton steps for all features, by bytes of a float, and for those not converged then.
STEPS, MORE_STEPS = {4: 2, 8: 3}, 8
# Firth steps for all features that need them, and for those not converged then. Of 2560
# rare variants 155 had not converged after 5 of them, one after 8.
FIRTH_STEPS = (5, 9, 24)
# Features that go through `fit` side by side.
FIT_FEATURES = 64


def scan_features(
    G: Num[AnyArray, "V m"] | Iterable[Num[AnyArray, "V m"]],
    covariates: Float[AnyArray, "p m"] | None,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    bias: bool = True,
    tol: Any = None,
    test: str = "wald",
    firth: str = "never",
) -> Scan:
    """Return one fit for each feature, adjusted for covariates; host only.

    Shapes: G (V, m), a row per feature, or an iterator of such blocks; covariates
    (p, m) or None, y, weight and offset (1, m); result Scan of (V, 1). The fit of a
    feature is `fit` on the standardised covariates stacked above it, without a penalty,
    to the same tolerance and with the same status: equation (8) of docs/derivation.md;
    standard error is that of Wald's test, equation (27) (Wald, Trans. Am. Math. Soc.
    54, 1943), and so are z and p unless another test is chosen. Where an argument lies
    on a mesh of devices, each of them takes a part of the features of a block; all
    processes of the mesh call this alike, and have all results.

    Args:
        G: whole numbers from 0 up as int8, with -1 for missing, or floats like y, with
            NaN for missing; a sample is excluded from the fits of the features that it
            misses.
        covariates: adjust each feature, in addition to the bias.
        y: labels.
        weight: at least 0, how often each sample counts.
        offset: added to the logits.
        bias: whether each model has a bias.
        tol: as for `fit`.
        test: "wald", or "score" for the score test, equation (40), which takes no fit
            of a feature but one pass over the samples: z is its statistic, and the
            estimate the first step of Newton's method. A feature that misses samples
            is tested at the parameters of all samples. Where |z| > 2 its p is that of
            the saddle-point approximation, equation (60), which holds with few carriers
            or few cases, too. Or "lr" for the likelihood-ratio test, equation (40), of
            the penalised likelihoods where the estimate is Firth's: z is the root of
            its statistic, with the sign of the estimate.
        firth: "never"; "fallback" for Firth's estimate, `fit` with jeffreys = 0.5,
            where the labels are separated or the steps run out; or "always". Its
            standard error is that of the augmented information, as in PLINK 2.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        TypeError: if an argument is traced.
        ValueError: if a number in the covariates, y, weight or offset is out of range,
            or a word unknown, or Firth's estimate is wanted of a score test. A row
            of G with an invalid number has the status BAD_INPUT.

    Examples:
        >>> import jax.numpy as jnp
        >>> import numpy as np
        >>> from jlogreg import scan_features
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> G = np.array([[0, 1, 1, 2, 1, 2], [1, 0, 2, 1, -1, 0]], np.int8)
        >>> scan = scan_features(G, None, y)
        >>> [f"{p:.2f}" for p in 10 ** scan.log10_p[:, 0]]
        ['0.56', '0.63']
    """
    method = check_method(test, firth)
    is_block = isinstance(G, jax.Array | np.ndarray)
    deal = deal_over((G if is_block else None, covariates, y, weight, offset))
    given = check_scan(covariates, y, weight, offset, bias, tol)
    blocks = [G] if is_block else copied(G)
    scans = list(_scans(given, deal, blocks, method))
    if not scans:
        raise ShapeError("G has no blocks: an iterator is used up by one scan")
    return jax.tree.map(lambda *parts: as_array(np.concatenate(parts)), *scans)


def scan_blocks(
    blocks: Iterable[Num[AnyArray, "V m"]],
    covariates: Float[AnyArray, "p m"] | None,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    bias: bool = True,
    tol: Any = None,
    test: str = "wald",
    firth: str = "never",
) -> Iterator[Scan]:
    """Return an iterator of the scans of blocks, one after the other; host only.

    Shapes: each block (V, m), the others as for `scan_features`, whose arguments and
    errors these are. While one block is computed the next is asked for, so reading,
    fitting and writing can overlap.

    Examples:
        >>> import jax.numpy as jnp
        >>> import numpy as np
        >>> from jlogreg import scan_blocks
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> G = np.array([[0, 1, 1, 2, 1, 2], [1, 0, 2, 1, -1, 0]], np.int8)
        >>> [scan.status.tolist() for scan in scan_blocks(iter([G, G]), None, y)]
        [[[0], [0]], [[0], [0]]]
    """
    method = check_method(test, firth)
    deal = deal_over((covariates, y, weight, offset))
    given = check_scan(covariates, y, weight, offset, bias, tol)
    scans = _scans(given, deal, copied(blocks), method)
    return (jax.tree.map(as_array, scan) for scan in scans)


# Statuses of a feature whose estimate is infinite, or far.
INFINITE = (Status.MAX_STEPS, Status.SEPARATED, Status.DIVERGED)


def _scans(
    given: Given, deal: Deal, blocks: Iterable[Any], method: Method
) -> Iterator[Scan]:
    """Yield the scan of each block, as NumPy arrays, once the next is under way."""
    nulls: Nulls = ()
    height, before = 0, None

    def end(count: int, own: slice, G: np.ndarray, begun: Parts) -> Scan:
        scan = _end(method, nulls, G, begun)
        if own == slice(0, count):
            return scan
        return deal.join(jax.tree.map(partial(among, count, own), scan), count)

    for block in blocks:
        G = check_block(block, given.samples.y)
        count, own = len(G), deal.own(len(G))
        # Each device has some to compute, also where none of them are its own.
        G = G[own] if own.start < own.stop else G[:1]
        if not nulls:
            # All the blocks use the programs that are compiled for the first.
            height = len(G)
            null = without_mesh(fit_null_model)(*given)
            nulls = tuple(jax.device_put(null, device) for device in deal.devices)
        begun = _begin(method, nulls, G, height)
        if before is not None:
            yield end(*before)
        before = count, own, G, begun
    if before is not None:
        yield end(*before)


@without_mesh
def _begin(method: Method, nulls: Nulls, G: np.ndarray, height: int) -> Parts:
    """Return the results of a few steps, under way, `height` features in a call."""
    height = -(-height // len(nulls))
    width = _width(G, height)
    calls = -(-height // (width * BATCHES))
    height = -(-height // (width * calls)) * width
    plan = _plan(method, G, width)
    if method.firth == "always":
        return in_parts(partial(firth_scan, plan, FIRTH_STEPS[0]), nulls, G, height)
    steps = 0 if method.test == "score" else STEPS[nulls[0].z.dtype.itemsize]
    return in_parts(partial(newton_scan, plan, steps), nulls, G, height)


@without_mesh
def _end(method: Method, nulls: Nulls, G: np.ndarray, begun: Parts) -> Scan:
    """Finish the features that have not converged: more Newton steps, then `fit`.

    Where that has no answer either, Firth's, in the same order.
    """
    scan, width = joined(begun, len(G)), _width(G, len(G))
    plan = _plan(method, G, width)
    if method.firth == "fallback":
        left = np.flatnonzero(scan.status == Status.MAX_STEPS)
        scan.status[left[one_sided(nulls[0], G[left])]] = Status.DIVERGED
    unfinished = (Status.MAX_STEPS,)
    rounds: list[tuple[Any, int, tuple[Status, ...]]] = []
    if method.test != "score" and method.firth != "always":
        rounds += [(partial(newton_scan, plan, MORE_STEPS), width, unfinished)]
        rounds += [(partial(fit_scan, False, plan.ratio), FIT_FEATURES, unfinished)]
    if method.firth != "never":
        first, *others = (partial(firth_scan, plan, steps) for steps in FIRTH_STEPS)
        if method.firth == "fallback":
            rounds += [(first, width, INFINITE)]
        rounds += [(steps, width, unfinished) for steps in others]
        rounds += [(partial(fit_scan, True, plan.ratio), FIT_FEATURES, unfinished)]
    for function, side_by_side, statuses in rounds:
        left = np.flatnonzero(np.isin(scan.status[:, 0], statuses))
        if left.size:
            parts = in_parts(function, nulls, G[left], side_by_side)
            for table, rows in zip(scan, joined(parts, left.size), strict=True):
                table[left] = rows
    # What has no answer is NaN.
    failed = scan.status != Status.CONVERGED
    for table in scan[:4]:
        table[failed] = np.nan
    if method.test == "score":
        _mend_tails(plan, nulls, G, scan)
    return scan


def one_sided(null: NullModel, G: np.ndarray) -> np.ndarray:
    """Return which features are counts that, alone, tell some of the labels apart.

    All of one label have as many as all of the other have at least, such as carriers
    of one label only, whichever allele is counted. Their weights have no finite
    estimates, which is known before any fit.
    """
    y, weight = (np.asarray(row)[0] for row in (null.samples.y, null.samples.weights()))
    if G.dtype != np.int8:
        return np.zeros(len(G), bool)
    G = G[:, weight > 0]
    zeros, ones = (G[:, chosen[weight > 0]] for chosen in (y < 1, y > 0))
    # -1, which is missing, is below all counts as it is, and above as a byte.
    (low0, high0), (low1, high1) = (
        (part.view(np.uint8).min(axis=1, initial=255), part.max(axis=1, initial=-1))
        for part in map(np.ascontiguousarray, (zeros, ones))
    )
    varies = np.maximum(high0, high1) > np.minimum(low0, low1)
    return varies & ((high0 <= low1) | (high1 <= low0)) & (G >= -1).all(axis=1)


def _mend_tails(plan: Plan, nulls: Nulls, G: np.ndarray, scan: Scan) -> None:
    """Write p by the saddle-point approximation where a normal z may be unreliable."""
    far = np.flatnonzero(np.abs(scan.z[:, 0]) > UNRELIABLE)
    if far.size:
        width = min(plan.width, FIT_FEATURES)
        p_values = partial(saddle_scan, plan._replace(width=width))
        parts = in_parts(p_values, nulls, G[far], width)
        log10_p, known = joined(parts, far.size)
        scan.log10_p[far] = np.where(known, log10_p, scan.log10_p[far])
        scan.saddle_point[far] = known


def _width(G: np.ndarray, height: int) -> int:
    enough = 1 << (height - 1).bit_length()
    return min(max(MIN_FEATURES, min(MAX_FEATURES, ENTRIES // G.shape[1])), enough)


def _plan(method: Method, G: np.ndarray, width: int) -> Plan:
    missing = bool(G.min() < 0 if G.dtype.kind == "i" else np.isnan(G).any())
    return Plan(width, missing, ratio=method.test == "lr")

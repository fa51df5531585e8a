"""The alleles of cases and of controls, and why a variant has no estimate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jlogreg import Status

# Codes of a fit without an answer, and why; others have the name of their status.
CAUSES = {
    "UNSEEN": "no sample has a genotype",
    "MONOMORPHIC": "all samples have the same genotype",
    "SEPARATED": "genotypes and covariates tell cases from controls, so that log-odds "
    "are infinite",
    "COLLINEAR": "the genotypes follow from the covariates",
}


class Groups(NamedTuple):
    """Cases and controls at some variants: their alleles, and what they tell apart.

    Shapes: counts and frequencies of the rarer allele A1 in cases and in controls, (v,)
    each, NaN frequencies where no sample has a genotype; seen (v,), whether one has;
    constant (v,), whether all have the same; apart (v,), whether all of one group have
    at most as many alleles as all of the other.
    """

    counts: tuple[NDArray[np.integer], ...]
    frequencies: tuple[NDArray[np.floating], ...]
    seen: NDArray[np.bool_]
    constant: NDArray[np.bool_]
    apart: NDArray[np.bool_]


def allele_counts(G: NDArray[np.int8]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return for each variant the number of genotypes and that of alleles ALT.

    Shapes: G (v, m), -1 where missing; results (v, 1).
    """
    missing = (G < 0).sum(axis=1, dtype=np.int32, keepdims=True)
    alleles = G.sum(axis=1, dtype=np.int32, keepdims=True) + missing
    return G.shape[1] - missing, alleles


def groups_of(
    G: NDArray[np.int8], swapped: NDArray[np.bool_], y: NDArray[np.floating]
) -> Groups:
    """Return the alleles of cases and of controls.

    Shapes: G (v, m), -1 where missing; swapped (v, 1), whether ALT is the commoner
    allele; y (1, m), 1 for cases.
    """
    counts, frequencies, ends = [], [], []
    for label in (1, 0):
        own = np.ascontiguousarray(G[:, y[0] == label])
        known, alleles = allele_counts(own)
        count = np.where(swapped, 2 * known - alleles, alleles)
        counts.append(count[:, 0])
        with np.errstate(invalid="ignore"):
            frequencies.append((count / (2 * known))[:, 0])
        # A missing genotype, -1, is the largest byte.
        least = own.view(np.uint8).min(axis=1, initial=255)
        ends.append((least, own.max(axis=1, initial=-1)))
    (low1, high1), (low0, high0) = ends
    most = np.maximum(high0, high1)
    constant = most <= np.minimum(low0, low1)
    apart = ((high0 <= low1) | (high1 <= low0)) & ~constant
    return Groups(tuple(counts), tuple(frequencies), most >= 0, constant, apart)


def codes_of(status: NDArray[np.int32], groups: Groups) -> NDArray[np.str_]:
    """Return why each variant has no estimate (v,), "." where it has one."""
    codes = np.array([".", *(each.name for each in Status if each)])[status]
    failed = status != Status.CONVERGED
    infinite = np.isin(status, (Status.DIVERGED, Status.SEPARATED))
    codes = np.where(status == Status.SINGULAR, "COLLINEAR", codes)
    codes = np.where(infinite | (failed & groups.apart), "SEPARATED", codes)
    codes = np.where(failed & groups.constant, "MONOMORPHIC", codes)
    return np.where(groups.seen, codes, "UNSEEN")


def told(codes: NDArray[np.str_]) -> Iterator[str]:
    """Yield a line for each cause: how many variants have no estimate."""
    causes = {each.name: each.message for each in Status} | CAUSES
    names, counts = np.unique(codes[codes != "."], return_counts=True)
    for code, count in zip(names.tolist(), counts.tolist(), strict=True):
        yield f"{count} without an estimate, {code}: {causes[code]}."

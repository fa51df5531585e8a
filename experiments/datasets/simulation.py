"""Simulate genetic studies, and write them as PLINK filesets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from bed_reader import to_bed
from numpy.typing import NDArray

from experiments.config import Section
from experiments.datasets.plink import GenotypeConfig
from experiments.datasets.standardize import Numbers

CHROMOSOMES = 4


# Neighbors share this many draws, so that a cause raises a tower in the plot.
SHARED = 30


class SimulationConfig(Section):
    """The size of a simulated study.

    Attributes:
        samples: how many of them.
        variants: how many of them.
    """

    samples: Annotated[int, msgspec.Meta(ge=20, le=10_000)] = 1000
    variants: Annotated[int, msgspec.Meta(ge=20, le=50_000)] = 5000


class NullStudy(NamedTuple):
    """A study in memory, in which no variant has an effect.

    Shapes: genotypes G (V, m), covariates (p, m), labels y (1, m).
    """

    G: NDArray[np.int8]
    covariates: NDArray[np.float32]
    y: NDArray[np.float32]


def simulate_null(
    variants: int,
    samples: int,
    covariates: int,
    frequencies: tuple[float, float] = (0.05, 0.5),
    odds: float = 1.0,
) -> NullStudy:
    """Return a study in which the covariates have effects and the variants have none.

    All genotypes are independent; their frequencies are uniform in a range. odds are
    those of a case where the covariates are 0.
    """
    random = np.random.default_rng(0)
    frequency = random.uniform(*frequencies, (variants, 1))
    limit = (frequency * 2**16).astype(np.uint16)
    G = np.empty((variants, samples), np.int8)
    for rows in np.array_split(np.arange(variants), -(-variants // 10_000)):
        shape = (2, rows.size, samples)
        draws = random.integers(0, 2**16, shape, dtype=np.uint16)
        G[rows] = (draws < limit[rows]).sum(axis=0, dtype=np.int8)
    C = random.standard_normal((covariates, samples)).astype(np.float32)
    w = 0.4 * random.standard_normal((covariates, 1))
    y = random.random((1, samples)) < 1 / (1 + np.exp(-(w.T @ C)) / odds)
    return NullStudy(G, C, y.astype(np.float32))


def write_null(study: NullStudy, folder: Path) -> GenotypeConfig:
    """Write a fileset, a phenotype and covariates into the folder; return their names.

    ALT is the allele that is counted.
    """
    V, m = study.G.shape
    names = [f"s{k}" for k in range(m)]
    variants = {
        "chromosome": np.ones(V, int),
        "bp_position": np.arange(1, V + 1),
        "sid": [f"v{k}" for k in range(V)],
        "allele_1": ["A"] * V,
        "allele_2": ["G"] * V,
    }
    heads = [f"C{k}" for k in range(len(study.covariates))]
    files = _files(folder)
    to_bed(files.bed, study.G.T, {"fid": names, "iid": names, **variants})
    _write_table(files.covariates, names, heads, study.covariates.T)
    # 1 is control and 2 is case.
    _write_table(files.phenotype, names, ["Y"], study.y.T.astype(int) + 1)
    return files


# Over 40 lines: a recipe from top to bottom, every line of which is done once.
def simulate_study(folder: Path, config: SimulationConfig, seed: int) -> GenotypeConfig:
    """Write a fileset, a phenotype and covariates into the folder; return their names.

    One variant on each chromosome but the last is a cause, and so are two covariates.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    frequency = rng.uniform(0.05, 0.95, config.variants)
    place = np.arange(config.variants)
    chromosome = place * CHROMOSOMES // config.variants
    first = np.searchsorted(chromosome, np.arange(CHROMOSOMES))
    length = config.variants // CHROMOSOMES
    causes = first[:-1] + rng.integers(length // 4, length, CHROMOSOMES - 1)
    frequency[causes] = 0.4
    G = _genotypes(rng, frequency, chromosome, config.samples)
    age = rng.normal(50, 10, (config.samples, 1))
    components = rng.normal(size=(config.samples, 2))
    z = (
        G[:, causes] @ [[0.9], [-0.8], [0.7]]
        + 0.03 * (age - 50)
        + 0.4 * components[:, :1]
    )
    case = rng.random(z.shape) < 1 / (1 + np.exp(z.mean() - z))
    G[rng.random(G.shape) < 0.01] = -127  # missing
    names = [f"s{k + 1}" for k in range(config.samples)]
    labels = np.where(rng.random(z.shape) < 0.01, "NA", np.where(case, "2", "1"))
    properties = {
        "fid": names,
        "iid": names,
        "sex": rng.integers(1, 3, config.samples),
        "pheno": labels[:, 0],
        "chromosome": chromosome + 1,
        "sid": [f"rs{k + 1}" for k in range(config.variants)],
        "bp_position": 10_000 * (1 + place - first[chromosome]),
        "allele_1": rng.choice(["A", "C"], config.variants),
        "allele_2": rng.choice(["G", "T"], config.variants),
    }
    files = _files(folder)
    to_bed(files.bed, G, properties)
    _write_table(files.phenotype, names, ["DISEASE"], labels)
    values = np.concatenate([age, components], axis=1).round(6)
    _write_table(files.covariates, names, ["AGE", "PC1", "PC2"], values)
    return files


def _genotypes(
    rng: np.random.Generator, frequency: Numbers, chromosome: NDArray[Any], samples: int
) -> NDArray[np.int8]:
    """Return the allele counts (m, V) of the samples, correlated between neighbors."""
    limits = np.array([NormalDist().inv_cdf(f) for f in frequency]) * SHARED**0.5
    blocks = []
    for k in range(CHROMOSOMES):
        own = limits[chromosome == k]
        draws = rng.standard_normal((2, samples, own.size + SHARED))
        sums = draws.cumsum(axis=2)
        latent = sums[..., SHARED:] - sums[..., :-SHARED]
        blocks.append((latent < own).sum(axis=0, dtype=np.int8))
    return np.concatenate(blocks, axis=1)


def _files(folder: Path) -> GenotypeConfig:
    bed, phenotype, covariates = (
        str(folder / name)
        for name in ("simulated.bed", "phenotype.txt", "covariates.txt")
    )
    return GenotypeConfig(bed=bed, phenotype=phenotype, covariates=covariates)


def _write_table(
    path: str, names: Sequence[str], heads: Sequence[str], values: NDArray[Any]
) -> None:
    """Write values, a row for each sample, as PLINK 2's --pheno takes them."""
    lines = ["\t".join(["#FID", "IID", *heads])]
    for name, row in zip(names, values, strict=True):
        lines.append("\t".join([name, name, *map(str, row)]))
    Path(path).write_text("\n".join(lines) + "\n")

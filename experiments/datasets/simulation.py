"""Draw studies of genotypes, and write them as PLINK filesets."""

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
from experiments.datasets.plink import GenotypeConfig, Numbers


class NullStudy(NamedTuple):
    """Hold genotypes G (V, m), covariates (p, m) and labels y (1, m)."""

    G: NDArray[np.int8]
    covariates: NDArray[np.float32]
    y: NDArray[np.float32]


class Fileset(NamedTuple):
    """Name the files of a study."""

    bed: Path
    phenotype: Path
    covariates: Path


def simulate_null(variants: int, samples: int, covariates: int) -> NullStudy:
    """Return a study in which covariates are causes and genotypes are not."""
    random = np.random.default_rng(0)
    frequency = random.uniform(0.05, 0.5, (variants, 1))
    limit = (frequency * 2**16).astype(np.uint16)
    G = np.empty((variants, samples), np.int8)
    for rows in np.array_split(np.arange(variants), -(-variants // 10_000)):
        shape = (2, rows.size, samples)
        draws = random.integers(0, 2**16, shape, dtype=np.uint16)
        G[rows] = (draws < limit[rows]).sum(axis=0, dtype=np.int8)
    C = random.standard_normal((covariates, samples)).astype(np.float32)
    w = 0.4 * random.standard_normal((covariates, 1))
    y = random.random((1, samples)) < 1 / (1 + np.exp(-(w.T @ C)))
    return NullStudy(G, C, y.astype(np.float32))


def write(study: NullStudy, folder: Path) -> Fileset:
    """Write .bed, .bim and .fam, a phenotype and covariates into a folder."""
    V, m = study.G.shape
    names = [f"s{k}" for k in range(m)]
    files = Fileset(folder / "study.bed", folder / "phenotype", folder / "covariates")
    properties = {
        "fid": names,
        "iid": names,
        "chromosome": np.ones(V, int),
        "bp_position": np.arange(1, V + 1),
        "sid": [f"v{k}" for k in range(V)],
        "allele_1": ["A"] * V,  # the one that is counted: ALT
        "allele_2": ["G"] * V,
    }
    to_bed(files.bed, study.G.T, properties=properties)
    heads = [f"C{k}" for k in range(len(study.covariates))]
    _write_table(files.covariates, names, heads, study.covariates)
    # 1 is control and 2 is case.
    _write_table(files.phenotype, names, ["Y"], study.y.astype(int) + 1)
    return files


def _write_table(
    path: Path, names: Sequence[str], heads: Sequence[str], rows: NDArray[np.generic]
) -> None:
    lines = ["\t".join(["#FID", "IID", *heads])]
    lines += [
        "\t".join([name, name, *map(str, column)])
        for name, column in zip(names, rows.T, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n")


class SimulationConfig(Section):
    """Say how large a fileset to simulate."""

    samples: Annotated[int, msgspec.Meta(ge=20, le=10_000)] = 1000
    variants: Annotated[int, msgspec.Meta(ge=20, le=50_000)] = 5000


CHROMOSOMES = 4
# Neighbours share this many draws, so that a cause raises a tower in the plot.
SHARED = 30


# Over 40 lines: a recipe from top to bottom, every line of which is done once.
def simulate_study(folder: Path, config: SimulationConfig, seed: int) -> GenotypeConfig:
    """Write a fileset, a phenotype and covariates into the folder; return their names.

    One variant a chromosome is a cause but for the last, and two covariates are.
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
    bed = folder / "simulated.bed"
    to_bed(
        bed,
        G,
        properties={
            "fid": names,
            "iid": names,
            "sex": rng.integers(1, 3, config.samples),
            "pheno": labels[:, 0],
            "chromosome": chromosome + 1,
            "sid": [f"rs{k + 1}" for k in range(config.variants)],
            "bp_position": 10_000 * (1 + place - first[chromosome]),
            "allele_1": rng.choice(["A", "C"], config.variants),
            "allele_2": rng.choice(["G", "T"], config.variants),
        },
    )
    phenotype, covariates = folder / "phenotype.txt", folder / "covariates.txt"
    _write_samples(phenotype, names, ["DISEASE"], labels)
    values = np.concatenate([age, components], axis=1).round(6)
    _write_samples(covariates, names, ["AGE", "PC1", "PC2"], values)
    return GenotypeConfig(
        bed=str(bed), phenotype=str(phenotype), covariates=str(covariates)
    )


def _genotypes(
    rng: np.random.Generator, frequency: Numbers, chromosome: NDArray[Any], samples: int
) -> NDArray[np.int8]:
    """Return how often each sample has each allele, (m, V), neighbours correlated."""
    limits = np.array([NormalDist().inv_cdf(f) for f in frequency]) * SHARED**0.5
    blocks = []
    for k in range(CHROMOSOMES):
        own = limits[chromosome == k]
        draws = rng.standard_normal((2, samples, own.size + SHARED))
        sums = draws.cumsum(axis=2)
        latent = sums[..., SHARED:] - sums[..., :-SHARED]
        blocks.append((latent < own).sum(axis=0, dtype=np.int8))
    return np.concatenate(blocks, axis=1)


def _write_samples(
    path: Path, names: Sequence[str], header: Sequence[str], values: NDArray[Any]
) -> None:
    lines = [" ".join(["#FID", "IID", *header])]
    for name, row in zip(names, values, strict=True):
        lines.append(" ".join([name, name, *map(str, row)]))
    path.write_text("\n".join(lines) + "\n")

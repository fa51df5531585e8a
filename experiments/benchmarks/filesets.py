"""Write a study as PLINK 2 reads it, scan it with PLINK 2, and read what it writes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.csv
from bed_reader import to_bed
from numpy.typing import NDArray

from experiments.errors import UserError

MISSING = (
    "plink2 is not on the PATH (Debian's package plink2, or www.cog-genomics.org): "
    "PLINK 2 is left out"
)
COLUMNS = "chrom,pos,ref,alt,test,nobs,beta,se,tz,p,err"


class Study(NamedTuple):
    """Hold genotypes G (V, m), covariates (p, m) and labels y (1, m)."""

    G: NDArray[np.int8]
    covariates: NDArray[np.float32]
    y: NDArray[np.float32]


class Estimates(NamedTuple):
    """Hold what a scan found, both (V, 1), per copy of the counted allele."""

    estimate: NDArray[np.float64]
    standard_error: NDArray[np.float64]


class Fileset(NamedTuple):
    """Name the files of a study."""

    bed: Path
    phenotype: Path
    covariates: Path


def simulate(variants: int, samples: int, covariates: int) -> Study:
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
    return Study(G, C, y.astype(np.float32))


def write(study: Study, folder: Path) -> Fileset:
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
    _write_samples(files.covariates, names, heads, study.covariates)
    # 1 is control and 2 is case.
    _write_samples(files.phenotype, names, ["Y"], study.y.astype(int) + 1)
    return files


def _write_samples(
    path: Path, names: Sequence[str], heads: Sequence[str], rows: NDArray[np.generic]
) -> None:
    lines = ["\t".join(["#FID", "IID", *heads])]
    lines += [
        "\t".join([name, name, *map(str, column)])
        for name, column in zip(names, rows.T, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n")


def plink(files: Fileset, folder: Path) -> list[str] | None:
    """Return the command that scans with PLINK 2, or None where there is none."""
    program = shutil.which("plink2")
    if program is None:
        return None
    # As fast as it comes, for the same numbers: no fallback to Firth's method, and a
    # line a variant, the covariates' own left out.
    glm = ["hide-covar", "no-firth", "log10", f"cols={COLUMNS}"]
    return [
        program,
        *("--bfile", str(files.bed.with_suffix(""))),
        *("--pheno", str(files.phenotype)),
        *("--covar", str(files.covariates)),
        *("--glm", *glm),
        *("--threads", "2"),
        *("--out", str(folder / "plink")),
    ]


def version(command: Sequence[str]) -> str:
    """Return what PLINK 2 calls itself."""
    words = [command[0], "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return " ".join(done.stdout.split())


def call(command: Sequence[str], cwd: Path | None = None) -> None:
    """Run a command to its end.

    Raises:
        UserError: it failed.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-500:]
        raise UserError(f"{command[0]} ended with {done.returncode}: {said}")


def read_table(folder: Path) -> Estimates:
    """Return what a table with PLINK 2's column names says, per copy of ALT.

    Raises:
        UserError: there is no such table, or more than one.
    """
    tables = list(folder.rglob("*.glm.logistic"))
    if len(tables) != 1:
        raise UserError(f"{folder}: holds {len(tables)} tables, where 1 is due")
    options = pyarrow.csv.ParseOptions(delimiter="\t")
    table = pyarrow.csv.read_csv(tables[0], parse_options=options)
    estimate, error = (table[name].to_numpy().astype(float) for name in ("BETA", "SE"))
    # The rarer allele is counted, which need not be ALT.
    swapped = table["A1"].to_numpy() != table["ALT"].to_numpy()
    estimate = np.where(swapped, -estimate, estimate)
    return Estimates(estimate[:, None], error[:, None])

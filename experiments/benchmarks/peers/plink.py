"""Write a study as PLINK 2 reads it, scan it with PLINK 2, and read what it writes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.csv
from numpy.typing import NDArray

from experiments.datasets.simulation import Fileset
from experiments.errors import UserError

MISSING = (
    "plink2 is not on the PATH (Debian's package plink2, or www.cog-genomics.org): "
    "PLINK 2 is left out"
)


COLUMNS = "chrom,pos,ref,alt,test,nobs,beta,se,tz,p,err"


class Estimates(NamedTuple):
    """Hold what a scan found, both (V, 1), per copy of the counted allele."""

    estimate: NDArray[np.float64]
    standard_error: NDArray[np.float64]


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

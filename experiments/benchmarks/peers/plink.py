"""Scan a fileset with PLINK 2, and read the table that it writes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.csv
from numpy.typing import NDArray

from experiments.datasets.plink import GenotypeConfig
from experiments.errors import UserError

MISSING = (
    "plink2 is not on the PATH (Debian's package plink2, or www.cog-genomics.org): "
    "PLINK 2 is skipped"
)


COLUMNS = "chrom,pos,ref,alt,firth,test,nobs,beta,se,tz,p,err"


class Estimates(NamedTuple):
    """Estimates (V, 1) and standard errors (V, 1) of a scan, per copy of ALT.

    NaN where there are none.
    """

    estimate: NDArray[np.float64]
    standard_error: NDArray[np.float64]


def command(
    files: GenotypeConfig, folder: Path, firth: str = "no-firth"
) -> list[str] | None:
    """Return the command that scans with PLINK 2, or None if it is not installed.

    firth is its word for Firth's method: "no-firth", "firth-fallback" or "firth".
    """
    program = shutil.which("plink2")
    if program is None:
        return None
    # Its fastest settings for the same numbers: one line for a variant, without those
    # of the covariates.
    glm = ["hide-covar", firth, "log10", f"cols={COLUMNS}"]
    return [
        program,
        *("--bfile", files.bed.removesuffix(".bed")),
        *("--pheno", files.phenotype),
        *("--covar", files.covariates),
        *("--glm", *glm),
        *("--threads", "2"),
        *("--out", str(folder / "plink")),
    ]


def version(program: str) -> str:
    """Return the name and version that PLINK 2 reports."""
    done = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=False
    )
    return " ".join(done.stdout.split())


def call(command: Sequence[str], cwd: Path | None = None) -> None:
    """Run a command to its end.

    Raises:
        UserError: if it fails.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-500:]
        raise UserError(f"{command[0]} ended with {done.returncode}: {said}")


def read_estimates(folder: Path) -> Estimates:
    """Return the estimates of the only table in a folder, per copy of ALT.

    Raises:
        UserError: if there is no table, or more than one.
    """
    # PLINK 2 names them by the method: logistic, logistic.hybrid or firth.
    tables = [path for path in folder.rglob("*.glm.*") if not path.name.endswith(".id")]
    if len(tables) != 1:
        raise UserError(f"{folder}: holds {len(tables)} tables instead of 1")
    options = pyarrow.csv.ParseOptions(delimiter="\t")
    floats = {"BETA": pyarrow.float64(), "SE": pyarrow.float64()}
    numbers = pyarrow.csv.ConvertOptions(column_types=floats, null_values=["NA"])
    table = pyarrow.csv.read_csv(
        tables[0], parse_options=options, convert_options=numbers
    )
    estimate, error = (table[name].to_numpy().astype(float) for name in ("BETA", "SE"))
    # The table counts the rarer allele, which need not be ALT.
    swapped = table["A1"].to_numpy() != table["ALT"].to_numpy()
    estimate = np.where(swapped, -estimate, estimate)
    return Estimates(estimate[:, None], error[:, None])

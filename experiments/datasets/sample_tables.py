"""Text tables of samples: the .fam file, phenotypes and covariates.

Words are separated by blanks or tabs. Tables of phenotypes and of covariates are those
of PLINK 2's --pheno and --covar.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from experiments.config import LARGEST
from experiments.datasets.files import Floats
from experiments.datasets.standardize import Numbers, mean_and_deviation
from experiments.errors import UserError

FAM = ("FID", "IID", "father", "mother", "sex", "PHENO1")
MISSING = ("NA", "NAN", "-9")
# Covariates are collinear if the smallest eigenvalue of their correlations is less.
COLLINEAR = 1e-5
Words = dict[str, list[str]]


def read_columns(path: Path, names: Sequence[str], **kinds: pa.DataType) -> pa.Table:
    """Return the columns of a file without a header, under these names.

    Columns are text unless `kinds` names another type.
    """
    return _parse(path, _contents(path), names, **kinds)


def read_samples(fam: Path) -> Words:
    """Return the columns of a .fam file, in which every sample is there once."""
    samples: Words = read_columns(fam, FAM).to_pydict()
    _check_unique(fam, _names(samples, ("FID", "IID")))
    return samples


def read_table(path: Path, kind: str, samples: Words) -> Words:
    """Return the columns of a file in the order of the samples, NA where it has none.

    A header begins with FID or IID; without one, columns are named by their kind.
    """
    content = _contents(path)
    first, _, rest = content.partition(b"\n")
    words = first.decode(errors="replace").split()
    if words[0] in ("#FID", "FID", "#IID", "IID"):
        names, content = [words[0].removeprefix("#"), *words[1:]], rest
    else:
        names = ["FID", "IID", *(f"{kind}{k}" for k in range(1, len(words) - 1))]
    keys = names[: 1 + (names[0] == "FID")]
    if keys[-1] != "IID" or len(set(names)) < len(names) or len(names) == len(keys):
        raise UserError(
            f"{path}: its first line must be #FID IID or #IID, then names of columns, "
            f"all different, but is {' '.join(words)}"
        )
    if not content:
        raise UserError(f"{path}: names no sample")
    table = _parse(path, content, names).to_pydict()
    known, listed = _names(samples, keys), _names(table, keys)
    _check_unique(path, listed)
    if len(keys) == 1:
        _check_unique(path, known, " in the .fam file: name samples by FID and IID")
    if unknown := set(listed) - set(known):
        raise UserError(
            f"{path}: {len(unknown)} of {len(listed)} samples are not in the .fam "
            f"file, one of them is {min(unknown)}"
        )
    return {
        name: [words.get(sample, "NA") for sample in known]
        for name in names[len(keys) :]
        for words in [dict(zip(listed, table[name], strict=True))]
    }


def number_rows(path: Path, names: Sequence[str], table: Words) -> dict[str, Numbers]:
    """Return the columns of these names as rows (1, M), NaN where missing."""
    for name in names:
        if name not in table:
            known = ", ".join(table)
            raise UserError(f"{path}: has no column {name!r}, only {known}")
    return {name: _numbers(path, name, table[name]) for name in names}


def case_labels(path: Path, name: str, row: Numbers, coding: str) -> Numbers:
    """Return the labels of a phenotype: 0 for controls, 1 for cases, NaN if missing.

    Args:
        path: the file, named in errors.
        name: the phenotype.
        row: its numbers (1, M).
        coding: the numbers of control and case, "1/2" or "0/1".
    """
    control = int(coding[0])
    values = row[np.isfinite(row)]
    if control == 1 and set(values) == {0, 1}:
        raise UserError(
            f"{path}: {name} holds 0 and 1, but 1 is control, 2 case and 0 missing: if "
            " they are control and case, set data.coding to 0/1"
        )
    other = values[~np.isin(values, (0, 1, control + 1))]
    if other.size:
        raise UserError(
            f"{path}: {name} holds {other[0]:g}, but must be {control} for control, "
            f"{control + 1} for case, and -9 or NA where missing"
        )
    return np.where(row < control, np.nan, row) - control


def check_labels(path: Path, y: Numbers, covariates: int) -> None:
    """Check that the labels (1, m) are of both classes, and enough of them.

    Raises:
        UserError: if they are not.
    """
    cases = int(y.sum())
    if not y.size:
        raise UserError(f"{path}: no sample has a phenotype and all covariates")
    if cases in (0, y.size):
        kind = "cases" if cases else "controls"
        raise UserError(
            f"{path}: all {y.size} samples that have a phenotype and all covariates "
            f"are {kind}: there is nothing to tell apart"
        )
    if y.size < covariates + 3:
        raise UserError(
            f"{path}: {y.size} samples have a phenotype and all covariates, too few "
            f"for {covariates} covariates"
        )


def join_covariates(
    path: str, covariates: dict[str, Numbers], standardize: bool
) -> Floats:
    """Return the covariates (p, m), standardized or as they are.

    Raises:
        UserError: if one is constant, or they are collinear.
    """
    for name, row in covariates.items():
        if row.min() == row.max():
            raise UserError(
                f"{path}: {name} is {row[0, 0]:g} for all samples that have a "
                "phenotype and all covariates: leave it out"
            )
    rows = np.concatenate(list(covariates.values()))
    if np.linalg.eigvalsh(np.atleast_2d(np.corrcoef(rows)))[0] < COLLINEAR:
        raise UserError(
            f"{path}: {', '.join(covariates)} are collinear: leave out one that is a "
            "combination of the others"
        )
    if standardize:
        mean, deviation = mean_and_deviation(rows)
        rows = (rows - mean) / deviation
    return rows.astype(np.float32)


def _contents(path: Path) -> bytes:
    """Return a file with a single tab between words, whatever separated them."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    if b" " in content:
        lines = (b"\t".join(line.split()) for line in content.splitlines())
        content = b"\n".join(lines)
    content = content.strip()
    if not content:
        raise UserError(f"{path}: is empty")
    return content


def _parse(
    path: Path, content: bytes, names: Sequence[str], **kinds: pa.DataType
) -> pa.Table:
    types = dict.fromkeys(names, pa.string()) | kinds
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(content),
            pa.csv.ReadOptions(column_names=names, use_threads=False),
            pa.csv.ParseOptions(delimiter="\t", quote_char=False),
            pa.csv.ConvertOptions(column_types=types),
        )
    except pa.ArrowInvalid as error:
        raise UserError(f"{path}: {error}") from error
    return table.combine_chunks()


def _names(table: Words, keys: Sequence[str]) -> list[str]:
    """Return the names of samples: FID and IID, or IID alone."""
    return [" ".join(key) for key in zip(*(table[key] for key in keys), strict=True)]


def _check_unique(path: Path, names: list[str], hint: str = "") -> None:
    (name, count), *_ = Counter(names).most_common(1)
    if count > 1:
        raise UserError(f"{path}: the sample {name} is there {count} times{hint}")


def _numbers(path: Path, name: str, words: Sequence[str]) -> Numbers:
    """Return the words of a column as a row of numbers, NaN where missing."""
    numbers = []
    for word in words:
        try:
            # Python would read 1_0 as 10.
            plain = "nan" if word.upper() in MISSING else word.replace("_", "?")
            numbers.append(float(plain))
        except ValueError:
            raise UserError(f"{path}: {name} holds {word!r}, no number") from None
    row = np.array([numbers])
    if (np.abs(row) > LARGEST).any():
        raise UserError(f"{path}: {name} holds numbers that do not fit float32")
    return np.where(row == -9, np.nan, row)

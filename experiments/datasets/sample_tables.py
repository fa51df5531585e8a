"""Text tables of samples: the .fam file, phenotypes and covariates.

Words are separated by blanks or tabs, however many. Tables of phenotypes and of
covariates are those of PLINK 2's --pheno and --covar: they may have other people than
the .fam file, lines of comments at their beginning, and commas after a header.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from experiments.config import LARGEST
from experiments.datasets.files import Floats
from experiments.datasets.standardize import Numbers, mean_and_deviation
from experiments.datasets.tables import parse_csv
from experiments.errors import UserError
from experiments.storage.regular import read_file

FAM = ("FID", "IID", "father", "mother", "sex", "PHENO1")
MISSING = ("", "NA", "NAN", "-9")
# The first line names the columns if it begins so; a comma makes the file a CSV file.
HEADER = re.compile(rb"\"?#?[FI]ID(\"?[ \t]*,|\s|\Z)")
# What separates words other than by a single tab.
BLANKS = (b" ", b"\r", b"\v", b"\f", b"\t\t", b"\t\n", b"\n\t")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# A category: a word that begins as no number does.
CATEGORY = re.compile(r"[^\d+.-]")
NO_CATEGORY = "NONE"
MOST_CATEGORIES = 256
# Covariates are collinear if the smallest eigenvalue of their correlations is less.
COLLINEAR = 1e-5
Words = dict[str, list[str]]


class Covariate(NamedTuple):
    """A covariate of M samples: a row (1, M), NaN where missing.

    If it has categories, in the order of their names, the row holds their numbers.
    """

    row: Numbers
    categories: tuple[str, ...] = ()


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
    Samples that are not among those given are left out.
    """
    content = _contents(path)
    while content.startswith(b"#") and not HEADER.match(content):  # a comment
        content = content.partition(b"\n")[2].lstrip()
    header = HEADER.match(content)
    comma = header is not None and header[1].endswith(b",")
    first, _, rest = content.partition(b"\n")
    line = first.decode(errors="replace")
    words = [word.strip(' \r"') for word in line.split(",")] if comma else line.split()
    if header:
        names, content = [words[0].removeprefix("#"), *words[1:]], rest
    else:
        names = ["FID", "IID", *(f"{kind}{k}" for k in range(1, len(words) - 1))]
    keys = names[: 1 + (names[0] == "FID")]
    if keys[-1] != "IID" or len(set(names)) < len(names) or len(names) == len(keys):
        raise UserError(
            f"{path}: its first line must be #FID IID or #IID, then names of columns, "
            f"all different, but is {' '.join(words)}"
        )
    if not content.strip():
        raise UserError(f"{path}: names no sample")
    table = _parse(path, content, names, comma=comma).to_pydict()
    return _in_order(path, table, keys, samples)


def _in_order(path: Path, table: Words, keys: Sequence[str], samples: Words) -> Words:
    """Return the columns other than the keys in the order of the samples."""
    known, listed = _names(samples, keys), _names(table, keys)
    members = set(known)
    if len(keys) == 1:
        _check_unique(path, known, " in the .fam file: name samples by FID and IID")
    rows = [k for k, name in enumerate(listed) if name in members]
    if not rows:
        raise UserError(
            f"{path}: none of its {len(listed)} samples is in the .fam file, one of "
            f"them is {min(listed)}"
        )
    _check_unique(path, [listed[k] for k in rows])
    place = {listed[k]: k for k in rows}
    return {
        name: [words[place[key]] if key in place else "NA" for key in known]
        for name, words in table.items()
        if name not in keys
    }


def number_row(path: Path, name: str, table: Words) -> Numbers:
    """Return the column of this name as a row of numbers (1, M), NaN where missing."""
    return _numbers(path, name, _column(path, name, table))


def read_covariate(path: Path, name: str, table: Words) -> Covariate:
    """Return the column of this name as a covariate: of numbers, or of categories.

    As for PLINK 2, it is one of categories if it holds words that begin as no number
    does, and no number; NONE is a missing category.
    """
    words = _column(path, name, table)
    found = {word for word in words if word.upper() not in (*MISSING, NO_CATEGORY)}
    if not found or not all(map(CATEGORY.match, found)):
        return Covariate(_numbers(path, name, words))
    if len(found) > MOST_CATEGORIES:
        raise UserError(
            f"{path}: {name} holds {len(found)} different words, more than "
            f"{MOST_CATEGORIES} categories"
        )
    categories = tuple(sorted(found))
    code = {category: k for k, category in enumerate(categories)}
    return Covariate(np.array([[code.get(word, np.nan) for word in words]]), categories)


def indicators(name: str, covariate: Covariate) -> dict[str, Numbers]:
    """Return the rows of a covariate: of categories, all but the most frequent."""
    row, categories = covariate
    if not categories:
        return {name: row}
    counts = [int((row == k).sum()) for k in range(len(categories))]
    usual = int(np.argmax(counts))
    there = [k for k, count in enumerate(counts) if count]
    kept = [k for k in there if k != usual] or there
    return {f"{name}={categories[k]}": (row == k).astype(float) for k in kept}


def _column(path: Path, name: str, table: Words) -> list[str]:
    if name not in table:
        known = ", ".join(table)
        raise UserError(f"{path}: has no column {name!r}, only {known}")
    return table[name]


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
    """Return the text of a file, without a byte order mark and what is empty around."""
    content = read_file(path).removeprefix(BYTE_ORDER_MARK).strip()
    if not content:
        raise UserError(f"{path}: is empty")
    return content


def _parse(
    path: Path,
    content: bytes,
    names: Sequence[str],
    comma: bool = False,
    **kinds: pa.DataType,
) -> pa.Table:
    """Return the table of a text, in which commas or blanks separate the words."""
    types = dict.fromkeys(names, pa.string()) | kinds
    if not comma and any(blank in content for blank in BLANKS):
        lines = (b"\t".join(line.split()) for line in content.splitlines())
        content = b"\n".join(lines)
    try:
        if comma:
            table = parse_csv(content, names, types=types)
            columns = [pc.utf8_trim_whitespace(column) for column in table.columns]
            table = pa.table(columns, names)
        else:
            table = parse_csv(content, names, "\t", quote=False, types=types)
    except pa.ArrowException as error:
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

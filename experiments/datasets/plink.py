"""Read genotypes, phenotypes and covariates as PLINK 2 does.

A fileset is a .bed file of genotypes beside a .bim file, a line a variant, and a .fam
file, a line a sample. Genotypes are read in blocks of variants: the whole need not fit
the memory.
"""

# Over 300 lines: the files of a fileset are checked against each other.

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from bed_reader import open_bed
from numpy.typing import NDArray

from experiments.config import LARGEST
from experiments.datasets.files import Files, Floats
from experiments.errors import UserError

FAM = ("FID", "IID", "father", "mother", "sex", "PHENO1")
BIM = ("chromosome", "id", "distance", "position", "alt", "ref")
# The genotypes of a variant follow these three bytes, four samples in a byte.
MAGIC, PER_BYTE = b"\x6c\x1b\x01", 4
# Where men have one chromosome, a scan would need the sex of each sample.
HAPLOID = "(?i)^(chr)?(X|Y|MT?|23|24|26)$"
MISSING = ("NA", "NAN", "-9")
# Correlations with a smaller eigenvalue are those of collinear covariates.
COLLINEAR = 1e-5
BLOCK_BYTES = 2**23


Numbers = NDArray[np.float64]


Words = dict[str, list[str]]


class GenotypeConfig(Files):
    """Name a fileset and the files beside it; with no fileset, one is simulated.

    `phenotype` and `covariates` are files as PLINK 2's --pheno and --covar take them.
    The phenotype is the first column if none is named, and the .fam file's if there is
    no file; the covariates are all columns if none is named. `coding` says what control
    and case are.
    """

    bed: str = ""
    phenotype: str = ""
    phenotype_name: str = ""
    covariates: str = ""
    covariate_names: tuple[str, ...] = ()
    coding: Literal["1/2", "0/1"] = "1/2"
    standardize: bool = True

    def paths(self) -> list[Path]:
        """Return the user's files."""
        endings = (".bed", ".bim", ".fam") if self.bed else ()
        beside = [Path(name) for name in (self.phenotype, self.covariates) if name]
        return [*(Path(self.bed).with_suffix(end) for end in endings), *beside]


class Study(NamedTuple):
    """Hold what is known of samples and variants, all but the genotypes.

    Shapes: of M samples, m have a phenotype and all covariates: used (M,); founders
    (M,), those without parents; y (1, m), 1 for cases; covariates (p, m) or None.
    variants, V of them, has the columns of the .bim file; places (V,) in the .bed file,
    which has `total`.
    """

    bed: Path
    variants: pa.Table
    places: NDArray[np.intp]
    total: int
    used: NDArray[np.bool_]
    founders: NDArray[np.bool_]
    y: Floats
    covariates: Floats | None


class Block(NamedTuple):
    """Hold the genotypes of some variants: how often a sample has the allele ALT.

    Shapes: part, a slice of the V variants, v of them; G (v, m), -1 where missing;
    observed (v, 1), the samples that are not; swapped (v, 1), whether ALT is the
    commoner allele.
    """

    part: slice
    G: NDArray[np.int8]
    observed: NDArray[np.int32]
    swapped: NDArray[np.bool_]


def load(config: GenotypeConfig) -> Study:
    """Return the study that the configuration names, its files checked.

    Raises:
        UserError: a file is missing, broken, or disagrees with another.
    """
    bed = Path(config.bed)
    if bed.suffix != ".bed":
        raise UserError(f"{bed}: data.bed must name a file that ends in .bed")
    fam, bim = bed.with_suffix(".fam"), bed.with_suffix(".bim")
    samples = _parse(fam, _contents(fam), FAM).to_pydict()
    variants = _parse(bim, _contents(bim), BIM, position=pa.int32())
    _check_bed(bed, len(samples["IID"]), len(variants))
    _check_unique(fam, _names(samples, ("FID", "IID")))
    path, labels = _labels(config, fam, samples)
    covariates = _covariates(config, samples)
    used = np.isfinite(np.concatenate([labels, *covariates.values()])).all(axis=0)
    _check_labels(path, labels[:, used], len(covariates))
    rows = {name: row[:, used] for name, row in covariates.items()}
    haploid = pc.match_substring_regex(variants["chromosome"], HAPLOID)
    scanned = variants.filter(pc.invert(haploid))
    if not len(scanned):
        raise UserError(f"{bim}: has no variant beside those on X, Y and MT")
    plain = pc.replace_substring_regex(scanned["chromosome"], "(?i)^chr", "")
    parents = zip(samples["father"], samples["mother"], strict=True)
    return Study(
        bed=bed,
        variants=scanned.set_column(0, "chromosome", plain),
        places=np.flatnonzero(np.logical_not(haploid.to_pylist())),
        total=len(variants),
        used=used,
        founders=np.array([both == ("0", "0") for both in parents]),
        y=labels[:, used].astype(np.float32),
        covariates=_prepared(config, rows) if rows else None,
    )


def parts(study: Study) -> list[slice]:
    """Return the variants in parts, each of which makes a block."""
    # A power of two, in parts of which the scan computes.
    size = 1 << max(1, BLOCK_BYTES // study.used.size).bit_length() - 1
    return [slice(k, k + size) for k in range(0, study.places.size, size)]


def opened(study: Study) -> Any:
    """Return the .bed file, open for `read`."""
    sizes = {"iid_count": study.used.size, "sid_count": study.total}
    return open_bed(study.bed, num_threads=1, **sizes)


def read(study: Study, bed: Any, part: slice) -> Block:
    """Return the block of a part of the variants."""
    G = bed.read(np.s_[:, study.places[part]], dtype="int8").T
    np.maximum(G, -1, out=G)  # it comes with -127 where missing
    founders, G = _of(G, study.founders), _of(G, study.used)
    known, alleles = _counts(founders)
    observed = known if G is founders else _counts(G)[0]
    # PLINK 2 goes by all founders, whether they have a phenotype or not; by its
    # rounding of the frequency of REF, ALT is the rarer in some ties, REF in others.
    with np.errstate(divide="ignore", invalid="ignore"):
        swapped = (2 * known - alleles) * (1 / (2 * known)) < 0.5
    return Block(part, G, observed, swapped)


def _of(G: NDArray[np.int8], samples: NDArray[np.bool_]) -> NDArray[np.int8]:
    return G if samples.all() else np.compress(samples, G, axis=1)


def _counts(G: NDArray[np.int8]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return how many samples are not missing, and how many alleles ALT they have."""
    missing = (G < 0).sum(axis=1, dtype=np.int32, keepdims=True)
    alleles = G.sum(axis=1, dtype=np.int32, keepdims=True) + missing
    return G.shape[1] - missing, alleles


def _contents(path: Path) -> bytes:
    """Return a file with a single tab between words, however they were parted."""
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
    """Return the words of a file, a column under each name."""
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


def _check_bed(bed: Path, samples: int, variants: int) -> None:
    try:
        with bed.open("rb") as file:
            start = file.read(len(MAGIC))
        size = bed.stat().st_size
    except OSError as error:
        raise UserError(f"{bed}: {error.strerror or error}") from error
    if start != MAGIC:
        raise UserError(
            f"{bed}: begins with the bytes {start.hex(' ') or '(none)'}, but a .bed "
            f"file, a variant after the other, begins with {MAGIC.hex(' ')}"
        )
    due = len(MAGIC) + variants * -(-samples // PER_BYTE)
    if size != due:
        raise UserError(
            f"{bed}: has {size} bytes, but {variants} variants of the .bim file and "
            f"{samples} samples of the .fam file make {due}"
        )


def _names(table: Words, keys: Sequence[str]) -> list[str]:
    """Return the names of samples: family and own, or own."""
    return [" ".join(key) for key in zip(*(table[key] for key in keys), strict=True)]


def _check_unique(path: Path, names: list[str], hint: str = "") -> None:
    (name, count), *_ = Counter(names).most_common(1)
    if count > 1:
        raise UserError(f"{path}: the sample {name} is there {count} times{hint}")


def _read_samples(path: Path, kind: str, samples: Words) -> Words:
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
    known, found = _names(samples, keys), _names(table, keys)
    _check_unique(path, found)
    if len(keys) == 1:
        _check_unique(path, known, " in the .fam file: name samples by FID and IID")
    if unknown := set(found) - set(known):
        raise UserError(
            f"{path}: {len(unknown)} of {len(found)} samples are not in the .fam file, "
            f"one of them is {min(unknown)}"
        )
    return {
        name: [words.get(sample, "NA") for sample in known]
        for name in names[len(keys) :]
        for words in [dict(zip(found, table[name], strict=True))]
    }


def _numbers(path: Path, name: str, words: Sequence[str]) -> Numbers:
    """Return the words of a column as a row, NaN where there is no number."""
    numbers = []
    for word in words:
        try:
            # To Python, 1_0 is 10.
            plain = "nan" if word.upper() in MISSING else word.replace("_", "?")
            numbers.append(float(plain))
        except ValueError:
            raise UserError(f"{path}: {name} holds {word!r}, no number") from None
    row = np.array([numbers])
    if (np.abs(row) > LARGEST).any():
        raise UserError(f"{path}: {name} holds numbers that do not fit float32")
    return np.where(row == -9, np.nan, row)


def _picked(path: Path, names: Sequence[str], table: Words) -> dict[str, Numbers]:
    """Return the columns of these names."""
    for name in names:
        if name not in table:
            known = ", ".join(table)
            raise UserError(f"{path}: has no column {name!r}, only {known}")
    return {name: _numbers(path, name, table[name]) for name in names}


def _labels(config: GenotypeConfig, fam: Path, samples: Words) -> tuple[Path, Numbers]:
    """Return the file that has the phenotype, and a row of 0, 1 and NaN for missing."""
    path, name, table = fam, FAM[-1], samples
    if config.phenotype:
        path = Path(config.phenotype)
        table = _read_samples(path, "PHENO", samples)
        name = config.phenotype_name or next(iter(table))
    elif config.phenotype_name:
        raise UserError("data.phenotype_name: data.phenotype names no file")
    row = _picked(path, [name], table)[name]
    control = int(config.coding[0])
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
    row[row < control] = np.nan
    return path, row - control


def _check_labels(path: Path, y: Numbers, covariates: int) -> None:
    cases = int(y.sum())
    if cases in (0, y.size):
        kind = "cases" if cases else "controls"
        raise UserError(
            f"{path}: all {y.size} samples that have a phenotype and all covariates "
            f"are {kind}: there is nothing to tell apart"
            if y.size
            else f"{path}: no sample has a phenotype and all covariates"
        )
    if y.size < covariates + 3:
        raise UserError(
            f"{path}: {y.size} samples have a phenotype and all covariates, too few "
            f"for {covariates} covariates"
        )


def _covariates(config: GenotypeConfig, samples: Words) -> dict[str, Numbers]:
    """Return the covariates by name, rows (1, M), NaN where missing."""
    if not config.covariates:
        if config.covariate_names:
            raise UserError("data.covariate_names: data.covariates names no file")
        return {}
    path = Path(config.covariates)
    table = _read_samples(path, "COVAR", samples)
    return _picked(path, config.covariate_names or list(table), table)


def _prepared(config: GenotypeConfig, covariates: dict[str, Numbers]) -> Floats:
    """Return the covariates (p, m), as they are or of mean 0 and variance 1."""
    for name, row in covariates.items():
        if row.min() == row.max():
            raise UserError(
                f"{config.covariates}: {name} is {row[0, 0]:g} for all samples that "
                "have a phenotype and all covariates: leave it out"
            )
    rows = np.concatenate(list(covariates.values()))
    if np.linalg.eigvalsh(np.atleast_2d(np.corrcoef(rows)))[0] < COLLINEAR:
        raise UserError(
            f"{config.covariates}: {', '.join(covariates)} are collinear: leave out "
            "one that the others make up"
        )
    if config.standardize:
        mean, deviation = (f(rows, axis=1, keepdims=True) for f in (np.mean, np.std))
        rows = (rows - mean) / deviation
    return rows.astype(np.float32)

"""Read genotypes, phenotypes and covariates as PLINK 2 does.

A fileset is three files of one name: genotypes in .bed, a line for each variant in
.bim, a line for each sample in .fam. Genotypes are read in blocks of variants, so that
they may be larger than the memory.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from bed_reader import open_bed
from numpy.typing import NDArray

from experiments.datasets.alleles import allele_counts
from experiments.datasets.files import Files, Floats
from experiments.datasets.sample_tables import (
    FAM,
    Covariate,
    Words,
    case_labels,
    check_labels,
    indicators,
    join_covariates,
    number_row,
    read_columns,
    read_covariate,
    read_samples,
    read_table,
)
from experiments.datasets.standardize import Numbers
from experiments.errors import UserError
from experiments.storage.regular import open_file

BIM = ("chromosome", "id", "distance", "position", "alt", "ref")
# A .bed file begins with these three bytes; then come the genotypes of one variant
# after the other, four samples in a byte.
MAGIC, PER_BYTE = b"\x6c\x1b\x01", 4
# Men have one copy of these chromosomes: a scan would need the sex of each sample.
HAPLOID = "(?i)^(chr)?(X|Y|MT?|23|24|26)$"
LEFT_OUT = "on X, Y and MT or at a negative position"
BLOCK_BYTES = 2**23


class GenotypeConfig(Files):
    """The files of a study; without a fileset, a study is simulated.

    A covariate in words is one of categories.

    Attributes:
        bed: the fileset, the path of its .bed file.
        phenotype: a file as PLINK 2's --pheno takes it; without one, the phenotype is
            that of the .fam file.
        phenotype_name: the column of that file, by default the first.
        covariates: a file as PLINK 2's --covar takes it.
        covariate_names: the columns of that file, by default all.
        coding: the number of controls, and that of cases.
        standardize: whether each covariate gets the mean 0 and the deviation 1.
        min_frequency: of the rarer allele among the samples used; variants below it
            are left out.
        min_count: of the rarer allele among them, likewise.
    """

    bed: str = ""
    phenotype: str = ""
    phenotype_name: str = ""
    covariates: str = ""
    covariate_names: tuple[str, ...] = ()
    coding: Literal["1/2", "0/1"] = "1/2"
    standardize: bool = True
    min_frequency: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.0
    min_count: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 0

    def keeping(self, min_frequency: float, min_count: int) -> GenotypeConfig:
        """Return the same files, without variants whose rarer allele is below these."""
        limits = {"min_frequency": min_frequency, "min_count": min_count}
        return msgspec.structs.replace(self, **limits)

    def paths(self) -> list[Path]:
        """Return the user's files."""
        endings = (".bed", ".bim", ".fam") if self.bed else ()
        tables = [Path(name) for name in (self.phenotype, self.covariates) if name]
        return [*(Path(self.bed).with_suffix(end) for end in endings), *tables]


class Study(NamedTuple):
    """Samples and variants of a case-control study, without the genotypes.

    Shapes: of M samples in the files, m have a phenotype and all covariates: used (M,);
    founders (M,), those without parents; y (1, m), 1 for cases; covariates (p, m) or
    None. variants, V of them, has the columns of the .bim file; places (V,) are their
    places in the .bed file, which has `total` variants. rare is how many more were left
    out because their rarer allele is.
    """

    bed: Path
    variants: pa.Table
    places: NDArray[np.intp]
    total: int
    used: NDArray[np.bool_]
    founders: NDArray[np.bool_]
    y: Floats
    covariates: Floats | None
    rare: int = 0


class Block(NamedTuple):
    """Genotypes of some variants: the number of alleles ALT of each sample.

    Shapes: part, a slice of the V variants, v of them; G (v, m), -1 where missing;
    observed (v, 1), the number of samples with a genotype; swapped (v, 1), whether ALT
    is the more frequent allele.
    """

    part: slice
    G: NDArray[np.int8]
    observed: NDArray[np.int32]
    swapped: NDArray[np.bool_]


def load(config: GenotypeConfig) -> Study:
    """Return the study that the configuration names, its files checked.

    Raises:
        UserError: if a file is missing or broken, or disagrees with another.
    """
    bed = Path(config.bed)
    if bed.suffix != ".bed":
        raise UserError(f"{bed}: data.bed must name a file that ends in .bed")
    fam, bim = bed.with_suffix(".fam"), bed.with_suffix(".bim")
    samples = read_samples(fam)
    variants = read_columns(bim, BIM, position=pa.int32())
    _check_bed(bed, len(samples["IID"]), len(variants))
    path, labels = _labels(config, fam, samples)
    covariates = _covariates(config, samples)
    given = [labels, *(covariate.row for covariate in covariates.values())]
    used = np.asarray(np.isfinite(np.concatenate(given)).all(axis=0))
    rows: dict[str, Numbers] = {}
    for name, (row, categories) in covariates.items():
        rows |= indicators(name, Covariate(row[:, used], categories))
    check_labels(path, labels[:, used], len(rows))
    left_out = pc.or_(
        pc.match_substring_regex(variants["chromosome"], HAPLOID),
        pc.less(variants["position"], 0),
    )
    scanned = variants.filter(pc.invert(left_out))
    if not len(scanned):
        raise UserError(f"{bim}: has no variant other than those {LEFT_OUT}")
    plain = pc.replace_substring_regex(scanned["chromosome"], "(?i)^chr", "")
    parents = zip(samples["father"], samples["mother"], strict=True)
    study = Study(
        bed=bed,
        variants=scanned.set_column(0, "chromosome", plain),
        places=np.flatnonzero(np.logical_not(left_out.to_numpy())),
        total=len(variants),
        used=used,
        founders=np.array([both == ("0", "0") for both in parents]),
        y=labels[:, used].astype(np.float32),
        covariates=(
            join_covariates(config.covariates, rows, config.standardize)
            if rows
            else None
        ),
    )
    return _without_rare(study, config)


def _without_rare(study: Study, config: GenotypeConfig) -> Study:
    """Return the study without variants whose rarer allele is too rare.

    Raises:
        UserError: if none is left.
    """
    if not (config.min_frequency or config.min_count):
        return study
    kept, bed = [], opened(study)
    for part in parts(study):
        known, alleles = allele_counts(read(study, bed, part).G)
        count = np.minimum(alleles, 2 * known - alleles)
        enough = count >= np.maximum(config.min_frequency * 2 * known, config.min_count)
        kept.append(enough[:, 0] & (known > 0)[:, 0])
    chosen = np.flatnonzero(np.concatenate(kept))
    if not chosen.size:
        raise UserError(
            f"{study.bed}: no variant has an allele of at least the frequency "
            f"data.min_frequency = {config.min_frequency:g} and the count "
            f"data.min_count = {config.min_count}: lower them"
        )
    return study._replace(
        variants=study.variants.take(chosen),
        places=study.places[chosen],
        rare=study.places.size - chosen.size,
    )


def parts(study: Study, least: int = 1) -> list[slice]:
    """Return the slices of the variants that make a block each, at least so many.

    Raises:
        UserError: if there are fewer variants.
    """
    variants = study.places.size
    if variants < least:
        raise UserError(f"{variants} variants are fewer than the {least} processes")
    most = min(BLOCK_BYTES // study.used.size, variants // least)
    # A power of two: the scan computes in parts of such sizes.
    size = 1 << max(1, most).bit_length() - 1
    return [slice(k, min(k + size, variants)) for k in range(0, variants, size)]


def opened(study: Study) -> Any:
    """Return the .bed file, open for `read`."""
    sizes = {"iid_count": study.used.size, "sid_count": study.total}
    return open_bed(study.bed, num_threads=1, **sizes)


def read(study: Study, bed: Any, part: slice) -> Block:
    """Return the block of a slice of the variants."""
    G = bed.read(np.s_[:, study.places[part]], dtype="int8").T
    np.maximum(G, -1, out=G)  # bed_reader gives -127 where missing
    founders, G = _select(G, study.founders), _select(G, study.used)
    known, alleles = allele_counts(founders)
    observed = known if G is founders else allele_counts(G)[0]
    # PLINK 2 counts all founders, with a phenotype or without. The rounding of its
    # frequency of REF decides ties, so that ALT is the rarer in some, REF in others.
    with np.errstate(divide="ignore", invalid="ignore"):
        swapped = (2 * known - alleles) * (1 / (2 * known)) < 0.5
    return Block(part, G, observed, swapped)


def _select(G: NDArray[np.int8], samples: NDArray[np.bool_]) -> NDArray[np.int8]:
    return G if samples.all() else np.compress(samples, G, axis=1)


def _check_bed(bed: Path, samples: int, variants: int) -> None:
    with open_file(bed) as file:
        start = file.read(len(MAGIC))
        size = file.seek(0, os.SEEK_END)
    if start != MAGIC:
        raise UserError(
            f"{bed}: begins with the bytes {start.hex(' ') or '(none)'}, but a .bed "
            f"file, a variant after the other, begins with {MAGIC.hex(' ')}"
        )
    expected = len(MAGIC) + variants * -(-samples // PER_BYTE)
    if size != expected:
        raise UserError(
            f"{bed}: has {size} bytes, but {variants} variants of the .bim file and "
            f"{samples} samples of the .fam file make {expected}"
        )


def _labels(config: GenotypeConfig, fam: Path, samples: Words) -> tuple[Path, Numbers]:
    """Return the file of the phenotype, and its labels (1, M), NaN where missing."""
    path, name, table = fam, FAM[-1], samples
    if config.phenotype:
        path = Path(config.phenotype)
        table = read_table(path, "PHENO", samples)
        name = config.phenotype_name or next(iter(table))
    elif config.phenotype_name:
        raise UserError("data.phenotype_name: data.phenotype names no file")
    row = number_row(path, name, table)
    return path, case_labels(path, name, row, config.coding)


def _covariates(config: GenotypeConfig, samples: Words) -> dict[str, Covariate]:
    """Return the covariates by name."""
    if not config.covariates:
        if config.covariate_names:
            raise UserError("data.covariate_names: data.covariates names no file")
        return {}
    path = Path(config.covariates)
    table = read_table(path, "COVAR", samples)
    names = config.covariate_names or list(table)
    return {name: read_covariate(path, name, table) for name in names}

"""A scan of files is PLINK 2's, and that of a plain Newton's method of its own."""

import csv
import itertools
import math
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import NamedTuple

import numpy as np
import pytest

from experiments.datasets import plink, simulation
from experiments.datasets.plink import GenotypeConfig
from experiments.datasets.simulation import SimulationConfig
from experiments.programs import scan
from experiments.runner import TEMPORARY, read_results
from jlogreg import ShapeError
from jlogreg.plots import manhattan, qq
from tests.experiments.conftest import CONFIGS, ROOT, assert_is_png

CONFIG = CONFIGS / "scan.toml"
HEADER = list(scan.COLUMNS)
NUMBERS = HEADER[8:12]

# As many samples in the .fam file; not a multiple of four, which share a byte.
M, VARIANTS = 75, 40
TIE, COMMON, CONSTANT, UNSEEN, SEPARATED, TURNED = range(6)
LAST = {"chr1": 0, "chr2": 20, "X": 35, "MT": 37}  # the first of each chromosome
NONFOUNDERS, UNLABELLED, UNMEASURED = slice(0, 9), slice(20, 25), slice(24, 27)
USED = np.ones(M, bool)
USED[UNLABELLED] = USED[UNMEASURED] = False


class Case(NamedTuple):
    """Hold the files of a small study, and what is in them."""

    bed: object
    phenotype: object
    covariates: object
    G: np.ndarray
    y: np.ndarray
    C: np.ndarray

    @property
    def files(self):
        return [
            f"--data.bed={self.bed}",
            f"--data.phenotype={self.phenotype}",
            f"--data.covariates={self.covariates}",
        ]


def draw():
    """Return genotypes (V, M), labels (M,) and covariates (2, M) with hard places."""
    random = np.random.default_rng(3)
    frequency = random.uniform(0.2, 0.8, (VARIANTS, 1))
    G = random.binomial(2, frequency, (VARIANTS, M))
    C = np.stack([random.normal(50, 10, M), random.normal(size=M)])
    z = 0.08 * (C[:1] - 50) + 0.5 * C[1:] + G[10] - G[10].mean()
    y = (random.random((1, M)) < 1 / (1 + np.exp(-z)))[0].astype(int)
    G[random.random(G.shape) < 0.03] = -1
    # As many ALT as REF among the founders, of whom two are missing.
    G[TIE, 11:] = np.arange(M - 11) % 2 * 2
    G[TIE, 9:11] = -1
    G[COMMON] = random.binomial(2, 0.9, M)
    G[CONSTANT], G[UNSEEN], G[SEPARATED] = 0, -1, 2 * y
    # ALT is the commoner among those that are used, but not among the founders.
    G[TURNED] = random.binomial(1, 0.9, M)
    G[TURNED, NONFOUNDERS] = 2
    return G, y, C


def write_bed(path, G):
    """Write genotypes (V, M), packed by hand: two bits each, the first the lowest."""
    codes = np.array([3, 2, 0, 1])[G]  # -1 is the last
    padded = np.pad(codes, ((0, 0), (0, -G.shape[1] % 4)))
    packed = (padded.reshape(len(G), -1, 4) << np.array([0, 2, 4, 6])).sum(axis=2)
    path.write_bytes(b"\x6c\x1b\x01" + packed.astype(np.uint8).tobytes())


def write_lines(path, *rows):
    path.write_text("".join(" ".join(map(str, row)) + "\n" for row in rows))
    return path


@pytest.fixture
def case(tmp_path):
    """Return a study, its phenotype and covariate files in orders of their own."""
    G, y, C = draw()
    folder = tmp_path / "study"
    folder.mkdir()
    write_bed(folder / "a.bed", G)
    chromosomes = [max((s, c) for c, s in LAST.items() if s <= j)[1] for j in range(40)]
    lines = [
        f"{name}\tv{j}\t0\t{100 + j}\tA\tG\n" for j, name in enumerate(chromosomes)
    ]
    (folder / "a.bim").write_text("".join(lines))
    founders = np.ones(M, bool)
    founders[NONFOUNDERS] = False
    rows = [
        [f"f{k}", f"s{k}", 0 if founders[k] else "s70", 0, 1 + k % 2, 1 + y[k]]
        for k in range(M)
    ]
    write_lines(folder / "a.fam", *rows)
    labels = [str(1 + label) for label in y]
    labels[UNLABELLED] = ["NA", "-9", "0", "nan", None]  # the last has no line
    phenotypes = [
        [f"f{k}", f"s{k}", k / 7, label] for k, label in enumerate(labels) if label
    ]
    values = [[f"{value:.6f}" for value in row] for row in C.T]
    values[24][0], values[25][1], values[26][0] = "NA", "-9", "nan"
    covariates = [[f"f{k}", f"s{k}", *row] for k, row in enumerate(values)]
    return Case(
        folder / "a.bed",
        write_lines(
            folder / "a.phe", ["#FID", "IID", "Q", "CC"], *reversed(phenotypes)
        ),
        write_lines(folder / "a.cov", ["#FID", "IID", "AGE", "PC"], *covariates[::-1]),
        G,
        y,
        np.array(C).round(6),
    )


@pytest.fixture
def files(case):
    """Return the settings that name the study."""
    return [*case.files, "--data.phenotype_name=CC", "--figures=false"]


def read_table(path):
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert list(rows[0]) == HEADER
    return rows


def newton(g, C, y):
    """Return log-odds and standard error of the allele counts g, in float64."""
    seen = g >= 0
    X = np.concatenate([np.ones((1, g.size)), C, g[None]])[:, seen]
    X[1:3] = (X[1:3] - X[1:3].mean(axis=1)[:, None]) / X[1:3].std(axis=1)[:, None]
    w = np.zeros((len(X), 1))
    for _ in range(30):
        a = 1 / (1 + np.exp(-(w.T @ X)))
        inverse = np.linalg.inv((X * a * (1 - a)) @ X.T)
        w -= inverse @ X @ (a - y[None, seen]).T
    return w[-1, 0], math.sqrt(inverse[-1, -1])


def log10_p(z):
    """Return -log10 of the two-sided p-value of Wald's test."""
    return -math.log10(math.erfc(abs(z) / math.sqrt(2)))


# --- the table ------------------------------------------------------------------------


def test_the_table_is_that_of_newtons_method(case, files, run_ok):
    folder, out = run_ok(CONFIG, *files)
    assert out.startswith(
        f"35 variants; {USED.sum()} samples, {case.y[USED].sum()} of them cases; "
        "2 covariates\n5 variants on X, Y and MT are left out.\n"
        "7 samples without a phenotype or a covariate are left out.\n"
    )
    rows = read_table(folder / "scan.glm.logistic")
    assert [row["ID"] for row in rows] == [f"v{j}" for j in range(35)]
    founders = np.arange(M) >= 9
    for j, row in enumerate(rows):
        g = case.G[j]
        assert row["#CHROM"] == ("1" if j < 20 else "2")
        assert (row["POS"], row["REF"], row["ALT"]) == (str(100 + j), "G", "A")
        assert row["TEST"] == "ADD"
        assert int(row["OBS_CT"]) == (g[USED] >= 0).sum()
        seen = g[founders & (g >= 0)]
        if j != TIE and seen.size:
            assert row["A1"] == ("G" if seen.mean() > 1 else "A")
        if j in (CONSTANT, UNSEEN, SEPARATED):
            assert [row[name] for name in NUMBERS] == ["NA"] * 4
            assert row["ERRCODE"] == row["ERRCODE"].upper() != "."
            continue
        assert row["ERRCODE"] == "."
        beta, error = newton(g[USED], case.C[:, USED], case.y[USED])
        beta = -beta if row["A1"] == "G" else beta
        found = [float(row[name]) for name in NUMBERS]
        assert found[0] == pytest.approx(beta, abs=1e-4 * error)
        assert found[1] == pytest.approx(error, rel=1e-4)
        assert found[2] == pytest.approx(beta / error, abs=2e-4)
        assert found[3] == pytest.approx(log10_p(beta / error), abs=2e-4)
    assert rows[COMMON]["A1"] == "G"
    assert rows[TURNED]["A1"] == "A"
    assert case.G[TURNED, USED].mean() > 1

    results = {row["quantity"]: row["value"] for row in read_results(folder)}
    z = np.array([float(row["Z_STAT"]) for row in rows if row["Z_STAT"] != "NA"])
    best = max(rows, key=lambda row: float(row["LOG10_P"].replace("NA", "0")))
    assert results["variants"] == "35"
    assert results["samples"] == str(USED.sum())
    assert results["cases"] == str(case.y[USED].sum())
    assert results["fits that converged"] == str(z.size) == "32"
    assert results["variant with the smallest p"] == best["ID"]
    top = float(results["its −log10 p"])
    assert top == pytest.approx(float(best["LOG10_P"]), rel=1e-5)
    inflation = float(results["genomic inflation λ"])
    assert inflation == pytest.approx(np.median(z**2) / 0.454936, rel=1e-4)
    assert not list(folder.glob("*.png"))


@pytest.mark.skipif(shutil.which("plink2") is None, reason="plink2 is not on the PATH")
def test_the_table_is_that_of_plink_2(case, files, run_ok, tmp_path):
    folder, _ = run_ok(CONFIG, *files)
    words = [
        "plink2", "--bfile", case.bed.with_suffix(""), "--pheno", case.phenotype,
        "--pheno-name", "CC", "--covar", case.covariates, "--autosome", "--glm",
        "hide-covar", "no-firth", "log10", "cols=+beta", "--covar-variance-standardize",
        "--threads", "1", "--out", tmp_path / "plink",
    ]  # fmt: skip
    subprocess.run(list(map(str, words)), check=True, capture_output=True)
    due = read_table(tmp_path / "plink.CC.glm.logistic")
    rows = read_table(folder / "scan.glm.logistic")
    assert len(rows) == len(due)
    for row, other in zip(rows, due, strict=True):
        for name in HEADER[:8]:
            assert row[name] == other[name], (name, row, other)
        assert (row["ERRCODE"] == ".") == (other["ERRCODE"] == ".")
        if row["ERRCODE"] != ".":
            assert [row[name] for name in NUMBERS] == [other[name] for name in NUMBERS]
            continue
        found, expected = ([float(r[name]) for name in NUMBERS] for r in (row, other))
        error = expected[1]
        assert found[0] == pytest.approx(expected[0], abs=1e-3 * error)
        # PLINK 2 takes its standard errors from where the last step began; that ours
        # are right is what the test above says.
        assert found[1] == pytest.approx(error, rel=0.02)
        assert found[2] == pytest.approx(expected[2], rel=0.02, abs=1e-3)
        assert found[3] == pytest.approx(expected[3], rel=0.04, abs=1e-3)
    assert {row["A1"] for row in rows} == {"A", "G"}


def test_blocks_of_any_size_make_the_same_table(files, run_ok, runs, monkeypatch):
    folder, _ = run_ok(CONFIG, *files)
    monkeypatch.setattr(plink, "BLOCK_BYTES", 4 * M)
    again, _ = run_ok(CONFIG, *files, runs=runs / "other")
    name = "scan.glm.logistic"
    for row, other in zip(
        read_table(folder / name), read_table(again / name), strict=True
    ):
        for key in HEADER:
            if key in NUMBERS and row[key] != "NA":
                assert float(row[key]) == pytest.approx(
                    float(other[key]), abs=1e-4, rel=1e-4
                )
            else:
                assert row[key] == other[key]


# --- files in other forms -------------------------------------------------------------


def loaded(*overrides):
    """Return the study that `--data.key=value` settings name."""
    pairs = [word.removeprefix("--data.").partition("=") for word in overrides]
    values = {key: value for key, _, value in pairs if not key.startswith("--")}
    if "covariate_names" in values:
        values["covariate_names"] = tuple(values["covariate_names"].split(","))
    if "standardize" in values:
        values["standardize"] = values["standardize"] == "true"
    return plink.load(GenotypeConfig(**values))


def test_samples_and_labels_are_those_of_the_files(case, files):
    study = loaded(*files)
    np.testing.assert_array_equal(study.used, USED)
    np.testing.assert_array_equal(study.y, case.y[None, USED])
    np.testing.assert_array_equal(np.flatnonzero(~study.founders), np.r_[NONFOUNDERS])
    C = case.C[:, USED]
    due = (C - C.mean(axis=1)[:, None]) / C.std(axis=1)[:, None]
    np.testing.assert_allclose(study.covariates, due, atol=1e-6)
    plain = loaded(*files, "--data.standardize=false")
    np.testing.assert_array_equal(plain.covariates, C.astype(np.float32))
    assert study.y.dtype == study.covariates.dtype == np.float32


def test_genotypes_are_read_as_they_were_written(case, files):
    study = loaded(*files)
    bed = plink.opened(study)
    block = plink.read(study, bed, slice(0, 35))
    assert block.G.dtype == np.int8
    assert block.G.flags.c_contiguous
    np.testing.assert_array_equal(block.G, case.G[:35, USED])
    np.testing.assert_array_equal(
        block.observed[:, 0], (case.G[:35, USED] >= 0).sum(axis=1)
    )
    some = plink.read(study, bed, slice(7, 11))
    np.testing.assert_array_equal(some.G, case.G[7:11, USED])


def test_variants_between_others_are_read_from_their_places(case, files):
    bim = case.bed.with_suffix(".bim")
    lines = bim.read_text().splitlines(keepends=True)
    lines[3] = lines[3].replace("chr1", "chrX")
    lines[5] = lines[5].replace("chr1", "24")
    bim.write_text("".join(lines))
    study = loaded(*files)
    kept = [j for j in range(35) if j not in (3, 5)]
    assert study.variants["id"].to_pylist() == [f"v{j}" for j in kept]
    block = plink.read(study, plink.opened(study), slice(2, 9))
    np.testing.assert_array_equal(block.G, case.G[kept[2:9]][:, USED])


def rewrite(path, change):
    """Write each line of a file anew, given as a list of words."""
    lines = path.read_text().splitlines()
    write_lines(path, *(change(k, line.split()) for k, line in enumerate(lines)))


SAME = {
    "tabs": lambda case: case.covariates.write_text(
        case.covariates.read_text().replace(" ", "\t")
    ),
    "other line ends": lambda case: case.covariates.write_text(
        case.covariates.read_text().replace("\n", " \r\n")
    ),
    "blanks in the .bim": lambda case: rewrite(
        case.bed.with_suffix(".bim"), lambda _, words: words
    ),
    "no number sign": lambda case: rewrite(
        case.phenotype, lambda k, words: ["FID", *words[1:]] if k == 0 else words
    ),
    "names without families": lambda case: rewrite(
        case.covariates, lambda k, words: ["#IID", *words[2:]] if k == 0 else words[1:]
    ),
    "numbers as floats": lambda case: rewrite(
        case.phenotype,
        lambda k, words: (
            [*words[:3], {"1": "1.0", "-9": "-9.0"}.get(words[3], "2e0")]
            if words[3] in ("1", "2", "-9")
            else words
        ),
    ),
    "empty lines": lambda case: case.covariates.write_text(
        "\n\n" + case.covariates.read_text() + "\n"
    ),
    "no last line end": lambda case: case.phenotype.write_text(
        case.phenotype.read_text().rstrip()
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_files_may_be_written_otherwise(name, case, files):
    due = loaded(*files)
    SAME[name](case)
    study = loaded(*files)
    np.testing.assert_array_equal(study.y, due.y)
    np.testing.assert_array_equal(study.covariates, due.covariates)
    assert study.variants.equals(due.variants)


def test_a_file_without_a_header_names_its_columns_by_number(case):
    for path in (case.phenotype, case.covariates):
        path.write_text(path.read_text().partition("\n")[2])
    names = ["--data.phenotype_name=PHENO2", "--data.covariate_names=COVAR2,COVAR1"]
    study = loaded(*case.files, *names, "--data.standardize=false")
    np.testing.assert_array_equal(study.y, case.y[None, USED])
    np.testing.assert_array_equal(
        study.covariates, case.C[::-1, USED].astype(np.float32)
    )


def test_the_first_phenotype_is_taken_and_the_fam_files_without_any(case):
    rewrite(case.phenotype, lambda k, words: [*words[:2], words[3], words[2]])
    np.testing.assert_array_equal(loaded(*case.files).y, case.y[None, USED])
    study = loaded(f"--data.bed={case.bed}")
    np.testing.assert_array_equal(study.y, case.y[None])
    assert study.covariates is None
    assert study.used.all()


def test_the_coding_may_be_0_and_1(case, files):
    codes = {"1": "0", "2": "1", "0": "NA"}
    rewrite(
        case.phenotype,
        lambda k, words: [*words[:3], codes.get(words[3], words[3])],
    )
    study = loaded(*files, "--data.coding=0/1")
    np.testing.assert_array_equal(study.y, case.y[None, USED])


def test_only_the_covariates_that_are_named_are_read(case, files):
    rewrite(
        case.covariates,
        lambda k, words: [*words, "CITY" if k == 0 else "Berlin"],
    )
    study = loaded(*files, "--data.covariate_names=PC")
    assert study.covariates.shape == (1, 69)


# --- bad input ------------------------------------------------------------------------


def cut(case, path=None, keep=-1):
    path = path or case.bed
    path.write_bytes(path.read_bytes()[:keep])


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def bim(case):
    return case.bed.with_suffix(".bim")


def fam(case):
    return case.bed.with_suffix(".fam")


def relabel(case, label):
    rewrite(case.phenotype, lambda k, words: [*words[:3], label] if k else words)


def add(path, *words):
    path.write_text(path.read_text() + " ".join(words) + "\n")


def recode(case):
    rewrite(
        case.phenotype,
        lambda k, words: (
            [*words[:3], {"1": "0", "2": "1"}.get(words[3], "NA")] if k else words
        ),
    )


# What is done to the files, which settings change, and what the message says.
BAD = {
    "no .bed": (lambda c: c.bed.unlink(), [], "a.bed: No such file"),
    "no .bim": (lambda c: bim(c).unlink(), [], "a.bim: No such file"),
    "no .fam": (lambda c: fam(c).unlink(), [], "a.fam: No such file"),
    "no phenotype": (lambda c: c.phenotype.unlink(), [], "a.phe: No such file"),
    "no covariates": (lambda c: c.covariates.unlink(), [], "a.cov: No such file"),
    "truncated": (cut, [], f"has {3 + 19 * 40 - 1} bytes, but 40 variants"),
    "too long": (
        lambda c: c.bed.write_bytes(c.bed.read_bytes() + b"\0"), [], "bytes, but 40",
    ),
    "empty .bed": (lambda c: cut(c, keep=0), [], "a.bed: begins with"),
    "wrong magic": (
        lambda c: c.bed.write_bytes(b"PK\3\4" + c.bed.read_bytes()[4:]), [],
        "a.bed: begins with the bytes 50 4b 03, but",
    ),
    "sample after sample": (
        lambda c: c.bed.write_bytes(b"\x6c\x1b\0" + c.bed.read_bytes()[3:]), [],
        "a.bed: begins with the bytes 6c 1b 00",
    ),
    "not a .bed": (lambda c: None, ["--data.bed=a.vcf"], "a.vcf: data.bed must name"),
    "a .bim line less": (
        lambda c: bim(c).write_text(bim(c).read_text().partition("\n")[2]), [],
        "but 39 variants of the .bim file and 75 samples of the .fam file make",
    ),
    "four .fam lines less": (
        lambda c: fam(c).write_text(fam(c).read_text().split("\n", 4)[4]), [],
        "71 samples of the .fam file make",
    ),
    "ragged .bim": (
        lambda c: replace(bim(c), "v7\t0\t", "v7\t"), [],
        "a.bim: CSV parse error: Row #8: Expected 6 columns, got 5",
    ),
    "ragged .fam": (lambda c: replace(fam(c), "s70 0", "s70"), [], "a.fam: CSV parse"),
    "long .bim line": (
        lambda c: replace(bim(c), "v7\t0", "v7\t0\t0"), [], "Expected 6 columns, got 7",
    ),
    "ragged phenotype": (
        lambda c: add(c.phenotype, "f1 s1"), [], "a.phe: CSV parse error: ",
    ),
    "position": (
        lambda c: replace(bim(c), "\t107\t", "\tx\t"), [], "invalid value 'x'",
    ),
    "binary .fam": (
        lambda c: fam(c).write_bytes(b"\xff \xfe" + fam(c).read_bytes()[1:]), [],
        "a.fam: ",
    ),
    "empty .bim": (lambda c: bim(c).write_text("\n\n"), [], "a.bim: is empty"),
    "empty phenotype": (lambda c: c.phenotype.write_text(""), [], "a.phe: is empty"),
    "only a header": (
        lambda c: c.covariates.write_text("#IID AGE\n"), [], "a.cov: names no sample",
    ),
    "unknown sample": (
        lambda c: add(c.phenotype, "f1 s999 1 2"), [],
        "a.phe: 1 of 75 samples are not in the .fam file, one of them is f1 s999",
    ),
    "unknown family": (
        lambda c: replace(c.covariates, "f9 ", "f8 "), [], "one of them is f8 s9",
    ),
    "no overlap": (
        lambda c: rewrite(
            c.covariates, lambda k, w: [w[0], f"x{w[1]}", *w[2:]] if k else w
        ),
        [], "a.cov: 75 of 75 samples are not in the .fam file, one of them is f0 xs0",
    ),
    "twice in the .fam": (
        lambda c: replace(fam(c), "f9 s9 ", "f8 s8 "), [],
        "a.fam: the sample f8 s8 is there 2 times",
    ),
    "twice in the phenotype": (
        lambda c: add(c.phenotype, "f1 s1 1 2"), [], "sample f1 s1 is there 2 times",
    ),
    "families needed": (
        lambda c: (
            replace(fam(c), "f9 s9 ", "f9 s8 "),
            c.phenotype.write_text("#IID CC\ns8 1\n"),
        ),
        ["--data.covariates="],
        "the sample s8 is there 2 times in the .fam file: name samples by FID and IID",
    ),
    "another header": (
        lambda c: replace(c.covariates, "#FID IID", "#FID NAME"), [],
        "a.cov: its first line must be #FID IID or #IID",
    ),
    "columns of one name": (
        lambda c: replace(c.covariates, "AGE PC", "PC PC"), [], "a.cov: its first line",
    ),
    "no columns": (
        lambda c: c.covariates.write_text("#IID\ns1\n"), [], "a.cov: its first line",
    ),
    "no such phenotype": (
        lambda c: None, ["--data.phenotype_name=BMI"],
        "a.phe: has no column 'BMI', only Q, CC",
    ),
    "no such covariate": (
        lambda c: None, ['--data.covariate_names=["SEX"]'],
        "a.cov: has no column 'SEX', only AGE, PC",
    ),
    "all cases": (lambda c: relabel(c, "2"), [], "a.phe: all 72 samples that have"),
    "all controls": (lambda c: relabel(c, "1"), [], "are controls: there is nothing"),
    "no labels": (lambda c: relabel(c, "NA"), [], "a.phe: no sample has a phenotype"),
    "only unmeasured": (
        lambda c: rewrite(
            c.covariates, lambda k, w: w if k == 0 else [*w[:2], "NA", w[3]]
        ),
        [], "a.phe: no sample has a phenotype and all covariates",
    ),
    "quantitative": (
        lambda c: None, ["--data.phenotype_name=Q"], "but must be 1 for control, 2 for",
    ),
    "words": (lambda c: relabel(c, "ill"), [], "a.phe: CC holds 'ill', no number"),
    "a number of Python's": (
        lambda c: replace(c.covariates, "f9 s9 ", "f9 s9 1_"), [], "AGE holds '1_",
    ),
    "0 and 1": (recode, [], "CC holds 0 and 1, but 1 is control, 2 case"),
    "1 and 2 as 0 and 1": (
        lambda c: None, ["--data.coding=0/1"], "CC holds 2, but must be 0 for control",
    ),
    "coding": (lambda c: None, ["--data.coding=2/1"], "data.coding"),
    "words as a covariate": (
        lambda c: replace(c.covariates, "f9 s9 ", "f9 s9 old"), [],
        "a.cov: AGE holds 'old",
    ),
    "infinite covariate": (
        lambda c: rewrite(
            c.covariates, lambda k, w: [*w[:3], "inf"] if w[1] == "s9" else w
        ),
        [], "a.cov: PC holds numbers that do not fit float32",
    ),
    "constant covariate": (
        lambda c: rewrite(c.covariates, lambda k, w: [*w[:3], "7" if k else w[3]]), [],
        "a.cov: PC is 7 for all samples that have",
    ),
    "collinear covariates": (
        lambda c: rewrite(c.covariates, lambda k, w: [*w, w[2] if k else "AGE2"]), [],
        "a.cov: AGE, PC, AGE2 are collinear",
    ),
    "too few samples": (
        lambda c: c.phenotype.write_text("#IID CC\ns1 1\ns2 2\ns3 1\ns4 2\n"), [],
        "a.phe: 4 samples have a phenotype and all covariates, too few for 2",
    ),
    "only X": (
        lambda c: rewrite(bim(c), lambda k, w: ["X", *w[1:]]), [],
        "a.bim: has no variant other than those on X, Y and MT",
    ),
    "a phenotype alone": (
        lambda c: None, ["--data.bed="], "data.bed is not set: name the fileset",
    ),
    "a name without a file": (
        lambda c: None, ["--data.phenotype="], "data.phenotype_name: data.pheno",
    ),
    "covariates without a file": (
        lambda c: None, ["--data.covariates=", '--data.covariate_names=["AGE"]'],
        "data.covariate_names: data.covariates names no file",
    ),
    "few to simulate": (
        lambda c: None, ["--simulation.samples=3"], "simulation.samples",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_nothing_is_written(name, case, files, refused):
    change, overrides, words = BAD[name]
    change(case)
    if name in ("too few samples", "families needed"):
        files = [*files, "--data.phenotype_name=CC"]
    line = refused(CONFIG, *files, *overrides)
    assert words in line


# --- runs -----------------------------------------------------------------------------

SMALL = ["--simulation.samples=76", "--simulation.variants=40"]


def test_without_files_a_fileset_is_simulated(run_ok):
    folder, out = run_ok(CONFIG, *SMALL)
    assert out.startswith(
        f"Simulating a fileset in {folder / 'fileset'}\n40 variants; "
    )
    assert {path.name for path in folder.iterdir()} == {
        ".lock", "config.toml", "environment.json", "fileset", "manhattan.png",
        "qq.png", "results.csv", "scan.glm.logistic",
    }  # fmt: skip
    assert_is_png(folder / "manhattan.png")
    assert_is_png(folder / "qq.png")
    rows = read_table(folder / "scan.glm.logistic")
    assert [row["ID"] for row in rows] == [f"rs{k}" for k in range(1, 41)]
    assert [row["#CHROM"] for row in rows] == [str(1 + k // 10) for k in range(40)]


def test_what_is_simulated_has_causes_where_it_says(tmp_path):
    config = simulation.simulate_study(tmp_path / "a", SimulationConfig(), seed=0)
    again = simulation.simulate_study(tmp_path / "b", SimulationConfig(), seed=0)
    for path, other in zip(config.paths(), again.paths(), strict=True):
        assert path.read_bytes() == other.read_bytes()
    other = simulation.simulate_study(tmp_path / "c", SimulationConfig(), seed=1)
    assert other.paths()[0].read_bytes() != config.paths()[0].read_bytes()
    study = plink.load(config)
    assert study.places.size == 5000
    assert study.covariates.shape == (3, study.y.size)
    assert 0.97 <= study.used.mean() < 1
    G = plink.read(study, plink.opened(study), slice(0, 5000)).G.astype(float)
    assert 0.008 < (G < 0).mean() < 0.012
    G[G < 0] = np.nan
    G -= np.nanmean(G, axis=1, keepdims=True)
    G = np.nan_to_num(G) / np.nanstd(G, axis=1, keepdims=True)
    y = (study.y - study.y.mean()) / study.y.std()
    r = (G @ y.T)[:, 0] / y.size
    # Three chromosomes have a tower, the last has none; neighbours are alike.
    peaks = np.abs(r).reshape(4, 1250).max(axis=1)
    assert (peaks[:3] > 0.15).all()
    assert peaks[3] < 0.15
    near = (G[:-1] * G[1:]).mean(axis=1)
    assert 0.4 < np.median(np.abs(near)) < 1
    assert np.abs(near[[1249, 2499, 3749]]).max() < 0.2


class Killed(BaseException):
    """Nothing between here and the test catches this, as nothing catches a kill."""


@pytest.mark.parametrize("failing", ["read", "_write"])
@pytest.mark.parametrize("at", [1, 3])
def test_a_kill_leaves_no_table_and_the_same_command_makes_it(
    failing, at, files, run_ok, run_cli, runs, tmp_path, monkeypatch
):
    monkeypatch.setattr(plink, "BLOCK_BYTES", 8 * M)  # five blocks
    due, _ = run_ok(CONFIG, *files, runs=tmp_path / "due")
    place = plink if failing == "read" else scan
    plain, calls = getattr(place, failing), itertools.count(1)

    def fail(*arguments):
        if next(calls) == at:
            raise Killed
        return plain(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(place, failing, fail)
        with pytest.raises(Killed):
            run_cli(CONFIG, *files)
    (folder,) = runs.iterdir()
    assert not (folder / "scan.glm.logistic").exists()
    assert not (folder / "results.csv").exists()
    result = run_cli(CONFIG, *files)
    assert (result.code, result.err) == (0, "")
    names = {path.name for path in folder.iterdir()}
    assert names == {path.name for path in due.iterdir()}
    for name in ("scan.glm.logistic", "results.csv"):
        assert (folder / name).read_bytes() == (due / name).read_bytes()


def test_sigkill_leaves_no_table(files, run_cli, runs):
    words = ["-m", "experiments", "run", CONFIG, *files, "--runs", runs]
    with subprocess.Popen(
        [sys.executable, *map(str, words)], cwd=ROOT, stdout=subprocess.DEVNULL
    ) as victim:
        deadline = time.monotonic() + 50
        while not list(runs.glob(f"*/{TEMPORARY}scan*")):
            assert victim.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        victim.send_signal(signal.SIGKILL)
        assert victim.wait() == -signal.SIGKILL
    (folder,) = runs.iterdir()
    assert not (folder / "scan.glm.logistic").exists()
    assert run_cli(CONFIG, *files).code == 0
    assert len(read_table(folder / "scan.glm.logistic")) == 35
    assert not list(folder.glob(f"{TEMPORARY}*"))


def test_other_genotypes_are_another_run(case, files, run_ok, run_cli):
    run_ok(CONFIG, *files)
    assert "Finished before" in run_cli(CONFIG, *files).out
    content = bytearray(case.bed.read_bytes())
    content[100] ^= 0xFF
    case.bed.write_bytes(content)
    run_ok(CONFIG, *files)  # in a folder of its own


# --- reading ahead --------------------------------------------------------------------


def test_what_is_made_ahead_comes_in_order():
    made = scan._ahead(lambda k: k * k, range(20))
    assert list(made) == [k * k for k in range(20)]
    assert list(scan._ahead(abs, [])) == []


def test_a_thread_of_its_own_makes_it_and_is_only_a_little_ahead():
    asked, threads = [], set()

    def arguments():
        for k in range(20):
            asked.append(k)
            yield k

    def make(k):
        threads.add(threading.current_thread())
        return k

    for k in scan._ahead(make, arguments()):
        assert len(asked) <= k + 1 + scan.WAITING
    assert len(threads) == 1
    assert threading.current_thread() not in threads


def test_an_error_ahead_arrives_in_its_place():
    made = scan._ahead(lambda k: 1 / (3 - k), range(10))
    found = list(itertools.islice(made, 3))
    assert found == [1 / 3, 1 / 2, 1]
    with pytest.raises(ZeroDivisionError):
        next(made)


# --- figures --------------------------------------------------------------------------


def column(*values):
    return np.array([values], np.float32).T


def test_peaks_that_reach_the_line_are_labelled_once_each():
    position = column(*range(100), *range(100))
    log10_p = np.zeros((200, 1), np.float32)
    log10_p[[20, 21, 150]], log10_p[60] = column(-9, -12, -8), np.nan
    names = [f"v{k}$" for k in range(200)]
    chromosome = ["1"] * 100 + ["2"] * 100
    (axes,) = manhattan(position, log10_p, chromosome, names).axes
    assert [text.get_text() for text in axes.texts] == [r"v21\$", r"v150\$"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2"]
    drawn = [line.get_ydata() for line in axes.lines if len(line.get_ydata()) > 2]
    assert [len(y) for y in drawn] == [99, 100]
    assert np.nanmax(drawn[0]) == 12
    starts = [line.get_xdata().min() for line in axes.lines[:2]]
    ends = [line.get_xdata().max() for line in axes.lines[:2]]
    assert starts[0] < ends[0] < starts[1] < ends[1]


@pytest.mark.parametrize("log10_p", [0.0, np.nan])
def test_a_scan_without_peaks_is_drawn(log10_p):
    values = np.full((3, 1), log10_p, np.float32)
    (axes,) = manhattan(column(1, 1, 1), values, "123", "abc").axes
    assert not axes.texts
    assert qq(values).axes[0].get_title() == f"{3 * (log10_p == 0)} variants"


def test_names_that_are_too_few_are_refused():
    with pytest.raises(ShapeError, match="names has length 2, but there are 3"):
        manhattan(column(1, 2, 3), column(-1, -2, -3), "111", "ab")


def test_qq_draws_what_is_expected_against_what_was_found():
    p = (np.arange(1000) + 0.5) / 1000
    (axes,) = qq(column(*np.log10(p)), inflation=1.02).axes
    x, y = axes.lines[0].get_data()
    np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)
    assert axes.get_title() == "1000 variants, inflation λ = 1.020"


def test_of_points_in_the_same_place_one_is_drawn():
    random = np.random.default_rng(0)
    position = column(*np.repeat([1, 2, 3], 10_000))
    log10_p = -column(*random.integers(0, 5, 30_000))
    (axes,) = manhattan(position, log10_p, ["1"] * 30_000).axes
    assert len(axes.lines[0].get_xdata()) == 15

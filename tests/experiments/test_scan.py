"""A scan of files is PLINK 2's, and that of fits by scikit-learn one by one."""

import csv
import itertools
import math
import shutil
import subprocess
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from experiments.datasets import plink, simulation
from experiments.datasets.plink import GenotypeConfig
from experiments.datasets.simulation import SimulationConfig
from experiments.programs import scan
from experiments.runner import read_results
from tests.experiments.conftest import CONFIGS, Killed, contents, fails_at, only_folder
from tests.oracles.sklearn_fit import information, refit

CONFIG = CONFIGS / "scan.toml"
TABLE = "scan.glm.logistic"
KINDS = ("bed", "bim", "fam", "phe", "cov")
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
    """The files of a small study, a.bed and the like, and their contents."""

    folder: Path
    G: np.ndarray
    y: np.ndarray
    C: np.ndarray

    def file(self, kind):
        return self.folder / f"a.{kind}"

    @property
    def files(self):
        names = {"bed": "bed", "phenotype": "phe", "covariates": "cov"}
        return [f"--data.{key}={self.file(kind)}" for key, kind in names.items()]


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
    rows = [[f"f{k}", f"s{k}", k / 7, label] for k, label in enumerate(labels) if label]
    write_lines(folder / "a.phe", ["#FID", "IID", "Q", "CC"], *reversed(rows))
    values = [[f"{value:.6f}" for value in row] for row in C.T]
    values[24][0], values[25][1], values[26][0] = "NA", "-9", "nan"
    rows = [[f"f{k}", f"s{k}", *row] for k, row in enumerate(values)]
    write_lines(folder / "a.cov", ["#FID", "IID", "AGE", "PC"], *reversed(rows))
    return Case(folder, G, y, np.array(C).round(6))


@pytest.fixture
def files(case):
    """Return the settings that name the study."""
    return [*case.files, "--data.phenotype_name=CC", "--figures=false"]


def read_table(folder):
    with (folder / TABLE).open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert list(rows[0]) == HEADER
    return rows


def numbers_of(row):
    return [float(row[name]) for name in NUMBERS]


def expected_numbers(g, C, y):
    """Return log-odds, standard error, z and -log10 p of the allele counts g."""
    seen = g >= 0
    X = np.vstack([C, g])[:, seen]
    params = refit(X, y[seen])
    error = math.sqrt(np.linalg.inv(information(params, X))[-2, -2])
    z = params[-2] / error
    return params[-2], error, z, -math.log10(math.erfc(abs(z) / math.sqrt(2)))


# --- the table ------------------------------------------------------------------------


def test_the_table_is_that_of_fits_one_by_one(case, files, run_ok):
    folder, out = run_ok(CONFIG, *files)
    assert out.startswith(
        f"35 variants; {USED.sum()} samples, {case.y[USED].sum()} of them cases; "
        "2 covariates\n5 variants on X, Y and MT are left out.\n"
        "7 samples without a phenotype or a covariate are left out.\n"
    )
    rows = read_table(folder)
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
        beta, error, z, log10_p = expected_numbers(
            g[USED], case.C[:, USED], case.y[USED]
        )
        sign, found = -1 if row["A1"] == "G" else 1, numbers_of(row)
        assert found[0] == pytest.approx(sign * beta, abs=1e-4 * error)
        assert found[1] == pytest.approx(error, rel=1e-4)
        assert found[2:] == pytest.approx([sign * z, log10_p], abs=2e-4)
    assert rows[COMMON]["A1"] == "G"
    assert rows[TURNED]["A1"] == "A"
    assert case.G[TURNED, USED].mean() > 1

    results = {row["quantity"]: row["value"] for row in read_results(folder)}
    numbers = [len(rows), USED.sum(), case.y[USED].sum(), 32]
    for name, number in zip(
        ("variants", "samples", "cases", "fits that converged"), numbers, strict=True
    ):
        assert results[name] == str(number)
    z = np.array([float(row["Z_STAT"]) for row in rows if row["Z_STAT"] != "NA"])
    best = max(rows, key=lambda row: float(row["LOG10_P"].replace("NA", "0")))
    assert z.size == 32
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
        "plink2", "--bfile", case.folder / "a", "--pheno", case.file("phe"),
        "--pheno-name", "CC", "--covar", case.file("cov"), "--autosome", "--glm",
        "hide-covar", "no-firth", "log10", "cols=+beta", "--covar-variance-standardize",
        "--threads", "1", "--out", tmp_path / "plink",
    ]  # fmt: skip
    subprocess.run(list(map(str, words)), check=True, capture_output=True)
    (tmp_path / "plink.CC.glm.logistic").rename(tmp_path / TABLE)
    rows, due = read_table(folder), read_table(tmp_path)
    for row, other in zip(rows, due, strict=True):
        for name in HEADER[:8]:
            assert row[name] == other[name], (name, row, other)
        assert (row["ERRCODE"] == ".") == (other["ERRCODE"] == ".")
        if row["ERRCODE"] != ".":
            assert [row[name] for name in NUMBERS] == [other[name] for name in NUMBERS]
            continue
        found, expected = numbers_of(row), numbers_of(other)
        error = expected[1]
        assert found[0] == pytest.approx(expected[0], abs=1e-3 * error)
        # PLINK 2 takes its standard errors from where the last step began; that ours
        # are right is the subject of the test above.
        assert found[1] == pytest.approx(error, rel=0.02)
        assert found[2] == pytest.approx(expected[2], rel=0.02, abs=1e-3)
        assert found[3] == pytest.approx(expected[3], rel=0.04, abs=1e-3)
    assert {row["A1"] for row in rows} == {"A", "G"}


def test_blocks_of_any_size_make_the_same_table(files, run_ok, runs, monkeypatch):
    folder, _ = run_ok(CONFIG, *files)
    monkeypatch.setattr(plink, "BLOCK_BYTES", 4 * M)
    again, _ = run_ok(CONFIG, *files, runs=runs / "other")
    for row, other in zip(read_table(folder), read_table(again), strict=True):
        for key in HEADER:
            due = other[key]
            if key in NUMBERS and due != "NA":
                due = pytest.approx(float(due), abs=1e-4, rel=1e-4)
                row[key] = float(row[key])
            assert row[key] == due


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
    others = {3: "chrX", 5: "24"}
    lines(lambda j, words: [others.get(j, words[0]), *words[1:]])(case.file("bim"))
    study = loaded(*files)
    kept = [j for j in range(35) if j not in (3, 5)]
    assert study.variants["id"].to_pylist() == [f"v{j}" for j in kept]
    block = plink.read(study, plink.opened(study), slice(2, 9))
    np.testing.assert_array_equal(block.G, case.G[kept[2:9]][:, USED])


def lines(change):
    """Return a function that writes each line of a file anew, given as words."""

    def rewrite(path):
        text = path.read_text().splitlines()
        write_lines(path, *(change(k, line.split()) for k, line in enumerate(text)))

    return rewrite


def text(change):
    return lambda path: path.write_text(change(path.read_text()))


def data(change):
    return lambda path: path.write_bytes(change(path.read_bytes()))


def swap(old, new):
    """Return a function that replaces a part of a file."""

    def replace(path):
        assert old in path.read_text()
        text(lambda t: t.replace(old, new))(path)

    return replace


def label(names):
    """Return a function that gives the phenotypes other names."""
    return lines(lambda k, words: [*words[:3], names(words[3])] if k else words)


# The file, and how it is written otherwise.
SAME = {
    "tabs": ("cov", swap(" ", "\t")),
    "other line ends": ("cov", data(lambda t: t.replace(b"\n", b" \r\n"))),
    "blanks in the .bim": ("bim", lines(lambda _, words: words)),
    "no number sign": ("phe", swap("#FID", "FID")),
    "names without families": (
        "cov", lines(lambda k, words: words[1:] if k else ["#IID", *words[2:]])
    ),
    "numbers as floats": (
        "phe",
        label(lambda v: {"1": "1.0", "2": "2e0", "-9": "-9.0"}.get(v, v)),
    ),
    "empty lines": ("cov", text(lambda t: f"\n\n{t}\n")),
    "no last line end": ("phe", text(str.rstrip)),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_files_may_be_written_otherwise(name, case, files):
    due = loaded(*files)
    kind, change = SAME[name]
    change(case.file(kind))
    study = loaded(*files)
    np.testing.assert_array_equal(study.y, due.y)
    np.testing.assert_array_equal(study.covariates, due.covariates)
    assert study.variants.equals(due.variants)


def test_a_file_without_a_header_names_its_columns_by_number(case):
    for kind in ("phe", "cov"):
        text(lambda t: t.partition("\n")[2])(case.file(kind))
    names = ["--data.phenotype_name=PHENO2", "--data.covariate_names=COVAR2,COVAR1"]
    study = loaded(*case.files, *names, "--data.standardize=false")
    np.testing.assert_array_equal(study.y, case.y[None, USED])
    np.testing.assert_array_equal(
        study.covariates, case.C[::-1, USED].astype(np.float32)
    )


def test_the_first_phenotype_is_taken_and_the_fam_files_without_any(case):
    lines(lambda k, words: [*words[:2], words[3], words[2]])(case.file("phe"))
    np.testing.assert_array_equal(loaded(*case.files).y, case.y[None, USED])
    study = loaded(f"--data.bed={case.file('bed')}")
    np.testing.assert_array_equal(study.y, case.y[None])
    assert study.covariates is None
    assert study.used.all()


def test_the_coding_may_be_0_and_1(case, files):
    label(lambda v: {"1": "0", "2": "1", "0": "NA"}.get(v, v))(case.file("phe"))
    study = loaded(*files, "--data.coding=0/1")
    np.testing.assert_array_equal(study.y, case.y[None, USED])


def test_only_the_covariates_that_are_named_are_read(case, files):
    lines(lambda k, words: [*words, "Berlin" if k else "CITY"])(case.file("cov"))
    study = loaded(*files, "--data.covariate_names=PC")
    assert study.covariates.shape == (1, 69)


# --- bad input ------------------------------------------------------------------------


def more(line):
    return text(lambda t: f"{t}{line}\n")


def column(at, value):
    """Return a function that gives a column of numbers one value."""
    return lines(lambda k, w: [*w[:at], value, *w[at + 1 :]] if k else w)


# The file, how it is damaged, and what the message says.
DAMAGED = {
    **{f"no .{kind}": (kind, Path.unlink, f"a.{kind}: No such file") for kind in KINDS},
    "truncated": ("bed", data(lambda t: t[:-1]), "has 762 bytes, but 40 variants"),
    "too long": ("bed", data(lambda t: t + b"\0"), "bytes, but 40"),
    "empty .bed": ("bed", data(lambda t: b""), "a.bed: begins with"),
    "wrong magic": (
        "bed", data(lambda t: b"PK\3" + t[3:]), "a.bed: begins with the bytes 50 4b 03"
    ),
    "sample after sample": (
        "bed", data(lambda t: b"\x6c\x1b\0" + t[3:]), "begins with the bytes 6c 1b 00"
    ),
    "a .bim line less": (
        "bim", text(lambda t: t.partition("\n")[2]),
        "but 39 variants of the .bim file and 75 samples of the .fam file make",
    ),
    "four .fam lines less": (
        "fam", text(lambda t: t.split("\n", 4)[4]), "71 samples of the .fam file make"
    ),
    "ragged .bim": (
        "bim", swap("v7\t0\t", "v7\t"),
        "a.bim: CSV parse error: Row #8: Expected 6 columns, got 5",
    ),
    "ragged .fam": ("fam", swap("s70 0", "s70"), "a.fam: CSV parse"),
    "long .bim line": ("bim", swap("v7\t0", "v7\t0\t0"), "Expected 6 columns, got 7"),
    "ragged phenotype": ("phe", more("f1 s1"), "a.phe: CSV parse error: "),
    "position": ("bim", swap("\t107\t", "\tx\t"), "invalid value 'x'"),
    "binary .fam": ("fam", data(lambda t: b"\xff \xfe" + t[1:]), "a.fam: "),
    "empty .bim": ("bim", text(lambda t: "\n\n"), "a.bim: is empty"),
    "empty phenotype": ("phe", text(lambda t: ""), "a.phe: is empty"),
    "only a header": ("cov", text(lambda t: "#IID AGE\n"), "a.cov: names no sample"),
    "unknown sample": (
        "phe", more("f1 s999 1 2"),
        "a.phe: 1 of 75 samples are not in the .fam file, one of them is f1 s999",
    ),
    "unknown family": ("cov", swap("f9 ", "f8 "), "one of them is f8 s9"),
    "no overlap": (
        "cov", lines(lambda k, w: [w[0], f"x{w[1]}", *w[2:]] if k else w),
        "a.cov: 75 of 75 samples are not in the .fam file, one of them is f0 xs0",
    ),
    "twice in the .fam": (
        "fam", swap("f9 s9 ", "f8 s8 "), "a.fam: the sample f8 s8 is there 2 times"
    ),
    "twice in the phenotype": ("phe", more("f1 s1 1 2"), "f1 s1 is there 2 times"),
    "another header": (
        "cov", swap("IID", "NAME"), "a.cov: its first line must be #FID IID or #IID"
    ),
    "columns of one name": ("cov", swap("AGE", "PC"), "a.cov: its first line"),
    "no columns": ("cov", text(lambda t: "#IID\ns1\n"), "a.cov: its first line"),
    "all cases": ("phe", column(3, "2"), "a.phe: all 72 samples that have"),
    "all controls": ("phe", column(3, "1"), "are controls: there is nothing"),
    "no labels": ("phe", column(3, "NA"), "a.phe: no sample has a phenotype"),
    "only unmeasured": (
        "cov", column(2, "NA"), "a.phe: no sample has a phenotype and all covariates"
    ),
    "words": ("phe", column(3, "ill"), "a.phe: CC holds 'ill', no number"),
    "a number of Python's": ("cov", swap("f9 s9 ", "f9 s9 1_"), "AGE holds '1_"),
    "0 and 1": (
        "phe", label(lambda v: {"1": "0", "2": "1"}.get(v, "NA")),
        "CC holds 0 and 1, but 1 is control, 2 case",
    ),
    "words as a covariate": ("cov", swap("f9 s9 ", "f9 s9 old"), "AGE holds 'old"),
    "infinite covariate": (
        "cov", lines(lambda k, w: [*w[:3], "inf"] if w[1] == "s9" else w),
        "a.cov: PC holds numbers that do not fit float32",
    ),
    "constant covariate": ("cov", column(3, "7"), "a.cov: PC is 7 for all samples"),
    "collinear covariates": (
        "cov", lines(lambda k, w: [*w, w[2] if k else "AGE2"]),
        "a.cov: AGE, PC, AGE2 are collinear",
    ),
    "too few samples": (
        "phe", text(lambda t: "#IID CC\ns1 1\ns2 2\ns3 1\ns4 2\n"),
        "a.phe: 4 samples have a phenotype and all covariates, too few for 2",
    ),
    "only X": ("bim", lines(lambda k, w: ["X", *w[1:]]), "a.bim: has no variant "),
}  # fmt: skip

# Settings that do not go with the files, and what the message says.
UNFIT = {
    "--data.bed=a.vcf": "a.vcf: data.bed must name",
    "--data.bed=": "data.bed is not set: name the fileset",
    "--data.phenotype_name=BMI": "a.phe: has no column 'BMI', only Q, CC",
    "--data.phenotype_name=Q": "but must be 1 for control, 2 for",
    "--data.phenotype=": "data.phenotype_name: data.pheno",
    "--data.covariate_names=['SEX']": "a.cov: has no column 'SEX', only AGE, PC",
    "--data.coding=0/1": "CC holds 2, but must be 0 for control",
    "--data.coding=2/1": "data.coding",
    "--simulation.samples=3": "simulation.samples",
    "--data.covariates= --data.covariate_names=['AGE']": (
        "data.covariate_names: data.covariates names no file"
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_one_line_and_nothing_is_written(name, case, files, refused):
    kind, damage, words = DAMAGED[name]
    damage(case.file(kind))
    assert words in refused(CONFIG, *files)


@pytest.mark.parametrize("overrides", UNFIT)
def test_settings_that_do_not_fit_the_files_are_refused(overrides, files, refused):
    assert UNFIT[overrides] in refused(CONFIG, *files, *overrides.split())


def test_samples_of_one_name_need_their_families(case, files, refused):
    swap("f9 s9 ", "f9 s8 ")(case.file("fam"))
    case.file("phe").write_text("#IID CC\ns8 1\n")
    words = "the sample s8 is there 2 times in the .fam file: name samples by FID and "
    assert words in refused(CONFIG, *files, "--data.covariates=")


# --- runs -----------------------------------------------------------------------------


def test_without_files_a_fileset_is_simulated(run_ok):
    small = ["--simulation.samples=76", "--simulation.variants=40", "--figures=false"]
    folder, out = run_ok(CONFIG, *small)
    start = f"Simulating a fileset in {folder / 'fileset'}\n40 variants; "
    assert out.startswith(start)
    found = [(row["ID"], row["#CHROM"]) for row in read_table(folder)]
    assert found == [(f"rs{k + 1}", str(1 + k // 10)) for k in range(40)]


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


@pytest.mark.parametrize(("place", "name"), [(plink, "read"), (scan, "_write")])
def test_a_kill_leaves_no_table_and_the_same_command_makes_it(
    place, name, files, run_ok, run_cli, runs, tmp_path, monkeypatch
):
    monkeypatch.setattr(plink, "BLOCK_BYTES", 8 * M)  # five blocks
    due, _ = run_ok(CONFIG, *files, runs=tmp_path / "due")
    with fails_at(place, name, 3), pytest.raises(Killed):
        run_cli(CONFIG, *files)
    assert not {TABLE, "results.csv"} & contents(only_folder(runs)).keys()
    result = run_cli(CONFIG, *files)
    assert (result.code, result.err) == (0, "")
    assert contents(only_folder(runs)) == contents(due)


def test_other_genotypes_are_another_run(case, files, run_ok, run_cli):
    run_ok(CONFIG, *files)
    assert "Finished before" in run_cli(CONFIG, *files).out
    data(lambda t: t[:100] + bytes([t[100] ^ 0xFF]) + t[101:])(case.file("bed"))
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

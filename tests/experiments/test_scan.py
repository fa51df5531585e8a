"""A scan of files is PLINK 2's, and that of fits by scikit-learn one by one."""

import csv
import itertools
import math
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from experiments.datasets import plink, simulation
from experiments.datasets.alleles import codes_of, groups_of
from experiments.datasets.files import fingerprint
from experiments.datasets.plink import GenotypeConfig
from experiments.datasets.simulation import SimulationConfig
from experiments.errors import UserError
from experiments.programs import scan
from experiments.runner import read_results
from jlogreg import scan_features
from tests.experiments.conftest import CONFIGS, Killed, contents, fails_at, only_folder
from tests.oracles.sklearn_fit import information, refit

CONFIG = CONFIGS / "scan.toml"
TABLE = "scan.glm.logistic"
# The columns that PLINK 2 writes if asked.
FIRTH = ("A1_CASE_FREQ", "A1_CTRL_FREQ", "FIRTH?", "A1_CASE_CT", "A1_CTRL_CT")
KINDS = ("bed", "bim", "fam", "phe", "cov")

# As many samples in the .fam file; not a multiple of four, which share a byte.
M, VARIANTS = 75, 40
TIE, COMMON, CONSTANT, UNSEEN, SEPARATED, TURNED = range(6)
CHROMOSOMES = [*["chr1"] * 20, *["chr2"] * 15, *["X"] * 2, *["MT"] * 3]
NONFOUNDERS, UNLABELLED, UNMEASURED = slice(0, 9), slice(20, 25), slice(24, 27)
USED = np.ones(M, bool)
USED[UNLABELLED] = USED[UNMEASURED] = False


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
    return G, y, C.round(6)


G, Y, C = draw()


def write_bed(path, G):
    """Write genotypes (V, M), packed by hand: two bits each, the first the lowest."""
    codes = np.array([3, 2, 0, 1])[G]  # -1 is the last
    padded = np.pad(codes, ((0, 0), (0, -G.shape[1] % 4)))
    packed = (padded.reshape(len(G), -1, 4) << np.array([0, 2, 4, 6])).sum(axis=2)
    path.write_bytes(b"\x6c\x1b\x01" + packed.astype(np.uint8).tobytes())


def write_lines(path, rows, blank=" "):
    path.write_text("".join(blank.join(map(str, row)) + "\n" for row in rows))


@pytest.fixture
def source(tmp_path):
    """Return the folder of a study: its files a.bed and the like, in other orders."""
    folder = tmp_path / "study"
    folder.mkdir()
    write_bed(folder / "a.bed", G)
    rows = [[c, f"v{j}", 0, 100 + j, "A", "G"] for j, c in enumerate(CHROMOSOMES)]
    write_lines(folder / "a.bim", rows, "\t")
    fathers = [*["s70"] * 9, *[0] * (M - 9)]  # of the nonfounders
    rows = [[f"f{k}", f"s{k}", fathers[k], 0, 1 + k % 2, 1 + Y[k]] for k in range(M)]
    write_lines(folder / "a.fam", rows)
    labels = [str(1 + label) for label in Y]
    labels[UNLABELLED] = ["NA", "-9", "0", "nan", None]  # the last has no line
    rows = [[f"f{k}", f"s{k}", k / 7, label] for k, label in enumerate(labels) if label]
    write_lines(folder / "a.phe", [["#FID", "IID", "Q", "CC"], *reversed(rows)])
    values = [[f"{value:.6f}" for value in row] for row in C.T]
    values[24][0], values[25][1], values[26][0] = "NA", "-9", "nan"
    rows = [[f"f{k}", f"s{k}", *row] for k, row in enumerate(values)]
    write_lines(folder / "a.cov", [["#FID", "IID", "AGE", "PC"], *reversed(rows)])
    return folder


def settings_of(source):
    names = {"bed": "bed", "phenotype": "phe", "covariates": "cov"}
    paths = {key: f"{source}/a.{kind}" for key, kind in names.items()}
    return paths | {"phenotype_name": "CC"}


def loaded(source, **settings):
    return plink.load(GenotypeConfig(**settings_of(source) | settings))


@pytest.fixture
def files(source):
    """Return the overrides that name the study."""
    words = [f"--data.{key}={value}" for key, value in settings_of(source).items()]
    return [*words, "--figures=false"]


class Table(NamedTuple):
    """Columns of a table of PLINK 2's: eight of texts, four of numbers, the errors."""

    texts: np.ndarray
    numbers: np.ndarray
    failed: np.ndarray


def read_table(folder):
    with (folder / TABLE).open(newline="") as file:
        header, *rows = csv.reader(file, delimiter="\t")
    table = np.array(rows)
    assert not (table == "nan").any()
    columns = dict(zip(header, table.T, strict=True))
    own = [name for name in scan.COLUMNS if name not in FIRTH]
    texts, failed = np.stack([columns[name] for name in own[:8]]).T, columns["ERRCODE"]
    numbers = np.stack([columns[name] for name in own[8:12]]).T
    numbers = np.where(numbers == "NA", "nan", numbers).astype(float)
    assert (np.isnan(numbers) == (failed != ".")[:, None]).all()
    return Table(texts, numbers, failed != ".")


def firth_columns(folder):
    """Return the columns of frequencies, and of the use of Firth's method."""
    with (folder / TABLE).open(newline="") as file:
        header, *rows = csv.reader(file, delimiter="\t")
    assert header == list(scan.COLUMNS)
    return np.array(rows)[:, [header.index(name) for name in FIRTH]]


def fitted(g):
    """Return log-odds, standard error, z and -log10 p of the allele counts g."""
    g, y = g[USED], Y[USED]
    seen = g >= 0
    X = np.vstack([C[:, USED], g])[:, seen]
    params = refit(X, y[seen])
    error = math.sqrt(np.linalg.inv(information(params, X))[-2, -2])
    z = params[-2] / error
    return params[-2], error, z, -math.log10(math.erfc(abs(z) / math.sqrt(2)))


# --- the table ------------------------------------------------------------------------


def test_the_table_is_that_of_fits_one_by_one(files, run_ok):
    folder, out = run_ok(CONFIG, *files, "--method.firth=never")
    assert out.startswith(
        f"35 variants; {USED.sum()} samples, {Y[USED].sum()} of them cases; "
        "2 covariates\n"
        "5 variants on X, Y and MT or at a negative position are left out.\n"
        "7 samples without a phenotype or a covariate are left out.\n"
    )
    for line in (
        "1 without an estimate, UNSEEN: no sample has a genotype.",
        "1 without an estimate, MONOMORPHIC: all samples have the same genotype.",
        "1 without an estimate, SEPARATED: genotypes and covariates tell cases from",
    ):
        assert line in " ".join(out.split())
    table = read_table(folder)
    for j, (row, numbers, g) in enumerate(zip(*table[:2], G[:35], strict=True)):
        observed = str((g[USED] >= 0).sum())
        place = ["1" if j < 20 else "2", f"{100 + j}", f"v{j}", "G", "A"]
        assert [*row[:5], *row[6:]] == [*place, "ADD", observed]
        seen = g[9:][g[9:] >= 0]  # founders
        if j != TIE and seen.size:
            assert row[5] == ("G" if seen.mean() > 1 else "A")
        assert table.failed[j] == (j in (CONSTANT, UNSEEN, SEPARATED))
        if not table.failed[j]:
            sign = -1 if row[5] == "G" else 1
            estimate, error, z, log10_p = fitted(g)
            assert numbers[0] == pytest.approx(sign * estimate, abs=1e-4 * error)
            assert numbers[1] == pytest.approx(error, rel=1e-4)
            assert numbers[2:] == pytest.approx([sign * z, log10_p], abs=2e-4)
    assert [*table.texts[[COMMON, TURNED], 5]] == ["G", "A"]
    assert G[TURNED, USED].mean() > 1

    results = {row["quantity"]: row["value"] for row in read_results(folder)}
    names = ("variants", "samples", "cases", "fits that converged")
    counts = [35, USED.sum(), Y[USED].sum(), 32]
    assert [results[name] for name in names] == [str(count) for count in counts]
    best = np.nanargmax(table.numbers[:, 3])
    assert results["variant with the smallest p"] == f"v{best}"
    inflation = np.nanmedian(table.numbers[:, 2] ** 2) / 0.454936
    top = [float(results[name]) for name in ("its −log10 p", "genomic inflation λ")]
    assert top == pytest.approx([table.numbers[best, 3], inflation], rel=1e-4)
    assert not list(folder.glob("*.png"))


@pytest.mark.parametrize("test", ["lr", "score"])
def test_another_test_is_that_of_the_scan(test, files, run_ok):
    given = f"--method.test={test}", "--method.firth=never"
    folder, _ = run_ok(CONFIG, *files, *given)
    table = read_table(folder)
    rows = G[:35, USED].astype(np.int8), C[:, USED], Y[None, USED] * 1.0
    due = scan_features(*rows, test=test)
    np.testing.assert_array_equal(table.failed, due.status[:, 0] != 0)
    known = ~table.failed
    p = -np.asarray(due.log10_p)[known, 0]
    np.testing.assert_allclose(table.numbers[known, 3], p, rtol=1e-3, atol=1e-4)


def test_a_score_test_has_no_estimate_of_firth(files, refused):
    line = refused(CONFIG, *files, "--method.test=score")
    assert line == 'method.test = "score" needs --method.firth=never'


def test_what_has_no_estimate_gets_firths(files, run_ok):
    folder, _ = run_ok(CONFIG, *files)
    table, columns = read_table(folder), firth_columns(folder)
    used = columns[:, 2] == "Y"
    assert used[[CONSTANT, UNSEEN, SEPARATED]].any()
    assert np.flatnonzero(used & ~table.failed).tolist() == [SEPARATED]
    assert table.failed.sum() == 2
    for j, g in enumerate(G[:35]):
        for column, label in enumerate((1, 0)):
            some = g[USED & (g >= 0) & (label == Y)]
            count = some.sum() if table.texts[j, 5] == "A" else (2 - some).sum()
            assert int(columns[j, 3 + column]) == count
            if not some.size:
                assert columns[j, column] == "NA"
                continue
            share = some.mean() / 2
            expected = 1 - share if table.texts[j, 5] == "G" else share
            assert float(columns[j, column]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.skipif(shutil.which("plink2") is None, reason="plink2 is not on the PATH")
@pytest.mark.parametrize("form", ["plain", "with commas, words and odd lines"])
def test_the_table_is_that_of_plink_2(form, source, files, run_ok, tmp_path):
    if form != "plain":
        more("f1 s999 1 1")(source / "a.phe")
        text(lambda t: f"# of 2020\n{comma_text(t)}")(source / "a.phe")
        city(["Rome", "Bern", "<Oslo>", "NONE"])(source / "a.cov")
        text(lambda t: t.replace(" ", "\t\t"))(source / "a.cov")
        swap("\t107\t", "\t-5\t")(source / "a.bim")
    folder, _ = run_ok(CONFIG, *files, "--method.firth=never")
    words = [
        "plink2", "--bfile", source / "a", "--pheno", source / "a.phe",
        "--pheno-name", "CC", "--covar", source / "a.cov", "--autosome", "--glm",
        "hide-covar", "no-firth", "log10", "cols=+beta", "--covar-variance-standardize",
        "--threads", "1", "--out", tmp_path / "plink",
    ]  # fmt: skip
    subprocess.run(list(map(str, words)), check=True, capture_output=True)
    (tmp_path / "plink.CC.glm.logistic").rename(tmp_path / TABLE)
    table, other = read_table(folder), read_table(tmp_path)
    np.testing.assert_array_equal(table.texts, other.texts)
    np.testing.assert_array_equal(table.failed, other.failed)
    estimate, error, z, log10_p = table.numbers[~table.failed].T
    expected = other.numbers[~table.failed].T
    assert (np.abs(estimate - expected[0]) <= 1e-3 * expected[1]).all()
    # PLINK 2 takes its standard errors from where the last step began, further away the
    # fewer the samples; that ours are right is the subject of the test above.
    rtol = 0.02 if form == "plain" else 0.04
    np.testing.assert_allclose(error, expected[1], rtol=rtol)
    np.testing.assert_allclose(z, expected[2], rtol=rtol, atol=1e-3)
    np.testing.assert_allclose(log10_p, expected[3], rtol=2 * rtol, atol=1e-3)
    assert set(table.texts[:, 5]) == {"A", "G"}


def test_blocks_of_any_size_make_the_same_table_or_none_where_a_run_is_killed(
    files, run_ok, run_cli, runs, monkeypatch
):
    folder, _ = run_ok(CONFIG, *files, runs=runs / "one block")
    monkeypatch.setattr(plink, "BLOCK_BYTES", 8 * M)  # five blocks
    with fails_at(scan, "_write", 3), pytest.raises(Killed):
        run_cli(CONFIG, *files, runs=runs / "five")
    again = only_folder(runs / "five")
    assert not {TABLE, "results.csv"} & contents(again).keys()
    assert run_cli(CONFIG, *files, runs=runs / "five").code == 0
    table, other = read_table(folder), read_table(again)
    np.testing.assert_array_equal(table.texts, other.texts)
    np.testing.assert_allclose(table.numbers, other.numbers, rtol=1e-4, atol=1e-4)


# --- files in other forms -------------------------------------------------------------


def test_genotypes_are_read_from_their_places(source):
    others = {3: "chrX", 5: "24"}
    lines(lambda j, words: [others.get(j, words[0]), *words[1:]])(source / "a.bim")
    study = loaded(source)
    kept = [j for j in range(35) if j not in others]
    assert study.variants["id"].to_pylist() == [f"v{j}" for j in kept]
    bed = plink.opened(study)
    for part in (slice(0, 33), slice(2, 9)):
        block, counts = plink.read(study, bed, part), G[kept[part]][:, USED]
        assert block.G.dtype == np.int8
        assert block.G.flags.c_contiguous
        np.testing.assert_array_equal(block.G, counts)
        np.testing.assert_array_equal(block.observed[:, 0], (counts >= 0).sum(axis=1))


def test_variants_with_a_rare_allele_are_left_out(source):
    counts, known = np.where(G < 0, 0, G)[:35, USED].sum(1), (G[:35, USED] >= 0).sum(1)
    rarer = np.minimum(counts, 2 * known - counts)
    for limits, kept in (
        ({"min_count": 30}, rarer >= 30),
        ({"min_frequency": 0.25}, (rarer >= 0.25 * 2 * known) & (known > 0)),
    ):
        study = loaded(source, **limits)
        assert 0 < study.rare == (~kept).sum()
        np.testing.assert_array_equal(study.places, np.flatnonzero(kept))
    with pytest.raises(UserError, match=r"no variant .* count data.min_count = 999"):
        loaded(source, min_count=999)


@pytest.mark.parametrize("swaps", [False, True])
def test_why_a_variant_has_no_estimate_does_not_depend_on_the_allele(swaps):
    y = np.array([[1.0, 1, 0, 0, 0]])
    rows = [[0, 0, 0, 0, -1], [1, 0, 0, 0, 0], [1, 1, 0, -1, 0], [0, 1, 1, 0, 0]]
    table = np.array([*rows, rows[3]], np.int8)
    table = np.where(table < 0, -1, 2 - table).astype(np.int8) if swaps else table
    groups = groups_of(table, np.full((5, 1), swaps), y)
    status = np.array([3, 3, 2, 3, 0])
    expected = ["MONOMORPHIC", "SEPARATED", "SEPARATED", "COLLINEAR", "."]
    assert codes_of(status, groups).tolist() == expected
    cases, controls = groups.counts
    assert [cases.tolist(), controls.tolist()] == [[0, 1, 2, 1, 1], [0, 0, 0, 1, 1]]


def lines(change):
    """Return a function that writes each line of a file anew, given as words."""

    def rewrite(path):
        text = path.read_text().splitlines()
        write_lines(path, [change(k, line.split()) for k, line in enumerate(text)])

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
    """Return a function that gives phenotypes other names."""
    return lines(lambda k, words: [*words[:3], names.get(words[3], words[3])])


def more(line):
    return text(lambda t: f"{t}{line}\n")


def column(at, value):
    """Return a function that gives a column of numbers one value."""
    return lines(
        lambda k, words: [*words[:at], value, *words[at + 1 :]] if k else words
    )


def comma_text(text):
    """Return a table with commas, in which a missing value is an empty word."""
    return text.replace(" ", ",").replace(",NA\n", ",\n").replace("\n", "\r\n")


def quoted(text):
    """Return a table with commas in which each word stands in quotes."""
    return re.sub(r"[^,\r\n]+", r'"\g<0>"', text)


comma = text(comma_text)

# The file, and how it is written otherwise.
SAME = {
    "tabs": ("cov", swap(" ", "\t")),
    "other line ends": ("cov", data(lambda t: t.replace(b"\n", b" \r\n"))),
    "blanks in the .bim": ("bim", lines(lambda _, words: words)),
    "no number sign": ("phe", swap("#FID", "FID")),
    "no families": ("cov", lines(lambda k, w: w[1:] if k else ["#IID", *w[2:]])),
    "floats": ("phe", label({"1": "1.0", "2": "2e0", "-9": "-9.0"})),
    "empty lines": ("cov", text(lambda t: f"\n\n{t}\n")),
    "no last line end": ("phe", text(str.rstrip)),
    "commas": ("phe", comma),
    "commas and quotes": ("cov", text(lambda t: quoted(comma_text(t)))),
    "comments": ("phe", text(lambda t: f"# of 2020\n##\n{t}")),
    "another column": ("phe", lines(lambda k, words: [*words, "x" if k else "Z"])),
    "other people": ("phe", more("f1 s999 x 2\nf1 s999 1 1")),
    "other people's covariates": ("cov", more("f999 s1 1 NA")),
}
# Kinds of blanks, in any of the text files.
BLANKS = {
    "tabs at line ends": lambda t: t.replace("\n", "\t\n"),
    "two tabs": lambda t: t.replace("\t", "\t\t"),
    "leading tabs": lambda t: "\t" + t.replace("\n", "\n\t"),
    "tabs and blanks": lambda t: t.replace("\t", " \t  "),
    "a byte order mark": lambda t: f"\ufeff{t}",
}
SAME |= {
    f"{name} in the .{kind}": (kind, text(lambda t, f=f: f(t.replace(" ", "\t"))))
    for name, f in BLANKS.items()
    for kind in ("bim", "fam", "phe", "cov")
}


@pytest.mark.parametrize("name", SAME)
def test_files_may_be_written_otherwise(name, source):
    expected = loaded(source)
    kind, change = SAME[name]
    change(source / f"a.{kind}")
    study = loaded(source)
    np.testing.assert_array_equal(study.y, expected.y)
    np.testing.assert_array_equal(study.covariates, expected.covariates)
    assert study.variants.equals(expected.variants)


def test_words_are_categories_and_the_most_frequent_has_no_row(source):
    cities = ["Rome", "Bern", "Oslo", "Rome", "NONE", "NA"]
    lines(lambda k, w: [*w, cities[k % 6] if k else "CITY"])(source / "a.cov")
    study = loaded(source, covariate_names=("CITY", "PC"), standardize=False)
    city = np.array([cities[k % 6] for k in range(M, 0, -1)])  # lines are reversed
    used = ~np.isin(city, ["NONE", "NA"])
    used[UNLABELLED] = used[25] = False
    np.testing.assert_array_equal(study.used, used)
    rows = [city == "Bern", city == "Oslo", C[1]]
    expected = np.array([row[used] for row in rows], np.float32)
    np.testing.assert_array_equal(study.covariates, expected)


def test_variants_at_negative_positions_are_left_out(source, files, run_ok):
    swap("\t107\t", "\t-5\t")(source / "a.bim")
    swap("\t137\t", "\t-137\t")(source / "a.bim")
    study = loaded(source)
    kept = [j for j in range(35) if j != 7]
    assert study.places.tolist() == kept
    assert study.variants["id"].to_pylist() == [f"v{j}" for j in kept]
    lines(lambda j, words: [*words[:3], -j - 1, *words[4:]])(source / "a.bim")
    with pytest.raises(UserError, match="has no variant other than those on X"):
        loaded(source)


def test_a_file_without_a_header_names_its_columns_by_number(source):
    for kind in ("phe", "cov"):
        text(lambda t: t.partition("\n")[2])(source / f"a.{kind}")
    names = ("COVAR2", "COVAR1")
    study = loaded(
        source, phenotype_name="PHENO2", covariate_names=names, standardize=False
    )
    np.testing.assert_array_equal(study.y, Y[None, USED])
    expected = C[::-1, USED].astype(np.float32)
    np.testing.assert_array_equal(study.covariates, expected)


def test_columns_and_the_coding_are_settings(source):
    study = loaded(
        source, phenotype="", phenotype_name="", covariates=""
    )  # the .fam file's
    np.testing.assert_array_equal(study.y, Y[None])
    assert study.covariates is None
    assert study.used.all()
    lines(lambda k, words: [*words, "Berlin" if k else "CITY"])(source / "a.cov")
    assert loaded(source, covariate_names=("PC",)).covariates.shape == (1, 69)
    label({"1": "0", "2": "1", "0": "NA"})(source / "a.phe")
    study = loaded(source, coding="0/1", covariate_names=("PC",))
    np.testing.assert_array_equal(study.y[0], Y[study.used])
    lines(lambda k, words: [*words[:2], words[3], words[2]])(source / "a.phe")
    first = loaded(source, coding="0/1", covariate_names=("PC",), phenotype_name="")
    np.testing.assert_array_equal(first.y, study.y)


def test_every_file_tells_runs_apart(source):
    config = GenotypeConfig(**settings_of(source))
    for kind in KINDS:
        before = fingerprint(config)
        data(lambda t: t + b" ")(source / f"a.{kind}")
        assert fingerprint(config) != before


# --- bad input ------------------------------------------------------------------------


def city(names):
    """Return a function that adds a covariate in words."""
    return lines(lambda k, words: [*words, names[k % len(names)] if k else "CITY"])


def status(word):
    """Return a function that adds the case status, in words or as a number."""

    def change(k, words):
        return [*words, word(Y[int(words[1][1:])]) if k else "STATUS"]

    return lines(change)


def pipe(path):
    path.unlink()
    os.mkfifo(path)


# The file, how it is damaged, and what the message says.
DAMAGED = [
    *((kind, Path.unlink, f"a.{kind}: No such file") for kind in KINDS),
    ("bed", data(lambda t: t[:-1]), "a.bed: has 762 bytes, but 40 variants"),
    ("bed", data(lambda t: t + b"\0"), "a.bed: has 764 bytes, but 40 variants"),
    ("bed", data(lambda t: b""), "a.bed: begins with the bytes (none)"),
    ("bed", data(lambda t: b"\x6c\x1b\0" + t[3:]), "begins with the bytes 6c 1b 00"),
    (
        "bim",
        text(lambda t: t.partition("\n")[2]),
        "39 variants of the .bim file and 75",
    ),
    ("bim", swap("v7\t0\t", "v7\t"), "a.bim: CSV parse error: Row #8: Expected 6"),
    ("bim", swap("\t107\t", "\tx\t"), "a.bim: In CSV column #3: Row #8: CSV conv"),
    ("bim", text(lambda t: "\n\n"), "a.bim: is empty"),
    ("bim", lines(lambda k, w: ["X", *w[1:]]), "a.bim: has no variant other than"),
    ("fam", text(lambda t: t.split("\n", 4)[4]), "71 samples of the .fam file make"),
    ("fam", data(lambda t: b"\xff \xfe" + t[1:]), "a.fam: "),
    ("fam", swap("f9 s9 ", "f8 s8 "), "a.fam: the sample f8 s8 is there 2 times"),
    ("phe", more("f1 s1"), "a.phe: CSV parse error: "),
    (
        "phe",
        swap("f", "g"),
        "a.phe: none of its 74 samples is in the .fam file, one of",
    ),
    ("phe", more("f1 s1 1 2"), "a.phe: the sample f1 s1 is there 2 times"),
    ("phe", column(3, "2"), "a.phe: all 72 samples that have a phenotype and all"),
    ("phe", column(3, "1"), "are controls: there is nothing to tell apart"),
    ("phe", column(3, "NA"), "a.phe: no sample has a phenotype and all covariates"),
    ("phe", column(3, "ill"), "a.phe: CC holds 'ill', no number"),
    ("phe", label({"1": "0", "2": "1"}), "CC holds 0 and 1, but 1 is control, 2 case"),
    ("phe", text(lambda t: "#IID CC\ns1 1\ns2 2\ns3 1\ns4 2\n"), "too few for 2"),
    ("cov", text(lambda t: "#IID AGE\n"), "a.cov: names no sample"),
    ("cov", swap("IID", "NAME"), "a.cov: its first line must be #FID IID or #IID"),
    ("cov", swap("AGE", "PC"), "all different, but is #FID IID PC PC"),
    ("cov", text(lambda t: "#IID\ns1\n"), "all different, but is #IID"),
    ("cov", column(2, "NA"), "a.phe: no sample has a phenotype and all covariates"),
    ("cov", swap("f9 s9 ", "f9 s9 1_"), "a.cov: AGE holds '1_"),
    ("cov", column(2, "1e39"), "a.cov: AGE holds numbers that do not fit f"),
    ("cov", column(3, "7"), "a.cov: PC is 7 for all samples"),
    ("cov", lines(lambda k, w: [*w, w[2] if k else "A"]), "AGE, PC, A are collinear"),
    ("cov", city(["Rome", "7"]), "CITY holds 'Rome', no number"),
    ("cov", city(["7up", "8up"]), "up', no number"),
    ("cov", city(["Rome"]), "CITY=Rome is 1 for all samples"),
    ("cov", city([f"c{k}" for k in range(200)]), "too few for 69"),
    ("cov", status(str), "the covariates alone have no fit (SEPARATED), so no variant"),
    (
        "cov",
        status(["control", "case"].__getitem__),
        "alone have no fit (SEPARATED)",
    ),
    ("phe", pipe, "a.phe: is not a file"),
    ("bed", pipe, "a.bed: is not a file"),
    ("bim", pipe, "a.bim: is not a file"),
]

# Settings that do not go with the files, and what the message says.
UNFIT = {
    "--data.bed=a.vcf": "a.vcf: data.bed must name",
    "--data.bed=": "data.bed is not set: name the fileset",
    "--data.phenotype_name=BMI": "a.phe: has no column 'BMI', only Q, CC",
    "--data.phenotype_name=Q": "but must be 1 for control, 2 for",
    "--data.phenotype=": "data.phenotype_name: data.phenotype names no file",
    "--data.covariate_names=PC,SEX": "a.cov: has no column 'SEX', only AGE, PC",
    "--data.coding=0/1": "CC holds 2, but must be 0 for control",
    "--data.covariates= --data.covariate_names=['AGE']": "data.covariate_names: data.c",
}


@pytest.mark.parametrize(("kind", "damage", "words"), DAMAGED)
def test_a_damaged_file_is_one_line_and_nothing_is_written(
    kind, damage, words, source, files, refused
):
    damage(source / f"a.{kind}")
    assert words in refused(CONFIG, *files)


@pytest.mark.parametrize("overrides", UNFIT)
def test_settings_that_do_not_fit_the_files_are_refused(overrides, files, refused):
    assert UNFIT[overrides] in refused(CONFIG, *files, *overrides.split())


def test_samples_of_one_name_need_their_families(source, files, refused):
    swap("f9 s9 ", "f9 s8 ")(source / "a.fam")
    (source / "a.phe").write_text("#IID CC\ns8 1\n")
    words = "the sample s8 is there 2 times in the .fam file: name samples by FID and "
    assert words in refused(CONFIG, *files, "--data.covariates=")


# --- simulation and reading ahead -----------------------------------------------------


def test_what_is_simulated_has_causes_where_it_says(tmp_path):
    config, again, other = (
        simulation.simulate_study(tmp_path / f"{k}", SimulationConfig(), seed)
        for k, seed in enumerate((0, 0, 1))
    )
    assert fingerprint(config) == fingerprint(again)
    assert config.paths()[0].read_bytes() != other.paths()[0].read_bytes()
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


def test_a_thread_of_its_own_makes_things_in_order_and_only_a_little_ahead():
    asked, threads = [], set()

    def arguments():
        for k in range(20):
            asked.append(k)
            yield k

    def make(k):
        threads.add(threading.current_thread())
        return k * k

    for k, made in enumerate(scan._ahead(make, arguments())):
        assert made == k * k
        assert len(asked) <= k + 1 + scan.WAITING
    assert asked == list(range(20))
    assert len(threads) == 1
    assert threading.current_thread() not in threads


def test_an_error_ahead_arrives_in_its_place():
    made = scan._ahead(lambda k: 1 / (3 - k), range(10))
    assert list(itertools.islice(made, 3)) == [1 / 3, 1 / 2, 1]
    with pytest.raises(ZeroDivisionError):
        next(made)

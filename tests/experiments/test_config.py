"""Configurations are strict: every mistake is one line, and writes nothing."""

import datetime
import math
import tomllib

import pytest

from experiments import runner
from experiments.__main__ import main
from experiments.config import convert, describe, read_table
from experiments.errors import UserError
from experiments.programs import PROGRAMS
from tests.experiments.conftest import CONFIGS, write_hdf5

COUNTS = ("steps", "print_every")

# What replaces which line of the good file, and what the message then says.
WRONG_SETTINGS = {
    "unknown key": ("steps = 5", "steps = 5\ncolour = 1", "descent: ", "`colour`"),
    "unknown key at the top": ("[data]", "colour = 1\n[data]", "`colour`"),
    "unknown section": ("[descent]", "[extra]\n[descent]", "`extra`"),
    "misspelt key": ("steps = 5", "step = 5", "descent: ", "`step"),
    "missing key": ("steps = 5", "", "descent: ", "missing", "`steps`"),
    "number for a file": ("train = ", "test = 5\ntrain = ", "data.test: ", "`str`"),
    "number for a truth": ("[descent]", "standardize = 1\n[descent]", "`bool`"),
    "section for a number": ("steps = 5", "steps = {a = 1}", "descent.steps: "),
    "rate inf": ("rate = 0.5", "rate = inf", "descent.learning_rate ", "finite"),
    "nan where none goes": ("steps = 5", "steps = 5\nx.y = [1, nan]", "y[1] ", "nan"),
    "print never": ("print_every = 2", "print_every = 0", "print_every: ", ">= 1"),
    "l2 below 0": ("steps = 5", "steps = 5\nl2 = -1.0", "descent.l2: ", ">= 0"),
    "fraction 0": ("[descent]", "test_fraction = 0\n[descent]", "data.test_fraction: "),
    "fraction 1": ("[descent]", "test_fraction = 1\n[descent]", "data.test_fraction: "),
    "no label": ("[descent]", 'label = ""\n[descent]', "data.label: "),
    "unknown source": ('"files"', '"flies"', "data.source: ", "'flies'"),
    "unknown program": ('"classify"', '"classfy"', "program must be one of bootstrap"),
    "list of programs": ('"classify"', '["classify"]', "program must be one of"),
    "missing program": ('program = "classify"', "", "program must be one of"),
}


@pytest.mark.parametrize("case", WRONG_SETTINGS)
def test_a_wrong_setting_is_named(case, config, refused):
    old, new, *words = WRONG_SETTINGS[case]
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))
    line = refused(config)
    for word in ["mine.toml: ", *words]:
        assert word in line


# How the bytes of the good file are broken, and what the message then says.
BROKEN_FILES = {
    "empty": (lambda good: b"", "program must be one of"),
    "cut in a string": (lambda good: good[: good.index(b"files")], "is not TOML"),
    "binary": (lambda good: bytes(range(256)), "is not"),
    "UTF-16": (lambda good: good.decode().encode("utf-16"), "is not UTF-8"),
    "Latin-1": (lambda good: good + "# é".encode("latin-1"), "is not UTF-8"),
    "byte order mark": (lambda good: b"\xef\xbb\xbf" + good, "a byte order mark"),
    "doubled key": (lambda good: good + b"steps = 6\n", "is not TOML"),
    "JSON": (lambda good: b'{"program": "classify"}', "is not TOML"),
    "a number too long": (lambda good: good + b"l2 = " + b"9" * 5000, "is not TOML"),
    "nested too deep": (lambda good: good + b"a = " + b"[" * 10**4, "is not TOML"),
}


@pytest.mark.parametrize("case", BROKEN_FILES)
def test_a_broken_file_is_named(case, config, refused):
    broken, words = BROKEN_FILES[case]
    config.write_bytes(broken(config.read_bytes()))
    line = refused(config)
    assert "mine.toml: " in line
    assert words in line


# Every key of the good file, with the types that it may have.
KEYS = {
    ("program",): str,
    ("data", "source"): str,
    ("data", "train"): str,
    ("descent", "learning_rate"): float,
    ("descent", "steps"): int,
    ("descent", "print_every"): int,
}
OPTIONAL = {("data", "train"), ("descent", "print_every")}  # some data are no files


@pytest.fixture
def started(monkeypatch):
    """Return a list of the configurations that a run was started with."""
    configs = []
    monkeypatch.setattr(
        runner, "execute", lambda program, config, *_: configs.append(config)
    )
    return configs


def leaves_of(table, path=()):
    """Yield the path and value of every key, in tables within tables too.

    An empty table is a leaf unless it is a section.
    """
    for name, value in table.items():
        here = (*path, name)
        if isinstance(value, dict) and (value or here in {key[:-1] for key in KEYS}):
            yield from leaves_of(value, here)
        else:
            yield here, value


def is_good(content):
    """Return whether bytes are a configuration, by the standard library's reader."""
    try:
        table = tomllib.loads(content.decode())
    except ValueError:
        return False
    found = dict(leaves_of(table))
    return (
        KEYS.keys() - OPTIONAL <= found.keys() <= KEYS.keys()
        and found[("program",)] == "classify"
        and found[("data", "source")] == "files"
        and all(type(value) is KEYS[key] for key, value in found.items())
        and found[("descent", "learning_rate")] > 0
        and all(found.get(("descent", key), 1) > 0 for key in COUNTS)
    )


def each_byte(change):
    return lambda good: [change(good, k) for k in range(len(good))]


def each_line(change):
    def damage(good):
        lines = good.splitlines(keepends=True)
        return [b"".join(change(lines, k)) for k in range(len(lines))]

    return damage


ENCODINGS = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "cp037")
DAMAGE = {
    "cut off": each_byte(lambda good, k: good[:k]),
    "begun late": each_byte(lambda good, k: good[k + 1 :]),
    "no UTF-8": each_byte(lambda good, k: good[:k] + b"\xff" + good[k + 1 :]),
    "a zero": each_byte(lambda good, k: good[:k] + b"\0" + good[k:]),
    "a bit": each_byte(
        lambda good, k: good[:k] + bytes([good[k] ^ 1 << k % 7]) + good[k + 1 :]
    ),
    "a line missing": each_line(lambda lines, k: [*lines[:k], *lines[k + 1 :]]),
    "a line doubled": each_line(lambda lines, k: [*lines[: k + 1], *lines[k:]]),
    "lines swapped": each_line(
        lambda lines, k: [*lines[:k], *lines[k : k + 2][::-1], *lines[k + 2 :]]
    ),
    "recoded": lambda good: [good.decode().encode(name) for name in ENCODINGS],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_one_line_or_still_good(damage, config, refused, started):
    """At every byte and line: what the standard's reader accepts is run, else named."""
    good = config.read_bytes()
    assert is_good(good)
    cases = DAMAGE[damage](good)
    still_good = 0
    for content in cases:
        config.write_bytes(content)
        started.clear()
        if is_good(content):
            still_good += 1
            main(["run", str(config), "--runs", str(config.parent / "runs")])
            assert len(started) == 1
        else:
            assert "mine.toml: " in refused(config)
            assert not started
    assert still_good < len(cases)


WRONG_VALUES = [
    "true", '"text"', "[1.5]", "[]", "{}", "{a = 1}", "1979-05-27", "07:32:00", "nan",
    "-nan", "inf", "1e400", "-1", "-0.5", "0",
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=".".join)
def test_every_key_has_its_type(key, config, refused):
    for value in WRONG_VALUES:
        if (key[-1], value) == ("train", '"text"'):
            continue
        line = refused(config, f"--{'.'.join(key)}={value}")
        assert key[-1] in line, (value, line)


def test_a_missing_file_is_named_and_says_where_others_are(tmp_path, refused):
    line = refused(tmp_path / "none.toml")
    assert "none.toml: No such file or directory" in line
    assert "python -m experiments list" in line


def test_a_folder_is_no_configuration(tmp_path, refused):
    assert f"{tmp_path}: Is a directory" in refused(tmp_path)


WRONG_OVERRIDES = {
    "nan": (["--descent.learning_rate", "nan"], "descent.learning_rate ", "finite"),
    "NaN": (["--descent.learning_rate", "NaN"], "descent.learning_rate: ", "`float`"),
    "negative": (["--descent.learning_rate", "-1"], "descent.learning_rate: ", "> 0"),
    "number for text": (["--data.label", "1"], "data.label: ", "`str`"),
    "nothing by =": (["--descent.steps="], "descent.steps: ", "`int`"),
    "through a number": (["--descent.steps.x", "1"], "--descent.steps.x: steps is not"),
    "through text": (["--program.x", "1"], "--program.x: program is not a section"),
    "no value": (["--descent.steps"], "--descent.steps: the value is missing"),
    "last no value": (["--seed", "1", "--seed"], "--seed: the value is missing"),
    "one dash": (["-steps", "1"], "-steps: overrides are written --section.key value"),
    "no dash": (["steps"], "steps: overrides are written"),
    "two dots": (["--descent..steps", "1"], "--descent..steps: overrides are written"),
    "only dashes": (["--=1"], "--=1: overrides are written"),
    "unknown program": (["--program", "x"], "program must be one of bootstrap"),
    "line break": (["--a\nb", "1"], "overrides are written"),
    "line break in a file": (["--data.train", "a\nb.csv"], "there is no such file"),
    "a number too long": (["--seed", "9" * 5000], "seed: "),
    "nested too deep": (["--seed", "[" * 10**4], "seed: "),
}


@pytest.mark.parametrize("case", WRONG_OVERRIDES)
def test_a_wrong_override_is_named(case, config, refused):
    overrides, *words = WRONG_OVERRIDES[case]
    line = refused(config, *overrides)
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    ("overrides", "due"),
    [
        (["--seed", "7"], {"seed": 7}),
        (["--seed=7"], {"seed": 7}),
        (["--seed", "1", "--seed", "2"], {"seed": 2}),
        (["--a.b.c", "x=y"], {"a": {"b": {"c": "x=y"}}}),
        (["--a.b=x=y"], {"a": {"b": "x=y"}}),
        (["--a.b", "--c"], {"a": {"b": "--c"}}),
        (["--a.b=1", "--a.c", "2"], {"a": {"b": 1, "c": 2}}),
        (["--a-b.c_d", "-1.5"], {"a-b": {"c_d": -1.5}}),
    ],
)
def test_overrides_are_laid_over(overrides, due, tmp_path):
    path = tmp_path / "empty.toml"
    path.touch()
    assert read_table(path, overrides) == due


def test_overrides_leave_the_rest_of_a_section_alone(config):
    table = read_table(config, ["--descent.steps", "9"])
    due = tomllib.loads(config.read_text())
    due["descent"]["steps"] = 9
    assert table == due


VALUES = [
    *(("5", 5), ("1_000", 1000), ("-2e3", -2000.0), ("true", True), ("True", "True")),
    *(("[1, 2.5]", [1, 2.5]), ("{x = 1}", {"x": 1}), ('"5"', "5"), ("'true'", "true")),
    ("1979-05-27", datetime.date(1979, 5, 27)),
    ("-inf", -math.inf),
]
TEXTS = [
    *("mean radius", "", "5 apples", "1\nother = 2", "/data/my cats.h5", '"'),
    *("5/train.csv", "../träin.csv", r"C:\new\table.csv"),
]


@pytest.mark.parametrize(("text", "due"), VALUES + [(text, text) for text in TEXTS])
@pytest.mark.parametrize("equals", [False, True])
def test_a_value_is_toml_where_it_can_be_and_text_otherwise(
    text, due, equals, tmp_path
):
    path = tmp_path / "empty.toml"
    path.touch()
    words = [f"--key={text}"] if equals else ["--key", text]
    found = read_table(path, words)["key"]
    assert found == due
    assert type(found) is type(due)


def test_quotes_make_text_of_a_number(config, table, run_ok):
    table.write_text(table.read_text().replace("label", "1", 1))
    folder, _ = run_ok(config, "--data.label", '"1"')
    assert tomllib.loads((folder / "config.toml").read_text())["data"]["label"] == "1"


def test_read_table_raises_what_the_command_line_prints(tmp_path):
    with pytest.raises(UserError, match=r"none\.toml: No such file"):
        read_table(tmp_path / "none.toml")


# For each configuration: a setting, and what the message says.
USELESS = {
    "bootstrap": [
        ("bootstrap.replicates=0", "bootstrap.replicates: "),
        ("bootstrap.replicates=10000000", "bootstrap.replicates: "),
        ("bootstrap.l2=-1", "bootstrap.l2: "),
        ("bootstrap.l2=inf", "bootstrap.l2 must be a finite number"),
        ("bootstrap.level=1", "bootstrap.level: "),
        ("bootstrap.level=95", "bootstrap.level: "),
        ("bootstrap.folds=5", "unknown field `folds`"),
        ("bootstrap.l2=0", "bootstrap.l2 = 0: SEPARATED: a plane separates"),
        ("data.source=digits", "data.source: "),
        ("data.source=files", "data.train is not set"),
    ],
    "cats": [("seed=0", "data.train is not set: name the file with --data.train FILE")],
    "faces": [
        (f"descent.steps={10**30}", "descent.steps: "),
        (f"descent.print_every={10**30}", "descent.print_every: "),
        ("descent.l2=1e300", "descent.l2: "),
        ("descent.learning_rate=1e300", "descent.learning_rate: "),
        ("descent.learning_rate=1e-50", "descent.learning_rate: "),
        (f"descent.learning_rate=1{'0' * 400}", "must be a finite"),
    ],
    "learning_rates": [
        ("sweep.learning_rates=[0.1, -1]", "learning_rates["),
        ("sweep.learning_rates=[1.0, nan]", "learning_rates[1] must be a finite"),
        ("sweep.learning_rates=0.1", "sweep.learning_rates: "),
        ("sweep.learning_rates=[]", "sweep.learning_rates: "),
        ("sweep.learning_rates=[1e39]", "does not fit float32"),
    ],
    "probes": [
        ("grid.smallest=1", "grid: smallest must be at most largest"),
        ("grid.smallest=0", "grid.smallest: "),
        ("grid.smallest=1e-50", "grid.smallest: 1e-50 does not fit float32"),
        ("grid.largest=nan", "grid.largest must be a finite number"),
        ("grid.penalties=0", "grid.penalties: "),
        ("grid.penalties=20.0", "grid.penalties: "),
        ("grid.folds=1", "grid.folds: "),
        ("grid.folds=1348", "grid.folds: there are only 1347 samples"),
        ("grid.rule=worst", "grid.rule: "),
        ("grid.l2=1", "unknown field `l2`"),
        ("data.source=faces", "data.source: "),
        ("data.test_fraction=1", "data.test_fraction: "),
        ("data.test_fraction=0.999", "digits: the samples cannot be split: "),
    ],
    "surface": [
        ("surface.w=[1.0]", "surface.w: "),
        ("surface.w=[-1e39, 0]", "surface.w[0]: -1e+39 does not fit"),
        ("surface.start=[1.0, inf]", "surface.start[1] must be"),
        ("surface.points=1", "surface.points: "),
        ("surface.feature=size", "surface.feature: there is no 'size', only mean r"),
        ("data.source=faces", "no 'mean radius', only pixels without names"),
    ],
    "tic_toc": [("size.rounds=0", "size.rounds: "), ("data.source=faces", "`data`")],
    "vectorising": [
        ("descent.digit=10", "descent.digit: "),
        ("descent.digit=-1", "descent.digit: "),
        ("descent.steps=0", "descent.steps: "),
        ("descent.rates=0", "descent.rates: "),
        ("descent.learning_rate=0", "descent.learning_rate: "),
        ("descent.l2=1", "unknown field `l2`"),
        ("timing.rounds=0", "timing.rounds: "),
        ("data.source=faces", "data.source: "),
        ("data.test_fraction=0.999", "digits: the samples cannot be split: "),
    ],
}


@pytest.mark.parametrize(
    ("name", "setting", "words"),
    [(name, *row) for name, rows in USELESS.items() for row in rows],
)
def test_settings_that_no_program_could_use_are_refused(name, setting, words, refused):
    assert words in refused(CONFIGS / f"{name}.toml", f"--{setting}")


@pytest.mark.parametrize("path", sorted(CONFIGS.iterdir()), ids=lambda path: path.stem)
def test_the_configurations_that_come_along_are_right(path):
    table = read_table(path)
    config = convert(table, PROGRAMS[table["program"]].Config, path.name)
    assert config.program == table["program"]
    assert path.read_text().startswith("# ")
    assert describe(path).endswith(".")
    assert len(describe(path)) > 40


def test_cats_need_the_file_that_is_named(tmp_path, refused):
    train = write_hdf5(tmp_path / "train.h5", other=[1])
    line = refused(CONFIGS / "cats.toml", "--data.train", train)
    assert "train.h5: has no data set 'train_set_x', only ['other']" in line


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("# One line.\n\nkey = 1\n# Another.\n", "One line."),
        ("# Two lines,\n# joined.\nkey = 1\n", "Two lines, joined."),
        ("\n# Too late.\n", ""),
        ("key = 1\n", ""),
        ("", ""),
    ],
)
def test_describe_returns_the_first_comment(text, due, tmp_path):
    path = tmp_path / "one.toml"
    path.write_text(text)
    assert describe(path) == due

"""Configurations are strict: every mistake is one line, and writes nothing."""

import datetime
import math
import re
import sys
import tomllib

import msgspec
import pytest

from experiments import runner
from experiments.config import convert, describe, read_table
from experiments.errors import UserError
from experiments.programs import PROGRAMS
from tests.experiments.conftest import CONFIG, CONFIGS, call_main, error_line

ENCODINGS = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "cp037")
TOO_MUCH = (b"l2 = " + b"9" * 5000, b"a = " + b"[" * 10**4)
# What is done to a good file at its byte k.
DAMAGE = {
    "cut off": lambda good, k: good[:k],
    "begun late": lambda good, k: good[k + 1 :],
    "no UTF-8": lambda good, k: good[:k] + b"\xff" + good[k + 1 :],
    "a zero": lambda good, k: good[:k] + b"\0" + good[k:],
    "a bit": lambda good, k: good[:k] + bytes([good[k] ^ 1 << k % 7]) + good[k + 1 :],
    "recoded": lambda good, k: good.decode().encode(ENCODINGS[k % 6]),
    "too much": lambda good, k: good + TOO_MUCH[k % 2],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_one_line_or_what_it_says_is_run(
    damage, config, run_cli, monkeypatch
):
    started = []
    monkeypatch.setattr(
        runner, "execute", lambda _, config, *__: started.append(config)
    )
    good = CONFIG.format(train="a.csv").encode()
    for k in range(len(good)):
        config.write_bytes(DAMAGE[damage](good, k))
        result = run_cli(config)
        if result.code:
            assert "mine.toml: " in error_line(result)
            continue
        table = tomllib.loads(config.read_text())
        settings = msgspec.to_builtins(started[-1])
        assert table.keys() == {"program", "data", "descent"}
        assert {"learning_rate", "steps"} <= table["descent"].keys()
        for section in ("data", "descent"):
            assert settings[section].items() >= table[section].items()
    assert len(started) < len(good)


def test_a_file_that_is_none_is_named_and_where_others_are(tmp_path, refused):
    hint = "; see `python -m experiments list` for those that come with the project"
    line = f"{tmp_path}/none.toml: No such file or directory{hint}"
    assert refused(tmp_path / "none.toml") == line
    assert refused(tmp_path) == f"{tmp_path}: is not a file{hint}"


def settings_of(kind, path=()):
    """Yield the path of every setting of a kind of configuration."""
    for field in msgspec.structs.fields(kind):
        here = (*path, field.name)
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from settings_of(field.type, here)
        else:
            yield here


# What nearly every setting refuses, with the names of those that take it.
TEXTS = {
    *("bed", "phenotype", "phenotype_name", "covariates", "train", "test", "label"),
    *("covariate_names", "leave_out"),  # lists, written with commas
    *("train_images", "train_labels", "test_images", "test_labels", "feature"),
}
FLOATS = {"learning_rate", "l2", "smallest", "largest"}
REFUSED = {
    '"text"': TEXTS,
    '""': {"bed", "phenotype", "phenotype_name", "covariates", "train", "test"},
    "true": {"standardize", "figures"},
    "[]": {"covariate_names", "leave_out"},
    "0": {"seed", "l2", "digit", "bootstrap", "min_frequency", "min_count"},
    "1e30": FLOATS,
    f"1{'0' * 30}": FLOATS | {"seed"},
    "[1.5]": {"learning_rates"},
    **dict.fromkeys(['["a", 1]', "{}", "{a = 1}", "1979-05-27"], ()),
    **dict.fromkeys(["07:32:00", "nan", "-inf", "1e400", "1e300", "-1", "-0.5"], ()),
}


@pytest.mark.parametrize("path", sorted(CONFIGS.iterdir()), ids=lambda path: path.stem)
def test_every_setting_has_its_type_and_range(path):
    kind = PROGRAMS[read_table(path)["program"]].Config
    config = convert(read_table(path), kind, path.name)
    assert config.program == read_table(path)["program"]
    for *section, name in settings_of(kind):
        for value, takers in REFUSED.items():
            key = ".".join([*section, name])
            table = read_table(path, [f"--{key}={value}"])
            if name in takers:
                continue
            with pytest.raises(UserError) as caught:
                convert(table, kind, path.name)
            assert str(caught.value).startswith(f"{path.name}: {key}"), value
        unknown = ".".join([*section, "colour"])
        with pytest.raises(UserError, match="unknown field `colour`"):
            convert(read_table(path, [f"--{unknown}=1"]), kind, path.name)


@pytest.mark.parametrize("path", sorted(CONFIGS.iterdir()), ids=lambda path: path.stem)
def test_help_lists_every_setting_with_its_value_type_and_meaning(path):
    table = read_table(path)
    config = convert(table, PROGRAMS[table["program"]].Config, path.name)
    printed = call_main("run", str(path), "--help")
    assert (printed.code, printed.err) == (0, "")
    heading, *lines = printed.out.splitlines()
    assert heading == describe(path)
    named = dict(line.removeprefix("--").split(" ", 1) for line in lines[1::3])
    for name, value in _leaves(msgspec.to_builtins(config)):
        shown = tomllib.loads(f"value = {named.pop(name)}")["value"]
        assert (shown, name) == (value, name)
    assert not named
    for meaning, kind in zip(lines[2::3], lines[3::3], strict=True):
        assert re.fullmatch(r" {4}\w.{8,}\.", meaning)
        assert re.fullmatch(r" {4}\((a |true|\").+\)", kind)


def _leaves(settings, above=""):
    """Yield the settings by their whole names, but for the program."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{name}.")
        elif name != "program":
            yield above + name, list(value) if isinstance(value, tuple) else value


WRONG_OVERRIDES = {
    "--extra.a=1": "mine.toml: Object contains unknown field `extra`",
    "--descent.learning_rate NaN": "descent.learning_rate: Expected `float`",
    "--data.label 1": "data.label: Expected `str`",
    "--descent.x=[1,nan]": "descent.x[1] must be a finite number, but is nan",
    "--descent.step=1": "unknown field `step`, did you mean 'steps'?",
    "--descent.steps=": "descent.steps: Expected `int`",
    "--descent.steps.x 1": "--descent.steps.x: steps is not a section",
    "--program.x 1": "--program.x: program is not a section",
    "--descent.steps": "--descent.steps: the value is missing",
    "--seed 1 --seed": "--seed: the value is missing",
    "-steps 1": "-steps: overrides are written --section.key value",
    "steps": "steps: overrides are written",
    "--descent..steps 1": "--descent..steps: overrides are written",
    "--=1": "--=1: overrides are written",
    "--program x": "mine.toml: program must be one of bootstrap",
    '--program=["classify"]': "mine.toml: program must be one of bootstrap",
    f"--seed {'9' * 5000}": "seed: ",
    f"--seed {'[' * 10**4}": "seed: ",
}


@pytest.mark.parametrize("words", WRONG_OVERRIDES, ids=lambda words: words[:30])
def test_a_wrong_override_is_named(words, config, refused):
    assert WRONG_OVERRIDES[words] in refused(config, *words.split())


def test_a_line_break_in_an_override_makes_no_second_line(config, refused):
    assert "overrides are written" in refused(config, "--a\nb", "1")
    assert "a b.csv: No such file" in refused(config, "--data.train", "a\nb.csv")


# The configuration and a setting that its program could not use, and the message.
USELESS = {
    "bootstrap --bootstrap.level=1": "bootstrap.level: ",
    "bootstrap --bootstrap.replicates=10000000": "bootstrap.replicates: ",
    "bootstrap --bootstrap.l2=0": "bootstrap.l2 = 0: SEPARATED: a plane separates",
    "bootstrap --data.source=files": "data.train is not set",
    "cats --seed=0": "data.train is not set: name the file with --data.train FILE",
    "faces --data.test_fraction=1": "data.test_fraction: ",
    "faces --descent.learning_rate=1e-50": "1e-50 does not fit float32",
    "faces --descent.learning_rate=-1e39": "-1e+39 does not fit float32",
    f"faces --descent.learning_rate=1{'0' * 400}": "must be a finite",
    "learning_rates --sweep.learning_rates=[0.1,-1]": "sweep.learning_rates[",
    "learning_rates --sweep.learning_rates=[1.0,nan]": "[1] must be a finite",
    "learning_rates --sweep.learning_rates=[1e39]": "[0]: 1e+39 does not fit float32",
    "probes --grid.smallest=1": "grid: smallest must be at most largest",
    "probes --grid.folds=1": "grid.folds: ",
    "probes --grid.folds=1348": "grid.folds: there are only 1347 samples",
    "probes --data.test_fraction=0.999": "digits: the samples cannot be split: ",
    "surface --surface.w=[1.0]": "surface.w: ",
    "surface --surface.points=1": "surface.points: ",
    "surface --surface.feature=size": "there is no 'size', only mean r",
    "surface --data.source=faces": "no 'mean radius', only pixels without names",
    "vectorising --descent.digit=10": "descent.digit: ",
}


@pytest.mark.parametrize("setting", USELESS, ids=lambda setting: setting[:60])
def test_a_setting_that_no_program_could_use_is_refused(setting, refused):
    name, override = setting.split()
    assert USELESS[setting] in refused(CONFIGS / f"{name}.toml", override)


@pytest.mark.parametrize(
    ("overrides", "expected"),
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
def test_overrides_are_laid_over(overrides, expected, config):
    good = tomllib.loads(config.read_text())
    assert read_table(config, overrides) == good | expected


VALUES = [
    *(("5", 5), ("1_000", 1000), ("-2e3", -2000.0), ("true", True), ("True", "True")),
    *(("[1, 2.5]", [1, 2.5]), ("{x = 1}", {"x": 1}), ('"5"', "5"), ("'true'", "true")),
    ("1979-05-27", datetime.date(1979, 5, 27)),
    ("-inf", -math.inf),
]
PLAIN = [
    *("mean radius", "", "5 apples", "1\nother = 2", "/data/my cats.h5", '"'),
    *("5/train.csv", "../träin.csv", r"C:\new\table.csv"),
]


@pytest.mark.parametrize(
    ("text", "expected"), VALUES + [(text, text) for text in PLAIN]
)
def test_a_value_is_toml_where_it_can_be_and_text_otherwise(text, expected, config):
    for words in ([f"--descent.steps={text}"], ["--descent.steps", text]):
        table = tomllib.loads(config.read_text())
        table["descent"]["steps"] = expected
        result = read_table(config, words)
        assert result == table  # the rest of the section is left alone
        assert type(result["descent"]["steps"]) is type(expected)


def test_describe_returns_the_first_comment(tmp_path):
    path = tmp_path / "one.toml"
    for text, expected in {
        "# One line.\n\nkey = 1\n# Another.\n": "One line.",
        "# Two lines,\n# joined.\nkey = 1\n": "Two lines, joined.",
        "\n# Too late.\n": "",
    }.items():
        path.write_text(text)
        assert describe(path) == expected


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "bed_reader", None)
    for name in ("programs.scan", "datasets.plink"):
        monkeypatch.delitem(sys.modules, f"experiments.{name}", raising=False)
    found = call_main("run", CONFIGS / "scan.toml", "--help")
    assert found.code == 2
    assert error_line(found).startswith("bed_reader is not installed: ")

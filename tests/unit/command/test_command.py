"""The command line: what it prints and writes, and what it refuses."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest

import jlogreg
from jlogreg import inference, tables
from jlogreg.__main__ import main
from jlogreg.command import figures
from jlogreg.command.main import ANSWERS
from tests.unit.tables.made import M, frame

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("command")


@pytest.fixture(scope="module")
def table(folder):
    path = folder / "table.csv"
    frame().to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def model(folder, table):
    path = folder / "model.json"
    arguments = ["fit", table, "--label", "alive", "--positive", "yes", "--out", path]
    assert main([*map(str, arguments), "--penalty", "cv"]) == 0
    return path


def call(capsys, *arguments):
    """Return the exit code, and what was printed."""
    code = main([str(each) for each in arguments])
    return code, *capsys.readouterr()


def test_fit_saves_a_model_and_prints_it(model, capsys):
    found = tables.load(model)
    assert found.l2 > 0
    code, printed, _ = call(capsys, "show", model)
    assert code == 0
    assert str(found.summary()) in printed
    assert "Penalty l2=" in printed
    assert "chosen by cross-validation" in printed
    assert (
        f"area under the ROC curve  {found.validation.scores['roc_auc']:.4f}" in printed
    )
    assert "- 'soil': category: 'loam', 'sand' against 'clay'" in printed


def test_json_is_one_object(model, table, tmp_path, capsys):
    options = ["--positive", "yes", "--penalty", "l2=0.1", "--folds", 0, "--json"]
    out = tmp_path / "other.json"
    formula = ["--formula", "alive ~ age + dose"]
    code, printed, _ = call(capsys, "fit", table, *formula, *options, "--out", out)
    found = json.loads(printed)
    assert (code, found["l2"], found["coefficients"]["name"]) == (
        *(0, 0.1),
        ["age", "dose", "bias"],
    )
    assert found["validation"] is None
    code, printed, _ = call(capsys, "show", model, "--json")
    assert json.loads(printed)["validation"]["roc_auc"] > 0.5
    code, printed, _ = call(capsys, "score", model, table, "--json")
    assert json.loads(printed)["rows"] == M
    code, printed, _ = call(capsys, "predict", model, table, "--json")
    assert len(json.loads(printed)["probability"]) == M


def test_an_l1_penalty_is_chosen_and_shown(table, tmp_path, capsys):
    out, page = tmp_path / "sparse.json", tmp_path / "sparse.html"
    label = ("--label", "alive", "--positive", "yes", "--out", out)
    code, printed, _ = call(capsys, "fit", table, *label, "--penalty", "l1=cv")
    found = tables.load(out)
    assert (code, found.l2, found.l1 in found.validation.l1) == (0, 0, True)
    assert f"Penalty l1={found.l1:.4g} of the standardised features, chosen" in printed
    assert "weights are not 0" in printed
    assert "no standard errors, intervals or p: with an L1 penalty" in printed
    assert call(capsys, "report", out, table, "--out", page)[0] == 0
    assert page.read_text().count("<img ") == 3  # no forest without intervals


def test_an_elastic_net_is_chosen_over_both_penalties(table, tmp_path, capsys):
    out, page = tmp_path / "net.json", tmp_path / "net.html"
    label = ("--label", "alive", "--positive", "yes", "--folds", 2, "--out", out)
    code, printed, _ = call(capsys, "fit", table, *label, "--penalty", "l1=cv,l2=cv")
    found = tables.load(out)
    pairs = list(zip(found.validation.l1, found.validation.l2, strict=True))
    assert code == 0
    assert len({*pairs}) == len({*found.validation.l1}) * len({*found.validation.l2})
    losses = dict(zip(pairs, found.validation.loss, strict=True))
    assert losses[found.l1, found.l2] == min(losses.values())
    chosen = f"Penalty l1={found.l1:.4g}, l2={found.l2:.4g} of the standardised"
    assert chosen in printed
    figure = figures.path(found, found.validation)
    lines = figure.axes[0].lines
    assert [line.get_label() for line in lines] == [
        f"l2 = {size:.2g}" for size in sorted({*found.validation.l2})
    ]
    for line, size in zip(lines, sorted({*found.validation.l2}), strict=True):
        curve = zip(*line.get_data(), strict=True)
        assert all(losses[l1, size] == loss for l1, loss in curve)
    ((x, y),) = [
        point
        for point in figure.axes[0].collections[0].get_offsets().tolist()
        if None not in point and point[0] == point[0]
    ]
    assert (x, y) == (found.l1, losses[found.l1, found.l2])
    assert call(capsys, "report", out, table, "--out", page)[0] == 0


def test_firths_estimate_of_separated_labels(tmp_path, capsys):
    path, out = tmp_path / "t.csv", tmp_path / "m.json"
    path.write_text("x,y\n" + "".join(f"{x},{int(x > 9)}\n" for x in range(20)))
    given = ("fit", path, "--label", "y", "--number", "x", "--out", out)
    assert call(capsys, *given)[0] == 1
    code, printed, _ = call(capsys, *given, "--firth")
    assert code == 0
    assert "Firth's estimate, by Jeffreys' prior" in printed
    model = tables.load(out)
    assert model.firth
    assert model.validation.scores["roc_auc"] == 1
    given = model.schema.samples(tables.read(path))
    with jax.enable_x64(True):
        X = jnp.asarray(given.X)
        alone = jlogreg.fit(X, given.y, jeffreys=0.5)
        ends = inference.confidence_interval(
            alone, X, given.y, jeffreys=0.5, kind="profile"
        )
    assert model.w[0] == pytest.approx(float(alone.params.w[0, 0]), rel=1e-6)
    told = model.summary().columns["weight_high"]
    np.testing.assert_allclose(told, ends.high[:, 0], rtol=1e-4)


def test_predict_writes_a_row_for_each(model, table, tmp_path, capsys):
    out = tmp_path / "out.csv"
    lines = table.read_text().splitlines()
    lines[1] = "," + lines[1].partition(",")[2]  # no age
    (tmp_path / "new.csv").write_text("\n".join(lines))
    given = (model, tmp_path / "new.csv", "--keep", "soil", "--out", out)
    code, _, errors = call(capsys, "predict", *given)
    assert code == 0
    assert errors == "1 row lacks 'age' and get no probability\n".replace("get", "gets")
    head, first, *rest = out.read_text().splitlines()
    assert head == "row,soil,probability"
    assert first == f"1,{frame()['soil'][0]},"
    found = tables.load(model).predict(tables.read(table)).probability[0, 1:]
    np.testing.assert_array_equal([float(row.split(",")[2]) for row in rest], found)


def test_score_prints_numbers_and_draws_pictures(model, table, tmp_path, capsys):
    folder = tmp_path / "made" / "here"
    code, printed, _ = call(capsys, "score", model, table, "--pictures", folder)
    assert code == 0
    assert str(tables.score(tables.load(model), tables.read(table))) in printed
    for name in ("roc", "reliability"):
        assert (folder / f"{name}.svg").read_text().rstrip().endswith("</svg>")


def test_what_to_beware_of_in_scores_is_told(model, table, tmp_path, capsys):
    """Of a model that is worse than none."""
    same, below = "chosen on the same folds", "accuracy is below the share of"
    good = tables.load(model)
    scores = good.validation.scores | {"accuracy": 0.1}
    bad = msgspec.structs.replace(
        good,
        w=tuple(-w for w in good.w),
        b=-good.b,
        validation=msgspec.structs.replace(good.validation, scores=scores),
    )
    out, page = tmp_path / "bad.json", tmp_path / "bad.html"
    tables.save(out, bad)
    for words, expected in (
        (("show", model), (1, 0)),
        (("show", out), (1, 1)),
        (("show", out, "--json"), (1, 1)),
        (("score", out, table), (0, 1)),
        (("score", out, table, "--json"), (0, 1)),
    ):
        _, printed, _ = call(capsys, *words)
        assert (printed.count(same), printed.count(below)) == expected
    call(capsys, "report", out, table, "--out", page)
    told = page.read_text()
    assert (told.count(same), told.count(below)) == (1, 2)


def test_the_report_is_one_file_without_network(model, table, tmp_path, capsys):
    out = tmp_path / "report.html"
    code, _, _ = call(capsys, "report", model, table, "--out", out)
    page = out.read_text()
    assert code == 0
    assert page.count("<img ") == 4  # weights, penalties, ROC and reliability
    assert page.count("src='data:image/svg+xml;base64,") == 4
    assert "http" not in page.partition("<body>")[2].replace("xmlns", "")
    assert "too good" in page
    first = page
    call(capsys, "report", model, table, "--out", out)
    assert out.read_text() == first


def test_columns_are_what_the_arguments_say(table, tmp_path, capsys):
    out = tmp_path / "m.json"
    options = [
        "--category",
        "soil=sand",
        "--number",
        "age=years",
        "--leave-out",
        "dose",
    ]
    label = ["--label", "alive", "--positive", "yes", "--folds", 0, "--out", out]
    assert call(capsys, "fit", table, *label, *options)[0] == 0
    assert tables.load(out).names == ("age [years]", "soil=clay", "soil=loam")


def test_columns_have_roles(tmp_path, capsys):
    path, out = tmp_path / "t.csv", tmp_path / "m.json"
    given = frame(n=np.arange(M) % 3, base=np.arange(M) % 5, farm=np.arange(M) % 7)
    given.to_csv(path, index=False)
    line = "--label alive --positive yes --folds 0 --weight n --weights frequency"
    words = f"{line} --offset base --clusters farm".split()
    code, printed, _ = call(capsys, "fit", path, *words, "--out", out)
    assert code == 0
    assert "- weight 'n', a frequency\n- offset 'base'\n- clusters 'farm'" in printed
    assert tables.load(out).rows == 80
    code, printed, _ = call(capsys, "score", out, path, "--pictures", tmp_path)
    assert code == 0
    assert "80 of 120 rows are used; left out where 'n' is 0 (40)" in printed


FIT = "fit {table} --label alive --positive yes --out {out} "
WRONG = {
    FIT + "--penalty l2=-1": "must be none, cv, or l2 and l1 with a number of at least",
    FIT + "--penalty 0.1": "but is '0.1', did you mean l2=0.1?",
    FIT + "--penalty l2=0,1": "but is 'l2=0,1', did you mean l2=0.1?",
    FIT + "--penalty lasso:.1": "but is 'lasso:.1', did you mean l1=.1?",
    FIT + "--penalty L1": "but is 'L1', did you mean l1=cv?",
    FIT + "--penalty elastic-net": "but is 'elastic-net', did you mean l1=cv,l2=cv?",
    FIT + "--penalty l1=1,l1=cv": "but is 'l1=1,l1=cv'",
    FIT + "--penalty l1=cv --folds 0": "--penalty l1=cv needs --folds of at least 2",
    FIT + "--firth --penalty l2=1": "--firth has no penalty beside it",
    FIT + "--penalty cv --folds 0": "--penalty cv needs --folds of at least 2",
    FIT + "--folds 1": "--folds must be 0, or at least 2",
    FIT + "--level 95": "--level must be between 0 and 1",
    FIT + "--seed -1": "--seed must be at least 0",
    FIT + "--delimiter ab": "--delimiter must be one sign or tab",
    FIT + "--leave-out soil --category soil": "column 'soil' is given as two kinds",
    FIT + "--leave-out sol": "table.csv: has no column 'sol', did you mean 'soil'?",
    FIT + "--category soil=sad": "column 'soil': the base 'sad' is not there, only 'c",
    FIT + "--weight dose": "column 'dose': what the weights mean is not given",
    FIT + "--offset sol": "table.csv: has no column 'sol', the offset, did you mean 's",
    "fit {table} --out {out}": "--label is not given",
    "fit {table} --label aliv --out {out}": "no column 'aliv' for the label: its",
    "fit {table} --label alive --out {out}": "column 'alive': the labels are 'no' (",
    "fit gone.csv --label a --out {out}": "gone.csv: No such file or directory",
    "fit {table} --label alive --positive yes --out {out}/x": "is not there",
    "predict {model} {bad} --out {out}": "column 'age', line 3: 'old' is no number",
    "predict {model} {table} --keep sol --out {out}": "has no column 'sol' to keep",
    "predict {table} {table} --out {out}": "table.csv: is no model, or was cut short",
    "score {model} {bad}": "column 'soil', line 2: 'peat' is none of the words",
    "score {model} {table} --pictures {table}": "table.csv: is no folder",
    "score {model} {table} --pictures {table}/a": "table.csv/a: Not a directory",
    "report {model} {table} --out {out}": "its name must end in .html",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_mistake_is_told_and_nothing_is_written(line, model, table, tmp_path, capsys):
    bad = tmp_path / "bad.csv"
    bad.write_text("age,dose,soil,alive\n50,1,peat,yes\nold,2,clay,no\n")
    out = tmp_path / "out"
    paths = {"table": table, "model": model, "bad": bad, "out": out}
    words = [word.format(**paths) for word in line.split()]
    code, printed, errors = call(capsys, *words)
    assert (code, printed) == (2, "")
    told, _, answers = errors.partition(ANSWERS)
    assert all(text.startswith("error: ") for text in told.splitlines())
    assert answers in ("", "\n")
    assert WRONG[line] in errors
    assert not out.exists()


def test_questions_of_columns_name_the_arguments_that_answer_them(tmp_path, capsys):
    bad, label = tmp_path / "bad.csv", ("--label", "b", "--out", tmp_path / "out")
    bad.write_text("a,b\n50,0\nold,1\n")
    assert call(capsys, "fit", bad, *label)[2].endswith(f"{ANSWERS}\n")
    assert ANSWERS not in call(capsys, "fit", tmp_path / "gone.csv", *label)[2]
    _, printed, _ = call(capsys, "fit", "--help")
    options = re.findall(r"--[\w-]+", ANSWERS)
    assert len(options) == 6
    assert all(option in printed for option in options)


def test_a_fit_without_an_answer_has_another_code(tmp_path, capsys):
    path, out = tmp_path / "t.csv", tmp_path / "m.json"
    frame(twice=2 * frame()["age"]).to_csv(path, index=False)
    given = ("fit", path, "--label", "alive", "--positive", "yes", "--out", out)
    code, _, errors = call(capsys, *given)
    assert code == 1
    assert errors.startswith("error: SINGULAR")
    assert "'twice' is given by" in errors
    assert not out.exists()


@pytest.mark.parametrize("arguments", [[], ["fi"], ["fit"], ["show", "--what"]])
def test_arguments_that_are_not_known(arguments, capsys):
    assert call(capsys, *arguments)[0] == 2


def test_an_option_that_is_given_twice_is_an_error(capsys):
    twice = ("--positive", "yes", "--positive", "YES")
    code, _, errors = call(capsys, "fit", "t.csv", *twice, "--label", "a", "--out", "m")
    assert code == 2
    assert "argument --positive: is given twice, as 'yes' and as 'YES'" in errors


def test_help_names_the_commands(capsys):
    code, printed, _ = call(capsys, "--help")
    assert code == 0
    assert all(word in printed for word in ("predict", "score", "show", "Exit codes"))


def test_without_the_extra_the_command_says_what_it_needs(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for name in [*sys.modules]:
        if name.startswith(("jlogreg.command", "jlogreg.tables")):
            monkeypatch.delitem(sys.modules, name)
    assert main(["show", "x"]) == 2
    assert 'pip install "jlogreg[tables]"' in capsys.readouterr().err


def test_the_module_is_the_command():
    command = [sys.executable, "-m", "jlogreg", "show", "gone.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: gone.json: No such file or directory\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device")
def test_a_full_output_is_an_error(model, monkeypatch, capsys):
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["show", str(model)]) == 2
    expected = "error: standard output: No space left on device\n"
    assert capsys.readouterr().err == expected


def test_an_output_that_nobody_reads_is_no_error(model, monkeypatch, capsys):
    """As after `| head`."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert main(["show", str(model)]) == 0
    assert capsys.readouterr().err == ""


MEASURE = """<script>
const page = document.documentElement
page.dataset.over = page.scrollWidth - page.clientWidth
const dark = matchMedia("(prefers-color-scheme: dark)").matches
page.dataset.scheme = dark ? "dark" : "light"
page.dataset.drawn = [...document.images].filter(i => i.naturalWidth > 0).length
const loaded = performance.getEntriesByType("resource").map(entry => entry.name)
page.dataset.requests = loaded.filter(name => !name.startsWith("data:")).length
</script></body>"""


@pytest.fixture(scope="module")
def page(model, table):
    path = model.parent / "measured.html"
    assert main(["report", str(model), str(table), "--out", str(path)]) == 0
    path.write_text(path.read_text().replace("</body>", MEASURE))
    return path


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1200, "light")])
def test_the_page_fits_a_window(width, scheme, page, tmp_path):
    """In a browser all is drawn, nothing is requested, nothing sticks out."""
    number = ["dark", "light"].index(scheme)
    words = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
        f"--blink-settings=preferredColorScheme={number}",
        f"--user-data-dir={tmp_path}",
        f"--window-size={width},900",
        "--virtual-time-budget=2000",
        page.as_uri(),
    ]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=300, check=True
    )
    assert 'data-over="0"' in done.stdout
    assert 'data-drawn="4"' in done.stdout
    assert 'data-requests="0"' in done.stdout
    assert f'data-scheme="{scheme}"' in done.stdout

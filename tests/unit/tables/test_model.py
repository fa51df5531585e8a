"""Models: fitted, held out, saved, loaded elsewhere, and used."""

import json
import os
import subprocess
import sys

import jax
import msgspec
import numpy as np
import pytest
from sklearn import metrics as sklearn
from sklearn.linear_model import LogisticRegression

from jlogreg import FitError, tables
from jlogreg.tables import LeftOut, Schema
from tests.unit.tables.made import M, frame

TABLE = tables.read(frame())
SCHEMA = Schema("alive", "yes")


def _glm(text, given):
    models = pytest.importorskip("statsmodels.formula.api")
    families = pytest.importorskip("statsmodels.api").families
    return models.glm(text, given, family=families.Binomial()).fit(tol=1e-14)


@pytest.fixture(scope="module")
def model():
    return tables.fit(TABLE, SCHEMA)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.json"
    tables.save(path, model)
    return path


def test_coefficients_errors_and_intervals_are_those_of_statsmodels(model):
    given = frame().assign(alive=frame()["alive"].eq("yes").astype(float))
    text = "alive ~ age + dose + soil"
    fitted = _glm(text, given)
    names = ["age", "dose", "soil[T.loam]", "soil[T.sand]", "Intercept"]
    told = model.summary().columns
    np.testing.assert_allclose(told["weight"], fitted.params[names], rtol=1e-7)
    np.testing.assert_allclose(told["std_error"], fitted.bse[names], rtol=1e-6)
    ends = np.stack([told["weight_low"], told["weight_high"]], axis=1)
    np.testing.assert_allclose(ends, fitted.conf_int().loc[names], rtol=1e-5)
    assert model.names == ("age", "dose", "soil=loam", "soil=sand")
    z = fitted.predict(given.iloc[[7]])
    new = tables.read(frame().drop(columns="alive").iloc[[7]])
    np.testing.assert_allclose(model.predict(new).probability, [z], rtol=1e-7)


@pytest.mark.parametrize("l2", [0.0, 0.03])
def test_weights_are_those_of_scikit_learn(l2):
    found = tables.fit(TABLE, SCHEMA, l2=l2, folds=0)
    X = SCHEMA.decide(TABLE).samples(TABLE).X.T
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    C = 1 / (M * l2) if l2 else np.inf
    theirs = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-12)
    theirs.fit(scaled, frame()["alive"] == "yes")
    np.testing.assert_allclose(found.w, theirs.coef_[0] / X.std(axis=0), rtol=1e-6)


@pytest.mark.parametrize("l2", [0.0, 0.03])
def test_sparse_weights_are_those_of_scikit_learn(l2):
    l1 = 0.05
    found = tables.fit(TABLE, SCHEMA, l2=l2, l1=l1, folds=2)
    X = SCHEMA.decide(TABLE).samples(TABLE).X.T
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    theirs = LogisticRegression(
        C=1 / (M * (l1 + l2)), l1_ratio=l1 / (l1 + l2), solver="saga", tol=1e-12,
        max_iter=100_000,
    )  # fmt: skip
    theirs.fit(scaled, frame()["alive"] == "yes")
    expected = theirs.coef_[0] / X.std(axis=0)
    np.testing.assert_allclose(found.w, expected, rtol=1e-6, atol=1e-9)
    assert 0.0 in found.w
    assert [*found.table] == ["weight"]
    assert found.validation.l1 == (l1,)


def test_the_penalty_is_of_standardised_features(model):
    """Twice the unit changes the weight, and nothing else; statsmodels has none."""
    one, two = (
        tables.fit(tables.read(made), SCHEMA, l2=0.1, folds=0)
        for made in (frame(), frame().assign(age=2 * frame()["age"]))
    )
    np.testing.assert_allclose(one.w[0], 2 * two.w[0], rtol=1e-8)
    np.testing.assert_allclose(one.w[1:], two.w[1:], rtol=1e-8)
    assert abs(one.w[0]) < abs(model.w[0])
    assert "std_error" in one.table  # the summary knows the penalty
    assert one.validation is None


def test_held_out_scores_are_the_means_of_folds(model):
    scores = model.validation.scores
    assert model.validation.folds == 5
    assert model.validation.loss == (scores["log_loss"],)
    score = tables.score(model, TABLE)
    assert 0.5 < scores["roc_auc"] < score.roc_auc
    assert scores["log_loss"] > score.log_loss


def test_each_fold_has_the_same_share_of_a_rare_label():
    alive = np.where(np.arange(M) < 5, "yes", "no")
    table = tables.read(frame().assign(alive=alive))
    found = tables.fit(table, SCHEMA, l2=0.1)
    assert found.validation.scores["roc_auc"] is not None
    assert tables.score(found, table).larger == 115 / 120


def test_other_names_than_those_of_the_features_are_refused(model):
    other = msgspec.structs.replace(model, names=("dose", "age", *model.names[2:]))
    with pytest.raises(tables.TableError, match="has the features 'age', 'dose', "):
        other.predict(TABLE)


def test_cross_validation_chooses_the_penalty():
    found = tables.fit(TABLE, SCHEMA, l2=[1e-3, 1e-2, 0.1, 10.0])
    losses = found.validation.loss
    assert found.l2 == found.validation.l2[int(np.argmin(losses))] < 10
    alone = tables.fit(TABLE, SCHEMA, l2=found.l2, folds=0)
    np.testing.assert_allclose(found.w, alone.w, rtol=1e-12)


def test_a_loaded_model_is_the_same(model, saved):
    assert tables.load(saved) == model
    np.testing.assert_array_equal(model.params.w[:, 0], model.w)


def test_another_process_predicts_the_same(model, saved, tmp_path):
    path = tmp_path / "new.csv"
    frame(1).to_csv(path, index=False, sep=";", decimal=",")
    program = (
        "import json, sys\n"
        "from jlogreg import tables\n"
        "found = tables.load(sys.argv[1]).predict(tables.read(sys.argv[2]))\n"
        "print(json.dumps(found.probability.tolist()))"
    )
    command = [sys.executable, "-c", program, str(saved), str(path)]
    printed = subprocess.check_output(command, text=True, env=os.environ)
    found = model.predict(tables.read(frame(1))).probability
    np.testing.assert_allclose(json.loads(printed), found, rtol=1e-12)


def test_a_row_that_lacks_a_cell_has_no_probability(model):
    new = frame(1).astype(object)
    new.loc[2, "age"] = None
    new.loc[5, "soil"] = None
    found = model.predict(tables.read(new.convert_dtypes()))
    assert np.flatnonzero(np.isnan(found.probability)).tolist() == [2, 5]
    assert found.lacking == {"age": 1, "soil": 1}


def test_a_word_that_is_not_known_is_an_error_or_a_missing_cell(model):
    new = tables.read(frame(1, soil=["peat", *["clay"] * (M - 1)]))
    with pytest.raises(tables.TableError, match="column 'soil', row 1: 'peat' is none"):
        model.predict(new)
    found = model.predict(new, unseen="missing")
    assert np.flatnonzero(np.isnan(found.probability)).tolist() == [0]


def test_words_that_were_missing_cells_are_so_in_other_tables():
    table = tables.read(frame(), missing=["sand"])
    fitted = tables.fit(table, SCHEMA, folds=0)
    assert fitted.rows < M
    assert fitted.predict(tables.read(frame(1))).lacking == {
        "soil": int((frame(1)["soil"] == "sand").sum())
    }


def test_scores_are_those_of_scikit_learn(model):
    found = tables.score(model, tables.read(frame(1)))
    y, a = found.y[0], 1 / (1 + np.exp(-found.z[0]))
    assert found.roc_auc == pytest.approx(sklearn.roc_auc_score(y, a), abs=1e-12)
    assert found.roc_auc_low < found.roc_auc < found.roc_auc_high
    precision = sklearn.average_precision_score(y, a)
    assert found.average_precision == pytest.approx(precision, abs=1e-12)
    assert found.brier == pytest.approx(sklearn.brier_score_loss(y, a), abs=1e-12)
    assert found.log_loss == pytest.approx(sklearn.log_loss(y, a), abs=1e-12)
    right = sklearn.accuracy_score(y, a > 0.5)
    assert found.accuracy == pytest.approx(right, abs=1e-12)
    assert found.larger == pytest.approx(max(y.mean(), 1 - y.mean()), abs=1e-12)
    (rest, false), (missed, hit) = sklearn.confusion_matrix(y, a > 0.5)
    assert found.confusion == (hit, false, missed, rest)
    assert found.to_dict()["confusion"]["false_negative"] == missed
    assert f"{found.roc_auc:.4f}" in str(found)


def test_on_its_own_table_a_model_is_calibrated(model):
    found = tables.score(model, TABLE)
    assert (found.slope, found.intercept) == pytest.approx((1, 0), abs=1e-6)


def test_a_feature_that_gives_the_label_away_is_named():
    alive = frame()["alive"].eq("yes")
    made = frame(died=np.where(alive, 2.5, 1.5), tomb=np.where(alive, "none", "new"))
    with pytest.raises(FitError) as caught:
        tables.fit(tables.read(made), SCHEMA)
    first, *hints = str(caught.value).splitlines()
    assert first.startswith(("SEPARATED", "DIVERGED"))
    assert "'died' alone tells the labels apart" in hints
    assert f"'tomb=none': all {alive.sum()} rows have the label 1" in hints


def test_features_that_follow_from_others_are_named():
    made = frame(months=12 * frame()["age"])
    with pytest.raises(FitError, match="SINGULAR") as caught:
        tables.fit(tables.read(made), SCHEMA)
    assert str(caught.value).endswith("'months' is given by 'age'")


def test_folds_without_an_answer_have_no_scores():
    """A word of two rows, of both labels, is in some fold with one label only."""
    alive = frame()["alive"].to_numpy()
    rows = [int(np.flatnonzero(alive == word)[0]) for word in ("yes", "no")]
    rare = np.where(np.isin(np.arange(M), rows), "rare", "usual")
    made = frame(rare=rare).drop(columns="dose")
    found = tables.fit(tables.read(made), SCHEMA).validation
    assert set(found.scores.values()) == {None}
    assert len(found.failed) in (1, 2)


def test_without_a_bias_the_weights_are_those_of_statsmodels():
    given = frame().assign(alive=frame()["alive"].eq("yes").astype(float))
    text = "alive ~ 0 + age + soil"
    fitted = _glm(text, given)
    found = tables.fit(TABLE, Schema(positive="yes", formula=text), folds=0)
    by_name = {name.replace("soil[T.", "soil["): w for name, w in fitted.params.items()}
    expected = [by_name[name] for name in found.names]
    np.testing.assert_allclose(found.w, expected, rtol=1e-7)
    assert found.b == 0


@pytest.mark.parametrize("l2", [-1.0, float("nan"), [], [0.1, -1], "0.1"])
def test_a_penalty_out_of_range_is_refused(l2):
    with pytest.raises(ValueError, match="l2 must be a number of at least 0"):
        tables.fit(TABLE, SCHEMA, l2=l2)


def test_several_penalties_need_folds():
    with pytest.raises(ValueError, match="of several penalties folds must choose"):
        tables.fit(TABLE, SCHEMA, l2=[0.1, 1.0], folds=0)
    with pytest.raises(ValueError, match=r"^l2 has 2 penalties, but l1 3$"):
        tables.fit(TABLE, SCHEMA, l2=[0.1, 1.0], l1=[0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match=r"^firth=True has no penalty beside it"):
        tables.fit(TABLE, SCHEMA, l1=0.1, firth=True)
    with pytest.raises(ValueError, match="folds must be 0, or at least 2"):
        tables.fit(TABLE, SCHEMA, folds=1)


def test_the_precision_of_jax_does_not_matter(model):
    with jax.enable_x64(False):
        found = tables.fit(TABLE, SCHEMA, folds=0)
    np.testing.assert_allclose(found.w, model.w, rtol=1e-10)


def spoiled(content, name):
    """Return the text of a model file with something wrong."""
    plain = json.loads(content)
    match name:
        case "short":
            return content[: len(content) // 2]
        case "no text":
            return b"\xff\xfe"
        case "version":
            plain["format"] = 99
        case "names":
            plain["names"] = plain["names"][:-1]
        case "type":
            plain["w"][0] = "much"
        case "other":
            plain = [1, 2]
        case "none":
            del plain["schema"]
    return json.dumps(plain).encode()


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("short", "is no model, or was cut short"),
        ("no text", "is no model, or was cut short"),
        ("version", "has the form 99 of another version of jlogreg, not 2"),
        ("names", "is no whole model"),
        ("type", r"is no model, or was cut short: Expected `float`, got `str`"),
        ("other", "is no model, or was cut short"),
        ("none", "is no model, or was cut short"),
    ],
)
def test_a_spoiled_file_is_one_line(saved, tmp_path, name, what):
    path = tmp_path / "spoiled.json"
    path.write_bytes(spoiled(saved.read_bytes(), name))
    with pytest.raises(tables.TableError, match=what) as caught:
        tables.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_or_written_are_named(model, tmp_path):
    with pytest.raises(tables.TableError, match="No such file"):
        tables.load(tmp_path / "gone.json")
    with pytest.raises(tables.TableError, match="No such file"):
        tables.save(tmp_path / "gone" / "model.json", model)


def test_what_was_decided_is_told(model):
    assert model.told == (
        "120 of 120 rows are used",
        "label 'alive': 'yes' is 1, 'no' is 0",
        "'age': number",
        "'dose': number",
        "'soil': category: 'loam', 'sand' against 'clay'",
    )
    assert model.positives == int(frame()["alive"].eq("yes").sum())
    assert model.versions["jax"] == jax.__version__


def test_a_schema_can_be_decided_before(model):
    asked = Schema("alive", "yes", columns={"dose": LeftOut()})
    found = tables.fit(TABLE, asked.decide(TABLE), folds=0)
    assert found.names == ("age", "soil=loam", "soil=sand")


def test_a_model_shows_its_summary():
    model = tables.fit(tables.read(frame()), SCHEMA, folds=0)
    assert str(model) == repr(model) == str(model.summary())
    assert model._repr_html_() == model.summary()._repr_html_()

"""Columns with a role of their own: weights, an offset, clusters."""

import jax
import msgspec
import numpy as np
import pandas as pd
import pytest

import jlogreg
from jlogreg import tables
from jlogreg.tables import LeftOut, Schema, validating
from tests.unit.tables.made import M, frame


def weighted(**columns):
    """Return a table with whole weights, some of them 0, an offset and clusters."""
    rng = np.random.default_rng(1)
    given = {
        "count": rng.permutation(np.arange(M) % 3),
        "known": rng.normal(size=M).round(2),
        "farm": rng.choice([*"abcdefgh"], M),
    }
    return frame(**(given | columns))


ROLES = {"weight": "count", "weights": "frequency", "offset": "known"}


def test_a_frequency_is_a_row_that_is_repeated():
    age = frame()["age"].where(np.arange(M) % 7 > 0)  # missing cells, too
    given = weighted(age=age)
    repeated = given.loc[given.index.repeat(given["count"])]
    given_kinds = {"columns": {"farm": LeftOut("")}, "missing": "indicator"}
    schema = Schema("alive", "yes", offset="known", **given_kinds)
    expected = tables.fit(
        tables.read(repeated.drop(columns="count")), schema, l2=0.01, folds=0
    )
    own = msgspec.structs.replace(schema, weight="count", weights="frequency")
    found = tables.fit(tables.read(given), own, l2=0.01, folds=0)
    assert found.names == ("age", "age missing", "dose", "soil=loam", "soil=sand")
    means = [model.schema.columns["age"].mean for model in (found, expected)]
    np.testing.assert_allclose(*means, rtol=1e-12)
    for name in ("weight", "std_error", "odds_ratio_low"):
        np.testing.assert_allclose(found.table[name], expected.table[name], rtol=1e-7)
    np.testing.assert_allclose(found.share, expected.share)
    score = tables.score(found, tables.read(given)).to_dict()
    longer = tables.score(expected, tables.read(repeated)).to_dict()
    other = {"rows", "told", "remarks", "confusion", "roc_auc_low", "roc_auc_high"}
    for name in set(score) - other:
        np.testing.assert_allclose(
            score[name], longer[name], rtol=1e-6, atol=1e-9, err_msg=name
        )
    np.testing.assert_allclose(
        [*score["confusion"].values()], [*longer["confusion"].values()]
    )


def test_held_out_scores_use_the_weights_and_the_offset():
    given = frame()
    known = 0.08 * (given["age"] - 50) + given["dose"] - 1.5
    wrong = np.arange(M) >= M // 2  # labels that hardly count
    swapped = given["alive"].map({"yes": "no", "no": "yes"})
    made = {
        "soil": given["soil"],
        "known": known,
        "weight": np.where(wrong, 1e-9, 1.0),
        "alive": given["alive"].where(~wrong, swapped),
    }
    roles = {"weight": "weight", "weights": "probability", "offset": "known"}
    table = tables.read(pd.DataFrame(made))
    found = tables.fit(table, Schema("alive", "yes", **roles), folds=2)
    # The words of soil alone, or the labels that hardly count, tell much less.
    assert found.validation.scores["roc_auc"] > 0.7
    assert found.validation.scores["log_loss"] < 0.65


def test_firths_folds_use_the_weights():
    """Against a fit by hand for each fold, with its losses."""
    given = weighted().query("count > 0").drop(columns=["farm", "known", "soil"])
    schema = Schema("alive", "yes", weight="count", weights="frequency")
    found = tables.fit(tables.read(given), schema, firth=True, folds=3)
    samples = found.schema.samples(tables.read(given))
    rows = validating._folds(samples.y[0], None, 3, 0)
    assert sorted(rows.sum(axis=0).tolist()) == [2.0] * samples.y.size
    losses = []
    with jax.enable_x64(True):
        for row in rows:
            learned = {"weight": samples.weight * row, "jeffreys": 0.5}
            params = jlogreg.fit(samples.X, samples.y, **learned).params
            z = np.asarray(jlogreg.logits(params, samples.X))
            loss = np.logaddexp(0, z) - samples.y * z
            losses.append(np.average(loss, weights=samples.weight * (row == 0)))
    held_out = [(samples.weight * (row == 0)).sum() for row in rows]
    expected = np.average(losses, weights=held_out)
    np.testing.assert_allclose(found.validation.scores["log_loss"], expected, rtol=1e-7)


@pytest.mark.parametrize("seed", range(20))
def test_folds_hold_whole_clusters_out_and_both_labels(seed):
    rng = np.random.default_rng(seed)
    clusters = rng.integers(0, 40, 300)
    y = (rng.random(300) < 0.15 + 0.5 * (clusters % 3 == 0)).astype(float)
    rows = validating._folds(y, clusters[None], 5, seed)
    assert rows.shape == (5, 300)
    np.testing.assert_array_equal(rows.sum(axis=0), 4)
    for row in rows:
        assert not {*clusters[row == 0]} & {*clusters[row == 1]}
        for value in (0, 1):  # a fifth of each label, but for the size of a cluster
            share = (y[row == 0] == value).sum() / (y == value).sum()
            largest = np.bincount(clusters[y == value]).max() / (y == value).sum()
            assert abs(share - 0.2) <= 2 * largest


def test_few_clusters_are_few_folds_or_none():
    y, clusters = np.array([0.0, 1, 0, 1, 0, 0]), np.array([[0, 0, 1, 1, 2, 3]])
    assert len(validating._folds(y, clusters, 5, 0)) == 2  # with a label 1
    assert len(validating._folds(y, clusters // 2, 5, 0)) == 0


def test_errors_are_robust_against_clusters_and_probabilities():
    given = weighted()
    model = tables.fit(
        tables.read(given), Schema("alive", "yes", **ROLES, clusters="farm"), folds=0
    )
    probability = Schema(
        "alive", "yes", columns={"farm": LeftOut("")},
        **(ROLES | {"weights": "probability"}),
    )  # fmt: skip
    other = tables.fit(tables.read(given), probability, folds=0)
    samples = model.schema.samples(tables.read(given))
    assert samples.clusters.shape == samples.weight.shape == samples.y.shape
    np.testing.assert_allclose(other.w, model.w, rtol=1e-9)
    X = np.vstack([samples.X, np.ones(samples.y.shape)])
    theta = np.append(model.w, model.b)
    a = 1 / (1 + np.exp(-(theta @ X + samples.offset)))
    terms = samples.weight * (a - samples.y) * X
    inverse = np.linalg.inv((samples.weight * a * (1 - a) * X) @ X.T)
    farms = np.eye(8)[given["farm"].map("abcdefgh".index)[samples.rows - 1]]
    for found, sums, factor in (
        (model, terms @ farms, 8 / 7),
        (other, terms, (size := samples.y.size) / (size - len(theta))),
    ):
        covariance = factor * inverse @ (sums @ sums.T) @ inverse
        errors = np.sqrt(np.diag(covariance))
        np.testing.assert_allclose(found.table["std_error"], errors, rtol=1e-6)


def test_a_new_table_needs_the_offset_and_not_the_weights(tmp_path):
    given = weighted()
    fitted = tables.fit(
        tables.read(given), Schema("alive", "yes", **ROLES, clusters="farm"), folds=0
    )
    tables.save(tmp_path / "model.json", fitted)
    model = tables.load(tmp_path / "model.json")
    assert model.schema.of_roles == {
        "weight": "count", "offset": "known", "clusters": "farm",
    }  # fmt: skip
    new = given.drop(columns=["alive", "count", "farm"])
    z = model.predict(tables.read(new)).z
    later = new.assign(known=new["known"].where(new.index != 3) + 1)
    found = model.predict(tables.read(later))
    assert found.lacking == {"known": 1}
    assert np.isnan(found.z).nonzero()[1].tolist() == [3]
    there = ~np.isnan(found.z)
    np.testing.assert_allclose(found.z[there], z[there] + 1)
    with pytest.raises(tables.TableError, match="no column 'known', the offset"):
        model.predict(tables.read(new.drop(columns="known")))


def test_all_faults_of_weights_and_offsets_are_in_one_report():
    given = weighted()
    count = given["count"].astype(float)
    count[[2, 5]], count[7] = np.nan, -1.0
    known = given["known"].astype(str)
    known[4] = "high"
    table = tables.read(given.assign(count=count, known=known))
    with pytest.raises(tables.TableError) as caught:
        Schema("alive", "yes", weight="count", offset="known").decide(table)
    text = str(caught.value)
    for line in (
        "what the weights mean is not given",
        "the weight is missing, in 2 rows",
        "the weight is negative",
        "'high' is no number",
    ):
        assert line in text
    places = {(fault.column, fault.row) for fault in caught.value.faults}
    assert places == {("count", None), ("count", 3), ("count", 8), ("known", 5)}


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"weight": "alive", "weights": "frequency"}, "is the label, and the weight"),
        ({"offset": "dose", "clusters": "dose"}, "is the offset, and the clusters"),
        ({"offset": "knwon"}, "no column 'knwon', the offset, did you mean 'known'"),
        ({"offset": "known", "formula": "alive ~ known"}, "is a feature, and the off"),
        ({"weights": "frequency"}, "weights have a meaning, but no column"),
    ],
)
def test_a_role_that_cannot_be_is_a_fault(options, line):
    with pytest.raises(tables.TableError) as caught:
        Schema("alive", "yes", **options).decide(tables.read(weighted()))
    assert line in str(caught.value)

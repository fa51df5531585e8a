"""The summary says what is true of a fit, and no representation floods a notebook."""

import re
import sys
from statistics import NormalDist
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from jlogreg.inference import confidence_interval
from jlogreg.inference import standard_errors as standard_errors_of
from tests.helpers import make_problem
from tests.references import datasets

NAMES = ["GPA", "TUCE", "PSI"]
X, Y = map(jnp.asarray, datasets.spector()[:2])
SEPARATED = jnp.asarray(X[:1] > 3.0, X.dtype)


@pytest.fixture(scope="module")
def plain():
    return jl.fit(X, Y)


@pytest.fixture(scope="module")
def penalized():
    return jl.fit(X, Y, l2=0.1)


def summary(*arguments, **options):
    """Return a summary as text."""
    return str(jl.summary(*arguments, **options))


def lines_of(text):
    """Return the table of a summary as a list of words by name of the line."""
    rows = (line.split() for line in text.splitlines())
    return {row[0]: row[1:] for row in rows if row}


def test_it_prints_what_is_published_of_the_spector_data(plain):
    """Greene's table of the logit model, which statsmodels and Stata reprint."""
    text = summary(plain, X, Y, NAMES)
    assert text.startswith("CONVERGED: the minimum was found\n")
    assert "3 features, 32 samples, mean label 0.344" in text
    table = lines_of(text)
    assert " ".join(table["GPA"]) == "2.826 1.26 2.24 0.025 16.9 1.42 to 201"
    assert " ".join(table["TUCE"]) == "0.09516 0.142 0.67 0.5 1.1 0.833 to 1.45"
    assert " ".join(table["PSI"]) == "2.379 1.06 2.23 0.025 10.8 1.34 to 86.9"
    assert table["bias"][:5] == ["-13.02", "4.93", "-2.64", "0.0083", "2.21e-06"]
    assert "no standard errors" not in text


def test_cost_steps_and_accuracy_are_those_of_the_fit(penalized):
    text = summary(penalized, X, Y)
    words = re.search(r"cost J (\S+) nats after (\d+) steps", text)
    assert float(words[1]) == pytest.approx(float(penalized.cost), rel=1e-5)
    assert int(words[2]) == int(penalized.steps)
    right = (jl.logits(penalized.params, X) > 0) == (Y == 1)
    assert f"training accuracy {right.mean():.4f}" in text
    assert list(lines_of(text))[-4:-1] == ["x1", "x2", "bias"]


def standard_errors(X, params, offset=0.0):
    x = np.vstack([X, np.ones((1, X.shape[1]))]).astype(float)
    a = 1 / (1 + np.exp(-np.vstack(params).astype(float).T @ x - offset))
    return np.sqrt(np.diag(np.linalg.inv(x * (a * (1 - a)) @ x.T)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_standard_errors_are_those_of_the_inverse_information(dtype):
    problem = make_problem((4, 60), dtype, seed=3)
    result = jl.fit(problem.X, problem.y)
    table = lines_of(summary(result, problem.X, problem.y))
    values = np.vstack(result.params)[:, 0]
    errors = standard_errors(problem.X, result.params)
    names = ["x0", "x1", "x2", "x3", "bias"]
    for name, value, error in zip(names, values, errors, strict=True):
        weight, shown, z, p = map(float, table[name][:4])
        assert weight == pytest.approx(value, rel=1e-3)
        assert shown == pytest.approx(error, rel=1e-2)
        assert z == pytest.approx(value / error, abs=0.006)
        assert p == pytest.approx(2 * NormalDist().cdf(-abs(value / error)), rel=0.06)


@pytest.mark.parametrize(
    "options", [{"l2": 0.1}, {"weight": Y + 1.0}, {"offset": X[:1]}], ids=str
)
def test_there_are_none_away_from_the_largest_likelihood(options):
    away = "a penalty, other weights or another offset led away from the minimum for t"
    assert away in summary(jl.fit(X, Y, **options), X, Y)


# Moths of each sex that died of 20, by the logarithm of the dose to base 2: Collett,
# Modelling binary data, table 4.1; numbers of R's glm in Venables and Ripley, Modern
# applied statistics with S, section 7.2.
DEAD = np.array([[1, 4, 9, 13, 18, 20, 0, 2, 6, 10, 12, 16]])
MOTHS = np.array([[1.0] * 6 + [0.0] * 6, [0.0, 1, 2, 3, 4, 5] * 2])


def test_counts_are_labels_k_of_n_with_weights_n():
    y, weight = DEAD / 20, np.full(DEAD.shape, 20.0)
    found = jl.fit(MOTHS, y, weight=weight)
    text = summary(found, MOTHS, y, ["male", "dose"], weight=weight)
    assert "2 features, 12 samples of total weight 240, mean label 0.463" in text
    table = lines_of(text)
    assert table["male"][:4] == ["1.101", "0.356", "3.09", "0.002"]
    assert table["dose"][:4] == ["1.064", "0.131", "8.12", "4.7e-16"]
    assert table["bias"][:4] == ["-3.473", "0.469", "-7.41", "1.2e-13"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_weight_of_k_is_a_sample_that_occurs_k_times(dtype):
    problem = make_problem((3, 40), dtype, seed=4)
    X, y = np.asarray(problem.X), np.asarray(problem.y)
    times = np.arange(40) % 4
    weight = times[None].astype(dtype)
    X_nan = np.where(weight > 0, X, np.nan)  # excluded samples may hold anything
    copies = [np.repeat(array, times, axis=1) for array in (X, y)]
    weighted = summary(jl.fit(X, y, weight=weight), X_nan, y, weight=weight)
    repeated = summary(jl.fit(*copies), *copies)
    differ = {1, 2}  # the number of samples; the steps
    lines = zip(weighted.splitlines(), repeated.splitlines(), strict=True)
    assert all(one == other for i, (one, other) in enumerate(lines) if i not in differ)
    assert "no standard errors" not in weighted
    # Groups of equal samples, with the share of label 1.
    x = np.array([[0.0, 1, 2, 3, 4]], dtype)
    ones, all_ = np.array([[1, 2, 6, 12, 14]]), np.array([[20, 7, 11, 15, 16]])
    share, weight = (ones / all_).astype(dtype), all_.astype(dtype)
    grouped = summary(jl.fit(x, share, weight=weight), x, share, weight=weight)
    pair = np.concatenate([ones, all_ - ones], axis=1)[0]
    x = np.repeat(np.tile(x, 2), pair, axis=1)
    y = np.repeat([[1.0] * 5 + [0.0] * 5], pair, axis=1).astype(dtype)
    single = summary(jl.fit(x, y), x, y)
    assert grouped.splitlines()[3:] == single.splitlines()[3:]  # the accuracy too


def test_a_penalty_that_moves_nothing_is_none():
    assert "no standard errors" not in summary(jl.fit(X, Y, l2=1e-12), X, Y)


def test_there_are_none_where_the_fit_has_no_answer():
    text = summary(jl.fit(X, SEPARATED), X, SEPARATED)
    assert text.startswith(f"SEPARATED: {jl.Status.SEPARATED.message}\n")
    assert "(no standard errors: the fit has no answer)" in text
    nothing = jax.jit(jl.fit)(X.at[0, 0].set(np.nan), Y)
    text = summary(nothing, X, Y)
    assert text.startswith("BAD_INPUT: ")
    assert lines_of(text)["bias"] == ["nan"]


def test_an_offset_that_is_given_counts():
    offset = 3 * (1 - 2 * Y)  # so that without it most would be wrong
    result = jl.fit(X, Y, offset=offset)
    right = (jl.logits(result.params, X) + offset > 0) == (Y > 0.5)
    text = summary(result, X, Y, offset=offset)
    assert f"training accuracy {right.mean():.4f}" in text
    assert "no standard errors" not in text
    assert text != summary(result, X, Y)
    table = lines_of(text)
    shown = [float(table[name][1]) for name in ("x0", "x1", "x2", "bias")]
    expected = standard_errors(X, result.params, np.asarray(offset))
    np.testing.assert_allclose(shown, expected, rtol=1e-2)


def listed(problem, l2):
    """Return a fit's params, its summary, and the lines of its features."""
    result = jl.fit(problem.X, problem.y, l2=l2)
    text = summary(result, problem.X, problem.y)
    table = lines_of(text)
    lines = {name: table[name] for name in table if re.fullmatch(r"x\d+", name)}
    return result.params, text, lines


def test_of_many_features_those_with_the_largest_z_are_listed():
    problem = make_problem((30, 400), np.float64, seed=1)
    params, text, lines = listed(problem, l2=0.0)
    assert "(20 of 30 features, those with the largest |z|)" in text
    z = np.asarray(params.w)[:, 0] / standard_errors(problem.X, params)[:-1]
    largest = {f"x{j}": z[j] for j in np.argsort(-np.abs(z))[:20]}
    shown = {name: float(line[2]) for name, line in lines.items()}
    assert shown == pytest.approx(largest, abs=0.006)


def test_of_more_features_those_with_the_largest_weights_are_listed():
    problem = make_problem((600, 20), np.float64, seed=1)
    params, text, lines = listed(problem, l2=0.1)
    assert "(20 of 600 features, those with the largest |w|)" in text
    assert "there are more than 512 features" in text
    largest = np.argsort(-np.abs(np.asarray(params.w)[:, 0]))[:20]
    assert set(lines) == {f"x{j}" for j in largest}


def test_designs_have_summaries():
    design = jl.standardize(X)
    text = summary(jl.fit(design, Y), design, Y, NAMES)
    assert lines_of(text)["GPA"][2:4] == ["2.24", "0.025"]  # z knows no units


def test_names_and_fits_that_do_not_belong_are_refused(penalized):
    with pytest.raises(jl.ShapeError, match="there are 3 features, but 2 names"):
        summary(penalized, X, Y, ["a", "b"])
    many = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), penalized)
    with pytest.raises(jl.ShapeError, match="of 2 problems"):
        summary(many, X, Y)


def test_small_fits_show_their_numbers(plain):
    params = jl.Params(w=jnp.array([[1.5], [-2.0]]), b=jnp.array([[0.25]]))
    assert repr(params) == "Params(w=[[ 1.5], [-2. ]], b=0.25 (1, 1))"
    for text in (
        "status=CONVERGED",
        f"cost={float(plain.cost):.6g}",
        f"steps={int(plain.steps)}",
    ):
        assert text in repr(plain)
    html = plain._repr_html_()
    rows = re.findall(r"<tr><th>(\w+)</th><td>([^<]*)</td></tr>", html)
    known = [name for name, leaf in plain._asdict().items() if leaf is not None]
    assert [name for name, _ in rows] == known
    assert dict(rows)["status"] == "CONVERGED"


def test_no_representation_prints_a_thousand_numbers(plain):
    large = jl.init_params(100_000)
    many = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], 1000, axis=0), plain)
    for thing in (large, many, many.params):
        for text in (repr(thing), thing._repr_html_()):
            assert len(text) < 600
            assert len(re.findall(r"\d+", text)) < 60
    assert "(100000, 1)" in repr(large)
    assert "status=1000 CONVERGED" in repr(many)
    mixed = many._replace(status=many.status.at[-1].set(jl.Status.SEPARATED))
    assert "status=999 CONVERGED, 1 SEPARATED" in repr(mixed)


def test_what_is_not_an_array_of_numbers_is_shown_as_python_does():
    assert repr(jl.Params(w=0, b=None)) == "Params(w=0, b=None)"
    seen = []
    jax.jit(lambda p: seen.append(repr(p)) or p)(jl.init_params(2))
    assert "Tracer" in seen[0]
    assert "[2,1]" in seen[0].replace("float64", "")
    assert "ShapeDtypeStruct" in repr(jax.eval_shape(jl.fit, X, Y))


def test_it_has_the_statistics_that_are_published(plain):
    """Greene's log-likelihoods; the test of all weights."""
    text = summary(plain, X, Y)
    assert "log-likelihood -12.8896 (bias alone -20.5917), AIC 33.779" in text
    assert "McFadden 0.374, Nagelkerke 0.528" in text
    assert "all weights are 0: chi-square 15.4, df 3, p = 0.0015" in text
    assert (
        'beware: 11 samples of the rarer label for 4 unknowns; interval="prof' in text
    )


def test_a_penalty_that_is_given_has_errors_and_a_warning(penalized):
    table = jl.summary(penalized, X, Y, l2=0.1)
    expected = standard_errors_of(penalized, X, Y, l2=0.1)[:, 0]
    np.testing.assert_allclose(table.columns["std_error"], expected, rtol=1e-12)
    text = str(table)
    assert "beware: the penalty draws the weights to 0" in text
    assert "chi-square" not in text  # there is no such test with a penalty


@pytest.mark.parametrize("interval", ["wald", "profile"])
def test_columns_are_those_of_the_functions(plain, interval):
    options = {"covariance": "HC1", "level": 0.9}
    table = jl.summary(plain, X, Y, interval=interval, **options)
    errors = standard_errors_of(plain, X, Y, kind="HC1")
    theta = np.vstack(plain.params)
    columns = table.columns
    np.testing.assert_allclose(columns["std_error"], errors[:, 0], rtol=1e-12)
    np.testing.assert_allclose(columns["z"], (theta / errors)[:, 0], rtol=1e-12)
    np.testing.assert_allclose(np.log10(columns["p"]), columns["log10_p"], rtol=1e-12)
    chosen = options if interval == "wald" else {"level": 0.9}
    found = confidence_interval(plain, X, Y, kind=interval, **chosen)
    own = {"weight": theta, "weight_low": found.low, "weight_high": found.high}
    for name, expected in own.items():
        np.testing.assert_allclose(columns[name], expected[:, 0], rtol=1e-12)
        ratio = columns[name.replace("weight", "odds_ratio")]
        np.testing.assert_allclose(ratio, np.exp(expected[:, 0]), rtol=1e-12)
    assert "90% interval" in str(table)


def test_weights_may_be_probabilities():
    """A weight of 2 throughout: twice as many samples, or the same ones."""
    weight = np.full_like(Y, 2.0)
    found = jl.fit(X, Y, weight=weight)
    one = jl.summary(jl.fit(X, Y), X, Y)
    twice = [np.concatenate([array, array], axis=1) for array in (X, Y)]
    two = jl.summary(jl.fit(*twice), *twice)
    for weights, other in (("probability", one), ("frequency", two)):
        table = jl.summary(found, X, Y, weight=weight, weights=weights)
        errors, expected = (each.columns["std_error"] for each in (table, other))
        np.testing.assert_allclose(errors, expected, rtol=1e-8)
        assert ("log-likelihood" in str(table)) == (weights == "frequency")


def test_few_clusters_are_a_warning(plain):
    clusters = np.arange(32)[None] // 4
    table = jl.summary(plain, X, Y, covariance="cluster", clusters=clusters)
    assert "beware: 8 clusters are few" in str(table)
    problem = make_problem((1, 400), np.float64, seed=2)
    many = jl.summary(jl.fit(problem.X, problem.y), problem.X, problem.y)
    assert many.notes == ()


def test_tables_for_other_programs(plain, monkeypatch):
    names = ["GPA_%", "<b>", "two\nlines"]
    table = jl.summary(plain, X, Y, names)
    assert repr(table) == str(table)
    assert "\ntwo lines " in str(table)
    html = table._repr_html_()
    assert "<th>&lt;b&gt;</th><td>0.09516</td>" in html
    assert html.count("<tr>") == 5
    latex = table.to_latex()
    assert latex.startswith("\\begin{tabular}{lrrrrrr}\n\\hline\n & weight & ")
    assert "GPA\\_\\% & 2.826 & 1.26 & " in latex
    assert "95\\% interval" in latex
    columns = table.to_dict()
    assert columns["name"] == [*names, "bias"]
    assert columns["weight"] == pytest.approx(np.vstack(plain.params)[:, 0])
    frames = ModuleType("polars")
    frames.DataFrame = lambda columns: ("polars", columns)
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "polars", frames)
    assert table.to_frame() == ("polars", columns)
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ImportError, match="needs pandas or polars: install one"):
        table.to_frame()
    frames = ModuleType("pandas")
    frames.DataFrame = lambda columns: ("pandas", columns)
    monkeypatch.setitem(sys.modules, "pandas", frames)
    assert table.to_frame() == ("pandas", columns)


def test_an_odds_ratio_has_the_digits_that_tell_it_from_its_ends_and_1(plain):
    """A feature in small units, such as a salary in cents."""
    scale = np.array([[1e5], [1.0], [1.0]])
    params = jl.Params(plain.params.w / scale, plain.params.b)
    found = jl.summary(plain._replace(params=params), X * scale, Y, NAMES)
    row, columns = found.rows()[1], found.columns
    shown = [float(text) for text in (row[5], *row[6].split(" to "))]
    names = ("odds_ratio", "odds_ratio_low", "odds_ratio_high")
    exact = [columns[name][0] for name in names]
    np.testing.assert_allclose(shown, exact, rtol=0, atol=5e-8)
    assert len({1.0, *shown}) == 4


def test_a_p_that_is_no_float_is_shown():
    random = np.random.default_rng(0)
    x = random.normal(size=(1, 20_000))
    y = (random.random(x.shape) < 1 / (1 + np.exp(-1.5 * x))).astype(float)
    shown = lines_of(summary(jl.fit(x, y), x, y))["x0"][3]
    assert re.fullmatch(r"\d\.\de-[3-9]\d\d|\d\.\de-\d{4}", shown), shown


def test_an_unknown_interval_is_refused(plain):
    with pytest.raises(ValueError, match='interval must be "wald" or "profile"'):
        summary(plain, X, Y, interval="bootstrap")


def test_a_fit_with_an_l1_penalty_has_no_errors():
    found = jl.fit(X, Y, l1=0.1)
    kept = int((np.asarray(found.params.w) != 0).sum())
    assert 0 < kept < 3
    table = jl.summary(found, X, Y, NAMES, l1=0.1)
    assert table.statistics == (f"{kept} of 3 weights are not 0",)
    assert [*table.columns] == ["weight"]
    assert table.notes[-1].startswith("(no standard errors, intervals or p: with an L1")
    # Without the penalty it is no minimum, and that is told.
    assert "give weight, offset, l2, l1 and jeffreys" in summary(found, X, Y, NAMES)
    with pytest.raises(ValueError, match="l1"):
        jl.summary(found, X, Y, NAMES, l1=-1.0)

"""The summary says what is true of a fit, and no representation floods a notebook."""

import re
from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
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


def lines_of(text):
    """Return the table of a summary as a list of words by name of the line."""
    rows = (line.split() for line in text.splitlines())
    return {row[0]: row[1:] for row in rows if row}


def test_it_prints_what_is_published_of_the_spector_data(plain):
    """Greene's table of the logit model, which statsmodels and Stata reprint."""
    text = jl.summary(plain, X, Y, NAMES)
    assert text.startswith("CONVERGED: the minimum was found\n")
    assert "3 features, 32 samples, mean label 0.344" in text
    table = lines_of(text)
    assert table["GPA"] == ["2.826", "1.26", "2.24", "0.025"]
    assert table["TUCE"] == ["0.09516", "0.142", "0.67", "0.5"]
    assert table["PSI"] == ["2.379", "1.06", "2.23", "0.025"]
    assert table["bias"] == ["-13.02", "4.93", "-2.64", "0.0083"]
    assert "no standard errors" not in text


def test_cost_steps_and_accuracy_are_those_of_the_fit(penalized):
    text = jl.summary(penalized, X, Y)
    words = re.search(r"cost J (\S+) nats after (\d+) steps", text)
    assert float(words[1]) == pytest.approx(float(penalized.cost), rel=1e-5)
    assert int(words[2]) == int(penalized.steps)
    right = (jl.logits(penalized.params, X) > 0) == (Y == 1)
    assert f"training accuracy {right.mean():.1%}" in text
    assert list(lines_of(text))[-4:-1] == ["x1", "x2", "bias"]


def standard_errors(X, params, offset=0.0):
    x = np.vstack([X, np.ones((1, X.shape[1]))]).astype(float)
    a = 1 / (1 + np.exp(-np.vstack(params).astype(float).T @ x - offset))
    return np.sqrt(np.diag(np.linalg.inv(x * (a * (1 - a)) @ x.T)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_standard_errors_are_those_of_the_inverse_information(dtype):
    problem = make_problem((4, 60), dtype, seed=3)
    result = jl.fit(problem.X, problem.y)
    table = lines_of(jl.summary(result, problem.X, problem.y))
    values = np.vstack(result.params)[:, 0]
    errors = standard_errors(problem.X, result.params)
    names = ["x0", "x1", "x2", "x3", "bias"]
    for name, value, error in zip(names, values, errors, strict=True):
        weight, shown, z, p = map(float, table[name])
        assert weight == pytest.approx(value, rel=1e-3)
        assert shown == pytest.approx(error, rel=1e-2)
        assert z == pytest.approx(value / error, abs=0.006)
        assert p == pytest.approx(2 * NormalDist().cdf(-abs(value / error)), rel=0.06)


@pytest.mark.parametrize(
    "options", [{"l2": 0.1}, {"weight": Y + 1.0}, {"offset": X[:1]}], ids=str
)
def test_there_are_none_away_from_the_largest_likelihood(options):
    away = "a penalty, other weights or another offset led away from the maximum of th"
    assert away in jl.summary(jl.fit(X, Y, **options), X, Y)


# Moths of each sex that died of 20, by the logarithm of the dose to base 2: Collett,
# Modelling binary data, table 4.1; numbers of R's glm in Venables and Ripley, Modern
# applied statistics with S, section 7.2.
DEAD = np.array([[1, 4, 9, 13, 18, 20, 0, 2, 6, 10, 12, 16]])
MOTHS = np.array([[1.0] * 6 + [0.0] * 6, [0.0, 1, 2, 3, 4, 5] * 2])


def test_counts_are_labels_k_of_n_with_weights_n():
    y, weight = DEAD / 20, np.full(DEAD.shape, 20.0)
    found = jl.fit(MOTHS, y, weight=weight)
    text = jl.summary(found, MOTHS, y, ["male", "dose"], weight=weight)
    assert "2 features, 12 samples of total weight 240, mean label 0.463" in text
    table = lines_of(text)
    assert table["male"] == ["1.101", "0.356", "3.09", "0.002"]
    assert table["dose"] == ["1.064", "0.131", "8.12", "4.7e-16"]
    assert table["bias"] == ["-3.473", "0.469", "-7.41", "1.2e-13"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_weight_of_k_is_a_sample_that_occurs_k_times(dtype):
    problem = make_problem((3, 40), dtype, seed=4)
    X, y = np.asarray(problem.X), np.asarray(problem.y)
    times = np.arange(40) % 4
    weight = times[None].astype(dtype)
    X_nan = np.where(weight > 0, X, np.nan)  # excluded samples may hold anything
    copies = [np.repeat(array, times, axis=1) for array in (X, y)]
    weighted = jl.summary(jl.fit(X, y, weight=weight), X_nan, y, weight=weight)
    repeated = jl.summary(jl.fit(*copies), *copies)
    differ = {1, 2}  # the number of samples; the steps
    lines = zip(weighted.splitlines(), repeated.splitlines(), strict=True)
    assert all(one == other for i, (one, other) in enumerate(lines) if i not in differ)
    assert "no standard errors" not in weighted
    # Groups of equal samples, with the share of label 1.
    x = np.array([[0.0, 1, 2, 3, 4]], dtype)
    ones, all_ = np.array([[1, 2, 6, 12, 14]]), np.array([[20, 7, 11, 15, 16]])
    share, weight = (ones / all_).astype(dtype), all_.astype(dtype)
    grouped = jl.summary(jl.fit(x, share, weight=weight), x, share, weight=weight)
    pair = np.concatenate([ones, all_ - ones], axis=1)[0]
    x = np.repeat(np.tile(x, 2), pair, axis=1)
    y = np.repeat([[1.0] * 5 + [0.0] * 5], pair, axis=1).astype(dtype)
    single = jl.summary(jl.fit(x, y), x, y)
    assert grouped.splitlines()[3:] == single.splitlines()[3:]  # the accuracy too


def test_a_penalty_that_moves_nothing_is_none():
    assert "no standard errors" not in jl.summary(jl.fit(X, Y, l2=1e-12), X, Y)


def test_there_are_none_where_the_fit_has_no_answer():
    text = jl.summary(jl.fit(X, SEPARATED), X, SEPARATED)
    assert text.startswith(f"SEPARATED: {jl.Status.SEPARATED.message}\n")
    assert "(no standard errors: the fit has no answer)" in text
    nothing = jax.jit(jl.fit)(X.at[0, 0].set(np.nan), Y)
    text = jl.summary(nothing, X, Y)
    assert text.startswith("BAD_INPUT: ")
    assert lines_of(text)["bias"] == ["nan"]


def test_an_offset_that_is_given_counts():
    offset = 3 * (1 - 2 * Y)  # so that without it most would be wrong
    result = jl.fit(X, Y, offset=offset)
    right = (jl.logits(result.params, X) + offset > 0) == (Y > 0.5)
    text = jl.summary(result, X, Y, offset=offset)
    assert f"training accuracy {right.mean():.1%}" in text
    assert "no standard errors" not in text
    assert text != jl.summary(result, X, Y)
    table = lines_of(text)
    shown = [float(table[name][1]) for name in ("x0", "x1", "x2", "bias")]
    expected = standard_errors(X, result.params, np.asarray(offset))
    np.testing.assert_allclose(shown, expected, rtol=1e-2)


def listed(problem, l2):
    """Return a fit's params, its summary, and the lines of its features."""
    result = jl.fit(problem.X, problem.y, l2=l2)
    text = jl.summary(result, problem.X, problem.y)
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
    text = jl.summary(jl.fit(design, Y), design, Y, NAMES)
    assert lines_of(text)["GPA"][2:] == ["2.24", "0.025"]  # z knows no units


def test_names_and_fits_that_do_not_belong_are_refused(penalized):
    with pytest.raises(jl.ShapeError, match="there are 3 features, but 2 names"):
        jl.summary(penalized, X, Y, ["a", "b"])
    many = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), penalized)
    with pytest.raises(jl.ShapeError, match="of 2 problems"):
        jl.summary(many, X, Y)


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
    assert [name for name, _ in rows] == list(plain._fields)
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

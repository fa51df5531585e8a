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


def spector():
    X, y, *_ = datasets.spector()
    return jnp.asarray(X), jnp.asarray(y)


def lines_of(text):
    """Return the table of a summary as a list of words by name of the line."""
    rows = (line.split() for line in text.splitlines())
    return {row[0]: row[1:] for row in rows if row}


def test_it_prints_what_is_published_of_the_spector_data():
    """Greene's table of the logit model, which statsmodels and Stata reprint."""
    X, y = spector()
    text = jl.summary(jl.fit(X, y), X, y, NAMES)
    assert text.startswith("CONVERGED: the minimum was found\n")
    assert "3 features, 32 samples, mean label 0.344" in text
    table = lines_of(text)
    assert table["GPA"] == ["2.826", "1.26", "2.24", "0.025"]
    assert table["TUCE"] == ["0.09516", "0.142", "0.67", "0.5"]
    assert table["PSI"] == ["2.379", "1.06", "2.23", "0.025"]
    assert table["bias"] == ["-13.02", "4.93", "-2.64", "0.0083"]
    assert "no standard errors" not in text


def test_cost_steps_and_accuracy_are_those_of_the_fit():
    X, y = spector()
    found = jl.fit(X, y, l2=0.1)
    text = jl.summary(found, X, y)
    words = re.search(r"cost J (\S+) nats after (\d+) steps", text)
    assert float(words[1]) == pytest.approx(float(found.cost), rel=1e-5)
    assert int(words[2]) == int(found.steps)
    z = found.params.w.T @ X + found.params.b
    right = np.mean((np.asarray(z) > 0) == (np.asarray(y) == 1))
    assert f"training accuracy {right:.1%}" in text
    assert list(lines_of(text))[-4:-1] == ["x1", "x2", "bias"]


def standard_errors(X, params, offset=0.0):
    x = np.concatenate([np.asarray(X, float), np.ones((1, X.shape[1]))])
    theta = np.concatenate(list(map(np.asarray, params))).astype(float)
    a = 1 / (1 + np.exp(-theta.T @ x - offset))
    return np.sqrt(np.diag(np.linalg.inv(x * (a * (1 - a)) @ x.T)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_standard_errors_are_those_of_the_inverse_information(dtype):
    problem = make_problem((4, 60), dtype, seed=3)
    X, y = problem.X, problem.y
    found = jl.fit(X, y)
    table = lines_of(jl.summary(found, X, y))
    theta = np.concatenate(list(map(np.asarray, found.params))).astype(float)
    errors = standard_errors(X, found.params)
    for name, value, error in zip(
        ["x0", "x1", "x2", "x3", "bias"], theta[:, 0], errors, strict=True
    ):
        weight, shown, z, p = map(float, table[name])
        assert weight == pytest.approx(value, rel=1e-3)
        assert shown == pytest.approx(error, rel=1e-2)
        assert z == pytest.approx(value / error, abs=0.006)
        assert p == pytest.approx(2 * NormalDist().cdf(-abs(value / error)), rel=0.06)


def test_there_are_none_where_they_would_mean_nothing():
    X, y = spector()
    away = "a penalty, weights or another offset led away from the maximum of the like"
    assert away in jl.summary(jl.fit(X, y, l2=0.1), X, y)
    assert away in jl.summary(jl.fit(X, y, weight=jnp.asarray(y + 1.0)), X, y)
    assert away in jl.summary(jl.fit(X, y, offset=X[:1]), X, y)
    # A penalty that moves nothing is none.
    assert "no standard errors" not in jl.summary(jl.fit(X, y, l2=1e-12), X, y)
    separated = jnp.asarray(X[:1] > 3.0, X.dtype)
    text = jl.summary(jl.fit(X, separated), X, separated)
    assert text.startswith(f"SEPARATED: {jl.Status.SEPARATED.message}\n")
    assert "(no standard errors: the fit has no answer)" in text


def test_an_offset_that_is_given_counts():
    X, y = spector()
    offset = 3 * (1 - 2 * np.asarray(y))  # so that without it most would be wrong
    found = jl.fit(X, y, offset=offset)
    z = np.asarray(found.params.w.T @ X + found.params.b + offset)
    text = jl.summary(found, X, y, offset=offset)
    assert f"training accuracy {np.mean((z > 0) == (y > 0.5)):.1%}" in text
    assert "no standard errors" not in text
    assert text != jl.summary(found, X, y)
    rows = lines_of(text)
    due = standard_errors(X, found.params, offset)
    shown = [float(rows[name][1]) for name in ("x0", "x1", "x2", "bias")]
    np.testing.assert_allclose(shown, due, rtol=1e-2)


def test_a_fit_without_numbers_has_a_summary():
    X, y = spector()
    nothing = jax.jit(jl.fit)(X.at[0, 0].set(np.nan), y)
    text = jl.summary(nothing, X, y)
    assert text.startswith("BAD_INPUT: ")
    assert lines_of(text)["bias"] == ["nan"]


def test_of_many_features_the_largest_are_listed():
    problem = make_problem((30, 400), np.float64, seed=1)
    X, y = problem.X, problem.y
    found = jl.fit(X, y)
    text = jl.summary(found, X, y)
    table = lines_of(text)
    listed = [name for name in table if re.fullmatch(r"x\d+", name)]
    assert len(listed) == 20
    assert "(20 of 30 features, those with the largest |z|)" in text
    sizes = {name: abs(float(table[name][2])) for name in listed}
    z = np.asarray(found.params.w)[:, 0] / standard_errors(X, found.params)[:-1]
    largest = np.argsort(-np.abs(z))[:20]
    assert sizes == {f"x{j}": pytest.approx(abs(z[j]), abs=0.006) for j in largest}
    wide = make_problem((600, 20), np.float64, seed=1)
    found = jl.fit(wide.X, wide.y, l2=0.1)
    text = jl.summary(found, wide.X, wide.y)
    assert "(20 of 600 features, those with the largest |w|)" in text
    assert "there are more than 512 features" in text
    largest = np.argsort(-np.abs(np.asarray(found.params.w)[:, 0]))[:20]
    assert {name for name in lines_of(text) if re.fullmatch(r"x\d+", name)} == {
        f"x{j}" for j in largest
    }


def test_designs_have_summaries():
    X, y = spector()
    design = jl.standardize(X)
    text = jl.summary(jl.fit(design, y), design, y, NAMES)
    assert lines_of(text)["GPA"][2:] == ["2.24", "0.025"]  # z knows no units


def test_names_and_fits_that_do_not_belong_are_refused():
    X, y = spector()
    found = jl.fit(X, y, l2=0.1)
    with pytest.raises(jl.ShapeError, match="there are 3 features, but 2 names"):
        jl.summary(found, X, y, ["a", "b"])
    with pytest.raises(jl.ShapeError, match="of 2 problems"):
        jl.summary(jl.fit_many(X, jnp.concatenate([y, 1 - y]), l2=0.1), X, y)


def test_small_fits_show_their_numbers():
    params = jl.Params(w=jnp.array([[1.5], [-2.0]]), b=jnp.array([[0.25]]))
    assert repr(params) == "Params(w=[[ 1.5], [-2. ]], b=0.25 (1, 1))"
    X, y = spector()
    found = jl.fit(X, y)
    assert "status=CONVERGED" in repr(found)
    assert f"cost={float(found.cost):.6g}" in repr(found)
    assert f"steps={int(found.steps)}" in repr(found)


def test_no_representation_prints_a_thousand_numbers():
    large = jl.init_params(100_000)
    many = jl.fit_many(*many_rows(), l2=0.1)
    for thing in (large, many, many.params):
        for text in (repr(thing), thing._repr_html_()):
            assert len(text) < 600
            assert len(re.findall(r"\d+", text)) < 60
    assert "(100000, 1)" in repr(large)
    assert "status=1000 CONVERGED" in repr(many)


def many_rows():
    X, y = spector()
    return X, jnp.tile(y, (1000, 1))


def test_mixed_statuses_are_counted():
    X, y = spector()
    rows = jnp.concatenate([y, 1 - y, jnp.asarray(X[:1] > 3.0, X.dtype)])
    assert "status=2 CONVERGED, 1 SEPARATED" in repr(jl.fit_many(X, rows))


def test_the_html_is_a_table_of_the_fields():
    X, y = spector()
    found = jl.fit(X, y)
    rows = re.findall(r"<tr><th>(\w+)</th><td>([^<]*)</td></tr>", found._repr_html_())
    assert [name for name, _ in rows] == list(found._fields)
    assert dict(rows)["status"] == "CONVERGED"


def test_what_is_not_an_array_of_numbers_is_shown_as_python_does():
    assert repr(jl.Params(w=0, b=None)) == "Params(w=0, b=None)"
    seen = []
    jax.jit(lambda p: seen.append(repr(p)) or p)(jl.init_params(2))
    assert "Tracer" in seen[0]
    assert "[2,1]" in seen[0].replace("float64", "")
    shapes = jax.eval_shape(jl.fit, *spector())
    assert "ShapeDtypeStruct" in repr(shapes)

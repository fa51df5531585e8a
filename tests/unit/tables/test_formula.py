"""Formulas: the features they make, and what they may not hold."""

import json

import numpy as np
import pandas as pd
import pytest

from jlogreg import tables
from jlogreg.tables import LeftOut, Schema

FRAME = pd.DataFrame(
    {
        "age": [20.0, 35.0, 50.0, 65.0, 30.0, 45.0],
        "soil": [*"abcabc"],
        "day rate": [1.0, 2.0, 4.0, 3.0, 5.0, 6.0],
        "alive": ["no", "yes", "no", "yes", "yes", "no"],
    }
)


def decided(formula, frame=FRAME, **options):
    table = tables.read(frame)
    return Schema(positive="yes", formula=formula, **options).decide(table), table


def test_terms_are_features():
    schema, table = decided("alive ~ age * soil + log(age) + `day rate`")
    found = schema.samples(table)
    assert found.names == (
        *("age", "soil[T.b]", "soil[T.c]", "log(age)", "day rate"),
        *("age:soil[T.b]", "age:soil[T.c]"),
    )
    age, b = FRAME["age"].to_numpy(), FRAME["soil"].to_numpy() == "b"
    np.testing.assert_array_equal(found.X[5], age * b)
    np.testing.assert_allclose(found.X[3], np.log(age), rtol=1e-15)
    assert schema.bias


def test_without_a_bias():
    schema, table = decided("alive ~ 0 + soil")
    assert not schema.bias
    assert schema.samples(table).names == ("soil[a]", "soil[b]", "soil[c]")


@pytest.mark.parametrize(
    "term", ["scale(age)", "poly(age, 2)", "bs(age, df=4)", "cs(age, df=3)"]
)
def test_a_term_is_the_same_in_a_table_of_one_row(term):
    """Also after the state has been written as JSON."""
    schema, table = decided(f"alive ~ {term} + soil")
    X = schema.samples(table).X
    state = json.loads(json.dumps(schema.state))
    other = Schema(
        **{**{f: getattr(schema, f) for f in schema.__struct_fields__}, "state": state}
    )
    row = tables.read(FRAME[["age", "soil"]].iloc[[4]])
    np.testing.assert_allclose(other.features(row).X, X[:, [4]], rtol=1e-13)


def test_filled_cells_are_marked_beside_a_formula():
    frame = FRAME.assign(age=[20.0, None, 50.0, 65.0, 30.0, 45.0])
    schema, table = decided("alive ~ log(age)", frame, missing="indicator")
    found = schema.samples(table)
    assert found.names == ("log(age)", "age missing")
    np.testing.assert_allclose(found.X[:, 1], [np.log(42.0), 1.0], rtol=1e-15)


REFUSED = {
    "alive ~ __import__('os').system('true')": "cannot be read",
    "alive ~ {__import__('os')}": "'__import__' is not allowed",
    "alive ~ {age.__class__}": "is not allowed",
    "alive ~ log(open)": "has 'open', but the table no such column",
    "alive ~ {[age for age in soil]}": "is not allowed",
    "alive ~ C(age)": "'C' is not allowed",
    "alive ~ {9 ** age}": "must have a number up to 10 as its power",
    "alive ~ {2 ** 99999999}": "must have a number up to 10 as its power",
    "alive ~ aeg": "has 'aeg', but the table no such column, did you mean 'age'?",
    "aliv ~ age": "has 'aliv', but the table no such column",
    "alive ~ age +": "cannot be read",
    "alive ~ age | soil": "must have one right side",
    "alive ~ log(soil)": "the formula cannot be computed",
    "alive ~ log(age - 20)": "'log(age - 20)' has no finite value",
}


@pytest.mark.parametrize("formula", REFUSED)
def test_what_is_refused(formula):
    table = tables.read(FRAME)
    with pytest.raises(tables.TableError) as caught:
        Schema(positive="yes", formula=formula).decide(table).samples(table)
    assert REFUSED[formula] in str(caught.value)


def test_a_column_that_says_nothing_is_not_dropped_from_a_formula():
    with pytest.raises(tables.TableError, match="so the formula cannot use it"):
        decided("alive ~ age + same", FRAME.assign(same=1.0))
    with pytest.raises(tables.TableError, match="so the formula cannot use it"):
        decided("alive ~ age + soil", columns={"soil": LeftOut("as you say")})


def test_the_label_is_named_once():
    with pytest.raises(tables.TableError, match="the formula has the label 'alive'"):
        decided("alive ~ age", label="soil")

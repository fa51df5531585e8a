"""What columns become: found, asked for, and what cannot be known without asking."""

import datetime

import numpy as np
import pandas as pd
import pytest

from jlogreg import tables
from jlogreg.tables import Boolean, Category, Date, LeftOut, Number, Schema

NAN = float("nan")
ALIVE = ["no", "yes", "no", "yes", "yes", "no"]


def decided(given, label=ALIVE, **options):
    table = tables.read(pd.DataFrame({**given, "alive": label}))
    schema = Schema("alive", options.pop("positive", "yes"), **options).decide(table)
    return schema, schema.samples(table)


def faults(given, label=ALIVE, **options):
    with pytest.raises(tables.TableError) as caught:
        decided(given, label, **options)
    return [str(fault) for fault in caught.value.faults]


def test_columns_become_features_by_their_type():
    start = datetime.date(2024, 2, 27)
    columns = {
        "dose": [0.5, 1.0, 1.5, 2.0, 2.5, 3.5],
        "old": [True, False, True, True, False, False],
        "soil": ["b", "a", "c", "a", "b", "c"],
        "day": [start + datetime.timedelta(days=k) for k in (3, 0, 1, 4, 2, 9)],
        "empty": [None] * 6,
        "same": [7] * 6,
    }
    schema, found = decided(columns)
    names = ("dose", "old", "soil=b", "soil=c", "day [days]")
    assert found.names == names
    expected = [
        columns["dose"],
        columns["old"],
        [1, 0, 0, 0, 1, 0],
        [0, 0, 1, 0, 0, 1],
        [3, 0, 1, 4, 2, 9],
    ]
    np.testing.assert_array_equal(found.X, np.array(expected, float))
    np.testing.assert_array_equal(found.y, [[0, 1, 0, 1, 1, 0]])
    kinds = {name: type(kind) for name, kind in schema.columns.items()}
    assert kinds == {
        **{"dose": Number, "old": Boolean, "soil": Category, "day": Date},
        **{"empty": LeftOut, "same": LeftOut},
    }
    assert "'day': date, in days since 2024-02-27" in str(schema)
    assert "'same': left out: it is 7 in all rows that are used" in str(schema)


def test_what_you_say_of_a_column_is_done():
    columns = {
        "code": [1, 2, 3, 1, 2, 3],
        "day": ["1.2.2024", "3.2.2024", "2.2.2024", "4.2.2024", "9.2.2024", "5.2.2024"],
        "age": [30.0, 20.0, 40.0, 35.0, 50.0, 25.0],
        "row": ["p", "q", "r", "s", "t", "u"],
    }
    asked = {
        "code": Category(base="2"),
        "day": Date(format="%d.%m.%Y"),
        "age": Number(unit="years"),
        "row": LeftOut("an identifier"),
    }
    _, found = decided(columns, columns=asked)
    assert found.names == ("code=1", "code=3", "day [days]", "age [years]")
    np.testing.assert_array_equal(found.X[2], [0, 2, 1, 3, 8, 4])


def test_what_frames_say_of_a_column_is_kept():
    """A category of numbers is one; whole numbers may be larger than floats hold."""
    large = [2**62 + 2**40 * k**2 for k in range(6)]
    code = pd.Categorical([3, 1, 2, 3, 1, 2])
    _, found = decided({"code": code, "large": large})
    assert found.names == ("code=2", "code=3", "large")
    np.testing.assert_array_equal(found.X[2], np.array(large, float))


def test_a_year_of_two_digits_is_not_read_as_one_of_four():
    days = ["1.2.2024", "3.2.24", "2.2.2024", "4.2.2024", "9.2.2024", "5.2.2024"]
    asked = {"day": Date(format="%d.%m.%Y")}
    (fault,) = faults({"day": days}, columns=asked)
    assert "column 'day', row 2: '3.2.24' is " in fault


def test_rows_with_missing_cells_are_left_out_and_counted():
    columns = {"dose": [1.0, NAN, 3.0, 2.0, 5.0, 4.0], "soil": [*"abab", None, "a"]}
    _, found = decided(columns, ["no", "yes", None, "yes", "yes", "no"])
    assert found.rows.tolist() == [1, 4, 6]
    np.testing.assert_array_equal(found.X, [[1, 2, 4], [0, 1, 0]])
    np.testing.assert_array_equal(found.y, [[0, 1, 0]])
    assert found.lacking == {"alive": 1, "dose": 1, "soil": 1}
    assert found.told == (
        "3 of 6 rows are used; left out where 'alive' is missing (1), "
        "'dose' is missing (1), 'soil' is missing (1)"
    )


def test_missing_cells_are_filled_and_marked():
    columns = {"dose": [1.0, NAN, 3.0, 2.0, 5.0, 4.0], "soil": [*"abab", None, "a"]}
    schema, found = decided(columns, missing="indicator")
    assert found.names == ("dose", "dose missing", "soil=b", "soil=(missing)")
    expected = [
        [1, 3, 3, 2, 5, 4],
        [0, 1, 0, 0, 0, 0],
        [0, 1, 0, 1, 0, 0],
        [0, 0, 0, 0, 1, 0],
    ]
    np.testing.assert_array_equal(found.X, expected)
    # The same in a table that lacks other cells, and for a word that is not known.
    new = pd.DataFrame({"dose": [None, 7.0], "soil": ["b", "z"]})
    with pytest.raises(tables.TableError, match=r"'soil', row 2: 'z' is none of the w"):
        schema.features(tables.read(new))
    features = schema.features(tables.read(new), unseen="missing")
    np.testing.assert_array_equal(features.X.T, [[3, 1, 1, 0], [7, 0, 0, 1]])


def test_a_row_without_a_label_does_not_count_among_those_with_all_cells():
    columns = {"dose": [1.0, NAN, 3.0, 2.0, 5.0, 4.0]}
    _, found = decided(columns, [None, "yes", "no", None, "yes", "no"])
    np.testing.assert_array_equal(found.X, [[3, 5, 4]])
    np.testing.assert_array_equal(found.y, [[0, 1, 0]])


def test_a_word_of_a_row_that_lacks_a_cell_does_not_matter():
    columns = {"dose": [1.0, NAN, 3.0, 2.0, 5.0, 4.0], "soil": [*"azabba"]}
    schema, found = decided(columns)
    assert found.names == ("dose", "soil=b")
    new = pd.DataFrame({"dose": [None, 7.0], "soil": ["peat", "b"]})
    features = schema.features(tables.read(new))
    np.testing.assert_array_equal(features.X, [[7], [1]])


def test_what_is_computed_is_that_of_the_rows_that_are_used():
    """A word, or a number, that is only in a row without a label says nothing."""
    columns = {"dose": [1.0, 1.0, 9.0, 1.0, 1.0, 1.0], "soil": [*"abcaba"]}
    schema, found = decided(columns, ["no", "yes", None, "yes", "yes", "no"])
    assert found.names == ("soil=b",)
    assert schema.columns["dose"] == LeftOut("it is 1 in all rows that are used")


QUESTIONS = {
    "numbers the rows": [3, 1, 2, 6, 5, 4, 7, 9, 8, 10],
    "row 2: holds 8 numbers, but also '<5', 'old', first here": [
        *"1",
        "<5",
        *"34567",
        "old",
        *"89",
    ],
    "holds dates such as '3/4/2024'": [f"{k}/4/2024" for k in range(3, 13)],
    "holds '3 kg', which begins as a number": [f"{k} kg" for k in range(3, 13)],
    "'inf' is infinite": [1.5, float("inf"), *range(8)],
    "holds time": [datetime.time(k) for k in range(10)],
    "holds list": [[k] for k in range(10)],
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_is_not_clear_is_asked(question):
    (fault,) = faults({"x": QUESTIONS[question]}, ["no", "yes"] * 5)
    assert fault.startswith("column 'x'")
    assert question in fault


def test_words_that_differ_in_every_row_are_asked():
    words = [f"P{k}" for k in range(60)]
    (fault,) = faults({"x": words}, ["no", "yes"] * 30)
    assert "holds 60 different words in 60 rows, such as 'P0'" in fault
    schema, _ = decided({"x": words}, ["no", "yes"] * 30, columns={"x": Category()})
    assert len(schema.columns["x"].words) == 60


def test_words_that_differ_by_capitals_are_told():
    schema, _ = decided({"x": ["Oslo", "oslo", "Rome", "Rome", "oslo", "Oslo"]})
    assert schema.notes == ("note: 'x': 'Oslo' and 'oslo' count as two words",)


def test_numbers_that_may_be_codes_are_told_unless_you_say_what_they_are(tmp_path):
    path = tmp_path / "t.csv"
    rows = ["1067,80331,1.5,45000,0", "01069,10115,2.5,120000,1", "99,50667,4.0,9000,1"]
    path.write_text("\n".join(["plz,zip,dose,salary,y", *rows]))
    schema = Schema("y").decide(tables.read(path))
    told = [
        "note: 'plz': numbers begin with 0: if they are codes",
        "note: 'zip': all numbers have 5 digits: if they are codes",
    ]
    assert [note.split(",")[0] for note in schema.notes] == told
    asked = {"plz": Category(), "zip": Number()}
    assert Schema("y", columns=asked).decide(tables.read(path)).notes == ()


def test_one_report_lists_everything():
    columns = {
        "id": range(10, 20),
        "day": [f"{k}.4.2024" for k in range(3, 13)],
        "dose": [*"123456789", "?!"],
    }
    found = faults(
        columns, [*["no", "yes"] * 4, "maybe", "no"], columns={"dsoe": Number()}
    )
    parts = ["'dsoe', did you mean 'dose'?", "'alive'", "'id'", "'day'", "'dose'"]
    assert len(found) == len(parts)
    assert all(part in fault for part, fault in zip(parts, found, strict=True))


LABELS = {
    ("no", "no"): "the label is 'no' in every row",
    (None, None): "the label is missing in every row",
    ("Yes", "no"): "no label is 'yes', they are 'Yes' (3), 'no' (3); write 'Yes', as "
    "the table does",
    ("yes", "no", "maybe"): "the label has 3 words, 'maybe' (2), 'no' (2), 'yes' (2)",
    ("yes", "YES", "no"): "the label has 3 words, 'YES' (2), 'no' (2), 'yes' (2), but "
    "must have two: write 'yes' for 'YES'",
}


@pytest.mark.parametrize("words", LABELS)
def test_a_label_must_have_two_words(words):
    label = [words[k % len(words)] for k in range(6)]
    (fault,) = faults({"dose": [1.5, 2, 3, 4, 5, 7]}, label)
    assert fault.startswith(f"column 'alive': {LABELS[words]}")


@pytest.mark.parametrize(
    ("label", "positive", "expected"),
    [
        ([0, 1, 0, 1, 1, 0], None, [0, 1, 0, 1, 1, 0]),
        ([1.0, 2.0, NAN, 2.0, 1.0, 2.0], 1, [1, 0, 0, 1, 0]),
        ([1, 2, 1, 2, 1, 2], "2", [0, 1, 0, 1, 0, 1]),
        ([True, False, True, False, True, True], None, [1, 0, 1, 0, 1, 1]),
        ([True, False, True, False, True, True], False, [0, 1, 0, 1, 0, 0]),
        (["True", "False", "False", "True", "True", "True"], True, [1, 0, 0, 1, 1, 1]),
    ],
)
def test_labels_may_be_numbers_and_booleans(label, positive, expected):
    _, found = decided({"dose": [1.5, 2, 3, 4, 5, 7]}, label, positive=positive)
    np.testing.assert_array_equal(found.y[0], expected)


def test_a_positive_word_is_written_as_in_the_file(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x;y\n0,5;1,0\n1,5;0,0\n2,5;1,0\n")
    table = tables.read(path)
    found = Schema("y", "1,0").decide(table).samples(table)
    np.testing.assert_array_equal(found.y, [[1, 0, 1]])


def test_nobody_guesses_the_positive_word():
    (fault,) = faults({"dose": [1.5, 2, 3, 4, 5, 7]}, positive=None)
    assert "none is named as the positive one: say which, one of 'no', 'yes'" in fault


def test_rows_of_other_labels_are_left_out_if_both_are_named():
    label = ["no", "maybe", "yes", "yes", "no", "no"]
    schema, found = decided({"dose": [1.5, 2, 3, 4, 5, 7]}, label, negative="no")
    assert found.rows.tolist() == [1, 3, 4, 5, 6]
    assert "rows with 'maybe' are left out" in str(schema)
    assert (found.lacking, found.left_out) == ({}, {"'alive' is 'maybe'": 1})
    assert found.told == "5 of 6 rows are used; left out where 'alive' is 'maybe' (1)"
    (fault,) = faults({"dose": [1.5, 2, 3, 4, 5, 7]}, [*label[:5], "No"], negative="no")
    assert "would be left out: write 'no' for 'No'" in fault
    # But not one that was not there.
    table = tables.read(pd.DataFrame({"dose": [1, 2], "alive": ["yes", "perhaps"]}))
    with pytest.raises(
        tables.TableError, match=r"'alive', row 2: the label is 'perhaps'"
    ):
        schema.samples(table)


def test_columns_of_a_model_must_be_there_and_of_their_kind():
    columns = {
        "dose": [1.5, 2, 3, 4, 5, 7],
        "soil": [*"aabbab"],
        "old": [True, False] * 3,
    }
    schema, _ = decided(columns)
    new = pd.DataFrame({"dose": ["much", "2"], "old": [0.5, 1.0]})
    with pytest.raises(tables.TableError) as caught:
        schema.features(tables.read(new))
    lines = "\n".join(map(str, caught.value.faults))
    assert "column 'dose', row 1: 'much' is no number" in lines
    assert "column 'soil': is not there, but the model has it" in lines
    assert "column 'old': holds numbers, no true or false" in lines


def test_no_row_may_be_complete():
    columns = {"x": [1.0, NAN, 2.0, NAN, 3.0, NAN], "z": [NAN, 1.0, NAN, 2.0, NAN, 3.0]}
    (fault,) = faults(columns)
    assert "no row is complete; most lack 'x' (3 of 6)" in fault
    (fault,) = faults({"x": [1.0, NAN, 2.0, NAN, NAN, 5.0]})
    assert "no row that is used has the label 'yes'" in fault

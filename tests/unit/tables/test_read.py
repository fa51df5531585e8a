"""Reading: what a CSV file leaves to be found, and all that is wrong with one."""

import re

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from jlogreg import tables
from jlogreg.__main__ import main
from jlogreg.tables.reading.csv_text import MISSING

ROWS = [["größe", "dosis", "fall"], ["1", "0,5", "ja"], ["2", "1,5", "nein"]]


def written(tmp_path, content, name="table.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def faults_of(path, **options):
    with pytest.raises(tables.TableError) as caught:
        tables.read(path, **options)
    assert all(line.startswith(str(path)) for line in str(caught.value).splitlines())
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_is_read_however_it_is_written(tmp_path, encoding, delimiter, end):
    text = end.join(delimiter.join(row) for row in ROWS)
    table = tables.read(written(tmp_path, text.encode(encoding)))
    assert table.names == ("größe", "dosis", "fall")
    assert table.columns.to_pydict() == {
        "größe": [1, 2],
        "dosis": [0.5, 1.5],
        "fall": ["ja", "nein"],
    }
    assert any("decimal comma" in note for note in table.notes)
    told = "\n".join(table.notes)
    assert ("windows-1252" in told) == (encoding == "latin-1")
    assert ("byte order mark" in told) == (encoding == "utf-8-sig")


def test_what_is_given_is_not_looked_for(tmp_path):
    path = written(tmp_path, "a;b\n1,5;x\n")
    table = tables.read(path, delimiter=";", decimal=".", encoding="utf-8")
    assert table.notes == ()
    assert table.columns["a"].to_pylist() == ["1,5"]


def test_the_delimiter_is_the_one_of_even_rows(tmp_path):
    """A comma may be in some of the cells, but not as often in each."""
    path = written(tmp_path, "a;b\nx, y;1\nz;2\nx, y, z;3\n")
    assert tables.read(path).names == ("a", "b")
    path = written(tmp_path, "name, first;age\nAnn;3\nBob;4\n")
    assert tables.read(path).names == ("name, first", "age")


def test_the_first_line_of_excel_names_the_delimiter(tmp_path):
    table = tables.read(written(tmp_path, "sep=;\na;b\n1;2\n"))
    assert table.names == ("a", "b")


def test_quotes_keep_delimiters_and_line_ends(tmp_path):
    table = tables.read(written(tmp_path, 'a,b\n"x, ""y""\nz",1\n'))
    assert table.columns["a"].to_pylist() == ['x, "y"\nz']


def test_blanks_around_words_are_none_and_some_words_are_missing_cells(tmp_path):
    path = written(tmp_path, "a,b\n x ,1\nNA ,2\nunknown,3\n?,4\n")
    for given, expected in (
        ({}, ["x", None, "unknown", None]),
        ({"missing": "unknown"}, ["x", None, None, None]),
        ({"missing": ["unknown"], "present": ["NA"]}, ["x", "NA", None, None]),
    ):
        for source in (path, pd.DataFrame({"a": ["x", "NA", "unknown", "?"]})):
            words = tables.read(source, **given).column("a")
            assert words.to_pylist() == expected


def test_the_words_for_missing_cells_are_documented_where_they_are_given(capsys):
    main(["fit", "--help"])
    told = capsys.readouterr().out, tables.read.__doc__
    for words in (re.findall(r"[^\s,;]+", text) for text in told):
        known = {word.rstrip(".") for word in words}
        assert {*MISSING, "point"} - {"", "."} <= known


def test_words_of_codes_are_as_they_are_written(tmp_path):
    table = tables.read(written(tmp_path, "a,b\n007,1\n12,2\n"))
    assert table.words("a").to_pylist() == ["007", "12"]


WRONG = {
    "": "is empty",
    " \n": "is empty",
    "a,b\n": "holds no row below the names of its columns",
    "a\n1\n": "has one column, 'a'",
    "1,2\n3,4\n": "has no names of columns",
    "a,b;c\n1,2;3\n": "its cells may be separated by ',' or ';'",
    "a;b\n1,5;x\n2.5;y\n": "column 'a', line 2: holds '1,5', but line 3 a number",
    'a,b\n1,"x\n2,y\n': "column 'b', line 2: a quote is opened and not closed",
    "PK\x03\x04": "is a spreadsheet or an archive",
    "a,b\n\0,1\n": "holds zero bytes",
}


@pytest.mark.parametrize("content", WRONG)
def test_a_file_that_is_no_table_is_one_line(tmp_path, content):
    (fault,) = faults_of(written(tmp_path, content))
    assert fault.startswith(WRONG[content])


def test_rows_of_another_length_are_named_by_the_lines_of_an_editor(tmp_path):
    """With empty lines, and line breaks within quotes; the first may be Excel's."""
    text = 'sep=,\na,b\n1,2\n3\n\n"4\n\n",5\r\n6,7,8\n'
    faults = faults_of(written(tmp_path, text))
    assert [fault[:20] for fault in faults] == [
        "line 4: has 1 cells,",
        "line 9: has 3 cells,",
    ]


def test_a_cell_is_named_by_the_line_of_its_row(tmp_path):
    """A data frame has no lines, and the same fault a row."""
    text = 'a,b,c\n"x\r\ny",1,0\n\n\n z,old,1\n'
    table = tables.read(written(tmp_path, text))
    schema = tables.Schema("c", columns={"a": tables.LeftOut()})
    same = tables.read(pd.DataFrame({"b": ["1", "old"], "c": [0, 1]}))
    for source, place in ((table, "line 6"), (same, "row 2")):
        with pytest.raises(tables.TableError) as caught:
            (schema if source is table else tables.Schema("c")).decide(source)
        (fault,) = caught.value.faults
        assert fault.row == 2
        assert str(fault).startswith(f"column 'b', {place}: holds 1 numbers, but also")


@pytest.mark.parametrize("name", ["gone.csv", "gone.parquet", "."])
def test_what_is_no_file_is_named(tmp_path, name):
    assert faults_of(tmp_path / name) in (
        ["No such file or directory"],
        ["is not a file"],
    )


def test_another_encoding_is_refused(tmp_path):
    path = written(tmp_path, "a,b\nö,1\n".encode("latin-1"))
    assert "is not written in utf-8" in faults_of(path, encoding="utf-8")[0]
    assert "is not written in klingon" in faults_of(path, encoding="klingon")[0]


def test_a_broken_parquet_file_is_named(tmp_path):
    path = written(tmp_path, b"PAR1 and nothing else", "t.parquet")
    assert "cannot be read: " in faults_of(path)[0]
    assert "let its name end" in faults_of(written(tmp_path, b"PAR1 "))[0]


def test_frames_are_read_without_their_index(tmp_path):
    frame = pd.DataFrame({"a": [1.0, None], "b": ["x", "y"]}, index=["p", "q"])
    path = tmp_path / "t.parquet"
    frame.to_parquet(path)
    for source in (frame, pl.from_pandas(frame), path, pa.table(frame.to_dict("list"))):
        table = tables.read(source)
        assert table.names == ("a", "b")
        assert table.words("b").to_pylist() == ["x", "y"]
        assert table.words("a").to_pylist()[1] is None


def test_a_column_of_mixed_types_is_named():
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", 3], "c": [2**70, 1]})
    with pytest.raises(tables.TableError) as caught:
        tables.read(frame)
    first, second = map(str, caught.value.faults)
    assert first.startswith(
        "column 'b': holds cells of other or different types: int, "
    )
    assert second.startswith("column 'c': holds cells of other or different types: int")


def test_other_things_are_no_table():
    with pytest.raises(TypeError, match="but is a list"):
        tables.read([[1, 2]])

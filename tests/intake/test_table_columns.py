"""Tables with columns that have no name, the same name, or nothing in them."""

import re

import pytest

from simple_batch import intake
from simple_batch.core.domain import Fault
from simple_batch.intake.reading import Reading

from .workbooks import SETTINGS, by_openpyxl, texts


def scanned(tmp_path, data: bytes, **options):
    """Returns the preview of a table, and its rows."""
    path = tmp_path / "upload"
    path.write_bytes(data)
    rows = intake.first_rows(path, SETTINGS, 1_000, options.get("reading", Reading()))
    return intake.scan(path, SETTINGS, **options), rows


def notes(found: intake.Preview) -> list[str]:
    return [str(note) for note in found.said]


@pytest.mark.parametrize(
    ("data", "columns", "first", "note"),
    [
        (",q,n\n0,a,1\n1,b,2\n", ["q", "n"], ["a", "1"], "column 1 .* looks like a row index"),
        ("\tq\n7\ta\n9\tb\n", ["q"], ["a"], "column 1 .* looks like a row index"),
        ('"q","n"\n"1","a, b",3\n"2","c",4\n', ["q", "n"], ["a, b", "3"], "looks like a row index"),
        ('"q","n"\n"Ann","a",1\n"Bo","b",2\n', ["q", "n"], ["a", "1"], "column 1 .no name."),
        ("q,,n\na,x,1\nb,y,2\n", ["q", "n"], ["a", "1"], "column 2 .no name."),
        ("q,n,,\na,1,,\nb,2\n", ["q", "n"], ["a", "1"], "columns 3 to 4 .no name, empty."),
        ("q,n,\na,1\nb,2,\n", ["q", "n"], ["a", "1"], "column 3 .no name, empty."),
        ("q,n\na,1,,\nb,2,\n", ["q", "n"], ["a", "1"], None),
        ("q,q,n\na,b,1\n", ["q (1)", "q (2)", "n"], ["a", "b", "1"], "“q .1.”, “q .2.”"),
    ],
)
def test_columns_that_are_left_out_are_named(tmp_path, data, columns, first, note):
    found, rows = scanned(tmp_path, data.encode())
    assert found.columns == columns
    assert texts(rows)[0] == first
    assert found.fault_count == 0
    if note is None:
        assert found.said == []
    else:
        (said,) = notes(found)
        assert re.search(note, said), said


def test_a_text_in_a_column_taken_for_empty_is_a_fault_not_lost(tmp_path):
    data = "q,n,\n" + "a,1,\n" * 150 + "b,2,late\n"
    found, rows = scanned(tmp_path, data.encode())
    assert (found.good, found.fault_count) == (150, 1)
    assert "column 3 has no name, but a text in this row" in str(found.faults[0])
    assert isinstance(rows[-1], Fault)


def test_a_row_that_is_too_long_or_too_short_is_a_fault_as_before(tmp_path):
    found, _rows = scanned(tmp_path, b",q,n\n0,a,1\n1,b,2,x\n2,c\n")
    assert (found.good, found.fault_count) == (1, 2)


def test_a_sheet_with_an_index_and_empty_columns(tmp_path):
    rows = [[None, "q", "n", None], [0, "a", 1, None], [1, "b", 2, None]]
    found, items = scanned(tmp_path, by_openpyxl(rows))
    assert found.columns == ["q", "n"]
    assert texts(items) == [["a", "1"], ["b", "2"]]
    assert any("column A (no name; looks like a row index)" in note for note in notes(found))


def test_without_a_header_no_column_is_left_out(tmp_path):
    found, items = scanned(tmp_path, b",q\n0,a\n", reading=Reading(header=False, lines=False))
    assert found.columns == ["column_1", "column_2"]
    assert texts(items) == [["", "q"], ["0", "a"]]


@pytest.mark.parametrize(
    ("data", "longest", "id_column"),
    [
        ("id,title,text\n1,a,long text\n2,b,longer text\n", "text", "id"),
        ("question,answer\nWhy?,Because it is so.\n", "answer", ""),
        ("ID,q\n1,a\n1,b\n", "q", ""),
        ("id,q\n1,a\n,b\n", "q", ""),
        ("编号,q\nx,a\ny,b\n", "q", "编号"),
        ('{"id": 1, "q": "a", "more": [1, 2, 3, 4]}\n', "q", "id"),
    ],
)
def test_what_a_template_begins_with(tmp_path, data, longest, id_column):
    found, _rows = scanned(tmp_path, data.encode())
    assert (found.longest, found.id_column) == (longest, id_column)

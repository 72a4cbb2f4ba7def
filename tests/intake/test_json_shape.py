"""JSON that is not one item a line: wrapped lists, values in sequence, NaN."""

import json

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from simple_batch import intake
from simple_batch.core.errors import UploadRejected

from .test_table_columns import notes, scanned
from .workbooks import SETTINGS, texts

ROWS = [{"q": "a", "n": 1}, {"q": "b\n{", "n": 2}]
ASK = {"messages": [{"role": "user", "content": "a"}]}


def pretty(items) -> str:
    return "\n".join(json.dumps(item, indent=2) for item in items)


def server_rows(**cut) -> str:
    """What the datasets server of Hugging Face answers."""
    rows = [
        {"row_idx": n, "row": row, "truncated_cells": cut.get("cells", [])}
        for n, row in enumerate(ROWS)
    ]
    return json.dumps({"features": [{"name": "q"}], "rows": rows, "num_rows_total": 2})


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (json.dumps({"data": ROWS}), ""),
        (json.dumps({"object": "list", "data": ROWS, "has_more": False}), "“object”, “has_more”"),
        (json.dumps({"my rows": ROWS}, indent=1), ""),
        (server_rows(), "“features”, “num_rows_total”"),
        (pretty(ROWS), ""),
        ("".join(map(json.dumps, ROWS)), ""),
        ("\n".join(json.dumps(row) + "," for row in ROWS), ""),
        (",\n".join(json.dumps(row, indent=4) for row in ROWS), ""),
    ],
)
def test_rows_in_any_of_these_shapes(tmp_path, text, note):
    found, rows = scanned(tmp_path, text.encode())
    assert (found.columns, found.good, found.fault_count) == (["q", "n"], 2, 0)
    assert texts(rows) == [["a", "1"], ["b\n{", "2"]]
    assert (note in notes(found)[0]) if note else found.said == []


@pytest.mark.parametrize(
    "text", [json.dumps({"data": [ASK, ASK]}), pretty([ASK, ASK]), json.dumps(ASK) * 2]
)
def test_requests_in_these_shapes(tmp_path, text):
    path = tmp_path / "upload"
    path.write_text(text)
    found = intake.scan(path, SETTINGS)
    assert (found.columns, found.good, found.fault_count) == ([], 2, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (json.dumps({"q": {"0": "a"}, "n": {"0": 1}}), "one object, not a list of rows"),
        (json.dumps({"q": ["a"], "n": [1]}), "one object, not a list of rows"),
        (json.dumps({"columns": ["q"], "index": [0], "data": [["a"]]}), "to_json.orient"),
        (json.dumps({"answer": {"data": ROWS}}), "Write the rows as a list"),
        (json.dumps({"train": ROWS, "test": ROWS}), "two lists, “train” and “test”"),
        (pretty(ROWS)[:-3], "begins in line 5 does not end"),
        (pretty(ROWS[:1]) + "\n;" + pretty(ROWS), "“;” stands between"),
        (json.dumps({"data": ROWS})[:-1], "The object around the list “data”"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(tmp_path, text, expected):
    path = tmp_path / "upload"
    path.write_text(text)
    with pytest.raises(UploadRejected, match=expected):
        intake.scan(path, SETTINGS)


def test_rows_that_the_server_cut_off_are_faults(tmp_path):
    path = tmp_path / "upload"
    path.write_text(server_rows(cells=["q"]))
    with pytest.raises(UploadRejected) as rejected:
        intake.scan(path, SETTINGS)
    assert "cut off the cells of this row (q)" in str(rejected.value.faults[0])


def test_nan_is_an_empty_cell_and_infinity_a_fault(tmp_path):
    lines = '{"q": "NaN", "n": NaN}\n{"q": "b", "n": Infinity}\n{"q": "c", "n": -NaN}\n'
    found, rows = scanned(tmp_path, lines.encode())
    assert texts(rows[::2]) == [["NaN", ""], ["c", ""]]
    assert notes(found) == ["cells that hold NaN are read as empty: 2"]
    assert "line 2" in str(found.faults[0])
    assert "Infinity is not JSON: write null, or leave it out." in str(found.faults[0])


def test_nan_in_a_request_is_refused_with_the_remedy(tmp_path):
    path = tmp_path / "upload"
    path.write_text(json.dumps({**ASK, "temperature": float("nan")}) + "\n" + json.dumps(ASK))
    found = intake.scan(path, SETTINGS)
    assert "NaN is not JSON: write null, or leave it out." in str(found.faults[0])
    assert found.faults[0].excerpt is not None
    assert found.faults[0].excerpt[found.faults[0].mark :].startswith("NaN")


@pytest.mark.parametrize("size", [200_000, 700_000])
def test_a_value_may_be_longer_than_a_block(tmp_path, size):
    long = {"messages": [{"role": "user", "content": "x" * size}]}
    path = tmp_path / "upload"
    path.write_text(pretty([long, ASK, long]))
    found = intake.scan(path, SETTINGS)
    assert (found.format, found.good, found.fault_count) == ("json", 3, 0)


def test_nested_values_are_given_as_json_and_a_list_of_messages_is_a_conversation(tmp_path):
    lines = [
        {"id": "a", "conversations": ASK["messages"], "tags": ["x", 1]},
        {"id": "b", "conversations": ASK["messages"], "tags": []},
    ]
    found, rows = scanned(tmp_path, "\n".join(map(json.dumps, lines)).encode())
    assert (found.conversations, found.id_column) == (["conversations"], "id")
    assert json.loads(texts(rows)[0][2]) == ["x", 1]
    assert "JSON: “conversations”, “tags”" in notes(found)[0]


@given(data=st.lists(st.sampled_from([*'{}[]",:1', "\n", " ", '"data"'])).map("".join))
@hypothesis_settings(max_examples=50)
def test_any_brackets_are_read_or_refused(tmp_path, data):
    path = tmp_path / "upload"
    for text in (data, '{"data": [{' + data, '{\n"q":' + data):
        path.write_text(text)
        try:
            intake.scan(path, SETTINGS)
        except UploadRejected as error:
            assert str(error)

"""Every value that fits a schema is exported as columns, cell by cell."""

import csv
import io
import json

import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from simple_batch.core.domain import RequestStatus
from simple_batch.core.schema import Schema
from simple_batch.export import csv_file, json_lines, parquet_file
from simple_batch.export.columns import OURS, Table
from simple_batch.export.rows import Row
from simple_batch.export.structured_columns import Fields

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
KINDS = {
    "string": TEXT,
    "integer": st.integers(-(2**70), 2**70),
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
    "null": st.none(),
    "array": st.lists(TEXT | st.integers() | st.none(), max_size=3),
    "object": st.dictionaries(TEXT, st.lists(st.booleans(), max_size=2), max_size=3),
}
NAMES = TEXT | st.sampled_from(["status", "content", "q", "result_q", "result_status", "a/b", "a~"])


@st.composite
def fitting(draw):
    """A schema of named properties, some of them required, and an object that fits it."""
    kinds = draw(st.dictionaries(NAMES, st.sampled_from(sorted(KINDS)), max_size=6))
    required = [name for name in kinds if draw(st.booleans())]
    schema = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in kinds.items()},
        "required": required,
    }
    value = {
        name: draw(KINDS[kind])
        for name, kind in kinds.items()
        if name in required or draw(st.booleans())
    }
    return schema, value


def row(text: str, cells=None) -> Row:
    response = json.dumps({"choices": [{"message": {"content": text}}]}).encode()
    empty = dict.fromkeys(Row.__struct_fields__)
    known = {"index": 0, "custom_id": "a", "url": "/v1/chat/completions", "body": b"{}"}
    known |= {"status": RequestStatus.SUCCEEDED.value, "response": response, "cells": cells}
    return Row(**{**empty, **known, "job_id": 1, "currency": "USD"})


def cell(value) -> str:
    """The text that a spreadsheet shows."""
    if value is None:
        return ""
    if isinstance(value, str):
        return csv_file.safe(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@settings(max_examples=150)
@given(fitting(), st.booleans(), st.booleans())
def test_what_validates_is_exported_to_the_cell(db, pair, fenced, of_table):
    schema, value = pair
    assert Schema(schema).fault(value) == ""
    text = json.dumps(value, ensure_ascii=False, indent=2 if fenced else None)
    text = f"```json\n{text}\n```" if fenced else text
    cells, header = (b'["x","y"]', ["q", "status"]) if of_table else (None, None)
    written = b"".join(csv_file.as_table([row(text, cells)], Table(header or (), Fields(schema))))
    names, found = csv.reader(io.StringIO(written.decode("utf-8-sig"), newline=""))
    assert len(names) == len(found) == len(set(names)) or "\0" in "".join(schema["properties"])
    at = names.index("content") + 1
    own = list(schema["properties"])
    for name, shown, got in zip(own, names[at:], found[at:], strict=False):
        assert shown.endswith(csv_file.safe(name).removeprefix("'"))
        want = value.get(name)
        if isinstance(want, float | int) and not isinstance(want, bool):
            assert float(got) == float(want)
        elif isinstance(want, list | dict):
            assert json.loads(got) == want
        else:
            assert got == cell(want)
    assert len(found) == len(own) + len(OURS) + len(header or ())
    line = json.loads(next(json_lines.as_lines([row(text)], Table(fields=Fields(schema)))))
    assert line["parsed"] == value
    data = b"".join(
        parquet_file.as_parquet([row(text, cells)], Table(header or (), Fields(schema)))
    )
    got = list(pq.read_table(io.BytesIO(data)).to_pydict().values())[at : at + len(own)]
    assert [_as_json(found) for (found,) in got] == [_as_parquet(value.get(name)) for name in own]


def _as_json(found):
    """The list or object in a text, if it is the JSON of one."""
    try:
        read = json.loads(found) if isinstance(found, str) else found
    except ValueError:
        return found
    return read if isinstance(read, list | dict) else found


def _as_parquet(value):
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -(2**63) <= value < 2**63 else None
    return _as_json(value)

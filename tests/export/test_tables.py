"""XLSX and Parquet exports: typed, without formulas, within the limits of a spreadsheet, and read
back cell by cell."""

import base64
import csv
import datetime as dt
import io
import json
import re
import struct
import tracemalloc
from decimal import Decimal

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from simple_batch import export, intake
from simple_batch.core.errors import SimpleBatchError
from simple_batch.export import parquet_file, temporary_file, xlsx_file
from simple_batch.export.columns import Table
from simple_batch.export.rows import Row
from simple_batch.store import requests as request_rows
from simple_batch.store.models import ApiConfig, Job, Result
from simple_batch.store.models import Request as RequestRow

from ..intake.workbooks import by_openpyxl
from .test_export import exported, job  # noqa: F401 (fixture)

AT = dt.datetime(2023, 11, 14, 22, 13, 20)
ASK = intake.Template(user="{{ row|length }}", custom_id="")


def opened(data: bytes):
    return openpyxl.load_workbook(io.BytesIO(data))


def rows_of(sheet) -> list[dict]:
    names, *rows = sheet.iter_rows(values_only=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


def test_xlsx_has_the_columns_of_the_csv_with_their_types(job):  # noqa: F811
    book = opened(exported(job, "xlsx"))
    assert book.sheetnames == ["Results"]
    found = rows_of(book.active)
    csv_names = exported(job, "csv").decode("utf-8-sig").splitlines()[0].split(",")
    assert list(found[0]) == csv_names
    assert [row["content"] for row in found] == ["好", None, "@SUM(1)\n第二行", None, None]
    assert found[1]["prompt"] == "=cmd|' /C calc'!A0"
    assert found[1]["custom_id"] == "+id1"
    assert [cell.data_type for cell in book.active[3]][:4] == ["n", "s", "s", "s"]
    assert (found[2]["cost"], found[0]["cost"]) == (0.00005, None)
    assert (found[2]["started_at"], found[2]["latency_ms"]) == (AT, 250)
    assert [row["status"] for row in found][3:] == ["failed", "pending"]
    assert [row["index"] for row in rows_of(opened(exported(job, "xlsx", "failed")).active)] == [
        1,
        3,
    ]


def test_parquet_is_typed(job):  # noqa: F811
    found = pq.read_table(io.BytesIO(exported(job, "parquet")))
    types = {field.name: str(field.type) for field in found.schema}
    assert types["index"] == types["http_status"] == types["input_tokens"] == "int64"
    assert types["cost"] == "double"
    assert types["started_at"] == "timestamp[ms, tz=UTC]"
    assert {types[name] for name in ("content", "custom_id", "currency")} == {"string"}
    rows = found.to_pylist()
    assert [row["content"] for row in rows] == ["好", "", "@SUM(1)\n第二行", "", ""]
    assert rows[2]["cost"] == 0.00005
    assert rows[4]["started_at"] is rows[4]["cost"] is rows[4]["http_status"] is None
    assert rows[0]["started_at"] == AT.replace(tzinfo=dt.UTC)


@pytest.mark.parametrize("form", export.BINARY)
def test_an_empty_export_has_its_columns(job, form):  # noqa: F811
    empty = Job.create(name="e", config=job.config, status="queued", max_retries=1, created_at=0)
    data = exported(empty, form)
    if form == "xlsx":
        assert rows_of(opened(data).active) == []
    else:
        found = pq.read_table(io.BytesIO(data))
        assert (found.num_rows, found.column_names[0]) == (0, "index")


def from_table(db, tmp_path, data: bytes, template=ASK) -> Job:
    """A job of a table's rows, as an import makes it, without results."""
    path = tmp_path / "upload"
    path.write_bytes(data)
    reader = intake.Reader(path, db, template=template)
    items = list(reader)
    Job.delete().where(Job.name == "t").execute()
    config, _ = ApiConfig.get_or_create(
        alias="t",
        defaults={
            "base_url": "http://x/v1",
            "model": "m",
            "timeout_s": 1,
            "created_at": 0,
            "updated_at": 0,
        },
    )
    made = Job.create(
        name="t",
        config=config,
        status="running",
        max_retries=1,
        created_at=0,
        source_format=reader.format,
        header=json.dumps(reader.header),
    )
    reader.close()
    request_rows.insert(made.id, items)
    return made


value = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30),
    st.sampled_from(
        ["=1+1", "<r><t>x</r>", "<r></r>", "_x0041_", "http://a.b", "\r\n", " ", "007"]
    ),
    st.integers(-(10**15), 10**15),
    st.floats(-1e300, 1e300),
    st.booleans(),
    st.datetimes(dt.datetime(1901, 1, 1), dt.datetime(9999, 12, 30)).map(
        lambda moment: moment.replace(microsecond=0)
    ),
    st.none(),
)


@given(rows=st.lists(st.lists(value, min_size=2, max_size=2), min_size=1, max_size=6))
@hypothesis_settings(max_examples=60)
def test_round_to_the_cell_through_xlsx(db, tmp_path, rows):
    """Our reader and openpyxl read the export back unchanged."""
    cells = [["first", 1], *([_kept(cell) for cell in row] for row in rows)]
    first = Job(endpoint="/v1/chat/completions", source_format="xlsx", header='["a", "=b"]')
    data = b"".join(xlsx_file.as_workbook(map(_row, cells), Table.of(first)))
    again = from_table(db, tmp_path, data)
    stored = RequestRow.select().where(RequestRow.job == again).order_by(RequestRow.idx)
    kept = [json.loads(found.cells)[:2] for found in stored]
    assert kept == [[None if cell == "" else cell for cell in row] for row in cells]
    second = rows_of(opened(exported(again, "xlsx")).active)
    assert [list(row.values())[:2] for row in second] == [
        list(row.values())[:2] for row in rows_of(opened(data).active)
    ]
    assert list(second[0])[:2] == ["a", "=b"]


letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
cell = st.one_of(
    st.text(letters, max_size=15),
    st.sampled_from(
        ["-5", "+1,5e3", "=1+1", "-5-5", "@x", "\ta", "'q", 'a "b", c;d', "1\r\n\n2", "  "]
    ),
)


@given(st.lists(st.lists(cell, min_size=2, max_size=2), max_size=6), st.sampled_from(",;\t|"))
@hypothesis_settings(max_examples=60)
def test_round_to_the_cell_through_csv(db, tmp_path, rows, delimiter):
    """The user's cells return unchanged, except for an apostrophe before texts that a spreadsheet
    would take for a formula; an export that is read again is exported the same."""
    rows = [["first", "1"], *(row for row in rows if "".join(row).strip())]
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter).writerows([["q", "状态"], *rows])
    # random texts may look like another encoding: the mark says that it is UTF-8
    first = exported(from_table(db, tmp_path, file.getvalue().encode("utf-8-sig")), "csv")
    names, *found = csv.reader(io.StringIO(first.decode("utf-8-sig"), newline=""))
    assert names[:4] == ["q", "状态", "content", "index"]
    wanted = [[_guarded(text) for text in row] for row in rows]
    assert [row[:2] for row in found] == wanted
    again = exported(from_table(db, tmp_path, first), "csv")
    assert [row[:2] for row in csv.reader(io.StringIO(again.decode("utf-8-sig"), newline=""))] == [
        *([["q", "状态"], *wanted])
    ]


def _guarded(text: str) -> str:
    number = re.fullmatch(r"[-+]\d+([.,]\d+)*([eE][-+]?\d+)?%?", text)
    return "'" + text if text and text[0] in "=+-@\t\r" and not number else text


def _kept(cell):
    if isinstance(cell, dt.datetime):
        midnight = cell.time() == dt.time()
        return {"at": cell.date().isoformat() if midnight else cell.isoformat()}
    return (
        int(cell) if isinstance(cell, float) and cell.is_integer() and abs(cell) <= 1e15 else cell
    )


def _row(cells: list) -> Row:
    filled = dict.fromkeys(Row.__struct_fields__)
    filled |= {"index": 0, "custom_id": "x", "body": b"{}", "cells": json.dumps(cells).encode()}
    return Row(**filled)


def test_the_columns_of_an_xlsx_come_back_in_every_format(db, tmp_path):
    rows = [
        ["name", "n", "ok", "since", "status"],
        ["甲", 1, True, dt.date(2024, 5, 1), "new"],
        ["b", 0.5, False, dt.datetime(2024, 5, 1, 9, 30), "007"],
        ["c", None, None, None, None],
    ]
    job = from_table(db, tmp_path, by_openpyxl(rows))  # noqa: F811
    found = rows_of(opened(exported(job, "xlsx")).active)
    assert [list(row.values())[:5] for row in found] == [
        ["甲", 1, True, dt.datetime(2024, 5, 1), "new"],
        ["b", 0.5, False, dt.datetime(2024, 5, 1, 9, 30), "007"],
        ["c", None, None, None, None],
    ]
    assert list(found[0])[5:9] == ["content", "index", "custom_id", "result_status"]
    lines = exported(job, "csv").decode("utf-8-sig").splitlines()
    assert lines[1].startswith("甲,1,TRUE,2024-05-01,new,")
    assert lines[3].startswith("c,,,,,")
    assert json.loads(exported(job, "jsonl").splitlines()[1])["row"] == {
        **{"name": "b", "n": 0.5, "ok": False, "since": "2024-05-01T09:30:00", "status": "007"}
    }
    table = pq.read_table(io.BytesIO(exported(job, "parquet")))
    assert table.to_pylist()[0]["since"] == "2024-05-01"
    assert table.to_pylist()[2]["n"] is None


def test_the_columns_of_a_parquet_file_keep_their_types(db, tmp_path):
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, 600_000)
    given_ = pa.table(
        {
            "id": pa.array([2**62, None], pa.int64()),
            "u": pa.array([2**64 - 1, 0], pa.uint64()),
            "small": pa.array([1, None], pa.int8()),
            "score": pa.array([0.1, None]),
            "single": pa.array([0.5, None], pa.float32()),
            "inf": pa.array([float("inf"), 1.5]),
            "ok": [True, None],
            "day": pa.array([dt.date(2026, 1, 2), None]),
            "at": pa.array([moment, None], pa.timestamp("us")),
            "zoned": pa.array([moment, None], pa.timestamp("ms", "UTC")),
            "shanghai": pa.array([moment, None], pa.timestamp("us", "Asia/Shanghai")),
            "time": pa.array([dt.time(7, 30, 1), None], pa.time64("us")),
            "price": pa.array([Decimal("19.90"), None], pa.decimal128(9, 2)),
            "q": ["为什么", None],
            "empty": ["", None],
        }
    )
    file = io.BytesIO()
    pq.write_table(given_, file)
    job = from_table(db, tmp_path, file.getvalue())  # noqa: F811
    found = pq.read_table(io.BytesIO(exported(job, "parquet")))
    assert found.select(given_.column_names).equals(given_), found.select(given_.column_names)
    sheet = rows_of(opened(exported(job, "xlsx")).active)
    assert [sheet[0][name] for name in ("id", "small", "score", "ok", "q", "day")] == [
        str(2**62),
        1,
        0.1,
        True,
        "为什么",
        "2026-01-02",
    ]


def test_rows_that_do_not_fit_on_a_sheet_go_on_on_the_next(db):
    job = Job(endpoint="/v1/chat/completions", source_format="csv", header='["a"]')  # noqa: F811
    rows = [_row([str(n)]) for n in range(10)]
    book = opened(b"".join(xlsx_file.as_workbook(rows, Table.of(job), max_rows=5)))
    assert book.sheetnames == ["Results", "Results 2", "Results 3"]
    assert [[row["a"] for row in rows_of(sheet)] for sheet in book] == [
        [*"0123"],
        [*"4567"],
        [*"89"],
    ]


@pytest.mark.parametrize("letter", ["x", "一", "😀"])
def test_a_text_too_long_for_a_cell_is_cut_with_a_mark(letter):
    width = len(letter.encode("utf-16-le")) // 2
    fits = letter * (xlsx_file.LONGEST_CELL // width)
    assert xlsx_file.fitting(fits) == fits
    cut = xlsx_file.fitting(fits + letter)
    assert cut.endswith(xlsx_file.CUT)
    assert cut.startswith(letter * 1000)
    assert len(cut.encode("utf-16-le")) <= 2 * xlsx_file.LONGEST_CELL


def test_vectors_of_embeddings(job):  # noqa: F811
    def answer(*vectors):
        data = [{"index": n, "embedding": vector} for n, vector in enumerate(vectors)]
        return json.dumps({"data": data[::-1]}).encode()

    packed = base64.b64encode(struct.pack("<3f", 0.5, -1, 2)).decode()
    answers = [answer([0.5, 1, -2]), None, answer(packed), None, None]
    Job.update(endpoint="/v1/embeddings").where(Job.id == job.id).execute()
    for index, body in enumerate(answers):
        Result.update(response=body).where((Result.job == job.id) & (Result.idx == index)).execute()
    found = pq.read_table(io.BytesIO(exported(job, "parquet")))
    assert str(found.schema.field("embedding").type) == "list<element: float>"
    assert found["embedding"].to_pylist() == [[0.5, 1, -2], None, [0.5, -1, 2], None, None]
    assert found["embeddings"].to_pylist() == [None] * 5
    two = answer([1, 2], [3])
    Result.update(response=two).where((Result.job == job.id) & (Result.idx == 2)).execute()
    found = pq.read_table(io.BytesIO(exported(job, "parquet")))
    assert found["embedding"].to_pylist() == [[0.5, 1, -2], None, None, None, None]
    assert found["embeddings"].to_pylist() == [None, None, [[1, 2], [3]], None, None]
    assert "embedding" not in exported(job, "csv").decode().splitlines()[0]


def test_row_groups_and_flat_memory(db, monkeypatch):
    job = Job(endpoint="/v1/chat/completions", source_format="csv", header='["a"]')  # noqa: F811
    one = _row(["some text of a row " * 20])
    monkeypatch.setattr(parquet_file, "GROUP_ROWS", 1000)

    def peak(form, count: int) -> int:
        tracemalloc.start()
        pieces = form((one for _ in range(count)), Table.of(job))
        total = sum(map(len, pieces))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert total > 1000
        return found

    for form in (parquet_file.as_parquet, xlsx_file.as_workbook):
        # what other greenlets of this process allocate meanwhile counts too, but not each time
        few = peak(form, 2_000)
        many = [peak(form, 8_000)]
        while many[-1] >= few + 500_000 and len(many) < 4:
            many.append(peak(form, 8_000))
        assert many[-1] < few + 500_000, (form, few, many)
    data = b"".join(parquet_file.as_parquet((one for _ in range(2500)), Table.of(job)))
    assert pq.ParquetFile(io.BytesIO(data)).metadata.num_row_groups == 3


@pytest.mark.parametrize("form", export.BINARY)
def test_nothing_is_left_behind_whether_it_is_taken_or_not(job, db, form):  # noqa: F811
    def left():
        return list(db.uploads.glob("export-*"))

    pieces = export.export(job.id, form)
    assert len(left()) == 1
    assert next(pieces)[:2] in (b"PK", b"PA")
    pieces.close()
    assert left() == []
    pieces = export.export(job.id, form)
    del pieces
    assert left() == []
    exported(job, form)
    assert left() == []


def test_a_disk_that_takes_nothing_is_reported(job, db, monkeypatch):  # noqa: F811
    db.uploads.mkdir(parents=True, exist_ok=True)

    def full(path):
        raise OSError(28, "No space left on device")

    with pytest.raises(SimpleBatchError, match="No space left"):
        temporary_file.spooled(full)
    assert list(db.uploads.glob("export-*")) == []

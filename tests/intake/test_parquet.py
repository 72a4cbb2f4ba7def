"""Parquet and plain objects as tables."""

import datetime as dt
import gzip
import io
import json
import tracemalloc
from decimal import Decimal

import msgspec
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from simple_batch import intake
from simple_batch.core.domain import Fault
from simple_batch.core.errors import UploadRejected, UploadTooLarge

from .workbooks import SETTINGS, table, texts


def written(columns: dict, **options) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


def test_values_are_read_as_texts_and_kept_as_they_were(tmp_path):
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, 600_000)
    columns = {
        "id": pa.array([1, None, 2**62], pa.int64()),
        "问题": ["为什么？", "", None],
        "score": [1.5, 2.0, float("nan")],
        "ok": [True, False, None],
        "day": [dt.date(2026, 1, 2), None, dt.date(1, 1, 1)],
        "at": pa.array([moment, None, None], pa.timestamp("ns")),
        "zoned": pa.array([moment, None, None], pa.timestamp("ms", "UTC")),
        "time": pa.array([dt.time(7, 30), None, None], pa.time64("us")),
        "price": pa.array([Decimal("19.90"), None, Decimal("-0.01")], pa.decimal128(9, 2)),
        "raw": pa.array([b"caf\xc3\xa9", None, b""], pa.binary()),
        "kind": pa.array(["x", "y", None]).dictionary_encode(),
        "large": pa.array(["l", None, ""], pa.large_string()),
    }
    found, items = table(tmp_path, written(columns))
    assert (found.format, found.columns) == ("parquet", list(columns))
    assert [dict(zip(columns, cells, strict=True)) for cells in texts(items)] == [
        {
            **{"id": "1", "问题": "为什么？", "score": "1.5", "ok": "true", "day": "2026-01-02"},
            **{"at": "2026-01-02T03:04:05.600000", "zoned": "2026-01-02T03:04:05.600000+00:00"},
            **{"time": "07:30:00", "price": "19.90", "raw": "café", "kind": "x", "large": "l"},
        },
        {**dict.fromkeys(columns, ""), "score": "2", "ok": "false", "kind": "y"},
        {
            **{"id": str(2**62), "问题": "", "score": "", "ok": "", "day": "0001-01-01", "at": ""},
            **{"zoned": "", "time": "", "price": "-0.01", "raw": "", "kind": "", "large": ""},
        },
    ]
    assert items[0].kept[:4] == [1, "为什么？", 1.5, True]
    assert items[1].kept[:3] == [None, "", 2.0]
    assert found.header[:3] == [("id", "int64"), ("问题", "string"), ("score", "double")]
    assert dict(found.header)["zoned"] == "timestamp[ms, tz=UTC]"
    assert [item.line for item in items] == [1, 2, 3]


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "brotli", "lz4"])
def test_what_pandas_writes(tmp_path, compression):
    frame = pandas.DataFrame({"q": [f"why {n}?" for n in range(5000)], "n": range(5000)})
    file = io.BytesIO()
    options = {"compression": None if compression == "none" else compression}
    frame.to_parquet(file, index=False, row_group_size=700, **options)
    for data in (file.getvalue(), gzip.compress(file.getvalue(), 1)):
        _, items = table(tmp_path, data)
        assert texts(items) == [[f"why {n}?", str(n)] for n in range(5000)]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"q": pa.array([], pa.string())}, "no rows"),
        ({" ": ["a"]}, "names no columns"),
        ({"picture": pa.array([b"\xff\xd8"])}, "names no columns"),
    ],
)
def test_what_is_no_table(tmp_path, columns, expected):
    with pytest.raises(UploadRejected, match=expected):
        table(tmp_path, written(columns))


def test_damaged_files_and_bombs(tmp_path):
    data = written({"q": [f"question {n}" for n in range(3000)]}, use_dictionary=False)
    for broken in (
        data[:-20],
        data[:6],
        data[: len(data) // 2],
        b"PAR1" + b"\xff" * 2000 + b"PAR1",
    ):
        with pytest.raises(UploadRejected, match="Parquet file is damaged"):
            table(tmp_path, broken)
    torn = data[:200] + b"\xff" * 3000 + data[3200:]
    with pytest.raises(UploadRejected, match="Parquet file is damaged"):
        table(tmp_path, torn)
    bomb = written({"q": ["x" * 100_000_000]}, compression="zstd", use_dictionary=False)
    with pytest.raises(UploadTooLarge, match="taken for a bomb"):
        table(tmp_path, bomb)
    with pytest.raises(UploadTooLarge, match="MAX_UNPACKED_BYTES"):
        table(tmp_path, data, MAX_UNPACKED_BYTES=5000)


def test_one_long_text_many_times_does_not_fill_the_memory(tmp_path):
    path = tmp_path / "upload"
    zeros = pa.array([None] * 10 + [0] * 4_990, pa.int32())
    coded = pa.DictionaryArray.from_arrays(zeros, ["x" * 20_000_000])
    path.write_bytes(written({"q": coded, "n": list(range(5_000))}))
    assert path.stat().st_size < 2_000_000
    reader = intake.Reader(path, SETTINGS, unique=False)
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    rows = iter(reader.table())
    first = [next(rows) for _ in range(11)][-1]
    held = pa.total_allocated_bytes() - before
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    rows.close()
    reader.close()
    assert isinstance(first, Fault)
    assert str(first) == "row 11: longer than SIMPLE_BATCH_MAX_REQUEST_BYTES allows."
    assert most + held < 150_000_000


def test_texts_that_begin_with_the_one_before(tmp_path):
    wanted = ["x" * 100_000 + str(n) for n in range(50)]
    coded = {"use_dictionary": False, "column_encoding": {"q": "DELTA_BYTE_ARRAY"}}
    assert texts(table(tmp_path, written({"q": wanted}, **coded))[1]) == [[text] for text in wanted]


def test_faults_name_row_and_column(tmp_path):
    columns = {"q": ["a", "b\0c", "d"], "raw": pa.array([b"x", b"y", b"\xff"], pa.binary())}
    _, items = table(tmp_path, written(columns))
    assert items[0].cells == ["a", "x"]
    assert str(items[1]) == "row 2: column “q” holds a NUL character: remove it."
    assert str(items[2]).startswith("row 3: column “raw” holds bytes that are no text")


# --- plain objects ----------------------------------------------------------------------------------


def objects(tmp_path, data: bytes, template=None):
    path = tmp_path / "upload"
    path.write_bytes(data)
    reader = intake.Reader(path, SETTINGS, template=template)
    try:
        return reader, list(reader)
    finally:
        reader.close()


ASK = intake.Template(user="{{question}}", parameters={"seed": "{{id}}"}, custom_id="")
PLAIN = [
    {"question": "为什么？", "id": 7},
    {"id": 0.5, "question": "b", "ok": True},
    {"question": "c", "id": None},
    {"question": "d"},
]


@pytest.mark.parametrize("form", ["jsonl", "json", "json in lines"])
def test_plain_objects_are_rows(tmp_path, form):
    if form == "jsonl":
        data = "\n".join(json.dumps(item, ensure_ascii=False) for item in PLAIN)
    else:
        data = json.dumps(PLAIN, ensure_ascii=False, indent=2 if form == "json in lines" else None)
    reader, items = objects(tmp_path, data.encode(), ASK)
    assert reader.format == f"{form[:5].rstrip()}-rows"
    assert reader.columns == ["question", "id", "ok"]
    bodies = [json.loads(item.body) for item in items]
    assert [body["messages"][0]["content"] for body in bodies] == ["为什么？", *"bcd"]
    assert [body.get("seed") for body in bodies] == [7, 0.5, None, None]
    assert [json.loads(item.cells) for item in items] == [
        ["为什么？", 7, None],
        ["b", 0.5, True],
        ["c", None, None],
        ["d", None, None],
    ]
    with pytest.raises(
        UploadRejected, match=r"plain objects \(JSONL?; columns: question, id, ok\)"
    ):
        objects(tmp_path, data.encode())


def test_digits_stay_as_they_stand(tmp_path):
    line = b'{"question": "x", "a": 0.20, "b": 12345678901234567890123, "c": 1e400, "d": -5}\n'
    path = tmp_path / "upload"
    path.write_bytes(line)
    reader = intake.Reader(path, SETTINGS)
    (row,) = reader.table()
    reader.close()
    assert row.cells == ["x", "0.20", "12345678901234567890123", "1e400", "-5"]
    assert row.kept == ["x", "0.20", "12345678901234567890123", "1e400", -5]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"question": "x", "new": 1}', "“new” is no column"),
        (b'{"question": ["x"]}', "“question” holds a list"),
        (b'{"question": {"x": 1}}', "“question” holds an object"),
        (b'{"question": "a\\u0000"}', "NUL"),
        (b'{"question": "a\\ud800"}', "not valid JSON"),
        (b'{"question"', "not valid JSON"),
        (b'["x"]', "must be an object"),
        (b"17", "must be an object"),
        (b'{"messages": [{"role": "user", "content": "x"}]}', "do not mix"),
        ('{"question": "一二三四五六七八九十百千'.encode() + b'\xe9"}', "not UTF-8"),
    ],
)
def test_objects_that_are_no_rows(tmp_path, line, expected):
    good = b'{"question": "a", "id": 1}\n'
    # beyond the objects that say which columns there are
    data = good * 150 + line + b"\n" + good
    _, items = objects(tmp_path, data, ASK)
    assert [isinstance(item, Fault) for item in items] == [False] * 150 + [True, False]
    assert items[150].line == 151
    assert expected in items[150].message


@pytest.mark.parametrize(
    "data",
    [
        b'{"messages": [{"role": "user", "content": "x"}]}\n{"question": "a"}\n',
        b'{"question": "a"}\n{"messages": [{"role": "user", "content": "x"}]}\n',
    ],
)
def test_requests_among_plain_objects_stay_requests(tmp_path, data):
    _, items = objects(tmp_path, data)
    fault = next(item for item in items if isinstance(item, Fault))
    assert '"messages" is missing' in fault.message


@pytest.mark.parametrize(
    "data",
    [
        b'{"mesages": [{"role": "user", "content": "x"}]}\n',
        b'{"role": "user", "content": "x"}\n{"role": "user", "content": "y"}\n',
        b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions"}\n',
    ],
)
def test_what_was_meant_for_a_request_keeps_its_fault(tmp_path, data):
    _, items = objects(tmp_path, data)
    assert all(isinstance(item, Fault) for item in items)
    assert "is missing" in items[0].message


def test_nested_columns_beside_texts_are_json_and_what_is_left_out_is_named(tmp_path):
    frame = pandas.DataFrame(
        {
            "q": ["a", "b"],
            "tags": [["x", "y"], []],
            "who": [{"name": "Ann", "age": 7}, None],
            "raw": [b"\xff\xd8", b"\xff"],
        },
        index=["k1", "k2"],
    )
    file = io.BytesIO()
    frame.to_parquet(file)
    found, items = table(tmp_path, file.getvalue())
    assert (found.columns, found.conversations) == (["q", "tags", "who"], [])
    rows = texts(items)
    assert rows[0] == ["a", '["x","y"]', '{"name":"Ann","age":7}']
    assert rows[1][2] == ""
    notes = [str(note) for note in found.notes]
    assert any("“__index_level_0__”" in note for note in notes)
    assert any("“raw” (holds bytes" in note for note in notes)
    assert any("JSON: “tags”, “who”" in note for note in notes)


def test_an_infinite_number_within_a_nested_value_is_a_fault_and_nan_is_null(tmp_path):
    scores = [[1.5], [float("nan")], [float("inf")], [2.0, float("-inf")]]
    items = table(tmp_path, written({"q": list("abcd"), "scores": scores}))[1]
    assert texts(items[:2]) == [["a", "[1.5]"], ["b", "[null]"]]
    assert all("infinite number" in fault.message for fault in items[2:])


def test_messages_of_a_struct_are_a_conversation_without_the_fields_of_others(tmp_path):
    talks = [
        [{"role": "user", "content": "hi", "name": None}],
        [{"role": "assistant", "content": None, "name": "x"}],
        None,
    ]
    found, items = table(tmp_path, written({"messages": talks, "n": [1, 2, 3]}))
    assert found.conversations == ["messages"]
    assert [json.loads(cells[0] or "null") for cells in texts(items)] == [
        [{"role": "user", "content": "hi"}],
        [{"role": "assistant", "content": None, "name": "x"}],
        None,
    ]
    assert items[0].kept[0] == {"json": msgspec.Raw(texts(items)[0][0].encode())}


def test_a_long_text_repeated_in_a_nested_column_stays_within_memory(tmp_path):
    long = pa.array(["x" * 1_000_000]).dictionary_encode().dictionary
    values = pa.DictionaryArray.from_arrays(pa.array([0] * 3_000, pa.int32()), long)
    nested = pa.ListArray.from_arrays(pa.array(range(3_001), pa.int32()), values)
    data = written({"l": nested, "q": ["a"] * 3_000})
    tracemalloc.start()
    try:
        _found, items = table(tmp_path, data, MAX_REQUEST_BYTES=100_000)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert len(items) == 3_000
    assert all(isinstance(item, Fault) for item in items)
    assert peak < 64 << 20

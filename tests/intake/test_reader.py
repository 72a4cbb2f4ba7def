"""Every format is read back as it was written; every fault names its line and the remedy."""

import gzip
import io
import json

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from simple_batch import intake
from simple_batch.core import settings
from simple_batch.core.domain import Fault, Request
from simple_batch.core.errors import UploadRejected, UploadTooLarge

SETTINGS = settings.load(environ={}, INSTANCE_PATH="/nonexistent")


def read(tmp_path, data: bytes, **overrides):
    path = tmp_path / "upload"
    path.write_bytes(data)
    reader = intake.Reader(
        path, settings.load(environ={}, INSTANCE_PATH=str(tmp_path), **overrides)
    )
    try:
        items = list(reader)
    finally:
        reader.close()
    return reader.format, items


def one(text="hi", **fields):
    return {"messages": [{"role": "user", "content": text}], **fields}


def batch(n, **fields):
    body = {"model": "m", **one(f"q{n}")}
    line = {"custom_id": f"id{n}", "method": "POST", "url": "/v1/chat/completions", "body": body}
    return {**line, **fields}


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
conversation = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": text}),
    min_size=1,
    max_size=4,
)


@given(
    conversations=st.lists(conversation, min_size=1, max_size=6),
    form=st.sampled_from(["json", "json-messages", "jsonl", "jsonl-messages", "openai-batch"]),
    packed=st.booleans(),
    indent=st.sampled_from([None, 2]),
    bom=st.booleans(),
)
@hypothesis_settings(max_examples=60)
def test_what_is_written_in_any_format_is_read_back(
    tmp_path, conversations, form, packed, indent, bom
):
    items = conversations
    if form in ("json", "jsonl"):
        items = [{"messages": messages, "top_p": 0.5} for messages in conversations]
    elif form == "openai-batch":
        items = [batch(n, body={"messages": messages}) for n, messages in enumerate(conversations)]
    if form.startswith("json-") or form == "json":
        data = json.dumps(items, ensure_ascii=False, indent=indent).encode()
    else:
        data = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items).encode()
    data = (b"\xef\xbb\xbf" if bom else b"") + data
    found, read_back = read(tmp_path, gzip.compress(data) if packed else data)
    assert found == form
    assert all(isinstance(item, Request) for item in read_back), read_back
    assert [item.index for item in read_back] == list(range(len(items)))
    assert [json.loads(item.body)["messages"] for item in read_back] == conversations


@given(data=st.binary(max_size=300))
@hypothesis_settings(max_examples=200)
def test_any_bytes_are_read_or_rejected_and_nothing_else(tmp_path, data):
    for variant in (data, b"[" + data, b'{"messages":' + data, b"\x1f\x8b" + data):
        try:
            read(tmp_path, variant)
        except UploadRejected as error:
            assert str(error)


def test_lines_of_a_pretty_json_array_are_those_of_its_items(tmp_path):
    data = json.dumps([one("a"), {"bad": 1}, one('with "quotes", [brackets] and \\')], indent=1)
    _, items = read(tmp_path, b"\n\n" + data.encode())
    assert items[0].line == 4
    assert isinstance(items[1], Fault)
    lines = ("\n\n" + data).splitlines()
    assert '"bad"' in lines[items[1].line]
    assert items[2].line > items[1].line
    assert items[2].index == 1
    assert items[2].custom_id == "request-3"


def test_an_array_over_many_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("simple_batch.intake.source.BLOCK", 7)
    wanted = [one('tricky \\" , ] } { [ \\\\'), one("二"), one("c" * 50)]
    _, items = read(tmp_path, json.dumps(wanted, ensure_ascii=False).encode())
    assert [json.loads(item.body) for item in items] == wanted


def test_a_conversation_with_tool_calls_is_read(tmp_path):
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "sunny", "tool_call_id": "1"},
        {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
    ]
    lines = (
        {"messages": messages},
        {"custom_id": "a", "messages": messages},
    )
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    _, items = read(tmp_path, data)
    assert [json.loads(item.body) for item in items] == [{"messages": messages}] * 2
    _, items = read(tmp_path, json.dumps(batch(1, body={"messages": messages})).encode())
    assert json.loads(items[0].body) == {"messages": messages}


@pytest.mark.parametrize(
    ("line", "code", "expected"),
    [
        (b'{"messages": [{"role": "assistant", "tool_calls": []}]}', "invalid_request", "missing"),
        (b"{broken", "invalid_json_line", "not valid JSON"),
        (b'{"prompt": "x"}', "invalid_request", '"messages" is missing'),
        (b'{"messages": []}', "invalid_request", "empty"),
        (b'{"messages": "hi"}', "invalid_request", "messages"),
        (b'{"messages": [{"role": "user"}]}', "invalid_request", '"content" is missing'),
        (b'{"messages": [{"role": "boss", "content": "x"}]}', "invalid_request", "boss"),
        (b'{"messages": [{"content": "x"}]}', "invalid_request", "role"),
        (b"5", "invalid_request", "object"),
        (
            '{"messages": [{"role": "user", "content": "一二三四五六七八九十百千'.encode()
            + b'\xff"}]}',
            "invalid_encoding",
            "UTF-8",
        ),
        (b'{"messages": [{"role": "user", "content": "a\0b"}]}', "invalid_json_line", "NUL"),
        (b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "invalid_json_line", "nested"),
        (b'{"n": ' + b"9" * 5_000 + b"}", "invalid_json_line", "digits"),
        (json.dumps(one(custom_id=7)).encode(), "invalid_request", "custom_id"),
        (json.dumps(one(custom_id="x" * 600)).encode(), "invalid_request", "512"),
        (json.dumps(one(custom_id="same")).encode(), "duplicate_custom_id", "line 1"),
    ],
)
def test_a_faulty_line_is_named_and_the_others_are_good(tmp_path, line, code, expected):
    good = json.dumps(one(custom_id="same")).encode()
    _, items = read(tmp_path, good + b"\n\n" + line + b"\n" + json.dumps(one()).encode())
    assert isinstance(items[0], Request)
    assert isinstance(items[2], Request)
    assert items[1].line == 3
    assert items[1].code == code
    assert expected in items[1].message


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"method": "GET"}, "invalid_method"),
        ({"url": "/v1/else"}, "invalid_url"),
        ({"url": "/v1/embeddings"}, "url_mismatch"),
        ({"custom_id": "id1"}, "duplicate_custom_id"),
        ({"custom_id": ""}, "invalid_request"),
        ({"body": 5}, "invalid_request"),
    ],
)
def test_faults_of_batch_lines(tmp_path, change, code):
    lines = [batch(1), {**batch(2), **change}]
    _, items = read(tmp_path, "\n".join(map(json.dumps, lines)).encode())
    assert (items[1].line, items[1].code) == (2, code)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty"),
        (b"  \n \n", "empty"),
        (b"[]", "empty"),
        (b"id,question\n1,hi\n", "a template is needed"),
        (b"\x01\x02\r\n", "not JSON"),
        (b"\xff\xfe[\x00", "cut off"),
        (b'[{"messages": [{"role": "user", "content": "x"}]}, {"mess', "cut off"),
        (b'[{"messages": [{"role": "user", "content": "x"}]}] tail', "follows"),
        (b'[,{"messages": []}]', "comma"),
        (gzip.compress(json.dumps([one()]).encode())[:-12], "gzip"),
    ],
)
def test_files_that_cannot_be_read_as_a_whole(tmp_path, data, expected):
    with pytest.raises(UploadRejected, match=expected):
        read(tmp_path, data)


def test_a_line_over_the_limit_is_a_fault_without_being_read_into_memory(tmp_path):
    long = json.dumps(one("x" * 5_000)).encode()
    for data in (long + b"\n" + json.dumps(one()).encode(), b"[" + long + b"," + long + b"]"):
        _, items = read(tmp_path, data, MAX_REQUEST_BYTES=2_000)
        assert isinstance(items[0], Fault)
        assert "MAX_REQUEST_BYTES" in items[0].message


def test_a_gzip_bomb_is_refused(tmp_path):
    bomb = gzip.compress(b'{"messages": "' + b" " * (80 << 20))
    with pytest.raises(UploadTooLarge, match="taken for a bomb"):
        read(tmp_path, bomb)
    with pytest.raises(UploadTooLarge, match="UNPACKED"):
        read(
            tmp_path,
            gzip.compress(json.dumps([one("ab" * 9_000)]).encode()),
            MAX_UNPACKED_BYTES=9_000,
        )


def test_spooling_stops_at_the_limit_and_leaves_nothing(tmp_path):
    assert intake.spool(io.BytesIO(b"x" * 2_000), tmp_path / "good", 2_000) == 2_000
    with pytest.raises(UploadTooLarge):
        intake.spool(io.BytesIO(b"x" * 2_001), tmp_path / "bad", 2_000)
    assert not (tmp_path / "bad").exists()
    with pytest.raises(UploadRejected, match="cannot be kept"):
        intake.spool(io.BytesIO(b"x"), tmp_path / "no" / "folder", 2_000)


def test_the_preview_counts_everything_and_shows_the_first(tmp_path):
    path = tmp_path / "upload"
    lines = [json.dumps(one(str(n))) if n % 3 else "{" for n in range(90)]
    path.write_text("\n".join(["{}", *lines[1:]]))
    preview = intake.scan(path, SETTINGS)
    assert (preview.good, preview.fault_count) == (60, 30)
    assert len(preview.faults) == 20
    assert len(preview.first) == 5
    assert preview.format == "jsonl"
    path.write_text("{}\n{}")
    with pytest.raises(UploadRejected) as rejected:
        intake.scan(path, SETTINGS)
    assert rejected.value.fault_count == 2

"""Requests and answers of few bytes a value: nothing that reads or shows them holds the event loop."""

import json

import pytest

from simple_batch.core import content
from simple_batch.core.json_pieces import MARKS, beginning, decoded
from simple_batch.core.schema import NoJson, json_of
from simple_batch.export.columns import Table
from simple_batch.export.rows import raw_json, rows
from simple_batch.intake import request_checks
from simple_batch.intake.request_lines import Items, kind_of
from simple_batch.store import jobs, results
from simple_batch.store.database import connected
from simple_batch.store.models import Job, Request, Result
from simple_batch.store.request_filter import RequestFilter

from .standstill import LONGEST_S, Standstill
from .store.test_results import recorded
from .web.test_languages import uploaded
from .web.test_pages import token

MESSAGE = {"role": "user", "content": ""}
IMAGE = "data:image/png;base64," + "A" * 8_000_000
MESSAGES = json.dumps({"messages": [MESSAGE] * 450_000}, separators=(",", ":")).encode()
NESTED = b'{"messages":[%s],"x":[%s]}' % (
    json.dumps(MESSAGE).encode(),
    b",".join([b"[[1]]"] * 2_400_000),
)
PARTS = {"role": "assistant", "content": [{"type": "text", "text": "a"}] * 200_000}
ANSWER = json.dumps({"choices": [{"message": PARTS}]}, separators=(",", ":")).encode()
LARGE = {"messages": MESSAGES, "nested": NESTED}
MANY = 30_000  # messages, which are checked in several pieces


@pytest.fixture(params=LARGE)
def body(request) -> bytes:
    return LARGE[request.param]


@pytest.fixture
def job(add_config, make_job):
    """A job of one large request, answered."""
    add_config("http://127.0.0.1:9/v1")
    job_id = make_job(count=1)
    with connected():
        Request.update(body=MESSAGES).execute()
        results.write([recorded(job_id, 0, [], True, 1_700_000_000_000)])
        Result.update(response=ANSWER).execute()
        Job.update(status="completed").execute()
    return job_id


def test_the_beginning_of_json_is_json():
    for whole, names in (
        (MESSAGES, {"messages"}),
        (NESTED, {"messages", "x"}),
        (ANSWER, {"choices"}),
    ):
        head = beginning(whole)
        assert head is not None and len(head) < 20 * MARKS
        assert json.loads(head).keys() <= names
    assert beginning(json.dumps({"a": ",:[{" * MARKS}).encode()) is None
    assert json.loads(beginning(b'{"a":1,"b":' + b"[" * 500 + b"]" * 500 + b"}")) == {"a": 1}


def test_a_large_answer_is_read_whole():
    assert decoded(ANSWER) == json.loads(ANSWER)
    assert decoded(MESSAGES) == json.loads(MESSAGES)
    vectors = {"data": [{"index": n, "embedding": [0.5] * 3_000} for n in range(800)]}
    assert decoded(json.dumps(vectors).encode()) == vectors
    assert content.loaded(ANSWER[:-9]) is None


def test_a_large_input_is_its_json_text():
    numbers = b"[%s]" % b",".join([b"[[1]]"] * 1_000_000)
    with Standstill() as held:
        found = content.prompt_of(content.loaded(b'{"model":"m","input":%s}' % numbers))
    assert found == numbers.decode()
    assert held.longest_s < LONGEST_S


def test_json_in_an_answer_is_bounded_by_its_values():
    text = f"[{','.join(['[[]]'] * 700_000)}]"
    with Standstill() as held, pytest.raises(NoJson, match="500,000 values"):
        json_of(text)
    assert held.longest_s < LONGEST_S
    assert json_of('["%s"]' % ("a" * 3_000_000)).value


def test_large_json_is_exported_on_one_line():
    lines = b'{"a":\r\n[%s]}' % b",\n".join([b"[1]"] * 1_000_000)
    with Standstill() as held:
        found = bytes(raw_json(lines))
    assert b"\n" not in found and b"\r" not in found and found.endswith(b"[1], [1]]}")
    assert held.longest_s < LONGEST_S


def test_long_numbers_are_found_in_large_requests():
    long = b"1" * request_checks.MAX_DIGITS
    many = b",".join([b'"a"'] * 300_000)
    for start in (b"[" + b"1," * 600_000, b'["%s",' % long):
        request_checks.check_text(start + b'"%s",%s]' % (long, many))
        with pytest.raises(request_checks.Bad):
            request_checks.check_text(start + b"%s,%s]" % (long, many))


def test_reading_for_a_page_holds_nothing(body):
    with Standstill() as held:
        shown = content.readable(body)
        messages = content.conversation_of(shown.data)
    assert shown.cut == len(body)
    assert messages[0] == {"role": "user", "parts": []}
    assert len(shown.text) <= content.SHOWN
    assert held.longest_s < LONGEST_S


def test_a_large_image_is_shown_whole():
    part = {"type": "image_url", "image_url": {"url": IMAGE}}
    body = json.dumps({"messages": [{"role": "user", "content": [part]}]}).encode()
    with Standstill() as held:
        shown = content.readable(body)
        messages = content.conversation_of(shown.data)
    assert shown.cut is None and IMAGE in shown.text
    assert messages[0]["parts"] == [{"kind": "image", "text": IMAGE}]
    assert held.longest_s < LONGEST_S


@pytest.mark.parametrize("kind", ["object", "messages"])
def test_an_upload_is_checked_in_pieces(kind):
    raw = MESSAGES if kind == "object" else MESSAGES[len(b'{"messages":') : -1]
    with Standstill() as held:
        found = Items(kind, 100).request(raw, False, 1, 1, 0)
    assert found.body == MESSAGES
    assert held.turns > 50 and held.longest_s < LONGEST_S


@pytest.mark.parametrize(
    "message, error",
    [
        ('{"role":"user","content":1}', "message 30001: “content”"),
        ('{"content":""}', "message 30001"),
        ('{"role":"nurse","content":""}', "message 30001"),
        ('{"role":"user"}', "message 30001"),
    ],
)
def test_a_fault_among_many_messages_is_named_by_its_place(message, error):
    one = json.dumps(MESSAGE)
    raw = ("[" + ",".join([one] * MANY + [message, one]) + "]").encode()
    assert len(raw) > 4 * request_checks.LARGE
    found = Items("messages", 100).request(raw, False, 1, 1, 0)
    assert error in found.message


def test_an_export_of_a_large_row_holds_nothing(job):
    with connected():
        (row,) = rows(jobs.get(job), "all", RequestFilter())
    with Standstill() as held:
        values = Table().values(row)
    assert values[4] == "\n".join("a" * 200_000)
    assert held.turns > 50 and held.longest_s < LONGEST_S


@pytest.mark.parametrize("page", ["", "/0"])
def test_a_page_of_a_large_request_holds_nothing(client, job, page):
    client.get(f"/jobs/{job}/requests")  # compiles templates
    with Standstill() as held:
        shown = client.get(f"/jobs/{job}/requests{page}").text
    assert held.longest_s < LONGEST_S
    if page:
        assert "/0/request.json" in shown and "/0/response.json" in shown
        assert 'id="too-large"' in shown
        assert 'id="as-curl"' not in shown and 'name="body"' not in shown


def test_the_preview_of_a_large_request_holds_nothing(client, add_config):
    add_config("http://127.0.0.1:9/v1")
    small = json.dumps({"messages": [MESSAGE]}).encode()
    place = uploaded(client, small + b"\n" + MESSAGES + b"\n").headers["Location"]
    client.get("/jobs")
    with Standstill() as held:
        shown = client.get(place).text
    assert "The beginning of 13,050,014 bytes." in shown
    assert held.longest_s < LONGEST_S


WIDE = b",".join(b'"%d":1' % n for n in range(300_000))
CHAT_URL = b'"method":"POST","url":"/v1/chat/completions","custom_id":"a"'
REQUEST = b'"messages":[{"role":"user","content":"x"}]'


@pytest.mark.parametrize(
    "raw, kind",
    [
        (b"{%s,%s}" % (REQUEST, WIDE), "object"),
        (b'{"custom_id":"a",%s,%s}' % (WIDE, REQUEST), "object"),
        (b"{%s,%s}" % (CHAT_URL, WIDE), "batch"),
        (b'{%s,"body":{%s,%s}}' % (CHAT_URL, REQUEST, WIDE), "batch"),
    ],
)
def test_a_request_of_too_many_fields_is_refused_before_it_is_read(raw, kind):
    found = Items(kind, 100).request(raw, False, 1, 1, 0)
    assert "has more than 10,000 fields" in found.message


def test_fields_are_counted_where_they_stand():
    """Many fields below the top, and colons in texts, are not the request's."""
    text = b'{"messages":[{"role":"user","content":"%s"}],"x":{%s}}' % (b":" * 300_000, WIDE)
    assert Items("object", 100).request(text, False, 1, 1, 0).body == text
    assert kind_of(text) == "object"


def test_objects_of_too_many_fields_are_no_rows(client):
    answer = uploaded(client, b'{"a":1}\n{%s}\n' % WIDE)
    shown = client.get(answer.headers["Location"]).text
    assert "has more than 10,000 fields" in shown


def test_a_row_of_too_many_delimiters_is_refused(client):
    shown = uploaded(client, b"a,b\n" + b"," * 600_000 + b"\n", "x.csv").text
    assert "more than 500,000 delimiters in one row" in shown


def test_empty_lines_hold_nothing(client):
    with Standstill() as held:
        answer = uploaded(client, b"a,b\n" + b"\n" * 4_000_000 + b"1,2\n", "x.csv")
    assert answer.status_code == 303
    assert held.turns > 10 and held.longest_s < LONGEST_S


def test_a_form_of_too_much_text_is_refused(client):
    fields = {"csrf_token": token(client), "user": "x\n" * 600_000}
    assert client.post("/templates/new", data=fields).status_code == 413
    parts = client.post("/templates/new", data=fields, content_type="multipart/form-data")
    assert parts.status_code == 413


def test_pasted_requests_may_be_longer(client):
    line = json.dumps({"messages": [{"role": "user", "content": "x" * 2_000_000}]})
    fields = {"csrf_token": token(client), "pasted": line}
    answer = client.post("/jobs/new", data=fields, content_type="multipart/form-data")
    assert answer.status_code == 303


@pytest.mark.parametrize("field", ["images", "user", "parameters"])
def test_texts_that_are_too_long_are_refused_before_they_are_read(client, field):
    texts = {"url": "/v1/chat/completions", "user": "u", "name": "n", field: "x\n" * 150_000}
    with Standstill() as held:
        answer = client.post("/templates/new", data={"csrf_token": token(client), **texts})
    assert answer.status_code == 400 and "onger than" in answer.text
    assert held.longest_s < LONGEST_S

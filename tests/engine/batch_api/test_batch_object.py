"""A batch as providers report it: their statuses, times, counts, errors, and what they wrap it in."""

import time

import msgspec
import pytest

from simple_batch.engine.batch_api.batch_client import MARKER_KEY, RemoteState
from simple_batch.engine.batch_api.batch_object import (
    epoch_ms,
    listed,
    remote_batch,
    state_of,
    unwrapped,
)
from simple_batch.engine.batch_api.call_refusals import refusal_of
from simple_batch.engine.batch_api.openai_lines import NOT_RUN, line_result
from simple_batch.engine.transport import Reply


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("validating", RemoteState.VALIDATING),
        ("VALIDATING", RemoteState.VALIDATING),
        ("in_progress", RemoteState.RUNNING),
        ("IN_PROGRESS", RemoteState.RUNNING),
        ("in-progress", RemoteState.RUNNING),
        ("In Progress", RemoteState.RUNNING),
        ("finalizing", RemoteState.RUNNING),
        ("in_queue", RemoteState.RUNNING),  # SiliconFlow
        ("PROGRESS", RemoteState.RUNNING),  # novita
        ("JOB_STATE_PENDING", RemoteState.RUNNING),
        ("BATCH_STATE_SUCCEEDED", RemoteState.COMPLETED),
        ("completed", RemoteState.COMPLETED),
        ("failed", RemoteState.FAILED),
        ("EXPIRED", RemoteState.EXPIRED),
        ("TIMEOUT_EXCEEDED", RemoteState.EXPIRED),
        ("cancelling", RemoteState.CANCELLING),
        ("canceling", RemoteState.CANCELLING),
        ("CANCELLATION_REQUESTED", RemoteState.CANCELLING),
        ("cancelled", RemoteState.CANCELLED),
        ("Canceled", RemoteState.CANCELLED),
        ("", RemoteState.UNKNOWN),
        ("hibernating", RemoteState.UNKNOWN),
    ],
)
def test_a_status_in_whatever_form(status, state):
    assert state_of(status) is state
    assert remote_batch({"id": "b", "status": status}).status == status


@pytest.mark.parametrize(
    ("given", "ms"),
    [
        (1_764_000_000, 1_764_000_000_000),
        (1_764_000_000.5, 1_764_000_000_500),
        (1_764_000_000_000, 1_764_000_000_000),
        ("1764000000", 1_764_000_000_000),
        ("2025-11-24T16:00:00Z", 1_764_000_000_000),
        ("2025-11-24T16:00:00.000+00:00", 1_764_000_000_000),
        ("2025-11-24T16:00:00", 1_764_000_000_000),
        ("2025-11-25T00:00:00+08:00", 1_764_000_000_000),
        (None, None), ("", None), (0, None), (-5, None), (True, None), ("soon", None), ({}, None),
        (1e300, None),
    ],
)  # fmt: skip
def test_a_time_in_whatever_form(given, ms):
    assert epoch_ms(given) == ms


def test_a_batch_within_something_else():
    batch = {"id": "b1", "status": "IN_PROGRESS"}
    for answer in (batch, {"job": batch}, {"job": batch, "warning": "w"}, {"data": batch}):
        assert unwrapped(answer) == batch
    for answer in ([batch], {"data": [batch]}, {"object": "list", "data": [{"job": batch}]}):
        assert listed(answer) == [batch]
    assert listed({"warnings": [], "found": [batch]}) == [batch]
    assert listed({"code": 20000, "data": {"object": "list", "data": [batch]}}) == [batch]
    for answer in (
        None,
        {},
        "text",
        {"id": ""},
        {"job": {}},
        {"warnings": []},
        {"data": {"x": []}},
    ):
        assert unwrapped(answer) == {} and listed(answer) is None
    for answer in (
        [],
        {"data": []},
        {"data": None},
        {"object": "list"},
        {"code": 1, "data": {"files": []}},
    ):
        assert unwrapped(answer) == {} and listed(answer) == []


def test_what_a_batch_has_not_is_none():
    batch = remote_batch({"id": "b", "status": "failed", "request_counts": None, "errors": None})
    assert (batch.total, batch.results, batch.errors, batch.marker) == (None, (), (), None)
    batch = remote_batch({"id": "b", "status": "completed", "output_file_id": "", "metadata": []})
    assert batch.results == () and batch.marker is None
    batch = remote_batch(
        {
            "id": "b",
            "status": "completed",
            "output_file_id": "o",
            "error_file_id": "o",
            "metadata": {MARKER_KEY: "part-7"},
            "total": 3,
            "completed": 2,
            "failed": "1",
        }
    )
    assert batch.results == ("o",) and batch.marker == "part-7"
    assert (batch.total, batch.succeeded, batch.failed) == (3, 2, 1)


LIMIT = (
    "Enqueued token limit reached for gpt-6 in organization org-x. Limit: 90,000 enqueued tokens."
)


@pytest.mark.parametrize(
    ("errors", "code", "line", "enqueued"),
    [
        ({"data": [{"code": "token_limit_exceeded", "message": LIMIT, "line": None}]}, "token_limit_exceeded", None, True),
        ({"data": [{"code": "EnqueuedTokenLimitExceeded", "message": "x"}]}, "EnqueuedTokenLimitExceeded", None, True),
        ([{"code": "too_many_enqueued_batches", "message": "wait"}], "too_many_enqueued_batches", None, True),
        ([{"message": LIMIT}], "", None, True),
        ([LIMIT], "", None, True),
        (LIMIT, "", None, True),
        ([{"code": "429", "message": "You have more than 10 open batches."}], "429", None, True),
        ([{"code": "x", "message": "Maximum number of concurrent batch jobs reached"}], "x", None, True),
        ([{"code": "1113", "message": "排队中的任务数超过上限"}], "1113", None, True),
        ([{"code": "too_many_tasks", "message": "The batch file contains too many requests. Maximum is 50000."}], "too_many_tasks", None, False),
        ({"data": [{"code": "invalid_json_line", "message": "no JSON", "line": 7}]}, "invalid_json_line", 7, False),
        ([{"code": "invalid_json_line", "message": "no JSON", "line_number": "7"}], "invalid_json_line", 7, False),
        ([{"code": "duplicate_custom_id", "message": "twice", "line": 0}], "duplicate_custom_id", None, False),
        ({"message": "The model does not exist", "code": "model_not_found"}, "model_not_found", None, False),
        ([{"code": "invalid_request", "message": "maximum context length is 8192 tokens", "line": 3}], "invalid_request", 3, False),
        ([{"code": "file_too_large", "message": "File size exceeds the maximum of 100 MB"}], "file_too_large", None, False),
    ],
)  # fmt: skip
def test_why_a_batch_was_refused(errors, code, line, enqueued):
    (error,) = remote_batch({"id": "b", "status": "failed", "errors": errors}).errors
    assert (error.code, error.line, error.enqueued) == (code, line, enqueued)
    assert error.message


def refused(status: int, body: bytes):
    return refusal_of(Reply(status, {}, body))


@pytest.mark.parametrize(
    ("status", "body", "enqueued"),
    [
        (429, b'{"error":{"message":"Enqueued token limit reached","code":"token_limit_exceeded"}}', True),
        (400, b'{"error":{"message":"Too many in-progress batches, the limit is 20"}}', True),
        (429, b'{"error":{"message":"Rate limit reached for requests per minute. Limit 3, used 3"}}', False),
        (400, b'{"error":{"message":"Unknown parameter: metadata"}}', False),
        (401, b'{"error":{"message":"maximum of concurrent jobs: wrong key"}}', False),
        (200, b'{"code":20041,"message":"too many pending batch jobs, limit 5","data":null}', True),
        (200, b'{"error":{"code":"1301","message":"unsafe"}}', False),
        (500, b"<html>oops</html>", False),
    ],
)  # fmt: skip
def test_a_refusal_in_whatever_form(status, body, enqueued):
    failed = refused(status, body)
    assert failed is not None and failed.enqueued is enqueued
    assert failed.finding.cause is not None


def test_texts_of_a_provider_can_be_stored_and_hold_no_key():
    key = "sk-planted-secret-0123456789"
    for text in ("a\x00b", "x" * 1_000_000, f"wrong key {key}", key * 200):
        error = {"code": text, "message": text}
        batch = remote_batch({"id": "b", "status": text, "errors": [error, text]})
        line = line_result(msgspec.json.encode({"custom_id": "r0", "error": error}))
        found = [batch.status, line.code, line.message]
        found += [part for one in batch.errors for part in (one.code, one.message)]
        for each in found:
            assert "\x00" not in each and key not in each and len(each) <= 2_000


def test_a_long_message_is_judged_soon():
    text = ("limit reached queue batch " * 10_000)[:100_000]
    began = time.process_time()
    for message in (text, "batch file " * 10_000, "a" * 100_000, "open " * 20_000):
        refused(400, msgspec.json.encode({"error": {"message": message, "code": message}}))
        remote_batch({"id": "b", "status": "failed", "errors": [{"message": message}]})
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("status", "body", "gone"),
    [
        (404, b'{"error":{"message":"No batch found with id b"}}', True),
        (410, b'{"detail":"Gone"}', True),
        (404, b"{}", False),
        (404, b"", False),
        (410, b"<html><body>Gone</body></html>", False),
        (400, b'{"error":{"message":"No such File object: file-1"}}', True),
        (400, b'{"error":{"message":"File file-1 has been deleted"}}', True),
        (400, '{"error":{"message":"文件不存在"}}'.encode(), True),
        (400, b'{"error":{"message":"Invalid file format"}}', False),
        (403, b'{"error":{"message":"You may not read this file"}}', False),
        (500, b"", False),
    ],
)
def test_what_is_gone(status, body, gone):
    assert refused(status, body).gone is gone
    of_file = refusal_of(Reply(status, {}, body), of_file=True)
    assert of_file.gone is (gone or status in (404, 410))


@pytest.mark.parametrize(
    "body",
    [
        b'{"id":"b","status":"failed","error":{"message":"x"},"errors":{"data":[]}}',
        b'{"job":{"id":"b","error":"x"}}',
        b'{"object":"list","data":[],"error":null}',
        b'{"code":20000,"message":"Ok","status":true,"data":{"id":"file-1"}}',
        b'{"message":"deleted"}',
        b"",
        b"[]",
    ],
)
def test_an_answer_is_no_refusal(body):
    assert refused(200, body) is None


@pytest.mark.parametrize(
    ("line", "status", "code"),
    [
        (b'{"custom_id":"r1","response":{"status_code":200,"body":{"choices":[]}},"error":null}', 200, ""),
        (b'{"custom_id":"r1","response":{"status_code":"200","body":{"choices":[]}}}', 200, ""),
        (b'{"custom_id":"r1","response":{"status_code":200,"body":"{\\"choices\\":[]}"}}', 200, ""),
        (b'{"custom_id":"r1","response":{"body":{"choices":[]}}}', 200, ""),
        (b'{"custom_id":"r1","response":{"status_code":0,"body":{"choices":[]}}}', 200, ""),
        (b'{"custom_id":"r1","response":{"status_code":400,"body":{"error":{"message":"x"}}}}', 400, ""),
        (b'{"custom_id":"r1","response":{"status_code":500,"body":null},"error":{"message":"x"}}', 500, ""),
        (b'{"custom_id":"r1","response":{"status_code":0,"request_id":"","body":""}}', None, NOT_RUN),
        (b'{"custom_id":"r1","response":{"status_code":0,"body":null},"error":null}', None, NOT_RUN),
        (b'{"custom_id":"r1","response":{"status_code":0,"body":{"error":{"code":"c","message":"x"}}}}', None, "c"),
        (b'{"custom_id":"r1","response":{"status_code":200,"body":null},"error":{"code":"c"}}', None, "c"),
        (b'{"custom_id":"r1","response":null,"error":{"code":"batch_expired","message":"x"}}', None, "batch_expired"),
        (b'{"custom_id":"r1","response":null,"error":"x"}', None, NOT_RUN),
        (b'{"custom_id":"r1","response":null,"error":null}', None, NOT_RUN),
        (b'{"custom_id":"r1","error":{"message":"x","type":"t"}}', None, "t"),
        (b'{"custom_id":"r1"}', None, NOT_RUN),
    ],
)  # fmt: skip
def test_a_line_in_whatever_form(line, status, code):
    result = line_result(line)
    assert result.line_id == "r1" and result.code == code
    assert (result.reply and result.reply.status) == status
    if result.reply is not None and status == 200:
        assert result.reply.body == b'{"choices":[]}'
    if result.reply is None:
        assert result.message


def test_half_an_emoji_spoils_no_line():
    half = b'"a\\ud83d"'
    for body in (b'{"choices":[%s]}' % half, b'"{\\"choices\\":[\\"\\ud83d\\"]}"'):
        line = b'{"custom_id":"r1","response":{"status_code":200,"body":%s},"error":null}' % body
        result = line_result(line)
        assert result.line_id == "r1" and result.reply.status == 200
        msgspec.json.decode(result.reply.body)
    result = line_result(b'{"custom_id":"r1","response":null,"error":{"message":%s}}' % half)
    assert (result.line_id, result.reply) == ("r1", None) and result.message


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"7", b'{"custom_id":', b"\xff\xfe", b"null"])
def test_what_is_no_line_says_so(line):
    result = line_result(line)
    assert (result.line_id, result.reply) == ("", None) and result.message

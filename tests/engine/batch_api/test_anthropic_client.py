"""Anthropic's Message Batches, with the emulator."""

import json

import msgspec
import pytest

from simple_batch.engine.batch_api import anthropic_batches
from simple_batch.engine.batch_api.anthropic_batches import line_result
from simple_batch.engine.batch_api.batch_client import (
    BatchCallFailed,
    RemoteState,
    ResultsCutOff,
)
from simple_batch.engine.transport import TransportFailure

from ...emulators import batch_base as base
from ...emulators.anthropic_batches import AnthropicBatches
from .openai_client import CHAT, ended, results
from .other_clients import body_of, client_of, part_of, sent

A = "anthropic"


@pytest.fixture
def emulator():
    with AnthropicBatches() as emulator:
        yield emulator


@pytest.fixture
def client(emulator):
    return client_of(emulator, A)


def test_a_batch_from_creation_to_results(client, emulator, tmp_path):
    part = part_of(client, A, tmp_path, ["one", "two", "fail always", "bad line"])
    batch = sent(client, part)
    assert (batch.total, batch.succeeded, batch.marker) == (4, None, "part-1")
    ids = [json.loads(line)["custom_id"] for line in emulator.batches[batch.id].file.lines()]
    assert ids == ["part-1_r0", "part-1_r1", "part-1_r2", "part-1_r3"]
    batch = ended(client, batch)
    assert (batch.state, batch.succeeded, batch.failed) == (RemoteState.COMPLETED, 2, 2)
    found = {one.line_id: one.reply for one in results(client, batch, tmp_path)}
    statuses = {key: reply.status for key, reply in found.items()}
    assert statuses == {"r0": 200, "r1": 200, "r2": 500, "r3": 400}
    answer = json.loads(found["r1"].body)
    assert answer["object"] == "chat.completion" and answer["service_tier"] == "batch"
    assert "two" in answer["choices"][0]["message"]["content"]
    assert json.loads(found["r3"].body)["error"]["type"] == "invalid_request_error"
    client.delete(batch)
    client.delete(batch)
    assert not emulator.batches


def test_requests_in_the_apis_own_form_and_in_openais(client):
    own = b'{"model":"claude-haiku-4-5","max_tokens":9,"stream":true,\n"messages":[]}'
    line = json.loads(client.line("r0", "/v1/messages", own))
    assert line["params"] == {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": []}
    chat = body_of(A, "hello", stop="x", response_format={"type": "text"})
    params = json.loads(client.line("r0", CHAT, chat))["params"]
    assert params["stop_sequences"] == ["x"] and "response_format" not in params
    with pytest.raises(TransportFailure):
        client.line("r0", CHAT, body_of(A, "hello", logprobs=True))
    with pytest.raises(TransportFailure):
        client.line("r0", "/v1/embeddings", b"{}")


@pytest.mark.parametrize(
    ("fault", "error"),
    [(base.CREATE_500_MADE, BatchCallFailed), (base.CREATE_LOST, TransportFailure)],
)
def test_a_batch_whose_creation_was_not_answered_is_known_by_its_ids(
    client, emulator, tmp_path, fault, error
):
    other = sent(client, part_of(client, A, tmp_path, ["a", "b"], marker="part-2"))
    sent(client, part_of(client, A, tmp_path, ["another length"], marker="part-3"))
    part = part_of(client, A, tmp_path, ["c", "d"])
    emulator.faults.arm(fault)
    with pytest.raises(error):
        sent(client, part)
    candidates = client.find(part, None)
    assert [batch.certain for batch in candidates] == [False, False]
    for batch in candidates:
        ended(client, batch)
    (mine,) = client.find(part, None)
    assert mine.certain and mine.marker == "part-1" and mine.id != other.id
    assert client.find(msgspec.structs.replace(part, since=2**42), None) == []


def test_all_pages_are_looked_at(client, emulator, tmp_path, monkeypatch):
    monkeypatch.setattr(anthropic_batches, "PAGE", 2)
    for number in range(5):
        sent(client, part_of(client, A, tmp_path, [f"n {number}"], marker=f"p-{number}"))
    part = part_of(client, A, tmp_path, ["n 0"], marker="p-0")
    assert len(client.find(part, None)) == 5


def test_what_was_finished_is_read_from_a_batch_that_was_cut_short(client, emulator, tmp_path):
    emulator.polls_to_finish = None
    texts = [f"text {number}" for number in range(4)]
    batch = sent(client, part_of(client, A, tmp_path, texts))
    emulator.faults.arm(base.UNKNOWN_STATUS)
    assert client.retrieve(batch.id).state is RemoteState.UNKNOWN
    client.cancel(batch.id)
    batch = ended(client, batch)
    assert batch.state is RemoteState.CANCELLED
    codes = sorted(one.code for one in results(client, batch, tmp_path))
    assert codes == ["", "", "canceled", "canceled"]
    client.cancel(batch.id)
    late = sent(client, part_of(client, A, tmp_path, ["late 1", "late 2"], marker="part-2"))
    emulator.clock.advance(25 * 3600)
    assert ended(client, late).state is RemoteState.EXPIRED


def test_results_that_are_cut_off_gone_or_damaged(client, emulator, tmp_path):
    batch = sent(client, part_of(client, A, tmp_path, ["a", "b"]))
    emulator.faults.arm(base.BROKEN_LINE)
    emulator.faults.arm(base.FOREIGN_LINE)
    batch = ended(client, batch)
    emulator.faults.arm(base.RESULT_CUT)
    with pytest.raises(ResultsCutOff):
        client.download(batch, tmp_path)
    emulator.faults.arm(base.RESULT_GONE)
    with pytest.raises(BatchCallFailed) as failed:
        client.download(batch, tmp_path)
    assert failed.value.gone
    ids = [one.line_id for one in results(client, batch, tmp_path)]
    assert "foreign" in ids and "" in ids


def test_room_and_keys(client, emulator, tmp_path):
    part = part_of(client, A, tmp_path, ["a"])
    emulator.faults.arm(base.KEY_REVOKED)
    with pytest.raises(BatchCallFailed) as failed:
        sent(client, part)
    assert failed.value.finding.http_status == 401
    emulator.faults.arm(base.ENQUEUED_LIMIT)
    with pytest.raises(BatchCallFailed) as failed:
        sent(client, part)
    assert failed.value.enqueued


def test_the_key_goes_as_the_api_has_it_whatever_the_connection_was_made_for(emulator, tmp_path):
    endpoint = client_of(emulator, A)  # api_format anthropic
    assert sent(endpoint, part_of(endpoint, A, tmp_path, ["a"])).id
    compatible = msgspec.structs.replace(
        anthropic_batches.Endpoint(1, "a", f"{emulator.url}/v1", "k", None), provider=A
    )
    assert anthropic_batches._opened(compatible).auth == "x-api-key"


def test_limits_leave_room_for_markers(client):
    assert client.limits.requests == 100_000
    assert client.limits.bytes + 100_000 * 41 < 256_000_000


def test_a_body_is_as_long_as_announced(client, tmp_path):
    part = part_of(client, A, tmp_path, ["a", "ü" * 70_000, "c"])
    body = anthropic_batches.InlineRequests(
        b'{"requests":[', part.path, 3, b'{"custom_id":"', b"m_"
    )
    pieces = list(body)
    assert len(body) == sum(map(len, pieces)) and len(pieces) == 2
    made = json.loads(b"".join(pieces))
    assert [one["custom_id"] for one in made["requests"]] == ["m_r0", "m_r1", "m_r2"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, 529),
        ({"type": "rate_limit_error", "message": "m"}, 429),
        ({"type": "error", "error": {"type": "new_error", "message": "m"}}, 500),
    ],
)
def test_errors_have_the_status_of_a_call(error, status):
    line = {"custom_id": "p_r1", "result": {"type": "errored", "error": error}}
    found = line_result(json.dumps(line).encode())
    assert (found.line_id, found.reply.status) == ("r1", status)
    assert json.loads(found.reply.body)["error"]["message"] == "m"

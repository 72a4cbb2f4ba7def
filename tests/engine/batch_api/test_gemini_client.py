"""Gemini's batches, with the emulator."""

import json

import msgspec
import pytest

from simple_batch.engine.batch_api import gemini_batches
from simple_batch.engine.batch_api.batch_client import (
    BatchCallFailed,
    PartInput,
    RemoteState,
    ResultsCutOff,
)
from simple_batch.engine.batch_api.gemini_batches import line_result
from simple_batch.engine.transport import TransportFailure

from ...emulators import batch_base as base
from ...emulators.gemini_batches import GeminiBatches
from .openai_client import CHAT, ended, results
from .other_clients import body_of, client_of, part_of, sent

G = "gemini"


@pytest.fixture
def emulator():
    with GeminiBatches() as emulator:
        yield emulator


@pytest.fixture
def client(emulator):
    return client_of(emulator, G)


@pytest.mark.parametrize("prefix", ["BATCH_STATE_", "JOB_STATE_"])
def test_a_batch_from_upload_to_results(client, emulator, tmp_path, prefix):
    emulator.prefix, emulator.partly = prefix, True
    part = part_of(client, G, tmp_path, ["one", "two", "fail always", "limit once"])
    batch = sent(client, part)
    assert (batch.state, batch.total, batch.marker) == (RemoteState.RUNNING, 4, "part-1")
    batch = ended(client, batch)
    assert batch.status == f"{prefix}PARTIALLY_SUCCEEDED"
    assert (batch.state, batch.succeeded, batch.failed) == (RemoteState.COMPLETED, 2, 2)
    found = {one.line_id: one.reply for one in results(client, batch, tmp_path)}
    statuses = {key: reply.status for key, reply in found.items()}
    assert statuses == {"r0": 200, "r1": 200, "r2": 500, "r3": 429}
    answer = json.loads(found["r1"].body)
    assert "two" in answer["choices"][0]["message"]["content"] and answer["usage"]["total_tokens"]
    client.delete(batch)
    client.delete(batch)
    assert not emulator.files and not emulator.batches


@pytest.mark.parametrize(
    ("fault", "error"),
    [(base.CREATE_500_MADE, BatchCallFailed), (base.CREATE_LOST, TransportFailure)],
)
def test_a_batch_whose_creation_was_not_answered_is_found(
    client, emulator, tmp_path, monkeypatch, fault, error
):
    monkeypatch.setattr(gemini_batches, "PAGE", 2)
    for number in range(3):
        sent(client, part_of(client, G, tmp_path, [f"n {number}"], marker=f"part-1{number}"))
    part = part_of(client, G, tmp_path, ["y"])
    file_id = client.upload(part)
    assert client.find(part, file_id) == []
    emulator.faults.arm(fault)
    with pytest.raises(error):
        client.create(part, file_id)
    sent(client, part_of(client, G, tmp_path, ["z"], marker="part-9"))
    sent(client, part_of(client, G, tmp_path, ["w"], marker="part-8"))
    assert [batch.marker for batch in client.find(part, file_id)] == ["part-1"]


def test_half_an_upload_is_not_taken(client, emulator, tmp_path):
    part = part_of(client, G, tmp_path, ["x"])
    emulator.faults.arm(base.UPLOAD_CUT)
    with pytest.raises(TransportFailure):
        client.upload(part)
    assert client.find_upload(part) is None
    emulator.faults.arm(base.UPLOAD_LOST)
    with pytest.raises(TransportFailure):
        client.upload(part)
    found = client.find_upload(part)
    assert found and found.removeprefix("files/") in emulator.files
    part.path.write_bytes(part.path.read_bytes() * 2)
    assert client.find_upload(part) is None and not emulator.files


def test_what_was_finished_is_read_from_a_batch_that_was_cut_short(client, emulator, tmp_path):
    emulator.polls_to_finish = None
    texts = [f"text {number}" for number in range(4)]
    batch = sent(client, part_of(client, G, tmp_path, texts))
    emulator.faults.arm(base.UNKNOWN_STATUS)
    assert client.retrieve(batch.id).state is RemoteState.UNKNOWN
    client.cancel(batch.id)
    batch = ended(client, batch)
    assert batch.state is RemoteState.CANCELLED
    assert len(results(client, batch, tmp_path)) == 2
    client.cancel(batch.id)
    emulator.keeps_partial = False
    late = sent(client, part_of(client, G, tmp_path, ["late 1", "late 2"], marker="part-2"))
    emulator.clock.advance(49 * 3600)
    late = ended(client, late)
    assert late.state is RemoteState.EXPIRED and client.download(late, tmp_path) == []


def test_results_that_are_cut_off_gone_or_damaged(client, emulator, tmp_path):
    batch = sent(client, part_of(client, G, tmp_path, ["a", "b"]))
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


def test_refusals(client, emulator, tmp_path):
    part = part_of(client, G, tmp_path, ["a"])
    file_id = client.upload(part)
    emulator.faults.arm(base.KEY_REVOKED)
    with pytest.raises(BatchCallFailed) as failed:
        client.create(part, file_id)
    assert failed.value.finding.http_status == 403
    emulator.faults.arm(base.FAIL_LINE)
    batch = ended(client, client.create(part, file_id))
    assert batch.state is RemoteState.FAILED and batch.errors[0].line == 1
    with pytest.raises(BatchCallFailed):
        client.create(msgspec.structs.replace(part, model="gemini-0"), file_id)


def test_a_line_holds_the_request_in_geminis_form(client):
    line = json.loads(client.line("r7", CHAT, body_of(G, "hello", temperature=0.5)))
    assert line == {
        "key": "r7",
        "request": {
            "contents": [{"role": "user", "parts": [{"text": "hello"}]}],
            "generation_config": {"temperature": 0.5},
        },
    }


@pytest.mark.parametrize(
    ("line", "status", "code"),
    [
        ({"error": {"code": 8, "message": "m"}}, 429, ""),
        ({"error": {"code": 503, "message": "m"}}, 503, ""),
        ({"error": {"code": 99}}, 500, ""),
        ({"error": {"code": 1, "message": "m"}}, None, "cancelled"),
        ({}, None, "not_run"),
    ],
)
def test_errors_of_lines(line, status, code):
    found = line_result(json.dumps({"key": "r1", **line}).encode())
    assert (found.reply and found.reply.status, found.code) == (status, code)


def test_embeddings(client, emulator, tmp_path):
    url, model = "/v1/embeddings", "gemini-embedding-001"
    path = tmp_path / "in.jsonl"
    bodies = [{"model": model, "input": text, "dimensions": 3} for text in ("a b", ["c"])]
    lines = [
        client.line(f"r{place}", url, json.dumps(body).encode())
        for place, body in enumerate(bodies)
    ]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    batch = ended(client, sent(client, PartInput("part-1", url, model, path, 2)))
    first, second = results(client, batch, tmp_path)
    answer = json.loads(first.reply.body)
    assert answer["data"][0]["embedding"] == [0.5, 0.5, 0.5] and second.reply.status == 200
    assert answer["usage"] == {"prompt_tokens": 2, "total_tokens": 2}
    for given in (["a", "b"], [1, 2], None):
        with pytest.raises(TransportFailure, match="input"):
            client.line("r0", url, json.dumps({"model": model, "input": given}).encode())

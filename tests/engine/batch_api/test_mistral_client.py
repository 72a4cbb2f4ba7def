"""Mistral's batch jobs, with the emulator."""

import pytest

from simple_batch.engine.batch_api.batch_client import BatchCallFailed, RemoteState
from simple_batch.engine.transport import TransportFailure

from ...emulators import batch_base as base
from ...emulators.mistral_batches import MistralBatches
from .openai_client import ended, results
from .other_clients import body_of, client_of, part_of, sent

M = "mistral"


@pytest.fixture
def emulator():
    with MistralBatches() as emulator:
        yield emulator


@pytest.fixture
def client(emulator):
    return client_of(emulator, M)


def test_a_batch_from_upload_to_results(client, emulator, tmp_path):
    part = part_of(client, M, tmp_path, ["one", "two", "fail always"])
    batch = sent(client, part)
    assert (batch.state, batch.marker, batch.total) == (RemoteState.RUNNING, "part-1", None)
    batch = ended(client, batch)
    assert (batch.total, batch.succeeded, batch.failed) == (3, 2, 1)
    found = {one.line_id: one.reply for one in results(client, batch, tmp_path)}
    assert {key: reply.status for key, reply in found.items()} == {"r0": 200, "r1": 200, "r2": 500}
    assert b"You said: two" in found["r1"].body and b"Internal error" in found["r2"].body
    client.delete(batch)
    assert not emulator.files


@pytest.mark.parametrize(
    ("fault", "error"),
    [(base.CREATE_500_MADE, BatchCallFailed), (base.CREATE_LOST, TransportFailure)],
)
def test_a_batch_whose_creation_was_not_answered_is_found(client, emulator, tmp_path, fault, error):
    sent(client, part_of(client, M, tmp_path, ["x"], marker="part-10"))
    part = part_of(client, M, tmp_path, ["y"])
    file_id = client.upload(part)
    assert client.find(part, file_id) == []
    emulator.faults.arm(fault)
    with pytest.raises(error):
        client.create(part, file_id)
    assert [batch.marker for batch in client.find(part, file_id)] == ["part-1"]


def test_all_pages_of_jobs_and_files_are_looked_at(client, emulator, tmp_path, monkeypatch):
    monkeypatch.setattr("simple_batch.engine.batch_api.mistral_batches.PAGE", 2)
    for number in range(5):
        sent(client, part_of(client, M, tmp_path, [f"n {number}"], marker=f"p-{number}"))
    part = part_of(client, M, tmp_path, ["n 0"], marker="p-0")
    assert len(client.find(part, None)) == 1
    assert client.find_upload(part) is not None
    assert client.find_upload(part_of(client, M, tmp_path, ["z"], marker="p-9")) is None


def test_half_an_upload_is_not_taken(client, emulator, tmp_path):
    part = part_of(client, M, tmp_path, ["x"])
    emulator.faults.arm(base.UPLOAD_CUT)
    with pytest.raises(TransportFailure):
        client.upload(part)
    assert client.find_upload(part) is None
    emulator.faults.arm(base.UPLOAD_LOST)
    with pytest.raises(TransportFailure):
        client.upload(part)
    assert client.find_upload(part) in emulator.files
    part.path.write_bytes(part.path.read_bytes() * 2)
    assert client.find_upload(part) is None and not emulator.files


def test_statuses_and_what_is_kept(client, emulator, tmp_path):
    emulator.polls_to_finish = None
    texts = [f"text {number}" for number in range(4)]
    batch = sent(client, part_of(client, M, tmp_path, texts))
    emulator.faults.arm(base.UNKNOWN_STATUS)
    unknown = client.retrieve(batch.id)
    assert (unknown.state, unknown.status) == (RemoteState.UNKNOWN, "REBALANCING")
    client.cancel(batch.id)
    batch = ended(client, batch)
    assert batch.state is RemoteState.CANCELLED
    assert len(results(client, batch, tmp_path)) == 2
    client.cancel(batch.id)
    late = sent(client, part_of(client, M, tmp_path, ["late 1", "late 2"], marker="part-2"))
    emulator.clock.advance(25 * 3600)
    assert ended(client, late).state is RemoteState.EXPIRED


def test_a_job_that_is_refused_names_its_line(client, emulator, tmp_path):
    emulator.faults.arm(base.FAIL_LINE)
    batch = ended(client, sent(client, part_of(client, M, tmp_path, ["a", "b"])))
    assert batch.state is RemoteState.FAILED and batch.errors[0].line == 1


def test_room_and_keys(client, emulator, tmp_path):
    part = part_of(client, M, tmp_path, ["a"])
    file_id = client.upload(part)
    emulator.faults.arm(base.KEY_REVOKED)
    with pytest.raises(BatchCallFailed) as failed:
        client.create(part, file_id)
    assert failed.value.finding.http_status == 401
    emulator.faults.arm(base.RESULT_GONE)
    batch = ended(client, client.create(part, file_id))
    with pytest.raises(BatchCallFailed) as failed:
        client.download(batch, tmp_path)
    assert failed.value.gone


def test_embeddings(client, tmp_path):
    url = "/v1/embeddings"
    assert url in client.limits.urls
    line = client.line("r0", url, b'{"model":"mistral-embed","input":["a","b"]}')
    assert line == b'{"custom_id":"r0","body":{"model":"mistral-embed","input":["a","b"]}}'
    assert b"\n" not in client.line("r0", url, body_of(M, "a").replace(b",", b",\n"))

"""OpenRouter's batches, with the emulator."""

import json

import pytest

from simple_batch.engine.batch_api.batch_client import BatchCallFailed, RemoteState
from simple_batch.engine.transport import TransportFailure

from ...emulators import batch_base as base
from ...emulators.openrouter_batches import OpenRouterBatches
from .openai_client import CHAT, ended, results
from .other_clients import body_of, client_of, part_of, sent

R = "openrouter"


@pytest.fixture
def emulator():
    with OpenRouterBatches() as emulator:
        yield emulator


@pytest.fixture
def client(emulator):
    return client_of(emulator, R)


def test_a_batch_from_creation_to_results_in_pages(client, emulator, tmp_path):
    texts = [*(f"text {number}" for number in range(6)), "fail always"]
    batch = sent(client, part_of(client, R, tmp_path, texts))
    assert (batch.status, batch.marker) == ("validating", "part-1")
    batch = ended(client, batch)
    assert (batch.total, batch.succeeded, batch.failed) == (7, 6, 1)
    found = {one.line_id: one for one in results(client, batch, tmp_path)}
    assert sorted(found) == [f"r{number}" for number in range(7)]
    assert b"re: text 5" in found["r5"].reply.body and found["r6"].reply.status == 500
    assert emulator.calls["get_results"] == 3
    client.delete(batch)
    client.delete(batch)
    assert not emulator.batches


@pytest.mark.parametrize(
    ("fault", "error"),
    [(base.CREATE_500_MADE, BatchCallFailed), (base.CREATE_LOST, TransportFailure)],
)
def test_a_batch_whose_creation_was_not_answered_is_known_by_its_ids(
    client, emulator, tmp_path, fault, error
):
    sent(client, part_of(client, R, tmp_path, ["a", "b"], marker="part-2"))
    part = part_of(client, R, tmp_path, ["c", "d"])
    emulator.faults.arm(fault)
    with pytest.raises(error):
        sent(client, part)
    candidates = client.find(part, None)
    assert [batch.certain for batch in candidates] == [False, False]
    for batch in candidates:
        ended(client, batch)
    (mine,) = client.find(part, None)
    assert mine.certain and mine.marker == "part-1"


def test_a_batch_cannot_be_cancelled_and_may_expire(client, emulator, tmp_path):
    emulator.polls_to_finish = None
    batch = sent(client, part_of(client, R, tmp_path, ["a", "b"]))
    emulator.faults.arm(base.UNKNOWN_STATUS)
    assert client.retrieve(batch.id).state is RemoteState.UNKNOWN
    client.cancel(batch.id)
    client.delete(batch)
    assert client.retrieve(batch.id).state is RemoteState.RUNNING
    emulator.clock.advance(25 * 3600)
    batch = ended(client, batch)
    assert batch.state is RemoteState.EXPIRED
    codes = sorted(one.code for one in results(client, batch, tmp_path))
    assert codes == ["", "batch_expired"]


def test_images_by_their_address_only(client):
    def body(url: str) -> bytes:
        part = {"type": "image_url", "image_url": {"url": url}}
        return body_of(R, "x", messages=[{"role": "user", "content": [part]}])

    assert json.loads(client.line("r0", CHAT, body("https://example.org/a.png")))
    with pytest.raises(TransportFailure, match="address"):
        client.line("r0", CHAT, body("data:image/png;base64,AAAA"))


def test_refusals(client, emulator, tmp_path):
    part = part_of(client, R, tmp_path, ["a"])
    emulator.faults.arm(base.KEY_REVOKED)
    with pytest.raises(BatchCallFailed) as failed:
        sent(client, part)
    assert failed.value.finding.http_status == 401
    emulator.faults.arm(base.ENQUEUED_LIMIT)
    with pytest.raises(BatchCallFailed) as failed:
        sent(client, part)
    assert failed.value.enqueued
    emulator.faults.arm(base.FAIL_BATCH)
    batch = ended(client, sent(client, part))
    assert (batch.state, batch.results) == (RemoteState.FAILED, ())
    assert batch.errors[0].message == "The batch failed."
    batch = ended(client, sent(client, part))
    emulator.faults.arm(base.RESULT_GONE)
    with pytest.raises(BatchCallFailed) as failed:
        client.download(batch, tmp_path)
    assert failed.value.gone

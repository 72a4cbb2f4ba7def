"""The emulator of Anthropic's Message Batches, with Anthropic's own client against it."""

import anthropic
import pytest
import requests

from . import batch_base as base
from .anthropic import KEY
from .anthropic_batches import AnthropicBatches

HAIKU = "claude-haiku-4-5"


@pytest.fixture
def provider():
    with AnthropicBatches() as provider:
        yield provider


@pytest.fixture
def batches(provider):
    client = anthropic.Anthropic(api_key=KEY, base_url=provider.url, max_retries=0)
    yield client.messages.batches


def asked(custom_id: str, words: str, **params) -> dict:
    messages = [{"role": "user", "content": words}]
    return {
        "custom_id": custom_id,
        "params": {"model": HAIKU, "max_tokens": 100, "messages": messages, **params},
    }


def ended(batches, batch):
    for _ in range(3):
        batch = batches.retrieve(batch.id)
    return batch


def test_the_client_runs_a_batch(provider, batches):
    batch = batches.create(requests=[asked(f"r{n}", f"words {n}") for n in range(4)])
    assert (batch.processing_status, batch.request_counts.processing) == ("in_progress", 4)
    running = batches.retrieve(batch.id)
    assert (running.request_counts.succeeded, running.results_url) == (0, None)
    batch = ended(batches, batch)
    assert (batch.processing_status, batch.request_counts.succeeded) == ("ended", 4)
    found = list(batches.results(batch.id))
    assert [each.custom_id for each in found] == ["r1", "r3", "r0", "r2"]  # any order
    assert found[0].result.message.content[0].text == "You said: words 1"
    assert found[0].result.message.usage.service_tier == "batch"
    assert (provider.billed.total(), provider.billed_twice()) == (4, [])
    assert batches.delete(batch.id).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError):
        batches.retrieve(batch.id)


def test_lines_that_fail_are_told_at_the_end_and_not_billed(provider, batches):
    lines = [asked("a", "one"), asked("b", "fail always"), asked("c", "x", top_k=1, seed=1)]
    lines.append(asked("d", "x", stream=True))
    batch = ended(batches, batches.create(requests=lines))
    found = {each.custom_id: each.result for each in batches.results(batch.id)}
    assert {name: result.type for name, result in found.items()} == {
        "a": "succeeded", "b": "errored", "c": "errored", "d": "errored"
    }  # fmt: skip
    assert found["c"].error.error.type == "invalid_request_error"
    assert (batch.request_counts.errored, provider.billed.total()) == (3, 1)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "at least 1 item"),
        ([asked("a" * 65, "x")], "requests.0.custom_id: String should have at most 64 characters"),
        ([asked("a b", "x")], "String should match pattern"),
        ([asked("a", "x"), asked("a", "y")], "requests.1.custom_id"),
    ],
)
def test_what_creation_refuses(batches, lines, words):
    with pytest.raises(anthropic.BadRequestError, match=words):
        batches.create(requests=lines)


def test_parameters_without_a_place_in_a_batch_can_be_refused_at_once(provider, batches):
    provider.refuses_at_once = True
    for params in ({"stream": True}, {"max_tokens": 0}):
        with pytest.raises(anthropic.BadRequestError, match=r"requests\.1\.params"):
            batches.create(requests=[asked("a", "x"), asked("b", "y", **params)])


def test_cancelled_and_expired_requests(provider, batches):
    provider.polls_to_finish = None
    first, second = (
        batches.create(requests=[asked(str(n), f"{part} {n}") for n in range(4)]) for part in "ab"
    )
    assert batches.cancel(first.id).processing_status == "canceling"
    counts = ended(batches, first).request_counts
    assert (counts.succeeded, counts.canceled) == (2, 2)
    with pytest.raises(anthropic.BadRequestError):
        batches.delete(second.id)
    provider.clock.advance(86_400)
    counts = ended(batches, second).request_counts
    assert (counts.succeeded, counts.expired) == (2, 2)
    assert sorted(each.result.type for each in batches.results(second.id))[0] == "expired"
    provider.clock.advance(28 * 86_400)
    archived = batches.retrieve(second.id)
    assert archived.archived_at is not None
    with pytest.raises(anthropic.AnthropicError):
        batches.results(second.id)


def test_the_list_has_pages(batches):
    ids = [batches.create(requests=[asked("a", f"words {n}")]).id for n in range(5)]
    assert [batch.id for batch in batches.list(limit=2)] == ids[::-1]
    assert [batch.id for batch in batches.list(limit=2, before_id=ids[0]).data] == [ids[2], ids[1]]


def test_faults_and_the_key(provider, batches):
    provider.faults.arm(base.CREATE_500_MADE)
    with pytest.raises(anthropic.InternalServerError):
        batches.create(requests=[asked("a", "x")])
    assert len(batches.list().data) == 1
    provider.faults.arm(base.ENQUEUED_LIMIT)
    with pytest.raises(anthropic.RateLimitError):
        batches.create(requests=[asked("a", "y")])
    provider.faults.arm(base.UNKNOWN_STATUS)
    assert batches.retrieve(batches.list().data[0].id).processing_status == "rebalancing"
    assert requests.get(f"{provider.url}/v1/messages/batches", timeout=10).status_code == 401

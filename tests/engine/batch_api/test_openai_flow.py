"""The client of OpenAI's batch API against a strict emulator of each provider: from the input to the
results."""

from dataclasses import replace

import msgspec
import pytest

from simple_batch.core.domain import Defaults, Endpoint, Verdict
from simple_batch.engine.batch_api import profiles
from simple_batch.engine.batch_api.batch_client import (
    MARKER_KEY,
    BatchCallFailed,
    PartInput,
    RemoteState,
)
from simple_batch.engine.batch_api.opening import open_client

from ...emulators.batch_manners import MANNERS
from ...emulators.openai_batches import KEY, OpenAIBatches
from .openai_client import CHAT, SETTINGS, body_of, client_of, created, ended, part_of, results


@pytest.mark.parametrize("provider", MANNERS)
def test_a_batch_from_upload_to_results(provider, tmp_path):
    with OpenAIBatches(provider, polls_to_finish=2) as emulator:
        client = client_of(emulator, provider)
        part = part_of(client, tmp_path, ["one", "bad line", "three words here"])
        assert client.find_upload(part) is None
        file_id = client.upload(part)
        assert client.find_upload(part) == file_id
        assert client.find(part, file_id) == []
        made = client.create(part, file_id)
        assert (made.state.ended, made.total, made.input_file) == (False, None, file_id)
        assert [batch.id for batch in client.find(part, file_id)] == [made.id]
        assert client.retrieve(made.id).state is RemoteState.RUNNING
        batch = ended(client, made)
        assert batch.state is RemoteState.COMPLETED and batch.created_at == made.created_at
        if not emulator.manner.upper:
            assert (batch.total, batch.succeeded, batch.failed) == (3, 2, 1)
        found = {result.line_id: result for result in results(client, batch, tmp_path)}
        statuses = {name: result.reply and result.reply.status for name, result in found.items()}
        refused = None if emulator.manner.bare_answers else 400  # what is bare has no status
        assert statuses == {"r0": 200, "r1": refused, "r2": 200}
        assert b"re: three words here" in found["r2"].reply.body
        part.path.unlink()
        assert [one.id for one in client.find(part, None)] == [made.id]
        assert file_id in emulator.files  # also where the provider would remove it
        client.delete(batch)
        client.delete(batch)  # what is gone is no error
        assert emulator.counts()["files"] == 0
        assert (emulator.counts()["billed"], emulator.tokens) == (2, [4, 6])
        client.close()


def test_the_emulator_of_each_provider_knows_the_limits_of_its_profile():
    for provider, manner in MANNERS.items():
        profile = profiles.profile_of(provider)
        assert profile is not None and profile.kind == "openai"
        assert set(profile.endpoints) <= set(manner.urls), provider
        assert (profile.max_bytes or 0) <= manner.max_bytes, provider
        assert (profile.max_requests or 0) <= manner.max_lines, provider
        if profile.send_window:
            least, most = manner.windows
            assert profile.min_window_h in (None, least) and profile.max_window_h in (None, most)


@pytest.mark.parametrize(
    ("provider", "within_h", "window"),
    [
        ("openai", 2.0, "24h"),
        ("moonshot", None, "24h"),
        ("moonshot", 2.0, "12h"),
        ("moonshot", 30.5, "30h"),
        ("moonshot", 1_000.0, "168h"),
        ("groq", 2.0, "24h"),
        ("zhipu", 2.0, None),
        ("together", 2.0, None),
    ],
)
def test_the_window_follows_the_deadline_as_far_as_the_provider_lets_it(
    provider, within_h, window, tmp_path
):
    with OpenAIBatches(provider) as emulator:
        client = client_of(emulator, provider)
        batch = created(client, tmp_path, ["one"], within_h=within_h)
        assert emulator.batches[batch.id].fields.get("completion_window") == window


def test_a_line_holds_the_body_as_it_is_on_one_line(tmp_path):
    with OpenAIBatches() as emulator:
        client = client_of(emulator)
        line = client.line("r1", CHAT, b'{\n  "model": "m",\r\n  "n": 1.50\n}')
        assert b"\n" not in line and b'"n":1.50' in line
        assert client.line("r1", CHAT, b'{"a": 1}').endswith(b'"body":{"a": 1}}')


def test_lists_are_read_page_by_page_and_no_further_than_needed(tmp_path):
    with OpenAIBatches() as emulator:
        client = client_of(emulator)
        first = created(client, tmp_path, ["one"], marker="part-first")
        fields = {**emulator.batches[first.id].fields, "metadata": {MARKER_KEY: "part-other"}}
        file = emulator.files[first.input_file]
        for _ in range(120):
            emulator.create(file, fields, "batch_")
        part = part_of(client, tmp_path, ["one"], marker="part-first")
        assert [batch.id for batch in client.find(part, None)] == [first.id]
        assert len(client.find(part_of(client, tmp_path, [], marker="part-other"), None)) == 120
        for batch in emulator.batches.values():
            batch.created_at -= 90_000
        before = emulator.calls["get_batches"]
        assert client.find(msgspec.structs.replace(part, since=first.created_at), None) == []
        assert emulator.calls["get_batches"] == before + 1


def test_an_endpoint_that_does_not_know_a_field_gets_a_batch_without_it(tmp_path):
    with OpenAIBatches() as emulator:
        endpoint = Endpoint(
            1, "a", emulator.base_url, KEY, Defaults("m-1"), provider="custom", batch_api="openai"
        )
        fields = ("input_file_id", "endpoint")
        emulator.manner = replace(MANNERS["openai"], create=fields, required=fields)
        client = open_client(endpoint, SETTINGS)
        part = part_of(client, tmp_path, ["one"])
        file_id = emulator.store([part.path.read_bytes()], "part-1.jsonl", "batch").id
        batch = client.create(part, file_id)
        assert emulator.batches[batch.id].fields.keys() == {"input_file_id", "endpoint"}
        assert [one.id for one in client.find(part, file_id)] == [batch.id]
        assert [one.id for one in client.find(part, None)] == [batch.id]  # by the file's name


def test_a_part_is_not_taken_for_another_whose_name_begins_alike(tmp_path):
    with OpenAIBatches("together") as emulator:
        client = client_of(emulator, "together")
        created(client, tmp_path, ["one"], marker="part-12")
        part = part_of(client, tmp_path, ["one"], marker="part-1")
        assert client.find_upload(part) is None and client.find(part, None) == []


def test_the_limits_are_those_of_the_provider(tmp_path):
    with OpenAIBatches() as emulator:
        client = client_of(emulator, "openai")
        assert client.limits.requests == 50_000 and CHAT in client.limits.urls
        assert client.limits.inputs == 50_000
        assert body_of("x") in client.line("r0", CHAT, body_of("x"))


def test_a_revoked_key_stops(tmp_path):
    with OpenAIBatches() as emulator:
        client = client_of(emulator, key="sk-another-key-123456")
        with pytest.raises(BatchCallFailed) as failed:
            client.retrieve("batch_1")
        assert failed.value.finding.verdict is Verdict.STOP
        assert not failed.value.gone and not failed.value.enqueued


def test_a_batch_that_is_cancelled_by_another_method(tmp_path):
    with OpenAIBatches("cerebras", polls_to_finish=None) as emulator:
        client = client_of(emulator, "cerebras")
        batch = created(client, tmp_path, ["one", "two"])
        client.retrieve(batch.id)
        client.cancel(batch.id)
        batch = ended(client, batch)
        assert batch.state is RemoteState.CANCELLED
        client.cancel(batch.id)  # it has ended: no error


def test_a_model_for_tests_has_a_url_for_tests(tmp_path):
    """DashScope's batch-test-model, free of charge."""
    with OpenAIBatches("dashscope") as emulator:
        client = client_of(emulator, "dashscope")
        body = body_of("hello").replace(b"m-1", b"batch-test-model")
        line = msgspec.json.decode(client.line("r0", CHAT, body))
        assert line["url"] == "/v1/chat/ds-test"
        quoted = (
            b'{"model":"m-1","messages":[{"role":"user","content":"say \\"batch-test-model\\""}]}'
        )
        assert msgspec.json.decode(client.line("r1", CHAT, quoted))["url"] == CHAT
        path = tmp_path / "part-1.jsonl"
        path.write_bytes(client.line("r0", CHAT, body) + b"\n")
        part = PartInput("part-1", CHAT, "batch-test-model", path, 1)
        batch = ended(client, client.create(part, client.upload(part)))
        (result,) = results(client, batch, tmp_path)
        assert result.reply.status == 200

"""This program as the provider of another: the client of OpenAI's batch API against a real server."""

import json

import pytest

from simple_batch.core import settings
from simple_batch.core.domain import Auth, Defaults, Endpoint
from simple_batch.engine.batch_api.batch_client import PartInput, RemoteState
from simple_batch.engine.batch_api.opening import open_client

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from ..process import program
from .conftest import CHAT


@pytest.fixture
def provider(server, instance):
    """A client of the server, as a config of the gallery's entry simple-batch opens it."""
    endpoint = Endpoint(
        1, "a", f"{server.url}/v1", "", Defaults("m"), provider="simple-batch", auth=Auth.NONE
    )
    client = open_client(endpoint, settings.load(environ={}, INSTANCE_PATH=str(instance)))
    yield client
    client.close()


def part_of(client, folder, count: int, marker: str = "part-1") -> PartInput:
    body = b'{"model":"m","messages":[{"role":"user","content":"question %d"}]}'
    lines = [client.line(f"r{place}", CHAT, body % place) for place in range(count)]
    path = folder / f"{marker}.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return PartInput(marker, CHAT, "m", path, count)


def ended(client, batch):
    return wait_until(lambda: (now := client.retrieve(batch.id)).state.ended and now)


def test_another_simple_batch_as_the_provider(provider, add_config, tmp_path):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(endpoint.base_url, alias="good", model="m", concurrency=4)
        part = part_of(provider, tmp_path, 20)
        assert provider.find_upload(part) is None
        file_id = provider.upload(part)
        assert provider.find_upload(part) == file_id
        assert provider.find(part, file_id) == []
        made = provider.create(part, file_id)
        assert not made.state.ended and made.marker == part.marker
        assert [batch.id for batch in provider.find(part, None)] == [made.id]
        batch = ended(provider, made)
        assert (batch.state, batch.total, batch.succeeded) == (RemoteState.COMPLETED, 20, 20)
        found = {
            result.line_id: result.reply
            for path in provider.download(batch, tmp_path)
            for result in provider.read(path)
        }
        assert found.keys() == {f"r{place}" for place in range(20)}
        assert {reply.status for reply in found.values()} == {200}
        provider.cancel(batch.id)  # it has ended: no error
        provider.delete(batch)
        provider.delete(batch)
        assert provider.find_upload(part) is None


def test_a_job_of_one_server_goes_in_batches_through_another(server, add_config, tmp_path):
    count, home = 1_000, tmp_path / "home"
    lines = [
        {"custom_id": f"id-{n}", "body": {"messages": [{"role": "user", "content": f"q {n}"}]}}
        for n in range(count)
    ]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    prices = ["--input-price", "1000", "--output-price", "1000", "--batch-discount", "0.5"]
    add = ["--provider", "simple-batch", "--base-url", f"{server.url}/v1", "--model", "m"]
    quick = {"BATCH_POLL_FIRST": "0.2", "BATCH_POLL_MAX": "1", "BATCH_PART_MAX_REQUESTS": "400"}
    ours = {f"SIMPLE_BATCH_{name}": value for name, value in quick.items()}
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(endpoint.base_url, alias="good", model="m", concurrency=20)
        added = program(home, "api", "add", "other", *add, *prices, cwd=tmp_path)
        assert added.returncode == 0, added.stderr
        run = ["run", "q.jsonl", "--api", "other", "--service", "batch", "-o", "out.jsonl"]
        done = program(home, *run, cwd=tmp_path, **ours)
        assert done.returncode == 0, done.stderr
        assert endpoint.calls == count  # none is paid for twice
    answered = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [answer["custom_id"] for answer in answered] == [line["custom_id"] for line in lines]
    shown = json.loads(program(home, "show", "last", "--json", cwd=tmp_path).stdout)
    assert (shown["succeeded"], len(shown["parts"])) == (count, 3)
    (saved,) = shown["saved"]
    assert (saved["by"], saved["amount"]) == ("batch", shown["cost"]["amount"])


def test_what_another_simple_batch_refuses(provider, add_config, tmp_path):
    with MisbehavingEndpoint(e.slow(0.2)) as endpoint:
        add_config(endpoint.base_url, alias="good", model="m", concurrency=4)
        part = part_of(provider, tmp_path, 2)
        part.path.write_bytes(part.path.read_bytes() + b"no json\n")
        batch = ended(provider, provider.create(part, provider.upload(part)))
        assert batch.state is RemoteState.FAILED
        assert [error.line for error in batch.errors] == [3]
        part = part_of(provider, tmp_path, 100, "part-2")
        made = provider.create(part, provider.upload(part))
        # before its lines are read a batch has none that could be answered
        wait_until(lambda: provider.retrieve(made.id).state is RemoteState.RUNNING)
        provider.cancel(made.id)
        batch = ended(provider, made)
        assert batch.state is RemoteState.CANCELLED
        found = [one for path in provider.download(batch, tmp_path) for one in provider.read(path)]
        cancelled = [one for one in found if one.reply is None]
        assert len(found) == 100 and len(cancelled) > 50
        assert {one.code for one in cancelled} == {"batch_cancelled"}

"""The client of OpenAI's batch API against a strict emulator: from the input to the results."""

from pathlib import Path

from simple_batch.core.domain import Defaults, Endpoint
from simple_batch.engine.batch_api.batch_client import PartInput, RemoteState
from simple_batch.engine.batch_api.opening import open_client

from ...emulators.openai_batches import KEY, OpenAIBatches
from ..conftest import SETTINGS

CHAT = "/v1/chat/completions"


def client_of(emulator: OpenAIBatches, provider: str = "openai", **fields):
    endpoint = Endpoint(
        1, "a", emulator.base_url, KEY, Defaults("m-1"), provider=provider, **fields
    )
    return open_client(endpoint, SETTINGS)


def part_of(client, folder: Path, texts: list[str], marker: str = "part-1") -> PartInput:
    path = folder / "input.jsonl"
    bodies = [
        b'{"model":"m-1","messages":[{"role":"user","content":"%s"}]}' % text.encode()
        for text in texts
    ]
    lines = [client.line(f"r{place}", CHAT, body) for place, body in enumerate(bodies)]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return PartInput(marker, CHAT, "m-1", path, len(texts))


def test_a_batch_from_upload_to_results(tmp_path):
    with OpenAIBatches(polls_to_finish=2) as emulator:
        client = client_of(emulator)
        part = part_of(client, tmp_path, ["one", "bad line", "three"])
        file_id = client.upload(part)
        created = client.create(part, file_id)
        assert created.state is RemoteState.VALIDATING and created.total is None
        assert [batch.id for batch in client.find(part, file_id)] == [created.id]
        assert client.find_upload(part) == file_id
        running = client.retrieve(created.id)
        assert (running.state, running.total) == (RemoteState.RUNNING, 3)
        ended = client.retrieve(created.id)
        assert (ended.state, ended.succeeded, ended.failed) == (RemoteState.COMPLETED, 2, 1)
        results = {
            result.line_id: result
            for path in client.download(ended, tmp_path)
            for result in client.read(path)
        }
        assert {name: result.reply.status for name, result in results.items()} == {
            "r0": 200, "r1": 400, "r2": 200,
        }  # fmt: skip
        assert b"re: three" in results["r2"].reply.body
        client.delete(ended)
        client.delete(ended)  # what is gone is no error
        assert not emulator.files
        assert emulator.counts()["billed"] == 2
        client.close()

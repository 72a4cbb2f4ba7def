"""A client of OpenAI's batch API with an emulator, as tests need them."""

from pathlib import Path

from simple_batch.core import settings
from simple_batch.core.domain import Auth, Defaults, Endpoint
from simple_batch.engine.batch_api.batch_client import LineResult, PartInput, RemoteBatch
from simple_batch.engine.batch_api.opening import open_client

from ...emulators.openai_batches import KEY, OpenAIBatches

CHAT = "/v1/chat/completions"
FIELDS = {"INSTANCE_PATH": "/nonexistent", "MAX_ANSWER_BYTES": 1 << 20}
SETTINGS = settings.load(environ={}, **FIELDS)
HASTY = settings.load(environ={}, **FIELDS, BATCH_CALL_TIMEOUT=1.0)  # where no answer comes


def client_of(emulator: OpenAIBatches, provider: str = "openai", key: str = KEY, settings=SETTINGS):
    auth = Auth.API_KEY if provider.startswith("azure") else Auth.BEARER
    query = tuple(emulator.manner.query.items())
    endpoint = Endpoint(
        1, "a", emulator.base_url, key, Defaults("m-1"), provider=provider, auth=auth, query=query
    )
    client = open_client(endpoint, settings)
    assert client is not None
    return client


def body_of(text: str) -> bytes:
    return b'{"model":"m-1","messages":[{"role":"user","content":"%s"}]}' % text.encode()


def part_of(client, folder: Path, texts: list[str], marker: str = "part-1", **more) -> PartInput:
    path = folder / f"{marker}.jsonl"
    lines = [client.line(f"r{place}", CHAT, body_of(text)) for place, text in enumerate(texts)]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return PartInput(marker, CHAT, "m-1", path, len(texts), **more)


def created(client, folder: Path, texts: list[str], **more) -> RemoteBatch:
    part = part_of(client, folder, texts, **more)
    return client.create(part, client.upload(part))


def ended(client, batch: RemoteBatch, most: int = 10) -> RemoteBatch:
    for _ in range(most):
        batch = client.retrieve(batch.id)
        if batch.state.ended:
            return batch
    raise AssertionError(f"still {batch.status}")


def results(client, batch: RemoteBatch, folder: Path) -> list[LineResult]:
    return [result for path in client.download(batch, folder) for result in client.read(path)]

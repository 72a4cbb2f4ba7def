"""Clients of batch APIs that are not of OpenAI's form with their emulators, as tests need them."""

from pathlib import Path

import msgspec

from simple_batch.core.domain import ApiFormat, Auth, Defaults, Endpoint
from simple_batch.engine.batch_api.batch_client import BatchClient, PartInput, RemoteBatch
from simple_batch.engine.batch_api.opening import open_client

from .openai_client import CHAT, SETTINGS

# provider: (path of the base URL, model, further fields of the endpoint)
PROVIDERS = {
    "anthropic": (
        "/v1",
        "claude-haiku-4-5",
        {"auth": Auth.X_API_KEY, "api_format": ApiFormat.ANTHROPIC},
    ),
    "gemini": ("/v1beta/openai", "gemini-2.5-flash", {}),
    "mistral": ("/v1", "mistral-small-latest", {}),
    "openrouter": ("/api/v1", "openai/gpt-6-luna:batch", {}),
}


def client_of(emulator, provider: str, key: str | None = None) -> BatchClient:
    base, model, more = PROVIDERS[provider]
    key = emulator.key if key is None else key
    endpoint = Endpoint(
        1, "a", emulator.url + base, key, Defaults(model), provider=provider, **more
    )
    client = open_client(endpoint, SETTINGS)
    assert client is not None
    return client


def body_of(provider: str, text: str, **fields) -> bytes:
    body = {"model": PROVIDERS[provider][1], "messages": [{"role": "user", "content": text}]}
    return msgspec.json.encode({**body, **fields})


def part_of(
    client: BatchClient, provider: str, folder: Path, texts: list[str], marker="part-1", **more
) -> PartInput:
    path = folder / f"{marker}.jsonl"
    bodies = (body_of(provider, text) for text in texts)
    lines = [client.line(f"r{place}", CHAT, body) for place, body in enumerate(bodies)]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return PartInput(marker, CHAT, PROVIDERS[provider][1], path, len(texts), **more)


def sent(client: BatchClient, part: PartInput) -> RemoteBatch:
    return client.create(part, client.upload(part))

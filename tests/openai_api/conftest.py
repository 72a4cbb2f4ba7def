"""A real server process with configs on a misbehaving endpoint, and OpenAI's own client."""

import io
import json

import openai
import pytest

from ..process import served

CHAT = "/v1/chat/completions"


@pytest.fixture
def server(instance, app):
    """run.py on the same instance folder as ``app``, which runs nothing itself."""
    running = served(instance)
    yield running
    running.stop()


@pytest.fixture
def client(server):
    with client_of(server) as made:
        yield made


def client_of(server, token: str = "not needed") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=token, max_retries=0, timeout=90)


def line(custom_id: str, model: str = "m", url: str = CHAT, **body) -> dict:
    """One line of an input file."""
    if url == CHAT:
        body = {"messages": [{"role": "user", "content": f"about {custom_id}"}], **body}
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": {"model": model, **body}}


def jsonl(lines) -> io.BytesIO:
    """An input file; texts stand as they are."""
    texts = [item if isinstance(item, str) else json.dumps(item) for item in lines]
    file = io.BytesIO("".join(text + "\n" for text in texts).encode())
    file.name = "in.jsonl"
    return file


def submit(client: openai.OpenAI, lines, endpoint: str = CHAT, window: str = "24h", **more):
    """Upload and create."""
    file = client.files.create(file=jsonl(lines), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint=endpoint, completion_window=window, **more
    )


def read(client: openai.OpenAI, file_id: str | None) -> list[dict]:
    """The lines of an output or error file."""
    if file_id is None:
        return []
    return [json.loads(text) for text in client.files.content(file_id).text.splitlines()]

"""Mistral's own client, in a process patched by gevent."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from mistralai.client import Mistral


@contextmanager
def mistral_client(url: str, key: str) -> Iterator[Mistral]:
    """The client on HTTP clients of ours: those that it makes itself are closed by asyncio when garbage is
    collected, which may happen within gevent's event loop, where nothing can wait."""
    with httpx2.Client() as http:
        yield Mistral(api_key=key, server_url=url, client=http, async_client=httpx2.AsyncClient())

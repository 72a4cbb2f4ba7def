"""The Redis that the processes of an installation share."""

import socket
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from . import extras

if TYPE_CHECKING:
    import redis
else:
    redis = extras.Later("redis")

ANSWER_S = 0.5  # a slower Redis counts as unreachable
SILENCE_S = 10  # seconds until a dead connection is noticed


def client(url: str, timeout_s: float = ANSWER_S) -> "redis.Redis":
    """A client that fails fast instead of retrying: its callers can work without Redis for a while.
    ``timeout_s`` is for connecting, and for each answer."""
    backoff, retry = extras.load("redis.backoff"), extras.load("redis.retry")
    options: dict[str, object] = {}
    if not url.startswith("unix:"):
        options["socket_keepalive"] = True
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            options["socket_keepalive_options"] = {socket.TCP_USER_TIMEOUT: SILENCE_S * 1000}
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=retry.Retry(backoff.NoBackoff(), 0),
        health_check_interval=SILENCE_S,
        **options,
    )


def password_of(url: str) -> str:
    """The password in a URL, to be kept out of texts; empty without one."""
    return unquote(urlsplit(url).password or "")

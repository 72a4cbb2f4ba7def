"""A real Redis for tests: a server of this run, an empty database for each test that asks."""

import functools
import itertools

from tools.local_servers import Redis, redis_program

_NUMBERS = itertools.count()


def program() -> str | None:
    """redis-server; None where it is not installed."""
    return redis_program()


@functools.cache
def server() -> Redis:
    """The server of this run, started when it is first asked for."""
    return Redis()


def fresh_url() -> str:
    """The URL of an empty database."""
    return server().url(next(_NUMBERS))

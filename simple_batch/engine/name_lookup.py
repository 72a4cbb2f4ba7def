"""Looks up the addresses of hosts. Lookups run in gevent's small thread pool, which exports use too.
A name server that does not answer must not block all of its threads, so concurrent lookups of the
same name share one lookup."""

import gevent
from gevent import socket

_asked: dict[tuple, gevent.Greenlet] = {}


def addresses(host: str, port: int, family: int = 0) -> list[tuple]:
    """As ``socket.getaddrinfo`` for TCP. Raises OSError."""
    key = host, port, family
    lookup = _asked.get(key)
    if lookup is None:
        lookup = _asked[key] = gevent.spawn(_look_up, key)
    found = lookup.get()
    if isinstance(found, OSError):
        raise found
    return found


def _look_up(key: tuple) -> list[tuple] | OSError:
    try:
        return socket.getaddrinfo(*key, socket.SOCK_STREAM, socket.SOL_TCP)
    except OSError as error:
        return error
    finally:
        del _asked[key]


class SharedLookup:
    """For a ConnectionPool of geventhttpclient."""

    def _resolve(self) -> list[tuple]:
        family = socket.AF_INET if self.disable_ipv6 else 0
        return addresses(self._connection_host, self._connection_port, family)

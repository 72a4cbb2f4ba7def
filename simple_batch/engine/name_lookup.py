"""Looks up the addresses of hosts. Lookups run in gevent's small thread pool, which exports use too.
A name server that does not answer must not block all of its threads, so concurrent lookups of the
same name share one lookup."""

from typing import cast

import gevent
from gevent import socket
from geventhttpclient.connectionpool import ConnectionPool

Address = tuple[str, int] | tuple[str, int, int, int]
AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, Address]
_Key = tuple[str, int, int]

_running: "dict[_Key, gevent.Greenlet[[_Key], list[AddressInfo] | OSError]]" = {}


def addresses(host: str, port: int, family: int = 0) -> list[AddressInfo]:
    """As ``socket.getaddrinfo`` for TCP. Raises OSError."""
    key = host, port, family
    lookup = _running.get(key)
    if lookup is None:
        lookup = _running[key] = gevent.spawn(_look_up, key)
    found = lookup.get()
    if isinstance(found, OSError):
        raise found
    return found


def _look_up(key: _Key) -> list[AddressInfo] | OSError:
    try:
        found = socket.getaddrinfo(*key, socket.SOCK_STREAM, socket.SOL_TCP)
        return cast("list[AddressInfo]", found)  # built without IPv6, Python gives other addresses
    except OSError as error:
        return error
    finally:
        del _running[key]


class SharedLookup(ConnectionPool):
    """Connections to a host whose name is looked up together with others."""

    def _resolve(self) -> list[AddressInfo]:
        family = socket.AF_INET if self.disable_ipv6 else 0
        return addresses(self._connection_host, self._connection_port, family)

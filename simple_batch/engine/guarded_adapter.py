"""An adapter of requests that connects only to addresses that the address policy allows
(core/address_policy.py). Behind a proxy, the proxy makes the connection."""

import socket
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NameResolutionError, NewConnectionError

from ..core.address_policy import AddressPolicy


class GuardedAdapter(HTTPAdapter):
    """Raises AddressRefused where a host has no address that may be connected to."""

    def __init__(self, policy: AddressPolicy):
        self._policy = policy
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": _pool(HTTPConnectionPool, HTTPConnection, self._policy),
            "https": _pool(HTTPSConnectionPool, HTTPSConnection, self._policy),
        }


def _pool(kind: type, connection: Any, policy: AddressPolicy) -> type:
    class Guarded(connection):  # type: ignore[misc]  # one of two classes
        _dns_host: str

        def _new_conn(self) -> socket.socket:
            name = self._dns_host
            try:
                found = socket.getaddrinfo(name.strip("[]"), self.port, 0, socket.SOCK_STREAM)
            except OSError as error:
                raise NameResolutionError(name, self, socket.gaierror(*error.args)) from error
            failure: Exception = NewConnectionError(self, "the name has no address")
            try:
                for info in policy.through(name, found):
                    self._dns_host = str(info[4][0])
                    try:
                        return super()._new_conn()  # type: ignore[no-any-return]
                    except NewConnectionError as error:
                        failure = error
            finally:
                self._dns_host = name  # what the certificate is for
            raise failure

    return type("GuardedPool", (kind,), {"ConnectionCls": Guarded})

"""Hanging name lookups do not take the threads from all others."""

import gevent
import pytest
from gevent import socket

from simple_batch.engine import name_lookup


def test_who_asks_for_the_same_name_waits_for_one_lookup(monkeypatch):
    asked = []

    def getaddrinfo(host, *more):
        asked.append(host)
        gevent.sleep(0.1)
        if host == "nobody":
            raise socket.gaierror(8, "no such name")
        return [host]

    monkeypatch.setattr(name_lookup.socket, "getaddrinfo", getaddrinfo)
    waiting = [gevent.spawn(name_lookup.addresses, "a.test", 443) for _ in range(50)]
    with gevent.Timeout(0.02, False):  # a caller that times out leaves the answer to the others
        name_lookup.addresses("a.test", 443)
    assert [waiter.get() for waiter in waiting] == [["a.test"]] * 50
    assert asked == ["a.test"]
    for _ in range(2):  # failures are not cached
        with pytest.raises(socket.gaierror, match="no such name"):
            name_lookup.addresses("nobody", 443)
    assert asked == ["a.test", "nobody", "nobody"]
    assert not name_lookup._asked

"""Slow clients and endless headers on the real servers: they are disconnected, other clients are
served meanwhile, and a slow client that keeps the minimum rate may finish."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from ..test_processes import SERVERS

FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
PATIENCE_S = 1.0


@pytest.fixture(scope="module", params=sorted(SERVERS))
def server(request, tmp_path_factory):
    limits = {
        "SIMPLE_BATCH_CLIENT_TIMEOUT": str(PATIENCE_S),
        "SIMPLE_BATCH_MIN_UPLOAD_RATE": "10000",
        "GUNICORN_CMD_ARGS": f"--keep-alive {PATIENCE_S:.0f}",
    }
    instance = tmp_path_factory.mktemp("slow") / "instance"
    running = SERVERS[request.param](instance, **limits)
    yield running
    running.stop()


def trickle(server, head: bytes, drip: bytes = b"a") -> str:
    """What a client receives that sends one byte at a time without end, until it is
    disconnected."""
    began, answer = time.monotonic(), b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=90) as client:
        client.sendall(head)
        try:
            while time.monotonic() < began + 60:
                client.settimeout(0.1)
                try:
                    found = client.recv(4096)
                    answer += found
                    if not found:
                        break
                except TimeoutError:
                    client.settimeout(90)
                    client.sendall(drip)
        except OSError:
            pass
    assert time.monotonic() < began + 60, "it is still listened to"
    return answer.decode("latin-1")


def test_who_trickles_is_cut_off_and_the_others_are_served(server):
    post = b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n"
    heads = {
        "nothing": b"",
        "line": b"GET /heal",
        "headers": b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ",
        "form": post % (b"/configs/new", FORM + b"Content-Length: 90000\r\n"),
        "chunked": post % (b"/v1/files", FORM + b"Transfer-Encoding: chunked\r\n") + b"5000\r\n",
        "feed": post % (b"/socket.io/?EIO=4&transport=polling&sid=x", b"Content-Length: 9000\r\n"),
        "unwanted": post % (b"/nowhere", b"Content-Length: 90000\r\n"),
    }
    with ThreadPoolExecutor(len(heads)) as pool:
        drips = {name: b"" if name == "nothing" else b"a" for name in heads}
        slow = {name: pool.submit(trickle, server, heads[name], drips[name]) for name in heads}
        served = 0
        while not all(one.done() for one in slow.values()):
            assert requests.get(f"{server.url}/healthz", timeout=30).status_code == 200
            served += 1
        found = {name: one.result() for name, one in slow.items()}
    assert served > 3
    for name in ("form", "chunked"):
        assert " 408 " in found[name].split("\r\n")[0], found[name]
    assert "frame-ancestors" in found["form"]
    assert " 404 " in found["unwanted"]


def test_who_is_slow_but_comes_along_is_waited_for(server):
    """Four times the minimum rate, twice as long as a pause may last."""
    lines = b"".join(b'{"custom_id": "%d", "body": {}}\n' % n for n in range(2_500))
    boundary = b"--x\r\n"
    body = b"".join(
        [
            boundary + b'Content-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n',
            boundary + b'Content-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n',
            lines + b"\r\n--x--\r\n",
        ]
    )
    head = (
        b"POST /v1/files HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=90) as client:
        client.sendall(head)
        for start in range(0, len(body), 4_000):
            client.sendall(body[start : start + 4_000])
            time.sleep(0.1)
        answer = b""
        while block := client.recv(65_536):
            answer += block
    assert answer.startswith(b"HTTP/1.1 200"), answer
    assert b'"bytes":%d' % len(lines) in answer.replace(b" ", b"")


@pytest.mark.parametrize(
    "head",
    [
        b"".join(b"X-%d: a\r\n" % n for n in range(500)),
        b"".join(b"X-%d: %s\r\n" % (n, b"a" * 8_000) for n in range(150)),
        b"X: " + b"a" * 200_000 + b"\r\n",
    ],
)
def test_headers_without_end_are_refused(server, head):
    with socket.create_connection(("127.0.0.1", server.port), timeout=90) as client:
        try:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head + b"\r\n")
            found = client.recv(4096)
        except ConnectionError:
            found = b""  # cut off while it was still sending
    assert not found or found.split()[1] in (b"400", b"431"), found
    assert requests.get(f"{server.url}/healthz", timeout=30).status_code == 200

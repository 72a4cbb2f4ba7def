"""Malformed packets of the live feed get an error, or end the connection; there is no traceback,
and other clients are not affected."""

import json

import gevent
import pytest

from simple_batch.web import middleware

from ..conftest import wait_until
from .test_malformed import tracebacks  # noqa: F401

PLACE = "/socket.io/?EIO=4&transport=polling"
PAYLOADS = (
    None,
    True,
    1,
    "x",
    [],
    [1],
    {},
    {"job_id": True},
    {"job_id": "1"},
    {"job_id": 1.5},
    {"job_id": 2**63},
    {"job_id": -(2**70)},
    {"job_id": [1]},
    {"job_id": {"a": 1}},
    {"job_id": 1, "tail": "yes"},
    {"tail": {}},
    {"job_id": None, "x": "y" * 50_000},
)
PACKETS = (
    "",
    "x",
    "9",
    "4",
    "42",
    "42[",
    "42/jobs",
    "42/jobs,",
    "42/jobs,[",
    "42/jobs,[]",
    "42/jobs,{}",
    "42/jobs,[1]",
    "42/jobs,[null]",
    '42/jobs,[["subscribe"]]',
    '42/jobs,["subscribe",1,2,3]',
    '42/jobs,1["connect"]',
    '42/jobs,1["disconnect",1]',
    '42/jobs,["message"]',
    '42/nowhere,["x"]',
    "43/jobs,1[]",
    "43/jobs,[]",
    "44/jobs,x",
    "45/jobs,",
    '451-/jobs,["subscribe",{"_placeholder":true,"num":0}]',
    '459999999999-/jobs,["x"]',
    '45-1-["x"]',
    "46/jobs,1[]",
    "49",
    "40/nowhere,",
    "40/jobs,{",
    "40/jobs,[1]",
    '42/jobs,99999999999999999999["subscribe",{}]',
    "42/jobs," + "9" * 5_000 + '["subscribe",{}]',
    "42/jobs," + "[" * 20_000,
    '42/jobs,["subscribe",' + '{"a":' * 5_000 + "1" + "}" * 5_000 + "]",
    '42/jobs,["subscribe",{"job_id":NaN}]',
    '42/jobs,["subscribe",{"job_id":1e999}]',
    '42/jobs,["subscribe",{"job_id":' + "9" * 5_000 + "}]",
    "b!!!!",
    "bAAAA",
    "b",
    "\x1e\x1e",
    "0",
    "1",
    "5",
    "6",
    "2probe",
    "\0",
    "4\ud800",
    '42/jobs,["subscribe",{"job_id":"\\ud800\\u0000"}]',
    '42/jobs,1["subscribe"' + ",1" * 20 + "]",
)
QUERIES = (
    "EIO=9",
    "EIO=",
    "EIO=x",
    "transport=x",
    "sid=x",
    "sid=%00",
    "sid=%ff",
    "sid=" + "a" * 3_000,
    "j=x",
    "EIO=4&transport=websocket",
    "EIO=4&transport=polling&j=" + "9" * 300,
    "EIO=4&transport[]=polling",
)


class Watcher:
    """A client by long polling, one packet at a time."""

    def __init__(self, app):
        self._client = app.test_client()
        opened = self._client.get(PLACE)
        self.place = f"{PLACE}&sid={json.loads(opened.text[1:])['sid']}"
        self.send("40/jobs,")
        assert self.next_packet().startswith("40/jobs,")

    def send(self, packet: str):
        return self._client.post(self.place, data=packet.encode("utf-8", "surrogatepass"))

    def next_packet(self) -> str:
        """The next packet."""
        return self._client.get(self.place).text

    def subscribed(self, payload) -> dict:
        """The answer to a subscription."""
        self.send(f"42/jobs,7{json.dumps(['subscribe', payload])}")
        for packet in iter(self.next_packet, ""):
            for one in packet.split("\x1e"):
                if one.startswith("43/jobs,7"):
                    return json.loads(one.removeprefix("43/jobs,7"))[0]
        raise AssertionError("the connection ended")


@pytest.fixture
def watch(app, add_config, endpoint, make_job):
    """Connects a client of an app with a job."""
    add_config(endpoint.base_url)
    make_job(2)
    watchers: list[Watcher] = []

    def connect() -> Watcher:
        watchers.append(Watcher(app))
        return watchers[-1]

    yield connect
    for watcher in watchers:
        watcher.send("1")  # otherwise the feed continues to send
    wait_until(lambda: not app.extensions["simple_batch_feed"].clients)


def test_malformed_payloads(watch, tracebacks):  # noqa: F811
    watcher = watch()
    for payload in PAYLOADS:
        reply = watcher.subscribed(payload)
        good = payload is None or (isinstance(payload, dict) and payload.get("job_id") in (None, 1))
        good = good and not (isinstance(payload, dict) and payload.get("job_id") is True)
        assert reply["ok"] is bool(good), payload
        assert reply["ok"] or isinstance(reply["error"], str)
    assert tracebacks == []


def test_malformed_packets(watch, tracebacks, capfd):  # noqa: F811
    other, unheard = watch(), []
    for packet in PACKETS:
        watcher = watch()
        answer = watcher.send(packet)
        gevent.sleep(0)
        if answer.status_code >= 500:
            unheard.append((packet[:80], answer.status_code))
        assert answer.headers["X-Content-Type-Options"] == "nosniff", packet[:80]
        assert watcher.send("3").status_code in (200, 400)  # the connection may have ended
    assert other.subscribed({"job_id": 1})["ok"]
    assert (unheard, tracebacks) == ([], [])
    assert "Traceback" not in capfd.readouterr().err  # tracebacks of greenlets are not in the log


def test_malformed_queries_of_the_feed(app, client, tracebacks):  # noqa: F811
    for query in QUERIES:
        for method in ("GET", "POST", "PUT", "OPTIONS", "DELETE"):
            answer = client.open(f"/socket.io/?{query}", method=method, data=b"\xff\x00")
            assert answer.status_code < 500, (method, query)
            assert answer.headers.getlist("X-Frame-Options") == [
                middleware.HEADERS["X-Frame-Options"]
            ]
    assert tracebacks == []

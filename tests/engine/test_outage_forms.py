"""Outages in the forms of load balancers, CDNs and aggregators, on a real socket."""

import gevent
import msgspec
import pytest

from simple_batch.engine.failure_guard import FailureGuard, GuardPolicy

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from .conftest import POLICY
from .test_outage import succeeded, watched, while_it_runs


def reset_after_headers(connection):
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    )
    gevent.sleep(0.01)
    e.reset(connection)


def unfinished_chunks(connection):
    connection.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"cho\r\n')
    connection.close()


def closed(connection):
    connection.close()


PAGE = b"<!doctype html><html><title>Down</title><h1>We are back soon</h1></html>"
ANSWER = {"choices": [{"message": {"content": ""}, "error": {"code": 502, "message": "Upstream"}}]}


@pytest.mark.parametrize(
    "failure",
    [
        e.http(520, b"error code: 520", kind="text/plain"),
        e.http(525, b"", kind="text/plain"),
        e.http(530, b"error code: 1033", kind="text/plain"),
        e.http(599, b""),
        e.http(408, b"<h1>408 Request Time-out</h1>", kind="text/html"),
        e.http(503, b"no healthy upstream", kind="text/plain"),
        e.http(502, {"message": "An invalid response was received from the upstream server"}),
        e.http(200, PAGE, kind="text/html"),
        e.http(200, {"error": {"code": 502, "message": "Provider returned error"}}),
        e.http(200, {"error": {"code": "503", "message": "no instances"}}),
        e.http(200, ANSWER),
        e.http(200, b""),
        e.http(204, b""),
        e.http(200, b"upstream connect error", kind="text/plain"),
        e.not_http,
        reset_after_headers,
        unfinished_chunks,
        closed,
        e.half_headers,
    ],
)
def test_an_outage_costs_no_request(bench, failure):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        run = watched(bench, endpoint, policy=msgspec.structs.replace(POLICY, max_retries=1))
        endpoint.script = [e.ok()] * 20 + [failure]
        running = while_it_runs(run, 60)
        wait_until(lambda: run.pool.outages.waiting or running.ready())
        gevent.sleep(0.1)
        endpoint.script = [e.ok()]
        assert running.get(timeout=20) is None
        assert succeeded(run) == 60
        assert run.events.seen == ["began", "ended"]


def test_pages_of_an_address_that_never_answered_pause_the_job(bench):
    with MisbehavingEndpoint(e.http(200, PAGE, kind="text/html")) as endpoint:
        run = watched(bench, endpoint, policy=msgspec.structs.replace(POLICY, max_retries=0))
        run.pool._guard = FailureGuard(GuardPolicy())
        assert run.run(60).reason == "same_failure"
        assert (run.outcomes, run.events.seen) == ([], [])
        assert endpoint.calls < 30

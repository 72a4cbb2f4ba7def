"""Outages: the endpoint goes away while requests run, on a real socket."""

import socket
import time

import gevent
import msgspec
import pytest
from gevent.server import StreamServer

from simple_batch.core.domain import Cause, RequestStatus, Verdict
from simple_batch.engine.classify import Classification
from simple_batch.engine.governor import Governor
from simple_batch.engine.outage import OutageDetector, OutagePolicy

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import AbsentEndpoint, MisbehavingEndpoint
from .conftest import POLICY

SOON = OutagePolicy(probe_first_s=0.05, probe_max_s=0.2, wait_max_s=60)


class Events:
    """Records what an outage detector reports."""

    def __init__(self, longer=False, timeout_s=60.0):
        self.seen: list[str] = []
        self.reasons: list[str] = []
        self.longer = longer
        self.seconds = timeout_s

    def outage_began(self, reason):
        self.seen.append("began")
        self.reasons.append(reason)

    def outage_ended(self, seconds):
        self.seen.append("ended")

    def longer_timeout(self):
        allowed, self.longer = self.longer, False
        self.seconds *= 2 if allowed else 1
        return allowed

    def timeout_s(self):
        return self.seconds


def watched(bench, endpoint, outage=SOON, events=None, answered_before=False, **options):
    run = bench(endpoint, **options)
    run.events = events or Events()
    run.pool.watch_outages(outage, run.events, answered_before)
    return run


def succeeded(run) -> int:
    return sum(result.status is RequestStatus.SUCCEEDED for result in run.outcomes)


def while_it_runs(run, count):
    return gevent.spawn(run.run, count)


class At:
    """An address."""

    def __init__(self, base_url: str):
        self.base_url = base_url


class NeverThere:
    """A port where nothing listens."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.base_url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"


def test_an_endpoint_that_refuses_connections_for_a_while_costs_nothing(bench):
    with AbsentEndpoint(e.slow(0.01)) as endpoint:
        run = watched(bench, endpoint)
        running = while_it_runs(run, 150)
        wait_until(lambda: succeeded(run) > 30)
        endpoint.go_away()
        wait_until(lambda: run.pool.outages.waiting)
        assert "refused" in run.pool.outages.waiting.reason
        done = len(run.outcomes)
        gevent.sleep(0.7)
        assert len(run.outcomes) == done
        endpoint.come_back()
        assert running.get(timeout=20) is None
        assert succeeded(run) == 150
        assert run.events.seen == ["began", "ended"]
        failed = [a for o in run.outcomes for a in o.attempts if a.cause is not None]
        assert 0 < len(failed) <= 45  # what was in flight, what found it out, and probes
        assert run.pool.outages.waiting is None


@pytest.mark.parametrize(
    "failure",
    [
        e.http(502, b"<html><h1>502 Bad Gateway</h1></html>", kind="text/html"),
        e.error(503, "upstream connect error or disconnect"),
        e.http(504, b""),
        e.http(522, b"origin zzyzx is asleep", kind="text/plain"),
        e.reset,
        e.truncated,
    ],
)
def test_a_proxy_without_its_server_costs_no_request(bench, failure):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        run = watched(bench, endpoint, policy=msgspec.structs.replace(POLICY, max_retries=1))
        endpoint.script = [e.ok()] * 20 + [failure]
        running = while_it_runs(run, 60)
        wait_until(lambda: run.pool.outages.waiting)
        gevent.sleep(0.2)
        endpoint.script = [e.ok()]
        assert running.get(timeout=20) is None
        assert succeeded(run) == 60
        assert run.events.seen == ["began", "ended"]


@pytest.mark.parametrize("count", [1, 3, 100])
def test_a_wrong_port_leaves_all_pending_after_few_calls(bench, count):
    run = watched(bench, NeverThere(), msgspec.structs.replace(SOON, wait_max_s=0.5))
    stop = run.run(count)
    assert stop.reason == "no_answer"
    assert "refused" in stop.detail
    assert run.outcomes == []
    assert 1 <= sum(map(len, run.loose.values())) <= 30


def test_a_name_that_does_not_exist_waits(bench):
    nowhere = At("http://no-such-host.invalid/v1")
    run = watched(bench, nowhere, msgspec.structs.replace(SOON, wait_max_s=0.2))
    stop = run.run(3)
    assert stop.reason == "no_answer"
    assert run.outcomes == []


def test_a_port_without_tls_waits_and_is_named(bench):
    plain = StreamServer(("127.0.0.1", 0), lambda sock, _address: sock.sendall(b"HTTP/1.1 400\r\n"))
    plain.start()
    address = At(f"https://127.0.0.1:{plain.server_port}/v1")
    run = watched(bench, address, msgspec.structs.replace(SOON, wait_max_s=0.2))
    stop = run.run(3)
    plain.stop()
    assert stop.reason == "no_answer"
    assert "SSL" in stop.detail
    assert run.outcomes == []


def test_an_endpoint_that_never_answered_is_waited_for_by_a_single_request(bench):
    with MisbehavingEndpoint(*[e.http(502, b"")] * 6, e.ok()) as endpoint:
        run = watched(bench, endpoint)
        assert run.run(1) is None
        assert succeeded(run) == 1


def test_stray_failures_beside_answers_are_no_outage(bench):
    script = [e.error(503), e.reset, e.ok(), e.ok(), e.error(503), e.ok(), e.ok()] * 60 + [e.ok()]
    with MisbehavingEndpoint(*script) as endpoint:
        run = watched(bench, endpoint, policy=msgspec.structs.replace(POLICY, max_retries=30))
        assert run.run(240) is None
        assert run.events.seen == []
        assert succeeded(run) == 240


def test_quick_failures_while_slow_calls_are_being_answered_are_no_outage(bench):
    """Many calls fail at once before the first slow answer comes."""
    script = [e.error(503), e.slow(1.0), e.slow(1.0)] * 20 + [e.ok()]
    with MisbehavingEndpoint(*script) as endpoint:
        policy = msgspec.structs.replace(POLICY, max_retries=30)
        run = watched(bench, endpoint, policy=policy, governor=Governor(concurrency=40))
        assert run.run(80) is None
        assert run.events.seen == []


def test_requests_that_always_time_out_beside_others_fail_after_their_retries(bench):
    class Selective(MisbehavingEndpoint):
        def _next(self, head, body):
            super()._next(head, body)
            bad = any(f"question {n}" in str(self.bodies[-1]) for n in (7, 8, 9))
            return e.slow(5) if bad else e.slow(0.02)

    with Selective(e.ok()) as endpoint:
        policy = msgspec.structs.replace(POLICY, attempt_timeout_s=0.5)
        run = watched(bench, endpoint, policy=policy)
        requests = [r for r in map(_request, range(60)) if r.index not in range(70, 100)]
        assert run.run(requests=iter(requests)) is None
        failed = [result for result in run.outcomes if result.cause is Cause.TIMEOUT]
        assert sorted(result.index for result in failed) == [7, 8, 9]
        assert {len(result.attempts) for result in failed} == {1 + POLICY.max_retries}
        assert run.events.seen == []


def _request(index):
    from .conftest import request

    body = b'{"messages":[{"role":"user","content":"question %d."}]}' % index
    return request(index, body=body)


def test_when_every_call_times_out_the_timeout_is_raised_once(bench):
    with MisbehavingEndpoint(e.slow(0.45)) as endpoint:
        events = Events(longer=True, timeout_s=0.3)
        run = watched(bench, endpoint, events=events)
        post = run.transport.post
        run.pool._transport = _Timed(post, events)
        assert run.run(8) is None
        assert succeeded(run) == 8
        assert events.seen == ["began", "ended"]
        assert endpoint.calls <= 8 + 12


class _Timed:
    def __init__(self, post, events):
        self._post = post
        self._events = events

    def post(self, path, body, timeout_s):
        return self._post(path, body, min(timeout_s, self._events.timeout_s()))


def test_when_every_call_exceeds_the_timeout_the_job_says_so_and_pauses(bench):
    with MisbehavingEndpoint(e.slow(5)) as endpoint:
        events = Events(timeout_s=0.3)
        run = watched(bench, endpoint, msgspec.structs.replace(SOON, wait_max_s=0.5), events)
        run.pool._transport = _Timed(run.transport.post, events)
        stop = run.run(30)
        assert stop.reason == "no_answer"
        assert "every call exceeds the time-out of 0.3 s" in stop.detail
        assert run.outcomes == []
        assert endpoint.calls <= 30


def test_probes_are_few_and_rotate(bench):
    with AbsentEndpoint(e.ok()) as endpoint:
        endpoint.go_away()
        run = watched(bench, endpoint, OutagePolicy(0.05, 0.1, 60))
        running = while_it_runs(run, 40)
        wait_until(lambda: run.pool.outages.waiting)
        attempts = lambda: sum(len(call.attempts) for call in run.pool._calls)  # noqa: E731
        before, began = attempts(), time.monotonic()
        wait_until(lambda: attempts() >= before + 3)
        gevent.sleep(0.3)
        assert attempts() - before <= 1 + (time.monotonic() - began) / 0.05
        assert max(len(call.attempts) for call in run.pool._calls) <= 4
        endpoint.come_back()
        assert running.get(timeout=20) is None
        assert succeeded(run) == 40


def test_a_pause_while_waiting_is_obeyed_at_once(bench):
    run = watched(bench, NeverThere(), OutagePolicy(30, 60, 0))
    running = while_it_runs(run, 50)
    wait_until(lambda: run.pool.outages.waiting)
    run.pool.stop()
    assert running.get(timeout=20) is None  # the next probe is 30 s away
    assert run.outcomes == []


def test_an_answer_that_refuses_ends_the_outage(bench):
    with MisbehavingEndpoint(e.http(502, b"")) as endpoint:
        run = watched(bench, endpoint)
        running = while_it_runs(run, 50)
        wait_until(lambda: run.pool.outages.waiting)
        endpoint.script = [e.error(401, "who are you?")]
        assert running.get(timeout=20).reason == "auth"
        assert run.outcomes == []
        assert run.events.seen == ["began", "ended"]


def test_a_call_that_began_in_the_outage_and_fails_after_it_costs_no_retry(bench):
    def hangs(connection):
        gevent.sleep(1.0)
        e.reset(connection)

    script = [e.ok()] * 5 + [hangs] + [e.http(502, b"")]
    with MisbehavingEndpoint(*script) as endpoint:
        policy = msgspec.structs.replace(POLICY, max_retries=0)
        governor = Governor(concurrency=3)
        run = watched(bench, endpoint, policy=policy, governor=governor)
        running = while_it_runs(run, 200)
        wait_until(lambda: run.pool.outages.waiting)
        assert endpoint.in_flight == 1
        endpoint.script = [e.ok()]
        assert running.get(timeout=20) is None
        assert succeeded(run) == 200


class NoCalls:
    """A pool without calls."""

    exhausted = False

    def calling_for(self, seconds):
        return 0

    def outage_began(self):
        pass


def test_an_endpoint_without_waiting_requests_ends_the_outage_of_the_others():
    one, other = (OutageDetector(SOON, Events(), NoCalls(), lambda *_: None) for _ in range(2))
    one.group = other.group = [one, other]
    refused = Classification(Cause.CONNECTION, Verdict.RETRY, reached=False)
    waits = gevent.spawn(lambda: (wait_until(lambda: one.down), one.wait("held here")))
    for detector in (one, other):
        for number in range(5):
            detector.failed(number, number, refused, 0.001, last=False)
    assert one.down and other.down
    wait_until(lambda: not other.down)  # it has no request to probe with, and takes the next one
    assert one.down
    other.succeeded()
    assert not one.down
    waits.get(timeout=20)


def test_an_outage_that_has_ended_does_not_stop_the_job_later():
    expired = []
    policy = OutagePolicy(probe_first_s=0.1, probe_max_s=0.1, wait_max_s=0.05)
    detector = OutageDetector(policy, Events(), NoCalls(), lambda *why: expired.append(why))
    refused = Classification(Cause.CONNECTION, Verdict.RETRY, reached=False)
    for number in range(5):
        detector.failed(number, number, refused, 0.001, last=False)
    prober = detector._prober
    gevent.sleep(0)  # it waits for the time of its first probe
    detector.succeeded()
    prober.join(timeout=20)
    assert prober.ready()
    assert expired == []

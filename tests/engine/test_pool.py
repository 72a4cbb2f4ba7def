"""Requests through pool, retry and governor to a real socket and back."""

import itertools
import json
import time

import gevent
import msgspec
import pytest
from gevent.event import Event
from gevent.queue import Queue

from simple_batch.cluster.shared_governor import SharedGovernor
from simple_batch.core.domain import Cause, Defaults, RequestStatus
from simple_batch.engine.encoder import Encoder
from simple_batch.engine.governor import Governor

from .. import endpoint as e
from ..conftest import PATIENCE_S, wait_until
from ..endpoint import MisbehavingEndpoint
from .conftest import POLICY, request


def test_every_request_gets_one_outcome_and_the_ceiling_holds(bench):
    with MisbehavingEndpoint(e.slow(0.01)) as endpoint:
        run = bench(endpoint, ceiling=4)
        assert run.run(60) is None
        assert sorted(result.index for result in run.outcomes) == list(range(60))
        assert {result.status for result in run.outcomes} == {RequestStatus.SUCCEEDED}
        assert endpoint.most_in_flight == 4
        assert not run.pool.in_flight


def test_the_iterable_is_not_pulled_ahead_of_the_calls(bench):
    pulled = 0

    def requests():
        nonlocal pulled
        for n in range(1000):
            pulled += 1
            yield request(n)

    with MisbehavingEndpoint(e.slow(30)) as endpoint:
        run = bench(endpoint, governor=Governor(concurrency=5))
        runner = gevent.spawn(run.run, requests=requests())
        gevent.sleep(0.2)
        assert pulled <= 7
        run.pool.kill(0)
        runner.join(20)
        assert runner.successful()


@pytest.mark.parametrize("failure", [e.error(500), e.error(408), e.reset, e.http(200, b"<html>")])
def test_what_deserves_it_is_retried_max_retries_times(bench, failure):
    with MisbehavingEndpoint(failure) as endpoint:
        run = bench(endpoint)
        run.run(1)
        assert endpoint.calls == 1 + POLICY.max_retries
        (result,) = run.outcomes
        assert result.status is RequestStatus.FAILED
        assert [attempt.number for attempt in result.attempts] == [1, 2, 3]
        assert result.attempts[0].wait_ms <= 20
        assert result.attempts[-1].wait_ms == 0


@pytest.mark.parametrize("status", [400, 422])
def test_what_does_not_deserve_it_is_called_once(bench, status):
    with MisbehavingEndpoint(e.error(status)) as endpoint:
        run = bench(endpoint)
        assert run.run(1) is None
        assert endpoint.calls == 1
        assert run.outcomes[0].http_status == status


def test_a_success_after_failures_keeps_the_failed_attempts(bench):
    with MisbehavingEndpoint(e.error(500), e.truncated, e.ok()) as endpoint:
        run = bench(endpoint)
        run.run(1)
        (result,) = run.outcomes
        assert result.status is RequestStatus.SUCCEEDED
        causes = [attempt.cause for attempt in result.attempts]
        assert causes == [Cause.SERVER_ERROR, Cause.CONNECTION, None]
        assert result.response == json.dumps(e.GOOD).encode()


@pytest.mark.parametrize(
    "header", ["Retry-After: 0.3", "retry-after-ms: 300", "Retry-After: a date"]
)
def test_a_rate_limit_is_waited_out_and_costs_no_retry(bench, header):
    began = time.monotonic()
    header = e.retry_date(1.4, time.time()) if "date" in header else header
    with MisbehavingEndpoint(*[e.error(429, "slow down", None, header)] * 4, e.ok()) as endpoint:
        run = bench(endpoint, policy=msgspec.structs.replace(POLICY, max_retries=0))
        run.run(1)
        assert time.monotonic() - began >= 0.25
        assert run.outcomes[0].status is RequestStatus.SUCCEEDED
        assert len(run.outcomes[0].attempts) == 5


def test_stray_refusals_delay_only_their_own_requests(bench):
    """Every twentieth call is refused or overloaded: no limit is learned, and nothing cools down."""
    turns = itertools.cycle(
        [*[e.ok()] * 19, e.error(429, "slow down"), *[e.ok()] * 19, e.error(503)]
    )
    with MisbehavingEndpoint(*itertools.islice(turns, 400), e.ok()) as endpoint:
        governor = Governor(concurrency=20)
        # one request may meet several of the faults, whose order is fixed
        policy = msgspec.structs.replace(POLICY, max_retries=19, patience_s=PATIENCE_S)
        run = bench(endpoint, governor=governor, policy=policy)
        run.run(400)
        assert {result.status for result in run.outcomes} == {RequestStatus.SUCCEEDED}
        assert endpoint.calls == 420
        assert governor.state().rpm_learned is None
        assert governor.limit == 20


def test_patience_with_rate_limits_ends(bench):
    with MisbehavingEndpoint(e.error(429, "no", None, "Retry-After: 0.1")) as endpoint:
        run = bench(endpoint, policy=msgspec.structs.replace(POLICY, patience_s=0.6))
        run.run(1)
        assert run.outcomes[0].cause is Cause.RATE_LIMIT
        assert 2 <= endpoint.calls <= 8


def test_the_deadline_holds_while_a_request_waits_for_its_turn(bench):
    """The cooldown after a refusal lasts longer than the deadline of the requests that wait for a
    retry."""
    script = [e.error(500), e.error(429, "no", None, "Retry-After: 30"), e.ok()]
    with MisbehavingEndpoint(*script) as endpoint:
        policy = msgspec.structs.replace(POLICY, deadline_s=0.5, patience_s=100)
        run = bench(endpoint, policy=policy, governor=Governor(concurrency=2))
        began = time.monotonic()
        run.run(2)
        assert time.monotonic() - began < 25
        assert {result.cause for result in run.outcomes} == {Cause.SERVER_ERROR, Cause.RATE_LIMIT}
        assert endpoint.calls == 2


def test_one_refusal_cools_everybody_down(bench):
    with MisbehavingEndpoint(e.error(429, "no", None, "Retry-After: 0.4"), e.ok()) as endpoint:
        run = bench(endpoint, governor=Governor(concurrency=1))
        began = time.monotonic()
        run.run(5)
        assert 0.4 <= time.monotonic() - began < 2 * 0.4 * 5  # not once for each
        assert endpoint.calls == 6


def test_no_quota_stops_at_once_and_leaves_the_requests_pending(bench):
    with MisbehavingEndpoint(e.ok(), e.error(429, "pay", "insufficient_quota")) as endpoint:
        run = bench(endpoint, governor=Governor(concurrency=2))
        stop = run.run(100)
        assert stop.reason == "quota"
        assert "resume" in stop.detail
        assert endpoint.calls <= 5
        assert {result.status for result in run.outcomes} <= {RequestStatus.SUCCEEDED}
        assert run.loose


def test_a_bad_key_stops_the_job_before_it_burns_the_file(bench):
    with MisbehavingEndpoint(e.error(401, "wrong key")) as endpoint:
        run = bench(endpoint, governor=Governor(concurrency=2))
        stop = run.run(100)
        assert stop.reason == "auth"
        assert "wrong key" in stop.detail
        assert endpoint.calls <= 6
        assert run.outcomes == []


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_among_successes_is_the_requests_own(bench, status):
    script = [e.ok(), e.error(status), e.ok(), e.ok(), e.error(status), e.ok()]
    with MisbehavingEndpoint(*script) as endpoint:
        run = bench(endpoint, governor=Governor(concurrency=1))
        assert run.run(8) is None
        assert endpoint.calls == 8
        failed = [result for result in run.outcomes if result.status is RequestStatus.FAILED]
        assert [result.http_status for result in failed] == [status, status]


def test_stop_lets_calls_in_flight_finish_and_gives_up_what_waits(bench):
    slow_backoff = msgspec.structs.replace(POLICY, backoff_base_s=60, backoff_max_s=60)
    stopped = Event()

    def held(connection):
        stopped.wait()
        connection.sendall(e.ok())

    with MisbehavingEndpoint(e.error(500), held) as endpoint:
        run = bench(endpoint, policy=slow_backoff, governor=Governor(concurrency=3))
        runner = gevent.spawn(run.run, 50)
        wait_until(lambda: run.pool.retrying and endpoint.calls >= 3)
        (waiting,) = run.pool.retrying
        run.pool.stop()
        stopped.set()
        runner.join(20)
        assert runner.successful()
        assert len(run.outcomes) == endpoint.calls - 1 <= 4
        assert list(run.loose) == [waiting]


def test_a_pool_without_a_share_lets_go_what_waits_and_can_run_again(bench):
    governor = SharedGovernor(concurrency=3)
    shared = governor.share(lambda: None)
    shared.set_share(3, 1.0, time.monotonic())
    slow_backoff = msgspec.structs.replace(POLICY, backoff_base_s=60, backoff_max_s=60)
    with MisbehavingEndpoint(e.error(500), e.slow(0.2)) as endpoint:
        run = bench(endpoint, policy=slow_backoff, governor=governor)
        runner = gevent.spawn(run.run, 50)
        wait_until(lambda: run.pool.retrying and endpoint.calls >= 3)
        (retrying,) = run.pool.retrying
        assert run.pool.ready()
        shared.set_share(0, 0.0, time.monotonic())
        assert not run.pool.ready()
        run.pool.withdraw()
        runner.join(20)
        assert runner.successful()
        assert list(run.loose) == [retrying]
        assert len(run.outcomes) == endpoint.calls - 1 < 49  # what was in flight has ended
        shared.set_share(3, 1.0, time.monotonic())
        done = {result.index for result in run.outcomes}
        left = [request(n) for n in range(50) if n not in done]
        run.run(requests=left)
        assert sorted(result.index for result in run.outcomes) == list(range(50))


def test_kill_cuts_calls_after_the_grace_and_notes_them(bench):
    with MisbehavingEndpoint(e.slow(30)) as endpoint:
        run = bench(endpoint, governor=Governor(concurrency=3))
        runner = gevent.spawn(run.run, 50)
        wait_until(lambda: endpoint.in_flight == 3)
        run.pool.kill(0.1)
        runner.join(20)
        assert runner.successful()
        assert run.outcomes == []
        assert [attempts[-1].cause for attempts in run.loose.values()] == [Cause.CANCELLED] * 3
        assert run.governor.state().in_flight == 0


def test_a_fault_of_ours_ends_one_request_only(bench):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        run = bench(endpoint)
        broken = request(0, body=b"not json at all")
        run.run(requests=iter([broken, request(1)]))
        outcomes = {result.index: result for result in run.outcomes}
        assert outcomes[0].cause is Cause.INTERNAL
        assert outcomes[1].status is RequestStatus.SUCCEEDED


def test_backpressure_from_the_recorder_loses_nothing(bench):
    queue = Queue(maxsize=2)
    with MisbehavingEndpoint(e.ok()) as endpoint:
        run = bench(endpoint)
        runner = gevent.spawn(run.pool.run, (request(n) for n in range(40)), queue.put)
        gevent.sleep(0.2)
        run.pool.stop()
        runner.link(lambda _ended: queue.put(None))
        seen = [result.index for result in iter(queue.get, None)]
        assert len(seen) == len(set(seen)) == endpoint.calls


@pytest.mark.parametrize(
    ("body", "url", "sent"),
    [
        (
            b'{"messages":[]}',
            "/v1/chat/completions",
            {"messages": [], "model": "m", "max_tokens": 9, "temperature": 0.5, "top_p": 1},
        ),
        (
            b'{"messages":[],"model":"own","temperature":0,"max_completion_tokens":5,"stream":true}',
            "/v1/chat/completions",
            {
                "messages": [],
                "model": "own",
                "temperature": 0,
                "max_completion_tokens": 5,
                "top_p": 1,
            },
        ),
        (b'{"input":"x"}', "/v1/embeddings", {"input": "x", "model": "m"}),
    ],
)
def test_the_users_fields_win_over_the_configs(body, url, sent):
    encoder = Encoder(Defaults("m", 9, 0.5, {"top_p": 1}))
    assert json.loads(encoder.encode(request(body=body, url=url))) == sent

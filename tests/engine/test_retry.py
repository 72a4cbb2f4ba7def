"""The retry loop with an injected clock: no waiting, no sockets."""

import json
import random

import pytest

from simple_batch.core.domain import Cause, Request, RequestStatus
from simple_batch.engine.limiters import Permit
from simple_batch.engine.retry import Policy, RetryingCall, StopAll
from simple_batch.engine.transport import Reply, TransportFailure

GOOD = Reply(200, {}, json.dumps({"choices": [{}]}).encode())
PATH = "/v1/chat/completions"


def reply(status, **headers):
    body = json.dumps({"error": {"message": "no"}}).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


class Bench:
    """One request against a script of answers that take a second each."""

    def __init__(self, *script, **policy):
        self.now, self.script, self.sleeps = 0.0, list(script), []
        self.timeouts, self.states = [], []
        self.cooldown_s = 0.0
        request = Request(index=0, custom_id="a", url=PATH, body=b"{}")
        self.call = RetryingCall(
            request,
            encode=lambda request: request.body,
            transport=self,
            limiters=self,
            policy=Policy(**policy),
            rng=random.Random(1),
            clock=lambda: self.now,
            sleep=self._sleep,
        )

    def run(self):
        return self.call.run(self.acquire(2))

    def post(self, _path, _body, timeout_s):
        self.states.append(self.call.state)
        self.timeouts.append(timeout_s)
        self.now += 1.0
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def acquire(self, size):
        return Permit(size)

    def settle(self, *_):
        pass

    def cooldown_left_s(self):
        return self.cooldown_s

    def _sleep(self, seconds):
        self.states.append(self.call.state)
        self.sleeps.append(seconds)
        self.now += seconds


def test_max_retries_counts_calls_after_the_first():
    bench = Bench(reply(500), max_retries=3)
    result = bench.run()
    assert (result.status, result.cause) == (RequestStatus.FAILED, Cause.SERVER_ERROR)
    assert len(result.attempts) == len(bench.timeouts) == 4
    assert [attempt.wait_ms for attempt in result.attempts[:3]] == [
        round(1000 * seconds) for seconds in bench.sleeps
    ]


def test_the_backoff_has_full_jitter_up_to_a_doubling_bound():
    seen = []
    for seed in range(200):
        bench = Bench(reply(500), max_retries=4, backoff_base_s=2.0, backoff_max_s=5.0)
        bench.call._rng = random.Random(seed)
        bench.run()
        seen.append(bench.sleeps)
    for retry, bound in enumerate((2.0, 4.0, 5.0, 5.0)):
        waits = [sleeps[retry] for sleeps in seen]
        assert 0.0 <= min(waits) < 0.1 * bound
        assert 0.9 * bound < max(waits) <= bound


def test_no_retry_comes_sooner_than_the_provider_asks():
    bench = Bench(reply(503, retry_after="7"), GOOD, backoff_base_s=0.1)
    assert bench.run().status is RequestStatus.SUCCEEDED
    assert bench.sleeps == [7.0]


def test_waiting_on_rate_limits_costs_patience_and_no_retry():
    bench = Bench(*[reply(429, retry_after="10")] * 5, GOOD, max_retries=0, patience_s=60)
    result = bench.run()
    assert result.status is RequestStatus.SUCCEEDED
    assert len(result.attempts) == 6
    bench = Bench(reply(429, retry_after="10"), max_retries=9, patience_s=35)
    result = bench.run()
    assert result.cause is Cause.RATE_LIMIT
    assert sum(bench.sleeps) == 30.0


@pytest.mark.parametrize("asked", ["0", "-5", "Sun, 29 Nov 2020 01:35:49 GMT"])
def test_a_wait_of_nothing_is_no_reason_to_call_again_at_once(asked):
    bench = Bench(*[reply(429, retry_after=asked)] * 12, GOOD, max_retries=0)
    assert bench.run().status is RequestStatus.SUCCEEDED
    assert sum(bench.sleeps) > 20  # of a backoff: 1, 2, 4, 4, … s at most, later doubled
    assert len(set(bench.sleeps)) == 12


def test_the_governor_s_cooldown_is_waited_for():
    bench = Bench(reply(429), GOOD)
    bench.cooldown_s = 4.0
    bench.run()
    assert bench.sleeps == [4.0]


def test_the_deadline_bounds_attempts_and_waits():
    bench = Bench(reply(500, retry_after="20"), max_retries=99, deadline_s=50.0)
    result = bench.run()
    assert result.cause is Cause.SERVER_ERROR
    assert bench.now <= 50.0
    assert bench.timeouts == [50.0, 29.0, 8.0]  # the time left for each attempt


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (reply(400), Cause.BAD_REQUEST),
        (reply(422), Cause.BAD_REQUEST),
    ],
)
def test_what_cannot_succeed_is_not_tried_again(answer, cause):
    bench = Bench(answer, max_retries=5)
    assert bench.run().cause is cause
    assert bench.sleeps == []


def test_what_would_hit_every_call_is_handed_to_the_pool():
    with pytest.raises(StopAll) as stopped:
        Bench(reply(401)).run()
    assert stopped.value.result.cause is Cause.AUTH


def test_every_attempt_is_kept_with_what_came_back():
    failure = TransportFailure(Cause.CONNECTION, "connection refused")
    bench = Bench(failure, reply(500), GOOD)
    result = bench.run()
    assert [(a.number, a.cause, a.http_status) for a in result.attempts] == [
        (1, Cause.CONNECTION, None),
        (2, Cause.SERVER_ERROR, 500),
        (3, None, 200),
    ]
    assert all(attempt.latency_ms == 1000 for attempt in result.attempts)
    assert bench.states == [
        RequestStatus.IN_FLIGHT,
        RequestStatus.RETRYING,
        RequestStatus.IN_FLIGHT,
        RequestStatus.RETRYING,
        RequestStatus.IN_FLIGHT,
    ]

"""A wait far beyond a limit's window: of one request, or of all."""

import gevent
import pytest

from simple_batch.core.domain import Cause, RequestStatus
from simple_batch.engine import long_waits
from simple_batch.engine.governor import Governor
from simple_batch.engine.packing import RequestPacker

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import EmbeddingEndpoint, MisbehavingEndpoint
from .conftest import request
from .test_packing import asked

DAY = 86_400
AZURE = (
    f"Your requests to gpt have exceeded the token rate limit. Please retry after {DAY} seconds."
)
REFUSALS = [
    e.error(429, AZURE, "429", f"Retry-After: {DAY}"),
    e.error(429, AZURE, "RateLimitReached"),
    e.http(429, {"error": {"message": "not this one", "retry_after": DAY}}),
    e.error(429, "odd", None, f"llm_provider-retry-after: {DAY}"),
]


class Huge(MisbehavingEndpoint):
    """Refuses the requests named ``huge`` with a long wait, and answers the others after ``delay``."""

    def __init__(self, huge, refusal=REFUSALS[0], delay=0.0):
        super().__init__(b"")
        self.huge, self.refusal, self.delay = set(huge), refusal, delay

    def _next(self, head, body):
        super()._next(head, body)
        number = int(self.bodies[-1]["messages"][0]["content"].split()[1])
        if number in self.huge:
            return self.refusal
        return e.slow(self.delay) if self.delay else e.ok()


def ended(run):
    return {result.index: (result.status, result.cause) for result in run.outcomes}


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize(
    ("huge", "concurrency"), [({4}, 1), ({0}, 1), ({9}, 1), ({4}, 10), ({0}, 10)]
)
def test_one_request_is_refused_until_tomorrow_and_the_others_go_on(
    bench, refusal, huge, concurrency
):
    with Huge(huge, refusal) as endpoint:
        run = bench(endpoint, governor=Governor(concurrency=concurrency))
        assert run.run(10) is None
        assert endpoint.calls == 10  # one try each
        failed = {
            index for index, (status, _) in ended(run).items() if status is RequestStatus.FAILED
        }
        assert (failed, len(run.outcomes)) == (huge, 10)
        (result,) = (result for result in run.outcomes if result.index in huge)
        assert result.cause is result.attempts[-1].cause is Cause.TOO_LARGE


def test_several_of_many_are_their_own(bench):
    """They are refused at once while the others take a while: more than a few in a row."""
    huge = set(range(0, 120, 6))
    with Huge(huge, delay=0.2) as endpoint:
        run = bench(endpoint, governor=Governor(concurrency=40))
        assert run.run(120) is None
        causes = {index: cause for index, (_, cause) in ended(run).items()}
        assert causes == {n: Cause.TOO_LARGE if n in huge else None for n in range(120)}
        assert endpoint.calls == 120


def test_an_overloaded_provider_s_wait_for_one_request_costs_a_retry(bench):
    overloaded = e.error(503, "come back tomorrow", None, f"Retry-After: {DAY}")
    with MisbehavingEndpoint(e.ok(), overloaded, e.ok(), overloaded, e.ok()) as endpoint:
        run = bench(endpoint, governor=Governor(concurrency=1))
        assert run.run(6) is None
        assert {status for status, _ in ended(run).values()} == {RequestStatus.SUCCEEDED}
        assert endpoint.calls == 8
        assert sorted(len(result.attempts) for result in run.outcomes) == [1, 1, 1, 1, 2, 2]


@pytest.mark.parametrize("answered", [0, 7])
@pytest.mark.parametrize("concurrency", [1, 3, 40])
def test_a_wait_for_all_pauses_with_few_calls(bench, answered, concurrency):
    script = [e.ok()] * answered + [REFUSALS[0]]
    with MisbehavingEndpoint(*script) as endpoint:
        run = bench(endpoint, governor=Governor(concurrency=concurrency))
        stop = run.run(400)
        assert stop.reason == "rate_limit"
        assert "until" in stop.detail
        assert stop.until is not None
        assert {status for status, _ in ended(run).values()} <= {RequestStatus.SUCCEEDED}
        assert endpoint.calls <= answered + max(2, concurrency)


def test_calls_that_were_accepted_before_prove_nothing(bench):
    """A limit of a day is reached while earlier calls are still answered."""
    refused = []

    def early(connection):
        wait_until(lambda: refused)
        connection.sendall(e.ok())

    def late(connection):
        refused.append(1)
        connection.sendall(REFUSALS[0])

    with MisbehavingEndpoint(*[early] * 3, late) as endpoint:
        run = bench(endpoint, governor=Governor(concurrency=4))

        def requests():
            for n in range(20):
                if n == 3:
                    gevent.sleep(0.02)  # a later millisecond
                yield request(n)

        assert run.run(requests=requests()).reason == "rate_limit"
        assert {status for status, _ in ended(run).values()} == {RequestStatus.SUCCEEDED}
        assert len(run.outcomes) == 3


def test_a_held_request_stays_pending_when_the_job_is_stopped(bench):
    with Huge({1}, delay=0.3) as endpoint:
        run = bench(endpoint, governor=Governor(concurrency=2))
        runner = gevent.spawn(run.run, 6)
        wait_until(lambda: endpoint.calls == 2)
        wait_until(lambda: run.pool._breaker.waits.held)
        run.pool.stop()
        runner.join(20)
        assert 1 in run.loose
        assert 1 not in ended(run)


def test_no_call_is_held_up_for_long(bench, monkeypatch):
    monkeypatch.setattr(long_waits, "HOLD_S", 0.1)
    with Huge({0}, delay=0.6) as endpoint:
        run = bench(endpoint, governor=Governor(concurrency=2))
        runner = gevent.spawn(run.run, 6)
        wait_until(lambda: endpoint.calls == 3)
        assert endpoint.in_flight == 2  # before the second was answered
        runner.join(20)
        assert len(run.outcomes) == 6


@pytest.mark.parametrize("refusal", [*REFUSALS[:2], e.error(413), e.error(
    429, "Request too large (TPM): Limit 30, Requested 41", "rate_limit_exceeded")])  # fmt: skip
def test_a_pack_that_is_too_large_is_split(bench, refusal):
    def answers(inputs):
        return refusal if sum(map(len, inputs)) > 30 else None

    with EmbeddingEndpoint(answers) as endpoint:
        one = bench(endpoint, packer=RequestPacker(8), governor=Governor(concurrency=2))
        stop = one.run(requests=iter([*(asked(n) for n in range(24)), asked(24, "x" * 40)]))
        assert stop is None
        found = ended(one)
        assert found.pop(24) == (RequestStatus.FAILED, Cause.TOO_LARGE)
        assert set(found.values()) == {(RequestStatus.SUCCEEDED, None)}
        assert len(one.outcomes) == 25
        assert ["x" * 40] in endpoint.inputs

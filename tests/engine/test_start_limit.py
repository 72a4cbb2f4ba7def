"""A fault that all requests of a job share costs a few dozen calls, whatever the concurrency: on a real
socket, with the calls counted by the endpoint."""

import gevent
import pytest
from gevent.event import Event

from simple_batch.core.domain import EMBEDDINGS, Defaults, RequestStatus
from simple_batch.engine.encoder import Encoder
from simple_batch.engine.failure_guard import GuardPolicy
from simple_batch.engine.governor import Governor
from simple_batch.engine.packing import RequestPacker
from simple_batch.engine.parameter_adjuster import ParameterAdjuster
from simple_batch.engine.start_limit import GROWS_EVERY_S, StartLimit

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .conftest import request

FEW_DOZEN = 48
SHARED_FAULTS = {
    "every answer is a 500": e.error(500, "the flux capacitor has melted"),
    "a bad key": e.error(401, "Incorrect API key provided"),
    "a bad key in unknown words": e.error(400, "who goes there? your seal is not among ours"),
    "no money": e.error(402, "Payment Required"),
    "no money in unknown words": e.error(400, "your zorbloks are all gone"),
    "no money in unknown words, a 500": e.error(500, "灵石已尽，请续上"),
    "an unknown model": e.error(404, "The model `m` does not exist", "model_not_found"),
    "an unknown model in unknown words": e.error(422, "m? never heard of such a brain"),
    "a wrong parameter": e.error(400, "Unknown parameter: 'temperature'", "unknown_parameter"),
    "a wrong parameter in unknown words": e.error(400, "we do not do warmth here"),
    "a page that is no answer": e.http(200, b"<html>Welcome!</html>", kind="text/html"),
    "an empty answer": e.http(200, b""),
    "an error within a 200": e.http(200, {"error": {"message": "not today", "code": 777}}),
}


def run_at(bench, endpoint, concurrency, count=3000):
    governor = Governor(concurrency=concurrency)
    run = bench(endpoint, governor=governor, width=concurrency, guard=GuardPolicy())
    return run, run.run(count)


@pytest.mark.parametrize("concurrency", [200, 1000])
@pytest.mark.parametrize("fault", SHARED_FAULTS)
def test_a_fault_that_all_share_costs_a_few_dozen_calls(bench, fault, concurrency):
    with MisbehavingEndpoint(SHARED_FAULTS[fault]) as endpoint:
        run, stop = run_at(bench, endpoint, concurrency)
        assert stop is not None
        assert run.outcomes == []
        assert endpoint.calls <= FEW_DOZEN


def test_slow_failures_cost_no_more(bench):
    def fails_slowly(connection):
        gevent.sleep(0.1)
        connection.sendall(e.error(500, "the flux capacitor has melted"))

    with MisbehavingEndpoint(fails_slowly) as endpoint:
        _run, stop = run_at(bench, endpoint, 1000)
        assert stop.reason == "same_failure"
        assert endpoint.calls <= FEW_DOZEN
        assert endpoint.most_in_flight <= GuardPolicy().first


def test_a_parameter_that_is_left_out_costs_a_few_refusals(bench):
    """Not one for each call that may be in flight."""
    adjustments, refused = [], []

    def defaults():
        return Defaults("m", 50, 0.5, adjustments=tuple(adjustments))

    def without_temperature(connection):
        wrong = "temperature" in endpoint.bodies[-1]
        refused.append(wrong)
        connection.sendall(SHARED_FAULTS["a wrong parameter"] if wrong else e.ok())

    with MisbehavingEndpoint(without_temperature) as endpoint:
        run = bench(endpoint, governor=Governor(concurrency=1000))
        run.pool._encode = lambda one: Encoder(defaults()).encode(one)
        run.pool._adjuster = ParameterAdjuster(
            defaults, lambda new, origin: adjustments.append(new)
        )
        assert run.run(300) is None
        assert {one.status for one in run.outcomes} == {RequestStatus.SUCCEEDED}
        assert 0 < sum(refused) <= GuardPolicy().first


@pytest.mark.parametrize("concurrency", [200, 1000])
@pytest.mark.parametrize(
    "error",
    [
        e.error(500, "the flux capacitor has melted"),
        e.error(400, "your zorbloks are all gone"),
        e.http(200, {"data": []}),
    ],
)
def test_packs_that_all_fail_are_taken_apart_a_few_at_a_time(bench, error, concurrency):
    body = b'{"input":"question"}'
    with MisbehavingEndpoint(error) as endpoint:
        governor, packer = Governor(concurrency=concurrency), RequestPacker(64)
        run = bench(endpoint, governor=governor, packer=packer, guard=GuardPolicy())
        stop = run.run(requests=(request(n, body=body, url=EMBEDDINGS) for n in range(20_000)))
        assert stop.reason == "same_failure"
        assert run.outcomes == []
        assert endpoint.calls <= 2 * FEW_DOZEN


def test_the_first_answer_ends_the_limit(bench):
    """It comes while nine calls are in flight; the others are answered when 150 are."""
    enough = Event()

    def answer(connection):
        if endpoint.in_flight >= 150:
            enough.set()
        if endpoint.calls > 1:
            enough.wait(20)
        connection.sendall(e.ok())

    with MisbehavingEndpoint(answer) as endpoint:
        run, stop = run_at(bench, endpoint, 150, count=400)
        assert stop is None
        assert {one.status for one in run.outcomes} == {RequestStatus.SUCCEEDED}
        assert endpoint.most_in_flight == 150


def test_a_failure_of_one_request_ends_the_limit(bench):
    with MisbehavingEndpoint(e.error(400, "blocked", "content_filter"), e.slow(0.2)) as endpoint:
        _run, stop = run_at(bench, endpoint, 60, count=100)
        assert stop is None
        assert endpoint.most_in_flight > 40


def test_it_holds_again_when_nothing_is_answered_any_more(bench):
    """The requests that are open are tried on, and no others are."""
    answers = [e.ok()] * 20

    def answer(connection):
        gevent.sleep(0.02)
        connection.sendall(
            answers.pop() if answers else e.error(500, "the flux capacitor has melted")
        )

    with MisbehavingEndpoint(answer) as endpoint:
        _run, stop = run_at(bench, endpoint, 60)
        assert stop.reason == "same_failure"
        # the 20, those that fail in a row until it holds, and those in flight before and after
        assert len({body["messages"][0]["content"] for body in endpoint.bodies}) <= 20 + 50 + 2 * 60


def test_it_holds_again_after_as_many_failures_as_decide():
    limit = StartLimit(10, 50)
    assert limit.end()
    assert not any(limit.called(False) for _ in range(49))
    assert limit.allows(500, 0, False)
    limit.called(False)
    assert not limit.allows(50, 0, False)
    assert limit.allows(49, 0, False)
    assert limit.called(True)
    assert limit.allows(500, 0, False)


def test_the_limit_grows_while_a_model_thinks():
    now = [0.0]
    limit = StartLimit(10, clock=lambda: now[0])
    assert limit.allows(9, 0, True)
    assert not limit.allows(10, 0, True)
    now[0] = 2 * GROWS_EVERY_S
    assert limit.allows(29, 0, True)
    assert not limit.allows(30, 0, True)
    assert not limit.allows(10, 0, False)  # a call has failed
    assert limit.allows(2, 7, False)
    assert not limit.allows(3, 7, False)
    assert limit.allows(0, 30, False)  # one is always tried

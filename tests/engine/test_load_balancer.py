"""Requests distributed to several upstreams, with a clock of the test."""

import gevent
import pytest

from simple_batch.core.domain import Cause, Request, Spread
from simple_batch.engine.load_balancer import DOWN_AFTER, DOWN_S, LoadBalancer


class SimulatedUpstreams:
    """A load balancer whose upstreams take requests when the test says so."""

    def __init__(self, count, mode, *weights):
        self.now = 0.0
        requests = (Request(n, f"r-{n}", b"{}") for n in range(count))
        self.balancer = LoadBalancer(requests, mode, lambda: self.now)
        self.cooling = [False] * len(weights)
        self.upstreams = [
            self.balancer.add(weight, lambda place=place: self.cooling[place])
            for place, weight in enumerate(weights)
        ]
        self.drawn = [[] for _ in weights]

    def round(self, *places, end=True):
        """Each of these upstreams takes at most one request; returns how many each got."""
        before = [len(drawn) for drawn in self.drawn]
        for place in places or range(len(self.upstreams)):
            upstream = self.upstreams[place]
            request = self.balancer._next(upstream) if upstream.available else None
            if request is not None:
                self.drawn[place].append(request.index)
                if end:
                    self.balancer.ended(upstream, request.index, None)
        return [len(drawn) - old for drawn, old in zip(self.drawn, before, strict=True)]


def test_each_as_fast_as_it_can():
    simulated = SimulatedUpstreams(100, Spread.FAST, 1, 1)
    for _ in range(30):
        simulated.round(0)
    assert simulated.round(1) == [0, 1]
    assert len(simulated.drawn[0]) == 30


def test_by_weight():
    simulated = SimulatedUpstreams(400, Spread.WEIGHT, 3, 1)
    for _ in range(400):
        simulated.round()
    assert [len(drawn) for drawn in simulated.drawn] == pytest.approx([300, 100], abs=2)


def test_by_weight_the_slow_one_sets_the_pace_unless_it_is_not_available():
    simulated = SimulatedUpstreams(400, Spread.WEIGHT, 1, 1)
    for _ in range(20):
        simulated.round(0)  # the other upstream takes nothing
    assert len(simulated.drawn[0]) <= 2
    simulated.cooling[1] = True
    for _ in range(20):
        simulated.round(0)
    assert len(simulated.drawn[0]) >= 20
    simulated.cooling[1] = False
    before = len(simulated.drawn[1])
    for _ in range(20):
        simulated.round()
    assert len(simulated.drawn[1]) - before == pytest.approx(20, abs=2)  # no catching up


def test_in_order_the_next_takes_over_while_the_first_cools():
    simulated = SimulatedUpstreams(100, Spread.ORDER, 1, 1, 1)
    assert simulated.round() == [1, 0, 0]
    simulated.cooling[0] = True
    assert simulated.round() == [0, 1, 0]
    simulated.cooling[1] = True
    assert simulated.round() == [0, 0, 1]
    simulated.cooling[:] = [False] * 3
    assert simulated.round() == [1, 0, 0]


def test_an_endpoint_that_fails_is_left_alone_for_longer_and_longer():
    simulated = SimulatedUpstreams(1_000, Spread.ORDER, 1, 1)
    first = simulated.upstreams[0]
    downs = [first.failed() for _ in range(DOWN_AFTER)]
    assert downs == [False] * (DOWN_AFTER - 1) + [True]
    assert simulated.round() == [0, 1]
    simulated.now += DOWN_S[0]
    assert simulated.round(end=False) == [1, 0]  # it is tried again
    assert first.failed()
    simulated.now += DOWN_S[0]
    assert simulated.round() == [0, 1]
    simulated.now += DOWN_S[0]
    first.answered()
    assert simulated.round() == [1, 0]
    assert not first.failed()


def test_what_one_has_failed_goes_to_another_and_ends_with_the_last():
    simulated = SimulatedUpstreams(1, Spread.ORDER, 1, 1)
    first, second = simulated.upstreams
    simulated.round(0, end=False)
    assert not simulated.balancer.ended(first, 0, Cause.SERVER_ERROR)
    assert simulated.round(0, end=False) == [0, 0]  # not to the same upstream again
    assert simulated.round(1, end=False) == [0, 1]
    assert simulated.balancer.ended(second, 0, Cause.TIMEOUT)
    assert list(simulated.balancer.draw(first)) == []


def test_a_fault_of_the_request_goes_nowhere_else():
    simulated = SimulatedUpstreams(1, Spread.FAST, 1, 1)
    simulated.round(0, end=False)
    assert simulated.balancer.ended(simulated.upstreams[0], 0, Cause.BAD_REQUEST)


def test_an_abandoned_request_goes_to_another_upstream():
    simulated = SimulatedUpstreams(1, Spread.FAST, 1, 1)
    simulated.round(0, end=False)
    simulated.balancer.given_up(0)
    assert not simulated.balancer.stop(simulated.upstreams[0])
    assert simulated.round() == [0, 1]
    assert simulated.balancer.stop(simulated.upstreams[1])


def test_an_upstream_waits_for_requests_that_others_may_return():
    simulated = SimulatedUpstreams(1, Spread.FAST, 1, 1)
    simulated.round(0, end=False)
    waiting = gevent.spawn(
        lambda: [r.index for r in simulated.balancer.draw(simulated.upstreams[1])]
    )
    gevent.sleep(0.02)
    assert not waiting.ready()
    simulated.balancer.ended(simulated.upstreams[0], 0, Cause.CONNECTION)
    gevent.sleep(0.1)
    assert simulated.balancer.ended(simulated.upstreams[1], 0, None)
    assert waiting.get(timeout=20) == [0]

"""Requests dealt out to several endpoints, by a clock of the test's own."""

import gevent
import pytest

from simple_batch.core.domain import Cause, Request, Spread
from simple_batch.engine.load_balancer import DOWN_AFTER, DOWN_S, LoadBalancer


class Table:
    """A dealer with hands that draw when they are told to."""

    def __init__(self, count, mode, *weights):
        self.now = 0.0
        requests = (Request(n, f"r-{n}", b"{}") for n in range(count))
        self.dealer = LoadBalancer(requests, mode, lambda: self.now)
        self.cooling = [False] * len(weights)
        self.hands = [
            self.dealer.add(weight, lambda place=place: self.cooling[place])
            for place, weight in enumerate(weights)
        ]
        self.drawn = [[] for _ in weights]

    def round(self, *places, end=True):
        """Each of these hands draws what it may, one at a time; returns how many each got."""
        before = [len(drawn) for drawn in self.drawn]
        for place in places or range(len(self.hands)):
            hand = self.hands[place]
            request = self.dealer._next(hand) if hand.available else None
            if request is not None:
                self.drawn[place].append(request.index)
                if end:
                    self.dealer.ended(hand, request.index, None)
        return [len(drawn) - old for drawn, old in zip(self.drawn, before, strict=True)]


def test_each_as_fast_as_it_can():
    table = Table(100, Spread.FAST, 1, 1)
    for _ in range(30):
        table.round(0)
    assert table.round(1) == [0, 1]
    assert len(table.drawn[0]) == 30


def test_by_weight():
    table = Table(400, Spread.WEIGHT, 3, 1)
    for _ in range(400):
        table.round()
    assert [len(drawn) for drawn in table.drawn] == pytest.approx([300, 100], abs=2)


def test_by_weight_the_slow_one_sets_the_pace_unless_it_is_not_available():
    table = Table(400, Spread.WEIGHT, 1, 1)
    for _ in range(20):
        table.round(0)  # the other does not ask
    assert len(table.drawn[0]) <= 2
    table.cooling[1] = True
    for _ in range(20):
        table.round(0)
    assert len(table.drawn[0]) >= 20
    table.cooling[1] = False
    before = len(table.drawn[1])
    for _ in range(20):
        table.round()
    assert len(table.drawn[1]) - before == pytest.approx(20, abs=2)  # nothing is made up for


def test_in_order_the_next_takes_over_while_the_first_cools():
    table = Table(100, Spread.ORDER, 1, 1, 1)
    assert table.round() == [1, 0, 0]
    table.cooling[0] = True
    assert table.round() == [0, 1, 0]
    table.cooling[1] = True
    assert table.round() == [0, 0, 1]
    table.cooling[:] = [False] * 3
    assert table.round() == [1, 0, 0]


def test_an_endpoint_that_fails_is_left_alone_for_longer_and_longer():
    table = Table(1_000, Spread.ORDER, 1, 1)
    first = table.hands[0]
    downs = [first.failed() for _ in range(DOWN_AFTER)]
    assert downs == [False] * (DOWN_AFTER - 1) + [True]
    assert table.round() == [0, 1]
    table.now += DOWN_S[0]
    assert table.round(end=False) == [1, 0]  # it is tried again
    assert first.failed()
    table.now += DOWN_S[0]
    assert table.round() == [0, 1]
    table.now += DOWN_S[0]
    first.answered()
    assert table.round() == [1, 0]
    assert not first.failed()


def test_what_one_has_failed_goes_to_another_and_ends_with_the_last():
    table = Table(1, Spread.ORDER, 1, 1)
    first, second = table.hands
    table.round(0, end=False)
    assert not table.dealer.ended(first, 0, Cause.SERVER_ERROR)
    assert table.round(0, end=False) == [0, 0]  # not to the same again
    assert table.round(1, end=False) == [0, 1]
    assert table.dealer.ended(second, 0, Cause.TIMEOUT)
    assert list(table.dealer.draw(first)) == []


def test_a_fault_of_the_request_goes_nowhere_else():
    table = Table(1, Spread.FAST, 1, 1)
    table.round(0, end=False)
    assert table.dealer.ended(table.hands[0], 0, Cause.BAD_REQUEST)


def test_what_was_given_up_is_taken_by_whoever_can():
    table = Table(1, Spread.FAST, 1, 1)
    table.round(0, end=False)
    table.dealer.given_up(0)
    assert not table.dealer.stop(table.hands[0])
    assert table.round() == [0, 1]
    assert table.dealer.stop(table.hands[1])


def test_a_hand_waits_for_what_others_may_still_return():
    table = Table(1, Spread.FAST, 1, 1)
    table.round(0, end=False)
    waiting = gevent.spawn(lambda: [r.index for r in table.dealer.draw(table.hands[1])])
    gevent.sleep(0.02)
    assert not waiting.ready()
    table.dealer.ended(table.hands[0], 0, Cause.CONNECTION)
    gevent.sleep(0.1)
    assert table.dealer.ended(table.hands[1], 0, None)
    assert waiting.get(timeout=20) == [0]

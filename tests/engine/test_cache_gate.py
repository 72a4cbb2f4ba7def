"""Requests that share a prefix wait for the first of them."""

import pytest

from simple_batch.core.domain import Request
from simple_batch.engine.cache_gate import FAILED_LEADERS, PrefixGate
from simple_batch.engine.prefix_window import RequestWindow


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def asked(index: int, prefix: int | None) -> Request:
    return Request(index, str(index), b"{}", prefix=prefix)


class Sending:
    """A window over requests with these prefixes, and what an endpoint does."""

    def __init__(self, *prefixes: int | None, rpm=None, page=100, max_held=400):
        self.clock = Clock()
        self.gate = PrefixGate(rpm, 10.0, 300.0, self.clock)
        requests = [asked(index, prefix) for index, prefix in enumerate(prefixes)]
        pages = (requests[at : at + page] for at in range(0, len(requests), page))
        self.window = RequestWindow(pages, lambda: None, max_held=max_held)

    def go(self) -> list[int]:
        """The requests that may go now."""
        gone = []
        while (request := self.window.take(self.gate)) is not None:
            self.gate.began(request.index)
            gone.append(request.index)
        return gone

    def end(self, *indices: int, answered: bool = True) -> None:
        for index in indices:
            self.gate.called(index, answered)
            if answered:
                self.gate.left(index)


@pytest.fixture
def sending():
    return Sending


def test_one_of_each_prefix_goes_first_and_requests_without_one_go_on(sending):
    s = sending(1, 1, None, 2, 1, 2, None)
    assert s.go() == [0, 2, 3, 6]
    s.end(3)
    assert s.go() == [5]
    s.end(0)
    assert s.go() == [1, 4]
    assert s.window.exhausted


def test_a_leader_that_fails_is_replaced_and_its_answer_still_counts(sending):
    s = sending(1, 1, 1, 1)
    assert s.go() == [0]
    s.end(0, answered=False)
    assert s.go() == [1]
    s.end(0)  # its retry
    assert s.go() == [2, 3]


def test_a_leader_that_is_given_up_is_replaced(sending):
    s = sending(1, 1, 1)
    assert s.go() == [0]
    s.gate.left(0)
    assert s.go() == [1]


def test_after_several_failed_leaders_nothing_is_held(sending):
    s = sending(*[1] * 20)
    for number in range(FAILED_LEADERS):
        assert s.go() == [number]
        s.end(number, answered=False)
    assert s.go() == list(range(FAILED_LEADERS, 20))


def test_a_leader_is_waited_for_a_short_time_only(sending):
    s = sending(1, 1, 1)
    assert s.go() == [0]
    s.clock.now += 9.9
    assert s.go() == []
    s.clock.now += 0.2
    assert s.go() == [1, 2]


def test_a_warm_prefix_turns_cold_after_its_lifetime(sending):
    s = sending(*[1] * 6, page=3)
    assert s.go() == [0]
    s.end(0)
    s.clock.now += 299
    assert s.window.take(s.gate).index == 1  # it is used, and lasts
    s.clock.now += 299
    assert s.window.take(s.gate).index == 2
    s.clock.now += 301
    assert s.go() == [3]
    s.end(3)
    assert s.go() == [4, 5]


def test_a_key_serves_no_more_than_its_rate_and_each_key_has_a_leader(sending):
    s = sending(*[1] * 100, rpm=15)
    leaders = s.go()
    assert leaders == [0, 15, 30, 45, 60, 75, 90]  # 14 wait for each
    assert [s.gate.entry_of(index) for index in leaders] == list(range(7))
    s.end(15)
    followers = s.go()
    assert followers == list(range(1, 15))
    assert {s.gate.entry_of(index) for index in followers} == {1}
    s.end(*followers, *[index for index in leaders if index != 15])
    rest = s.go()
    assert len(followers + leaders + rest) == 100
    by_key = [s.gate.entry_of(index) for index in rest]
    assert all(by_key.count(number) <= 14 for number in range(7))


def test_a_key_is_used_again_after_a_minute(sending):
    s = sending(*[1] * 45, rpm=15, page=15)
    assert s.go() == [0, 15, 30]
    s.end(0, 15, 30)
    assert len(s.go()) == 42
    more = [asked(100 + n, 1) for n in range(45)]
    again = RequestWindow(iter([more]), lambda: None)
    s.clock.now += 61
    s.window = again
    assert s.go() == [request.index for request in more]  # three keys are warm: none is led
    assert {s.gate.entry_of(request.index) for request in more} == {0, 1, 2}


def test_answers_in_any_order_free_those_that_wait(sending):
    s = sending(*[1] * 60, rpm=15)
    assert s.go() == [0, 15, 30, 45]
    for leader in (45, 15, 30, 0):
        s.end(leader)
        assert len(s.go()) == 14
    assert s.window.exhausted


def test_an_answer_while_a_page_is_read_frees_those_that_wait():
    """The read of a page blocks; with several workers, until a call may start."""
    gate = PrefixGate(None, 10.0, 300.0, Clock())

    def pages():
        yield [asked(0, 1), asked(1, 1)]
        gate.called(0, True)
        gate.left(0)
        yield [asked(2, 1)]

    window = RequestWindow(pages(), lambda: None)
    gone = []
    while (request := window.take(gate)) is not None:
        gate.began(request.index)
        gone.append(request.index)
    assert sorted(gone) == [0, 1, 2]
    assert window.exhausted


def test_what_one_window_found_does_not_hold_for_the_next():
    one, other = PrefixGate(None, 10.0, 300.0, Clock()), PrefixGate(None, 10.0, 300.0, Clock())
    first = RequestWindow(iter([[asked(index, 1) for index in range(3)]]), lambda: None)
    assert [first.take(one).index, first.take(other).index] == [0, 1]
    assert first.take(one) is first.take(other) is None
    second = RequestWindow(iter([[asked(3, 7), asked(4, 7)]]), lambda: None)
    assert second.take(one).index == 3
    assert second.take(one) is None
    assert second.take(other).index == 4


def test_what_is_held_and_remembered_is_bounded(sending):
    s = sending(*[1] * 3_000, page=200)
    assert s.go() == [0]
    assert s.window._count <= 600
    many = sending(*range(1, 6_001), page=200)
    assert len(many.go()) == 6_000
    assert many.gate._entries <= 4_001


def test_each_endpoint_has_its_own_leader(sending):
    s = sending(1, 1, 1, 1)
    other = PrefixGate(None, 10.0, 300.0, s.clock)
    assert s.window.take(s.gate).index == 0
    assert s.window.take(s.gate) is None
    assert s.window.take(other).index == 1
    assert s.window.take(other) is None
    other.called(1, True)
    assert s.window.take(s.gate) is None
    assert [s.window.take(other).index for _ in range(2)] == [2, 3]

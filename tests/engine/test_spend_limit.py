"""Spend limits: whatever calls cost, a cap is overshot at most by the calls in flight."""

import gevent
import pytest
from gevent.pool import Pool
from hypothesis import given, settings
from hypothesis import strategies as st

from simple_batch.engine.breaker import PauseReason
from simple_batch.engine.spend_limit import Cap, CapReached, SpendLimit


def make_limit(cap: int | None, spent: int = 0) -> SpendLimit:
    return SpendLimit({"job": Cap(cap, spent)}, lambda name, bound: PauseReason("spent", name))


def run(spend_limit: SpendLimit, costs: list, width: int) -> tuple[int, int]:
    """Make calls, ``width`` at a time; returns the number of calls and the most in flight."""
    left, running, widest, made = iter(costs), 0, 0, 0

    def work():
        nonlocal running, widest, made
        for cost in left:
            try:
                spend_limit.acquire()
            except CapReached:
                return
            running, made = running + 1, made + 1
            widest = max(widest, running)
            gevent.sleep(0)
            running -= 1
            spend_limit.settle(cost)

    pool = Pool(width)
    for _ in range(width):
        pool.spawn(work)
    assert pool.join(timeout=20), "some wait for ever"
    return made, widest


some_costs = st.lists(st.none() | st.integers(0, 1_000), min_size=1, max_size=200)


@given(costs=some_costs, width=st.integers(1, 40), cap=st.integers(1, 20_000))
@settings(max_examples=150)
def test_a_bound_is_overshot_by_what_is_in_flight_at_most(costs, width, cap):
    spend_limit = make_limit(cap)
    made, in_flight = run(spend_limit, costs, width)
    bound = spend_limit.caps["job"]
    dearest = max((cost or 0) for cost in costs)
    assert bound.spent < cap + max(1, in_flight * dearest)
    assert made == len(costs) or bound.spent >= cap


def test_without_a_bound_everything_goes_and_is_counted():
    spend_limit = make_limit(None)
    assert run(spend_limit, [5] * 100, 30) == (100, 30)
    spend_limit.set_limits(job=500)
    with pytest.raises(CapReached):
        spend_limit.acquire()
    spend_limit.set_limits(job=501)
    spend_limit.acquire()


def test_a_raised_bound_lets_those_go_that_wait():
    spend_limit = make_limit(100, spent=90)
    spend_limit.acquire()
    spend_limit.settle(9)  # one more call is expected to fit, two are not
    spend_limit.acquire()
    waiting = gevent.spawn(spend_limit.acquire)
    gevent.sleep(0.01)
    assert not waiting.dead
    spend_limit.set_limits(job=200)
    waiting.get(timeout=30)


def test_one_that_waits_hears_that_the_bound_is_reached():
    spend_limit = make_limit(100, spent=90)
    spend_limit.acquire()
    spend_limit.settle(9)
    spend_limit.acquire()
    waiting = gevent.spawn(spend_limit.acquire)
    gevent.sleep(0.01)
    spend_limit.settle(9)
    with pytest.raises(CapReached):
        waiting.get(timeout=30)


def test_only_the_money_of_a_block_is_spent_where_there_is_one():
    spend_limit, block = make_limit(1_000), Cap(0, 0)
    spend_limit.keep_to(block)
    waiting = [gevent.spawn(spend_limit.acquire) for _ in range(2)]
    gevent.sleep(0.01)
    assert spend_limit.starved
    assert not any(one.dead for one in waiting)
    block.limit = 30
    spend_limit.set_limits()
    gevent.joinall(waiting, timeout=30, raise_error=True)
    spend_limit.starved = False
    spend_limit.settle(20)
    another = gevent.spawn(spend_limit.acquire)  # two calls may cost more than the lease
    gevent.sleep(0.01)
    assert spend_limit.starved
    assert not another.dead
    spend_limit.settle(5)
    another.get(timeout=30)
    spend_limit.settle(5)
    last = gevent.spawn(spend_limit.acquire)
    gevent.sleep(0.01)
    assert not last.dead  # the lease is used up, the cap is not
    spend_limit.set_limits(job=30)
    with pytest.raises(CapReached):
        last.get(timeout=30)

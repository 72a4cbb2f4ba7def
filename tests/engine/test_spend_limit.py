"""The purse: whatever calls cost and however many run, a bound is overshot by those in flight at most."""

import gevent
import pytest
from gevent.pool import Pool
from hypothesis import given, settings
from hypothesis import strategies as st

from simple_batch.engine.breaker import PauseReason
from simple_batch.engine.spend_limit import Cap, CapReached, SpendLimit


def purse_of(most: int | None, spent: int = 0) -> SpendLimit:
    return SpendLimit({"job": Cap(most, spent)}, lambda name, bound: PauseReason("spent", name))


def run(purse: SpendLimit, costs: list, width: int) -> tuple[int, int]:
    """Make calls, ``width`` at a time; returns how many were made and the most in flight."""
    left, running, most, made = iter(costs), 0, 0, 0

    def work():
        nonlocal running, most, made
        for cost in left:
            try:
                purse.take()
            except CapReached:
                return
            running, made = running + 1, made + 1
            most = max(most, running)
            gevent.sleep(0)
            running -= 1
            purse.settle(cost)

    pool = Pool(width)
    for _ in range(width):
        pool.spawn(work)
    assert pool.join(timeout=20), "some wait for ever"
    return made, most


some_costs = st.lists(st.none() | st.integers(0, 1_000), min_size=1, max_size=200)


@given(costs=some_costs, width=st.integers(1, 40), most=st.integers(1, 20_000))
@settings(max_examples=150, deadline=None)
def test_a_bound_is_overshot_by_what_is_in_flight_at_most(costs, width, most):
    purse = purse_of(most)
    made, in_flight = run(purse, costs, width)
    bound = purse.bounds["job"]
    dearest = max((cost or 0) for cost in costs)
    assert bound.spent < most + max(1, in_flight * dearest)
    assert made == len(costs) or bound.spent >= most


def test_without_a_bound_everything_goes_and_is_counted():
    purse = purse_of(None)
    assert run(purse, [5] * 100, 30) == (100, 30)
    purse.limit(job=500)
    with pytest.raises(CapReached):
        purse.take()
    purse.limit(job=501)
    purse.take()


def test_a_raised_bound_lets_those_go_that_wait():
    purse = purse_of(100, spent=90)
    purse.take()
    purse.settle(9)  # one more is expected to fit in, two are not
    purse.take()
    waiting = gevent.spawn(purse.take)
    gevent.sleep(0.01)
    assert not waiting.dead
    purse.limit(job=200)
    waiting.get(timeout=30)


def test_one_that_waits_hears_that_the_bound_is_reached():
    purse = purse_of(100, spent=90)
    purse.take()
    purse.settle(9)
    purse.take()
    waiting = gevent.spawn(purse.take)
    gevent.sleep(0.01)
    purse.settle(9)
    with pytest.raises(CapReached):
        waiting.get(timeout=30)


def test_only_the_money_of_a_block_is_spent_where_there_is_one():
    purse, block = purse_of(1_000), Cap(0, 0)
    purse.keep_to(block)
    waiting = [gevent.spawn(purse.take) for _ in range(2)]
    gevent.sleep(0.01)
    assert purse.hungry
    assert not any(one.dead for one in waiting)
    block.most = 30
    purse.limit()
    gevent.joinall(waiting, timeout=30, raise_error=True)
    purse.hungry = False
    purse.settle(20)
    another = gevent.spawn(purse.take)  # two are expected to cost more than the block holds
    gevent.sleep(0.01)
    assert purse.hungry
    assert not another.dead
    purse.settle(5)
    another.get(timeout=30)
    purse.settle(5)
    last = gevent.spawn(purse.take)
    gevent.sleep(0.01)
    assert not last.dead  # the block is used up, the bound is not
    purse.limit(job=30)
    with pytest.raises(CapReached):
        last.get(timeout=30)

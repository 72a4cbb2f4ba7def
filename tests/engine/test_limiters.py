"""What a call has to pass before it starts: all of it in order, and none of it kept where it cannot."""

import gevent
import pytest

from simple_batch.engine.breaker import PauseReason
from simple_batch.engine.governor import Flow, Governor
from simple_batch.engine.limiters import Dismissed, Limiters
from simple_batch.engine.semaphore import ResizableSemaphore
from simple_batch.engine.spend_limit import Cap, CapReached, SpendLimit


class Guard(SpendLimit):
    """A spend limit of 100, which calls at no cost are charged to."""

    def __init__(self):
        super().__init__({"job": Cap(100, 0)}, lambda name, cap: PauseReason("spent", name))

    def settle(self, finding, latency_ms):
        super().settle(None)


class Setting:
    """Limiters for one call at a time on the governor, two of the job and of the worker."""

    def __init__(self):
        self.governor, self.guard, self.flow = Governor(concurrency=1), Guard(), Flow()
        self.slots, self.worker_slots = ResizableSemaphore(2), ResizableSemaphore(2)
        self.limiters = Limiters(
            self.governor, self.flow, self.slots, self.worker_slots, self.guard
        )

    @property
    def held(self):
        slots = self.slots.taken, self.worker_slots.taken
        return *slots, self.guard.in_flight, self.governor.in_flight


def waiting(setting) -> gevent.Greenlet:
    """A second call that waits for the governor, while the first runs."""
    second = gevent.spawn(setting.limiters.acquire, 100)
    gevent.sleep(0.01)
    assert not second.dead
    assert setting.held == (2, 1, 2, 1)  # it holds no slot of the worker
    return second


def test_a_call_holds_all_of_it_until_it_is_settled():
    setting = Setting()
    permit = setting.limiters.acquire(100)
    assert setting.held == (1, 1, 1, 1)
    setting.limiters.settle(permit, None, 0)
    assert setting.held == (0, 0, 0, 0)


def test_a_cap_that_is_reached_while_a_call_waits_stops_it_and_nothing_is_kept():
    setting = Setting()
    permit = setting.limiters.acquire(100)
    second = waiting(setting)
    setting.guard.caps["job"].spent = 100
    setting.limiters.settle(permit, None, 0)
    with pytest.raises(CapReached):
        second.get(timeout=20)
    assert setting.held == (0, 0, 0, 0)


def test_a_dismissed_call_keeps_nothing():
    setting = Setting()
    permit = setting.limiters.acquire(100)
    second = waiting(setting)
    setting.limiters.dismiss()
    with pytest.raises(Dismissed):
        second.get(timeout=20)
    assert setting.held == (1, 1, 1, 1)
    setting.limiters.settle(permit, None, 0)
    assert setting.held == (0, 0, 0, 0)


def test_a_call_that_is_killed_while_it_waits_for_the_worker_keeps_nothing():
    setting = Setting()
    for _ in range(2):
        setting.worker_slots.acquire()
    third = gevent.spawn(setting.limiters.acquire, 100)
    gevent.sleep(0.01)
    assert setting.held == (1, 2, 1, 1)
    third.kill()
    assert setting.held == (0, 2, 0, 0)

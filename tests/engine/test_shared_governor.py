"""A governor that admits calls on its worker's share of the limits."""

import gevent
import pytest

from simple_batch.cluster.shared_governor import SharedGovernor
from simple_batch.core.domain import Cause
from simple_batch.engine.classify import Classification

from .test_governor import Clock, admitted, settle

REFUSED = Classification(Cause.RATE_LIMIT, None, 429)


@pytest.fixture
def clock():
    return Clock()


def test_a_worker_goes_on_after_its_refusals_when_no_call_is_in_flight(clock):
    """Refusals close together make it wait for what the worker that learns decides; its share stays."""
    governor = SharedGovernor(clock=clock, later=clock.later)
    share = governor.share(lambda: None)
    share.set_share(4, 0.25, clock.now)
    governor.apply_share(0.0)
    for _ in range(3):
        settle(governor, admitted(governor, 1))
        clock.advance(1.0)
    refused = admitted(governor, 4)
    clock.advance(1.0)
    assert len(refused) == 4
    settle(governor, refused, REFUSED)
    waiting = admitted(governor, 1)
    assert waiting == []
    assert governor.in_flight == 0
    clock.advance(2.0)
    gevent.sleep(0)
    assert len(waiting) == 1


def test_the_first_refusal_of_the_first_calls_holds_the_others_of_the_worker_back(clock):
    """No worker knows a limit yet: the calls that wait do not run into it, and then start one by one."""
    governor = SharedGovernor(clock=clock, later=clock.later)
    share = governor.share(lambda: None)
    share.set_share(8, 0.25, clock.now)
    governor.apply_share(0.0)
    clock.advance(1.0)
    first = admitted(governor, 4)
    clock.advance(1.0)
    assert len(first) == 4
    settle(governor, first[:1], REFUSED)
    waiting = admitted(governor, 4)
    clock.advance(0.2)
    gevent.sleep(0)
    assert waiting == []
    clock.advance(0.15)
    gevent.sleep(0)
    assert len(waiting) == 1
    clock.advance(1.0)
    gevent.sleep(0)
    assert len(waiting) == 4

"""What a governor says about the limit that holds calls back."""

from collections import deque

import pytest

from simple_batch.core.domain import Cause, LimitedBy
from simple_batch.engine.classify import Classification
from simple_batch.engine.governor import Flow, Governor, _Waiting

from .simulation import Concurrency, FixedWindow, Simulation, TokenBucket, Unlimited
from .test_governor import Clock, admitted, settle

REFUSED = Classification(Cause.RATE_LIMIT, None, 429, retry_after_s=7.0)


@pytest.fixture
def clock():
    return Clock()


def endless(provider):
    """A simulation whose governor always has a call waiting."""
    simulation = Simulation(provider)
    simulation.governor._waiting[Flow()] = deque([_Waiting(400)])
    return simulation


def held(clock, calls, **limits):
    """What limits a governor with that many calls in flight and one waiting."""
    gov = Governor(clock=clock, later=clock.later, **limits)
    admitted(gov, calls)
    state = gov.state()
    return state.limited_by, state.limited_to


def test_nothing_where_no_call_waits(clock):
    assert held(clock, 3, concurrency=3) == (LimitedBy.NOTHING, None)


def test_the_ceilings_that_the_user_set(clock):
    assert held(clock, 4, concurrency=3) == (LimitedBy.CONCURRENCY, 3)
    assert held(clock, 40, concurrency=100, rpm=600) == (LimitedBy.REQUESTS, 600)
    assert held(clock, 80, concurrency=100, tpm=600) == (LimitedBy.TOKENS, 600)


def test_without_a_refusal_the_concurrency_grows(clock):
    assert held(clock, 9, start=8) == (LimitedBy.GROWING, 8)


def test_a_wait_after_a_refusal(clock):
    gov = Governor(clock=clock, later=clock.later, concurrency=50)
    tickets = admitted(gov, 50)
    settle(gov, tickets[:40], REFUSED)
    admitted(gov, 5)
    assert gov.state().limited_by is LimitedBy.COOLDOWN


@pytest.mark.parametrize(
    ("provider", "expected", "value"),
    [
        (TokenBucket(10, 10), LimitedBy.LEARNED_REQUESTS, 600),
        (Concurrency(20), LimitedBy.LEARNED_CONCURRENCY, 20),
    ],
)
def test_what_refusals_have_shown(provider, expected, value):
    simulation = endless(provider)
    simulation.run(60)
    seen = []
    for _ in range(200):
        simulation.run(0.1)
        seen.append(simulation.governor.state())
    named = [state for state in seen if state.limited_by is expected]
    assert len(named) >= 100
    assert named[-1].limited_to == pytest.approx(value, rel=0.15)


def test_the_calls_of_a_minute():
    simulation = endless(FixedWindow(3, 60))
    simulation.run(300)
    seen = set()
    for _ in range(120):
        simulation.run(1)
        seen.add(simulation.governor.state().limited_by)
    assert seen & {LimitedBy.WINDOW, LimitedBy.COOLDOWN}


def test_relearning_forgets_a_limit_that_is_gone():
    simulation = Simulation(TokenBucket(10, 10))
    simulation.run(120)
    simulation.provider = Unlimited(200)
    simulation.governor.relearn()
    assert simulation.governor.state().rpm_learned is None
    admitted_calls, refused = simulation.run(20)
    assert admitted_calls > 5 * 10 * 20
    assert refused == 0


def test_relearning_finds_a_limit_that_is_there_again():
    simulation = Simulation(TokenBucket(10, 10))
    simulation.run(120)
    simulation.governor.relearn()
    simulation.run(60)
    admitted_calls, refused = simulation.run(60)
    assert admitted_calls >= 0.93 * 600
    assert refused <= 0.05 * 600
    assert simulation.governor.state().rpm_learned == pytest.approx(600, rel=0.1)

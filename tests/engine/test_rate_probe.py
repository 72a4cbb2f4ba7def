"""When a rate is probed for more, and what a refused probe shows."""

import pytest

from simple_batch.engine.admitted_calls import AdmittedCalls
from simple_batch.engine.estimators import (
    PLATEAU_MOVED_S,
    PLATEAU_QUIET_S,
    PLATEAU_S,
    RateEstimator,
)
from simple_batch.engine.limit_types import Ticket
from simple_batch.engine.rate_probe import LEAST_OF_PROVEN, MOVED_S, TOO_MANY, RateProbe

PROVEN = 10.0
QUIET = 0.0  # share of calls that are refused by chance
STRAY = 0.02


@pytest.fixture
def probe() -> RateProbe:
    return RateProbe()


def rate_at(value: float, times_found: int = 2) -> RateEstimator:
    """PROVEN, found ``times_found`` times, while ``value`` is offered."""
    rate = RateEstimator()
    for _ in range(times_found):
        rate.learn(PROVEN, 0.0)
    rate._set(value, 0.0)
    return rate


def admitted_at(per_s: float, seconds: float) -> AdmittedCalls:
    """``per_s`` calls a second were admitted since second 0."""
    calls = AdmittedCalls()
    calls.measure_from(0.0)
    for order in range(1, int(per_s * seconds) + 1):
        calls.started(Ticket(order / per_s, 10, 40, 1, order=order))
    return calls


def shown(probe, rate, admitted, chance=QUIET, at=30.0, just_now=0.0, delayed=False):
    return probe.shown(rate, admitted, at, just_now, chance, chance, delayed)


def test_a_refused_probe_ends_at_what_was_admitted(probe):
    assert shown(probe, rate_at(10.5), admitted_at(10.3, 30.0)) == pytest.approx(10.3, rel=0.01)


def test_it_does_not_end_below_the_rate_that_held(probe):
    """It was not offered in full."""
    assert shown(probe, rate_at(10.5), admitted_at(8.0, 30.0)) == PROVEN


def test_refusals_before_it_show_that_the_rate_is_a_little_too_high(probe):
    probe.refused = TOO_MANY
    found = shown(probe, rate_at(10.5), admitted_at(9.8, 30.0))
    assert found == pytest.approx(9.8, rel=0.01)


def test_a_rate_with_what_was_saved_up_is_lowered_by_the_next_probe(probe):
    """The calls that were admitted while far more was offered used up a full bucket, too."""
    calls = admitted_at(8.0, 20.0)
    calls.mark_far(True, 20.0)
    for order in range(161, 281):  # 12 a second for ten seconds
        calls.started(Ticket(20.0 + (order - 160) / 12.0, 10, 40, 1, order=order))
    assert shown(probe, rate_at(18.0), calls) == pytest.approx(12.0, rel=0.01)
    rate = rate_at(12.5)
    rate.learn(12.0, 30.0)
    assert shown(probe, rate, admitted_at(10.5, 30.0)) == pytest.approx(10.5, rel=0.01)
    # once measured between two refusals, it is not lowered any more
    assert shown(probe, rate_at(10.5), admitted_at(8.0, 30.0)) == PROVEN


def test_they_lower_it_by_a_twentieth_at_most(probe):
    """A wait may be part of the time that was measured."""
    probe.refused = TOO_MANY
    found = shown(probe, rate_at(10.5), admitted_at(6.0, 30.0))
    assert found == pytest.approx(LEAST_OF_PROVEN * PROVEN)


def test_they_say_nothing_where_calls_are_refused_by_chance(probe):
    probe.refused = TOO_MANY
    assert shown(probe, rate_at(10.5), admitted_at(9.8, 30.0), chance=STRAY) == PROVEN


def test_they_do_where_several_calls_were_refused_in_the_probe(probe):
    probe.confirmed = True
    assert shown(probe, rate_at(10.5), admitted_at(9.8, 30.0), chance=STRAY) == pytest.approx(
        9.8, rel=0.01
    )


def test_one_refusal_before_it_may_be_chance(probe):
    probe.refused = TOO_MANY - 1
    assert shown(probe, rate_at(10.5), admitted_at(9.8, 30.0)) == PROVEN


def test_a_value_found_once_is_doubted_where_far_more_was_admitted_just_now(probe):
    rate = rate_at(20.0, times_found=1)
    assert shown(probe, rate, admitted_at(10.0, 30.0), just_now=20.0) == pytest.approx(13.0)
    rate = rate_at(20.0)
    assert shown(probe, rate, admitted_at(10.0, 30.0), just_now=20.0) == pytest.approx(10.0)


def test_a_rate_is_held_for_a_plateau(probe):
    assert probe.plateau(PROVEN, PROVEN, QUIET, 0.0, 0.0) == PLATEAU_QUIET_S * PROVEN
    assert probe.plateau(PROVEN, PROVEN, STRAY, 0.0, 0.0) == PLATEAU_S * PROVEN


@pytest.mark.parametrize(
    ("proven", "chance", "seconds"),
    [
        (5.0, QUIET, PLATEAU_MOVED_S),
        (9.0, QUIET, PLATEAU_QUIET_S),  # such a difference is measured
        (9.0, STRAY, PLATEAU_MOVED_S),  # … or chance has lowered the rate
    ],
)
def test_it_is_shorter_where_a_higher_rate_held_of_late(probe, proven, chance, seconds):
    probe.note_best(PROVEN, 0.0)
    assert probe.plateau(PROVEN, proven, chance, 0.0, MOVED_S - 1) == seconds * PROVEN
    later = PLATEAU_QUIET_S if chance == QUIET else PLATEAU_S
    assert probe.plateau(PROVEN, proven, chance, 0.0, MOVED_S + 1) == later * PROVEN


def test_it_is_shorter_after_a_probe_that_raised_the_rate(probe):
    """What the provider had saved up may have been lost before the probe: the next one measures without."""
    assert shown(probe, rate_at(11.0), admitted_at(10.3, 30.0)) == pytest.approx(10.3, rel=0.01)
    assert probe.plateau(PROVEN, PROVEN, QUIET, 0.0, 0.0) == PLATEAU_MOVED_S * PROVEN
    assert shown(probe, rate_at(11.0), admitted_at(10.0, 30.0)) == pytest.approx(10.0, rel=0.01)
    assert probe.plateau(PROVEN, PROVEN, QUIET, 0.0, 0.0) == PLATEAU_QUIET_S * PROVEN


def test_what_was_saved_up_is_void_once_a_rate_is_learned():
    rate = rate_at(12.0)
    rate.wait_s(1.0, 100.0)  # it has a second's worth
    assert rate.wait_s(1.0, 100.0) == 0.0
    rate.learn(PROVEN, 100.0)
    assert rate.wait_s(1.0, 100.0) == pytest.approx(1.0 / (0.98 * PROVEN))


def test_a_lower_rate_later_does_not_hide_the_highest(probe):
    probe.note_best(PROVEN, 0.0)
    probe.note_best(5.0, MOVED_S / 2)
    assert probe.plateau(PROVEN, 5.0, QUIET, 0.0, MOVED_S - 1) == PLATEAU_MOVED_S * PROVEN
    probe.clear()
    assert probe.plateau(PROVEN, 5.0, QUIET, 0.0, MOVED_S - 1) == PLATEAU_QUIET_S * PROVEN

"""A trial of a rate tells a limit from chance."""

import random
import statistics
from types import SimpleNamespace

import pytest

from simple_batch.engine.rate_history import Round
from simple_batch.engine.rate_trial import RateTrial, Verdict

BEFORE = (None, {})


def verdict(share_at, rate: float, alarm_share: float, seed: int = 1):
    """The verdict on an endpoint that refuses ``share_at(rate)`` of the calls, and the rate then."""
    chance, number, now = random.Random(seed), 0, 0.0
    seen = Round(rate, 50, round(50 * alarm_share))
    trial = RateTrial(BEFORE, number, seen, rate, now)
    for _ in range(20_000):
        number, now = number + 1, now + 1 / rate
        if chance.random() < share_at(rate):
            found = trial.refused(number, now)
            if found is Verdict.SLOWER:
                rate *= max(0.3, 1.0 - trial.share)
                trial.begin_round(number, now, rate)
            elif found is not Verdict.OPEN:
                return found, rate
        elif trial.passed(number, now):
            return Verdict.LIMIT, rate
    raise AssertionError("no verdict")


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3])
def test_refusals_that_do_not_depend_on_the_rate_are_chance(share):
    found = [verdict(lambda _rate: share, 50.0, share, seed)[0] for seed in range(20)]
    assert found.count(Verdict.CHANCE) >= 14


@pytest.mark.parametrize("tried", [60.0, 100.0, 200.0, 400.0])
def test_a_limit_is_none(tried):
    """Of what exceeds 50 calls a second, all is refused."""
    rates = []
    for seed in range(20):
        found, rate = verdict(lambda rate: max(0.0, 1 - 50 / rate), tried, 1 - 50 / tried, seed)
        assert found is Verdict.LIMIT
        rates.append(rate)
    assert 30 <= statistics.median(rates) <= 60


def test_a_rate_that_is_borne_passes_soon():
    trial = RateTrial(BEFORE, 0, Round(50.0, 20, 10), 50.0, 0.0)
    assert not trial.passed(5, 0.1)
    assert trial.passed(40, 0.8)


def test_what_closes_says_nothing():
    trial = RateTrial(BEFORE, 0, Round(50.0, 20, 10), 50.0, 0.0)
    for number in range(1, 4):
        trial.refused(number, number / 50)
    trial.skip(4, 1.0)
    assert trial.refused(5, 1.1) is Verdict.OPEN


AFTER_A_LIMIT = SimpleNamespace(
    rounds=[Round(12.7, 19, 4), Round(9.7, 90, 1)]
)  # of ten calls a second


def verdicts(first: Round, rounds: list[Round], known=None) -> list[Verdict]:
    """What a trial says after each round, whose last call is refused."""
    trial = RateTrial(BEFORE, 0, first, rounds[0].per_s, 0.0, AFTER_A_LIMIT, known)
    number, now, said = 0, 0.0, []
    for one in rounds:
        trial.begin_round(number, now, one.per_s)
        gap = one.calls // one.refused
        for refusal in range(1, one.refused + 1):
            last = one.calls if refusal == one.refused else refusal * gap
            found = trial.refused(number + last, now + last / one.per_s)
        number, now = number + one.calls, now + one.calls / one.per_s
        said.append(found)
    return said


def test_refusals_that_do_not_depend_on_the_rate_below_a_known_one_are_chance():
    lower = [Round(9.3, 119, 4), Round(8.8, 102, 4)]
    assert verdicts(Round(9.7, 150, 4), lower, BEFORE) == [Verdict.SLOWER, Verdict.KNOWN]
    assert verdicts(Round(9.7, 150, 4), lower) == [Verdict.SLOWER, Verdict.SLOWER]


def test_a_limit_below_the_known_rate_is_followed():
    lower = [Round(8.5, 40, 8), Round(7.0, 60, 4)]
    assert Verdict.KNOWN not in verdicts(Round(9.7, 40, 12), lower, BEFORE)

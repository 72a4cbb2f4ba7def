"""What calls at several rates show together."""

import pytest

from simple_batch.engine.rate_history import (
    KEPT_CALLS,
    KEPT_ROUNDS,
    PRIOR_CALLS,
    PRIOR_REFUSED,
    RateHistory,
    Round,
)


def history(*rounds: tuple[float, int, int]) -> RateHistory:
    found = RateHistory()
    found.add(Round(*one) for one in rounds)
    return found


def test_a_burst_by_chance_after_a_long_time_shows_no_lower_limit():
    known = history((10.0, 400, 8))
    limit = known.limit_with([Round(10.0, 60, 4), Round(9.3, 80, 2)])
    assert limit == 10.0


def test_calls_at_a_rate_a_little_too_high_show_the_limit():
    """At 10.5 a second a limit of 10 refuses one call in twenty."""
    limit = history((10.0, 300, 0)).limit_with([Round(10.5, 200, 10), Round(9.9, 120, 0)])
    assert limit == pytest.approx(10.0, abs=0.1)


def test_a_limit_that_has_changed_is_not_looked_for_in_earlier_calls():
    known = history((10.0, 500, 1))
    now = [Round(10.0, 20, 6), Round(7.0, 60, 0)]
    assert known.limit_with(now) is None
    known.clear()
    assert known.limit_with(now) == pytest.approx(7.0)


def test_a_dense_burst_shows_no_lower_limit_though_none_is_refused_below():
    """3 of 25 calls are refused by chance now and then; that a limit has just become lower is rarer."""
    known = history((9.83, 75, 0))
    assert known.limit_with([Round(9.87, 25, 3), Round(8.5, 75, 0)]) == 9.87


def test_a_single_call_that_is_refused_shows_no_limit():
    assert history().limit_with([Round(10.0, 1, 1), Round(9.0, 100, 2)]) > 8.8


def test_no_more_rounds_are_compared_than_a_moment_allows():
    known = history(*[(10.0 - n / 100, 5, n % 2) for n in range(100)])
    assert known.share_with([]) * (PRIOR_CALLS + 5 * KEPT_ROUNDS) == pytest.approx(
        PRIOR_REFUSED + KEPT_ROUNDS / 2
    )


def test_the_share_of_chance_is_doubted_while_few_calls_are_known():
    assert history().share_with([Round(10.0, 20, 4)]) < 0.05
    assert history((10.0, 450, 22)).share_with([]) == pytest.approx(0.04, abs=0.01)


def test_early_calls_are_forgotten():
    known = history((10.0, KEPT_CALLS, 50))
    known.add([Round(9.0, 100, 0)] * 5)
    assert known.share_with([]) < 0.01

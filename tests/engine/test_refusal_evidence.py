"""Clusters of refusals against stray ones: pure arithmetic on the numbers of calls."""

import random

import pytest

from simple_batch.engine.refusal_evidence import LEAST_STRAY, RefusalEvidence, evidence

SHOWS_A_LIMIT = 10.0


def strongest(outcomes) -> float:
    """The most that any refusal showed in a series of calls; True is a refusal."""
    found, most = RefusalEvidence(), 0.0
    for refused in outcomes:
        number = found.started()
        if refused:
            most = max(most, found.refused(number).evidence)
    return most


def test_a_single_refusal_shows_nothing():
    assert strongest([False] * 50 + [True] + [False] * 50) == 0.0


@pytest.mark.parametrize("pattern", [[True], [True, False], [True, True, False]])
def test_a_cluster_shows_a_limit_within_a_dozen_calls(pattern):
    assert strongest([False] * 100 + pattern * 6) >= SHOWS_A_LIMIT


@pytest.mark.parametrize("share", [0.005, 0.02, 0.05])
def test_stray_refusals_do_not(share):
    for seed in range(10):
        chance = random.Random(seed)
        assert strongest(chance.random() < share for _ in range(2_000)) < 20


def test_a_limit_shows_among_strays():
    """Every tenth call is refused by chance; then half of all."""
    strays = [number % 10 == 0 for number in range(600)]
    assert strongest(strays) < SHOWS_A_LIMIT
    assert strongest([*strays, *[True, False] * 20]) >= SHOWS_A_LIMIT


def test_refusals_may_come_back_in_another_order():
    found = RefusalEvidence()
    for _ in range(100):
        found.started()
    shown = [found.refused(number).evidence for number in (99, 95, 97, 96, 98)]
    assert shown[-1] >= SHOWS_A_LIMIT


def test_the_stray_share_is_learned_and_may_be_given():
    found = RefusalEvidence()
    for number in range(2_000):
        order = found.started()
        if number % 20 == 0:
            found.refused(order)
    assert found.stray_share == pytest.approx(0.05, rel=0.3)
    found.expect(0.3)
    assert found.stray_share == pytest.approx(0.3, rel=0.3)


def test_memory_is_bounded():
    found = RefusalEvidence()
    for _ in range(5_000):
        found.refused(found.started())
    assert len(found._refused) <= 48


def test_evidence_counts_only_what_exceeds_chance():
    assert evidence(1, 100, LEAST_STRAY) == 0.0
    assert 0.0 < evidence(3, 100, LEAST_STRAY) < evidence(6, 100, LEAST_STRAY)
    assert evidence(5, 5, LEAST_STRAY) > evidence(5, 50, LEAST_STRAY)


def test_a_call_that_is_refused_after_thousands_of_later_ones_shows_nothing():
    found = RefusalEvidence()
    for _ in range(3_000):
        found.started()
    assert found.refused(1).evidence == 0.0
    assert found.refused(2_999).refused <= 1

"""Refusals in a row show a closed limit where chance does not explain them."""

import pytest

from simple_batch.engine.closed_evidence import ClosedEvidence


def shows(*orders: int) -> bool:
    evidence = ClosedEvidence()
    for order in orders:
        evidence.refused(order)
    return evidence.is_enough()


@pytest.mark.parametrize(
    ("orders", "closed"),
    [
        ((4, 5), True),
        ((100,), True),
        ((1,), False),
        ((3, 5, 8), False),
        ((1, 3, 4, 6, 9, 12, 13, 15, 18, 21, 22), False),
        ((1, 3, 4, 6, 9, 12, 13, 15, 18, 21, 22, 23, 24), True),
        ((4, 5, 6, 20, 21), True),
    ],
    ids=[
        "two, hardly any before",
        "one, none of a hundred before",
        "the first call of all",
        "none of them in a row",
        "two in a row, where half are refused",
        "four in a row, where half are refused",
        "after an earlier row, which counts once",
    ],
)
def test_a_row_shows_a_closed_limit(orders, closed):
    assert shows(*orders) is closed


def test_refusals_arrive_in_any_order():
    assert shows(6, 4, 5) is shows(4, 5, 6) is True


def test_refusals_of_long_ago_do_not_count():
    assert shows(*range(1, 60, 2), 1_000)

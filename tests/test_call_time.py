"""How long calls take is estimated before they are made."""

import pytest

from simple_batch.core import context
from simple_batch.services.call_time import expected


@pytest.fixture(autouse=True)
def in_context(app):
    with app.app_context():
        assert context.settings().DEFAULT_CONCURRENCY == 5
        yield


def test_a_concurrency_that_is_set_gives_one_time():
    assert expected(100, 2.0, 10) == (20.0, 20.0)
    assert expected(101, 2.0, 10) == (22.0, 22.0)  # a round for the last one


def test_requests_per_minute_are_a_ceiling():
    assert expected(100, 0.1, 10, rpm=60) == (100.0, 100.0)
    low, high = expected(1_000, 1.0, None, rpm=600)
    assert (low, high) == (100.0, 200.0)


@pytest.mark.parametrize(
    ("rows", "latency_s", "low", "high"),
    [
        (5, 1.0, 1.0, 1.0),  # one round
        (640, 1.0, 8.0, 128.0),  # 5 + 10 + 20 + 40 + 80 + 160 + 320 in 7 s
        (5, 0.1, 0.1, 0.1),
        (80, 4.0, 20.0, 64.0),  # it doubles with each round: 5 + 10 + 20 + 40 in 16 s
    ],
)
def test_without_one_it_is_a_range(rows, latency_s, low, high):
    found = expected(rows, latency_s, None)
    assert found.high == pytest.approx(high)
    assert found.low == pytest.approx(low)
    assert found.low <= found.high

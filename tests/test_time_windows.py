"""Hours of the day in a time zone, over midnight and over changes to and from daylight saving
time."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simple_batch.core import time_windows
from simple_batch.core.errors import InvalidInput


def ms(*moment) -> int:
    return round(datetime(*moment, tzinfo=UTC).timestamp() * 1000)


def test_over_midnight_in_shanghai():
    night = time_windows.parse("22:00–06:00", "Asia/Shanghai")
    assert night.open_at(ms(2026, 7, 1, 14, 0))  # 22:00 there
    assert night.open_at(ms(2026, 7, 1, 21, 59))
    assert not night.open_at(ms(2026, 7, 1, 22, 0))
    assert not night.open_at(ms(2026, 7, 1, 13, 59))
    assert night.opens_after(ms(2026, 7, 1, 3, 0)) == ms(2026, 7, 1, 14, 0)
    assert night.opens_after(ms(2026, 7, 1, 14, 0)) == ms(2026, 7, 2, 14, 0)
    assert str(night) == "22:00-06:00"


def test_several_spans_and_the_end_of_the_day():
    found = time_windows.parse("12:00-13:30; 20:00-24:00", "UTC")
    assert [
        found.open_at(ms(2026, 1, 1, *at)) for at in ((12, 0), (13, 30), (20, 0), (23, 59))
    ] == [True, False, True, True]
    assert not found.open_at(ms(2026, 1, 2, 0, 0))
    assert time_windows.parse(str(found), "UTC") == found


def test_when_the_clock_is_put_forward_and_back():
    berlin = time_windows.parse("02:30-03:30", "Europe/Berlin")
    assert berlin.open_at(ms(2026, 3, 29, 1, 10))  # 03:10 there; 02:30 does not exist that day
    assert berlin.opens_after(ms(2026, 10, 24, 23, 0)) == ms(2026, 10, 25, 0, 30)


@pytest.mark.parametrize(
    ("text", "zone", "field"),
    [
        ("22-6", "UTC", "hours"),
        ("25:00-06:00", "UTC", "hours"),
        ("22:61-06:00", "UTC", "hours"),
        ("06:00-06:00", "UTC", "hours"),
        ("00:00-24:00", "UTC", "hours"),
        ("night", "UTC", "hours"),
        ("22:00-06:00", "Mars/Olympus", "zone"),
        ("22:00-06:00", "../../etc/passwd", "zone"),
        (",".join(["01:00-02:00"] * 13), "UTC", "hours"),
    ],
)
def test_what_is_no_hours_is_reported(text, zone, field):
    with pytest.raises(InvalidInput) as wrong:
        time_windows.parse(text, zone)
    assert wrong.value.field == field


def test_nothing_is_no_bound():
    assert time_windows.parse(" ", "UTC") is None


@given(
    begin=st.integers(0, 1439),
    end=st.integers(0, 1439),
    at=st.integers(ms(2026, 1, 1), ms(2027, 1, 1)),
    zone=st.sampled_from(["UTC", "Asia/Shanghai", "Asia/Kolkata"]),
)
def test_at_an_opening_it_is_open(begin, end, at, zone):
    if begin == end:
        return
    found = time_windows.parse(f"{begin // 60}:{begin % 60:02}-{end // 60}:{end % 60:02}", zone)
    opening = found.opens_after(at)
    assert opening > at
    assert found.open_at(opening)
    assert not found.open_at(opening - 60_000) or found.open_at(opening - 86_400_000)

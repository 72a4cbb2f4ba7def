"""Hours of the day in a time zone, over midnight and over changes to and from daylight saving
time."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simple_batch.core import time_windows, weekdays
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
        ("daily 00:00-24:00", "UTC", "hours"),
        ("Someday 09:00-18:00", "UTC", "hours"),
        ("Mon-Fri 09:00-18:00 or so", "UTC", "hours"),
        ("09:00-18:00 Mon-Fri", "UTC", "hours"),
        (",".join(["Mon Wed Fri 01:00-02:00"] * 12), "UTC", "hours"),
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


def week(text: str, zone: str = "UTC") -> list[str]:
    """The hours of a week that are open, as “Mon 9”; 2026-11-23 is a Monday."""
    hours = time_windows.parse(text, zone)
    start = ms(2026, 11, 23)
    moments = [start + hour * 3_600_000 for hour in range(7 * 24)]
    return [
        f"{datetime.fromtimestamp(at / 1000, UTC):%a} {at // 3_600_000 % 24}"
        for at in moments
        if hours.open_at(at)
    ]


def test_days_of_the_week():
    assert week("Mon-Fri 09:00-10:00") == [
        f"{day} 9" for day in ("Mon", "Tue", "Wed", "Thu", "Fri")
    ]
    assert week("Sat, Sun 10:00-11:00") == week("weekend 10:00-11:00") == ["Sat 10", "Sun 10"]
    assert len(week("Sat")) == len(week("Sat 00:00-24:00")) == 24
    assert week("Mon-Fri 01:00-02:00, 06:00-07:00") == week("周一至周五 1:00-2:00，6:00-7:00")
    assert week("Sun-Mon 05:00-06:00; daily 05:00-06:00") == week("05:00-06:00")
    assert week("Mon 23:00-24:00; Wed") == ["Mon 23", *(f"Wed {hour}" for hour in range(24))]
    assert week("monday & Wednesday to thu 03:00-04:00") == ["Mon 3", "Wed 3", "Thu 3"]


def test_a_span_over_midnight_belongs_to_the_day_on_which_it_begins():
    assert week("Fri 23:00-01:00") == ["Fri 23", "Sat 0"]
    assert week("Sun 23:00-01:00") == ["Mon 0", "Sun 23"]


def test_days_are_those_of_the_zone():
    assert week("Mon 00:00-02:00", "Asia/Shanghai") == ["Sun 16", "Sun 17"]


def test_the_next_opening_is_days_away():
    hours = time_windows.parse("Mon 09:00-18:00", "UTC")
    assert hours.opens_after(ms(2026, 11, 23, 9, 0)) == ms(2026, 11, 30, 9, 0)
    berlin = time_windows.parse("Sun 02:30-03:30", "Europe/Berlin")  # 02:30 does not exist that day
    assert berlin.opens_after(ms(2026, 3, 27)) == ms(2026, 3, 29, 1, 30)


@given(
    st.lists(
        st.tuples(
            st.frozensets(st.integers(0, 6), min_size=1), st.integers(0, 1439), st.integers(0, 1439)
        ).filter(lambda span: span[1] != span[2]),
        min_size=1,
        max_size=5,
    ),
    st.integers(ms(2026, 1, 1), ms(2027, 1, 1)),
)
def test_hours_with_days_are_read_as_they_are_written(spans, at):
    text = ", ".join(
        f"{weekdays.written(days)} {begin // 60}:{begin % 60:02}-{end // 60}:{end % 60:02}"
        for days, begin, end in spans
    )
    found = time_windows.parse(text, "Asia/Shanghai")
    assert time_windows.parse(str(found), "Asia/Shanghai") == found
    assert found.open_at(found.opens_after(at))
    shown = datetime.fromtimestamp(at / 1000, timezone(timedelta(hours=8)))
    minute, day = shown.hour * 60 + shown.minute, shown.weekday()
    assert found.open_at(at) == any(
        (begin <= minute < end and day in days)
        or (begin > end and minute >= begin and day in days)
        or (begin > end and minute < end and (day - 1) % 7 in days)
        for days, begin, end in spans
    )

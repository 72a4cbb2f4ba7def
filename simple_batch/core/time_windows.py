"""Windows of time in a zone: the hours in which a job may make calls (“22:00-06:00, 12:00-13:30”,
“Mon-Fri 09:00-18:00”) or in which a price holds, and the days and months of spend caps."""

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from . import weekdays
from .errors import InvalidInput
from .messages import translatable
from .weekdays import EVERY_DAY

_SPAN = re.compile(r"(\d{1,2}):(\d{2})\s*[-–—~]\s*(\d{1,2}):(\d{2})")
_DAY = 24 * 60
_WHOLE_DAY = (0, 0)
_MAX_SPANS = 12
_MAX_LENGTH = 250  # of the text that is stored


class Hours(msgspec.Struct, frozen=True):
    """``spans`` are minutes of the day [(from, to)); a span that ends before it begins goes over
    midnight. Minutes are those that a clock in the zone shows, in summer and in winter. ``days`` are the
    days of the week on which each span begins (0: Monday); empty: every day."""

    spans: tuple[tuple[int, int], ...]
    zone: str
    days: tuple[frozenset[int], ...] = ()

    def open_at(self, ms: int) -> bool:
        """Whether calls may be made at that moment (epoch ms)."""
        moment = datetime.fromtimestamp(ms / 1000, ZoneInfo(self.zone))
        minute, day = moment.hour * 60 + moment.minute, moment.weekday()
        for (begin, end), days in self._spans():
            after_midnight = begin > end > minute  # the span began the day before
            if _within(minute, begin, end) and (day - after_midnight) % 7 in days:
                return True
        return False

    def opens_after(self, ms: int) -> int:
        """The next moment (epoch ms) at which a span begins."""
        zone = ZoneInfo(self.zone)
        today = datetime.fromtimestamp(ms / 1000, zone).date()
        openings = []
        for later in range(9):
            day = today + timedelta(days=later)
            for (begin, _end), days in self._spans():
                if day.weekday() in days:
                    hour, minute = divmod(begin, 60)
                    clock = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
                    openings.append(round(clock.timestamp() * 1000))
        return min(opening for opening in openings if opening > ms)

    def _spans(self) -> Iterator[tuple[tuple[int, int], frozenset[int]]]:
        if not self.days:
            return ((span, EVERY_DAY) for span in self.spans)
        return zip(self.spans, self.days, strict=True)

    def __str__(self) -> str:
        """As ``parse`` reads it back."""
        if not self.days:
            return ", ".join(_span_text(span) for span in self.spans)
        return ", ".join(
            f"{weekdays.written(days)} {_span_text(span)}" for span, days in self._spans()
        )


def parse(text: str, zone: str) -> Hours | None:
    """Hours as a user writes them; None for an empty text. Days hold for the spans behind them, up to
    the next days: “Mon-Fri 09:00-12:00, 14:00-18:00”. Days alone are whole days. Raises InvalidInput."""
    groups = [_parts(group) for group in re.split("[;；]", text or "")]
    parts = [part for group in groups for part in group]
    if not parts:
        return None
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise InvalidInput(
            translatable("Zone: %(zone)r is unknown; one is Asia/Shanghai.", zone=zone[:60]), "zone"
        ) from None
    if len(parts) > _MAX_SPANS:
        raise InvalidInput(translatable("Hours: up to %(most)s spans.", most=_MAX_SPANS), "hours")
    spans, days = _read(groups)
    hours = Hours(spans, zone, days if set(days) != {EVERY_DAY} else ())
    if len(str(hours)) > _MAX_LENGTH:
        raise InvalidInput(
            translatable("Hours: up to %(most)s characters.", most=_MAX_LENGTH), "hours"
        )
    return hours


def _parts(group: str) -> list[str]:
    return [part.strip() for part in re.split("[,，]", group) if part.strip()]


def _read(
    groups: list[list[str]],
) -> tuple[tuple[tuple[int, int], ...], tuple[frozenset[int], ...]]:
    """Spans, and the days of each. Days before a comma go with the next span: “Sat, Sun 10:00-12:00”."""
    found: list[tuple[tuple[int, int], frozenset[int]]] = []
    days = EVERY_DAY
    for group in groups:
        alone: frozenset[int] = frozenset()
        for part in group:
            span, named = _part(part)
            if span is None:
                alone |= named or EVERY_DAY
                continue
            if alone or named is not None:
                days = alone | (named or frozenset())
            found.append((_allowed(span, days, part), days))
            alone = frozenset()
        if alone:
            found.append((_allowed(_WHOLE_DAY, alone, group[-1]), alone))
    return tuple(span for span, _days in found), tuple(days for _span, days in found)


def _part(part: str) -> tuple[tuple[int, int] | None, frozenset[int] | None]:
    """The span and the days that stand in a part. Raises InvalidInput where it is neither."""
    clock = _SPAN.search(part)
    named = (part if clock is None else part[: clock.start()]).strip()
    days = weekdays.read(named) if named else None
    if (named and days is None) or (clock is not None and clock.end() != len(part)):
        raise _no_span(part)
    return None if clock is None else _span(clock, part), days


def _allowed(span: tuple[int, int], days: frozenset[int], part: str) -> tuple[int, int]:
    """The span. A whole day bounds nothing unless it is of some days only."""
    if span == _WHOLE_DAY and days == EVERY_DAY:
        raise _no_span(part)
    return span


def _span(found: re.Match[str], part: str) -> tuple[int, int]:
    hour, minute, to_hour, to_minute = map(int, found.groups())
    begin, end = hour * 60 + minute, to_hour * 60 + to_minute
    same = begin == end % _DAY and (begin, end) != (0, _DAY)
    if max(minute, to_minute) < 60 and begin < _DAY and end <= _DAY and not same:
        return begin, end % _DAY
    raise _no_span(part)


def _no_span(part: str) -> InvalidInput:
    return InvalidInput(
        translatable(
            "Hours: %(part)r is no span of a day like 22:00-06:00 or Mon-Fri 09:00-18:00.",
            part=part[:40],
        ),
        "hours",
    )


def _within(minute: int, begin: int, end: int) -> bool:
    if begin < end or end == 0:
        return begin <= minute < (end or _DAY)
    return minute >= begin or minute < end


def _span_text(span: tuple[int, int]) -> str:
    begin, end = span
    return f"{_clock(begin)}-{'24:00' if span == _WHOLE_DAY else _clock(end)}"


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


class Periods(msgspec.Struct, frozen=True):
    """When the present day and month begin and when the day ends, in epoch seconds."""

    day: int
    month: int
    day_ends: int


def at(now_s: float, zone: str) -> Periods:
    """Those of a moment (epoch seconds); an empty zone is UTC."""
    where = ZoneInfo(zone or "UTC")
    today = datetime.fromtimestamp(now_s, where).date()

    def begins(day: date) -> int:
        return int(datetime(day.year, day.month, day.day, tzinfo=where).timestamp())

    return Periods(begins(today), begins(today.replace(day=1)), begins(today + timedelta(days=1)))

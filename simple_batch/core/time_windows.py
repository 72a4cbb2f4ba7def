"""Windows of time in a zone: the hours in which a job may make calls (“22:00-06:00, 12:00-13:30”), and the
days and months of spend caps."""

import re
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from .errors import InvalidInput
from .messages import translatable

_SPAN = re.compile(r"(\d{1,2}):(\d{2})\s*[-–—~]\s*(\d{1,2}):(\d{2})")
_DAY = 24 * 60
_MAX_SPANS = 12


class Hours(msgspec.Struct, frozen=True):
    """``spans`` are minutes of the day [(from, to)); a span that ends before it begins goes over
    midnight. Minutes are those that a clock in the zone shows, in summer and in winter."""

    spans: tuple[tuple[int, int], ...]
    zone: str

    def open_at(self, ms: int) -> bool:
        """Whether calls may be made at that moment (epoch ms)."""
        moment = datetime.fromtimestamp(ms / 1000, ZoneInfo(self.zone))
        minute = moment.hour * 60 + moment.minute
        return any(_within(minute, *span) for span in self.spans)

    def opens_after(self, ms: int) -> int:
        """The next moment (epoch ms) at which a span begins."""
        zone = ZoneInfo(self.zone)
        today = datetime.fromtimestamp(ms / 1000, zone).date()
        openings = []
        for days in range(3):
            day = today + timedelta(days=days)
            for begin, _end in self.spans:
                clock = datetime(day.year, day.month, day.day, begin // 60, begin % 60, tzinfo=zone)
                openings.append(round(clock.timestamp() * 1000))
        return min(opening for opening in openings if opening > ms)

    def __str__(self) -> str:
        """As ``parse`` reads it back."""
        return ", ".join(f"{_clock(begin)}-{_clock(end)}" for begin, end in self.spans)


def parse(text: str, zone: str) -> Hours | None:
    """Hours as a user writes them; None for an empty text. Raises InvalidInput."""
    parts = [part.strip() for part in re.split("[,;，；]", text or "") if part.strip()]
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
    return Hours(tuple(_span(part) for part in parts), zone)


def _span(part: str) -> tuple[int, int]:
    found = _SPAN.fullmatch(part)
    if found:
        hour, minute, to_hour, to_minute = map(int, found.groups())
        begin, end = hour * 60 + minute, to_hour * 60 + to_minute
        if max(minute, to_minute) < 60 and begin < _DAY and end <= _DAY and begin != end % _DAY:
            return begin, end % _DAY
    raise InvalidInput(
        translatable("Hours: %(part)r is no span of a day like 22:00-06:00.", part=part[:40]),
        "hours",
    )


def _within(minute: int, begin: int, end: int) -> bool:
    if begin < end or end == 0:
        return begin <= minute < (end or _DAY)
    return minute >= begin or minute < end


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

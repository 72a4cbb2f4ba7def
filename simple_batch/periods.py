"""The day and the month of a moment in a zone: what spend caps go by."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec


class Periods(msgspec.Struct, frozen=True):
    """When the present day and month begin and when the day ends, in epoch seconds."""

    day: int
    month: int
    day_ends: int


def at(now_s: float, zone: str) -> Periods:
    """Those of a moment (epoch seconds); an empty zone is UTC."""
    where = ZoneInfo(zone or "UTC")
    today = datetime.fromtimestamp(now_s, where).date()

    def begins(date) -> int:
        return int(datetime(date.year, date.month, date.day, tzinfo=where).timestamp())

    return Periods(begins(today), begins(today.replace(day=1)), begins(today + timedelta(days=1)))

"""Public holidays by country, from the package “holidays”. It is loaded when the first price asks for it."""

from datetime import UTC, date, datetime
from functools import lru_cache
from importlib.util import find_spec
from zoneinfo import ZoneInfo


def known_country(code: str) -> bool:
    """Whether the holidays of a country (ISO 3166-1, two letters) are known."""
    return code.isalpha() and code.isupper() and bool(_countries_with(code))


def is_holiday(country: str, zone: str, at_ms: int) -> bool:
    """Whether a moment (epoch ms) is on a public holiday of the country, by the date in the zone. Days off
    in exchange for a worked weekend day count; weekends as such do not."""
    day = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(zone)).date()
    return day in _holidays(country, day.year)


@lru_cache(64)
def _holidays(country: str, year: int) -> frozenset[date]:
    import holidays

    found = holidays.country_holidays(country, years=[year])
    return frozenset(day for day in found if day.year == year)


@lru_cache(64)
def _countries_with(code: str) -> bool:
    if find_spec("holidays") is None:
        return False
    import holidays

    return code in holidays.list_supported_countries()

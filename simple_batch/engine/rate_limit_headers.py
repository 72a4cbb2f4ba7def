"""What rate-limit headers say, in seconds.

Sources: RFC 9110 (Retry-After), OpenAI's rate-limit guide (x-ratelimit-*, retry-after-ms);
durations come as seconds, as ``6m0s`` or ``120ms``, as epoch seconds or as dates.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

_PRESENT = (
    "x-ratelimit-limit-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-remaining-tokens",
)
LONGEST_S = 10 * 366 * 86_400.0
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")


class RateLimits(msgspec.Struct, frozen=True):
    """What an answer says of the provider's limits; None where it does not."""

    limit_requests: int | None = None
    remaining_requests: int | None = None
    reset_requests_s: float | None = None
    limit_tokens: int | None = None
    remaining_tokens: int | None = None
    reset_tokens_s: float | None = None


def duration_s(text: str | None, now_s: float) -> float | None:
    """Seconds from now that a header value means, from 0 to LONGEST_S; None where it is rubbish."""
    text = (text or "").strip()
    if not text or len(text) > 100:
        return None
    if _DURATION.fullmatch(text):
        seconds = sum((float(number) * _UNITS[unit] for number, unit in _PART.findall(text)), 0.0)
    elif re.fullmatch(r"-?\d+(?:\.\d+)?", text):
        seconds = float(text)
        if seconds > 1e9:  # a point in time, not a duration
            seconds = (seconds / 1000 if seconds > 1e12 else seconds) - now_s
    else:
        moment_s = _epoch_s(text)
        if moment_s is None:
            return None
        seconds = moment_s - now_s
    return min(max(0.0, seconds), LONGEST_S)


def _epoch_s(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """How long the provider asks to wait; None where it does not say."""
    milliseconds = headers.get("retry-after-ms")
    if milliseconds and re.fullmatch(r"\d{1,12}(?:\.\d+)?", milliseconds.strip()):
        return min(float(milliseconds.strip()) / 1000, LONGEST_S)
    return duration_s(headers.get("retry-after"), now_s)


def rate_limits(headers: Mapping[str, str], now_s: float) -> RateLimits | None:
    """The x-ratelimit headers of an answer; None where it has none."""
    if not any(name in headers for name in _PRESENT):
        return None
    return RateLimits(
        _count(headers.get("x-ratelimit-limit-requests")),
        _count(headers.get("x-ratelimit-remaining-requests")),
        duration_s(headers.get("x-ratelimit-reset-requests"), now_s),
        _count(headers.get("x-ratelimit-limit-tokens")),
        _count(headers.get("x-ratelimit-remaining-tokens")),
        duration_s(headers.get("x-ratelimit-reset-tokens"), now_s),
    )


def _count(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if re.fullmatch(r"\d{1,15}", text) else None

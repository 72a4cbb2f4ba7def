"""What rate-limit headers say, in seconds.

Sources: RFC 9110 (Retry-After), OpenAI's rate-limit guide (x-ratelimit-*, retry-after-ms), LiteLLM's
proxy (the provider's headers behind ``llm_provider-``), OpenRouter (X-RateLimit-Reset in epoch
milliseconds), Cerebras (x-ratelimit-*-requests-day), IETF's draft (RateLimit-Reset). Durations come as
seconds, as ``6m0s`` or ``120ms``, as epoch seconds or milliseconds, or as dates.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

LONGEST_S = 10 * 366 * 86_400.0
_PROXIED = "llm_provider-"
_RESETS = (
    "x-ratelimit-reset",
    "ratelimit-reset",
    "x-rate-limit-reset",
    "x-ratelimit-reset-after",
)
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
    """How long the provider asks to wait; None where no header says it. A header of the proxy itself
    goes before one that it passes on."""
    asked = None
    for before in ("", _PROXIED):
        milliseconds = headers.get(f"{before}retry-after-ms")
        if milliseconds and re.fullmatch(r"\d{1,12}(?:\.\d+)?", milliseconds.strip()):
            return min(float(milliseconds.strip()) / 1000, LONGEST_S)
        found = duration_s(headers.get(f"{before}retry-after"), now_s)
        if found:
            return found
        asked = found if asked is None else asked
    return _reset_s(headers, now_s) or asked


def _reset_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """The time until X-RateLimit-Reset, unless calls remain before it."""
    for before in ("", _PROXIED):
        for name in _RESETS:
            left = _count(headers.get(before + name.partition("reset")[0] + "remaining"))
            found = duration_s(headers.get(before + name), now_s)
            if found and not left:
                return found
    return None


def day_reset_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """The time until a limit per day that is used up renews; None where no header says that one is."""
    for before in ("", _PROXIED):
        for what in ("requests", "tokens"):
            if _count(headers.get(f"{before}x-ratelimit-remaining-{what}-day")) == 0:
                reset = headers.get(f"{before}x-ratelimit-reset-{what}-day")
                return duration_s(reset, now_s)
    return None


def rate_limits(headers: Mapping[str, str], now_s: float) -> RateLimits | None:
    """The x-ratelimit headers of an answer; None where it has none."""
    if "ratelimit" not in "".join(headers).lower():  # of most answers none: this is quick
        return None
    found = _requests(headers, now_s) + _tokens(headers, now_s)
    return RateLimits(*found) if any(value is not None for value in found) else None


_Three = tuple[int | None, int | None, float | None]
_UNKNOWN: _Three = (None, None, None)


def _requests(headers: Mapping[str, str], now_s: float) -> _Three:
    for before in ("", _PROXIED):
        for after in ("-requests", ""):
            found = _three(headers, before, after, now_s)
            if found is not _UNKNOWN:
                return found
    return _UNKNOWN


def _tokens(headers: Mapping[str, str], now_s: float) -> _Three:
    found = _three(headers, "", "-tokens", now_s)
    return found if found is not _UNKNOWN else _three(headers, _PROXIED, "-tokens", now_s)


def _three(headers: Mapping[str, str], before: str, after: str, now_s: float) -> _Three:
    """Limit, remaining and reset of one kind; _UNKNOWN where neither limit nor remaining is there."""
    limit = headers.get(f"{before}x-ratelimit-limit{after}")
    remaining = headers.get(f"{before}x-ratelimit-remaining{after}")
    if limit is None and remaining is None:
        return _UNKNOWN
    reset = headers.get(f"{before}x-ratelimit-reset{after}")
    return _count(limit), _count(remaining), duration_s(reset, now_s)


def _count(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if re.fullmatch(r"\d{1,15}", text) else None

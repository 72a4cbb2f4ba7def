"""What rate-limit headers say, in seconds.

Sources: RFC 9110 (Retry-After), OpenAI's rate-limit guide (x-ratelimit-*, retry-after-ms), LiteLLM's
proxy (the provider's headers behind ``llm_provider-``), OpenRouter (X-RateLimit-Reset in epoch
milliseconds), Cerebras (x-ratelimit-*-requests-day), Anthropic (anthropic-ratelimit-*-reset), IETF's
draft-ietf-httpapi-ratelimit-headers (RateLimit-Reset, RateLimit). Durations come as seconds, as ``6m0s``
or ``120ms``, as ``PT1M30S`` (ISO 8601) or ``00:01:30`` (.NET), as epoch seconds or milliseconds, or as
dates.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from ..core.lazy_pattern import lazy_pattern

LONGEST_S = 10 * 366 * 86_400.0
_PROXIED = "llm_provider-"
_RESETS = (
    "x-ratelimit-reset",
    "ratelimit-reset",
    "x-rate-limit-reset",
    "x-ratelimit-reset-after",
)
_UNIT_WORDS = (  # as they are written in place of ms, s, m, h, d
    (lazy_pattern(r"(?<=[\d.])\s*(?:milliseconds?|millis|msecs?|ms)(?![a-z])"), "ms"),
    (lazy_pattern(r"(?<=\d)\s*(?:seconds?|secs?|s)(?![a-z])"), "s"),
    (lazy_pattern(r"(?<=\d)\s*(?:minutes?|mins?|m)(?![a-z])"), "m"),
    (lazy_pattern(r"(?<=\d)\s*(?:hours?|hrs?|h)(?![a-z])"), "h"),
    (lazy_pattern(r"(?<=\d)\s*(?:days?|d)(?![a-z])"), "d"),
)
_BETWEEN = lazy_pattern(r"(?<=[smhd])(?:\s|,|and)+(?=\d)")
_BEFORE = lazy_pattern(r"^(?:(?:in|after|about|wait)\s+)*[~+]?\s*")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART = lazy_pattern(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_DURATION = lazy_pattern(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_PLAIN = lazy_pattern(r"-?(?:\d+(?:\.\d*)?|\.\d+)(?:e\+?\d{1,2})?", re.IGNORECASE)
_ISO_DURATION = lazy_pattern(
    r"P(?:(?P<d>\d{1,5})D)?(?:T(?:(?P<h>\d{1,6})H)?(?:(?P<m>\d{1,7})M)?(?:(?P<s>\d{1,9}(?:\.\d{1,9})?)S)?)?"
)
CLOCK = lazy_pattern(
    r"(?:(?P<d>\d{1,4})\.)?(?P<h>\d{1,3}):(?P<m>[0-5]\d):(?P<s>[0-5]\d(?:\.\d{1,9})?)"
)
_RETRY_AFTER = lazy_pattern(
    r"(?:.+-)?retry-?after(?:-?(?P<ms>ms|millis|milliseconds)|-?(?:s|secs?|seconds))?",
    re.IGNORECASE,
)
_POLICY_PART = lazy_pattern(r"\b(remaining|r|reset|t)\s*=\s*(\d{1,12})", re.IGNORECASE)


class RateLimits(msgspec.Struct, frozen=True):
    """What an answer says of the provider's limits; None where it does not."""

    limit_requests: int | None = None
    remaining_requests: int | None = None
    reset_requests_s: float | None = None
    limit_tokens: int | None = None
    remaining_tokens: int | None = None
    reset_tokens_s: float | None = None


def duration_s(text: str | None, now_s: float) -> float | None:
    """Seconds from now that a header value means, from 0 to LONGEST_S; None where it is rubbish. Of several
    values (``30, 60``) the longest counts."""
    text = (text or "").strip(" \t\"';")
    if not text or len(text) > 100:
        return None
    seconds = _seconds(text, now_s)
    if seconds is None and ("," in text or ";" in text):
        parts = [_seconds(part.strip(), now_s) for part in re.split("[,;]", text)]
        seconds = max((part for part in parts if part is not None), default=None)
    return None if seconds is None else min(max(0.0, seconds), LONGEST_S)


def _seconds(text: str, now_s: float) -> float | None:
    if _DURATION.fullmatch(text):
        return _sum_s(text)
    if _PLAIN.fullmatch(text):
        seconds = float(text)
        if seconds > 1e9:  # a point in time, not a duration
            seconds = (seconds / 1000 if seconds > 1e12 else seconds) - now_s
        return seconds
    if parts := _ISO_DURATION.fullmatch(text) or CLOCK.fullmatch(text):
        return sum((float(n) * _UNITS[unit] for unit, n in parts.groupdict("0").items()), 0.0)
    worded = _worded(text)
    if _DURATION.fullmatch(worded):
        return _sum_s(worded)
    if worded != text and _PLAIN.fullmatch(worded):
        return float(worded)
    moment_s = _epoch_s(text)
    return None if moment_s is None else moment_s - now_s


def _sum_s(text: str) -> float:
    return sum((float(number) * _UNITS[unit] for number, unit in _PART.findall(text)), 0.0)


def _worded(text: str) -> str:
    """The same with units as in ``1m30s``: “1m 30s”, “2 Minutes”, “~30”, “in 5 sec”."""
    text = _BEFORE.sub("", text.lower())
    for written, unit in _UNIT_WORDS:
        text = written.sub(unit, text)
    return _BETWEEN.sub("", text)


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
    return _other_retry_after_s(headers, now_s) or asked


def _other_retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """The same from a header of another name: X-Retry-After, x-ms-retry-after-ms, …"""
    for name, value in headers.items():
        named = _RETRY_AFTER.fullmatch(name) if "retry" in name.lower() else None
        if named is None:
            continue
        seconds = duration_s(value, now_s)
        if seconds:
            return seconds / 1000 if named["ms"] and value.strip().isdigit() else seconds
    return None


def reset_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """The time until X-RateLimit-Reset, unless calls remain before it. It is the wait of a refused call
    only: other answers have this header too."""
    for before in ("", _PROXIED):
        for name in _RESETS:
            left = _count(headers.get(before + name.partition("reset")[0] + "remaining"))
            found = duration_s(headers.get(before + name), now_s)
            if found and not left:
                return found
    return _policy_reset_s(headers.get("ratelimit", "")) or _window_reset_s(headers, now_s)


def _policy_reset_s(text: str) -> float | None:
    """The time until the policy of a RateLimit header renews that is used up:
    ``limit=100, remaining=0, reset=30``, or a list of ``"name";r=0;t=30``."""
    if not text or len(text) > 1_000:
        return None
    resets = []
    for policy in [text] if "reset" in text.lower() else text.split(","):
        parts = {name.lower()[:3]: float(n) for name, n in _POLICY_PART.findall(policy)}
        left, reset = parts.get("rem", parts.get("r")), parts.get("res", parts.get("t"))
        if left == 0 and reset:
            resets.append(reset)
    return min(max(resets), LONGEST_S) if resets else None


def _window_reset_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """The time until a window renews of which nothing is left, where each window has headers of its name:
    anthropic-ratelimit-requests-remaining and -reset."""
    resets = []
    for name, value in headers.items():
        window = name.lower().removesuffix("-remaining")
        if "ratelimit" in window and window != name.lower() and _count(value) == 0:
            resets.append(duration_s(headers.get(f"{window}-reset"), now_s))
    return max((reset for reset in resets if reset), default=None)


def day_reset_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """The time until a limit per day that is used up renews; None where no header says that one is."""
    for before in ("", _PROXIED):
        for what in ("requests", "tokens"):
            if _count(headers.get(f"{before}x-ratelimit-remaining-{what}-day")) == 0:
                reset = headers.get(f"{before}x-ratelimit-reset-{what}-day")
                return duration_s(reset, now_s)
    return None


def rate_limits(headers: Mapping[str, str], now_s: float) -> RateLimits | None:
    """The x-ratelimit or anthropic-ratelimit headers of an answer; None where it has none."""
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
    return _of_window(headers, "requests", now_s)


def _tokens(headers: Mapping[str, str], now_s: float) -> _Three:
    found = _three(headers, "", "-tokens", now_s)
    if found is _UNKNOWN:
        found = _three(headers, _PROXIED, "-tokens", now_s)
    return found if found is not _UNKNOWN else _of_window(headers, "tokens", now_s)


def _of_window(headers: Mapping[str, str], what: str, now_s: float) -> _Three:
    """The same of Anthropic's headers. Of its windows of tokens the one that is named "tokens" is the most
    restrictive (https://platform.claude.com/docs/en/api/rate-limits, read 2026-11-28)."""
    window = f"anthropic-ratelimit-{what}"
    limit, remaining = headers.get(f"{window}-limit"), headers.get(f"{window}-remaining")
    if limit is None and remaining is None:
        return _UNKNOWN
    return _count(limit), _count(remaining), duration_s(headers.get(f"{window}-reset"), now_s)


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

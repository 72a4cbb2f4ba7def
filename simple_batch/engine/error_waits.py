"""How long an error body asks to wait, and when a quota per day renews.

Sources: google.rpc.RetryInfo (``retryDelay``), OpenAI and Groq ("try again in 1m30s"), Azure ("retry
after 86400 seconds"), GitHub Models ("wait 56000 seconds"), OpenRouter (headers within
``error.metadata``). Gemini's quotas per day renew at midnight Pacific time
(https://ai.google.dev/gemini-api/docs/rate-limits), Alibaba Cloud's, Zhipu's and Baidu's at midnight
in China. Where nothing is known, midnight UTC is assumed.
"""

import re
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from .error_text import ErrorBody
from .rate_limit_headers import LONGEST_S, duration_s

LEAST_DAY_RESET_S = 600.0  # Gemini names seconds also where its quota per day is used up

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_NUMBER = r"\d{1,9}(?:[.,]\d+)?"
_UNIT = (
    r"(?P<ms>milliseconds?|millis|msecs?|ms|毫秒)|(?P<s>seconds?|secs?|s|秒钟?)"
    r"|(?P<m>minutes?|mins?|m|分钟?)|(?P<h>hours?|hrs?|h|个?小时)|(?P<d>days?|d|天)"
)
_PIECE = re.compile(rf"(?P<n>{_NUMBER})\s?(?:{_UNIT})(?![a-z])", re.IGNORECASE)
_UNIT_PLAIN = re.sub(r"\?P<\w+>", "?:", _UNIT)
_PIECE_PLAIN = rf"{_NUMBER}\s?(?:{_UNIT_PLAIN})"
_SPAN = re.compile(
    rf"{_PIECE_PLAIN}(?:(?:\s|,|and\s){{0,5}}{_PIECE_PLAIN}){{0,4}}(?![a-z])", re.IGNORECASE
)
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:\s?(?:Z|UTC|[+-]\d\d:?\d\d))?"
)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|[。！？；\n]")
_ABOUT_WAITING = re.compile(
    r"\b(?:re-?try|try|wait|again|come back|back ?off|resets?|renews?|available|resum\w+|cool\w*|"
    r"later|until)|重试|再试|等待|恢复|稍后|重置",
    re.IGNORECASE,
)
_AHEAD = re.compile(
    r"(?:\b(?:in|after|for|wait|another|until|at|by)|[:：]|等待|请?在|请|于)\s*"
    r"(?:about|around|approximately|at least|another|~)?\s*$",
    re.IGNORECASE,
)
_BEHIND = re.compile(r"\s*(?:later|before|until|from now|后|之后)", re.IGNORECASE)
_FIELD = re.compile(
    r"(?:x-?)?(?:rate-?limit-?)?(?:retry(?=-?[adi])|reset|resets|wait|cooldown)"
    r"(?:-?(?:after|delay|in|at|time|until|seconds|secs|sec|s|ms|millis|milliseconds|for))*",
    re.IGNORECASE,
)
_IN_MS = re.compile(r"(?:ms|millis|milliseconds)$", re.IGNORECASE)
_PACIFIC, _CHINA = "America/Los_Angeles", "Asia/Shanghai"
_ZONE_WORDS = (
    (_PACIFIC, re.compile(r"generativelanguage|googleapis|gemini|FreeTier|ai\.google", re.I)),
    (_CHINA, re.compile(r"aliyun|dashscope|bigmodel|baidu|qianfan|[\u4e00-\u9fff]", re.I)),
)
_PLACES = {_PACIFIC: "Pacific", _CHINA: "China", "UTC": "UTC"}


def body_wait_s(error: ErrorBody, now_s: float) -> float | None:
    """Seconds from now that an error body asks to wait; None where it does not say."""
    found = field_wait_s(error, now_s)
    return text_wait_s(error.words, now_s) if found is None else found


def field_wait_s(error: ErrorBody, now_s: float) -> float | None:
    """The same from its fields: ``retryDelay``, ``retry_after_ms``, ``X-RateLimit-Reset``, …"""
    for name, value in error.fields:
        dashed = re.sub(r"(?<=[a-z])(?=[A-Z])|_", "-", name)
        if not isinstance(value, bool) and _FIELD.fullmatch(dashed):
            seconds = _value_s(value, bool(_IN_MS.search(dashed)), now_s)
            if seconds:
                return seconds
    return None


def _value_s(value: Any, in_ms: bool, now_s: float) -> float | None:
    seconds = duration_s(str(value), now_s)
    if seconds is None and isinstance(value, str):
        seconds = _span_s(value) if _SPAN.fullmatch(value.strip()) else None
    elif seconds is not None and in_ms and str(value).replace(".", "").isdigit():
        seconds = seconds / 1000 if float(value) < 1e9 else seconds
    return seconds


def text_wait_s(text: str, now_s: float) -> float | None:
    """The same from its sentences: “try again in 1m30s”, “retry after 20 seconds”."""
    for sentence in _SENTENCE.split(text):
        if not _ABOUT_WAITING.search(sentence):
            continue
        for found in _SPAN.finditer(sentence):
            before, behind = sentence[: found.start()], sentence[found.end() :]
            if _AHEAD.search(before) or _BEHIND.match(behind):
                return min(_span_s(found[0]), LONGEST_S)
        for moment in _MOMENT.finditer(sentence):
            seconds = _moment_s(moment[0], now_s)
            if seconds:
                return seconds
    return None


def _span_s(text: str) -> float:
    total = 0.0
    for piece in _PIECE.finditer(text):
        unit = next(name for name in _UNIT_S if piece[name])
        total += float(piece["n"].replace(",", ".")) * _UNIT_S[unit]
    return total


def _moment_s(text: str, now_s: float) -> float | None:
    plain = re.sub(r"\s?(?:UTC|Z)$", "+00:00", text.replace(" ", "T", 1))
    return duration_s(plain, now_s)


def day_reset(error: ErrorBody, now_s: float) -> tuple[float, str]:
    """(seconds until the quota per day renews, the zone whose midnight that is), where the provider
    does not say: as it documents it, else midnight UTC."""
    text = " ".join((error.text, *(str(value) for _name, value in error.fields)))
    zone = next((name for name, words in _ZONE_WORDS if words.search(text)), "UTC")
    local = datetime.fromtimestamp(now_s, ZoneInfo(zone) if zone != "UTC" else UTC)
    midnight = datetime.combine(local.date() + timedelta(days=1), time(), local.tzinfo)
    return midnight.timestamp() - now_s, _PLACES[zone]

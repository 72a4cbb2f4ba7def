"""How long an error body asks to wait, and when a quota per day renews.

Sources: google.rpc.RetryInfo (``retryDelay``), OpenAI and Groq ("try again in 1m30s"), Azure ("retry
after 86400 seconds"), GitHub Models ("wait 56000 seconds"), OpenRouter (headers within
``error.metadata``). Gemini's quotas per day renew at midnight Pacific time
(https://ai.google.dev/gemini-api/docs/rate-limits), Alibaba Cloud's, Zhipu's and Baidu's at midnight
in China. Where nothing is known, midnight UTC is assumed.
"""

import math
import re
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..core.lazy_pattern import lazy_pattern
from .error_text import ErrorBody
from .rate_limit_headers import CLOCK, LONGEST_S, duration_s

LEAST_DAY_RESET_S = 600.0  # Gemini names seconds also where its quota per day is used up
DAY_MARGIN_S = 5.0  # after midnight: clocks differ

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,9}(?:[.,]\d+)?|\b(?:an?|one)(?= [smhd]))"
_THOUSANDS = lazy_pattern(r",(?=\d{3}(?!\d))")
_UNIT = (
    r"(?P<ms>milliseconds?|millis|msecs?|ms|毫秒)|(?P<s>se[ck]\w{0,8}|s|秒[钟鐘]?|초)"
    r"|(?P<m>min\w{0,6}|m|分[钟鐘間]?|분)|(?P<h>hours?|hrs?|h|heures?|stunden?|horas?|个?小时|個?小時|時間|시간)"
    r"|(?P<d>days?|d|jours?|tag(?:e|en)?|d[ií]as?|天|日|일)"
)
_PIECE = lazy_pattern(rf"(?P<n>{_NUMBER})\s?(?:more\s)?(?:{_UNIT})(?![a-z])", re.IGNORECASE)
_UNIT_PLAIN = re.sub(r"\?P<\w+>", "?:", _UNIT)
_PIECE_PLAIN = rf"{_NUMBER}\s?(?:more\s)?(?:{_UNIT_PLAIN})"
_SPAN = lazy_pattern(
    rf"{_PIECE_PLAIN}(?:(?:\s|,|and\s){{0,5}}{_PIECE_PLAIN}){{0,4}}(?![a-z])", re.IGNORECASE
)
_MOMENT = lazy_pattern(
    r"\b1\d{9}(?:\d{3})?\b|\d{4}-\d\d-\d\d(?:[T ]|,? at )\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:\s?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?"
)
_TIME_OF_DAY = lazy_pattern(
    r"(?<![\d:.-])(?P<h>[01]?\d|2[0-3]):(?P<m>[0-5]\d)(?::(?P<s>[0-5]\d))?\s?(?:Z|UTC|GMT)\b"
)
_HAN, _KANA = lazy_pattern(r"[\u4e00-\u9fff]"), lazy_pattern(r"[\u3040-\u30ff]")
_SENTENCE = lazy_pattern(r"(?<=[.!?;])\s+|[。！？；\n]")
_ABOUT_WAITING = lazy_pattern(
    r"\b(?:re-?try|try|wait|again|come back|back in|back ?off|resets?|renew\w*|available|resum\w+|cool\w*|"
    r"next|another|more|left|remaining|closes?|opens?|ends?|replenish\w*|refill\w*|regain\w*|restored?|lifted|later|until|r[ée]essay\w+|erneut|nouveau|nuevo|intent\w+|warten|attend\w+)"
    r"|重[试試]|再[试試]|再試行|等待|恢[复復]|稍[后後]|重置|다시|재시도",
    re.IGNORECASE,
)
_AHEAD = lazy_pattern(
    r"(?:\b(?:in|after|for|wait|another|until|at|by|back ?off|dans|pendant|nach|en|dentro de)|[:：]|等待|[请請]?在|[请請]|于|於)\s*"
    r"(?:about|around|approximately|at least|another|~)?\s*$",
    re.IGNORECASE,
)
_DURATION_AHEAD = lazy_pattern(r"\b(?:in|after|for|wait)\s*(?:about|around|another)?\s*$", re.I)
_DAY_S = 86_400.0
_NAMED = lazy_pattern(
    r"retry[-_ ]?after(?:[-_ ](?:s|secs?|seconds))?['\"]?\s?[:=]\s?['\"]?(\d{1,9}(?:\.\d+)?)(?![\w.])",
    re.I,
)
_BEHIND = lazy_pattern(
    r"\s*(?:later|before|until|from now|left|remaining|[之以]?[后後]|후|뒤)", re.IGNORECASE
)
# a field whose name says when to call again; what else it says is of time
# the time in which calls are counted, and one that has passed
_NO_WAIT = lazy_pattern(
    r"\d (?:requests?|calls?|tokens?|times) (?:in|within|after|for)\s*$"
    r"|(?:timed?[- ]?out|failed|gave up|aborted|canceled|cancelled|reached|exceeded|waited|elapsed|stopped"
    r"|terminated|disconnected|closed)\s+(?:after|for|in|of)\s*$",
    re.IGNORECASE,
)
_TIME_WORDS = "time-?stamp|after|delay|in|at|on|for|to|until|till|time|seconds?|secs?|sec|s|ms|millis|milliseconds|duration"
_FIELD = lazy_pattern(
    r"(?:x-?)?(?:rate-?limit-?|quota-?)?(?:"
    r"(?:retry(?=-?[adi])|resets?|wait|cooldown|backoff|renews?)(?:-?(?:{time}))*"
    r"|(?:(?:{time})-)+(?:next-)?(?:reset|retry|wait|available|renewal)"
    r"|(?:try-?again|available|available-again|again|next-(?:request|call|attempt|try|retry|available|reset|flush))(?:-?(?:{time}))+"
    r"|estimated-(?:wait(?:ing)?-?)?time|estimated-wait(?:ing)?(?:-time)?(?:-?(?:{time}))*"
    r")".replace("{time}", _TIME_WORDS),
    re.IGNORECASE,
)
_IN_MS = lazy_pattern(r"(?:ms|millis|milliseconds)$", re.IGNORECASE)
_PACIFIC, _CHINA = "America/Los_Angeles", "Asia/Shanghai"
_ZONE_WORDS = (
    (_PACIFIC, lazy_pattern(r"generativelanguage|googleapis|gemini|FreeTier|ai\.google", re.I)),
    (_CHINA, lazy_pattern(r"aliyun|dashscope|bigmodel|baidu|qianfan|[\u4e00-\u9fff]", re.I)),
)
_PLACES = {_PACIFIC: "Pacific", _CHINA: "China", "UTC": "UTC"}
# where the system has no time zones: the later midnight of the two that summer time makes
_OFFSETS_H = {_PACIFIC: -8, _CHINA: 8, "UTC": 0}


def body_wait_s(error: ErrorBody, now_s: float) -> float | None:
    """Seconds from now that an error body asks to wait; None where it does not say."""
    found = field_wait_s(error, now_s)
    if found is None:
        found = _named_wait_s(error.words)
    return text_wait_s(error.judged, now_s) if found is None else found


def field_wait_s(error: ErrorBody, now_s: float) -> float | None:
    """The same from its fields: ``retryDelay``, ``retry_after_ms``, ``X-RateLimit-Reset``, …"""
    for name, value in error.fields:
        dashed = re.sub(r"(?<=[a-z])(?=[A-Z])|_", "-", name)
        if not isinstance(value, bool) and _FIELD.fullmatch(dashed):
            seconds = _value_s(value, bool(_IN_MS.search(dashed)), now_s)
            if seconds:
                return seconds + _nanos_s(error, name)
    return None


def _nanos_s(error: ErrorBody, name: str) -> float:
    """What a google.protobuf.Duration given as an object has besides its seconds."""
    beside = name.removesuffix("-seconds") + "-nanos"
    nanos = next((value for other, value in error.fields if other == beside), 0)
    return nanos / 1e9 if isinstance(nanos, int) and 0 <= nanos < 1e9 else 0.0


def _value_s(value: Any, in_ms: bool, now_s: float) -> float | None:
    seconds = duration_s(str(value), now_s)
    if seconds is None and isinstance(value, str):
        seconds = _span_s(value) if _SPAN.fullmatch(value.strip()) else None
    elif seconds is not None and in_ms and str(value).replace(".", "").isdigit():
        seconds = seconds / 1000 if float(value) < 1e9 else seconds
    return seconds


def _named_wait_s(text: str) -> float | None:
    """A wait given by name within a text: “retry_after=17”."""
    named = _NAMED.search(text)
    return None if named is None else min(float(named[1]), LONGEST_S)


def text_wait_s(text: str, now_s: float) -> float | None:
    """The same from its sentences: “try again in 1m30s”, “retry after 20 seconds”."""
    named = _named_wait_s(text)
    if named is not None:
        return named
    for sentence in _SENTENCE.split(text):
        if not _ABOUT_WAITING.search(sentence):
            continue
        for found in _SPAN.finditer(sentence):
            before, behind = sentence[: found.start()], sentence[found.end() :]
            if _NO_WAIT.search(before):
                continue  # “5 requests in 1 minute”, “timed out after 60 s”
            if _AHEAD.search(before) or _BEHIND.match(behind):
                return min(_span_s(found[0]), LONGEST_S)
        seconds = _clock_s(sentence, now_s) or _date_s(sentence, now_s)
        if seconds:
            return seconds
    return None


def _clock_s(sentence: str, now_s: float) -> float | None:
    """A duration like 00:01:05, behind “in” or “after”."""
    for found in CLOCK.finditer(sentence):
        if _DURATION_AHEAD.search(sentence[: found.start()]):
            return duration_s(found[0], now_s)
    return None


def _date_s(sentence: str, now_s: float) -> float | None:
    """The time until a moment, or until a time of the day in UTC."""
    zone = "+08:00" if _HAN.search(sentence) and not _KANA.search(sentence) else ""
    for moment in _MOMENT.finditer(sentence):
        seconds = _moment_s(moment[0], zone, now_s)
        if seconds:
            return seconds
    named = _TIME_OF_DAY.search(sentence)
    if named is None or _MOMENT.search(sentence):
        return None
    at_s = int(named["h"]) * 3600 + int(named["m"]) * 60 + int(named["s"] or 0)
    return math.fmod(at_s - now_s % _DAY_S + _DAY_S, _DAY_S)


def _span_s(text: str) -> float:
    total = 0.0
    for piece in _PIECE.finditer(text):
        unit = next(name for name in _UNIT_S if piece[name])
        total += _amount(piece["n"]) * _UNIT_S[unit]
    return total


def _amount(text: str) -> float:
    if text[0].isalpha():  # “a minute”
        return 1.0
    return float(_THOUSANDS.sub("", text).replace(",", "."))


def _moment_s(text: str, zone: str, now_s: float) -> float | None:
    """The time until a moment, which is of ``zone`` (UTC if empty) where it does not say."""
    plain = re.sub(r"\s?(?:UTC|GMT|Z)$", "+00:00", re.sub(r",? at | ", "T", text, count=1))
    if zone and "T" in plain and not re.search(r"[+-]\d\d:?\d\d$", plain):
        plain += zone
    return duration_s(plain, now_s)


def day_reset(error: ErrorBody, now_s: float) -> tuple[float, str]:
    """(seconds until the quota per day renews, the zone whose midnight that is), where the provider
    does not say: as it documents it, else midnight UTC."""
    text = " ".join((error.text, *(str(value) for _name, value in error.fields)))
    zone = next((name for name, words in _ZONE_WORDS if words.search(text)), "UTC")
    local = datetime.fromtimestamp(now_s, _zone(zone))
    midnight = datetime.combine(local.date() + timedelta(days=1), time(), local.tzinfo)
    return midnight.timestamp() + DAY_MARGIN_S - now_s, _PLACES[zone]


def _zone(name: str) -> tzinfo:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (OSError, ZoneInfoNotFoundError):
        return timezone(timedelta(hours=_OFFSETS_H[name]))

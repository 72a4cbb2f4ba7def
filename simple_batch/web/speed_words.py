"""What limits the speed of a job now, in a sentence; static/js/speed_line.js puts the same together."""

from collections.abc import Mapping
from functools import cache

from flask import Flask
from flask_babel import get_locale, lazy_gettext

from ..insight import speed_limits
from ..insight.speed_limits import SEVERAL, SEVERAL_LEARNED, UNLIMITED, seconds_left, speed_code
from ..insight.summary import ConnectionLimit, Progress
from .filters import number, seconds
from .labels import cooldown

PATTERNS = {
    code: lazy_gettext(message.template, **message.values)
    for code, message in speed_limits.PATTERNS.items()
}


def register(app: Flask) -> None:
    app.add_template_global(speed_patterns)
    app.add_template_global(speed_code)
    app.add_template_global(speed_words)
    app.add_template_global(time_left)


def speed_patterns() -> dict[str, str]:
    """The sentences with places for their values, by code, for the script of the page."""
    return _patterns(str(get_locale()))


@cache
def _patterns(_language: str) -> dict[str, str]:
    return {str(code): str(pattern) for code, pattern in PATTERNS.items()}


def speed_words(progress: Progress) -> str:
    """The sentence; for a job on several connections one for each."""
    code = speed_code(progress)
    if code in (SEVERAL, SEVERAL_LEARNED):
        return " ".join(map(_of_connection, progress["limits"] or ()))
    return _filled(code, progress["governor"] or {}, _seconds(progress))


def _of_connection(limit: ConnectionLimit) -> str:
    sentence = _filled(limit["limited_by"] or UNLIMITED, limit, f"{limit['cooldown_s']:g}")
    # the name last: it may have the form of a place
    pattern = speed_patterns()[SEVERAL].replace("{sentence}", sentence)
    return pattern.replace("{name}", limit["config"], 1)


def _filled(code: str, limit: Mapping, seconds_left: str) -> str:
    pattern = speed_patterns().get(code, "")
    values = {
        "{n}": number(limit.get("limited_to") or 0),
        "{s}": seconds_left,
        "{why}": cooldown(limit.get("reason") or ""),
    }
    for place, value in values.items():
        pattern = pattern.replace(place, str(value))
    return pattern


def time_left(progress: Progress) -> str:
    """How long a running job takes about; a range while too little is done."""
    bounds = progress["eta_range_s"]
    if bounds is None:
        return seconds(progress["eta_s"])
    return "–".join(dict.fromkeys(map(seconds, bounds)))


def _seconds(progress: Progress) -> str:
    left = seconds_left(progress)
    return f"{left:g}" if progress["waiting"] is None else number(left)

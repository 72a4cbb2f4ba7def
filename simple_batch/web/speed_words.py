"""What limits the speed of a job now, in a sentence; static/js/speed_line.js puts the same together."""

from collections.abc import Mapping
from datetime import datetime
from functools import cache

from flask import Flask
from flask_babel import get_locale
from flask_babel import lazy_gettext as _

from ..core.clock import now_ms
from ..core.domain import JobStatus, LimitedBy
from ..insight.summary import ConnectionLimit, Progress
from .filters import number, seconds
from .labels import cooldown

ALL_SENT, WAITING, UNLIMITED = "all_sent", "waiting", "unlimited"
# a limit for each connection of a job on several; among them limits that were learned
SEVERAL, SEVERAL_LEARNED = "several", "several_learned"
_OF_THE_JOB = (LimitedBy.JOB, LimitedBy.PROCESS, LimitedBy.MEMORY)  # of all its connections
PATTERNS = {
    LimitedBy.GROWING: _("Raising the number of calls at a time: %(n)s now.", n="{n}"),
    LimitedBy.LEARNED_CONCURRENCY: _(
        "Limited by %(n)s calls at a time, learned from refusals.", n="{n}"
    ),
    LimitedBy.LEARNED_REQUESTS: _("Limited by %(n)s requests/min, learned from refusals.", n="{n}"),
    LimitedBy.LEARNED_TOKENS: _("Limited by %(n)s tokens/min, learned from refusals.", n="{n}"),
    LimitedBy.CONCURRENCY: _("Limited by the connection's concurrency of %(n)s.", n="{n}"),
    LimitedBy.REQUESTS: _("Limited by the connection's %(n)s requests/min.", n="{n}"),
    LimitedBy.TOKENS: _("Limited by the connection's %(n)s tokens/min.", n="{n}"),
    LimitedBy.JOB: _("Limited by your concurrency of %(n)s.", n="{n}"),
    LimitedBy.PROCESS: _("Limited by this process: up to %(n)s calls at a time.", n="{n}"),
    LimitedBy.WINDOW: _(
        "The calls of this minute are used up. The next one starts in %(s)s s.", s="{s}"
    ),
    LimitedBy.COOLDOWN: _("Waiting %(s)s s after a refusal (%(why)s).", s="{s}", why="{why}"),
    LimitedBy.MEMORY: _("Waiting until received answers are saved: their memory is full."),
    ALL_SENT: _("All remaining requests are in flight."),
    UNLIMITED: _("As fast as the API answers."),
    WAITING: _("The API does not answer. Next probe in %(s)s s.", s="{s}"),
    SEVERAL: _("%(name)s: %(sentence)s", name="{name}", sentence="{sentence}"),
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


def speed_code(progress: Progress) -> str:
    """What limits the speed; empty where that is not known, or nothing is sent."""
    governor, counts = progress["governor"], progress["counts"]
    if progress["status"] != JobStatus.RUNNING:
        return ""
    if progress["waiting"] is not None:
        return WAITING
    if governor is None:
        return ""
    if governor.get("limited_by") in _OF_THE_JOB:
        return governor["limited_by"]
    found = [limit["limited_by"] for limit in progress["limits"] or ()]
    if any(found):
        learned = any(code.startswith("learned_") for code in found)
        return SEVERAL_LEARNED if learned else SEVERAL
    if governor.get("limited_by") and progress["limits"] is None:
        return governor["limited_by"]
    if not counts["in_flight"]:
        return ""
    return UNLIMITED if counts["pending"] else ALL_SENT


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
    return "–".join(map(seconds, bounds))


def _seconds(progress: Progress) -> str:
    waiting = progress["waiting"]
    if waiting is None:
        return f"{(progress['governor'] or {}).get('cooldown_s') or 0:g}"
    if not waiting["next_probe_at"]:
        return "0"
    due = datetime.fromisoformat(waiting["next_probe_at"]).timestamp()
    return number(max(0, round(due - now_ms() / 1000)))

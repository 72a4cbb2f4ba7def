"""What limits the speed of a job now. Pages say it in their language (web/speed_words.py), commands in
English."""

from datetime import datetime

from ..core.clock import now_ms
from ..core.domain import JobStatus, LimitedBy
from ..core.messages import Message, translatable
from .summary import ConnectionLimit, Progress

ALL_SENT, WAITING, UNLIMITED = "all_sent", "waiting", "unlimited"
# a limit for each connection of a job on several; among them limits that were learned
SEVERAL, SEVERAL_LEARNED = "several", "several_learned"
_OF_THE_JOB = (LimitedBy.JOB, LimitedBy.PROCESS)  # of all its connections
PATTERNS: dict[str, Message] = {
    LimitedBy.GROWING: translatable("Raising the number of calls at a time: %(n)s now.", n="{n}"),
    LimitedBy.LEARNED_CONCURRENCY: translatable(
        "Limited by %(n)s calls at a time, learned from refusals.", n="{n}"
    ),
    LimitedBy.LEARNED_REQUESTS: translatable(
        "Limited by %(n)s requests/min, learned from refusals.", n="{n}"
    ),
    LimitedBy.LEARNED_TOKENS: translatable(
        "Limited by %(n)s tokens/min, learned from refusals.", n="{n}"
    ),
    LimitedBy.CONCURRENCY: translatable(
        "Limited by the connection's concurrency of %(n)s.", n="{n}"
    ),
    LimitedBy.REQUESTS: translatable("Limited by the connection's %(n)s requests/min.", n="{n}"),
    LimitedBy.TOKENS: translatable("Limited by the connection's %(n)s tokens/min.", n="{n}"),
    LimitedBy.JOB: translatable("Limited by your concurrency of %(n)s.", n="{n}"),
    LimitedBy.PROCESS: translatable(
        "Limited by this process: up to %(n)s calls at a time.", n="{n}"
    ),
    LimitedBy.WINDOW: translatable(
        "The calls of this minute are used up. The next one starts in %(s)s s.", s="{s}"
    ),
    LimitedBy.COOLDOWN: translatable(
        "Waiting %(s)s s after a refusal (%(why)s).", s="{s}", why="{why}"
    ),
    LimitedBy.MEMORY: translatable(
        "Waiting until received answers are saved: their memory is full."
    ),
    ALL_SENT: translatable("All remaining requests are in flight."),
    UNLIMITED: translatable("As fast as the API answers."),
    WAITING: translatable("The API does not answer. Next probe in %(s)s s.", s="{s}"),
    SEVERAL: translatable("%(name)s: %(sentence)s", name="{name}", sentence="{sentence}"),
}


def speed_code(progress: Progress) -> str:
    """What limits the speed; empty where that is not known, or nothing is sent."""
    governor, counts = progress["governor"], progress["counts"]
    if progress["status"] != JobStatus.RUNNING:
        return ""
    if progress["waiting"] is not None:
        return WAITING
    if governor is None:
        return ""
    if governor.get("limited_by") == LimitedBy.MEMORY:
        return LimitedBy.MEMORY
    if not counts["pending"] + counts["retrying"]:
        return ALL_SENT if counts["in_flight"] else ""
    if governor.get("limited_by") in _OF_THE_JOB:
        return governor["limited_by"]
    found = [limit["limited_by"] for limit in progress["limits"] or ()]
    if any(found):
        learned = any(code.startswith("learned_") for code in found)
        return SEVERAL_LEARNED if learned else SEVERAL
    if governor.get("limited_by") and progress["limits"] is None:
        return governor["limited_by"]
    return UNLIMITED if counts["in_flight"] else ""


def seconds_left(progress: Progress) -> float:
    """Until the next call, or the next probe of an endpoint that is away."""
    waiting = progress["waiting"]
    if waiting is None:
        return (progress["governor"] or {}).get("cooldown_s") or 0
    if not waiting["next_probe_at"]:
        return 0
    due = datetime.fromisoformat(waiting["next_probe_at"]).timestamp()
    return max(0, round(due - now_ms() / 1000))


def in_english(progress: Progress) -> str:
    """The sentence; for a job on several connections one for each. Empty where nothing limits it."""
    code = speed_code(progress)
    if code in (SEVERAL, SEVERAL_LEARNED):
        return " ".join(map(_of_connection, progress["limits"] or ()))
    return _filled(code, dict(progress["governor"] or {}), seconds_left(progress))


def _of_connection(limit: ConnectionLimit) -> str:
    sentence = _filled(limit["limited_by"] or UNLIMITED, dict(limit), limit["cooldown_s"])
    return f"{limit['config']}: {sentence}"


def _filled(code: str, limit: dict, seconds: float) -> str:
    if code not in PATTERNS:
        return ""
    number = f"{limit.get('limited_to') or 0:,}"
    reason = str(limit.get("reason") or "").replace("_", " ")
    return (
        PATTERNS[code]
        .replace("{n}", number)
        .replace("{s}", f"{seconds:g}")
        .replace("{why}", reason)
    )

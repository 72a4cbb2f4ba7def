"""The parts of a job in words: where they stand, and what a provider's word for it means."""

from flask import Flask
from flask_babel import gettext
from flask_babel import lazy_gettext as _

from ..core.domain import PartState
from ..insight.parts import PartSums
from ..store.models import BatchPart
from .filters import number, seconds

STATES = {
    PartState.PLANNED: _("not sent yet"),
    PartState.UPLOADING: _("being uploaded"),
    PartState.UPLOADED: _("uploaded"),
    PartState.CREATING: _("being created"),
    PartState.OPEN: _("at the provider"),
    PartState.CANCELLING: _("being cancelled"),
    PartState.ENDED: _("results are being read"),
    PartState.MERGED: _("finished"),
    PartState.RELEASED: _("not sent"),
}
# The providers' own words, in lower case without what they begin with (JOB_STATE_, BATCH_STATE_).
PROVIDER_WORDS = {
    "validating": _("being validated"),
    "pending": _("waits for its turn"),
    "queued": _("waits for its turn"),
    "in_queue": _("waits for its turn"),
    "created": _("waits for its turn"),
    "in_progress": _("running"),
    "running": _("running"),
    "processing": _("running"),
    "finalizing": _("results are being prepared"),
    "completed": _("completed"),
    "succeeded": _("completed"),
    "success": _("completed"),
    "ended": _("completed"),
    "failed": _("refused as a whole"),
    "expired": _("expired"),
    "timeout_exceeded": _("expired"),
    "cancelling": _("being cancelled"),
    "canceling": _("being cancelled"),
    "cancellation_requested": _("being cancelled"),
    "cancelled": _("cancelled"),
    "canceled": _("cancelled"),
}
_PREFIXES = ("job_state_", "batch_state_")


def register(app: Flask) -> None:
    app.add_template_global(parts_words)
    app.add_template_global(about_time)
    app.add_template_global(part_state)
    app.add_template_global(provider_word)


def parts_words(parts: PartSums) -> str:
    """Where all parts stand, in a line; static/js/job.js has the same."""
    found = [
        text
        for count, text in (
            (parts["waiting"], gettext("%(n)s not sent yet", n=number(parts["waiting"]))),
            (parts["open"], gettext("%(n)s at the provider", n=number(parts["open"]))),
            (parts["ended"], gettext("%(n)s being read", n=number(parts["ended"]))),
            (parts["merged"], gettext("%(n)s finished", n=number(parts["merged"]))),
        )
        if count
    ]
    if parts["oldest_s"] is not None:
        found.append(gettext("the oldest for %(time)s", time=seconds(parts["oldest_s"])))
    return " · ".join(found) or "–"


def about_time(value: float) -> str:
    """A duration of batches, roughly."""
    if value < 120:
        return gettext("%(count)s s", count=number(round(value)))
    if value < 7200:
        return gettext("%(count)s min", count=number(round(value / 60)))
    return gettext("%(count)s h", count=f"{round(value / 3600, 1):g}")


def part_state(part: BatchPart, cancels: bool) -> str:
    """Where a part stands here; ``cancels``: the provider can end a batch before its time."""
    state = PartState(part.state)
    if state is PartState.CANCELLING and not cancels:
        return gettext("goes on to its end: this provider can't cancel batches")
    return str(STATES[state])


def provider_word(status: str) -> str:
    """What a provider's status means; a word that is not known is shown as it is."""
    word = status.lower()
    for prefix in _PREFIXES:
        word = word.removeprefix(prefix)
    return str(PROVIDER_WORDS.get(word, status))

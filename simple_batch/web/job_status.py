"""The status of a job in words, as it is shown: with its failures, and with how much of it was answered."""

from collections.abc import Mapping

from flask import Flask
from flask_babel import gettext as _

from ..store.outcome_status import OutcomeStatus
from . import labels
from .filters import number, whole_percent


def register(app: Flask) -> None:
    app.add_template_global(job_status_word)


def job_status_word(status: str, outcome: str | None, counts: Mapping) -> str:
    """``outcome`` is the job's ``outcome_status``, ``counts`` are those of insight.summary."""
    answered = whole_percent(counts["succeeded"] + counts["failed"], counts["total"])
    if outcome == OutcomeStatus.COMPLETED_WITH_FAILURES:
        return _completed(counts["failed"], counts["cancelled"])
    if outcome == OutcomeStatus.CANCELLED:
        return _("cancelled at %(percent)s", percent=answered)
    if outcome == OutcomeStatus.EXPIRED:
        return _("expired at %(percent)s", percent=answered)
    return str(labels.STATUSES.get(outcome or status, status))


def _completed(failed: int, unsent: int) -> str:
    if not unsent:
        return _("completed, %(n)s failed", n=number(failed))
    if not failed:
        return _("completed, %(n)s not sent", n=number(unsent))
    return _(
        "completed, %(n)s failed, %(unsent)s not sent", n=number(failed), unsent=number(unsent)
    )

"""The status of a job in words, as it is shown: with its failures, and with how much of it was answered."""

from collections.abc import Mapping

from flask import Flask
from flask_babel import gettext as _

from ..core.domain import JobStatus
from ..store.outcome_status import FLAWED, OutcomeStatus
from . import labels
from .filters import number, whole_percent


def register(app: Flask) -> None:
    app.add_template_global(job_status_word)
    app.add_template_global(flawed)
    app.add_template_global(leads_to_results)
    app.jinja_env.globals["flawed_outcomes"] = FLAWED


def leads_to_results(status: str) -> bool:
    """Whether the first page of a job in this status is that of its results."""
    return status in (JobStatus.COMPLETED, JobStatus.CANCELLED, JobStatus.EXPIRED)


def flawed(outcomes: Mapping[str, int]) -> dict[str, int]:
    """Of the ``outcomes`` of insight.summary those that are no good answers, as far as there are any."""
    return {str(name): outcomes[name] for name in FLAWED if outcomes[name]}


def job_status_word(status: str, outcome: str | None, counts: Mapping, outcomes: Mapping) -> str:
    """``outcome`` is the job's ``outcome_status``, ``counts`` and ``outcomes`` are those of
    insight.summary."""
    answered = whole_percent(counts["succeeded"] + counts["failed"], counts["total"])
    if outcome == OutcomeStatus.COMPLETED_WITH_FAILURES:
        return _completed(counts["failed"], counts["cancelled"])
    if outcome == OutcomeStatus.CANCELLED:
        return _("cancelled at %(percent)s", percent=answered)
    if outcome == OutcomeStatus.EXPIRED:
        return _("expired at %(percent)s", percent=answered)
    if outcome == OutcomeStatus.COMPLETED and flawed(outcomes):
        return _flawed(flawed(outcomes))
    return str(labels.STATUSES.get(outcome or status, status))


def _flawed(found: dict[str, int]) -> str:
    """A completed job without failures, some of whose answers are not OK."""
    if len(found) > 1:
        return _("completed, %(n)s answers not OK", n=number(sum(found.values())))
    ((name, count),) = found.items()
    return _("completed, %(n)s %(outcome)s", n=number(count), outcome=str(labels.OUTCOMES[name]))


def _completed(failed: int, unsent: int) -> str:
    if not unsent:
        return _("completed, %(n)s failed", n=number(failed))
    if not failed:
        return _("completed, %(n)s not sent", n=number(unsent))
    return _(
        "completed, %(n)s failed, %(unsent)s not sent", n=number(failed), unsent=number(unsent)
    )

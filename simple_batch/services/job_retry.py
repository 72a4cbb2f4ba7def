"""Sends requests of a job again: those that failed, those whose answers are cut off, refused or empty,
single ones, or one with an edited body."""

import itertools
import logging
import time

import gevent

from .. import intake
from ..core import context
from ..core.domain import FINAL_STATUSES, JobStatus, RequestStatus
from ..core.errors import Conflict, InvalidInput, NotFound
from ..core.json_pieces import with_breaks
from ..core.messages import Message, translatable
from ..export.rows import rows as exported_rows
from ..runner import finalize
from ..store import jobs as job_rows
from ..store import requeue, requeue_answers
from ..store.database import connected, log_failure
from ..store.models import Job, Request
from ..store.outcome_status import FLAWED
from ..store.request_filter import RequestFilter
from ..store.requeue import Changes
from ..store.row_selection import MAX_ROWS, Selection
from . import configs, fields, images, job_options, jobs, lifecycle

RETRIABLE = requeue_answers.RETRIABLE  # outcomes
_NOT_ANSWERED = (RequestStatus.FAILED, RequestStatus.CANCELLED)
log = logging.getLogger(__name__)


def retry(
    job_id: int,
    wanted: RequestFilter | None = None,
    other: Changes | None = None,
    actor: str | None = None,
) -> int:
    """Give the failed requests that match (all, without a filter) back to be run again, ``other``
    than before if it is given; a finished job is queued. Returns how many were within AT_ONCE_S: in
    a process that serves the rest follows in the background, and is left as it was if the process
    ends before. Raises Conflict, also where none matches, and InvalidInput for a change that is not
    possible.

    A filter with an ``outcome`` gives back the requests with such answers, also those that succeeded;
    the answers are kept as attempts. So the remedies of a job's tiles are::

        retry(job_id, RequestFilter(outcome="cut_off"), Changes(double_max_tokens=True))
        retry(job_id, RequestFilter(outcome="refused"), Changes(config_id=other.id))
        retry(job_id, RequestFilter(outcome="empty"))
    """
    job = _retriable(job_id)
    wanted, other = wanted or RequestFilter(), _possible(job, other)
    _check_outcome(wanted, other)
    if wanted.outcome is None and wanted.status not in (None, *_NOT_ANSWERED):
        raise Conflict(_none_matches(wanted))
    given_back = 0
    after: int | None = -1
    while not given_back and after is not None:
        count, after = finalize.give_back(job_id, wanted, other, after, _at_once())
        given_back += count
    if not given_back:
        raise Conflict(_none_matches(wanted))
    if after is None:
        given_back += _give_back_duplicates(job, wanted)
    actor = jobs.acting(actor)
    _queue_again(job_id, actor)
    jobs.note("retry", job_id, _requests(given_back), actor)
    if after is not None:
        gevent.spawn(_retry_rest, job, wanted, other, after, actor)
    return given_back


def _check_outcome(wanted: RequestFilter, other: Changes | None) -> None:
    """Raises InvalidInput for an outcome that needs no retry, and where tokens cannot be doubled."""
    if wanted.outcome is not None and wanted.outcome not in requeue_answers.RETRIABLE:
        raise InvalidInput(translatable("Answers that are OK are not retried."), "outcome")
    if other is None or not other.double_max_tokens:
        return
    if wanted.outcome is None:
        raise InvalidInput(
            translatable("Choose an outcome, for example cut_off, to double max tokens."),
            "double_max_tokens",
        )
    if other.max_tokens is not None:
        raise InvalidInput(
            translatable("Give a number of max tokens, or double them, not both."), "max_tokens"
        )


def _none_matches(wanted: RequestFilter) -> Message:
    if wanted.outcome is not None:
        return translatable("No answer matches. Nothing was retried.")
    return translatable("No failed request matches. Nothing was retried.")


def _at_once() -> float | None:
    """Until when a page is kept waiting (monotonic clock); None where no page is served."""
    return time.monotonic() + jobs.AT_ONCE_S if lifecycle.serving() else None


def _give_back_duplicates(job: Job, wanted: RequestFilter) -> int:
    """A group is found by its attempts, and requests that got the failure of another have none."""
    return finalize.give_back_duplicates(job.id) if wanted.group and job.ask_once else 0


def _retry_rest(
    job: Job, wanted: RequestFilter, other: Changes | None, after: int, actor: str
) -> None:
    """The job may have come to its end meanwhile: then it is queued once more."""
    job_id = job.id
    try:
        count, _end = finalize.give_back(job_id, wanted, other, after)
        count += _give_back_duplicates(job, wanted)
        with connected():
            if count:
                _queue_again(job_id, actor)
                jobs.note("retry", job_id, _requests(count), actor)
    except Exception:
        log_failure(log, f"job {job_id}: not all of its requests were given back")


def retry_requests(
    job_id: int, indices: list[int], other: Changes | None = None, actor: str | None = None
) -> int:
    """The same for single requests, failed or cancelled. Returns how many were given back."""
    other = _possible(_retriable(job_id), other)
    # in order: a request that waits for an identical one comes behind it
    wanted = with_breaks(sorted(set(indices)), 1)
    given_back = sum(requeue.requeue_one(job_id, index, other) for index in wanted)
    if not given_back:
        raise Conflict(translatable("None of these requests failed. Nothing was retried."))
    _queue_again(job_id, actor)
    jobs.note("retry", job_id, _requests(given_back), actor)
    return given_back


def retry_selected(
    job_id: int, wanted: RequestFilter, selection: Selection, other: Changes | None = None
) -> int:
    """The same for all requests that match the filter and the selection, and may be retried: those that
    failed or were cancelled, and those whose answers are flawed. Raises InvalidInput where they are more
    than can be selected."""
    if not selection and _names_only_retriable(wanted):
        return retry(job_id, wanted, other)
    job = _retriable(job_id)
    if selection:
        found = exported_rows(job, "all", wanted, selection)
        retriable = (row.index for row in found if _may_be_retried(row.status, row.outcome))
        indices = list(itertools.islice(retriable, MAX_ROWS + 1))
    else:
        indices = requeue.retriable(job_id, wanted, MAX_ROWS + 1)
    if len(indices) > MAX_ROWS:
        raise InvalidInput(
            translatable(
                "More than %(most)s requests match. Add a filter, for example a status.",
                most=f"{MAX_ROWS:,}",
            ),
            "status",
        )
    return retry_requests(job_id, indices, other)


def _names_only_retriable(wanted: RequestFilter) -> bool:
    if wanted.outcome is not None:
        return wanted.outcome in RETRIABLE
    if wanted.cause is not None:  # no answer has one
        return wanted.status in (None, *_NOT_ANSWERED)
    return wanted.status in _NOT_ANSWERED


def _may_be_retried(status: str | None, outcome: str | None) -> bool:
    return status in _NOT_ANSWERED or outcome in FLAWED


def _requests(count: int) -> Message:
    if count == 1:
        return translatable("1 request")
    return translatable("%(count)s requests", count=f"{count:,}")


def send_again(job_id: int, index: int, body: str, actor: str | None = None) -> None:
    """Send one request again with a body that a user edited; the answer it had becomes an attempt.
    Raises InvalidInput for a body that is no request, Conflict while the request is under way."""
    _retriable(job_id)
    if not Request.select().where((Request.job == job_id) & (Request.idx == index)).exists():
        raise NotFound(
            translatable("Job %(job_id)s has no request #%(n)s.", job_id=job_id, n=index + 1)
        )
    edited = intake.check_body(body, context.settings())
    images.check(jobs.get(job_id), edited)
    if not requeue.replace_one(job_id, index, edited):
        raise Conflict(
            translatable("This request has not ended yet. Wait for its answer, then edit it.")
        )
    _queue_again(job_id, actor)
    jobs.note("send", job_id, translatable("request #%(n)s", n=index + 1), actor)


def _possible(job: Job, other: Changes | None) -> Changes | None:
    """The changes, checked; None where they change nothing."""
    if other is None or other == Changes():
        return None
    fields.stored(job_options.OPTIONS["timeout_s"], other.timeout_s)
    fields.stored(job_options.PARAMETERS["max_tokens"], other.max_tokens)
    if other.config_id is not None:
        config = configs.get(other.config_id)
        if not config.active:
            raise InvalidInput(
                translatable("The connection “%(alias)s” is deactivated.", alias=config.alias),
                "config",
            )
        if config.currency != job.currency:
            raise InvalidInput(
                translatable(
                    "“%(alias)s” is priced in %(currency)s, but this job in %(own)s. One job "
                    "needs one currency. Create a new job from the failed requests instead.",
                    alias=config.alias,
                    currency=config.currency,
                    own=job.currency,
                ),
                "config",
            )
    return other


def _retriable(job_id: int) -> Job:
    """The job. Raises Conflict where none of its requests can be retried now."""
    job = jobs.get(job_id)
    if job.status_reason == job_rows.RESETTING:
        raise Conflict(jobs.being_reset(job_id))
    if job.status not in jobs.RETRIABLE:
        raise Conflict(
            translatable(
                "Job %(job_id)s is %(status)s: its requests cannot be retried now.",
                job_id=job_id,
                status=translatable(str(job.status)),
            )
        )
    return job


def _queue_again(job_id: int, actor: str | None) -> None:
    jobs.begin_again(job_id)
    job_rows.transition(job_id, JobStatus.QUEUED, FINAL_STATUSES, "retry", actor=jobs.acting(actor))
    jobs.wake()

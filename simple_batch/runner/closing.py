"""What ends a job other than its last answer: cancelling what is left, removing what is deleted."""

import gevent

from ..clock import now_ms
from ..domain import Cause, JobStatus, Outcome, RequestStatus
from ..store import jobs as job_rows
from ..store import requests as request_rows
from ..store.configs import prices_of
from ..store.database import connected
from ..store.models import Job
from ..store.results import Recorded, write

PAGE = 500


def finish_cancel(job_id: int) -> None:
    """Give every request without a result the result ``cancelled``, then the job that status.
    May be broken off at any point and begun again."""
    with connected():
        job = Job.get_by_id(job_id)
        alias, prices = job.config.alias, prices_of(job.config)
    mark = 0
    while mark < job.total:
        with connected():
            page, mark = request_rows.pending_page(job_id, mark, job.total, PAGE)
            write([_cancelled(job_id, alias, prices, request.index) for request in page])
        gevent.sleep(0)
    with connected():
        job_rows.transition(job_id, JobStatus.CANCELLED, (JobStatus.CANCELLING,))


def _cancelled(job_id, alias, prices, index) -> Recorded:
    outcome = Outcome(
        index=index,
        status=RequestStatus.CANCELLED,
        attempts=(),
        started_at=None,
        finished_at=now_ms(),
        latency_ms=None,
        cause=Cause.CANCELLED,
        message="cancelled before it was answered",
    )
    return Recorded(
        job_id=job_id, alias=alias, prices=prices, index=index, attempts=(), outcome=outcome
    )


def purge(job_id: int) -> None:
    """Remove a deleted job's rows in small steps. May be broken off and begun again."""
    gone = False
    while not gone:
        with connected():
            gone = job_rows.delete_rows_step(job_id)
        gevent.sleep(0)

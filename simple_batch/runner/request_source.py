"""Request source of a job whose calls are all made by one process: by key, from first to last.

A job run reads its requests from a source; cluster/claimed_pages.py is the source for workers.
"""

from collections.abc import Iterator

from ..core.domain import Request
from ..store import requests as request_rows
from ..store.database import retry_while_unavailable
from ..store.models import Job
from ..store.requests import RouteKey

PAGE = 200


class Cursor:
    def __init__(self, job: Job):
        self._job_id = job.id
        self._ask_once = job.ask_once
        self.note(job)

    def note(self, job: Job) -> None:
        """Apply what has changed while the job runs."""
        self._total, self._overrides = job.total, job.overrides

    def ways(self) -> list[RouteKey]:
        """The route keys of requests that do not take the job's own route."""
        return request_rows.ways(self._job_id)

    def pages(self, way: RouteKey) -> Iterator[list[Request]]:
        """Those that go one way and have no result, some of the pages empty."""
        mark = 0
        while mark < self._total:
            asked = way if self._overrides else None
            page, mark = retry_while_unavailable(
                request_rows.pending_page,
                *(self._job_id, mark, self._total, PAGE, asked, self._ask_once),
            )
            yield page

    def holds(self, way: RouteKey) -> bool:
        """Whether what was taken of a way, and has not ended, keeps others from it: there are none."""
        return False

    def give_back(self, way: RouteKey) -> None:
        """No other worker could take it."""

    def settle(self) -> None:
        """What was taken has ended or was given up; what ended is committed."""

    def goes_on(self) -> bool:
        """Whether a job run that has reached the end starts over while requests are left."""
        return True

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
        """Pages of the requests of one route that have no result. Some pages are empty."""
        mark = 0
        while mark < self._total:
            asked = way if self._overrides else None
            page, mark = retry_while_unavailable(
                request_rows.pending_page,
                *(self._job_id, mark, self._total, PAGE, asked, self._ask_once),
            )
            yield page

    def holds(self, way: RouteKey) -> bool:
        """Whether unfinished requests of a route keep other workers from it: there are no others."""
        return False

    def give_back(self, way: RouteKey) -> None:
        """Nothing to do: no other worker could take the requests."""

    def settle(self) -> None:
        """All requests taken have ended or were given up; those that ended are committed."""

    def goes_on(self) -> bool:
        """Whether a job run that has reached the end starts over while requests are left."""
        return True

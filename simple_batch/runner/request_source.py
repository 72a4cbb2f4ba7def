"""The requests of a job where one process makes all its calls: by key, from the first to the last.

It is what a lane asks for its requests; cluster/claimed_pages.py is the other kind of it.
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
        """Take up what has changed while the job runs."""
        self._total, self._overrides = job.total, job.overrides

    def ways(self) -> list[RouteKey]:
        """The ways besides the job's own that requests are to go."""
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
        """Whether a lane that has come to the end begins again while requests are left."""
        return True

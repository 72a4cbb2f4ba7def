"""Request sources: where a job run takes its requests from.

A cursor serves a job whose calls are all made by one process: by key, from first to last. The source
for workers is cluster/claimed_pages.py.
"""

from collections.abc import Iterator
from typing import Protocol

from ..core.domain import Request, Service
from ..engine.prefix_window import MAX_HELD
from ..store import requests as request_rows
from ..store.database import retry_while_unavailable
from ..store.models import Job
from ..store.requests import RouteKey

PAGE = 200


class RequestSource(Protocol):
    """Supplies the requests of one job that have no result. Results are committed by the recorder.
    ``part`` names the process among those that share the job, ``max_held`` is how many requests it may
    hold back (prefix_window.py)."""

    part: str
    max_held: int

    def note(self, job: Job) -> None:
        """Apply what has changed while the job runs."""

    def route_keys(self) -> list[RouteKey]:
        """The route keys of requests that do not take the job's own route."""
        ...

    def pages(self, key: RouteKey) -> Iterator[list[Request]]:
        """Pages of the requests of one route that have no result. Some pages are empty."""
        ...

    def holds(self, key: RouteKey) -> bool:
        """Whether unfinished requests of a route keep other workers from it."""
        ...

    def give_back(self, key: RouteKey) -> None:
        """Release the unfinished requests of a route. Its recorded results must be committed before."""

    def settle(self) -> None:
        """All requests taken have ended or were given up; those that ended are committed."""

    def starts_over(self) -> bool:
        """Whether a job run that has reached the end starts over while requests are left. If not,
        other workers hold the rest."""
        ...


class Cursor(RequestSource):
    part = ""
    max_held = MAX_HELD

    def __init__(self, job: Job):
        self._job_id = job.id
        self._ask_once = job.ask_once
        self._parts = Service(job.service) is not Service.NOW
        self.note(job)

    def note(self, job: Job) -> None:
        self._total, self._overrides = job.total, job.overrides

    def route_keys(self) -> list[RouteKey]:
        return request_rows.ways(self._job_id)

    def pages(self, key: RouteKey) -> Iterator[list[Request]]:
        mark = 0
        while mark < self._total:
            page, mark = retry_while_unavailable(
                request_rows.pending_page,
                self._job_id,
                mark,
                self._total,
                PAGE,
                key if self._overrides else None,
                self._ask_once,
                self._parts,
            )
            yield page

    def holds(self, key: RouteKey) -> bool:
        return False  # there are no other workers

    def give_back(self, key: RouteKey) -> None:
        """Nothing to do: no other worker could take the requests."""

    def settle(self) -> None:
        """Nothing to do: no other worker could take the requests."""

    def starts_over(self) -> bool:
        return True

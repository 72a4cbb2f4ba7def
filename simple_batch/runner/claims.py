"""The requests of a job where several workers share them out: pages that this one claims.

It stands between a lane and the recorder, so that it sees which requests of a page have got
their result. A page whose requests all have one is removed once that is committed; the others are
given back when the lane has come to its end.
"""

import logging
from collections.abc import Callable, Iterator

import peewee

from ..domain import Request
from ..store import pages
from ..store.database import steadily
from ..store.models import Job
from ..store.pages import Claimed
from ..store.requests import Way
from ..store.results import Recorded
from .recorder import Recorder

log = logging.getLogger(__name__)

PARTS = 2  # in so many a lane takes as many requests as it may call at a time: others get theirs


class _Page:
    __slots__ = ("id", "left")

    def __init__(self, id_: int, left: int):
        self.id = id_
        self.left = left


class Claims:
    """Towards a lane it is its source (cursor.py) and its recorder. ``width()`` is how many calls the
    lane may make at a time."""

    def __init__(self, job: Job, worker_id: str, recorder: Recorder, width: Callable[[], int]):
        self._job_id = job.id
        self._worker_id = worker_id
        self._recorder = recorder
        self._width = width
        self._size = pages.size_for(job.total)
        self._page_of: dict[int, _Page] = {}  # by the index of a request without a result
        self._done: set[int] = set()  # ids of pages that may go
        self._recorded = 0  # results since it was last settled
        self._claimed = False  # something was, since it last began at the first page
        self.flush = recorder.flush
        self.wait_until_well = recorder.wait_until_well

    def ways(self) -> list[Way]:
        return pages.other_ways(self._job_id)

    def note(self, job: Job) -> None:
        """What it would have to know is asked with each claim."""

    def pages(self, way: Way) -> Iterator[list[Request]]:
        mark = 0
        while True:
            claimed = steadily(self._claim, way, mark)
            if not claimed and mark == 0:
                return
            # what was given back lies before the mark
            mark = claimed[-1].first if claimed else 0
            for page in claimed:
                yield page.requests

    def _claim(self, way: Way, mark: int) -> list[Claimed]:
        count = max(1, self._width() // PARTS // self._size)
        finished = list(self._done)
        try:
            claimed = pages.claim(self._worker_id, self._job_id, way, mark, count, finished)
        except peewee.IntegrityError:
            log.warning("this worker was taken for dead: it claims nothing")
            return []
        self._done.difference_update(finished)
        for page in claimed:
            self._claimed = True
            if page.requests:
                held = _Page(page.id, len(page.requests))
                self._page_of.update((request.index, held) for request in page.requests)
            else:
                self._done.add(page.id)
        return claimed

    def record(self, item: Recorded) -> None:
        self._recorder.record(item)
        if item.outcome is None:
            return
        self._recorded += 1
        page = self._page_of.pop(item.index, None)
        if page is None:
            return
        page.left -= 1
        if page.left == 0:
            self._recorder.after(lambda: self._done.add(page.id))

    def settle(self) -> None:
        """Give back what has not ended, also what was claimed and never heard of."""
        log.info("job %s: %s results came from here", self._job_id, self._recorded)
        self._recorded = 0
        self._page_of = {}
        steadily(self._remove_done)
        steadily(pages.give_back, self._worker_id, self._job_id)

    def _remove_done(self) -> None:
        ids = list(self._done)
        if ids:
            pages.done(ids)
            self._done.difference_update(ids)

    def goes_on(self) -> bool:
        """Whether there may be more for this worker: else it is the others who have what is left."""
        begun, self._claimed = self._claimed, False
        return begun and steadily(pages.free, self._job_id, 1) > 0

"""Claims pages of a job's requests for one worker, where several workers share the job.

Sits between a job run and the recorder, to see which requests of a page have a result. A page whose
requests all have one is removed after the commit. The other pages are released when the job run ends,
or earlier where this worker can make no call. Nothing is claimed while the worker has no share of the
rate limits and no spend lease: the requests would be blocked for the other workers.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence

import gevent
import peewee

from ..core.domain import Request
from ..runner.recorder import Recorder, ResultSink
from ..runner.request_source import RequestSource
from ..store.answer_group import AnswerGroup
from ..store.cluster import pages
from ..store.cluster.pages import Claimed
from ..store.database import retry_while_unavailable
from ..store.models import Job
from ..store.requests import RouteKey
from ..store.results import Recorded

log = logging.getLogger(__name__)

SCARCE = 8  # times the concurrency of a job run
PAUSE_S = 0.02
LOOK_S = 0.5  # between two looks whether anything is left, while there is no share
PARTS = 2  # a claim takes this fraction of the run's concurrency, so that other workers get a share


class _Page:
    __slots__ = ("id", "left", "way")

    def __init__(self, id_: int, left: int, way: RouteKey):
        self.id = id_
        self.left = left
        self.way = way


class ClaimedPages(RequestSource, ResultSink):
    """The request source and the result sink of a job run. ``width()`` is the
    run's concurrency, ``spare()`` how many more calls it may start now. ``ready(way)`` says whether the
    worker has the shared limits and spend leases that a call of this route needs, and asks for them if
    not."""

    max_held = pages.SIZE  # what one worker holds back, the others cannot send

    def __init__(
        self,
        job: Job,
        worker_id: str,
        recorder: Recorder,
        width: Callable[[], int],
        spare: Callable[[], int],
        ready: Callable[[RouteKey], bool],
    ):
        self.part = worker_id
        self._job_id = job.id
        self._total = job.total
        self._worker_id = worker_id
        self._recorder = recorder
        self._width = width
        self._spare = spare
        self._ready = ready
        self._size = pages.size_for(job.total)
        self._page_of: dict[int, _Page] = {}  # by the index of a request without a result
        self._done: set[int] = set()  # ids of pages that may go
        self._recorded = 0  # results since it was last settled
        self._claimed = False  # something was, since it last began at the first page

    def route_keys(self) -> list[RouteKey]:
        return pages.other_ways(self._job_id)

    def note(self, job: Job) -> None:
        """Do nothing: each claim queries the current state."""

    def pages(self, way: RouteKey) -> Iterator[list[Request]]:
        mark = 0
        while True:
            while self._is_scarce(mark) and self._spare() <= 0:
                gevent.sleep(PAUSE_S)
            if not self._ready(way) and not self._wait_until_ready(way):
                return
            claimed = retry_while_unavailable(self._claim, way, mark)
            if not claimed and mark == 0:
                return
            # what was given back lies before the mark
            mark = claimed[-1].first if claimed else 0
            for page in claimed:
                yield page.requests

    def _wait_until_ready(self, way: RouteKey) -> bool:
        """False where nothing is left to be claimed."""
        looked = time.monotonic()
        while not self._ready(way):
            gevent.sleep(PAUSE_S)
            if time.monotonic() - looked >= LOOK_S:
                if not retry_while_unavailable(pages.any_free, self._job_id, way):
                    return False
                looked = time.monotonic()
        return True

    def _claim(self, way: RouteKey, mark: int) -> list[Claimed]:
        count = 1
        if not self._is_scarce(mark):
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
                held = _Page(page.id, len(page.requests), way)
                self._page_of.update((request.index, held) for request in page.requests)
            else:
                self._done.add(page.id)
        return claimed

    def _is_scarce(self, mark: int) -> bool:
        """Whether fewer requests may be left than all job runs could take. Nothing is then claimed before
        a call can start, so that no run holds requests while another has none."""
        return self._total - mark < SCARCE * self._width()

    def wait_until_writable(self) -> None:
        self._recorder.wait_until_writable()

    def flush(self) -> None:
        self._recorder.flush()

    def record(self, item: Recorded) -> None:
        self._recorder.record(item)
        self._count(item)

    def record_group(self, items: Sequence[Recorded | AnswerGroup]) -> None:
        self._recorder.record_group(items)
        for item in items:
            if isinstance(item, Recorded):
                self._count(item)
            else:
                for index, *_ in item.answers:
                    self._count_result(index)

    def _count(self, item: Recorded) -> None:
        if item.result is not None:
            self._count_result(item.index)

    def _count_result(self, index: int) -> None:
        self._recorded += 1
        page = self._page_of.pop(index, None)
        if page is None:
            return
        page.left -= 1
        if page.left == 0:
            self._recorder.after(lambda: self._done.add(page.id))

    def holds(self, way: RouteKey) -> bool:
        return any(page.way == way for page in self._page_of.values())

    def give_back(self, way: RouteKey) -> None:
        for index in [i for i, page in self._page_of.items() if page.way == way]:
            del self._page_of[index]
        retry_while_unavailable(self._remove_done)
        retry_while_unavailable(pages.give_back, self._worker_id, self._job_id, way)

    def settle(self) -> None:
        """Release the unfinished pages, also those from a claim whose answer was lost."""
        log.info("job %s: %s results came from here", self._job_id, self._recorded)
        self._recorded = 0
        self._page_of = {}
        retry_while_unavailable(self._remove_done)
        retry_while_unavailable(pages.give_back, self._worker_id, self._job_id)

    def _remove_done(self) -> None:
        ids = list(self._done)
        if ids:
            pages.done(ids)
            self._done.difference_update(ids)

    def starts_over(self) -> bool:
        begun, self._claimed = self._claimed, False
        return begun and retry_while_unavailable(pages.free, self._job_id, 1) > 0

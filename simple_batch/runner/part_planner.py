"""Cuts pending requests of a job into parts, each of which can become one batch at a provider.

One pass goes through the job by index, in pages, so that a job of any size takes the same memory. A part
holds requests of one config, model and endpoint, and is within the provider's limits.
"""

import logging
from collections.abc import Callable, Iterator

from ..core.clock import give_way, now_ms
from ..core.domain import PartState, Request, RequestResult, RequestStatus, Service
from ..core.errors import ConfigurationError
from ..core.settings import Settings
from ..engine.breaker import PauseReason
from ..store import batch_parts
from ..store import requests as request_rows
from ..store.database import retry_while_unavailable
from ..store.models import BatchPart, Job
from ..store.requests import OWN_WAY, RouteKey
from .batch_configs import BatchConfigs
from .part_files import PartFiles
from .part_lines import Line, LineMaker, MakerOf, Unfit
from .part_release import new_marker, release
from .part_sizes import PartSizes
from .providers import Provider
from .response_reuse import ResponseReuse

log = logging.getLogger(__name__)

PAGE = 500  # requests looked at a time, at first
MOST_IN_PAGE, PAGE_BYTES = 2_000, 2_000_000  # then as their size has shown
MOST_BYTES = 100_000_000  # of a part where the provider states no limit
OPEN_PARTS = 32  # that grow at a time, of a job with several models, endpoints or configs
FLUSH_BYTES = 4_000_000  # of lines in memory
ANY = 1 << 60  # no limit

Key = tuple[RouteKey, int, str, str]  # way, config, endpoint, model


class _Growing:
    """A part that still takes requests."""

    def __init__(self, part: BatchPart, limits: "_Limits"):
        self.part = part
        self._url, self._model = part.url, part.model
        self._limits = limits
        self._waiting: list[Line] = []  # not written yet
        self.waiting_bytes = 0
        self.requests = self.bytes = self.tokens = self.inputs = 0

    def add(self, line: Line) -> bool:
        """Take a line of the same way and config. False: it has another endpoint or model, or is beyond the
        limits beside the others; the first never is."""
        limits, size = self._limits, self.bytes + line.size
        tokens, inputs = self.tokens + line.tokens, self.inputs + line.inputs
        within = (
            self.requests < limits.requests
            and size <= limits.bytes
            and tokens <= limits.tokens
            and inputs <= limits.inputs
        )
        if line.model != self._model or line.url != self._url or (self.requests and not within):
            return False
        self._waiting.append(line)
        self.waiting_bytes += line.size
        self.requests += 1
        self.bytes, self.tokens, self.inputs = size, tokens, inputs
        return True

    def flush(self, files: PartFiles) -> None:
        """Put the requests in the part, then write their lines: a line is only in the file if its request
        is in the part."""
        if not self._waiting:
            return
        waiting, self._waiting, self.waiting_bytes = self._waiting, [], 0
        sizes = {line.index: (line.size, line.tokens) for line in waiting}
        added = retry_while_unavailable(batch_parts.add_step, self.part, sizes)
        files.append(self.part.id, [line.data for line in waiting if line.index in added])


class _Limits:
    """Of one part: the provider's, the setting's, and what refusals have shown."""

    def __init__(
        self,
        maker: LineMaker,
        settings: Settings,
        learned: int | None,
        most: int | None,
        most_bytes: int | None,
    ):
        limits = maker.client.limits
        self.requests = min(limits.requests or ANY, settings.BATCH_PART_MAX_REQUESTS, most or ANY)
        self.bytes = min(limits.bytes or MOST_BYTES, most_bytes or ANY)
        known = [tokens for tokens in (limits.tokens, learned) if tokens is not None]
        self.tokens = min(known, default=ANY)
        self.inputs = ANY if limits.inputs is None else limits.inputs


class PartPlanner:
    """``maker_of(config_id)`` makes the lines; ``record(provider, index, attempts, result)`` takes the
    results of requests that no batch can take. ``most(config_id, model)``: how many requests a part may
    have (part_budget.py). ``configs`` chooses among those that the job is spread over.
    ``sizes`` are what refusals have shown."""

    def __init__(
        self,
        job: Job,
        settings: Settings,
        files: PartFiles,
        maker_of: MakerOf,
        record: Callable,
        reuse: ResponseReuse | None = None,
        most: Callable[[int, str], int | None] = lambda config_id, model: None,
        configs: BatchConfigs | None = None,
        sizes: PartSizes | None = None,
    ):
        self._job_id = job.id
        self._most = most
        self._sizes = sizes or PartSizes()
        self._config_id = job.config_id
        self._ask_once = job.ask_once
        self._settings = settings
        self._files = files
        self._maker_of = maker_of
        self._record = record
        self._reuse = reuse
        self._may_call = Service(job.service) is Service.BATCH_THEN_NOW
        self._configs = configs or BatchConfigs(job)
        self._growing: dict[Key, _Growing] = {}
        self._pass: Iterator[BatchPart] | None = None
        self.left_for_calls = 0  # requests that no batch can take, seen in this pass

    @property
    def under_way(self) -> bool:
        """Whether a pass has begun and not ended."""
        return self._pass is not None

    @property
    def growing(self) -> set[int]:
        """Ids of the parts that still take requests: they must not be sent yet."""
        return {one.part.id for one in self._growing.values()}

    def next_part(self) -> BatchPart | None:
        """The next part, which takes no more requests; None: the pass has reached the end of the job."""
        if self._pass is None:
            self.left_for_calls = 0
            self._pass = self._parts()
        part = next(self._pass, None)
        if part is None:
            self._pass = None
        return part

    def abandon(self) -> None:
        """Break the pass off: requests in parts that were still growing are pending again."""
        self._pass = None
        growing, self._growing = self._growing, {}
        for one in growing.values():
            release(self._files, one.part, (PartState.PLANNED,))

    def _parts(self) -> Iterator[BatchPart]:
        job = retry_while_unavailable(Job.get_by_id, self._job_id)
        ways = retry_while_unavailable(request_rows.ways, job.id) if job.overrides else []
        for way in (OWN_WAY, *ways):
            for page in self._pages(job, way):
                for config_id, requests in self._configs.divided(way, page):
                    yield from self._place(way, config_id or self._config_id, requests)
                for one in self._growing.values():
                    one.flush(self._files)
                give_way()
            yield from self._closed(list(self._growing))

    def _pages(self, job: Job, way: RouteKey) -> Iterator[list[Request]]:
        mark, size = 0, PAGE
        while mark < job.total:
            page, mark = retry_while_unavailable(
                request_rows.pending_page,
                job.id,
                mark,
                job.total,
                size,
                way if job.overrides else None,
                self._ask_once,
                True,
            )
            yield page
            # the answers that are found for a page are in memory too
            size = _next_size(page, size, MOST_IN_PAGE if self._reuse is None else PAGE)

    def _place(self, way: RouteKey, config_id: int, requests: list[Request]) -> Iterator[BatchPart]:
        try:
            maker = self._maker_of(config_id)
        except ConfigurationError as error:
            if self._configs.close(config_id, PauseReason("auth", error.text)):
                return  # the next pass places them elsewhere
            raise
        if self._reuse is not None:
            asked = requests
            requests = self._reuse.unanswered(maker.bodies, requests)
            for request in asked:
                self._reuse.key_of(request.index)  # memory must not grow with the job
        growing: _Growing | None = None
        for request in requests:
            try:
                line = maker.make(request)
            except Unfit as unfit:
                self._leave_out(maker.bodies.provider, request, unfit)
                continue
            if self._may_call and not self._sizes.takes(config_id, line.size):
                self.left_for_calls += 1
                continue
            if growing is None or not growing.add(line):
                key = way, config_id, line.url, line.model
                growing = self._growing.get(key)
                if growing is None or not growing.add(line):
                    yield from self._make_room(key)
                    growing = self._growing[key] = self._begin(key, maker)
                    growing.add(line)
            if growing.waiting_bytes > FLUSH_BYTES:
                growing.flush(self._files)
                give_way()  # lines with images are far longer than the bodies that a page was sized by

    def _make_room(self, key: Key) -> Iterator[BatchPart]:
        """Close the part of this key, or the largest if too many grow."""
        if key in self._growing:
            yield from self._closed([key])
        elif len(self._growing) >= OPEN_PARTS:
            yield from self._closed([max(self._growing, key=self._size_of)])

    def _size_of(self, key: Key) -> int:
        return self._growing[key].bytes

    def _begin(self, key: Key, maker: LineMaker) -> _Growing:
        _way, config_id, url, model = key
        learned = retry_while_unavailable(batch_parts.token_limit, config_id, model)
        marker = new_marker(self._job_id)
        part = retry_while_unavailable(
            batch_parts.begin, self._job_id, config_id, url, model, marker
        )
        self._files.remove(part.id)  # of another database that was here
        most, most_bytes = self._most(config_id, model), self._sizes.most.get(config_id)
        return _Growing(part, _Limits(maker, self._settings, learned, most, most_bytes))

    def _closed(self, keys: list[Key]) -> Iterator[BatchPart]:
        """Parts that take no more requests, as they are now."""
        for key in keys:
            growing = self._growing.pop(key)
            growing.flush(self._files)
            part = retry_while_unavailable(batch_parts.get, growing.part.id)
            if part is not None and part.requests:
                yield part
            elif part is not None:
                release(self._files, part, (PartState.PLANNED,))

    def _leave_out(self, provider: Provider, request: Request, unfit: Unfit) -> None:
        if self._may_call:
            self.left_for_calls += 1
            return
        result = RequestResult(
            index=request.index,
            status=RequestStatus.FAILED,
            attempts=(),
            started_at=None,
            finished_at=now_ms(),
            latency_ms=None,
            cause=unfit.cause,
            message=unfit.message,
        )
        self._record(provider, request.index, (), result)


def _next_size(page: list[Request], size: int, most: int) -> int:
    """How many requests, up to ``most``, to look at after a page of up to ``size``, by the largest of some of
    its bodies."""
    largest = max((len(request.body) for request in page[::10]), default=0)
    return min(most, 2 * size, max(1, PAGE_BYTES // largest)) if largest else size

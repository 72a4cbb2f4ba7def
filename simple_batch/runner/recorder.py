"""The only writer of results: takes them from a bounded queue, commits them in groups.

A result is committed at once, as long as commits take up to a tenth of the time; what comes faster
is grouped, and waits at most REQUEST_CACHE_FLUSH_INTERVAL. So a kill sends little again, and commits
are few for each result where many come. While the
database cannot be written (disk full, locked, read-only) the results received so far are
kept and tried again, and no new call starts, so that nothing is lost and nothing
grows. A single result that cannot be stored ends as failed; the others do not suffer.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import gevent
import msgspec
import peewee
from gevent.event import Event
from gevent.queue import Empty, Queue
from playhouse.pool import MaxConnectionsExceeded

from ..core.clock import now_ms
from ..core.domain import Cause, RequestResult, RequestStatus
from ..core.errors import DatabaseMoved
from ..core.stored_messages import NOT_STORED
from ..store.answer_group import AnswerGroup
from ..store.database import connected, fault
from ..store.file_identity import CHECK_EVERY_S
from ..store.models import database
from ..store.results import Recorded, write

log = logging.getLogger(__name__)

RETRY_AFTER_S = 1.0
BYTES = 8 << 20  # of answers in a commit, but for the last of them: a larger one holds up the loop
REST = 9  # times as long as a commit took, there is none


class _After(msgspec.Struct):
    """Called when all that was handed over before is committed: at once, or with its group."""

    call: Callable[[], None]
    at_once: bool


class _Group(msgspec.Struct):
    """Results that are committed together; then ``done`` is set."""

    items: Sequence[Recorded | AnswerGroup]
    done: Event


_TRY = _After(lambda: None, at_once=True)


class ResultSink(Protocol):
    """Where a job run hands its results."""

    def record(self, item: Recorded) -> None:
        """Queue a result; blocks while the queue is full (backpressure)."""

    def record_group(self, items: Sequence[Recorded | AnswerGroup]) -> None:
        """Commit results together, without a wait for others; returns when they are."""

    def wait_until_writable(self) -> None:
        """Block while results cannot be stored, so that no call is paid for and its answer lost."""

    def flush(self) -> None:
        """Return when everything handed over before is committed."""


class Recorder(ResultSink):
    """``gap_s`` (seconds) lies between two commits at least, up to the flush interval: for several that
    write to one database. ``on_storage_fault`` is called with the database's complaint when it cannot
    be written, and with None when the fault is gone; ``on_cost`` with the cost of results, in the
    transaction that writes them (store/results.py). ``worker`` is the name of one among several, whose
    work is counted."""

    def __init__(
        self,
        batch_size: int,
        flush_interval_s: float,
        on_storage_fault: Callable[[str | None], None],
        gap_s: float = 0.0,
        on_cost: Callable[[dict[tuple, int]], None] | None = None,
        worker: str = "",
    ):
        self._batch_size = batch_size
        self._interval = flush_interval_s
        self._on_storage_fault = on_storage_fault
        self._gap = gap_s
        self._on_cost = on_cost
        self._worker = worker
        self._queue: Queue = Queue(maxsize=batch_size * 4)
        self._greenlet: gevent.Greenlet | None = None
        self._writable = Event()  # results can be written, as far as is known
        self._check_at = 0.0  # when to look at its file again (monotonic clock)
        self._writable.set()
        self._since: float | None = None  # when the oldest uncommitted result was taken
        self._rested = 0.0  # when the next commit may be
        self._taken = 0  # results queued and not committed
        self.commits = 0
        self.commit_s = self.longest_commit_s = 0.0

    def start(self) -> None:
        self._greenlet = gevent.spawn(self._run)

    @property
    def alive(self) -> bool:
        return bool(self._greenlet)

    @property
    def waiting(self) -> int:
        """Results that are not taken up yet."""
        return self._queue.qsize()

    @property
    def lag_s(self) -> float:
        """How long the oldest uncommitted result has waited for its commit."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def record(self, item: Recorded) -> None:
        self._taken += item.result is not None
        self._queue.put(item)

    def record_group(self, items: Sequence[Recorded | AnswerGroup]) -> None:
        self._taken += _results(items)
        group = _Group(items, Event())
        self._queue.put(group)
        group.done.wait()

    def wait_until_writable(self) -> None:
        now = time.monotonic()
        if now >= self._check_at:  # asked before each call, several times
            self._check_at = now + CHECK_EVERY_S
            if self._writable.is_set() and fault() is not None:
                self._writable.clear()
                self._queue.put(_TRY)  # the recorder then waits until the database is back
        if not self._writable.is_set():
            self._writable.wait()

    def after(self, call: Callable[[], None]) -> None:
        """Have ``call()`` made when everything handed over before is committed; it must be quick."""
        self._queue.put(_After(call, at_once=False))

    def flush(self) -> None:
        done = Event()
        self._queue.put(_After(done.set, at_once=True))
        done.wait()

    def stop(self, timeout_s: float) -> None:
        """Commit the results received so far, then end. After the timeout it gives up and logs the loss."""
        gevent.with_timeout(timeout_s, self.flush, timeout_value=None)
        if self._greenlet is not None:
            self._greenlet.kill()
        if self._taken:
            log.error(
                "%s results could not be recorded before the end: these requests are sent again",
                self._taken,
            )

    def _run(self) -> None:
        while True:
            batch, waiting = self._collect()
            if batch:
                self._commit(batch)
            elif not self._writable.is_set():
                self._write([])
            del batch  # frees its part of the memory for all answers
            self._since = None
            for after in waiting:
                after.call()

    def _collect(self) -> tuple[list[Recorded | AnswerGroup], list[_After]]:
        """The next group, and who waits for it: what has come when the rest after a commit is over, a
        full one, one as old as the flush interval, or one asked for at once."""
        batch: list[Recorded | AnswerGroup] = []
        waiting: list[_After] = []
        size = 0
        item = self._queue.get()
        self._since = time.monotonic()
        deadline = min(self._rested, self._since + self._interval)
        while True:
            if isinstance(item, _Group):
                batch += item.items
                waiting.append(_After(item.done.set, at_once=True))
                return batch, waiting
            if isinstance(item, _After):
                waiting.append(item)
                if item.at_once:
                    return batch, waiting
            else:
                batch.append(item)
                size += _size(item)
                if len(batch) >= self._batch_size or size >= BYTES:
                    return batch, waiting
            try:
                item = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                return batch, waiting

    def _commit(self, batch: Sequence[Recorded | AnswerGroup]) -> None:
        try:
            self._write(batch)
        except _UNFIT as error:
            first = batch[0]
            if len(batch) > 1:
                for item in batch:
                    self._commit([item])
            elif isinstance(first, AnswerGroup):
                for record in first.records():
                    self._commit([record])
            else:
                log.error("a result cannot be stored", exc_info=error)
                self._write([_substitute(first, error)])

    def _write(self, batch: Sequence[Recorded | AnswerGroup]) -> None:
        """Commit, as soon as the database takes it. Raises what a record itself is to blame for."""
        faulty = False
        while True:
            began = time.monotonic()
            try:
                with connected():
                    write(batch, self._on_cost, self._worker)
            except _COMPLAINTS as error:
                if not _is_transient(error):
                    self._note_writable(faulty)
                    raise
                if not faulty:
                    if not isinstance(error, DatabaseMoved):  # logged already (identity.py)
                        log.error("results cannot be written, trying again each second: %s", error)
                    self._writable.clear()
                    self._on_storage_fault(str(error))
                faulty = True
                gevent.sleep(RETRY_AFTER_S)
                continue
            self._taken -= _results(batch)
            ended = time.monotonic()
            took = ended - began
            self._rested = ended + max(REST * took, self._gap)
            self.commits += 1
            self.commit_s += took
            self.longest_commit_s = max(self.longest_commit_s, took)
            self._note_writable(faulty)
            return

    def _note_writable(self, was_faulty: bool) -> None:
        if was_faulty:
            log.warning("results can be written again")
            self._on_storage_fault(None)
        self._writable.set()


def _results(items: Iterable[Recorded | AnswerGroup]) -> int:
    """How many of them are results."""
    return sum(
        len(item) if isinstance(item, AnswerGroup) else item.result is not None for item in items
    )


def _size(record: Recorded) -> int:
    """Bytes of its answer."""
    result = record.result
    return len(result.response) if result is not None and result.response else 0


_COMPLAINTS = (
    sqlite3.Error,
    peewee.PeeweeException,
    OSError,
    MaxConnectionsExceeded,
    DatabaseMoved,
)

# What no waiting mends: a record that the database does not take. (OSError and the database's other
# complaints are of the place it is kept in.)
_UNFIT = (
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    peewee.DataError,
    peewee.IntegrityError,
    peewee.InterfaceError,
    peewee.ProgrammingError,
)


def _is_transient(error: Exception) -> bool:
    """Whether waiting may mend it, whatever it is called."""
    if isinstance(error, MaxConnectionsExceeded) or database.passing(error):
        return True
    return not isinstance(error, _UNFIT)


def _substitute(record: Recorded, error: Exception) -> Recorded:
    """What is kept in place of a result that cannot be: that it ended, and why there is none."""
    result = RequestResult(
        index=record.index,
        status=RequestStatus.FAILED,
        attempts=(),
        started_at=None,
        finished_at=now_ms(),
        latency_ms=None,
        cause=Cause.INTERNAL,
        message=NOT_STORED(error=type(error).__name__),
    )
    return msgspec.structs.replace(
        record, attempts=(), result=result, key=None, config_id=None, reused=False
    )

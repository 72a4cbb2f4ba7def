"""Registers this worker and sends its heartbeats.

A worker that misses heartbeats for DEAD_AFTER_S is declared dead; its pages are reassigned. To avoid
duplicate calls, no call starts here while the last heartbeat is STALE_S old, as when the process
stalled or the database is unreachable.
"""

import logging
import time
import uuid
from collections.abc import Callable

import gevent
from gevent.event import Event

from ..core.periodic_task import PeriodicTask
from ..engine.semaphore import ResizableSemaphore
from ..store.cluster import workers
from ..store.database import connected, log_failure, retry_while_unavailable

log = logging.getLogger(__name__)

BEAT_EVERY_S = 3.0
AGAIN_AFTER_S = 0.5
SLOW_S = 1.0  # a heartbeat that takes longer counts as delayed
STALE_S = workers.DEAD_AFTER_S - 2.0


class Heartbeat:
    """``name`` is Celery's name of this worker, ``max_runs`` how many job runs it takes. ``lost()`` is
    called when the worker was declared dead: it must stop all runs under the old id. The worker then
    continues under a new id."""

    def __init__(self, name: str, max_runs: int, lost: Callable[[], None]):
        self.name = name
        self._max_runs = max_runs
        self._lost = lost
        self.id = _new_id()
        self._sent_at = 0.0  # start of the last heartbeat that succeeded
        self._steady_since = 0.0  # since when heartbeats have succeeded without a delay
        self._fresh_again = Event()
        self._task = PeriodicTask(
            self._beat,
            lambda: BEAT_EVERY_S if self.fresh else AGAIN_AFTER_S,
            self._failed,
            wait_first=True,
        )

    def join(self) -> None:
        """Register the worker and start the heartbeats. Waits for the database."""
        self._register()
        self._task.start()

    def leave(self, timeout_s: float) -> None:
        """Unregister the worker. Its pages are free at once if the database answers within the timeout."""
        self._task.stop()
        gevent.with_timeout(
            timeout_s, retry_while_unavailable, workers.leave, self.id, timeout_value=None
        )

    @property
    def fresh(self) -> bool:
        """Whether the last heartbeat is recent enough that no worker has declared this one dead."""
        return time.monotonic() - self._sent_at < STALE_S

    @property
    def may_declare_dead(self) -> bool:
        """Whether this worker may declare silent workers dead: not where the database itself may have
        been unreachable for that time."""
        return self.fresh and time.monotonic() - self._steady_since > workers.DEAD_AFTER_S

    def wait_until_fresh(self) -> None:
        while not self.fresh:
            self._fresh_again.clear()
            self._fresh_again.wait()

    def _register(self) -> None:
        self._send(
            lambda: retry_while_unavailable(workers.register, self.id, self.name, self._max_runs)
        )
        self._steady_since = time.monotonic()

    def _send(self, work: Callable[[], bool | None]) -> bool:
        """Send a heartbeat. Returns False if it failed or the worker's row is gone."""
        at = time.monotonic()
        if work() is False:
            return False
        now = time.monotonic()
        if now - at > SLOW_S or at - self._sent_at > STALE_S:
            self._steady_since = now
        self._sent_at = at
        self._fresh_again.set()
        return True

    def _failed(self) -> None:
        self._steady_since = time.monotonic()
        log_failure(log, "the heartbeat could not be written")

    def _beat(self) -> None:
        with connected():
            if self._send(lambda: workers.beat(self.id)):
                return
        log.warning("this worker was silent for too long and was taken for dead")
        self._sent_at = 0.0
        self._lost()
        self.id = _new_id()
        self._register()
        log.warning("this worker goes on as a new one")


def _new_id() -> str:
    return uuid.uuid4().hex[:12]


class WorkerSemaphore(ResizableSemaphore):
    """Limits the concurrent calls of a worker. Admits none while the worker may be declared dead."""

    def __init__(self, limit: int, heartbeat: Heartbeat):
        super().__init__(limit)
        self._heartbeat = heartbeat

    def acquire(self) -> None:
        super().acquire()
        try:
            self._heartbeat.wait_until_fresh()
        except BaseException:
            self.release()
            raise

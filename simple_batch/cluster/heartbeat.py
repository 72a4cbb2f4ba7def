"""This process among the workers: its row, its signs of life, and whether the others still count
on it.

Who was silent for DEAD_AFTER_S is taken for dead, and others make its calls. So no call
starts here that could be one of those: not while the last sign of life is STALE_S old, as when
the process stood still or the database is away.
"""

import logging
import time
import uuid
from collections.abc import Callable

import gevent
from gevent.event import Event

from ..engine.semaphore import ResizableSemaphore
from ..store.cluster import workers
from ..store.database import connected, log_failure, retry_while_unavailable

log = logging.getLogger(__name__)

BEAT_EVERY_S = 3.0
AGAIN_AFTER_S = 0.5
SLOW_S = 1.0  # a sign of life that takes longer met with some trouble
STALE_S = workers.DEAD_AFTER_S - 2.0


class Heartbeat:
    """``name`` is Celery's for this worker, ``room`` how many lanes it is to have at most.
    ``lost()`` is called where it was taken for dead: it must end what runs under the old id; then
    the worker goes on under a new one."""

    def __init__(self, name: str, room: int, lost: Callable[[], None]):
        self.name = name
        self._room = room
        self._lost = lost
        self.id = _new_id()
        self._told_at = 0.0  # when the last sign of life was given that arrived
        self._steady_since = 0.0  # signs of life have arrived without a delay
        self._well = Event()
        self._greenlet: gevent.Greenlet | None = None

    def join(self) -> None:
        """Begin; waits for the database."""
        self._register()
        self._greenlet = gevent.spawn(self._run)

    def leave(self, timeout_s: float) -> None:
        """Work no more: what this worker held is free at once, if the database can be told within
        the timeout."""
        if self._greenlet is not None:
            self._greenlet.kill()
        with gevent.Timeout(timeout_s, False):
            retry_while_unavailable(workers.leave, self.id)

    @property
    def fresh(self) -> bool:
        """Whether nobody can have taken this worker for dead."""
        return time.monotonic() - self._told_at < STALE_S

    @property
    def judges(self) -> bool:
        """Whether it may take others for dead that are silent: not where the database itself may have
        been away as long."""
        return self.fresh and time.monotonic() - self._steady_since > workers.DEAD_AFTER_S

    def wait_until_fresh(self) -> None:
        while not self.fresh:
            self._well.clear()
            self._well.wait()

    def _register(self) -> None:
        self._tell(
            lambda: retry_while_unavailable(workers.register, self.id, self.name, self._room)
        )
        self._steady_since = time.monotonic()

    def _tell(self, work: Callable[[], bool | None]) -> bool:
        """Give a sign of life; False where it was in vain."""
        at = time.monotonic()
        if work() is False:
            return False
        now = time.monotonic()
        if now - at > SLOW_S or at - self._told_at > STALE_S:
            self._steady_since = now
        self._told_at = at
        self._well.set()
        return True

    def _run(self) -> None:
        while True:
            gevent.sleep(BEAT_EVERY_S if self.fresh else AGAIN_AFTER_S)
            try:
                self._beat()
            except Exception:
                self._steady_since = time.monotonic()
                log_failure(log, "no sign of life can be given")

    def _beat(self) -> None:
        with connected():
            if self._tell(lambda: workers.beat(self.id)):
                return
        log.warning("this worker was silent for too long and was taken for dead")
        self._told_at = 0.0
        self._lost()
        self.id = _new_id()
        self._register()
        log.warning("this worker goes on as a new one")


def _new_id() -> str:
    return uuid.uuid4().hex[:12]


class WorkerSemaphore(ResizableSemaphore):
    """What all calls of a worker have to fit in; none enters while the worker may be taken for
    dead."""

    def __init__(self, most: int, member: Heartbeat):
        super().__init__(most)
        self._member = member

    def take(self) -> None:
        super().take()
        try:
            self._member.wait_until_fresh()
        except BaseException:
            self.free()
            raise

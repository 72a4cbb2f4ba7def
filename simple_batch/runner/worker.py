"""A worker: one process among several that make the calls of a database's jobs. Its lanes are placed
by the one that coordinates, which any of them may be.

Everything goes by the database. What the broker says only makes it look sooner, so that jobs go
on by themselves where the broker is away.
"""

import logging
from collections.abc import Callable

import gevent
from gevent.event import Event

from ..domain import JobStatus
from ..settings import Settings
from ..store import lanes as lane_rows
from ..store import workers
from ..store.database import complain, connected, steadily
from ..store.models import Job, database
from ..store.secrets import Vault
from . import live
from .claims import Claims
from .coordinator import Coordinator
from .duties import Duties
from .lane import Lane
from .lanes import Lanes
from .lease import lease_of
from .member import Member, Room
from .providers import Providers
from .recorder import Recorder

log = logging.getLogger(__name__)

LOOK_S = 0.25
IDLE_S = 1.0  # between two looks where there is nothing to do
SECOND_S = 1.0
OPENS_WITHIN_S = 5.0
LOST_S = 3600.0  # for calls in flight of a worker that was taken for dead


class Worker:
    """``name`` is Celery's, ``room`` how many lanes it is to have at most; ``wake(name, job_id)``
    tells another that a lane was placed with it, if it can be told."""

    def __init__(
        self,
        settings: Settings,
        vault: Vault,
        duties: Duties,
        name: str,
        room: int,
        wake: Callable[[str, int], None],
    ):
        self._settings = settings
        self._vault = vault
        self._duties = duties
        self._wake_other = wake
        self._member = Member(name, room, self._lost)
        self._room = Room(settings.WORKER_CONCURRENCY, self._member)
        self._providers = Providers(settings, vault)
        self._recorder = Recorder(
            settings.REQUEST_CACHE_BATCH_SIZE,
            settings.REQUEST_CACHE_FLUSH_INTERVAL,
            self._faulted,
            name,
        )
        self._lanes = Lanes(self._make_lane, self._lane_ended, self._lane_closed)
        self._lease = lease_of(settings.database_url)
        self._coordinator: Coordinator | None = None
        self._wake = Event()
        self._changed = Event()  # a lane was opened or has ended
        self._closing = False  # no lane is opened any more
        self._loops: dict[str, gevent.Greenlet] = {}
        self.storage_fault: str | None = None

    def start(self) -> None:
        """Begin; waits for the database."""
        self._member.join()
        self._recorder.start()
        self._loops = {
            "lanes": gevent.spawn(self._run),
            "figures": gevent.spawn(self._each_second),
        }
        log.info("worker %s (%s) works", self._member.name, self._member.id)

    def wake(self) -> None:
        """Look now: a lane was placed here, or has ended."""
        self._wake.set()

    @property
    def name(self) -> str:
        return self._member.name

    def attend(self, job_id: int, timeout_s: float) -> bool:
        """Return when the lane of a job that was placed here has ended, at the latest after the
        timeout; True where it goes on."""
        self.wake()
        with gevent.Timeout(timeout_s, False):
            self._wait_for(lambda: self._lanes.busy(job_id), OPENS_WITHIN_S)
            self._wait_for(lambda: not self._lanes.busy(job_id), timeout_s)
        return self._lanes.busy(job_id) and not self._closing

    def _wait_for(self, it: Callable[[], bool], timeout_s: float) -> None:
        with gevent.Timeout(timeout_s, False):
            while not (it() or self._closing):
                self._changed.clear()
                self._changed.wait()

    def drain(self) -> None:
        """Open and claim nothing more; calls in flight finish."""
        if not self._closing:
            self._closing = True
            self._changed.set()
            for lane in list(self._lanes.open.values()):
                lane.stop()
            gevent.spawn(self._close)

    def stop(self, timeout_s: float) -> None:
        """Drain, and end: everything received is committed, what was not sent is given back."""
        self.drain()
        self._hand_over(timeout_s)
        self._lanes.stop(timeout_s)
        gevent.killall(list(self._loops.values()))
        self._recorder.stop(timeout_s)
        self._providers.close()
        with gevent.Timeout(timeout_s, False):
            self._member.leave()

    def _close(self) -> None:
        steadily(workers.close, self._member.id)
        self._hand_over(0)

    # --- lanes ------------------------------------------------------------------------------

    def _make_lane(self, job: Job) -> Lane:
        claims = Claims(job, self._member.id, self._recorder, lambda: lane.width)
        lane = Lane(self._settings, job, self._providers.by_id, claims, claims, self._room)
        return lane

    def _lane_ended(self) -> None:
        self._changed.set()
        self.wake()

    def _lane_closed(self, job_id: int) -> None:
        steadily(lane_rows.ended, job_id, self._member.id)

    def _run(self) -> None:
        while True:
            busy = False
            try:
                with connected():
                    busy = self._look()
            except Exception:
                complain(log, "the lanes of this worker cannot be looked up")
            self._wake.wait(LOOK_S if busy else IDLE_S)
            self._wake.clear()

    def _look(self) -> bool:
        """Bring the lanes here in line with those placed here; False where there are none."""
        jobs = lane_rows.jobs_of(self._member.id)
        statuses = {job.id: JobStatus(job.status) for job in jobs if job.deleted_at is None}
        self._lanes.steer(statuses)
        self._lanes.take_up(jobs)
        for job in jobs:
            if self._lanes.busy(job.id):
                continue
            if not self._closing and statuses.get(job.id) == JobStatus.RUNNING:
                self._lanes.begin(job.id)
                self._changed.set()
            if not self._lanes.busy(job.id):  # it is not to run, or cannot
                lane_rows.ended(job.id, self._member.id)
        return bool(jobs)

    def _lost(self) -> None:
        """End what runs under an id that is no more: its pages are others'."""
        self._lanes.stop(LOST_S)

    # --- once a second ----------------------------------------------------------------------

    def _each_second(self) -> None:
        while True:
            try:
                with connected():
                    self._providers.refresh()
                    self._say()
                    for lane in list(self._lanes.open.values()):
                        lane.look_for_others()
            except Exception:
                complain(log, "this worker cannot say how it stands")
            try:
                self._mind_the_lease()
            except Exception:
                complain(log, "the lease cannot be looked after")
            gevent.sleep(SECOND_S)

    def _say(self) -> None:
        lives = {
            job_id: live.encode(lane.live()).decode() for job_id, lane in self._lanes.open.items()
        }
        if lives:
            with database.atomic():
                lane_rows.say(self._member.id, lives)

    # --- coordinating -----------------------------------------------------------------------

    def _mind_the_lease(self) -> None:
        if self._coordinator is None:
            if not self._closing and self._lease.acquire():
                log.info("worker %s coordinates", self._member.name)
                self._coordinator = Coordinator(
                    *(self._settings, self._vault, self._duties),
                    *(self._providers, self._wake_other, lambda: self._member.fresh),
                )
                self._coordinator.start()
        elif not self._lease.keep():
            log.warning("another worker coordinates now")
            self._hand_over(0)

    def _hand_over(self, timeout_s: float) -> None:
        coordinator, self._coordinator = self._coordinator, None
        if coordinator is not None:
            coordinator.stop(timeout_s)
        self._lease.release()

    def _faulted(self, error: str | None) -> None:
        self.storage_fault = error

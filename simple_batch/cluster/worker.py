"""A worker: one of several processes that make the calls of a database's jobs. The coordinator, which can
be any of the workers, assigns job runs to it.

The database holds all state. Messages of the broker only make the worker poll sooner, so that jobs
continue while the broker is unreachable.
"""

import dataclasses
import logging
import time
from collections.abc import Callable

import gevent
from gevent.event import Event

from ..core import address_policy
from ..core.domain import JobStatus
from ..core.settings import Settings
from ..runner import lease, live_state
from ..runner.hooks import Hooks
from ..runner.job_run import JobRun
from ..runner.job_runs import JobRuns
from ..runner.providers import Providers
from ..runner.recorder import Recorder
from ..runner.stats import RunnerStats, figures_of
from ..store.cluster import assignments as lane_rows
from ..store.cluster import pages, workers
from ..store.database import connected, log_failure, retry_while_unavailable, snapshot
from ..store.models import Job
from ..store.secrets import Vault
from .claimed_pages import ClaimedPages
from .coordinator import Coordinator
from .heartbeat import Heartbeat, WorkerSemaphore
from .limit_coordinator import LimitCoordinator
from .spend_leases import LeasedSpendLimits

log = logging.getLogger(__name__)

LOOK_S = 0.5
IDLE_S = 1.0  # between two looks where there is nothing to do
LEASE_EVERY_S = 2.0  # between two tries to take the lease, or looks whether it is still held
OPENS_WITHIN_S = 5.0
LEAVES_WITHIN_S = 5.0  # after that it is declared dead by missed heartbeats
LOST_S = 3600.0  # for calls in flight of a worker that was declared dead


class Worker:
    """``name`` is Celery's name of the worker, ``room`` its maximum number of job runs. ``wake(name,
    job_id)`` notifies another worker of a new assignment (best effort)."""

    def __init__(
        self,
        settings: Settings,
        vault: Vault,
        duties: Hooks,
        name: str,
        room: int,
        wake: Callable[[str, int], None],
    ):
        # a governor learns no limit that this worker cannot use
        most = min(settings.MAX_CONCURRENCY, settings.WORKER_CONCURRENCY)
        self._settings = settings = dataclasses.replace(settings, MAX_CONCURRENCY=most)
        self._vault = vault
        self._duties = duties
        self._wake_other = wake
        self._member = Heartbeat(name, room, self._lost)
        self._room = WorkerSemaphore(settings.WORKER_CONCURRENCY, self._member)
        self._money = LeasedSpendLimits(lambda: self._member.id, settings.TIMEZONE)
        self._budget = LimitCoordinator(settings.REDIS_URL, self._member.id)
        self._providers = Providers(settings, vault, self._money, self._budget)
        self._recorder = Recorder(
            settings.REQUEST_CACHE_BATCH_SIZE,
            settings.REQUEST_CACHE_FLUSH_INTERVAL,
            self._faulted,
            gap_s=settings.REQUEST_CACHE_FLUSH_INTERVAL,  # a commit for each result is too many
            paid=self._money.paid,
            worker=name,
        )
        self._lanes = JobRuns(self._make_lane, self._lane_ended, self._lane_closed)
        self._lease = lease.lease_of(settings.database_url)
        self._coordinator: Coordinator | None = None
        self._second = 0  # in which the live state of the runs was last stored
        self._wake = Event()
        self._changed = Event()  # a job run was opened or has ended
        self._closing = False  # no more job runs are opened
        self._loops: dict[str, gevent.Greenlet] = {}
        self.storage_fault: str | None = None

    def start(self) -> None:
        """Start the worker. Waits for the database."""
        self._member.join()
        retry_while_unavailable(address_policy.refresh)
        self._recorder.start()
        self._budget.start()
        self._money.start()
        self._loops = {
            "lanes": gevent.spawn(self._run),
            "lease": gevent.spawn(self._compete),
        }
        log.info("worker %s (%s) works", self._member.name, self._member.id)

    def wake(self) -> None:
        """Poll now: an assignment was added, or a job run has ended."""
        self._wake.set()

    def figures(self) -> RunnerStats:
        """The metrics of this worker."""
        return figures_of(self._providers, len(self._lanes), self._recorder)

    @property
    def name(self) -> str:
        return self._member.name

    def attend(self, job_id: int, timeout_s: float) -> bool:
        """Return when this worker's run of the job has ended, at the latest after the timeout. Returns
        True if it continues."""
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
        """Open no more runs and claim no more pages; calls in flight finish. Waits for the database."""
        if self._closing:
            return
        self._closing = True
        self._changed.set()
        for lane in list(self._lanes.open.values()):
            lane.stop()
        self._hand_over()
        retry_while_unavailable(workers.close, self._member.id)

    def stop(self, timeout_s: float) -> None:
        """Drain, and stop: all received answers are committed, unsent requests are released."""
        with gevent.Timeout(timeout_s, False):
            self.drain()
        self._lanes.stop(timeout_s)
        gevent.killall(list(self._loops.values()))
        self._recorder.stop(timeout_s)
        self._money.stop()
        self._providers.close()
        self._budget.stop()
        self._member.leave(LEAVES_WITHIN_S)

    # --- job runs ---------------------------------------------------------------------------

    def _make_lane(self, job: Job) -> JobRun:
        most = self._settings.WORKER_CONCURRENCY

        def width() -> int:
            return min(lane.width, most)

        claims = ClaimedPages(
            *(job, self._member.id, self._recorder),
            width,
            lambda: width() - lane.calls,
            lambda way: lane.ready(way),
        )
        provider_of, money = self._providers.by_id, self._money
        lane = JobRun(self._settings, job, provider_of, claims, claims, money, self._room)
        self._budget.attach_job(job.id, lane.slots)
        return lane

    def _lane_ended(self) -> None:
        self._changed.set()
        self.wake()

    def _lane_closed(self, job_id: int) -> None:
        self._budget.detach_job(job_id)
        self._recorder.flush()  # a job run that failed has not
        retry_while_unavailable(pages.give_back, self._member.id, job_id)
        retry_while_unavailable(lane_rows.ended, job_id, self._member.id)

    def _run(self) -> None:
        while True:
            busy = False
            try:
                with connected():
                    busy = self._look()
            except Exception:
                log_failure(log, "the lanes of this worker cannot be looked up")
            self._wake.wait(LOOK_S if busy else IDLE_S)
            self._wake.clear()

    def _look(self) -> bool:
        """Open and stop job runs as assigned. Returns False if there are none."""
        with snapshot():
            address_policy.refresh()
            jobs = lane_rows.jobs_of(self._member.id)
            if second := self._begins_second():
                self._providers.refresh()
                self._say()
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
        if second:
            for lane in list(self._lanes.open.values()):
                lane.look_for_others()
                lane.give_back_unused()
        return bool(jobs)

    def _begins_second(self) -> bool:
        former, self._second = self._second, int(time.time())
        return self._second != former

    def _say(self) -> None:
        lives = {
            job_id: live_state.encode(lane.live()).decode()
            for job_id, lane in self._lanes.open.items()
        }
        if lives:
            lane_rows.say(self._member.id, lives)

    def _lost(self) -> None:
        """Stop all runs of a revoked worker id; its pages were reassigned."""
        self._lanes.stop(LOST_S)

    # --- coordinating -----------------------------------------------------------------------

    def _compete(self) -> None:
        while True:
            try:
                self._mind_the_lease()
            except Exception:
                log_failure(log, "the lease cannot be looked after")
            gevent.sleep(LEASE_EVERY_S)

    def _mind_the_lease(self) -> None:
        if self._coordinator is None:
            if not self._closing and self._lease.acquire():
                log.info("worker %s coordinates", self._member.name)
                self._lease.sign(self._member.id)
                self._coordinator = Coordinator(
                    *(self._settings, self._vault, self._duties),
                    *(self._providers, self._wake_other, lambda: self._member.judges),
                )
                self._coordinator.start()
            elif not self._closing:
                self._look_at_coordinator()
        elif self._lease.keep():
            self._lease.sign(self._member.id)  # the connection or the id may be another now
        else:
            log.warning("another worker coordinates now")
            self._hand_over()

    def _look_at_coordinator(self) -> None:
        """Watch the coordinator. A stalled one would keep the lease, and no worker would coordinate."""
        with connected():
            silent = workers.silent() if self._member.judges else []
            if silent and lease.unseat(silent):
                log.warning("the worker that coordinated is silent: the lease was taken from it")

    def _hand_over(self) -> None:
        coordinator, self._coordinator = self._coordinator, None
        if coordinator is not None:
            coordinator.stop()
        self._lease.release()

    def _faulted(self, error: str | None) -> None:
        self.storage_fault = error

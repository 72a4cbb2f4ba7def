"""A worker: one of several processes that make the calls of a database's jobs. The coordinator, which can
be any of the workers, assigns job runs to it.

The database holds all state. Messages of the broker only make the worker poll sooner, so that jobs
continue while the broker is unreachable.
"""

import dataclasses
import logging
import time
from collections.abc import Callable
from functools import partial

import gevent
from gevent.event import Event

from ..core import address_policy
from ..core.context import Vault
from ..core.domain import JobStatus
from ..core.periodic_task import PeriodicTask
from ..core.settings import Settings
from ..runner import lease, live_state
from ..runner.batch_jobs import BatchJobs, OutsideParts
from ..runner.hooks import Hooks
from ..runner.job_run import JobRun
from ..runner.job_runs import JobRuns, Run
from ..runner.providers import Providers
from ..runner.recorder import Recorder
from ..runner.stats import RunnerStats, figures_of
from ..store.cluster import assignments, pages, workers
from ..store.database import connected, log_failure, retry_while_unavailable, snapshot
from ..store.models import Job
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
    """``name`` is Celery's name of the worker, ``max_runs`` its maximum number of job runs. ``wake(name,
    job_id)`` notifies another worker of a new assignment (best effort)."""

    def __init__(
        self,
        settings: Settings,
        vault: Vault,
        hooks: Hooks,
        name: str,
        max_runs: int,
        wake: Callable[[str, int], None],
    ):
        # a governor learns no limit that this worker cannot use
        max_calls = min(settings.MAX_CONCURRENCY, settings.WORKER_CONCURRENCY)
        self._settings = settings = dataclasses.replace(settings, MAX_CONCURRENCY=max_calls)
        self._vault = vault
        self._hooks = hooks
        self._wake_worker = wake
        self._heartbeat = Heartbeat(name, max_runs, self._lost)
        self._slots = WorkerSemaphore(settings.WORKER_CONCURRENCY, self._heartbeat)
        self._spend_limits = LeasedSpendLimits(lambda: self._heartbeat.id, settings.TIMEZONE)
        self._limits = LimitCoordinator(settings.REDIS_URL, self._heartbeat.id)
        self._providers = Providers(settings, vault, self._spend_limits, self._limits)
        self._recorder = Recorder(
            settings.REQUEST_CACHE_BATCH_SIZE,
            settings.REQUEST_CACHE_FLUSH_INTERVAL,
            self._faulted,
            gap_s=settings.REQUEST_CACHE_FLUSH_INTERVAL,  # a commit for each result is too many
            on_cost=self._spend_limits.paid,
            worker=name,
        )
        self._batches = BatchJobs(
            settings,
            self._providers,
            self._recorder,
            self._calls_outside_parts,
            lambda job_id: assignments.holds(job_id, self._heartbeat.id),
        )
        self._runs = JobRuns(self._make_run, self._run_ended, self._run_closed)
        self._lease = lease.lease_of(settings.database_url)
        self._coordinator: Coordinator | None = None
        self._second = 0  # in which the live state of the runs was last stored
        self._changed = Event()  # a job run was opened or has ended
        self._closing = False  # no more job runs are opened
        self._busy = False  # this worker has assignments
        self._runs_task = PeriodicTask(
            self._look,
            lambda: LOOK_S if self._busy else IDLE_S,
            partial(log_failure, log, "the assignments of this worker cannot be read"),
        )
        self._lease_task = PeriodicTask(
            self._check_lease,
            LEASE_EVERY_S,
            partial(log_failure, log, "the lease cannot be checked"),
        )
        self.storage_fault: str | None = None

    def start(self) -> None:
        """Start the worker. Waits for the database."""
        self._heartbeat.join()
        retry_while_unavailable(address_policy.refresh)
        self._recorder.start()
        self._limits.start()
        self._spend_limits.start()
        self._runs_task.start()
        self._lease_task.start()
        log.info("worker %s (%s) works", self._heartbeat.name, self._heartbeat.id)

    def wake(self) -> None:
        """Poll now: an assignment was added, or a job run has ended."""
        self._runs_task.wake()

    def figures(self) -> RunnerStats:
        """The metrics of this worker."""
        return figures_of(self._providers, len(self._runs), self._recorder)

    @property
    def name(self) -> str:
        return self._heartbeat.name

    def follow_run(self, job_id: int, timeout_s: float) -> bool:
        """Return when this worker's run of the job has ended, at the latest after the timeout. Returns
        True if it continues."""
        self.wake()
        end = time.monotonic() + timeout_s
        self._wait_for(lambda: self._runs.busy(job_id), min(OPENS_WITHIN_S, timeout_s))
        self._wait_for(lambda: not self._runs.busy(job_id), end - time.monotonic())
        return self._runs.busy(job_id) and not self._closing

    def _wait_for(self, condition: Callable[[], bool], timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        while not (condition() or self._closing) and (left := end - time.monotonic()) > 0:
            self._changed.clear()
            self._changed.wait(left)

    def drain(self) -> None:
        """Open no more runs and claim no more pages; calls in flight finish. Waits for the database."""
        if self._closing:
            return
        self._closing = True
        self._changed.set()
        for run in list(self._runs.open.values()):
            run.stop()
        self._hand_over()
        retry_while_unavailable(workers.close, self._heartbeat.id)

    def stop(self, timeout_s: float) -> None:
        """Drain, and stop: all received answers are committed, unsent requests are released."""
        gevent.with_timeout(timeout_s, self.drain, timeout_value=None)
        self._runs.stop(timeout_s)
        self._runs_task.stop()
        self._lease_task.stop()
        self._recorder.stop(timeout_s)
        self._spend_limits.stop()
        self._providers.close()
        self._limits.stop()
        self._heartbeat.leave(LEAVES_WITHIN_S)

    # --- job runs ---------------------------------------------------------------------------

    def _make_run(self, job: Job) -> Run:
        run = self._batches.run(job) if self._batches.takes(job) else self._make_calls(job)
        self._limits.attach_job(job.id, run.slots)
        self._spend_limits.attach_job(job.id, run.spend_limit)
        return run

    def _calls_outside_parts(self, job: Job) -> JobRun:
        """Makes calls for a job whose parts this worker leads."""
        return JobRun(
            self._settings,
            job,
            self._providers.by_id,
            self._recorder,
            OutsideParts(job),
            self._spend_limits,
            self._slots,
        )

    def _make_calls(self, job: Job) -> JobRun:
        max_calls = self._settings.WORKER_CONCURRENCY

        def width() -> int:
            return min(run.width, max_calls)

        claimed = ClaimedPages(
            job,
            self._heartbeat.id,
            self._recorder,
            width,
            lambda: width() - run.calls,
            lambda way: run.ready(way),
        )
        run = JobRun(
            self._settings,
            job,
            self._providers.by_id,
            claimed,
            claimed,
            self._spend_limits,
            self._slots,
        )
        return run

    def _run_ended(self) -> None:
        self._changed.set()
        self.wake()

    def _run_closed(self, job_id: int) -> None:
        self._limits.detach_job(job_id)
        self._recorder.flush()  # a job run that failed has not
        self._spend_limits.detach_job(job_id)
        retry_while_unavailable(pages.give_back, self._heartbeat.id, job_id)
        retry_while_unavailable(assignments.remove, job_id, self._heartbeat.id)

    def _look(self) -> None:
        self._busy = False
        with connected():
            self._busy = self._steer_runs()

    def _steer_runs(self) -> bool:
        """Open and stop job runs as assigned. Returns False if there are none."""
        with snapshot():
            address_policy.refresh()
            jobs = assignments.jobs_of(self._heartbeat.id)
            if second := self._begins_second():
                self._providers.refresh()
                self._store_live()
        statuses = {job.id: JobStatus(job.status) for job in jobs if job.deleted_at is None}
        self._runs.steer(statuses)
        self._runs.apply(jobs)
        for job in jobs:
            if self._runs.busy(job.id):
                continue
            if not self._closing and statuses.get(job.id) == JobStatus.RUNNING:
                self._runs.begin(job.id)
                self._changed.set()
            if not self._runs.busy(job.id):  # it is not to run, or cannot
                assignments.remove(job.id, self._heartbeat.id)
        if second:
            for run in list(self._runs.open.values()):
                run.start_new_routes()
                run.give_back_unused()
        return bool(jobs)

    def _begins_second(self) -> bool:
        former, self._second = self._second, int(time.time())
        return self._second != former

    def _store_live(self) -> None:
        lives = {
            job_id: live_state.encode(run.live()).decode()
            for job_id, run in self._runs.open.items()
        }
        if lives:
            assignments.store_live(self._heartbeat.id, lives)

    def _lost(self) -> None:
        """Stop all runs of a revoked worker id; its pages were reassigned."""
        self._runs.stop(LOST_S)

    # --- coordinating -----------------------------------------------------------------------

    def _check_lease(self) -> None:
        if self._coordinator is None:
            if not self._closing and self._lease.acquire():
                log.info("worker %s coordinates", self._heartbeat.name)
                self._lease.set_holder(self._heartbeat.id)
                self._coordinator = Coordinator(
                    self._settings,
                    self._vault,
                    self._hooks,
                    self._providers,
                    self._wake_worker,
                    lambda: self._heartbeat.may_declare_dead,
                    self._batches,
                )
                self._coordinator.start()
            elif not self._closing:
                self._revoke_silent_coordinator()
        elif self._lease.keep():
            # the connection or the id may be another now
            self._lease.set_holder(self._heartbeat.id)
        else:
            log.warning("another worker coordinates now")
            self._hand_over()

    def _revoke_silent_coordinator(self) -> None:
        """Watch the coordinator. A stalled one would keep the lease, and no worker would coordinate."""
        with connected():
            silent = workers.silent() if self._heartbeat.may_declare_dead else []
            if silent and lease.revoke(silent):
                log.warning("the worker that coordinated is silent: the lease was taken from it")

    def _hand_over(self) -> None:
        coordinator, self._coordinator = self._coordinator, None
        if coordinator is not None:
            coordinator.stop()
        self._lease.release()

    def _faulted(self, error: str | None) -> None:
        self.storage_fault = error

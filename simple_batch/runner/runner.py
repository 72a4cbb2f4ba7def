"""The runner of this process: takes the lease, runs the jobs, and sends signals.

Where another process holds the lease it only watches, and takes over when that
process ends. Where workers run the jobs (ENGINE=celery) it only watches.
"""

import logging
import time

import gevent
from gevent import monkey
from gevent.event import Event

from ..core.context import Vault
from ..core.settings import Settings
from ..store.cluster import workers
from ..store.database import connected, fault, log_failure
from ..store.models import Job
from .background import BackgroundTasks
from .hooks import Hooks
from .job_run import JobRun
from .job_runs import JobRuns
from .lease import lease_of
from .providers import Providers
from .recorder import Recorder
from .request_source import Cursor
from .scheduler import Scheduler
from .stats import Health, RunnerStats, figures_of
from .watcher import Watcher

log = logging.getLogger(__name__)

LOOK_S = 0.25
LEASE_EVERY = 4  # looks between two tries to take the lease, or looks whether it is still held
HAND_OVER_S = 10.0
AWAY_S = 2.0  # for an end while the database file is not at its place


class Runner:
    """``duties`` are handed in, so that nothing here reaches upward; ``only`` limits it to one job."""

    def __init__(
        self,
        settings: Settings,
        vault: Vault,
        duties: Hooks,
        only: int | None = None,
    ):
        self._settings = settings
        self._vault = vault
        self._duties = duties
        self._only = only
        self._watches_only = settings.ENGINE == "celery"
        self._lease = lease_of(settings.database_url)
        self._providers: Providers | None = None
        self._recorder: Recorder | None = None
        self._lanes: JobRuns | None = None
        self._scheduler: Scheduler | None = None
        self._watcher = Watcher()
        self._wake = Event()
        self._sampled = 0  # the second in which the live state of the job runs was last read
        self._greenlet: gevent.Greenlet | None = None
        self._chores = BackgroundTasks(settings, vault, duties)
        self.storage_fault: str | None = None

    @property
    def state(self) -> str:
        """``here`` where this process runs the jobs, ``elsewhere`` where others do, ``none`` where
        workers should and there is none."""
        if self._watches_only:
            return workers_state()
        return "here" if self._lease.held else "elsewhere"

    def start(self) -> str:
        """Begin; returns ``state``. Raises RuntimeError in a process not patched by gevent: there
        every call would hold up all others."""
        if not monkey.is_module_patched("socket"):
            raise RuntimeError(
                "jobs run only in a process patched by gevent: use run.py or gunicorn"
            )
        if not self._watches_only and self._lease.acquire():
            self._take_over()
        self._greenlet = gevent.spawn(self._run)
        return self.state

    def stop(self, timeout_s: float = 10.0) -> None:
        """Drain: no new calls, those in flight finish, everything received is committed."""
        if self._greenlet is not None:
            self._greenlet.kill()
        if self._scheduler is not None:
            self._end(timeout_s)
        self._chores.stop(timeout_s)
        self._lease.release()

    def wake(self) -> None:
        """Look now: a job was created or changed in this process."""
        self._wake.set()
        if self._scheduler is not None:
            self._scheduler.wake()

    def sweep(self) -> None:
        """Remove now what was deleted or has expired."""
        self._chores.sweep()

    def health(self) -> Health:
        """Whether everything that should work here does."""
        parts = {"watcher": self._greenlet, **self._chores.greenlets}
        if self._scheduler is not None:
            parts |= {"scheduler": self._scheduler.alive, "recorder": self._recorder.alive}
        return Health(
            state=self.state,
            dead=[name for name, part in parts.items() if not part],
            silent_s=self._scheduler.silent_s if self._scheduler is not None else None,
            storage_fault=self.storage_fault,
        )

    def figures(self) -> RunnerStats | None:
        """What it counts of itself; None where another process runs the jobs."""
        if self._scheduler is None:
            return None
        return figures_of(self._providers, len(self._lanes), self._recorder)

    def _take_over(self) -> None:
        settings = self._settings
        self._providers = Providers(settings, self._vault)
        self._recorder = Recorder(
            settings.REQUEST_CACHE_BATCH_SIZE,
            settings.REQUEST_CACHE_FLUSH_INTERVAL,
            self._faulted,
        )
        self._lanes = JobRuns(self._make_lane, self._lane_ended)
        self._scheduler = Scheduler(
            settings,
            self._providers,
            self._lanes,
            self._duties,
            self._wake.set,
            self._only,
        )
        self._recorder.start()
        self._scheduler.start()
        self._chores.start()

    def _make_lane(self, job: Job) -> JobRun:
        provider_of, money = self._providers.by_id, self._providers.money
        return JobRun(self._settings, job, provider_of, self._recorder, Cursor(job), money)

    def _lane_ended(self) -> None:
        if self._scheduler is not None:
            self._scheduler.ended()

    def _run(self) -> None:
        turn = 0
        while True:
            try:
                with connected():
                    second = int(time.time())
                    if self._scheduler is not None and second != self._sampled:
                        self._sampled = second
                        self._lanes.write_live()
                    self._watcher.look()
            except Exception:
                log_failure(log, "the jobs cannot be watched")
                gevent.sleep(1)
            turn += 1
            if turn % LEASE_EVERY == 0 and not self._watches_only and fault() is None:
                try:
                    self._mind_the_lease()
                except Exception:
                    log_failure(log, "the lease cannot be looked after")
            self._wake.wait(LOOK_S)
            self._wake.clear()

    def _mind_the_lease(self) -> None:
        if self._scheduler is None:
            if self._lease.acquire():
                log.warning("the process that ran the jobs is gone: they run here now")
                self._take_over()
        elif not self._lease.keep():
            log.warning("another process runs the jobs now: what is in flight here is finished")
            self._hand_over()

    def _hand_over(self) -> None:
        """Stop running jobs, and record what comes back of the calls in flight."""
        self._end(HAND_OVER_S)
        self._chores.drop()

    def _end(self, timeout_s: float) -> None:
        scheduler, self._scheduler = self._scheduler, None
        if fault() is not None:  # what comes back now cannot be recorded
            timeout_s = min(timeout_s, AWAY_S)
        end = time.monotonic() + timeout_s
        scheduler.rest()
        self._lanes.stop(timeout_s)
        scheduler.stop(max(0.0, end - time.monotonic()))
        self._recorder.stop(timeout_s)
        self._providers.close()

    def _faulted(self, error: str | None) -> None:
        self.storage_fault = error


def workers_state() -> str:
    """Whether workers run the jobs: ``elsewhere``, or ``none``."""
    with connected():
        return "elsewhere" if workers.alive() else "none"

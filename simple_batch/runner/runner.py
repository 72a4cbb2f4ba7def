"""The runner of this process: takes the lease, runs the jobs, and sends signals.

Where another process holds the lease it only watches, and takes over when that
process ends. Where workers run the jobs (ENGINE=celery) it only watches.
"""

import logging
import time
from collections.abc import Callable
from functools import partial

from gevent import monkey

from ..core.context import Vault
from ..core.periodic_task import PeriodicTask
from ..core.settings import Settings
from ..engine.governor import Governor
from ..store.cluster import workers
from ..store.database import connected, fault, log_failure
from ..store.models import ApiConfig, Job
from .background import BackgroundTasks
from .batch_jobs import BatchJobs, OutsideParts
from .hooks import Hooks
from .job_run import JobRun
from .job_runs import JobRuns, Run
from .lease import lease_of
from .providers import Providers
from .recorder import Recorder
from .request_source import Cursor, RequestSource
from .scheduler import Scheduler
from .stats import Health, RunnerStats, figures_of
from .watcher import Watcher

log = logging.getLogger(__name__)

LOOK_S = 0.25
LEASE_EVERY_S = 1.0  # between two tries to take the lease, or looks whether it is still held
AFTER_FAILURE_S = 1.0
HAND_OVER_S = 10.0
AWAY_S = 2.0  # for an end while the database file is not at its place


class Runner:
    """``hooks`` are handed in, so that nothing here reaches upward; ``only`` limits it to one job."""

    def __init__(
        self,
        settings: Settings,
        vault: Vault,
        hooks: Hooks,
        only: int | None = None,
    ):
        self._settings = settings
        self._vault = vault
        self._hooks = hooks
        self._only = only
        self._watches_only = settings.ENGINE == "celery"
        self._lease = lease_of(settings.database_url)
        self._active: _Active | None = None  # while the jobs run here
        self._watcher = Watcher()
        self._sampled = 0  # the second in which the live state of the job runs was last read
        self._watch_task = PeriodicTask(
            self._watch,
            LOOK_S,
            partial(log_failure, log, "the jobs cannot be watched"),
            rest_s=AFTER_FAILURE_S,
        )
        self._lease_task = PeriodicTask(
            self._check_lease,
            LEASE_EVERY_S,
            partial(log_failure, log, "the lease cannot be looked after"),
            wait_first=True,
        )
        self._background = BackgroundTasks(settings, vault, hooks)
        self.storage_fault: str | None = None

    @property
    def state(self) -> str:
        """``here`` where this process runs the jobs, ``elsewhere`` where others do, ``none`` where
        workers should and there is none."""
        if self._watches_only:
            with connected():
                return workers.state()
        return "here" if self._lease.held else "elsewhere"

    def start(self) -> str:
        """Begin; returns ``state``. Raises RuntimeError in a process not patched by gevent: there
        every call would hold up all others."""
        if not monkey.is_module_patched("socket"):
            raise RuntimeError(
                "jobs run only in a process patched by gevent: use run.py or gunicorn"
            )
        if not self._watches_only:
            if self._lease.acquire():
                self._take_over()
            self._lease_task.start()
        self._watch_task.start()
        return self.state

    def stop(self, timeout_s: float = 10.0) -> None:
        """Drain: no new calls, those in flight finish, everything received is committed."""
        self._lease_task.stop()
        self._watch_task.stop()
        self._end(timeout_s)
        self._background.stop(timeout_s)
        self._lease.release()

    def wake(self) -> None:
        """Look now: a job was created or changed in this process."""
        self._watch_task.wake()
        if self._active is not None:
            self._active.scheduler.wake()

    def sweep(self) -> None:
        """Remove now what was deleted or has expired."""
        self._background.sweep()

    def health(self) -> Health:
        """Whether everything that should work here does."""
        tasks = {"watcher": self._watch_task, **self._background.tasks}
        parts = {name: task.alive for name, task in tasks.items()}
        active = self._active
        if active is not None:
            parts |= {"scheduler": active.scheduler.alive, "recorder": active.recorder.alive}
        return Health(
            state=self.state,
            dead=[name for name, alive in parts.items() if not alive],
            silent_s=active.scheduler.silent_s if active is not None else None,
            storage_fault=self.storage_fault,
        )

    def governor_of(self, config: ApiConfig) -> Governor | None:
        """The limits that the jobs of this process keep on a connection; None where another process runs
        the jobs. Raises ConfigurationError where its key cannot be opened."""
        return self._active.providers.get(config).governor if self._active is not None else None

    def figures(self) -> RunnerStats | None:
        """What it counts of itself; None where another process runs the jobs."""
        active = self._active
        if active is None:
            return None
        return figures_of(active.providers, len(active.job_runs), active.recorder)

    def _take_over(self) -> None:
        self._active = _Active(
            self._settings,
            self._vault,
            self._hooks,
            self._watch_task.wake,
            self._note_storage_fault,
            self._only,
        )
        self._active.start()
        self._background.start()

    def _watch(self) -> None:
        with connected():
            second = int(time.time())
            if self._active is not None and second != self._sampled:
                self._sampled = second
                self._active.job_runs.write_live()
            self._watcher.look()

    def _check_lease(self) -> None:
        if fault() is not None:
            return
        if self._active is None:
            if self._lease.acquire():
                log.warning("the process that ran the jobs is gone: they run here now")
                self._take_over()
        elif not self._lease.keep():
            log.warning("another process runs the jobs now: what is in flight here is finished")
            self._hand_over()

    def _hand_over(self) -> None:
        """Stop running jobs, and record what comes back of the calls in flight."""
        self._end(HAND_OVER_S)
        self._background.drop()

    def _end(self, timeout_s: float) -> None:
        active, self._active = self._active, None
        if active is not None:
            # what comes back while the database is away cannot be recorded
            active.stop(timeout_s if fault() is None else min(timeout_s, AWAY_S))

    def _note_storage_fault(self, error: str | None) -> None:
        self.storage_fault = error


class _Active:
    """What runs the jobs, in the process that holds the lease. ``changed`` is called when a job's
    status may have changed."""

    def __init__(
        self,
        settings: Settings,
        vault: Vault,
        hooks: Hooks,
        changed: Callable[[], None],
        on_storage_fault: Callable[[str | None], None],
        only: int | None,
    ):
        self._settings = settings
        self.providers = Providers(settings, vault)
        self.recorder = Recorder(
            settings.REQUEST_CACHE_BATCH_SIZE,
            settings.REQUEST_CACHE_FLUSH_INTERVAL,
            on_storage_fault,
        )
        self._batches = BatchJobs(
            settings,
            self.providers,
            self.recorder,
            lambda job: self._calls(job, OutsideParts(job)),
        )
        self.job_runs = JobRuns(self._new_run, self._run_ended)
        self.scheduler = Scheduler(
            settings,
            self.providers,
            self.job_runs,
            hooks,
            changed,
            only,
            end_parts=self._batches.end,
            tend_parts=self._batches.tend,
        )

    def start(self) -> None:
        self.recorder.start()
        self.scheduler.start()

    def stop(self, timeout_s: float) -> None:
        """Let the calls in flight finish and commit all that was received, for at most the timeout.
        Interrupted (a second Ctrl-C), it only commits."""
        end = time.monotonic() + timeout_s
        try:
            self.scheduler.rest()
            self.job_runs.stop(timeout_s)
            self.scheduler.stop(max(0.0, end - time.monotonic()))
        finally:
            self.recorder.stop(timeout_s)
        self.providers.close()

    def _new_run(self, job: Job) -> Run:
        if self._batches.takes(job):
            return self._batches.run(job)
        return self._calls(job, Cursor(job))

    def _calls(self, job: Job, source: RequestSource) -> JobRun:
        return JobRun(
            self._settings,
            job,
            self.providers.by_id,
            self.recorder,
            source,
            self.providers.spend_limits,
        )

    def _run_ended(self) -> None:
        self.scheduler.ended()

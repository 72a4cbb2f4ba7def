"""Scheduler: decides which job runs next. One loop compares the jobs' statuses in the database with
the active job runs and corrects the differences: it starts, stops, finishes and removes jobs. A crash
needs no separate recovery: after it there are simply running jobs without a job run.
"""

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from ..core import time_windows
from ..core.clock import now_ms
from ..core.domain import JobStatus
from ..core.periodic_task import PeriodicTask
from ..core.settings import Settings
from ..store import jobs as job_rows
from ..store.database import connected, log_failure, snapshot
from ..store.models import Job
from . import finalize, spend_caps
from .hooks import Hooks
from .providers import Providers
from .task_group import TaskGroup

log = logging.getLogger(__name__)

TICK_S = 0.25
_HANDLED = (
    JobStatus.VALIDATING,
    JobStatus.QUEUED,
    JobStatus.RUNNING,
    JobStatus.FINALIZING,
    JobStatus.CANCELLING,
)


class Hosting(Protocol):
    """Hosts the job runs: in this process (job_runs.py) or in workers (cluster/placement.py)."""

    def __len__(self) -> int: ...
    def busy(self, job_id: int) -> bool: ...
    def begin(self, job_id: int) -> None: ...
    def steer(self, statuses: dict[int, JobStatus]) -> None: ...
    def adjust(self) -> None: ...


class Scheduler:
    """``hooks`` are what is done for a job besides its calls; ``changed`` is called when a job's
    status may have changed; ``only`` restricts the scheduler to one job (a command that runs just
    that one). It looks every ``tick_s``. ``end_parts(job_id, keep)`` ends the batches at providers of a job
    that ends before them, ``tend_parts(job_id)`` merges those of a job that rests (batch_jobs.py)."""

    def __init__(
        self,
        settings: Settings,
        providers: Providers,
        job_runs: Hosting,
        hooks: Hooks,
        changed: Callable[[], None],
        only: int | None = None,
        tick_s: float = TICK_S,
        end_parts: Callable[[int, bool], None] = lambda job_id, keep: None,
        tend_parts: Callable[[int], None] = lambda job_id: None,
    ):
        self._settings = settings
        self._providers = providers
        self._job_runs = job_runs
        self._hooks = hooks
        self._changed = changed
        self._only = only
        self._end_parts = end_parts
        self._tend_parts = tend_parts
        self._tasks = TaskGroup(self.ended)
        # a database that cannot be read now may be readable in a second
        on_error = partial(log_failure, log, "the scheduler could not look at the jobs")
        self._task = PeriodicTask(self._look, tick_s, on_error, rest_s=1.0)
        self._looked_at = time.monotonic()

    @property
    def alive(self) -> bool:
        return self._task.alive

    @property
    def silent_s(self) -> float:
        """Seconds since the last look at the jobs, successful or not."""
        return time.monotonic() - self._looked_at

    def start(self) -> None:
        self._task.start()

    def wake(self) -> None:
        """Look now: something changed."""
        self._task.wake()

    def ended(self) -> None:
        """Look now: what worked on a job has come to its end."""
        self.wake()
        self._changed()

    def rest(self) -> None:
        """Start nothing more."""
        self._task.finish()

    def stop(self, timeout_s: float) -> None:
        """Start nothing more and finish what is begun, for at most the timeout. Jobs keep their
        status: the next process that runs the database's jobs goes on with them."""
        self.rest()
        self._tasks.stop(timeout_s)
        self._task.stop()

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        with connected():
            self._look_at_jobs()

    def _look_at_jobs(self) -> None:
        now = now_ms()
        with snapshot():
            self._providers.refresh()
            overdue, limited, due = job_rows.overdue(now), job_rows.with_hours(), job_rows.due(now)
            waited = job_rows.waited_out(now)
            capped = job_rows.paused_for(spend_caps.SPEND_CAP) if self._only is None else []
            statuses = dict(job_rows.in_status(*_HANDLED))
            deleted = job_rows.being_deleted() if self._only is None else []
            resetting = job_rows.being_reset() if self._only is None else []
            resting = job_rows.resting_with_parts() if self._only is None else []
            binned = job_rows.binned_with_parts() if self._only is None else []
            if self._only is not None:
                statuses = {id_: status for id_, status in statuses.items() if id_ == self._only}
            self._job_runs.steer(statuses)
        self._apply_times(now, overdue, limited, due, waited)
        self._resume_capped(capped)
        self._job_runs.adjust()
        for job_id, status in statuses.items():
            if not self._busy(job_id):
                self._advance(job_id, status)
        for work, ids in (
            (self._purge, deleted),
            (self._reset, resetting),
            (self._keep, binned),
            (self._tend_parts, resting),
        ):
            for job_id in ids:
                if not self._busy(job_id):
                    self._tasks.start(job_id, work, job_id)

    def _busy(self, job_id: int) -> bool:
        return job_id in self._tasks or self._job_runs.busy(job_id)

    def _apply_times(
        self,
        now: int,
        overdue: list[int],
        limited: list[Job],
        due: list[int],
        waited: list[int],
    ) -> None:
        for job_id in overdue:
            job_rows.expire(job_id)
        for job in limited:
            span = time_windows.parse(job.hours, job.zone)
            if span is not None and not span.open_at(now):
                job_rows.put_off(job, span.opens_after(now))
                self.wake()
        for job_id in due:
            job_rows.transition(job_id, JobStatus.QUEUED, (JobStatus.SCHEDULED,), "due")
        for job_id in waited:
            job_rows.transition(job_id, JobStatus.QUEUED, (JobStatus.PAUSED,), "waited")
        if overdue or due or waited:
            self.wake()

    def _resume_capped(self, capped: list[Job]) -> None:
        """Resume jobs whose spend cap has been raised or whose cap period has restarted."""
        for job in capped:
            if job.capped_by is not None:
                has_room = self._providers.may_spend(job.capped_by, job.spend_needed)
            else:
                has_room = self._providers.spend_limits.has_room(
                    spend_caps.JobSpendLimit(job), job.spend_needed
                )
            if has_room:
                job_rows.transition(job.id, JobStatus.QUEUED, (JobStatus.PAUSED,), "room")
                self.wake()

    def _advance(self, job_id: int, status: JobStatus) -> None:
        if status == JobStatus.VALIDATING:
            self._tasks.start(job_id, self._hooks.import_upload, job_id)
        elif status in (JobStatus.CANCELLING, JobStatus.FINALIZING):
            self._tasks.start(job_id, self._finish, job_id)
        elif status == JobStatus.QUEUED and len(self._job_runs) < self._settings.MAX_RUNNING_JOBS:
            if job_rows.transition(job_id, JobStatus.RUNNING, (JobStatus.QUEUED,)):
                self._job_runs.begin(job_id)
                self._changed()
        elif status == JobStatus.RUNNING:
            self._job_runs.begin(job_id)

    def _finish(self, job_id: int) -> None:
        self._end_parts(job_id, True)
        finalize.finish(job_id, self._hooks.finalize)

    def _purge(self, job_id: int) -> None:
        self._end_parts(job_id, False)
        finalize.purge(job_id)

    def _reset(self, job_id: int) -> None:
        self._end_parts(job_id, False)
        finalize.reset(job_id)

    def _keep(self, job_id: int) -> None:
        """A job in the bin may be restored: it keeps what its batches have finished."""
        self._end_parts(job_id, True)

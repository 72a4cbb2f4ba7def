"""The job runs of this process: starts them, keeps them in line with job statuses, and stops them."""

import logging
from collections.abc import Callable, Mapping

from ..core.domain import JobStatus
from ..core.errors import ConfigurationError
from ..store.database import connected
from ..store.models import Job, database
from . import live_state
from .batch_run import BatchRun
from .job_run import JobRun
from .task_group import TaskGroup, pause

log = logging.getLogger(__name__)

Run = JobRun | BatchRun

_EDITED = (
    Job.id,
    Job.total,
    Job.concurrency,
    Job.max_retries,
    Job.overrides,
    Job.priority,
    Job.spend_cap,
    Job.rest_now_at,
)


class JobRuns:
    """``make(job)`` makes a job run, or raises ConfigurationError; ``closed(job_id)`` is called when
    a run has ended, ``ended()`` when its job may be started again."""

    def __init__(
        self,
        make: Callable[[Job], Run],
        ended: Callable[[], None],
        closed: Callable[[int], None] = lambda job_id: None,
    ):
        self._make = make
        self._closed = closed
        self._tasks = TaskGroup(ended)
        self.open: dict[int, Run] = {}

    def __len__(self) -> int:
        """Those that make calls: one that waits for batches keeps no other job from running."""
        return sum(run.counts for run in self.open.values())

    def busy(self, job_id: int) -> bool:
        """Whether a run of the job is active or ending."""
        return job_id in self._tasks

    def begin(self, job_id: int) -> None:
        """Start a run of a job if its status is still running. A job whose config cannot be used is
        paused."""
        job = Job.get_by_id(job_id)
        if job.status != JobStatus.RUNNING:  # changed while we looked
            return
        try:
            run = self._make(job)
        except ConfigurationError as error:
            pause(job_id, "auth", error.text)
            return
        self.open[job_id] = run
        log.info("job %s runs: %s requests", job_id, job.total)
        self._tasks.start(job_id, self._run, run)

    def steer(self, statuses: Mapping[int, JobStatus]) -> None:
        """Stop the runs of jobs that should not run, and of jobs that are not listed."""
        for job_id, run in list(self.open.items()):
            status = statuses.get(job_id)
            if status in (JobStatus.CANCELLING, JobStatus.FINALIZING):
                run.kill()
            elif status != JobStatus.RUNNING:
                run.stop()

    def adjust(self) -> None:
        """Apply edits to the running jobs."""
        if self.open:
            self.apply(Job.select(*_EDITED).where(Job.id.in_(list(self.open))))

    def apply(self, edited) -> None:
        """The same for jobs that were already read."""
        for job in edited:
            if run := self.open.get(job.id):  # it may have ended while we asked
                run.adjust(job)

    def write_live(self) -> None:
        """Store the live state of the runs, if one process makes all calls of their jobs."""
        # in the order in which the recorder takes the jobs: neither waits for the other
        runs = [run for _job_id, run in sorted(self.open.items())]
        if runs:
            with connected(), database.atomic():
                for run in runs:
                    live_state.write(run.job_id, run.live())

    def stop(self, timeout_s: float) -> None:
        """Let calls in flight finish, for at most the timeout. Jobs keep their status."""
        for run in list(self.open.values()):
            run.stop()
        self._tasks.stop(timeout_s)

    def _run(self, run: Run) -> None:
        try:
            run.run()
        finally:
            self.open.pop(run.job_id, None)
            self._closed(run.job_id)

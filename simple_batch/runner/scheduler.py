"""Which job runs next. One loop compares the jobs' statuses in the database with the lanes
that run here and sets right what differs: it starts, stops, finishes and removes. A crash
needs no recovery of its own: after it there are simply running jobs without a lane.
"""

import logging
import time
from collections.abc import Callable

import gevent
from gevent.event import Event

from .. import hours
from ..clock import now_ms
from ..domain import JobStatus
from ..errors import ConfigurationError
from ..log import context as logging_context
from ..settings import Settings
from ..store import jobs as job_rows
from ..store.database import complain, connected, passing, steadily
from ..store.models import Job
from . import closing, till
from .duties import Duties
from .lane import Lane
from .providers import Providers
from .recorder import Recorder

log = logging.getLogger(__name__)

TICK_S = 0.25
_HANDLED = (
    JobStatus.VALIDATING,
    JobStatus.QUEUED,
    JobStatus.RUNNING,
    JobStatus.FINALIZING,
    JobStatus.CANCELLING,
)


class Scheduler:
    """``duties`` are what is done for a job besides its calls; ``changed`` is called when a job's
    status may have changed; ``only`` restricts the scheduler to one job (a command that runs just
    that one)."""

    def __init__(
        self,
        settings: Settings,
        providers: Providers,
        recorder: Recorder,
        duties: Duties,
        changed: Callable[[], None],
        only: int | None = None,
    ):
        self._settings = settings
        self._providers = providers
        self._recorder = recorder
        self._duties = duties
        self._changed = changed
        self._only = only
        self._wake = Event()
        self._stopping = False
        self.lanes: dict[int, Lane] = {}
        self._tasks: dict[int, gevent.Greenlet] = {}  # the greenlet that works on a job
        self._greenlet: gevent.Greenlet | None = None
        self._looked_at = time.monotonic()

    @property
    def alive(self) -> bool:
        return bool(self._greenlet)

    @property
    def silent_s(self) -> float:
        """How long ago it last looked at the jobs, in vain or not."""
        return time.monotonic() - self._looked_at

    def start(self) -> None:
        self._greenlet = gevent.spawn(self._run)

    def wake(self) -> None:
        """Look now: something changed."""
        self._wake.set()

    def stop(self, timeout_s: float) -> None:
        """Start nothing more and let the calls in flight finish, for at most the timeout. Jobs
        keep their status: whoever runs the database next goes on with them."""
        self._stopping = True
        self.wake()
        for lane in list(self.lanes.values()):
            lane.stop()
        gevent.joinall(list(self._tasks.values()), timeout=timeout_s)
        gevent.killall(list(self._tasks.values()))
        if self._greenlet is not None:
            self._greenlet.kill()

    def _run(self) -> None:
        while not self._stopping:
            self._looked_at = time.monotonic()
            try:
                with connected():
                    self._look()
            except Exception:
                # a database that cannot be read now may be readable in a second
                complain(log, "the scheduler could not look at the jobs")
                gevent.sleep(1)
            self._wake.wait(TICK_S)
            self._wake.clear()

    def _look(self) -> None:
        self._providers.refresh()
        self._mind_the_time()
        if self._only is None:
            self._mind_the_money()
        statuses = dict(job_rows.in_status(*_HANDLED))
        if self._only is not None:
            statuses = {id_: status for id_, status in statuses.items() if id_ == self._only}
        for job_id, lane in list(self.lanes.items()):
            status = statuses.get(job_id)
            if status in (JobStatus.CANCELLING, JobStatus.FINALIZING):
                lane.kill()
            elif status != JobStatus.RUNNING:
                lane.stop()
        if self.lanes:
            edited = (
                Job.id,
                Job.concurrency,
                Job.max_retries,
                Job.overrides,
                Job.priority,
                Job.spend_cap,
            )
            for job in Job.select(*edited).where(Job.id.in_(list(self.lanes))):
                if lane := self.lanes.get(job.id):  # it may have ended while we asked
                    lane.adjust(job)
        for job_id, status in statuses.items():
            if job_id not in self._tasks:
                self._take_up(job_id, status)
        if self._only is None:
            for job_id in job_rows.being_deleted():
                if job_id not in self._tasks:
                    self._spawn(job_id, closing.purge, job_id)

    def _mind_the_time(self) -> None:
        now = now_ms()
        for job_id in job_rows.overdue(now):
            job_rows.expire(job_id)
        for job in job_rows.with_hours():
            span = hours.parse(job.hours, job.zone)
            if not span.open_at(now):
                job_rows.put_off(job.id, span.opens_after(now))
        for job_id in job_rows.due(now):
            job_rows.transition(job_id, JobStatus.QUEUED, (JobStatus.SCHEDULED,), "due")
        for job_id in job_rows.waited_out(now):
            job_rows.transition(job_id, JobStatus.QUEUED, (JobStatus.PAUSED,), "waited")

    def _mind_the_money(self) -> None:
        """Have jobs go on whose spend cap has been raised or has begun anew."""
        for job in job_rows.paused_for(till.SPEND_CAP):
            if job.capped_by is not None:
                room = self._providers.may_spend(job.capped_by)
            else:
                room = job.spend_cap is None or job.cost_nano < job.spend_cap
            if room:
                job_rows.transition(job.id, JobStatus.QUEUED, (JobStatus.PAUSED,), "room")

    def _take_up(self, job_id: int, status: JobStatus) -> None:
        if status == JobStatus.VALIDATING:
            self._spawn(job_id, self._duties.importer, job_id)
        elif status in (JobStatus.CANCELLING, JobStatus.FINALIZING):
            self._spawn(job_id, self._finish, job_id)
        elif status == JobStatus.QUEUED and len(self.lanes) < self._settings.MAX_RUNNING_JOBS:
            if job_rows.transition(job_id, JobStatus.RUNNING, (JobStatus.QUEUED,)):
                self._open_lane(job_id)
                self._changed()
        elif status == JobStatus.RUNNING:
            self._open_lane(job_id)

    def _finish(self, job_id: int) -> None:
        closing.finish(job_id, self._duties.finalizer)

    def _open_lane(self, job_id: int) -> None:
        job = Job.get_by_id(job_id)
        if job.status != JobStatus.RUNNING:  # changed while we looked
            return
        try:
            lane = Lane(self._settings, job, self._providers.by_id, self._recorder)
        except ConfigurationError as error:
            self._pause(job_id, "auth", error.text)
            return
        self.lanes[job_id] = lane
        log.info("job %s runs: %s requests", job_id, job.total)
        self._spawn(job_id, self._run_lane, lane)

    def _run_lane(self, lane: Lane) -> None:
        try:
            lane.run()
        finally:
            self.lanes.pop(lane.job_id, None)

    def _spawn(self, job_id: int, work: Callable, argument) -> None:
        self._tasks[job_id] = gevent.spawn(self._work, job_id, work, argument)

    def _work(self, job_id: int, work: Callable, argument) -> None:
        logging_context.set(f"job {job_id}")
        try:
            work(argument)
        except Exception as error:
            complain(log, f"job {job_id}: the program failed")
            if not passing(error):  # else it keeps its status and is taken up again
                detail = f"{type(error).__name__}: {error}"[:500]
                steadily(self._pause, job_id, "internal", detail)
            gevent.sleep(1)  # a fault that comes back at once must not fill the log
        finally:
            self._tasks.pop(job_id, None)
            self.wake()
            self._changed()

    def _pause(self, job_id: int, reason: str, detail: str) -> None:
        job_rows.transition(
            job_id, JobStatus.PAUSED, (JobStatus.RUNNING, JobStatus.QUEUED), reason, detail
        )

"""Assigns job runs to workers; runs in the coordinator. It creates pages, and assigns every running job to
the workers that it has work for.

All state is read from the database again at each look, so that the next coordinator can continue.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping

import peewee

from ..core.clock import give_way
from ..core.domain import JobStatus
from ..runner import finalize, live_state
from ..runner.task_group import TaskGroup
from ..store import requests as request_rows
from ..store.cluster import assignments as lane_rows
from ..store.cluster import pages, workers
from ..store.cluster.workers import Known
from ..store.database import connected, retry_while_unavailable
from ..store.models import ApiConfig, Job, database
from ..store.requests import OWN_WAY

log = logging.getLogger(__name__)


class Placement:
    """``wake(worker, job_id)`` notifies a worker of a new assignment (best effort). ``ended()`` is called
    when there may be more to do."""

    def __init__(self, wake: Callable[[str, int], None], ended: Callable[[], None]):
        self._wake = wake
        self._works = TaskGroup(ended)  # the laying out
        self._running: list[int] = []  # ids
        self._placed: dict[int, dict[str, str]] = {}
        self._alive: list[Known] = []
        self._jobs: dict[int, Job] = {}  # that run, those of a higher priority first
        self._free: dict[int, int] = {}  # pages, counted as far as matters
        self._overrides: dict[int, int] = {}  # of each job, when it was laid out

    def __len__(self) -> int:
        return len(self._running)

    def busy(self, job_id: int) -> bool:
        """Whether a worker has an assignment of the job: the job cannot be ended or removed yet."""
        return bool(self._placed.get(job_id)) or job_id in self._works

    def begin(self, job_id: int) -> None:
        """Create the pages of a job that has started."""
        if job_id not in self._running:
            self._running.append(job_id)
        self._lay_out(job_id)

    def steer(self, statuses: Mapping[int, JobStatus]) -> None:
        """Read the current state."""
        self._running = [id_ for id_, status in statuses.items() if status == JobStatus.RUNNING]
        self._placed = lane_rows.placed()
        self._alive = [worker for worker in workers.alive() if worker.room]
        self._jobs = {job.id: job for job in _asked(self._running)}
        self._free = {id_: pages.free(id_, len(self._alive)) for id_ in self._jobs}

    def adjust(self) -> None:
        """Assign jobs to more workers where there is work for them."""
        load = Counter(worker for lanes in self._placed.values() for worker in lanes)
        for job_id, job in self._jobs.items():
            if self._free[job_id] or self._placed.get(job_id):
                self._place(job, load)
            if job.overrides != self._overrides.get(job_id, 0):
                self._lay_out(job_id)

    def _place(self, job: Job, load: Counter) -> None:
        here = self._placed.setdefault(job.id, {})
        # assignments that can make no call do not count against the job's maximum
        at_work = sum(not live_state.waits(said) for said in here.values())
        wanted = min(at_work + self._free[job.id], _bound(job, len(self._alive)))
        others = [worker for worker in self._alive if worker.id not in here]
        for worker in sorted(others, key=lambda worker: load[worker.id]):
            if at_work >= wanted:
                return
            if at_work and load[worker.id] >= worker.room:
                continue  # the first assignment of a job ignores the workers' maximum
            try:
                lane_rows.place(job.id, worker.id)
            except peewee.IntegrityError:
                continue  # the worker has gone
            here[worker.id] = ""
            at_work += 1
            load[worker.id] += 1
            self._wake(worker.name, job.id)

    def _lay_out(self, job_id: int) -> None:
        if job_id not in self._works:
            self._works.start(job_id, self._lay, job_id)

    def _lay(self, job_id: int) -> None:
        """Create pages where a route of a running job has none. A job without pages and assignments has
        just started, has ended, or has requests that were released."""
        with connected():
            job = Job.get_by_id(job_id)
            self._overrides[job_id] = job.overrides
            begins = not self._placed.get(job_id) and not pages.any_left(job_id)
            ways = request_rows.ways(job_id) if job.overrides else []
        for way in (*([OWN_WAY] if begins else []), *ways):
            with connected():
                if pages.any_left(job_id, way):
                    continue
            mark: int | None = 0
            while mark is not None:
                mark = retry_while_unavailable(pages.lay_step, job_id, way, mark)
                give_way()
        if begins and not retry_while_unavailable(pages.any_left, job_id):
            if job.ask_once:
                finalize.fan_out(job_id)
            retry_while_unavailable(finalize.complete, job_id)

    def write_live(self) -> None:
        """Store in each job the combined live state of its runs, as last read."""
        said = {
            job_id: [live_state.decode(one) for one in lanes.values() if one]
            for job_id, lanes in sorted(self._placed.items())
        }
        if any(said.values()):
            with connected(), database.atomic():
                for job_id, lives in said.items():
                    if lives:
                        live_state.write(job_id, live_state.merged(live_state.fresh(lives)))

    def stop(self) -> None:
        self._works.stop(0)


def _asked(ids: list[int]) -> list[Job]:
    """The jobs with these ids, those of a higher priority first."""
    fields = Job.id, Job.config, Job.concurrency, Job.spread, Job.overrides
    jobs = Job.select(*fields, ApiConfig.concurrency).join(ApiConfig).where(Job.id.in_(ids))
    return list(jobs.order_by(Job.priority.desc(), Job.id)) if ids else []


def _bound(job: Job, most: int) -> int:
    """How many workers, at most ``most``, can have a call of the job in flight."""
    bounds = [most, job.concurrency]
    if not job.spread and not job.overrides:
        bounds.append(job.config.concurrency)
    return min(bound for bound in bounds if bound is not None)

"""Assigns job runs to workers; runs in the coordinator. It creates pages, and assigns every running job to
the workers that it has work for.

All state is read from the database again at each look, so that the next coordinator can continue.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping

import peewee

from ..core.clock import give_way
from ..core.domain import JobStatus, Service
from ..runner import finalize, live_state
from ..runner.task_group import TaskGroup
from ..store import requests as request_rows
from ..store.cluster import assignments, pages, workers
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
        self._page_tasks = TaskGroup(ended)  # they create pages
        self._running: list[int] = []  # ids
        self._assigned: dict[int, dict[str, str]] = {}
        self._alive: list[Known] = []
        self._jobs: dict[int, Job] = {}  # that run, those of a higher priority first
        self._free: dict[int, int] = {}  # pages, counted as far as matters
        self._overrides: dict[int, int] = {}  # of each job, when its pages were created

    def __len__(self) -> int:
        """Those that make calls: one that waits for batches keeps no other job from running."""
        return len(self._running) - sum(not _is_divided(job) for job in self._jobs.values())

    def busy(self, job_id: int) -> bool:
        """Whether a worker has an assignment of the job: the job cannot be ended or removed yet."""
        return bool(self._assigned.get(job_id)) or job_id in self._page_tasks

    def begin(self, job_id: int) -> None:
        """Create the pages of a job that has started."""
        if job_id not in self._running:
            self._running.append(job_id)
        self._create_pages(job_id)

    def steer(self, statuses: Mapping[int, JobStatus]) -> None:
        """Read the current state."""
        self._running = [id_ for id_, status in statuses.items() if status == JobStatus.RUNNING]
        self._assigned = assignments.live_states()
        self._alive = [worker for worker in workers.alive() if worker.room]
        self._jobs = {job.id: job for job in _asked(self._running)}
        self._free = {id_: pages.free(id_, len(self._alive)) for id_ in self._jobs}

    def adjust(self) -> None:
        """Assign jobs to more workers where there is work for them."""
        load = Counter(worker for runs in self._assigned.values() for worker in runs)
        for job_id, job in self._jobs.items():
            if not _is_divided(job):
                self._assign_leader(job, load)
                continue
            if self._free[job_id] or self._assigned.get(job_id):
                self._assign(job, load)
            if job.overrides != self._overrides.get(job_id, 0):
                self._create_pages(job_id)

    def _assign_leader(self, job: Job, load: Counter) -> None:
        """Assign a job that goes through batch APIs to one worker, which leads its parts."""
        here = self._assigned.setdefault(job.id, {})
        for worker in sorted(self._alive, key=lambda worker: load[worker.id]):
            if here or self._add(job, worker, load):
                return

    def _assign(self, job: Job, load: Counter) -> None:
        here = self._assigned.setdefault(job.id, {})
        # assignments that can make no call do not count against the job's maximum
        working = sum(not live_state.waits(live) for live in here.values())
        wanted = min(working + self._free[job.id], _max_workers(job, len(self._alive)))
        others = [worker for worker in self._alive if worker.id not in here]
        for worker in sorted(others, key=lambda worker: load[worker.id]):
            if working >= wanted:
                return
            if working and load[worker.id] >= worker.room:
                continue  # the first assignment of a job ignores the workers' maximum
            working += self._add(job, worker, load)

    def _add(self, job: Job, worker: Known, load: Counter) -> bool:
        """Assign the job to the worker; False if the worker has gone."""
        try:
            assignments.add(job.id, worker.id)
        except peewee.IntegrityError:
            return False
        self._assigned[job.id][worker.id] = ""
        load[worker.id] += 1
        self._wake(worker.name, job.id)
        return True

    def _create_pages(self, job_id: int) -> None:
        if job_id not in self._page_tasks:
            self._page_tasks.start(job_id, self._create_missing_pages, job_id)

    def _create_missing_pages(self, job_id: int) -> None:
        """Create pages where a route of a running job has none. A job without pages and assignments has
        just started, has ended, or has requests that were released."""
        with connected():
            job = Job.get_by_id(job_id)
            if not _is_divided(job):
                return
            self._overrides[job_id] = job.overrides
            begins = not self._assigned.get(job_id) and not pages.any_left(job_id)
            ways = request_rows.ways(job_id) if job.overrides else []
        for way in [OWN_WAY, *ways] if begins else ways:
            with connected():
                if pages.any_left(job_id, way):
                    continue
            mark: int | None = 0
            while mark is not None:
                mark = retry_while_unavailable(pages.create_step, job_id, way, mark)
                give_way()
        if begins and not retry_while_unavailable(pages.any_left, job_id):
            if job.ask_once:
                finalize.fan_out(job_id)
            retry_while_unavailable(finalize.complete, job_id)

    def write_live(self) -> None:
        """Store in each job the combined live state of its runs, as last read."""
        live = {
            job_id: [live_state.decode(one) for one in runs.values() if one]
            for job_id, runs in sorted(self._assigned.items())
        }
        if any(live.values()):
            with connected(), database.atomic():
                for job_id, lives in live.items():
                    if lives:
                        live_state.write(job_id, live_state.merged(live_state.fresh(lives)))

    def stop(self) -> None:
        self._page_tasks.stop(0)


def _is_divided(job: Job) -> bool:
    """Whether workers share a job: not if it goes through batch APIs."""
    return Service(job.service) is Service.NOW


def _asked(ids: list[int]) -> list[Job]:
    """The jobs with these ids, those of a higher priority first."""
    fields = Job.id, Job.config, Job.concurrency, Job.spread, Job.overrides, Job.service
    jobs = Job.select(*fields, ApiConfig.concurrency).join(ApiConfig).where(Job.id.in_(ids))
    return list(jobs.order_by(Job.priority.desc(), Job.id)) if ids else []


def _max_workers(job: Job, limit: int) -> int:
    """How many workers, at most ``limit``, can have a call of the job in flight."""
    bounds = [limit, job.concurrency]
    if not job.spread and not job.overrides:
        bounds.append(job.config.concurrency)
    return min(bound for bound in bounds if bound is not None)

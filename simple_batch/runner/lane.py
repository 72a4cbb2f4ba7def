"""A lane runs one job: pages of pending requests through the pool, outcomes to the recorder."""

import logging
import time
from collections import deque
from collections.abc import Iterator

import gevent
import msgspec

from ..clock import now_ms
from ..domain import Attempt, JobStatus, Outcome, Request
from ..engine.pool import Pool
from ..engine.retry import Policy
from ..settings import Settings
from ..store import jobs as job_rows
from ..store import requests as request_rows
from ..store.database import connected
from ..store.models import Job
from ..store.results import Recorded
from .providers import Provider
from .recorder import Recorder

log = logging.getLogger(__name__)

PAGE = 200
RATE_WINDOW_S = 10
SHOWN_INDICES = 1000


class Lane:
    """One run of a job, from its first pending request to its last or to a stop."""

    def __init__(self, settings: Settings, job: Job, provider: Provider, recorder: Recorder):
        self.job_id = job.id
        self._total = job.total
        self._settings = settings
        self._provider = provider
        self._recorder = recorder
        self._stopping = False
        self._chosen = job.concurrency, job.max_retries
        self._finished: deque[tuple[int, int]] = deque()  # (second, requests finished in it)
        self._pool = Pool(
            encode=provider.encode,
            transport=provider,
            governor=provider.governor,
            policy=self._policy(job),
            ceiling=job.concurrency,
            lane=job.id,
            record_attempts=self._record_attempts,
        )

    def adjust(self, job: Job) -> None:
        """Take up what was edited while the job runs."""
        chosen = job.concurrency, job.max_retries
        if chosen != self._chosen:
            self._chosen = chosen
            self._pool.adjust(self._policy(job), job.concurrency)

    def _policy(self, job: Job) -> Policy:
        settings = self._settings
        return Policy(
            max_retries=job.max_retries,
            backoff_base_s=settings.BACKOFF_BASE,
            backoff_max_s=settings.BACKOFF_MAX,
            patience_s=settings.RATE_LIMIT_PATIENCE,
            deadline_s=settings.REQUEST_DEADLINE,
        )

    def run(self) -> None:
        """Run the job to its end, or until ``stop``; changes its status accordingly."""
        while True:
            stop = self._pool.run(self._pending(), self._record)
            self._recorder.flush()
            if stop is not None:
                with connected():
                    job_rows.transition(
                        self.job_id,
                        JobStatus.PAUSED,
                        (JobStatus.RUNNING,),
                        stop.reason,
                        stop.detail,
                    )
                return
            if self._stopping:
                return
            with connected():
                if self._complete():
                    return

    def _complete(self) -> bool:
        """Finish the job if every request has a result; False where some were given back
        meanwhile (retried by the user) and another pass is due."""
        job = Job.get_by_id(self.job_id)
        self._total = job.total
        if job.succeeded + job.failed + job.cancelled < job.total:
            return False
        if job_rows.transition(self.job_id, JobStatus.FINALIZING, (JobStatus.RUNNING,)):
            job_rows.transition(self.job_id, JobStatus.COMPLETED, (JobStatus.FINALIZING,))
        return True

    def stop(self) -> None:
        """No new calls; ``run`` returns when those in flight have ended."""
        if not self._stopping:
            self._stopping = True
            gevent.spawn(self._pool.stop)

    def kill(self) -> None:
        """Like ``stop``, but calls still in flight after CANCEL_GRACE are cut."""
        self._stopping = True
        self._pool.kill(self._settings.CANCEL_GRACE)

    def live(self) -> str:
        """The job's ``live`` column: what only the running process knows, as JSON."""
        state = {
            "at": now_ms(),
            "in_flight": len(self._pool.in_flight),
            "retrying": len(self._pool.retrying),
            "rate": round(self.rate(), 3),
            "in_flight_idx": sorted(self._pool.in_flight)[:SHOWN_INDICES],
            "retrying_idx": sorted(self._pool.retrying)[:SHOWN_INDICES],
            "governor": self._provider.governor.state(),
        }
        return msgspec.json.encode(state).decode()

    def rate(self) -> float:
        """Requests finished per second over the last seconds."""
        now = time.monotonic()
        while self._finished and self._finished[0][0] < now - RATE_WINDOW_S:
            self._finished.popleft()
        if not self._finished:
            return 0.0
        span = max(1.0, now - self._finished[0][0])
        return sum(count for _, count in self._finished) / span

    def _pending(self) -> Iterator[Request]:
        mark = 0
        while mark < self._total and not self._stopping:
            with connected():
                page, mark = request_rows.pending_page(self.job_id, mark, self._total, PAGE)
            for request in page:
                self._recorder.wait_until_well()
                yield request
            if not page:
                gevent.sleep(0)  # a long finished stretch must not hold up the others

    def _record(self, outcome: Outcome) -> None:
        second = int(time.monotonic())
        if self._finished and self._finished[-1][0] == second:
            self._finished[-1] = second, self._finished[-1][1] + 1
        else:
            self._finished.append((second, 1))
        self._hand_over(outcome.index, outcome.attempts, outcome)

    def _record_attempts(self, index: int, attempts: tuple[Attempt, ...]) -> None:
        self._hand_over(index, attempts, None)

    def _hand_over(self, index, attempts, outcome) -> None:
        self._recorder.record(
            Recorded(
                job_id=self.job_id,
                alias=self._provider.alias,
                prices=self._provider.prices,
                index=index,
                attempts=attempts,
                outcome=outcome,
            )
        )

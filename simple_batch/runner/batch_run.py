"""Runs one job through providers' batch APIs: cuts its requests into parts, sends and polls them, merges
their results, and starts over until each request has a result.

From ``rest_now_at`` on, and for requests that no batch can take, an inner job run makes calls for what is in
no part, while batches that are ending are waited for and merged.
"""

import logging
import time
from collections.abc import Callable

import gevent
import msgspec
from gevent.event import Event

from ..core.domain import JobStatus, Waiting
from ..core.errors import ConfigurationError
from ..core.messages import translatable
from ..engine.breaker import PauseReason
from ..store import batch_parts
from ..store import jobs as job_rows
from ..store.database import retry_while_unavailable
from ..store.models import Job
from ..store.requests import RouteKey
from . import finalize
from .batch_configs import BatchConfigs
from .batch_deadline import BatchDeadline
from .job_parts import JobParts
from .job_run import JobRun
from .live_state import LiveState
from .part_planner import PartPlanner
from .part_sender import NotLeading
from .recorder import ResultSink

log = logging.getLogger(__name__)

LOOK_S = 1.0  # between two looks at the parts
DISK_S = 10.0  # until a file that could not be written is tried again
MOST_WAITING = 2  # parts of each config that are cut and cannot be sent yet
MANY = 1_000  # requests that are sent again before other parts have ended


class BatchRun:
    """As JobRun. ``calls`` is the run that makes calls, with a request source that leaves out what is in
    parts."""

    def __init__(
        self,
        job: Job,
        parts: JobParts,
        planner: PartPlanner,
        calls: JobRun,
        sink: ResultSink,
        deadline: BatchDeadline,
        configs: BatchConfigs,
    ):
        self.job_id = job.id
        self._parts = parts
        self._planner = planner
        self._calls = calls
        self._sink = sink
        self._deadline = deadline
        self._configs = configs
        self._passed_over = 0  # configs, as seen last
        # what was being planned when a process ended does not wait for the other parts
        self._plans_at_once = True
        self._ask_once = job.ask_once
        self._rest_now = job.rest_now_at is not None
        self._withdrawn = False
        self._merging = False
        self._stopping = False
        self._stop: PauseReason | None = None
        self._wakes: list[Event] = []  # of each loop
        self._plannable = True  # requests may be there that were in no part when it was last looked
        self._let_go = 0
        self._counts: dict[str, int] = {}
        self._counted_at = 0.0
        parts.plannable = lambda: self._plannable or planner.under_way

    # --- as JobRun ----------------------------------------------------------------------------

    @property
    def slots(self):
        return self._calls.slots

    @property
    def spend_limit(self):
        return self._calls.spend_limit

    @property
    def counts(self) -> bool:
        """Whether it uses up one of MAX_RUNNING_JOBS: not while it waits for providers."""
        return self._calls.calls > 0

    @property
    def width(self) -> int:
        return self._calls.width

    @property
    def calls(self) -> int:
        """Calls in flight."""
        return self._calls.calls

    @property
    def waits(self) -> bool:
        return False

    @property
    def waiting(self) -> Waiting | None:
        return self._calls.waiting

    def ready(self, key: RouteKey) -> bool:
        return self._calls.ready(key)

    def give_back_unused(self) -> None:
        """Nothing to do: no requests are shared with other workers."""

    def start_new_routes(self) -> None:
        self._calls.start_new_routes()

    def adjust(self, job: Job) -> None:
        """Apply what was edited while the job runs."""
        self._calls.adjust(job)
        if job.rest_now_at is not None and not self._rest_now:
            self._rest_now = True
            self._wake()

    def stop(self) -> None:
        """Send and ask nothing more; ``run`` returns when the calls in flight have ended. Open batches go
        on at their providers."""
        self._stopping = True
        self._calls.stop()
        self._wake()

    def kill(self) -> None:
        """The same, but calls still in flight after CANCEL_GRACE are cut."""
        self._stopping = True
        self._calls.kill()
        self._wake()

    def live(self) -> LiveState:
        """How it stands now."""
        if time.monotonic() - self._counted_at > 1.0:
            self._counted_at = time.monotonic()
            found = batch_parts.counts(self.job_id)
            self._counts = {state.value: count for state, count in found.items()}
        return msgspec.structs.replace(self._calls.live(), parts=self._counts or None)

    # --- the run ------------------------------------------------------------------------------

    def run(self) -> None:
        """Run the job to its end, or until ``stop``; changes its status accordingly."""
        self._parts.recover()
        loops = [gevent.spawn(self._repeat, step) for step in (self._send, self._poll, self._merge)]
        try:
            gevent.joinall(loops, raise_error=True)
        finally:
            self._stopping = True
            self._wake()
            gevent.killall(loops)
        self._planner.abandon()
        self._sink.flush()
        if self._stop is not None:
            retry_while_unavailable(
                job_rows.stopped, self.job_id, *msgspec.structs.astuple(self._stop)
            )

    def _repeat(self, step: Callable[[], bool]) -> None:
        """Repeat a step until the run stops; wait where it had nothing to do."""
        noted = False
        wake = Event()
        self._wakes.append(wake)
        while not self._stopping:
            wake.clear()
            try:
                busy = step()
            except ConfigurationError as error:
                self.end(PauseReason("auth", error.text))
                return
            except NotLeading:
                log.warning("job %s: its parts are led by another process now", self.job_id)
                self.stop()
                return
            except OSError as error:
                log.error(
                    "job %s: the files of its parts cannot be written: %s", self.job_id, error
                )
                if not noted:
                    self._parts.note_disk(error)
                noted = True
                wake.wait(DISK_S)
                continue
            if not busy:
                wake.wait(LOOK_S)

    def _wake(self) -> None:
        """Let each loop look now."""
        for wake in self._wakes:
            wake.set()

    def end(self, stop: PauseReason | None) -> None:
        """Stop the run for a reason that pauses the job, if there is one."""
        if stop is not None:
            if self._stop is None:
                self._stop = stop
            self.stop()

    def _poll(self) -> bool:
        ended, stop = self._parts.poll()
        self.end(stop)
        if ended:
            self._wake()
        return False

    def _merge(self) -> bool:
        self._merging = True
        try:
            busy, stop = self._parts.merge_next()
        finally:
            self._merging = False
        if busy:
            self._plannable = True
            self._wake()
        self.end(stop)
        return busy

    def _send(self) -> bool:
        look = self._deadline.look()
        if look.due:
            self._rest_now = True
        if self._rest_now:
            return self._send_rest()
        if not look.creates:
            self._planner.abandon()
            self._parts.hold_back()
        self._look_at_configs()
        busy, stop = self._parts.send_next(self._planner.growing)
        self.end(stop)
        if busy or self._stopping:
            return True
        if look.creates and self._may_plan():
            part = self._planner.next_part()
            if part is not None:
                self.end(self._parts.send(part))
            return True
        return self._complete_or_call()

    def _look_at_configs(self) -> None:
        """Where a config is passed over from now on, requests that were to go there are divided again."""
        if self._configs.changes != self._passed_over:
            self._passed_over = self._configs.changes
            self._planner.abandon()
            self._parts.release_closed()
            self._plannable = self._plans_at_once = True

    def _may_plan(self) -> bool:
        """Whether to cut the next part. Requests that came back wait for the other parts, unless
        there are many."""
        if self._parts.let_go != self._let_go:
            self._let_go, self._plannable = self._parts.let_go, True
        if not (self._planner.under_way or self._plannable):
            return False
        counts = retry_while_unavailable(batch_parts.counts, self.job_id)
        most = MOST_WAITING * self._configs.count
        unsent = sum(counts.get(state, 0) for state in batch_parts.UNSENT)
        if unsent - len(self._planner.growing) >= most:
            return False
        if self._planner.under_way:
            return True
        self._plannable = False
        self._sink.flush()
        waits = not self._plans_at_once and self._parts.others_under_way()
        self._plans_at_once = False
        return self._left() >= (MANY if waits else 1)

    def _left(self) -> int:
        """Requests without a result that are in no part."""
        return retry_while_unavailable(_outside_parts, self.job_id)

    def _under_way(self) -> bool:
        return retry_while_unavailable(batch_parts.any_under_way, self.job_id)

    def _complete_or_call(self) -> bool:
        """Where nothing is under way: finish the job, or make calls for what no batch can take."""
        # a part that is merged may still be why the job pauses
        if self._merging or self._under_way():
            return False
        if self._complete():
            return True
        self._plannable = True  # requests came back meanwhile
        return self._planner.left_for_calls > 0 and self._make_calls()

    def _complete(self) -> bool:
        self._sink.flush()
        if self._ask_once:
            finalize.fan_out(self.job_id)
        if retry_while_unavailable(finalize.complete, self.job_id) is not None:
            return False
        self.stop()
        return True

    # --- without batches ----------------------------------------------------------------------

    def _send_rest(self) -> bool:
        if not self._withdrawn:
            self._planner.abandon()
            self._parts.withdraw()
            self._withdrawn = True
            self._note_rest()
        else:
            self._parts.withdraw()  # what was created meanwhile, or may have been
        return self._make_calls()

    def _note_rest(self) -> None:
        left = self._left()
        detail = translatable(
            "What is left is sent now, each request by a call. Requests: %(count)s",
            count=f"{left:,}",
        )
        retry_while_unavailable(job_rows.note, self.job_id, job_rows.PARTS, detail)

    def _make_calls(self) -> bool:
        """Send what is in no part."""
        if self._left():
            self._calls.run()
            job = retry_while_unavailable(Job.get_by_id, self.job_id)
            if job.status != JobStatus.RUNNING:
                self.stop()
            return False
        return not (self._merging or self._under_way()) and self._complete()


def _outside_parts(job_id: int) -> int:
    job = (
        Job.select(Job.total, Job.succeeded, Job.failed, Job.cancelled)
        .where(Job.id == job_id)
        .get()
    )
    ended = job.succeeded + job.failed + job.cancelled
    return job.total - ended - batch_parts.in_parts(job_id)

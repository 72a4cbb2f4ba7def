"""Background tasks of the process that runs a database's jobs, each in a separate greenlet."""

import logging
import time
from collections.abc import Callable
from functools import partial

from ..core.context import Vault
from ..core.periodic_task import PeriodicTask
from ..core.settings import Settings
from ..engine.answer_outcome import outcome_of
from ..store import column_keys, outcome_fill, search
from ..store.database import connected, log_failure
from .hooks import Hooks
from .notifier import Notifier

log = logging.getLogger(__name__)

EVERY_S = 30.0
AFTER_FAILURE_S = 1.0
STEP = 100  # rows a transaction: pages and the recorder get their turn between two
REST_S = 0.02  # between two steps of indexing
IDLE_S = 1.0  # where nothing is left to index
FILL_SHARE = 0.2  # of the time that outcomes of old results are filled in
FILL_REST_S = 0.05  # between two steps of that, at least
FILL_IDLE_S = 60.0  # where nothing is left of it: only copy-db brings more


class BackgroundTasks:
    def __init__(self, settings: Settings, vault: Vault, hooks: Hooks):
        self._notifier = Notifier(settings, vault)
        self._cleanup = _periodic(
            hooks.clean_up, "what was deleted or has expired could not be removed"
        )
        backup = _periodic(hooks.back_up, "the backup that is due could not be made")
        self._all = {
            "indexer": _Indexer().task,
            "outcomes": _OutcomeFill().task,
            "keys": _KeyBuilder().task,
            "sweeper": self._cleanup,
            "keeper": backup,
            "postman": self._notifier.task,
        }
        self.tasks: dict[str, PeriodicTask] = {}  # by name, while this process runs them

    def start(self) -> None:
        self.tasks = self._all
        for task in self.tasks.values():
            task.start()

    def sweep(self) -> None:
        """Remove now what was deleted or has expired."""
        self._cleanup.wake()

    def drop(self) -> None:
        """Stop the tasks: another process runs them from now on."""
        for task in self.tasks.values():
            task.stop()
        self.tasks = {}

    def stop(self, timeout_s: float) -> None:
        """Stop the tasks at the end of the process, then send the notifications that are due."""
        if self.tasks:
            self.drop()
            self._notifier.last_round(timeout_s)


def _periodic(work: Callable[[], None], complaint: str) -> PeriodicTask:
    """Every half minute; ``complaint`` is logged if the work fails."""
    on_error = partial(log_failure, log, complaint)
    return PeriodicTask(work, EVERY_S, on_error, rest_s=AFTER_FAILURE_S)


class _Indexer:
    """Builds the search indexes, in steps."""

    def __init__(self):
        self._busy = False
        self.task = PeriodicTask(
            self._step,
            lambda: REST_S if self._busy else IDLE_S,
            partial(log_failure, log, "the text of a job cannot be indexed"),
        )

    def _step(self) -> None:
        """One step for each job that has an index."""
        busy, self._busy = False, False
        with connected():
            for job_id in search.behind():
                busy |= search.index_step(job_id, STEP)
        self._busy = busy


class _KeyBuilder:
    """Builds the sort keys of columns of results, in steps."""

    def __init__(self):
        self._rest_s = IDLE_S
        self.task = PeriodicTask(
            self._step,
            lambda: self._rest_s,
            partial(log_failure, log, "the values of a column cannot be sorted"),
            rest_s=AFTER_FAILURE_S,
        )

    def _step(self) -> None:
        """One step for the column that was used last; half of the time is left to others."""
        began, self._rest_s = time.monotonic(), IDLE_S
        with connected():
            for column_id in column_keys.behind():
                if column_keys.build_step(column_id):
                    self._rest_s = max(REST_S, time.monotonic() - began)
                    break


class _OutcomeFill:
    """Fills in the outcomes of results of older versions, in steps; it takes a share of the time, so
    that running jobs are not held up."""

    def __init__(self):
        self._rest_s = FILL_IDLE_S
        self.task = PeriodicTask(
            self._step,
            lambda: self._rest_s,
            partial(log_failure, log, "the outcomes of old results cannot be filled in"),
            rest_s=AFTER_FAILURE_S,
        )

    def _step(self) -> None:
        began, self._rest_s = time.monotonic(), FILL_IDLE_S
        with connected():
            job_id = outcome_fill.next_job()
            if job_id is None:
                return
            outcome_fill.fill_step(job_id, STEP, _read)
        took = time.monotonic() - began
        self._rest_s = max(FILL_REST_S, took * (1 - FILL_SHARE) / FILL_SHARE)


def _read(url: str, response: bytes) -> tuple[str, str | None]:
    found = outcome_of(url, response)
    return found.outcome.value, found.finish_reason

"""Background tasks of the process that runs a database's jobs, each in a separate greenlet."""

import logging
from collections.abc import Callable
from functools import partial

from ..core.context import Vault
from ..core.periodic_task import PeriodicTask
from ..core.settings import Settings
from ..store import search
from ..store.database import connected, log_failure
from .hooks import Hooks
from .notifier import Notifier

log = logging.getLogger(__name__)

EVERY_S = 30.0
AFTER_FAILURE_S = 1.0
STEP = 100  # rows a transaction: pages and the recorder get their turn between two
REST_S = 0.02  # between two steps of indexing
IDLE_S = 1.0  # where nothing is left to index


class BackgroundTasks:
    def __init__(self, settings: Settings, vault: Vault, duties: Hooks):
        self._notifier = Notifier(settings, vault)
        self._sweeper = _periodic(
            duties.sweeper, "what was deleted or has expired could not be removed"
        )
        keeper = _periodic(duties.keeper, "the backup that is due could not be made")
        self._all = {
            "indexer": _Indexer().task,
            "sweeper": self._sweeper,
            "keeper": keeper,
            "postman": self._notifier.task,
        }
        self.tasks: dict[str, PeriodicTask] = {}  # by name, while this process runs them

    def start(self) -> None:
        self.tasks = self._all
        for task in self.tasks.values():
            task.start()

    def sweep(self) -> None:
        """Remove now what was deleted or has expired."""
        self._sweeper.wake()

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

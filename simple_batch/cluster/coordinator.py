"""The coordinator: the worker that holds the lease. It decides about jobs, assigns job runs to workers,
removes dead workers and runs the maintenance."""

import logging
from collections.abc import Callable
from functools import partial

from ..core.context import Vault
from ..core.periodic_task import PeriodicTask
from ..core.settings import Settings
from ..runner.background import BackgroundTasks
from ..runner.batch_jobs import BatchJobs
from ..runner.hooks import Hooks
from ..runner.providers import Providers
from ..runner.scheduler import Scheduler
from ..store.cluster import workers
from ..store.database import connected, log_failure
from .placement import Placement

log = logging.getLogger(__name__)

TICK_S = 0.5
REAP_EVERY_S = 2.0
LIVE_EVERY_S = 1.0


class Coordinator:
    """``wake(worker, job_id)`` notifies a worker of a new assignment. ``may_declare_dead()`` says whether this
    worker may declare others dead. ``batches`` ends and merges parts of jobs that no worker runs."""

    def __init__(
        self,
        settings: Settings,
        vault: Vault,
        hooks: Hooks,
        providers: Providers,
        wake: Callable[[str, int], None],
        may_declare_dead: Callable[[], bool],
        batches: BatchJobs,
    ):
        self._may_declare_dead = may_declare_dead
        self._placement = Placement(wake, self._ended)
        self.scheduler = Scheduler(
            settings,
            providers,
            self._placement,
            hooks,
            lambda: None,
            tick_s=TICK_S,
            end_parts=batches.end,
            tend_parts=batches.tend,
        )
        self._background = BackgroundTasks(settings, vault, hooks)
        on_error = partial(log_failure, log, "the workers cannot be looked after")
        self._tasks = (
            PeriodicTask(self._reap_dead_workers, REAP_EVERY_S, on_error),
            PeriodicTask(self._placement.write_live, LIVE_EVERY_S, on_error),
        )

    def start(self) -> None:
        self.scheduler.start()
        self._background.start()
        for task in self._tasks:
            task.start()

    def stop(self) -> None:
        """Stop coordinating. Jobs keep their status: the next holder of the lease continues the
        interrupted work."""
        for task in self._tasks:
            task.stop()
        self.scheduler.stop(0)
        self._placement.stop()
        self._background.drop()

    def _ended(self) -> None:
        self.scheduler.ended()

    def _reap_dead_workers(self) -> None:
        if not self._may_declare_dead():
            return
        with connected():
            dead = workers.reap()
        for worker in dead:
            log.warning("worker %s (%s) is dead: others take its pages", worker.name, worker.id)
        if dead:
            self.scheduler.wake()

"""Background tasks of the process that runs a database's jobs, each in a separate greenlet."""

import logging
from collections.abc import Callable

import gevent
from gevent.event import Event

from ..core.context import Vault
from ..core.settings import Settings
from ..store import search
from ..store.database import connected, log_failure
from .hooks import Hooks
from .notifier import Notifier

log = logging.getLogger(__name__)

EVERY_S = 30.0


class BackgroundTasks:
    def __init__(self, settings: Settings, vault: Vault, duties: Hooks):
        self._sweeper = PeriodicTask(
            duties.sweeper, "what was deleted or has expired could not be removed"
        )
        self._keeper = PeriodicTask(duties.keeper, "the backup that is due could not be made")
        self._postman = Notifier(settings, vault)
        self.greenlets: dict[str, gevent.Greenlet] = {}  # by name, while this process runs them

    def start(self) -> None:
        works = {
            "indexer": index_searches,
            "sweeper": self._sweeper.run,
            "keeper": self._keeper.run,
            "postman": self._postman.run,
        }
        self.greenlets = {name: gevent.spawn(work) for name, work in works.items()}

    def sweep(self) -> None:
        """Remove now what was deleted or has expired."""
        self._sweeper.wake()

    def drop(self) -> None:
        """Stop the tasks: another process runs them from now on."""
        gevent.killall(list(self.greenlets.values()))
        self.greenlets = {}

    def stop(self, timeout_s: float) -> None:
        """Stop the tasks at the end of the process, then send the notifications that are due."""
        if self.greenlets:
            self.drop()
            self._postman.last_round(timeout_s)


class PeriodicTask:
    """Runs ``work()`` every half minute, and soon after it is requested; ``complaint`` is logged if
    it fails. ``run`` is the body of a greenlet."""

    def __init__(self, work: Callable[[], None], complaint: str):
        self._work = work
        self._complaint = complaint
        self._wake = Event()

    def wake(self) -> None:
        """Run the work now."""
        self._wake.set()

    def run(self) -> None:
        while True:
            try:
                self._work()
            except Exception:
                log_failure(log, self._complaint)
                gevent.sleep(1)
            self._wake.wait(EVERY_S)
            self._wake.clear()


STEP = 100  # rows a transaction: pages and the recorder get their turn between two
REST_S = 0.02  # between two steps
IDLE_S = 1.0


def index_searches() -> None:
    """Build the search indexes. Runs forever in a separate greenlet."""
    while True:
        try:
            busy = _index_step()
        except Exception:
            log_failure(log, "the text of a job cannot be indexed")
            busy = False
        gevent.sleep(REST_S if busy else IDLE_S)


def _index_step() -> bool:
    """One step for each job that has an index. Returns True if there is more to do."""
    busy = False
    with connected():
        for job_id in search.behind():
            busy |= search.index_step(job_id, STEP)
    return busy

"""Runs at most one greenlet per job and pauses the job if it crashes."""

import logging
from collections.abc import Callable

import gevent

from ..core.domain import JobStatus
from ..core.log import context as logging_context
from ..store import jobs as job_rows
from ..store.database import is_transient, log_failure, retry_while_unavailable

log = logging.getLogger(__name__)


class TaskGroup:
    """``ended()`` is called when a greenlet has ended."""

    def __init__(self, ended: Callable[[], None]):
        self._ended = ended
        self._greenlets: dict[int, gevent.Greenlet] = {}

    def __contains__(self, job_id: int) -> bool:
        return job_id in self._greenlets

    def start(self, job_id: int, work: Callable, *args) -> None:
        self._greenlets[job_id] = gevent.spawn(self._run, job_id, work, *args)

    def stop(self, timeout_s: float) -> None:
        """Wait for all; what is not done by then is broken off."""
        gevent.joinall(list(self._greenlets.values()), timeout=timeout_s)
        gevent.killall(list(self._greenlets.values()))

    def _run(self, job_id: int, work: Callable, *args) -> None:
        logging_context.set(f"job {job_id}")
        try:
            work(*args)
        except Exception as error:
            log_failure(log, f"job {job_id}: the program failed")
            if not is_transient(error):  # else it keeps its status and is taken up again
                detail = f"{type(error).__name__}: {error}"[:500]
                retry_while_unavailable(pause, job_id, "internal", detail)
            gevent.sleep(1)  # a fault that comes back at once must not fill the log
        finally:
            self._greenlets.pop(job_id, None)
            self._ended()


def pause(job_id: int, reason: str, detail: str) -> None:
    """Pause a job that cannot go on by itself."""
    job_rows.transition(
        job_id, JobStatus.PAUSED, (JobStatus.RUNNING, JobStatus.QUEUED), reason, detail
    )

"""Keeps the full-text indexes of searched jobs up to date, a little at a time."""

import logging

import gevent

from ..store import search
from ..store.database import complain, connected

log = logging.getLogger(__name__)

STEP = 100  # rows a transaction: pages and the recorder get their turn between two
REST_S = 0.02  # between two steps
IDLE_S = 1.0


def run() -> None:
    """Works for ever, in a greenlet of its own."""
    while True:
        try:
            busy = _look()
        except Exception:
            complain(log, "the text of a job cannot be indexed")
            busy = False
        gevent.sleep(REST_S if busy else IDLE_S)


def _look() -> bool:
    """One step for each job that has an index; True where there is more to do."""
    busy = False
    with connected():
        for job_id in search.behind():
            busy |= search.index_step(job_id, STEP)
    return busy

"""Splits a change of millions of rows into short transactions, so that the event loop, the pages and other
jobs continue meanwhile."""

import time
from collections.abc import Callable

from .database import retry_while_unavailable
from .models import database

STEP_S = 0.02  # target duration of a transaction on SQLite: it blocks the loop that long
SERVER_STEP_S = 0.1  # the same on a server: other greenlets work meanwhile
MAX_ROWS = 20_000  # of a transaction
# A transaction on a busy machine or server takes its time with one row, too. Without a least number of rows, a
# change would go on row by row there.
MIN_ROWS, SERVER_MIN_ROWS = 5, 100
REST = (
    0.25  # pause after a transaction, as a part of its duration, for other greenlets and processes
)
CHECKPOINT_S = 0.5  # of transactions between two checkpoints


class Pace:
    """``with Pace() as pace:``; ``pace.rows`` is the size of the next transaction, adjusted so that it
    takes about STEP_S; at first the ``rows`` of the constructor."""

    def __init__(self, rows: int = 500):
        self.rows = rows
        self._unchecked_s = 0.0

    def __enter__(self) -> "Pace":
        return self

    def __exit__(self, *_) -> None:
        database.checkpoint()

    def step(self, work: Callable, *args):
        """Call ``work(*args)``, a transaction of at most ``rows`` that may be repeated, and pause;
        returns its result."""
        began = time.monotonic()
        found = retry_while_unavailable(_without_checkpoint, work, *args)
        took = time.monotonic() - began
        self.rows = _next_rows(self.rows, took)
        self._unchecked_s += took
        if self._unchecked_s > CHECKPOINT_S:
            self._unchecked_s = 0.0
            database.checkpoint()
        time.sleep(min(1.0, max(1e-4, REST * took)))
        return found


def _next_rows(rows: int, took_s: float) -> int:
    """Rows of the next transaction, after one of ``rows`` has taken ``took_s``."""
    target_s, least = (SERVER_STEP_S, SERVER_MIN_ROWS) if database.server else (STEP_S, MIN_ROWS)
    # a slow one (a busy machine) says little: it halves the next one at most
    wanted = round(rows * min(2.0, max(0.5, target_s / (took_s + 1e-6))))
    return min(MAX_ROWS, max(least, wanted))


def _without_checkpoint(work: Callable, *args):
    with database.without_checkpoint():
        return work(*args)

"""How a change of millions of rows is cut into transactions, so that the loop, the pages and other
jobs go on beside it."""

import time

STEP_S = 0.02  # a transaction is to take; on SQLite the loop stands still that long
FEWEST = 100  # rows
MOST = 20_000
REST = 0.25  # times as long as a transaction took, the others have the loop and the database


class Pace:
    """``rows`` are what the next transaction takes: ``with pace:`` around one measures it."""

    def __init__(self, rows: int = 1_000, step_s: float = STEP_S):
        self.rows = rows
        self._step_s = step_s
        self._began = self._took = 0.0

    def __enter__(self) -> "Pace":
        self._began = time.monotonic()
        return self

    def __exit__(self, *_) -> None:
        self._took = time.monotonic() - self._began
        # a single slow one (a checkpoint, a busy machine) says little; it halves at most
        factor = min(2.0, max(0.5, self._step_s / max(1e-4, self._took)))
        self.rows = min(MOST, max(FEWEST, round(self.rows * factor)))

    def rest(self) -> None:
        """Let the others work."""
        time.sleep(min(1.0, max(1e-4, REST * self._took)))

"""The current time in milliseconds since the epoch, times as text, and a way to yield to other greenlets."""

import time
from datetime import UTC, datetime

# a greenlet holds the others up this long at most, where it offers to yield often enough
TURN_S = 0.005
_last_turn = 0.0


def now_ms() -> int:
    """Milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def iso(ms: int | None) -> str | None:
    """Milliseconds since the epoch as ISO 8601 in UTC, with milliseconds."""
    if ms is None:
        return None
    text = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def give_way() -> None:
    """Yield to other greenlets, including those that wait for sockets and timers, unless they had a turn within the
    last ``TURN_S``: on a busy server a turn of all others takes as long as a page."""
    global _last_turn
    if time.monotonic() - _last_turn < TURN_S:
        return
    time.sleep(0.0001)  # gevent looks at sockets and timers only once in 50 calls of ``sleep(0)``
    _last_turn = time.monotonic()

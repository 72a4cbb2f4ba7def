"""The current time in milliseconds since the epoch, times as text, and a way to yield to other greenlets."""

import time
from datetime import UTC, datetime


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
    """Yield to other greenlets, including those that wait for sockets and timers: gevent checks these
    only once in 50 calls of ``sleep(0)``."""
    time.sleep(0.0001)

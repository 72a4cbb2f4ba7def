"""The current time in milliseconds since the epoch, and a way to yield to other greenlets."""

import time


def now_ms() -> int:
    """Milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def give_way() -> None:
    """Yield to other greenlets, including those that wait for sockets and timers: gevent checks these
    only once in 50 calls of ``sleep(0)``."""
    time.sleep(0.0001)

"""Now, in the unit the house keeps times in."""

import time


def now_ms() -> int:
    """Milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def give_way() -> None:
    """Let other greenlets work, those that wait for sockets and times too: gevent looks at these only
    once in 50 turns of ``sleep(0)``."""
    time.sleep(0.0001)

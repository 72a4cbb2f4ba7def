"""How long the calls of a job take, before it runs: by the latency of tried rows and the limits that are set."""

from typing import NamedTuple

from ..core import context
from ..engine.estimators import DOUBLING_S

MINUTE_S = 60.0


class CallTime(NamedTuple):
    """Seconds: ``low`` where the provider sets no limit, ``high`` where no more calls are made at a time than at
    first. The same where the number of calls at a time is set."""

    low: float
    high: float


def expected(
    rows: int, latency_s: float, concurrency: int | None, rpm: int | None = None
) -> CallTime:
    """``concurrency`` and ``rpm`` are the ceilings that the user has set, None where the engine finds them."""
    settings = context.settings()
    first = concurrency or settings.DEFAULT_CONCURRENCY
    high = latency_s * -(-rows // first)
    low = high
    if concurrency is None:
        low = min(high, _while_it_grows(rows, latency_s, first, settings.MAX_CONCURRENCY))
    least = rows * MINUTE_S / rpm if rpm else 0.0
    return CallTime(max(low, least), max(high, least))


def _while_it_grows(rows: int, latency_s: float, first: int, most: int) -> float:
    """Slow start: the calls at a time double once a second, or with each round of answers where these take
    longer, up to ``most``."""
    round_s = max(DOUBLING_S, latency_s)
    left, width, took = float(rows), float(first), 0.0
    while width < most:
        answered = width * round_s / max(latency_s, 1e-3)
        if answered >= left:
            break
        left, took, width = left - answered, took + round_s, min(float(most), 2.0 * width)
    return took + max(latency_s, left * latency_s / width)

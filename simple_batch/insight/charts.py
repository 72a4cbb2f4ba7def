"""Time buckets and the latency histogram: never more points than a chart can show."""

import math

from ..clock import now_ms
from ..domain import NANO, JobStatus
from ..errors import InvalidInput
from ..store.models import TIMELINE_WIDTHS, Job, Timeline
from ..store.sketch import LatencySketch
from .summary import job_row

WIDTHS = (1, 2, 5, 10, 30, 60, 300, 900, 3600, 21_600, 86_400)
BINS = 40


def buckets(
    job_id: int,
    from_s: float | None = None,
    to_s: float | None = None,
    width: int | None = None,
    points: int = 600,
) -> list[dict]:
    """What happened in each bucket of a window (epoch seconds; the whole job by default), gaps as
    zeros. A width that would give more than ``points`` buckets is widened."""
    if width is not None and not 1 <= width <= WIDTHS[-1]:
        raise InvalidInput(f"bucket={width}: from 1 to {WIDTHS[-1]} seconds.", "bucket")
    job = job_row(job_id)
    start, end = _window(job, from_s, to_s)
    if end <= start:
        return []
    least = max(width or 1, (end - start) / points)
    width = next((known for known in WIDTHS if known >= least), math.ceil(least / 86_400) * 86_400)
    start -= start % width
    stored = max(known for known in TIMELINE_WIDTHS if width % known == 0)
    joined: dict[int, dict] = {}
    for row in (
        Timeline.select()
        .where(
            (Timeline.job == job_id)
            & (Timeline.width == stored)
            & (Timeline.t >= start)
            & (Timeline.t < end)
        )
        .order_by(Timeline.t)
        .iterator()
    ):
        _join(joined.setdefault(row.t - row.t % width, _empty()), row)
    return [_shown(t, width, joined.get(t)) for t in range(start, end, width)]


def latency_histogram(job_id: int) -> list[dict]:
    """Counts of successful calls by latency, in at most BINS bins."""
    bins = LatencySketch(job_row(job_id).latency).bins()
    if not bins:
        return []
    low, high = bins[0][0], bins[-1][1]
    growth = max((high / low) ** (1 / BINS), 1.0001)
    counts = [0] * BINS
    for lower, upper, count in bins:
        place = int(math.log(math.sqrt(lower * upper) / low) / math.log(growth))
        counts[min(BINS - 1, max(0, place))] += count
    return [
        {
            "from_ms": round(low * growth**n),
            "to_ms": round(low * growth ** (n + 1)),
            "count": count,
        }
        for n, count in enumerate(counts)
    ]


def _window(job: Job, from_s, to_s) -> tuple[int, int]:
    if job.started_at is None:
        return 0, 0
    running = job.status in (JobStatus.RUNNING, JobStatus.FINALIZING, JobStatus.CANCELLING)
    last = now_ms() if running else _last_ms(job)
    start = job.started_at // 1000 if from_s is None else int(from_s)
    end = last // 1000 + 1 if to_s is None else math.ceil(to_s)
    return max(start, job.started_at // 1000 - 86_400), min(end, last // 1000 + 86_400)


def _last_ms(job: Job) -> int:
    row = (
        Timeline.select(Timeline.t)
        .where((Timeline.job == job.id) & (Timeline.width == 1))
        .order_by(Timeline.t.desc())
        .first()
    )
    return row.t * 1000 if row is not None else job.started_at


def _empty() -> dict:
    names = ("sent", "succeeded", "failed", "retried", "input_tokens", "output_tokens", "cost_nano")
    return {**dict.fromkeys(names, 0), "latency": None}


def _join(into: dict, row: Timeline) -> None:
    for name in into:
        if name != "latency":
            into[name] += getattr(row, name)
    if row.latency:
        sketch = LatencySketch(row.latency)
        if into["latency"] is not None:
            sketch.merge(into["latency"])
        into["latency"] = sketch


def _shown(t: int, width: int, joined: dict | None) -> dict:
    found = joined or _empty()
    sketch = found["latency"]
    quantiles = {
        f"p{round(q * 100)}_ms": round(sketch.quantile(q)) if sketch is not None else None
        for q in (0.5, 0.95, 0.99)
    }
    return {
        "t": t,
        "bucket_s": width,
        "sent": found["sent"],
        "succeeded": found["succeeded"],
        "failed": found["failed"],
        "retried": found["retried"],
        "input_tokens": found["input_tokens"],
        "output_tokens": found["output_tokens"],
        "cost": found["cost_nano"] / NANO,
        **quantiles,
    }

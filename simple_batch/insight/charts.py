"""Time buckets, the latency histogram, latency against tokens: never more points than a chart can
show. Of a whole job they come from its timeline; of what a filter names, from the results."""

import math

import msgspec

from ..core.clock import now_ms
from ..core.domain import NANO, JobStatus
from ..core.errors import InvalidInput
from ..core.messages import translatable
from ..store.filters import RequestFilter
from ..store.latency_sketch import LatencySketch
from ..store.models import TIMELINE_WIDTHS, Job, Timeline, database
from .summary import job_row

WIDTHS = (1, 2, 5, 10, 30, 60, 300, 900, 3600, 21_600, 86_400)
BINS = 40
POINTS = 600
MOST_ROWS = 100_000  # results read for the charts of a filter
_SUMS = (
    *("sent", "succeeded", "failed", "retried", "input_tokens", "output_tokens", "cost_nano"),
    "cooling",
)


def buckets(
    job_id: int,
    from_s: float | None = None,
    to_s: float | None = None,
    width: int | None = None,
    points: int = POINTS,
) -> list[dict]:
    """What happened in each bucket of a window (epoch seconds; the whole job by default), gaps as
    zeros. A width that would give more than ``points`` buckets is widened."""
    found = _timeline(job_row(job_id), from_s, to_s, width, points)
    return [{name: value for name, value in bucket.items() if name != "sketch"} for bucket in found]


def _timeline(job: Job, from_s, to_s, width, points=POINTS) -> list[dict]:
    frame = _frame(job, from_s, to_s, width, points)
    if frame is None:
        return []
    start, end, width = frame
    stored = max(known for known in TIMELINE_WIDTHS if width % known == 0)
    joined: dict[int, dict] = {}
    for row in (
        Timeline.select()
        .where(
            (Timeline.job == job.id)
            & (Timeline.width == stored)
            & (Timeline.t >= start)
            & (Timeline.t < end)
        )
        .order_by(Timeline.t)
        .iterator()
    ):
        _join(joined.setdefault(row.t - row.t % width, _empty()), row)
    return [_shown(t, width, joined.get(t)) for t in range(start, end, width)]


def charts(job_id: int, wanted: RequestFilter, width: int | None = None) -> dict:
    """All that the charts page shows: ``buckets``, ``histogram`` and ``points`` (latency against
    the answer's tokens). ``exact`` is false where more than MOST_ROWS results match the filter: the
    charts then show the first of these."""
    job = job_row(job_id)
    from_s = None if wanted.from_ms is None else wanted.from_ms / 1000
    to_s = None if wanted.to_ms is None else wanted.to_ms / 1000
    window_only = wanted == RequestFilter(from_ms=wanted.from_ms, to_ms=wanted.to_ms)
    if window_only:
        found = _timeline(job, from_s, to_s, width)
        whole = LatencySketch(job.latency) if wanted == RequestFilter() else _merged(found)
        exact = True
    else:
        rows = _matching(job, wanted)
        exact = len(rows) < MOST_ROWS
        found = _buckets_of(rows, _frame(job, from_s, to_s, width, POINTS))
        whole = LatencySketch()
        for _status, _at, latency_ms, *_rest in rows:
            if latency_ms is not None:
                whole.add(latency_ms)
    spent = 0.0
    for bucket in found:
        bucket.pop("sketch", None)
        spent = round(spent + bucket["cost"], 9)
        bucket["cost_sum"] = spent
    return {
        "buckets": found,
        "histogram": _histogram(whole),
        "points": _points(job, wanted),
        "exact": exact,
    }


def _histogram(sketch: LatencySketch) -> list[dict]:
    bins = sketch.bins()
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


def _merged(found: list[dict]) -> LatencySketch:
    whole = LatencySketch()
    for bucket in found:
        if bucket["sketch"] is not None:
            whole.merge(bucket["sketch"])
    return whole


def _points(job: Job, wanted: RequestFilter) -> list[dict]:
    """At most POINTS successful calls, evenly spread over the file where there is no filter."""
    if wanted == RequestFilter():
        step = max(1, job.total // POINTS)
        places = "[" + ",".join(str(index) for index in range(0, job.total, step)) + "]"
        rows = database.execute_sql(
            "SELECT idx, output_tokens, latency_ms FROM result WHERE job_id = ? AND status = "
            "'succeeded' AND idx IN (SELECT value FROM json_each(?)) ORDER BY idx",
            (job.id, places),
        )
    else:
        sql, values = _on_results(msgspec.structs.replace(wanted, status="succeeded"))
        rows = database.execute_sql(
            f"SELECT x.idx, x.output_tokens, x.latency_ms {sql} ORDER BY x.idx LIMIT ?",
            (job.id, *values, POINTS),
        )
    return [
        {"index": index, "tokens": tokens, "latency_ms": latency_ms}
        for index, tokens, latency_ms in rows
        if tokens is not None
    ]


def _matching(job: Job, wanted: RequestFilter) -> list[tuple]:
    sql, values = _on_results(wanted)
    return database.execute_sql(
        "SELECT x.status, x.finished_at, x.latency_ms, x.input_tokens, x.output_tokens, "
        f"x.cost_nano {sql} ORDER BY x.idx LIMIT ?",
        (job.id, *values, MOST_ROWS),
    ).fetchall()


def _on_results(wanted: RequestFilter) -> tuple[str, list]:
    if not wanted.q:
        sql, values = wanted.on_results()
        return f"FROM result x WHERE x.job_id = ?{sql}", values
    sql, values = wanted.on_rows()
    join = "FROM result x JOIN request r ON r.job_id = x.job_id AND r.idx = x.idx"
    return f"{join} WHERE x.job_id = ?{sql}", values


def _buckets_of(rows: list[tuple], frame: tuple[int, int, int] | None) -> list[dict]:
    if frame is None:
        return []
    start, end, width = frame
    joined: dict[int, dict] = {}
    for status, finished_at, latency_ms, input_tokens, output_tokens, cost in rows:
        second = finished_at // 1000
        into = joined.setdefault(second - second % width, _empty())
        into["sent"] += 1
        into["succeeded" if status == "succeeded" else "failed"] += 1
        into["input_tokens"] += input_tokens or 0
        into["output_tokens"] += output_tokens or 0
        into["cost_nano"] += cost or 0
        if status == "succeeded":
            into["latency"] = into["latency"] or LatencySketch()
            into["latency"].add(latency_ms)
    return [_shown(t, width, joined.get(t)) for t in range(start, end, width)]


def _frame(job: Job, from_s, to_s, width, points) -> tuple[int, int, int] | None:
    """(start, end, bucket width) in seconds; None where nothing was sent."""
    if width is not None and not 1 <= width <= WIDTHS[-1]:
        raise InvalidInput(
            translatable(
                "bucket=%(width)s: from 1 to %(most)s seconds.", width=width, most=WIDTHS[-1]
            ),
            "bucket",
        )
    start, end = _window(job, from_s, to_s)
    if end <= start:
        return None
    least = max(width or 1, (end - start) / points)
    width = next((known for known in WIDTHS if known >= least), math.ceil(least / 86_400) * 86_400)
    return start - start % width, end, width


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
    return {**dict.fromkeys(_SUMS, 0), "latency": None, "in_flight": None, "ceiling": None}


def _join(into: dict, row: Timeline) -> None:
    for name in _SUMS:
        into[name] += getattr(row, name)
    if row.in_flight is not None:
        into["in_flight"] = max(into["in_flight"] or 0, row.in_flight)
        into["ceiling"] = row.ceiling
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
        "in_flight": found["in_flight"],
        "limit": found["ceiling"],
        "cooling_s": found["cooling"],
        **quantiles,
        "sketch": sketch,
    }

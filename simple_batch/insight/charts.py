"""Time buckets, the latency histogram, latency against tokens: never more points than a chart can
show. Of a whole job they come from its timeline; of what a filter names, from the results."""

import math
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

import msgspec

from ..core.call_prices import NANO
from ..core.clock import now_ms
from ..core.content import with_breaks
from ..core.domain import JobStatus
from ..core.errors import InvalidInput
from ..core.messages import translatable
from ..store import jobs
from ..store.latency_sketch import LatencySketch
from ..store.models import TIMELINE_WIDTHS, Job, Timeline, database
from ..store.request_filter import RequestFilter
from ..store.timeline import Bucket

WIDTHS = (1, 2, 5, 10, 30, 60, 300, 900, 3600, 21_600, 86_400)
BINS = 40
POINTS = 600
_BREAK_EVERY = 1_000  # rows
MAX_ROWS = 100_000  # results read for the charts of a filter


class ChartBucket(TypedDict):
    """What happened in one bucket of time."""

    t: int  # its begin, epoch seconds
    bucket_s: int  # its width
    sent: int  # calls
    succeeded: int  # requests
    failed: int  # requests
    retried: int  # calls after the first of a request
    input_tokens: int
    output_tokens: int
    cost: float  # in units of the job's currency
    in_flight: int | None  # the most calls at a time
    limit: int | None  # of calls at a time
    cooling_s: int  # seconds in which the provider cooled down
    p50_ms: int | None  # latency of the calls that succeeded
    p95_ms: int | None
    p99_ms: int | None
    first_p50_ms: int | None  # times to the first token, of answers that came as streams
    first_p95_ms: int | None


class SummedBucket(ChartBucket):
    cost_sum: float  # cost of this bucket and those before it


class Bin(TypedDict):
    """A bar of the latency histogram, its bounds included."""

    from_ms: int
    to_ms: int
    count: int  # calls that succeeded


class Point(TypedDict):
    """A successful call, its latency against the tokens of its answer."""

    index: int  # of the request
    tokens: int
    latency_ms: int


class Charts(TypedDict):
    """All that the charts page shows. ``exact`` is false where more than MAX_ROWS results match the filter:
    the charts then show the first of these. The window of the filter is widened to whole buckets, so that a
    bucket counts what it lists."""

    from_s: int | None  # the window, epoch seconds; None where the filter has no bound
    to_s: int | None
    buckets: list[SummedBucket]
    histogram: list[Bin]
    points: list[Point]
    exact: bool


class _Frame(NamedTuple):
    """The buckets of a chart: ``start`` and ``end`` in epoch seconds, ``width`` in seconds; all are whole."""

    start: int
    end: int
    width: int


@dataclass(slots=True)
class _Joined(Bucket):
    """A bucket of a chart, ``width`` seconds from ``t`` on."""

    t: int = 0
    width: int = 1
    in_flight: int | None = None
    limit: int | None = None
    cooling_s: int = 0


def buckets(
    of: Job | int,
    from_s: float | None = None,
    to_s: float | None = None,
    width: int | None = None,
    points: int = POINTS,
) -> list[ChartBucket]:
    """What happened to a job, or to the one with that id, in each bucket of a window (epoch seconds; the
    whole job by default, widened to whole buckets), gaps as zeros. A width (seconds) that would give more than ``points`` buckets
    is widened. Raises NotFound for the job, InvalidInput for the width."""
    job = jobs.known(of)
    found = _timeline(job, _frame(job, from_s, to_s, width, points))
    return [_shown(bucket) for bucket in found]


def _timeline(job: Job, frame: _Frame | None) -> list[_Joined]:
    if frame is None:
        return []
    start, end, width = frame
    stored = max(known for known in TIMELINE_WIDTHS if width % known == 0)
    joined = _empty(frame)
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
        _join(joined[row.t - row.t % width], row)
    return list(joined.values())


def charts(job_id: int, wanted: RequestFilter, width: int | None = None) -> Charts:
    """All charts of the requests that match. Raises NotFound for the job, InvalidInput for the width."""
    job = jobs.get(job_id)
    from_s = None if wanted.from_ms is None else wanted.from_ms / 1000
    to_s = None if wanted.to_ms is None else wanted.to_ms / 1000
    frame = _frame(job, from_s, to_s, width, POINTS)
    wanted = _widened(wanted, frame.width if frame else 1)
    window_only = wanted == RequestFilter(from_ms=wanted.from_ms, to_ms=wanted.to_ms)
    if window_only:
        found = _timeline(job, frame)
        whole = LatencySketch(job.latency) if wanted == RequestFilter() else _merged(found)
        exact = True
    else:
        rows = _matching(job, wanted)
        exact = len(rows) < MAX_ROWS
        found = _buckets_of(rows, frame)
        whole = LatencySketch()
        for status, _finished_at, latency_ms, *_rest in with_breaks(rows, _BREAK_EVERY):
            if status == "succeeded" and latency_ms is not None:
                whole.add(latency_ms)
    return {
        "from_s": None if wanted.from_ms is None else wanted.from_ms // 1000,
        "to_s": None if wanted.to_ms is None else wanted.to_ms // 1000,
        "buckets": _summed(found),
        "histogram": _histogram(whole, wanted),
        "points": _points(job, wanted),
        "exact": exact,
    }


def _widened(wanted: RequestFilter, width: int) -> RequestFilter:
    """The filter with its window widened to whole buckets of ``width`` seconds."""
    first, last, ms = wanted.from_ms, wanted.to_ms, width * 1000
    return msgspec.structs.replace(
        wanted,
        from_ms=None if first is None else first - first % ms,
        to_ms=None if last is None else last + -last % ms,
    )


def _summed(found: list[_Joined]) -> list[SummedBucket]:
    summed: list[SummedBucket] = []
    spent = 0.0
    for bucket in found:
        shown = _shown(bucket)
        spent = round(spent + shown["cost"], 9)
        summed.append({**shown, "cost_sum": spent})
    return summed


def _histogram(sketch: LatencySketch, wanted: RequestFilter) -> list[Bin]:
    least, most = wanted.min_ms or 0, wanted.max_ms
    return [
        {
            "from_ms": max(first, least),
            "to_ms": last if most is None else min(last, most),
            "count": count,
        }
        for first, last, count in sketch.histogram(BINS)
    ]


def _merged(found: list[_Joined]) -> LatencySketch:
    whole = LatencySketch()
    for bucket in found:
        if bucket.latency is not None:
            whole.merge(bucket.latency)
    return whole


def _points(job: Job, wanted: RequestFilter) -> list[Point]:
    """At most POINTS successful calls, evenly spread over the file where there is no filter."""
    if wanted.status not in (None, "succeeded"):
        return []
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
    rows = database.execute_sql(
        "SELECT x.status, x.finished_at, x.latency_ms, x.first_token_ms, x.input_tokens, "
        f"x.output_tokens, x.cost_nano {sql} ORDER BY x.idx LIMIT ?",
        (job.id, *values, MAX_ROWS),
    )
    return list(with_breaks(rows, _BREAK_EVERY))


def _on_results(wanted: RequestFilter) -> tuple[str, list]:
    if not wanted.q:
        sql, values = wanted.on_results()
        return f"FROM result x WHERE x.job_id = ?{sql}", values
    sql, values = wanted.on_rows()
    join = "FROM result x JOIN request r ON r.job_id = x.job_id AND r.idx = x.idx"
    return f"{join} WHERE x.job_id = ?{sql}", values


def _buckets_of(rows: list[tuple], frame: _Frame | None) -> list[_Joined]:
    if frame is None:
        return []
    joined = _empty(frame)
    for row in with_breaks(rows, _BREAK_EVERY):
        status, finished_at, latency_ms, first_ms, input_tokens, output_tokens, cost_nano = row
        second = finished_at // 1000
        into = joined.get(second - second % frame.width)
        if into is None:  # outside the window
            continue
        into.sent += 1
        into.input_tokens += input_tokens or 0
        into.output_tokens += output_tokens or 0
        into.cost_nano += cost_nano or 0
        if status == "succeeded":
            into.succeeded += 1
            into.add_times(latency_ms, first_ms)
        elif status == "failed":
            into.failed += 1
    return list(joined.values())


def _empty(frame: _Frame) -> dict[int, _Joined]:
    """The buckets of a frame, without anything in them, by their begin."""
    return {t: _Joined(t=t, width=frame.width) for t in range(*frame)}


def _frame(
    job: Job, from_s: float | None, to_s: float | None, width: int | None, points: int
) -> _Frame | None:
    """None where nothing was sent."""
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
    return _Frame(start - start % width, end + -end % width, width)


def _window(job: Job, from_s: float | None, to_s: float | None) -> tuple[int, int]:
    """(begin, end) in epoch seconds; both 0 where nothing was sent."""
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


def _join(into: _Joined, row: Timeline) -> None:
    into.sent += row.sent
    into.succeeded += row.succeeded
    into.failed += row.failed
    into.retried += row.retried
    into.input_tokens += row.input_tokens
    into.output_tokens += row.output_tokens
    into.cost_nano += row.cost_nano
    into.cooling_s += row.cooling
    if row.in_flight is not None:
        into.in_flight = max(into.in_flight or 0, row.in_flight)
        into.limit = row.ceiling
    into.merge_stored(row.latency, row.first_token)


def _shown(bucket: _Joined) -> ChartBucket:
    return {
        "t": bucket.t,
        "bucket_s": bucket.width,
        "sent": bucket.sent,
        "succeeded": bucket.succeeded,
        "failed": bucket.failed,
        "retried": bucket.retried,
        "input_tokens": bucket.input_tokens,
        "output_tokens": bucket.output_tokens,
        "cost": bucket.cost_nano / NANO,
        "in_flight": bucket.in_flight,
        "limit": bucket.limit,
        "cooling_s": bucket.cooling_s,
        "p50_ms": _quantile_ms(bucket.latency, 0.5),
        "p95_ms": _quantile_ms(bucket.latency, 0.95),
        "p99_ms": _quantile_ms(bucket.latency, 0.99),
        "first_p50_ms": _quantile_ms(bucket.first_token, 0.5),
        "first_p95_ms": _quantile_ms(bucket.first_token, 0.95),
    }


def _quantile_ms(times: LatencySketch | None, q: float) -> int | None:
    quantile = None if times is None else times.quantile(q)
    return None if quantile is None else round(quantile)

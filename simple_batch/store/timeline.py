"""The timeline of jobs: what happened in each bucket of 1, 10, 60 and 3,600 seconds, for the charts."""

from collections import defaultdict
from dataclasses import dataclass

from .latency_sketch import LatencySketch
from .models import TIMELINE_WIDTHS, database

_ADD = (
    "INSERT INTO timeline (job_id, width, t, sent, succeeded, failed, retried, input_tokens, "
    "output_tokens, cost_nano, latency, first_token) VALUES (?,?,?,?,?,?,?,?,?,?,?,?) "
    "ON CONFLICT (job_id, width, t) DO UPDATE SET sent = timeline.sent + excluded.sent, "
    "succeeded = timeline.succeeded + excluded.succeeded, failed = timeline.failed + excluded.failed, "
    "retried = timeline.retried + excluded.retried, "
    "input_tokens = timeline.input_tokens + excluded.input_tokens, "
    "output_tokens = timeline.output_tokens + excluded.output_tokens, "
    "cost_nano = timeline.cost_nano + excluded.cost_nano, latency = excluded.latency, "
    "first_token = excluded.first_token"
)
_STORED = (
    "SELECT width, t, latency, first_token FROM timeline "
    "WHERE job_id = ? AND (width, t) IN (VALUES {pairs})"
)
_SAMPLE = (
    "INSERT INTO timeline (job_id, width, t, sent, succeeded, failed, retried, input_tokens, "
    "output_tokens, cost_nano, latency, in_flight, ceiling, cooling) "
    "VALUES (?, ?, ?, 0, 0, 0, 0, 0, 0, 0, ?, ?, ?, ?) "
    "ON CONFLICT (job_id, width, t) DO UPDATE SET "
    "in_flight = CASE WHEN timeline.in_flight > excluded.in_flight THEN timeline.in_flight "
    "ELSE excluded.in_flight END, "
    "ceiling = excluded.ceiling, cooling = timeline.cooling + excluded.cooling"
)


@dataclass(slots=True)
class Bucket:
    """What happened to a job in one second: calls ``sent``, how many of them were retries, requests that
    ``succeeded`` or ``failed``; ``latency`` and ``first_token`` (the time to it)
    are of the calls that succeeded."""

    sent: int = 0
    succeeded: int = 0
    failed: int = 0
    retried: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nano: int = 0
    latency: LatencySketch | None = None
    first_token: LatencySketch | None = None

    def add_times(self, latency_ms: int | None, first_token_ms: int | None) -> None:
        """Count the times of a call that succeeded."""
        if latency_ms is not None:
            self.latency = self.latency or LatencySketch()
            self.latency.add(latency_ms)
        if first_token_ms is not None:
            self.first_token = self.first_token or LatencySketch()
            self.first_token.add(first_token_ms)

    def merge_stored(self, latency: bytes | None, first_token: bytes | None) -> None:
        """Add the latencies of a row."""
        if latency:
            self.latency = _merged(self.latency, LatencySketch(latency))
        if first_token:
            self.first_token = _merged(self.first_token, LatencySketch(first_token))

    def merge_times(self, other: "Bucket") -> None:
        """Add the latencies of another bucket."""
        self.latency = _merged(self.latency, other.latency)
        self.first_token = _merged(self.first_token, other.first_token)


def write(job_id: int, buckets: dict[int, Bucket]) -> None:
    """Add buckets of a second, by their second, to those of all widths; in the caller's transaction."""
    joined = {
        (width, t): bucket
        for width in TIMELINE_WIDTHS
        for t, bucket in _joined(buckets, width).items()
    }
    if not joined:
        return
    query = _STORED.format(pairs=",".join(["(?,?)"] * len(joined)))
    bound = [number for pair in joined for number in pair]
    stored = {
        (width, t): times for width, t, *times in database.execute_sql(query, (job_id, *bound))
    }
    rows = []
    for (width, t), bucket in joined.items():
        before = stored.get((width, t), (None, None))
        latency, first_token = _sum(before[0], bucket.latency), _sum(before[1], bucket.first_token)
        rows.append(
            (job_id, width, t, bucket.sent, bucket.succeeded, bucket.failed, bucket.retried,
             bucket.input_tokens, bucket.output_tokens, bucket.cost_nano, latency, first_token or None)
        )  # fmt: skip
    database.executemany(_ADD, rows)


def sample(job_id: int, second: int, in_flight: int, limit: int, cooling: bool) -> None:
    """Store the calls in flight, the limit and whether the provider cools down at a second (epoch); once a
    second."""
    rows = [
        (job_id, width, second - second % width, b"", in_flight, limit, int(cooling))
        for width in TIMELINE_WIDTHS
    ]
    database.executemany(_SAMPLE, rows)


def _joined(buckets: dict[int, Bucket], width: int) -> dict[int, Bucket]:
    """Buckets of a second joined into buckets of ``width`` seconds."""
    if width == 1:
        return buckets
    joined: dict[int, Bucket] = defaultdict(Bucket)
    for t, bucket in buckets.items():
        into = joined[t - t % width]
        into.sent += bucket.sent
        into.succeeded += bucket.succeeded
        into.failed += bucket.failed
        into.retried += bucket.retried
        into.input_tokens += bucket.input_tokens
        into.output_tokens += bucket.output_tokens
        into.cost_nano += bucket.cost_nano
        into.merge_times(bucket)
    return joined


def _sum(stored: bytes | None, added: LatencySketch | None) -> bytes:
    sketch = LatencySketch(stored)
    if added is not None:
        sketch.merge(added)
    return sketch.to_bytes()


def _merged(into: LatencySketch | None, added: LatencySketch | None) -> LatencySketch | None:
    """The first with the second added; one of them alone is copied."""
    if added is None:
        return into
    into = into or LatencySketch()
    into.merge(added)
    return into

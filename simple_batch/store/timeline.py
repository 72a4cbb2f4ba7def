"""Samples of a running job's limit over time, beside the data of its results (results.py)."""

from .models import TIMELINE_WIDTHS, database

_SAMPLE = (
    "INSERT INTO timeline (job_id, width, t, sent, succeeded, failed, retried, input_tokens, "
    "output_tokens, cost_nano, latency, in_flight, ceiling, cooling) "
    "VALUES (?, ?, ?, 0, 0, 0, 0, 0, 0, 0, ?, ?, ?, ?) "
    "ON CONFLICT (job_id, width, t) DO UPDATE SET "
    "in_flight = CASE WHEN timeline.in_flight > excluded.in_flight THEN timeline.in_flight "
    "ELSE excluded.in_flight END, "
    "ceiling = excluded.ceiling, cooling = timeline.cooling + excluded.cooling"
)


def sample(job_id: int, second: int, in_flight: int, limit: int, cooling: bool) -> None:
    """Note the calls in flight, the limit and whether the provider cools down, once a second."""
    rows = [
        (job_id, width, second - second % width, b"", in_flight, limit, int(cooling))
        for width in TIMELINE_WIDTHS
    ]
    database.executemany(_SAMPLE, rows)

"""What Prometheus reads at /metrics: made of counters and snapshots there are anyway, at the moment
of the scrape. Counters are this process's since it began; gauges of jobs are the database's.

Unknown is absent, not 0. Labels are bounded in number and hold nothing but names: an API config's
alias, a status, a cause, a currency.

A caller who does not see all jobs (an operator, a token without *everything*) gets the gauges of the
jobs that they see, and no series of API configs: those sum up the calls of all users.
"""

import contextlib
import platform
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from pathlib import Path

import peewee
from peewee import fn
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ..core import context, loop_lag
from ..core.call_prices import NANO
from ..core.domain import ACTIVE_STATUSES, JobStatus, PartState
from ..core.errors import DatabaseMoved
from ..core.identity import Scope
from ..core.version import __version__
from ..runner.stats import RunnerStats
from ..store import binned_jobs, disk_usage, visibility
from ..store import jobs as job_rows
from ..store.cluster import workers
from ..store.counters import REST, process_counters
from ..store.database import as_opened, folder_of, is_server, sqlite_path
from ..store.latency_sketch import LatencySketch
from ..store.models import ApiConfig, BatchPart, Job
from . import backups, lifecycle, readiness

# Seconds; an answer takes from a fraction of one to minutes.
LATENCY_BOUNDS_S = (0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 13, 20, 30, 60, 120, 300, 600)


def of_server(accept: str, live_clients: int, viewer: Scope | None = None) -> tuple[bytes, str]:
    """(the text, its content type) of a process that serves pages, as the header ``Accept`` asks for
    it, with what ``viewer`` sees."""
    return _exposition(accept, lambda: _server(live_clients, viewer))


def of_worker(accept: str, figures: RunnerStats) -> tuple[bytes, str]:
    """The metrics of a worker. The web processes export the state of the jobs and the database."""
    return _exposition(accept, lambda: _process(figures, whole=True))


def _exposition(accept: str, collect: Callable[[], Iterator[Metric]]) -> tuple[bytes, str]:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(_Collector(collect))
    encode, kind = choose_encoder(accept)
    return encode(registry), kind


class _Collector(Collector):
    def __init__(self, collect: Callable[[], Iterator[Metric]]):
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()

    def describe(self) -> Iterable[Metric]:
        return ()  # the registry need not collect to learn the names


def _process(figures: RunnerStats | None, whole: bool) -> Iterator[Metric]:
    """``whole``: include the counters over the calls of all users."""
    build = InfoMetricFamily("simple_batch_build", "Which version this is.")
    build.add_metric((), {"version": __version__, "python": platform.python_version()})
    yield build
    yield _loop_lag()
    yield from _readiness()
    if whole:
        yield from _recorded()
    if figures is not None:
        if whole:
            yield from _governors(figures)
        yield from _runner(figures)


def _server(live_clients: int, viewer: Scope | None) -> Iterator[Metric]:
    yield _gauge("live_clients", "Clients of the live feed.", live_clients)
    yield from _process(lifecycle.figures(), whole=viewer is None)
    with contextlib.suppress(sqlite3.Error, peewee.PeeweeException, DatabaseMoved), as_opened():
        yield from _jobs(viewer)
        yield from _database()
        if lifecycle.by_workers():
            yield from _workers()
    yield from _room()


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"simple_batch_{name}", meaning, value=value)


def _family(kind: Callable, name: str, meaning: str, labels: tuple, values: dict) -> Metric:
    """``values`` by a label, or by a tuple of them."""
    family = kind(f"simple_batch_{name}", meaning, labels=labels)
    for key, value in values.items():
        family.add_metric(key if isinstance(key, tuple) else (key,), value)
    return family


def _loop_lag() -> Metric:
    heart = loop_lag.meter
    bounds = [*map(str, loop_lag.BOUNDS_S), "+Inf"]
    family = HistogramMetricFamily(
        "simple_batch_loop_lag_seconds", "How late the event loop was, four times a second."
    )
    buckets = list(zip(bounds, accumulate(heart.counts), strict=True))
    family.add_metric((), buckets, heart.sum_s)
    return family


def _readiness() -> Iterator[Metric]:
    found = {name: float(check.ok) for name, check in readiness.checks().items()}
    yield _family(
        GaugeMetricFamily, "ready", "1 where what /readyz checks holds.", ("check",), found
    )


# --- what was recorded since the process began ---------------------------------------------------


def _recorded() -> Iterator[Metric]:
    counter, counts = CounterMetricFamily, process_counters
    for name, meaning, label, values in (
        ("requests", "Requests that got their result.", "result", counts.requests),
        ("outcomes", "Requests with an answer, by its outcome.", "outcome", counts.outcomes),
        ("attempts_failed", "Calls that failed.", "cause", counts.failures),
        ("tokens", "Tokens of calls.", "kind", counts.tokens),
        (
            "cache_tokens",
            "Of the input tokens, read from a provider's prompt cache or written to it.",
            "kind",
            counts.cache_tokens,
        ),
    ):
        yield _family(counter, name, meaning, ("config", label), values)
    yield from _sums()
    yield from _saved()
    yield _cost()
    yield _latency()
    yield _first_token()


def _sums() -> Iterator[Metric]:
    for name, meaning, value in (
        (
            "requests_cancelled",
            "Requests that were cancelled or expired.",
            process_counters.cancelled,
        ),
        ("retries", "Calls after the first of a request.", process_counters.retries),
        (
            "saved_calls",
            "Calls that answers kept from others have saved.",
            process_counters.saved_calls,
        ),
        (
            "unpriced_calls",
            "Calls that may have cost something unknown.",
            process_counters.unpriced,
        ),
        (
            "estimated_calls",
            "Calls whose tokens are estimated, since the provider did not report them.",
            process_counters.estimated,
        ),
    ):
        yield CounterMetricFamily(f"simple_batch_{name}", meaning, value=value)


def _saved() -> Iterator[Metric]:
    """The money is a gauge: it falls while writing to a cache costs more than reading saves."""
    yield _family(
        CounterMetricFamily,
        "saved_by_calls",
        "Calls that cost less, or were not made, by the way in which that was saved.",
        ("config", "by"),
        process_counters.saved_by_calls,
    )
    yield _family(
        GaugeMetricFamily,
        "saved_by_cost",
        "What was saved since the process began, by the way, where it is known.",
        ("config", "by", "currency"),
        {key: nano / NANO for key, nano in process_counters.saved_by_nano.items()},
    )


def _first_token() -> Metric:
    first = HistogramMetricFamily(
        "simple_batch_first_token_seconds",
        "Time to the first token, of calls that succeeded and came as streams.",
        labels=("config",),
    )
    for alias, sketch in process_counters.first_token.items():
        first.add_metric((alias,), _buckets(sketch), (sketch.mean() or 0) * sketch.count / 1000)
    return first


def _latency() -> Metric:
    latency = HistogramMetricFamily(
        "simple_batch_request_latency_seconds", "Of calls that succeeded.", labels=("config",)
    )
    for alias, sketch in process_counters.latency.items():
        latency.add_metric((alias,), _buckets(sketch), (sketch.mean() or 0) * sketch.count / 1000)
    return latency


def _cost() -> Metric:
    family = CounterMetricFamily(
        "simple_batch_cost",
        "What calls have cost where it is known.",
        labels=("config", "currency"),
    )
    aliases: dict[int, str] = {}
    with contextlib.suppress(sqlite3.Error, peewee.PeeweeException, DatabaseMoved), as_opened():
        aliases = dict(ApiConfig.select(ApiConfig.id, ApiConfig.alias).tuples())
    sums: dict[tuple[str, str], int] = {}
    for (config_id, currency), cost in process_counters.cost_nano.items():
        key = aliases.get(config_id, REST), currency
        sums[key] = sums.get(key, 0) + cost
    for key, cost in sums.items():
        family.add_metric(key, cost / NANO)
    return family


def _buckets(sketch: LatencySketch) -> list[tuple[str, float]]:
    """The bins of a sketch (2 % wide) under LATENCY_BOUNDS_S."""
    counts = [0] * (len(LATENCY_BOUNDS_S) + 1)
    for low, high, count in sketch.bins():
        seconds = (low + high) / 2000
        bounds = (n for n, bound in enumerate(LATENCY_BOUNDS_S) if seconds <= bound)
        counts[next(bounds, len(LATENCY_BOUNDS_S))] += count
    names = [*map(str, LATENCY_BOUNDS_S), "+Inf"]
    return list(zip(names, accumulate(counts), strict=True))


# --- current state --------------------------------------------------------------------------------


def _governors(figures: RunnerStats) -> Iterator[Metric]:
    gauge, config = GaugeMetricFamily, ("config",)
    for name, meaning, field in (
        ("limit", "Calls that may be in flight.", "limit"),
        ("in_flight", "Calls in flight.", "in_flight"),
        ("cooldown_seconds", "How long no call may start.", "cooldown_s"),
        ("requests_per_minute", "Calls started in the last minute.", "rpm_used"),
        ("tokens_per_minute", "Tokens of the last minute.", "tpm_used"),
        ("requests_per_minute_learned", "What the provider was found to bear.", "rpm_learned"),
        ("tokens_per_minute_learned", "What the provider was found to bear.", "tpm_learned"),
    ):
        values = {
            alias: value
            for alias, state in figures.governors.items()
            if (value := getattr(state, field)) is not None
        }
        yield _family(gauge, f"governor_{name}", meaning, config, values)


def _runner(figures: RunnerStats) -> Iterator[Metric]:
    yield _gauge("lanes", "Jobs that make calls here.", figures.job_runs)
    yield _gauge("recorder_queue", "Results that wait to be taken up.", figures.queue)
    yield _gauge("recorder_lag_seconds", "How long the oldest result in hand waits.", figures.lag_s)
    yield _gauge("answers_bytes", "In memory, of all answers.", figures.answers_bytes)
    yield _gauge("answers_waiting", "Not read on: no room in memory.", figures.answers_waiting)
    longest = figures.longest_commit_s
    yield _gauge("recorder_longest_commit_seconds", "Since the process began.", longest)
    yield SummaryMetricFamily(
        "simple_batch_recorder_commit_seconds",
        "Commits of results.",
        count_value=figures.commits,
        sum_value=figures.commit_s,
    )


def _jobs(viewer: Scope | None) -> Iterator[Metric]:
    """Of the jobs' own counters; requests are not counted."""
    left = fn.SUM(Job.total - Job.succeeded - Job.failed - Job.cancelled)
    shown = Job.select(Job.status, fn.COUNT(Job.id), left).where(visibility.jobs(viewer))
    rows = list(shown.where(Job.deleted_at.is_null()).group_by(Job.status).tuples())
    counts = dict.fromkeys((status.value for status in JobStatus), 0)
    counts |= {status: count for status, count, _left in rows}
    yield _family(GaugeMetricFamily, "jobs", "Jobs by status.", ("status",), counts)
    yield _parts(viewer)
    left = sum(left for status, _count, left in rows if status in ACTIVE_STATUSES)
    yield _gauge("requests_pending", "Requests of unfinished jobs without a result.", left)
    removing = Job.select().where(job_rows.removing() & visibility.jobs(viewer)).count()
    yield _gauge("jobs_being_removed", "Deleted jobs whose rows are being removed.", removing)
    binned = binned_jobs.count(viewer)
    yield _gauge("jobs_in_bin", "Deleted jobs that can be restored.", binned)


def _parts(viewer: Scope | None) -> Metric:
    mine = BatchPart.job.in_(Job.select(Job.id).where(visibility.jobs(viewer)))
    rows = BatchPart.select(BatchPart.state, fn.COUNT(BatchPart.id)).where(
        mine & (BatchPart.requests > 0)
    )
    counts = dict.fromkeys((state.value for state in PartState), 0)
    counts |= dict(rows.group_by(BatchPart.state).tuples())
    meaning = "Parts of jobs, each one batch at a provider, by state."
    return _family(GaugeMetricFamily, "parts", meaning, ("state",), counts)


def _database() -> Iterator[Metric]:
    whole, reusable = disk_usage.database_bytes()
    if reusable is not None:
        yield _gauge("database_reusable_bytes", "Of the database, free for new rows.", reusable)
    yield _gauge("database_bytes", "Of the database.", whole)


def _workers() -> Iterator[Metric]:
    alive, lanes = workers.standing()
    yield _gauge("workers", "Workers that live.", len(alive))
    beat = max(alive.values(), default=None)
    if beat is not None:
        yield _gauge(
            "workers_quiet_seconds", "Since the one of them longest silent was heard.", beat
        )
    yield _gauge("lanes", "Lanes of jobs that workers have.", lanes)


def _room() -> Iterator[Metric]:
    settings = context.settings()
    url = settings.database_url
    if not is_server(url):
        wal = disk_usage.file_bytes(Path(f"{sqlite_path(url)}-wal"))
        yield _gauge("database_wal_bytes", "Of its write-ahead log.", wal)
    with contextlib.suppress(OSError):
        free = disk_usage.free_bytes(folder_of(url, settings.instance))
        yield _gauge("disk_free_bytes", "Beside the database.", free)
    backup = GaugeMetricFamily(
        "simple_batch_last_backup_timestamp_seconds", "Of the server's own; absent without one."
    )
    last = backups.newest(settings)
    if last is not None:
        with contextlib.suppress(OSError):
            backup.add_metric((), last.stat().st_mtime)
    yield backup

"""Writing outcomes: results, attempts, counters, timeline and error groups of many
requests in one transaction. The recorder is the only caller."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cached_property

import msgspec

from ..core.domain import Attempt, Cause, Outcome, Prices, RequestStatus, Usage
from . import response_cache, spend_leases, spending
from .counters import tally
from .dialect import LOCKING
from .latency_sketch import LatencySketch
from .models import TIMELINE_WIDTHS, Job, database

_RESULT = (
    "INSERT INTO result (job_id, idx, status, cause, http_status, message, response, "
    "model, config, attempts, started_at, finished_at, latency_ms, input_tokens, output_tokens, "
    "cached_tokens, reasoning_tokens, cost_nano) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)
_ATTEMPT = (
    "INSERT INTO attempt (job_id, idx, number, started_at, latency_ms, cause, http_status, message, "
    "excerpt, wait_ms, input_tokens, output_tokens, cost_nano, group_key) "
    "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)
_GROUP = (
    "INSERT INTO error_group (job_id, group_key, cause, http_status, message, attempts, first_at, "
    "last_at) VALUES (?,?,?,?,?,?,?,?) ON CONFLICT (job_id, group_key) DO UPDATE SET "
    "attempts = error_group.attempts + excluded.attempts, "
    "last_at = CASE WHEN error_group.last_at > excluded.last_at THEN error_group.last_at "
    "ELSE excluded.last_at END"
)
_TIMELINE = (
    "INSERT INTO timeline (job_id, width, t, sent, succeeded, failed, retried, input_tokens, "
    "output_tokens, cost_nano, latency) VALUES (?,?,?,?,?,?,?,?,?,?,?) "
    "ON CONFLICT (job_id, width, t) DO UPDATE SET sent = timeline.sent + excluded.sent, "
    "succeeded = timeline.succeeded + excluded.succeeded, failed = timeline.failed + excluded.failed, "
    "retried = timeline.retried + excluded.retried, "
    "input_tokens = timeline.input_tokens + excluded.input_tokens, "
    "output_tokens = timeline.output_tokens + excluded.output_tokens, "
    "cost_nano = timeline.cost_nano + excluded.cost_nano, latency = excluded.latency"
)
# What each config of several did; a job with one has no such rows.
_BY_CONFIG = (
    "UPDATE job_config SET succeeded = succeeded + ?, failed = failed + ?, "
    "input_tokens = input_tokens + ?, output_tokens = output_tokens + ?, cost_nano = cost_nano + ? "
    "WHERE job_id = ? AND config_id = (SELECT id FROM api_config WHERE alias = ?)"
)
# Which worker did how much of a job; where one process makes the calls there are no such rows.
_BY_WORKER = (
    "INSERT INTO job_worker (job_id, name, succeeded, failed, attempts) VALUES (?,?,?,?,?) "
    "ON CONFLICT (job_id, name) DO UPDATE SET "
    "succeeded = job_worker.succeeded + excluded.succeeded, "
    "failed = job_worker.failed + excluded.failed, "
    "attempts = job_worker.attempts + excluded.attempts"
)
_LATENCY = f"SELECT latency FROM job WHERE id = ? {LOCKING}"
_KNOWN = "SELECT idx FROM result WHERE job_id = ? AND idx IN (SELECT value FROM json_each(?))"
_GROUPS = "SELECT group_key FROM error_group WHERE job_id = ?"
_STORED = (
    "SELECT width, t, latency FROM timeline WHERE job_id = ? AND (width, t) IN (VALUES {pairs})"
)
MAX_GROUPS = 200
OTHER_GROUP = "other"

# What differs between two messages of the same kind: ids, numbers, quoted text, times.
_VARYING = re.compile(
    r"(?:\b(?:req|chatcmpl|batch|org|proj|file|resp)[-_][\w-]+)|(?:\b[0-9a-f]{8,}(?:-[0-9a-f]+)*\b)"
    r"|(?:\d+(?:[.:,-]\d+)*)|(?:\"[^\"]{1,200}\")|(?:'[^']{1,200}')|(?:`[^`]{1,200}`)",
    re.IGNORECASE,
)


class Recorded(msgspec.Struct, frozen=True):
    """The recorder's input for one request of a job. ``outcome`` is None if the request stays pending and
    only its failed attempts are stored. ``config_id`` is the config that the calls are charged to.
    ``foreign``: its currency differs from the job's, so the job does not know the cost."""

    job_id: int
    alias: str
    prices: Prices
    index: int
    attempts: tuple[Attempt, ...]
    outcome: Outcome | None = None
    config_id: int | None = None
    foreign: bool = False
    key: bytes | None = None  # under which the answer is kept for other jobs
    reused: bool = False  # the answer is another job's: nothing was called

    def cost(self, usage: Usage | None) -> int | None:
        """In the job's currency."""
        return None if self.foreign else self.prices.cost(usage)


class _Bucket:
    __slots__ = ("cost", "failed", "input", "latency", "output", "retried", "sent", "succeeded")

    def __init__(self):
        self.sent = self.succeeded = self.failed = self.retried = 0
        self.input = self.output = self.cost = 0
        self.latency = None


class _JobChange:
    """All that one commit changes for one job."""

    def __init__(self, job_id: int):
        self._job_id = job_id
        row = database.execute_sql(_LATENCY, (job_id,)).fetchone()  # locks it against other changes
        self.stored = LatencySketch(row[0] if row else None)
        self.succeeded = self.failed = self.cancelled = self.attempts = self.retries = 0
        self.usage = Usage()
        self.cost = self.unpriced = 0
        self.latency: dict[str, LatencySketch] = defaultdict(LatencySketch)  # by alias
        self.causes: dict[tuple[str, Cause], int] = defaultdict(int)  # of failed calls, by alias
        self.buckets: dict[int, _Bucket] = defaultdict(_Bucket)
        self.groups: dict[str, list] = {}
        # by alias: succeeded, failed, input, output, cost
        self.by_config: dict[str, list[int]] = defaultdict(lambda: [0] * 5)
        self.saved_calls = self.saved = 0
        self.spending: dict[tuple[int, str, int], int] = defaultdict(int)

    @cached_property
    def known_groups(self) -> set[str]:
        """Keys of the error groups the job has."""
        return {key for (key,) in database.execute_sql(_GROUPS, (self._job_id,))}


def write(
    records: list[Recorded],
    paid: Callable[[dict[tuple, int]], None] | None = None,
    worker: str = "",
) -> list[Recorded]:
    """Commit ``records``; returns those whose outcome was new. The primary key of ``result`` makes
    a second result for a request impossible: it is ignored, and so is what it would have counted.
    ``paid`` is called in the transaction with their cost, by keys of accounts (spend_leases.py). ``worker``
    is the worker that made the calls, if several share a job."""
    with database.atomic():
        changes = {job_id: _JobChange(job_id) for job_id in sorted({r.job_id for r in records})}
        fresh = _new_ones(records)
        result_rows, attempt_rows = [], []
        for record in fresh:
            change = changes[record.job_id]
            _attempts(record, change, attempt_rows)
            if record.outcome is not None:
                result_rows.append(_result(record, record.outcome, change))
        database.executemany(_RESULT, result_rows)
        database.executemany(_ATTEMPT, attempt_rows)
        response_cache.keep([record for record in fresh if record.key is not None])
        for job_id in {record.job_id for record in fresh}:
            _write_change(job_id, changes[job_id])
            if worker:
                _write_worker(job_id, changes[job_id], worker)
        spending.add(_spent(changes.values()))
        if paid is not None:
            paid(_by_account(changes))
    for change in changes.values():
        _count(change)
    return fresh


def _spent(changes: Iterable[_JobChange]) -> dict[tuple[int, str, int], int]:
    """What several jobs spent, by config, currency and quarter of an hour."""
    total: dict[tuple[int, str, int], int] = defaultdict(int)
    for change in changes:
        for key, cost in change.spending.items():
            total[key] += cost
    return total


def _by_account(changes: dict[int, _JobChange]) -> dict[tuple[str, int, str], int]:
    costs = {(spend_leases.JOB, job_id, ""): change.cost for job_id, change in changes.items()}
    for (config_id, currency, _t), cost in _spent(changes.values()).items():
        key = spend_leases.CONFIG, config_id, currency
        costs[key] = costs.get(key, 0) + cost
    return costs


def _count(change: _JobChange) -> None:
    for alias, (succeeded, failed, *tokens, _cost) in change.by_config.items():
        tally.finished(alias, succeeded, failed, *tokens)
    for alias, latency in change.latency.items():
        tally.answered(alias, latency)
    for (alias, cause), count in change.causes.items():
        tally.called_in_vain(alias, cause.value, count)
    for (config_id, currency, _t), cost in change.spending.items():
        tally.paid(config_id, currency, cost)
    tally.counted(change.cancelled, change.retries, change.saved_calls, change.unpriced)


def _new_ones(records: list[Recorded]) -> list[Recorded]:
    asked: dict[int, list[int]] = defaultdict(list)
    for record in records:
        if record.outcome is not None:
            asked[record.job_id].append(record.index)
    seen = set()
    for job_id, indices in asked.items():
        known = database.execute_sql(_KNOWN, (job_id, msgspec.json.encode(indices).decode()))
        seen.update((job_id, index) for (index,) in known)
    fresh = []
    for record in records:
        if record.outcome is not None:
            key = record.job_id, record.index
            if key in seen:
                continue
            seen.add(key)
        fresh.append(record)
    return fresh


def _result(record: Recorded, outcome: Outcome, change: _JobChange) -> tuple:
    usage, succeeded = outcome.usage, outcome.status == RequestStatus.SUCCEEDED
    cost = record.cost(usage)
    done = change.by_config[record.alias]
    bucket = change.buckets[outcome.finished_at // 1000]
    if record.reused:
        change.succeeded += 1
        done[0] += 1
        bucket.succeeded += 1
        change.saved_calls += 1
        change.saved += cost or 0
        usage, cost = None, 0
    elif succeeded:
        change.succeeded += 1
        done[0] += 1
        bucket.succeeded += 1
        bucket.sent += 1
        change.attempts += 1
        again = len(outcome.attempts) > 1
        change.retries += again
        bucket.retried += again
        change.latency[record.alias].add(outcome.latency_ms)
        if bucket.latency is None:
            bucket.latency = LatencySketch()
        bucket.latency.add(outcome.latency_ms)
        _spend(change, bucket, done, usage, cost)
        _pay(record, change, usage, outcome.finished_at)
    elif outcome.status == RequestStatus.FAILED:
        change.failed += 1
        done[1] += 1
        bucket.failed += 1
    else:
        change.cancelled += 1
    return (
        record.job_id,
        outcome.index,
        outcome.status.value,
        outcome.cause.value if outcome.cause else None,
        outcome.http_status,
        outcome.message,
        outcome.response,
        outcome.model,
        record.alias,
        len(outcome.attempts),
        outcome.started_at,
        outcome.finished_at,
        outcome.latency_ms,
        usage.input if usage else None,
        usage.output if usage else None,
        usage.cached if usage else None,
        usage.reasoning if usage else None,
        cost,
    )


def _spend(
    change: _JobChange, bucket: _Bucket, done: list[int], usage: Usage | None, cost: int | None
) -> None:
    if usage is not None:
        done[2] += usage.input
        done[3] += usage.output
        change.usage = change.usage + usage
        bucket.input += usage.input
        bucket.output += usage.output
    if cost is None:
        change.unpriced += 1
    else:
        change.cost += cost
        bucket.cost += cost
        done[4] += cost


def _pay(record: Recorded, change: _JobChange, usage: Usage | None, at: int) -> None:
    """Note what a call that ended at ``at`` (epoch ms) cost, with the config it was made on."""
    cost = record.prices.cost(usage)
    if cost and record.config_id is not None:
        key = record.config_id, record.prices.currency, spending.bucket(at)
        change.spending[key] += cost


def _attempts(record: Recorded, change: _JobChange, rows: list) -> None:
    for attempt in record.attempts:
        if attempt.cause is None:
            continue  # the success is the result itself
        change.attempts += 1
        change.causes[record.alias, attempt.cause] += 1
        change.retries += attempt.number > 1
        ended_at = attempt.started_at + attempt.latency_ms
        bucket = change.buckets[ended_at // 1000]
        bucket.sent += 1
        bucket.retried += attempt.number > 1
        cost = record.cost(attempt.usage)
        if attempt.usage is not None:
            _spend(change, bucket, change.by_config[record.alias], attempt.usage, cost)
            _pay(record, change, attempt.usage, ended_at)
        key = _group(change, attempt)
        rows.append(
            (
                record.job_id,
                record.index,
                attempt.number,
                attempt.started_at,
                attempt.latency_ms,
                attempt.cause.value,
                attempt.http_status,
                attempt.message,
                attempt.excerpt,
                attempt.wait_ms,
                attempt.usage.input if attempt.usage else None,
                attempt.usage.output if attempt.usage else None,
                cost,
                key,
            )
        )


def _group(change: _JobChange, attempt: Attempt) -> str:
    cause, http_status = attempt.cause, attempt.http_status
    message = normalised(attempt.message)
    name = f"{cause}|{http_status or ''}|{message}"
    key = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).hexdigest()
    if key not in change.known_groups and len(change.known_groups) >= MAX_GROUPS:
        # a provider whose messages never repeat must not fill the page
        key, cause, http_status, message = OTHER_GROUP, Cause.INTERNAL, None, "…"
    change.known_groups.add(key)
    at = attempt.started_at + attempt.latency_ms
    group = change.groups.get(key)
    if group is None:
        change.groups[key] = [cause, http_status, message, 1, at, at]
    else:
        group[3] += 1
        group[5] = max(group[5], at)
    return key


def normalised(message: str) -> str:
    """A message with its varying parts (ids, numbers, quoted text) replaced by ``…``."""
    return _VARYING.sub("…", message)[:300]


def _write_change(job_id: int, change: _JobChange) -> None:
    for latency in change.latency.values():
        change.stored.merge(latency)
    Job.update(
        succeeded=Job.succeeded + change.succeeded,
        failed=Job.failed + change.failed,
        cancelled=Job.cancelled + change.cancelled,
        attempts=Job.attempts + change.attempts,
        retries=Job.retries + change.retries,
        input_tokens=Job.input_tokens + change.usage.input,
        output_tokens=Job.output_tokens + change.usage.output,
        cached_tokens=Job.cached_tokens + change.usage.cached,
        reasoning_tokens=Job.reasoning_tokens + change.usage.reasoning,
        cost_nano=Job.cost_nano + change.cost,
        unpriced=Job.unpriced + change.unpriced,
        saved_calls=Job.saved_calls + change.saved_calls,
        saved_nano=Job.saved_nano + change.saved,
        latency=change.stored.to_bytes(),
    ).where(Job.id == job_id).execute()
    figures = [(*done, job_id, alias) for alias, done in change.by_config.items()]
    database.executemany(_BY_CONFIG, figures)
    _write_groups(job_id, change.groups)
    _write_timeline(job_id, change.buckets)


def _write_worker(job_id: int, change: _JobChange, worker: str) -> None:
    figures = change.succeeded, change.failed, change.attempts
    if any(figures):
        database.execute_sql(_BY_WORKER, (job_id, worker, *figures))


def _write_groups(job_id: int, groups: dict[str, list]) -> None:
    rows = [
        (job_id, key, cause.value, http_status, message, count, first, last)
        for key, (cause, http_status, message, count, first, last) in groups.items()
    ]
    database.executemany(_GROUP, rows)


def _write_timeline(job_id: int, buckets: dict[int, _Bucket]) -> None:
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
        (width, t): latency for width, t, latency in database.execute_sql(query, (job_id, *bound))
    }
    rows = []
    for (width, t), bucket in joined.items():
        sketch = LatencySketch(stored.get((width, t)))
        if bucket.latency is not None:
            sketch.merge(bucket.latency)
        rows.append(
            (job_id, width, t, bucket.sent, bucket.succeeded, bucket.failed, bucket.retried,
             bucket.input, bucket.output, bucket.cost, sketch.to_bytes())
        )  # fmt: skip
    database.executemany(_TIMELINE, rows)


def _joined(buckets: dict[int, _Bucket], width: int) -> dict[int, _Bucket]:
    """Buckets of a second joined into buckets of ``width`` seconds."""
    if width == 1:
        return buckets
    joined: dict[int, _Bucket] = defaultdict(_Bucket)
    for t, bucket in buckets.items():
        into = joined[t - t % width]
        into.sent += bucket.sent
        into.succeeded += bucket.succeeded
        into.failed += bucket.failed
        into.retried += bucket.retried
        into.input += bucket.input
        into.output += bucket.output
        into.cost += bucket.cost
        if bucket.latency is not None:
            if into.latency is None:
                into.latency = LatencySketch()
            into.latency.merge(bucket.latency)
    return joined

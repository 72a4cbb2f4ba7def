"""Write results, attempts and all that is counted of them (job_change.py) of many requests, of
one or several jobs, in one transaction."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import msgspec

from ..core.domain import Attempt, Cause, RequestResult
from . import column_keys, response_cache, spend_leases, spending
from .answer_group import ROW, AnswerGroup
from .job_change import JobChange, Recorded, call_of, call_of_attempt
from .models import database
from .part_change import PartChanges

_RESULT = (
    "INSERT INTO result (job_id, idx, status, cause, http_status, message, response, "
    "model, config, attempts, started_at, finished_at, latency_ms, input_tokens, output_tokens, "
    "cached_tokens, reasoning_tokens, cache_write_tokens, cache_write_1h_tokens, estimated, cost_nano, "
    "outcome, finish_reason, service_tier, first_token_ms) "
    "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)
_ATTEMPT = (
    "INSERT INTO attempt (job_id, idx, number, started_at, latency_ms, cause, http_status, message, "
    "excerpt, wait_ms, input_tokens, output_tokens, estimated, cost_nano, group_key) "
    "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)
_KNOWN = "SELECT idx FROM result WHERE job_id = ? AND idx IN (SELECT value FROM json_each(?))"

__all__ = ["Recorded", "write"]


def write(
    items: Sequence[Recorded | AnswerGroup],
    on_cost: Callable[[dict[tuple, int]], None] | None = None,
    worker: str = "",
) -> None:
    """Commit results. The primary key of ``result`` makes a second result for a request impossible: it
    is ignored, and so is what it would have counted; the same holds for a request that is no longer in
    the part that the record names. ``on_cost`` is called in the transaction with the
    nano-units that the others cost, by keys of accounts (spend_leases.py). ``worker`` is the worker that
    made the calls, if several share a job."""
    records = [item for item in items if isinstance(item, Recorded)]
    groups = [item for item in items if isinstance(item, AnswerGroup)]
    with database.atomic():
        changes = {job_id: JobChange(job_id) for job_id in sorted({one.job_id for one in items})}
        parts = PartChanges(records)
        new = _new_ones(parts.there(records))
        _write_records(new, changes, parts)
        response_cache.keep(new)
        written: dict[int, list[int]] = defaultdict(list)  # when its results ended, by job
        for record in new:
            ended = [] if record.result is None else [record.result.finished_at]
            written[record.job_id] += ended
        for group in groups:
            if _write_answers(group, changes[group.job_id], parts):
                written[group.job_id].append(group.finished_at)
        for job_id, ended in written.items():
            changes[job_id].write(worker)
            column_keys.results_late(job_id, ended)
        parts.write()
        spending.add(_spent(changes.values()))
        if on_cost is not None:
            on_cost(_by_account(changes))
    for change in changes.values():
        change.count()


def _write_records(
    records: list[Recorded], changes: dict[int, JobChange], parts: PartChanges
) -> None:
    """Write the rows of records one by one, and count them."""
    results: list[tuple] = []
    attempts: list[tuple] = []
    for record in records:
        change = changes[record.job_id]
        for attempt in record.attempts:
            if attempt.cause is not None:  # the success is the result itself
                attempts.append(_attempt_row(record, attempt, attempt.cause, change))
        cost = None
        if record.result is not None:
            call = call_of(record.result)
            cost = 0 if record.reused else record.cost(call)
            change.add_result(record, record.result, call, cost)
            results.append(_result_row(record, record.result, cost))
        if record.part_id is not None:
            parts.add(record, cost)
    database.executemany(_RESULT, results)
    database.executemany(_ATTEMPT, attempts)


def _write_answers(group: AnswerGroup, change: JobChange, parts: PartChanges) -> bool:
    """The same for a group of answers. Returns False if none of them is new."""
    there = parts.take(group)
    there -= _ended(group.job_id, [index for index, *_ in group.answers])
    if len(there) < len(group):
        new = {one[0]: one for one in group.answers if one[0] in there}
        group = msgspec.structs.replace(group, answers=list(new.values()))
    if not group.answers:
        return False
    usages = [answer.usage for *_, answer in group.answers]
    charged = group.call_prices().costs(usages)
    costs: list[int | None] = [None] * len(group) if group.foreign else charged
    database.executemany(ROW, group.rows(costs))
    change.add_answers(group, usages, costs, charged)
    parts.add_answers(group.part_id, costs)
    return True


def _ended(job_id: int, indices: list[int]) -> set[int]:
    """Those of the requests that have a result."""
    rows = database.execute_sql(_KNOWN, (job_id, msgspec.json.encode(indices).decode()))
    return set(chain.from_iterable(rows))


def _new_ones(records: list[Recorded]) -> list[Recorded]:
    """The records without those of requests that have a result already."""
    ended: dict[int, list[int]] = defaultdict(list)
    for record in records:
        if record.result is not None:
            ended[record.job_id].append(record.index)
    known: set[tuple[int, int]] = set()
    for job_id, indices in ended.items():
        known.update((job_id, index) for index in _ended(job_id, indices))
    new = []
    for record in records:
        if record.result is not None:
            key = record.job_id, record.index
            if key in known:
                continue
            known.add(key)
        new.append(record)
    return new


def _spent(changes: Iterable[JobChange]) -> dict[tuple[int, str, int], int]:
    """What several jobs spent, by config, currency and quarter of an hour."""
    total: dict[tuple[int, str, int], int] = defaultdict(int)
    for change in changes:
        for key, cost in change.spending.items():
            total[key] += cost
    return total


def _by_account(changes: dict[int, JobChange]) -> dict[tuple, int]:
    costs = {(spend_leases.JOB, job_id, ""): change.cost_nano for job_id, change in changes.items()}
    for (config_id, currency, _t), cost in _spent(changes.values()).items():
        key = spend_leases.CONFIG, config_id, currency
        costs[key] = costs.get(key, 0) + cost
    return costs


def _result_row(record: Recorded, result: RequestResult, cost: int | None) -> tuple:
    usage = None if record.reused else result.usage
    return (
        record.job_id,
        result.index,
        result.status.value,
        result.cause.value if result.cause else None,
        result.http_status,
        result.message,
        result.response,
        result.model,
        record.alias,
        len(result.attempts),
        result.started_at,
        result.finished_at,
        result.latency_ms,
        usage.input if usage else None,
        usage.output if usage else None,
        usage.cached if usage else None,
        usage.reasoning if usage else None,
        usage.cache_write if usage else None,
        usage.cache_write_1h if usage else None,
        usage.estimated if usage else None,
        cost,
        result.outcome.value if result.outcome else None,
        result.finish_reason,
        result.service_tier,
        result.first_token_ms,
    )


def _attempt_row(record: Recorded, attempt: Attempt, cause: Cause, change: JobChange) -> tuple:
    """The row of a failed attempt, which is counted in the change."""
    cost = record.cost(call_of_attempt(attempt))
    return (
        record.job_id,
        record.index,
        attempt.number,
        attempt.started_at,
        attempt.latency_ms,
        cause.value,
        attempt.http_status,
        attempt.message,
        attempt.excerpt,
        attempt.wait_ms,
        attempt.usage.input if attempt.usage else None,
        attempt.usage.output if attempt.usage else None,
        attempt.usage.estimated if attempt.usage else None,
        cost,
        change.add_failure(record, attempt, cause, cost),
    )

"""What one commit of results changes for one job: counters, timeline, error groups and spending."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ..core.call_prices import NOTHING_SAVED, Prices, Saved, Usage
from ..core.domain import Attempt, Cause, RequestResult, RequestStatus
from . import spending, timeline
from .counters import process_counters
from .dialect import LOCKING
from .error_groups import ErrorGroups
from .latency_sketch import LatencySketch
from .models import database
from .timeline import Bucket

if TYPE_CHECKING:
    from .answer_group import AnswerGroup

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
_UPDATE = "UPDATE job SET {added} latency = ?, first_token = ? WHERE id = ?"
_LATENCY = f"SELECT latency, first_token FROM job WHERE id = ? {LOCKING}"


@lru_cache(maxsize=256)
def _update(columns: tuple[str, ...]) -> str:
    """Kept, and written by hand: the query builder takes as long as inserting thirty results."""
    return _UPDATE.format(added="".join(f"{name} = {name} + ?, " for name in columns))


class Call(NamedTuple):
    """What the price of a call depends on; times are epoch ms."""

    usage: Usage | None
    began_at: int
    ended_at: int
    service_tier: str | None


def call_of(result: RequestResult) -> Call:
    """The call that a result came from; an answer that is reused has the price of the moment."""
    began = ended = result.finished_at
    if result.attempts:
        last = result.attempts[-1]
        began, ended = last.started_at, last.ended_at
    return Call(result.usage, began, ended, result.service_tier)


def call_of_attempt(attempt: Attempt) -> Call:
    """The call that failed."""
    return Call(attempt.usage, attempt.started_at, attempt.ended_at, attempt.service_tier)


class Recorded(msgspec.Struct, frozen=True):
    """The recorder's input for one request of a job. ``result`` is None if the request stays pending and
    only its failed attempts are stored. ``config_id`` is the config that the calls are charged to.
    ``foreign``: its currency differs from the job's, so the job does not know the cost."""

    job_id: int
    alias: str
    prices: Prices
    index: int
    attempts: tuple[Attempt, ...]
    result: RequestResult | None = None
    config_id: int | None = None
    foreign: bool = False
    key: bytes | None = None  # under which the answer is kept for other jobs
    reused: bool = False  # it succeeded with another job's answer, without a call
    part_id: int | None = None  # it was in this part of the job, and leaves it (part_change.py)

    def cost(self, call: Call) -> int | None:
        """In the job's currency."""
        return None if self.foreign else self.charged(call)

    def charged(self, call: Call) -> int | None:
        """In the config's currency."""
        return self.prices.cost_of(call.usage, call.ended_at, call.service_tier, call.began_at)

    def saved(self, call: Call, cost: int | None) -> Saved:
        """In the job's currency, by a call of this cost."""
        if cost is None or call.usage is None:
            return NOTHING_SAVED
        if not (self.prices.rules or call.usage.cached or call.usage.cache_write):
            return NOTHING_SAVED
        return self.prices.saved_at(cost, call.usage, call.service_tier)


@dataclass(slots=True)
class _ConfigChange:
    """What one API config did for the job; the cost in the job's currency."""

    succeeded: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached: int = 0
    cache_write: int = 0
    cost_nano: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)  # results by outcome


class JobChange:
    """All that one commit changes for one job. Created in the transaction: it locks the job."""

    def __init__(self, job_id: int):
        self._job_id = job_id
        row = database.execute_sql(_LATENCY, (job_id,)).fetchone()  # locks it against other changes
        self._stored = LatencySketch(row[0] if row else None)
        self._stored_first = LatencySketch(row[1] if row else None)
        self._succeeded = self._failed = self._cancelled = self._attempts = self._retries = 0
        self._usage = Usage()
        self.cost_nano = self._unpriced = 0
        self._saved_calls = self._saved_nano = self._tier_fallbacks = 0
        # calls and nano-units by alias, way and currency
        self._saved_by: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
        self._latency: dict[str, LatencySketch] = defaultdict(LatencySketch)  # by alias
        self._first_tokens: dict[str, LatencySketch] = defaultdict(LatencySketch)  # by alias
        self._causes: dict[tuple[str, Cause], int] = defaultdict(int)  # of failed calls, by alias
        self._by_config: dict[str, _ConfigChange] = defaultdict(_ConfigChange)  # by alias
        self._buckets: dict[int, Bucket] = defaultdict(Bucket)  # by second
        self._groups = ErrorGroups(job_id)
        # nano-units by config id, currency and quarter of an hour
        self.spending: dict[tuple[int, str, int], int] = defaultdict(int)

    def add_result(
        self, record: Recorded, result: RequestResult, call: Call, cost: int | None
    ) -> None:
        """Count how a request ended; ``cost`` is that of the ``call`` that its result came from, in the
        job's currency."""
        config = self._by_config[record.alias]
        bucket = self._buckets[result.finished_at // 1000]
        if result.outcome is not None:
            outcome = result.outcome.value
            config.outcomes[outcome] = config.outcomes.get(outcome, 0) + 1
        if result.status == RequestStatus.SUCCEEDED:
            self._groups.add_result(record.index, succeeded=True)
            self._succeeded += 1
            config.succeeded += 1
            bucket.succeeded += 1
            self._tier_fallbacks += result.tier_fallback
            if record.reused:
                self._reuse(record, record.cost(call) or 0)
            else:
                self._add_success(record, result, bucket, call, cost)
        elif result.status == RequestStatus.FAILED:
            self._groups.add_result(record.index, succeeded=False)
            self._failed += 1
            config.failed += 1
            bucket.failed += 1
        else:
            self._cancelled += 1

    def _reuse(self, record: Recorded, cost: int) -> None:
        """Count an answer of another job, which would have cost this much."""
        self._saved_calls += 1
        self._saved_nano += cost
        self._save(record, "reuse", 1, cost)

    def _save(self, record: Recorded, by: str, calls: int, nano: int) -> None:
        sums = self._saved_by[record.alias, by, record.prices.currency]
        sums[0] += calls
        sums[1] += nano

    def add_answers(
        self,
        group: "AnswerGroup",
        usages: list[Usage],
        costs: list[int | None],
        charged: list[int | None],
    ) -> None:
        """Count requests that have succeeded through a provider's batch, at these ``costs`` in the job's
        currency, and ``charged`` with these in the config's."""
        count, answers = len(costs), group.answers
        config, bucket = self._by_config[group.alias], self._buckets[group.finished_at // 1000]
        retried = sum([tried > 0 for _index, tried, _answer in answers])
        self._attempts += count
        self._succeeded += count
        self._retries += retried
        config.succeeded += count
        bucket.succeeded += count
        bucket.sent += count
        bucket.retried += retried
        self._groups.add_successes([index for index, _tried, _answer in answers])
        for outcome, number in Counter([answer.outcome for *_, answer in answers]).items():
            if outcome is not None:
                config.outcomes[outcome.value] = config.outcomes.get(outcome.value, 0) + number
        self._add_tokens(usages, config, bucket)
        self._add_costs(costs, config, bucket)
        for by, (calls, nano) in group.call_prices().saved(costs, usages).items():
            if calls or nano:
                sums = self._saved_by[group.alias, by, group.prices.currency]
                sums[0] += calls
                sums[1] += nano
        if group.config_id is not None and (paid := sum(filter(None, charged))):
            at = spending.bucket(group.finished_at)
            self.spending[group.config_id, group.prices.currency, at] += paid

    def _add_tokens(self, usages: list[Usage], config: _ConfigChange, bucket: Bucket) -> None:
        total = Usage(*map(sum, zip(*map(msgspec.structs.astuple, usages), strict=True)))
        config.input_tokens += total.input
        config.output_tokens += total.output
        config.cached += total.cached
        config.cache_write += total.cache_write
        self._usage = self._usage + total
        bucket.input_tokens += total.input
        bucket.output_tokens += total.output

    def _add_costs(self, costs: list[int | None], config: _ConfigChange, bucket: Bucket) -> None:
        total = sum(filter(None, costs))
        self._unpriced += costs.count(None)
        self.cost_nano += total
        bucket.cost_nano += total
        config.cost_nano += total

    def _add_success(
        self,
        record: Recorded,
        result: RequestResult,
        bucket: Bucket,
        call: Call,
        cost: int | None,
    ) -> None:
        """Count the call that succeeded."""
        bucket.sent += 1
        self._attempts += 1
        retried = len(result.attempts) > 1
        self._retries += retried
        bucket.retried += retried
        if result.latency_ms is not None:
            self._latency[record.alias].add(result.latency_ms)
        if result.first_token_ms is not None:
            self._first_tokens[record.alias].add(result.first_token_ms)
        bucket.add_times(result.latency_ms, result.first_token_ms)
        self._spend(record, bucket, call, cost, result.finished_at)

    def add_failure(
        self, record: Recorded, attempt: Attempt, cause: Cause, cost: int | None
    ) -> str:
        """Count an attempt that failed for this cause, at this cost; returns the key of its error
        group."""
        self._attempts += 1
        self._causes[record.alias, cause] += 1
        self._retries += attempt.number > 1
        bucket = self._buckets[attempt.ended_at // 1000]
        bucket.sent += 1
        bucket.retried += attempt.number > 1
        if attempt.usage is not None:
            self._spend(record, bucket, call_of_attempt(attempt), cost, attempt.ended_at)
        return self._groups.add(attempt, cause)

    def _spend(
        self, record: Recorded, bucket: Bucket, call: Call, cost: int | None, at: int
    ) -> None:
        """Count the tokens and the cost of a call whose result is of ``at`` (epoch ms)."""
        config, usage = self._by_config[record.alias], call.usage
        saved = record.saved(call, cost)
        if saved is not NOTHING_SAVED:
            for by, amount in zip(saved._fields, saved, strict=True):
                if amount:
                    self._save(record, by, amount > 0, amount)
        if usage is not None:
            config.input_tokens += usage.input
            config.output_tokens += usage.output
            config.cached += usage.cached
            config.cache_write += usage.cache_write
            self._usage = self._usage + usage
            bucket.input_tokens += usage.input
            bucket.output_tokens += usage.output
        if cost is None:
            self._unpriced += 1
        else:
            self.cost_nano += cost
            bucket.cost_nano += cost
            config.cost_nano += cost
        charged = record.charged(call) if record.foreign else cost
        if charged and record.config_id is not None:
            key = record.config_id, record.prices.currency, spending.bucket(at)
            self.spending[key] += charged

    def write(self, worker: str) -> None:
        """Write the change in the transaction; ``worker`` made the calls, if several share a job."""
        for latency in self._latency.values():
            self._stored.merge(latency)
        for first_token in self._first_tokens.values():
            self._stored_first.merge(first_token)
        added = self._added()
        stored = self._stored.to_bytes(), self._stored_first.to_bytes() or None
        database.execute_sql(_update(tuple(added)), (*added.values(), *stored, self._job_id))
        self._write_configs()
        self._groups.write()
        timeline.write(self._job_id, self._buckets)
        figures = self._succeeded, self._failed, self._attempts
        if worker and any(figures):
            database.execute_sql(_BY_WORKER, (self._job_id, worker, *figures))

    def _added(self) -> dict[str, int]:
        """What is added to the columns of the job, but for those to which nothing is."""
        usage = self._usage
        amounts = {
            "succeeded": self._succeeded,
            "failed": self._failed,
            "cancelled": self._cancelled,
            "attempts": self._attempts,
            "retries": self._retries,
            "input_tokens": usage.input,
            "output_tokens": usage.output,
            "cached_tokens": usage.cached,
            "reasoning_tokens": usage.reasoning,
            "cache_write_tokens": usage.cache_write,
            "estimated_calls": usage.estimated,
            "cost_nano": self.cost_nano,
            "unpriced": self._unpriced,
            "saved_calls": self._saved_calls,
            "saved_nano": self._saved_nano,
            "tier_fallbacks": self._tier_fallbacks,
            **self._saved(),
            **self._outcomes(),
        }
        return {name: amount for name, amount in amounts.items() if amount}

    def _saved(self) -> Counter[str]:
        """What all configs saved, by column."""
        sums: Counter[str] = Counter()
        for (_alias, by, _currency), (calls, nano) in self._saved_by.items():
            sums[f"saved_{by}_calls"] += calls
            sums[f"saved_{by}_nano"] += nano
        return sums

    def _outcomes(self) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for config in self._by_config.values():
            counts.update(config.outcomes)
        return {f"outcome_{outcome}": count for outcome, count in counts.items()}

    def _write_configs(self) -> None:
        rows = [
            (
                config.succeeded,
                config.failed,
                config.input_tokens,
                config.output_tokens,
                config.cost_nano,
                self._job_id,
                alias,
            )
            for alias, config in self._by_config.items()
        ]
        database.executemany(_BY_CONFIG, rows)

    def count(self) -> None:
        """Count what was committed in the counters of this process."""
        for alias, config in self._by_config.items():
            process_counters.finished(
                alias,
                config.succeeded,
                config.failed,
                config.input_tokens,
                config.output_tokens,
            )
            process_counters.delivered(alias, config.outcomes)
            if config.cached or config.cache_write:
                process_counters.cache_used(alias, config.cached, config.cache_write)
        for alias, latency in self._latency.items():
            process_counters.answered(alias, latency)
        for alias, first_token in self._first_tokens.items():
            process_counters.begun(alias, first_token)
        for (alias, cause), count in self._causes.items():
            process_counters.calls_failed(alias, cause.value, count)
        for (config_id, currency, _t), cost in self.spending.items():
            process_counters.paid(config_id, currency, cost)
        for (alias, by, currency), (calls, nano) in self._saved_by.items():
            process_counters.saved(alias, by, currency, calls, nano)
        process_counters.counted(
            self._cancelled,
            self._retries,
            self._saved_calls,
            self._unpriced,
            self._usage.estimated,
        )

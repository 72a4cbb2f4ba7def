"""One job in figures: for ``show-job --json`` and for the live feed (docs/commands.md)."""

import json
import math
from decimal import Decimal
from typing import TypedDict

from ..core.call_prices import NANO
from ..core.clock import iso, now_ms
from ..core.domain import Cause, JobStatus, Service
from ..store import jobs, savings
from ..store.latency_sketch import LatencySketch
from ..store.models import Job, database
from ..store.outcome_status import outcome_status
from ..store.savings import Cost, SavingJson, cost
from .parts import PartJson, PartSums, part_sums, parts, parts_left_s
from .rating_figures import RatingFigures, rating_figures

_RUNNING = (JobStatus.RUNNING, JobStatus.CANCELLING, JobStatus.FINALIZING)
_KNOWN_WELL = 400  # requests done: the time left is then known to about 10 %
_STANDING = (JobStatus.VALIDATING, JobStatus.SCHEDULED, JobStatus.QUEUED, JobStatus.PAUSED)


class Counts(TypedDict):
    """Requests of a job by status; all but ``total`` add up to it."""

    total: int
    succeeded: int
    failed: int
    cancelled: int
    pending: int
    in_flight: int
    retrying: int  # waiting for their next attempt


class Latency(TypedDict):
    """Percentiles and mean in ms of the calls that succeeded; None where there are none."""

    p50: int | None
    p90: int | None
    p95: int | None
    p99: int | None
    mean: int | None


class Tokens(TypedDict):
    """Tokens as the provider counted them; of ``estimated`` calls it did not, and they are estimated."""

    input: int  # ``cached`` and ``cache_write`` among them
    output: int  # ``reasoning`` among them
    total: int
    cached: int
    reasoning: int
    cache_write: int
    estimated: int  # calls


class CauseCount(TypedDict):
    cause: str
    count: int  # failed requests


class Outcomes(TypedDict):
    """Results of a job by what their answers are worth (core.domain.Outcome); results without an
    answer are not among them."""

    ok: int
    cut_off: int
    refused: int
    empty: int
    tool_call: int
    schema: int


class WaitingState(TypedDict):
    """An outage of the endpoint: the running job waits, and goes on by itself (docs/engine.md)."""

    since: str | None  # ISO 8601 in UTC, as the next
    reason: str  # in the words of the provider or of the transport
    next_probe_at: str | None


class FirstToken(TypedDict):
    """Times to the first token, of the answers that came as streams."""

    p50: int | None
    p95: int | None


class ConnectionLimit(TypedDict):
    """What limits the calls of one connection now (core.domain.GovernorState)."""

    config: str  # alias
    limited_by: str  # of LimitedBy; empty: nothing
    limited_to: int | None
    cooldown_s: float
    reason: str  # of the cooldown


class Summary(TypedDict):
    """One job in figures; moments are ISO 8601 in UTC."""

    id: int
    name: str
    status: str  # of JobStatus
    status_reason: str | None
    total: int  # requests, as the four that follow
    succeeded: int
    failed: int
    cancelled: int
    pending: int  # without a result
    attempts: int  # calls
    retries: int  # calls after the first of a request
    created_at: str | None
    started_at: str | None
    finished_at: str | None
    elapsed_s: float  # without pauses
    requests_per_second: float
    latency_ms: Latency
    tokens: Tokens
    cost: Cost
    errors: list[CauseCount]  # the most frequent first
    outcomes: Outcomes
    outcome_status: str | None  # of OutcomeStatus; None while it is not final
    waiting: WaitingState | None  # only while it is running
    saved: list[SavingJson]
    first_token_ms: FirstToken
    service: str  # of core.domain.Service
    parts: list[PartJson]  # of its batches at a provider, the oldest first
    tags: list[str]
    ratings: RatingFigures | None  # of its answers; None where there are none


class Progress(TypedDict):
    """The payload of ``job.progress``."""

    status: str  # of JobStatus
    status_reason: str
    outcome_status: str | None  # of OutcomeStatus; None while it is not final
    waiting: WaitingState | None
    counts: Counts
    outcomes: Outcomes
    requests_per_second: float  # 0 while it makes no calls
    eta_s: int | None  # only while it is running
    eta_range_s: list[int] | None  # least and most, while too little is done to know it well
    work_left_s: int | None  # at its average speed so far, only while it makes no calls
    elapsed_s: int  # without pauses
    p50_ms: int | None  # latency of the calls that succeeded
    p95_ms: int | None
    p99_ms: int | None
    first_token_ms: FirstToken
    attempts: int  # calls
    retries: int  # calls after the first of a request
    tokens: Tokens
    saved: list[SavingJson]
    cache_hit_rate: float | None  # cached input tokens over all; None where there are none
    cost: Cost
    spend_cap: float | None  # in units of the job's currency
    governor: dict | None  # the fields of core.domain.GovernorState
    # of each connection of a job on several that gets calls; None for a job on one
    limits: list[ConnectionLimit] | None
    parts: PartSums | None  # only of a job that goes through a provider's batch API


def split_tags(text: str) -> list[str]:
    """The tags in the column of a job."""
    return text.split(", ") if text else []


def summary(job_id: int) -> Summary:
    """The object that ``show-job --json`` prints. Raises NotFound."""
    job = jobs.get(job_id)
    sketch = LatencySketch(job.latency)
    return {
        "id": job.id,
        "name": job.name,
        "status": job.status,
        "status_reason": job.status_reason or None,
        "total": job.total,
        "succeeded": job.succeeded,
        "failed": job.failed,
        "cancelled": job.cancelled,
        "pending": pending(job),
        "attempts": job.attempts,
        "retries": job.retries,
        "created_at": iso(job.created_at),
        "started_at": iso(job.started_at),
        "finished_at": iso(job.finished_at),
        "elapsed_s": round(elapsed_s(job), 3),
        "requests_per_second": round(rate(job), 3),
        "latency_ms": {
            "p50": _rounded(sketch.quantile(0.50)),
            "p90": _rounded(sketch.quantile(0.90)),
            "p95": _rounded(sketch.quantile(0.95)),
            "p99": _rounded(sketch.quantile(0.99)),
            "mean": _rounded(sketch.mean()),
        },
        "tokens": tokens(job),
        "cost": cost(job),
        "errors": _failures_by_cause(job_id),
        "outcomes": outcomes(job),
        "outcome_status": outcome_status(job),
        "waiting": waiting(job),
        "saved": _saved(job),
        "first_token_ms": first_token(job),
        "service": job.service,
        "parts": parts(job_id) if job.service != Service.NOW else [],
        "tags": split_tags(job.tags),
        "ratings": rating_figures(job),
    }


def first_token(job: Job) -> FirstToken:
    """Quantiles of the times to the first token (ms)."""
    sketch = LatencySketch(job.first_token)
    return {"p50": _rounded(sketch.quantile(0.50)), "p95": _rounded(sketch.quantile(0.95))}


def progress(of: Job | int) -> Progress:
    """The payload of ``job.progress`` (docs/live-feed.md), of a job or of the one with that id. Raises
    NotFound."""
    job = jobs.known(of)
    live = live_of(job)
    sketch = LatencySketch(job.latency)
    sums = part_sums(job)
    return {
        "status": job.status,
        "status_reason": job.status_reason,
        "outcome_status": outcome_status(job),
        "waiting": waiting(job, live),
        "counts": counts(job, live),
        "outcomes": outcomes(job),
        "requests_per_second": round(rate_now(job), 2),
        "eta_s": eta_s(job) if sums is None else _eta_with_parts(job, sums),
        "eta_range_s": _eta_range_s(job) if sums is None else None,
        "work_left_s": _work_left_s(job, sums),
        "elapsed_s": round(elapsed_s(job)),
        "p50_ms": _rounded(sketch.quantile(0.50)),
        "p95_ms": _rounded(sketch.quantile(0.95)),
        "p99_ms": _rounded(sketch.quantile(0.99)),
        "first_token_ms": first_token(job),
        "attempts": job.attempts,
        "retries": job.retries,
        "tokens": tokens(job),
        "saved": _saved(job),
        "cache_hit_rate": cache_hit_rate(job),
        "cost": cost(job),
        "spend_cap": None if job.spend_cap is None else float(Decimal(job.spend_cap) / NANO),
        "governor": live.get("governor"),
        "limits": _limits(live),
        "parts": sums,
    }


def counts(job: Job, live: dict) -> Counts:
    """How many requests stand where."""
    left = pending(job)
    in_flight = min(left, live.get("in_flight", 0))
    retrying = min(left - in_flight, live.get("retrying", 0))
    return {
        "total": job.total,
        "succeeded": job.succeeded,
        "failed": job.failed,
        "cancelled": job.cancelled,
        "pending": left - in_flight - retrying,
        "in_flight": in_flight,
        "retrying": retrying,
    }


def outcomes(job: Job) -> Outcomes:
    """By the job's counters; they are too low as long as ``outcomes_known`` is False."""
    return {
        "ok": job.outcome_ok,
        "cut_off": job.outcome_cut_off,
        "refused": job.outcome_refused,
        "empty": job.outcome_empty,
        "tool_call": job.outcome_tool_call,
        "schema": job.outcome_schema,
    }


def outcomes_known(job: Job) -> bool:
    """False while the results of a job of an older version get their outcomes, in the background."""
    return job.outcomes_filled_to is None


def live_of(job: Job) -> dict:
    """The live state that the process running the job last wrote (the fields of runner.live_state's
    LiveState); empty where it is stale."""
    if job.status not in _RUNNING:
        return {}
    live = json.loads(job.live or "{}")
    return live if now_ms() - live.get("at", 0) < jobs.LIVE_FRESH_MS else {}


def _limits(live: dict) -> list[ConnectionLimit] | None:
    configs = live.get("configs")
    if not configs:
        return None
    return [
        {
            "config": alias,
            "limited_by": one["governor"].get("limited_by") or "",
            "limited_to": one["governor"].get("limited_to"),
            "cooldown_s": one["governor"].get("cooldown_s", 0),
            "reason": one["governor"].get("reason", ""),
        }
        for alias, one in configs.items()
        if not one["state"]
    ]


def waiting(job: Job, live: dict | None = None) -> WaitingState | None:
    """Since when and why a running job waits for its endpoint; None if it does not."""
    found = (live_of(job) if live is None else live).get("waiting")
    if not found or job.status != JobStatus.RUNNING:
        return None
    return {
        "since": iso(found["since"]),
        "reason": found["reason"],
        "next_probe_at": iso(found["next_probe_at"]),
    }


def waits_for_share(job: Job) -> bool:
    """Whether no worker that runs the job can make a call, because it has no share of the rate limits or
    the spend cap (docs/scale-out.md)."""
    return live_of(job).get("waits", False)


def pending(job: Job) -> int:
    """Requests without a result, being called or not."""
    return max(0, job.total - job.succeeded - job.failed - job.cancelled)


def elapsed_s(job: Job) -> float:
    """Seconds spent running; pauses are not counted."""
    running = now_ms() - job.resumed_at if job.resumed_at else 0
    return (job.active_ms + max(0, running)) / 1000


def rate(job: Job) -> float:
    """Requests finished per second: of the last seconds while it runs, else of the whole run."""
    live = live_of(job)
    if live and job.status == JobStatus.RUNNING:
        return live.get("rate", 0.0)
    elapsed = elapsed_s(job)
    return (job.succeeded + job.failed) / elapsed if elapsed else 0.0


def rate_now(job: Job) -> float:
    """As ``rate``; 0 for a job that makes no calls but will, as a paused one."""
    return 0.0 if job.status in _STANDING else rate(job)


def eta_s(job: Job) -> int | None:
    """Seconds until a running job is done; None for any other, where its speed is not known, and while it waits
    for its endpoint."""
    if job.status != JobStatus.RUNNING or waiting(job) is not None:
        return None
    return _time_left_s(job, rate(job))


def _eta_range_s(job: Job) -> list[int] | None:
    """The time of n requests, which vary as those of a Poisson process, is known to about 2/√n (95 %).
    Half of it, twice it at the most. None where it is known to 10 %."""
    expected, done = eta_s(job), job.succeeded + job.failed
    if expected is None or done >= _KNOWN_WELL:
        return None
    unsure = 1.0 + min(1.0, 2.0 / math.sqrt(max(1, done)))
    return [round(expected / unsure), round(expected * unsure)]


def _eta_with_parts(job: Job, sums: PartSums) -> int | None:
    """The same where requests wait for batches: results come all at once, so the speed says nothing."""
    return parts_left_s(job, sums) if sums["in_parts"] else eta_s(job)


def _work_left_s(job: Job, sums: PartSums | None) -> int | None:
    if job.status not in _STANDING or (sums is not None and sums["count"]):
        return None
    return _time_left_s(job, rate(job))


def _time_left_s(job: Job, per_second: float) -> int | None:
    left = pending(job)
    return round(left / per_second) if per_second and left else None


def tokens(job: Job) -> Tokens:
    return {
        "input": job.input_tokens,
        "output": job.output_tokens,
        "total": job.input_tokens + job.output_tokens,
        "cached": job.cached_tokens,
        "reasoning": job.reasoning_tokens,
        "cache_write": job.cache_write_tokens,
        "estimated": job.estimated_calls,
    }


def _saved(job: Job) -> list[SavingJson]:
    return [saving.to_json() for saving in savings.saved(job)]


def cache_hit_rate(job: Job) -> float | None:
    """The part of the input that came from the provider's prompt cache."""
    return round(job.cached_tokens / job.input_tokens, 4) if job.input_tokens else None


def _failures_by_cause(job_id: int) -> list[CauseCount]:
    # the index of causes counts without reading the rows; these two are of cancelled requests alone
    rows = database.execute_sql(
        "SELECT cause, count(*) FROM result WHERE job_id = ? AND cause IS NOT NULL "
        "AND cause NOT IN (?, ?) GROUP BY cause ORDER BY 2 DESC, 1",
        (job_id, Cause.CANCELLED, Cause.EXPIRED),
    )
    return [{"cause": cause, "count": count} for cause, count in rows]


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)

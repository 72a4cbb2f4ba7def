"""The parts of a job that goes through a provider's batch API: one batch each, in figures."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypedDict

from peewee import fn

from ..core.call_prices import NANO
from ..core.clock import iso, now_ms
from ..core.domain import JobStatus, PartState, Service
from ..store import batch_parts, part_history
from ..store.batch_parts import OPEN, UNDER_WAY, UNSENT
from ..store.models import BatchPart, Job

PAGE = 50


class PartJson(TypedDict):
    """One part. ``status`` is the provider's own word where its batch exists, else ``state``. ``succeeded`` and
    ``failed`` are the provider's counts until its results are merged, then those that were recorded."""

    id: int
    provider_id: str | None
    status: str
    requests: int
    succeeded: int
    failed: int
    created_at: str | None  # ISO 8601 in UTC, as the others
    state: str  # of PartState
    sent_again: int  # requests that it left without a result
    url: str
    model: str
    cost: float | None  # in units of the job's currency; None where that of a request is not known
    detail: str | None  # what it waits for, or how it ended
    sent_at: str | None
    ended_at: str | None
    merged_at: str | None
    next_attempt_at: str | None  # of a part that waits after a refusal, or for room at the provider


class PartSums(TypedDict):
    """All parts of a job together."""

    count: int
    waiting: int  # not sent yet
    open: int  # at the provider
    ended: int  # whose results are being read
    merged: int
    in_parts: int  # requests that wait for the result of a part
    oldest_s: int | None  # since when the oldest batch that is open was sent
    rest_now: bool  # what is left is sent by calls


def parts(job_id: int) -> list[PartJson]:
    """All of a job, the oldest first."""
    return [part_json(part) for part in reversed(list(_all(job_id)))]


def _all(job_id: int) -> Iterator[BatchPart]:
    before = None
    while found := batch_parts.page(job_id, before, PAGE):
        yield from found
        before = found[-1].id


def part_json(part: BatchPart) -> PartJson:
    succeeded, failed = reported(part)
    return {
        "id": part.id,
        "provider_id": part.provider_id or None,
        "status": part.provider_status or part.state,
        "requests": part.requests,
        "succeeded": succeeded or 0,
        "failed": failed or 0,
        "created_at": iso(part.created_at),
        "state": part.state,
        "sent_again": part.sent_again,
        "url": part.url,
        "model": part.model,
        "cost": None if part.unpriced else part.cost_nano / NANO,
        "detail": part.detail or None,
        "sent_at": iso(part.sent_at),
        "ended_at": iso(part.ended_at),
        "merged_at": iso(part.merged_at),
        "next_attempt_at": iso(next_attempt_at(part)),
    }


def next_attempt_at(part: BatchPart) -> int | None:
    """Until when (epoch ms) a part waits that is not sent or could not be asked about; None: it does not."""
    waits = part.state in UNSENT or (part.state in OPEN and part.poll_failures)
    ahead = part.not_before is not None and part.not_before > now_ms()
    return part.not_before if waits and ahead else None


def reported(part: BatchPart) -> tuple[int | None, int | None]:
    """(succeeded, failed) of a part: what was recorded once it is merged, before that what the provider
    reports; None where it reports nothing."""
    if part.state == PartState.MERGED:
        return part.succeeded, part.failed
    return part.remote_succeeded, part.remote_failed


def part_sums(job: Job) -> PartSums | None:
    """None for a job that was never to go through a batch API."""
    if Service(job.service) is Service.NOW:
        return None
    found = _by_state(job.id)

    def count(states: Iterable[PartState]) -> int:
        return sum(found[state].parts for state in states if state in found)

    oldest = [
        sent for state in OPEN if state in found and (sent := found[state].sent_at) is not None
    ]
    return {
        "count": count(PartState),
        "waiting": count(UNSENT),
        "open": count(OPEN),
        "ended": count([PartState.ENDED]),
        "merged": count([PartState.MERGED]),
        "in_parts": sum(found[state].requests for state in UNDER_WAY if state in found),
        "oldest_s": _since(min(oldest, default=None)),
        "rest_now": job.rest_now_at is not None,
    }


class _InState(NamedTuple):
    parts: int
    requests: int
    sent_at: int | None  # of the oldest, epoch ms


def _by_state(job_id: int) -> dict[PartState, _InState]:
    rows = (
        BatchPart.select(
            BatchPart.state,
            fn.COUNT(BatchPart.id),
            fn.SUM(BatchPart.requests),
            fn.MIN(BatchPart.sent_at),
        )
        .where(BatchPart.job == job_id, BatchPart.requests > 0)
        .group_by(BatchPart.state)
    )
    return {PartState(state): _InState(*figures) for state, *figures in rows.tuples()}


def _since(at: int | None) -> int | None:
    return None if at is None else max(0, (now_ms() - at) // 1000)


def parts_left_s(job: Job, sums: PartSums) -> int | None:
    """Seconds until the open batches of a running job have probably ended: as long as nine of ten of this
    connection's took, or what is left of that; None where that is not known, or calls are made too."""
    if job.status != JobStatus.RUNNING or sums["rest_now"] or not sums["open"]:
        return None
    took = sorted(one.seconds for one in part_history.took(job.config_id, _model(job)))
    if not took:
        return None
    usual = took[min(len(took) - 1, int(0.9 * len(took)))]
    left = usual - (sums["oldest_s"] or 0)
    return round(left) if left > 0 else None


def _model(job: Job) -> str:
    newest = BatchPart.select(BatchPart.model).where(BatchPart.job == job.id)
    return newest.order_by(BatchPart.id.desc()).limit(1).scalar() or ""


def parts_page(job_id: int, before: int | None) -> tuple[list[BatchPart], int | None]:
    """Parts of a job, the newest first, and the id from below which there are more."""
    found = batch_parts.page(job_id, before, PAGE + 1)
    return found[:PAGE], found[PAGE - 1].id if len(found) > PAGE else None

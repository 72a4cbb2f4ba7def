"""Attempts and results of a request, made from what its answers mean (classify.py): the same whether the
answer came to a call, or in the results of a provider's batch."""

from collections.abc import Collection
from typing import Protocol

from ..core.domain import Attempt, Outcome, RequestResult, RequestStatus
from .classify import Classification
from .unwanted_answer import treated


class Shape(Protocol):
    """What an answer has to be like (a job's schema, the vectors of a pack)."""

    def checked(self, finding: Classification) -> Classification:
        """The same, unless it is an answer that does not fit."""
        ...


def judged(
    finding: Classification, as_failed: Collection[Outcome], shape: Shape | None
) -> Classification:
    """An answer; as a failed attempt if the job takes it for one, or if it is not what was asked for."""
    finding = treated(finding, as_failed)
    if finding.cause is not None or shape is None:
        return finding
    return shape.checked(finding)


def is_delivered(finding: Classification) -> bool:
    """Whether an answer came, though the job may take it for a failure."""
    return finding.cause is None or finding.outcome is not None


def attempt_of(finding: Classification, number: int, started_at: int, latency_ms: int) -> Attempt:
    """The attempt, from 1, that began at ``started_at`` (epoch ms)."""
    if finding.cause is None:
        return Attempt(number, started_at, latency_ms, None, finding.http_status)
    return Attempt(
        number,
        started_at,
        latency_ms,
        finding.cause,
        finding.http_status,
        finding.message,
        finding.excerpt,
        0,
        finding.usage,
        finding.service_tier,
    )


def result_of(
    finding: Classification,
    index: int,
    attempts: tuple[Attempt, ...],
    started_at: int | None,
    finished_at: int,
    latency_ms: int | None,
    tier_fallback: bool = False,
    first_token_ms: int | None = None,
) -> RequestResult:
    """How a request ends with this answer or failure, if it ends."""
    return RequestResult(
        index=index,
        status=RequestStatus.SUCCEEDED if finding.cause is None else RequestStatus.FAILED,
        attempts=attempts,
        started_at=started_at,
        finished_at=finished_at,
        latency_ms=latency_ms,
        response=finding.response,
        cause=finding.cause,
        http_status=finding.http_status,
        message=finding.message,
        usage=finding.usage,
        model=finding.model,
        outcome=finding.outcome,
        finish_reason=finding.finish_reason,
        service_tier=finding.service_tier,
        tier_fallback=tier_fallback,
        first_token_ms=first_token_ms,
        held=finding.held,
    )

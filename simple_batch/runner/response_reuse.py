"""Reuses answers of other jobs for the same requests, and keeps this job's answers for others."""

from collections.abc import Callable
from typing import Protocol

from ..core.clock import now_ms
from ..core.domain import Request, RequestResult, RequestStatus
from ..engine import service_tier
from ..engine.answer_outcome import outcome_of
from ..store import requests as request_rows
from ..store import response_cache
from ..store.database import retry_while_unavailable
from ..store.models import Job
from .providers import Provider

HOUR_MS = 3_600_000


class Encoding(Protocol):
    """Encodes requests for a provider: a route, or what makes lines of a batch."""

    provider: Provider

    def encode(self, request: Request) -> bytes: ...


class ResponseReuse:
    """``record(provider, index, result)`` is handed what was answered before."""

    def __init__(self, job: Job, record: Callable):
        self._job_id = job.id
        self._oldest_ms = int(job.reuse_hours * HOUR_MS)
        self._schema = (job.schema or "").encode()  # an answer has passed its job's check
        self._record = record
        self._keys: dict[int, bytes] = {}  # of requests on their way

    def unanswered(self, route: Encoding, page: list[Request]) -> list[Request]:
        """The requests of a page that were not asked before, and those that a user edited or sent
        again; the others are recorded."""
        if not page:
            return page
        origin = route.provider.origin
        bodies = [service_tier.without(route.encode(request)) for request in page]
        keys = [
            response_cache.key_of(origin, request.url, body, self._schema)
            for request, body in zip(page, bodies, strict=True)
        ]
        found = retry_while_unavailable(response_cache.find, keys, now_ms() - self._oldest_ms)
        edited = (
            retry_while_unavailable(request_rows.edited, self._job_id, [r.index for r in page])
            if found
            else ()
        )
        left = []
        for request, key in zip(page, keys, strict=True):
            result = _result(request, found.get(key))
            if result is None or request.index in edited:
                self._keys[request.index] = key
                left.append(request)
            else:
                self._record(route.provider, request.index, result)
        return left

    def key_of(self, index: int) -> bytes | None:
        """The key of a request that has come back; asked once."""
        return self._keys.pop(index, None)


def _result(request: Request, kept: response_cache.KeptAnswer | None) -> RequestResult | None:
    """None where nothing is kept, or an answer that is not good: older versions kept all."""
    if kept is None:
        return None
    answer = outcome_of(request.url, kept.response)
    if answer.failed or answer.outcome not in response_cache.REUSABLE:
        return None
    return RequestResult(
        index=request.index,
        status=RequestStatus.SUCCEEDED,
        attempts=(),
        started_at=None,
        finished_at=now_ms(),
        latency_ms=None,
        response=kept.response,
        http_status=kept.http_status,
        usage=kept.usage,
        model=kept.model,
        outcome=answer.outcome,
        finish_reason=answer.finish_reason,
        service_tier=service_tier.of_body(kept.response),
    )

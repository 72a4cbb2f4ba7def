"""One request of a job with everything about it."""

import json
from typing import NamedTuple, TypedDict

from ..core import content, max_tokens
from ..core.domain import RequestStatus
from ..core.errors import NotFound
from ..core.json_pieces import exceeds
from ..core.messages import translatable
from ..core.schema import Schema
from ..store import images, jobs
from ..store.models import Attempt, Job, database
from .request_table import JOIN, status_of
from .summary import Tokens, live_of

LONGEST = 8_000_000  # bytes of an answer that a page decodes; of a longer one it has the beginning
_MAX_ATTEMPTS = 500
_MAX_PARSED = 50_000  # marks of an answer whose fields are shown: about 0.1 s
_MAX_IMAGES = 500  # of a request, whose names are looked up

_COLUMNS = (  # of _Row
    "r.custom_id, r.url, r.line, coalesce(o.body, r.body), o.max_tokens, "
    "o.body IS NOT NULL OR o.max_tokens IS NOT NULL, r.twin, "
    "(SELECT c.alias FROM api_config c WHERE c.id = coalesce(o.config_id, r.config_id)), "
    "x.status, x.cause, x.http_status, x.message, "
    "CASE WHEN length(x.response) > ? THEN substr(x.response, 1, ?) ELSE x.response END, "
    "length(x.response), x.model, x.config, x.started_at, x.finished_at, x.latency_ms, "
    "x.input_tokens, x.output_tokens, x.cached_tokens, x.reasoning_tokens, x.cache_write_tokens, "
    "x.estimated, x.cost_nano, x.outcome, x.finish_reason, x.service_tier, x.first_token_ms"
)
_FIND = (
    f"SELECT {_COLUMNS} {JOIN} LEFT JOIN override o ON o.job_id = r.job_id AND o.idx = r.idx "
    "WHERE r.job_id = ? AND r.idx = ?"
)
_WHOLE = (
    f"SELECT r.url, coalesce(o.body, r.body), o.max_tokens, x.response {JOIN} "
    "LEFT JOIN override o ON o.job_id = r.job_id AND o.idx = r.idx WHERE r.job_id = ? AND r.idx = ?"
)


class _Row(NamedTuple):
    """What _COLUMNS select; the columns of the result are None where there is none."""

    custom_id: str
    url: str
    line: int
    body: bytes
    max_tokens: int | None  # over that of the body
    edited: bool
    original: int | None
    next_config: str | None  # alias of the config that the request goes to, if not the job's
    status: str | None
    cause: str | None
    http_status: int | None
    message: str | None
    response: bytes | None
    response_bytes: int | None
    model: str | None
    config: str | None
    started_at: int | None
    finished_at: int | None
    latency_ms: int | None
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cache_write_tokens: int | None
    estimated: int | None
    cost_nano: int | None
    outcome: str | None
    finish_reason: str | None
    service_tier: str | None
    first_token_ms: int | None


class RequestAttempt(TypedDict):
    """One call made for a request."""

    number: int  # from 1, in order of time
    started_at: int  # epoch ms
    latency_ms: int
    outcome: str | None  # of Outcome: of the answer that the request has
    replaced: bool  # an answer that the request no longer has
    cause: str | None  # None where it succeeded
    http_status: int | None
    message: str
    excerpt: str  # beginning of what came back
    wait_ms: int  # pause after it


class RequestDetail(TypedDict):
    """A request as its page shows it. Figures of the result are None where there is none yet."""

    index: int  # from 0
    custom_id: str
    url: str  # path of the endpoint
    line: int  # of the upload
    status: str  # of RequestStatus
    body: str  # JSON, indented; the beginning of a very large one
    body_bytes: int | None  # length where the body was cut
    edited: bool  # by a user, since the upload
    messages: list[content.MessageParts]  # {role, parts}
    image_names: dict[str, str]  # by the file of the image: its name in the upload
    response: str | None  # JSON, indented; the beginning of a very large one
    response_bytes: int | None  # length where the response was cut
    answer: str
    answer_parts: list[content.ContentPart]  # {kind, text}
    reasoning: str
    parsed: list[tuple[str, str]] | None  # (name, value) of the fields of the job's schema
    outcome: str | None  # of Outcome; None where there is no answer, or it is not known yet
    finish_reason: str | None  # as the provider says it
    service_tier: str | None  # as the answer names it
    cause: str | None
    http_status: int | None
    message: str | None
    model: str | None
    config: str | None  # alias
    duplicate_of: int | None  # index of the identical request that is sent for both
    attempts: list[RequestAttempt]
    started_at: int | None  # epoch ms
    finished_at: int | None  # epoch ms
    latency_ms: int | None
    first_token_ms: int | None  # the time to it, of an answer that came as a stream
    usage: Tokens | None
    cost_nano: int | None  # nano-units of the currency
    currency: str


def request_detail(job_id: int, index: int) -> RequestDetail:
    """Everything about one request. Raises NotFound."""
    job = jobs.get(job_id)
    row = _find(job_id, index)
    cut = row.response_bytes is not None and row.response_bytes > LONGEST
    body = content.readable(_body(row))
    answer = content.readable(row.response if not cut else None)
    return {
        "index": index,
        "custom_id": row.custom_id,
        "url": row.url,
        "line": row.line,
        "status": row.status or status_of(index, live_of(job)),
        "body": body.text,
        "body_bytes": body.cut,
        "edited": bool(row.edited),
        "messages": content.conversation_of(body.data),
        "image_names": images.called(
            job.upload_id, set(images.files_in(bytes(row.body))[:_MAX_IMAGES])
        ),
        "response": _begun(row.response) if cut else answer.text or None,
        "response_bytes": row.response_bytes if cut else answer.cut,
        "answer": content.answer_of(answer.data),
        "answer_parts": content.answer_parts(answer.data),
        "reasoning": content.reasoning_of(answer.data),
        "parsed": None if cut else _parsed(job, row),
        "outcome": row.outcome,
        "finish_reason": row.finish_reason,
        "service_tier": row.service_tier,
        "cause": row.cause,
        "http_status": row.http_status,
        "message": row.message,
        "model": row.model,
        "config": row.config or row.next_config,
        "duplicate_of": row.original,
        "attempts": _attempts(job_id, index, row),
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "latency_ms": row.latency_ms,
        "first_token_ms": row.first_token_ms,
        "usage": _usage(row),
        "cost_nano": row.cost_nano,
        "currency": job.currency,
    }


def whole_request(job_id: int, index: int) -> bytes:
    """The body of a request as it is stored, whatever its size. Raises NotFound."""
    url, body, limit, _response = _whole(job_id, index)
    return bytes(body) if limit is None else max_tokens.limited(bytes(body), url, limit)


def whole_response(job_id: int, index: int) -> bytes:
    """All that came back for a request. Raises NotFound also where nothing did."""
    response = _whole(job_id, index)[-1]
    if response is None:
        raise _missing(job_id, index)
    return bytes(response)


def whole_answer(job_id: int, index: int) -> str:
    """The text of an answer, whatever its size. Raises NotFound also where there is no answer."""
    return content.answer_of(content.loaded(whole_response(job_id, index)))


def _whole(job_id: int, index: int) -> tuple:
    jobs.get(job_id)
    row = database.execute_sql(_WHOLE, (job_id, index)).fetchone()
    if row is None:
        raise _missing(job_id, index)
    return row


def _find(job_id: int, index: int) -> _Row:
    row = database.execute_sql(_FIND, (LONGEST, content.SHOWN, job_id, index)).fetchone()
    if row is None:
        raise _missing(job_id, index)
    return _Row._make(row)


def _missing(job_id: int, index: int) -> NotFound:
    return NotFound(
        translatable("Job %(job_id)s has no request #%(n)s.", job_id=job_id, n=index + 1)
    )


def _body(row: _Row) -> bytes:
    if row.max_tokens is None:
        return row.body
    return max_tokens.limited(bytes(row.body), row.url, row.max_tokens)


def _begun(raw: bytes | None) -> str:
    return bytes(raw or b"").decode("utf-8", "ignore")


def _parsed(job: Job, row: _Row) -> list[tuple[str, str]] | None:
    """(name, value) of the fields of an answer that fits its job's schema; None for any other."""
    if not job.schema or row.status != RequestStatus.SUCCEEDED:
        return None
    if exceeds(bytes(row.response or b""), _MAX_PARSED):
        return None
    found = Schema(json.loads(job.schema)).json_of(row.response)
    if found is None or not isinstance(found.value, dict):
        return None
    return [(name, content.shown(value)) for name, value in found.value.items()]


def _usage(row: _Row) -> Tokens | None:
    if row.input_tokens is None or row.output_tokens is None:
        return None
    return {
        "input": row.input_tokens,
        "output": row.output_tokens,
        "total": row.input_tokens + row.output_tokens,
        "cached": row.cached_tokens or 0,
        "reasoning": row.reasoning_tokens or 0,
        "cache_write": row.cache_write_tokens or 0,
        "estimated": row.estimated or 0,
    }


def _attempts(job_id: int, index: int, row: _Row) -> list[RequestAttempt]:
    """Failed attempts in order of time, then the call that succeeded."""
    rows = (
        Attempt.select()
        .where((Attempt.job == job_id) & (Attempt.idx == index))
        .order_by(Attempt.started_at, Attempt.id)
        .limit(_MAX_ATTEMPTS)
    )
    attempts: list[RequestAttempt] = [
        {
            "number": position,
            "started_at": attempt.started_at,
            "latency_ms": attempt.latency_ms,
            "outcome": None,
            "replaced": not attempt.cause,
            "cause": attempt.cause or None,
            "http_status": attempt.http_status,
            "message": attempt.message,
            "excerpt": attempt.excerpt,
            "wait_ms": attempt.wait_ms,
        }
        for position, attempt in enumerate(rows, 1)
    ]
    success = _success(len(attempts) + 1, row)
    return attempts if success is None else [*attempts, success]


def _success(number: int, row: _Row) -> RequestAttempt | None:
    """The call that succeeded; None where there is none, as for a duplicate, which was not sent."""
    if row.status != RequestStatus.SUCCEEDED or row.latency_ms is None or row.finished_at is None:
        return None
    return {
        "number": number,
        "started_at": row.finished_at - row.latency_ms,
        "latency_ms": row.latency_ms,
        "outcome": row.outcome,
        "replaced": False,
        "cause": None,
        "http_status": row.http_status,
        "message": "",
        "excerpt": "",
        "wait_ms": 0,
    }

"""What an answer or a failure means: its cause, and whether to retry, wait or stop.

Error codes come from the providers' API references: OpenAI (error.code, error.type),
DeepSeek (402), DashScope (Arrearage, DataInspectionFailed), Anthropic's compatible
endpoint (overloaded_error, 529).
"""

import re
import time

import msgspec

from ..core.domain import EMBEDDINGS, Cause, Usage, Verdict
from ..core.messages import Message
from ..core.redaction import redact
from ..core.stored_messages import (
    EMPTY_ANSWER,
    ERROR_INSIDE,
    HTML_ANSWER,
    NO_JSON_ANSWER,
    PART_MISSING,
    REDIRECTED,
)
from .answer_memory import Held
from .rate_limit_headers import RateLimits, rate_limits, retry_after_s
from .transport import Reply, TransportFailure

EXCERPT = 2_000
MESSAGE = 500
KEPT = 200_000  # bytes of what came back instead of an answer; longer ones are not kept
MOST_TOKENS = 1_000_000_000  # of one answer

_QUOTA = re.compile(
    r"insufficient_quota|insufficient.balance|billing|credit balance|arrearage|exceeded your current"
    r" quota|余额不足|欠费|quota.{0,20}exhausted|payment required|recharge",
    re.IGNORECASE,
)
_CONTEXT = re.compile(
    r"context_length|context.window|maximum context|input.{0,20}too long|max_seq_len|"
    r"reduce the length|range of input length",
    re.IGNORECASE,
)
_FILTER = re.compile(
    r"content_filter|content_policy|data_inspection|datainspection|sensitive|moderation|risk",
    re.IGNORECASE,
)
_OVERLOADED = re.compile(r"overloaded|capacity|too busy|engine_overloaded", re.IGNORECASE)
_NO_MODEL = re.compile(r"model.{0,80}(not found|not exist|does not|unknown)|model_not_found", re.I)


_SURROGATE = b"\\ud"
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)


class Classification(msgspec.Struct, frozen=True):
    """Result of one attempt. ``cause`` is None if it succeeded; ``verdict`` says what to do if it did
    not. ``response`` is the JSON received, also of an error."""

    cause: Cause | None
    verdict: Verdict | None
    http_status: int | None = None
    message: str = ""
    retry_after_s: float | None = None
    usage: Usage | None = None
    model: str | None = None
    excerpt: str = ""
    response: bytes | None = None
    limits: RateLimits | None = None
    reached: bool = True  # False: no connection to the endpoint was made
    held: Held | None = None  # what a response that is an answer holds of the room for all


_NONE = msgspec.Raw()  # a union of Raw and None takes null alone
_EMPTY = (b"", b"null", b"{}", b"[]", b'""')


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: int | None = None  # DeepSeek


class _Answer(msgspec.Struct):
    """Only what is needed; everything else is skipped by the decoder."""

    choices: list[msgspec.Raw] | None = None
    data: list[msgspec.Raw] | None = None
    output: msgspec.Raw = _NONE
    results: list[msgspec.Raw] | None = None
    usage: _Usage | None = None
    model: str | None = None
    error: msgspec.Raw = _NONE


class _Lenient(msgspec.Struct):
    """An answer whose usage or model has an unexpected shape still counts as one."""

    choices: list[msgspec.Raw] | None = None
    data: list[msgspec.Raw] | None = None
    output: msgspec.Raw = _NONE
    results: list[msgspec.Raw] | None = None
    error: msgspec.Raw = _NONE


_decode = msgspec.json.Decoder(_Answer).decode
_decode_lenient = msgspec.json.Decoder(_Lenient).decode
_decode_any = msgspec.json.Decoder().decode

_EXPECTED = {
    "/v1/chat/completions": "choices",
    "/v1/completions": "choices",
    EMBEDDINGS: "data",
    "/v1/images/generations": "data",
    "/v1/responses": "output",
    "/v1/moderations": "results",
}


def classify(reply: Reply, url: str = "/v1/chat/completions") -> Classification:
    """What a whole answer means for a request to ``url``."""
    if 200 <= reply.status < 300:
        return _judge_success(reply, url)
    return _judge_error(reply)


def classify_failure(failure: TransportFailure) -> Classification:
    """What a missing answer means: worth another try, unless nothing may be sent there."""
    message = failure.message
    if not isinstance(message, Message):
        message = redact(message)[:MESSAGE]
    return Classification(
        failure.cause, failure.verdict, message=message, reached=failure.reached
    )


def disqualified(
    finding: Classification, cause: Cause, message: str, verdict: Verdict
) -> Classification:
    """An answer that came but is not what was asked for."""
    return msgspec.structs.replace(
        finding,
        cause=cause,
        verdict=verdict,
        message=redact(message)[:MESSAGE],
        excerpt=_excerpt(finding.response or b""),
    )


def _judge_success(reply: Reply, url: str) -> Classification:
    limits = rate_limits(reply.headers, time.time())
    usage = model = None
    answer: _Answer | _Lenient
    try:
        reply = _readable(reply)
        try:
            answer = whole = _decode(reply.body)
            usage, model = _usage_of(whole.usage), whole.model
        except msgspec.ValidationError:
            answer = _decode_lenient(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _bad(reply, _no_json_message(reply), limits)
    if bytes(answer.error) not in _EMPTY:
        error = _error_parts(reply.body)
        return _bad(reply, ERROR_INSIDE(status=200, error=error), limits, usage)
    expected = _EXPECTED.get(url, "choices")
    found = getattr(answer, expected)
    if not found or (found is answer.output and bytes(found) in _EMPTY):
        return _bad(reply, PART_MISSING(part=expected), limits, usage)
    return Classification(
        None,
        None,
        reply.status,
        usage=usage,
        model=model,
        response=reply.body,
        limits=limits,
        held=reply.held,
    )


def _readable(reply: Reply) -> Reply:
    """The answer as text that can be kept: half an emoji (a token limit may cut one in two) becomes a
    replacement character. Raises UnicodeDecodeError."""
    reply.body.decode()
    if _SURROGATE in reply.body.lower():
        return msgspec.structs.replace(reply, body=_ESCAPE.sub(_whole, reply.body))
    return reply


def _whole(escape: re.Match[bytes]) -> bytes:
    """A pair of surrogates, or an escape of another kind, as it is."""
    return b"\\ufffd" if escape["half"] else escape[0]


def _usage_of(usage: _Usage | None) -> Usage | None:
    """None where nothing is said, and where a figure is nonsense: money is not counted by it."""
    if usage is None:
        return None
    spent_in = usage.prompt_tokens if usage.prompt_tokens is not None else usage.input_tokens
    spent_out = (
        usage.completion_tokens if usage.completion_tokens is not None else usage.output_tokens
    )
    if spent_in is None and spent_out is None:
        return None
    into = usage.prompt_tokens_details or usage.input_tokens_details
    out = usage.completion_tokens_details or usage.output_tokens_details
    cached = (into.cached_tokens if into else None) or usage.prompt_cache_hit_tokens or 0
    figures = spent_in or 0, spent_out or 0, cached, (out.reasoning_tokens if out else None) or 0
    if min(figures) < 0 or max(figures[:2]) > MOST_TOKENS:
        return None
    # a part cannot exceed the whole, even if an endpoint says so
    return Usage(*figures[:2], min(cached, figures[0]), min(figures[3], figures[1]))


def _bad(
    reply: Reply, message: str, limits: RateLimits | None, usage: Usage | None = None
) -> Classification:
    return Classification(
        Cause.BAD_RESPONSE,
        Verdict.RETRY,
        reply.status,
        redact(message)[:MESSAGE],
        usage=usage,
        excerpt=_excerpt(reply.body),
        response=_json_or_none(reply.body),
        limits=limits,
    )


def _judge_error(reply: Reply) -> Classification:
    now = time.time()
    message = _error_parts(reply.body)
    cause, verdict = _classify(reply.status, message)
    if reply.status in (301, 302, 303, 307, 308):
        message = REDIRECTED()
    return Classification(
        cause,
        verdict,
        reply.status,
        redact(message)[:MESSAGE] or f"HTTP {reply.status}",
        retry_after_s(reply.headers, now),
        excerpt=_excerpt(reply.body),
        response=_json_or_none(reply.body),
        limits=rate_limits(reply.headers, now),
    )


def _classify(status: int, text: str) -> tuple[Cause, Verdict]:
    if status == 402 or (status in (403, 429) and _QUOTA.search(text)):
        return Cause.QUOTA, Verdict.STOP
    if status == 429:
        return Cause.RATE_LIMIT, Verdict.WAIT
    if status in (401, 407):
        return Cause.AUTH, Verdict.STOP
    if status == 403:
        if _FILTER.search(text):
            return Cause.CONTENT_FILTER, Verdict.FINAL
        return Cause.AUTH, Verdict.STOP
    if status == 404 or (status == 400 and _NO_MODEL.search(text)):
        return Cause.NOT_FOUND, Verdict.STOP
    if status in (503, 529):
        return Cause.OVERLOADED, Verdict.RETRY
    if status >= 500:
        overloaded = _OVERLOADED.search(text)
        return (Cause.OVERLOADED if overloaded else Cause.SERVER_ERROR), Verdict.RETRY
    if status == 408:
        return Cause.TIMEOUT, Verdict.RETRY
    if status in (409, 425):
        return Cause.SERVER_ERROR, Verdict.RETRY
    if status >= 400:
        if _CONTEXT.search(text):
            return Cause.CONTEXT_LENGTH, Verdict.FINAL
        if status == 400 and _FILTER.search(text):
            return Cause.CONTENT_FILTER, Verdict.FINAL
        return Cause.BAD_REQUEST, Verdict.FINAL
    if 300 <= status < 400:
        return Cause.NOT_FOUND, Verdict.STOP
    return Cause.BAD_RESPONSE, Verdict.RETRY


def _error_parts(body: bytes) -> str:
    """Message, code and type of an error body, in whatever shape the provider gives it."""
    try:
        data = _decode_any(body[:200_000])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return " ".join(re.sub(r"<[^>]{0,500}>", " ", _excerpt(body)).split())[:MESSAGE]
    if isinstance(data, dict):
        error = data.get("error", data)
        if isinstance(error, dict):
            found = [error.get(name) for name in ("message", "code", "type", "detail", "msg")]
            parts = [str(part) for part in found if isinstance(part, str | int) and part != ""]
            text = parts[0] if parts else ""
            marks = ", ".join(part for part in parts[1:] if part not in text)
            return f"{text} ({marks})" if marks else text
        return str(error)
    return str(data)[:MESSAGE]


def _no_json_message(reply: Reply) -> str:
    if not reply.body.strip():
        return EMPTY_ANSWER()
    kind = str(reply.headers.get("content-type", "")).split(";")[0][:60]
    if b"<html" in reply.body[:500].lower() or "html" in kind:
        return HTML_ANSWER()
    return NO_JSON_ANSWER()


def _excerpt(body: bytes) -> str:
    text = body[: EXCERPT * 4].decode("utf-8", "replace").replace("\x00", "�")
    return redact(text[:EXCERPT])


def _json_or_none(body: bytes) -> bytes | None:
    if len(body) > KEPT:
        return None
    try:
        text = redact(body.decode())
        _decode_any(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return text.encode()

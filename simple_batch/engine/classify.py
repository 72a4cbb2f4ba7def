"""What an answer or a failure means: its cause, and whether to retry, wait or stop.

An error is read by error_text.py (its words and codes) and judged by error_kinds.py (its cause).
"""

import time

import msgspec

from ..core.call_prices import Usage
from ..core.domain import EMBEDDINGS, Cause, Outcome, Verdict
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
from .answer_outcome import AnswerOutcome, outcome_of
from .endpoint_parameters import CHAT
from .error_kinds import kind_of, limited, refuses_content
from .error_text import ErrorBody, is_error, read_error, read_error_value
from .plain_answer import STOP, plain_answer
from .rate_limit_headers import RateLimits, rate_limits
from .rejected_parameters import Rejection, rejection_of
from .service_tier import of_answer
from .surrogates import mended
from .transport import Reply, TransportFailure
from .usage import usage_of

EXCERPT = 2_000
MESSAGE = 500
KEPT = 200_000  # bytes of what came back instead of an answer; longer ones are not kept


class Classification(msgspec.Struct, frozen=True):
    """Result of one attempt. ``cause`` is None if it succeeded; ``verdict`` says what to do if it did
    not. ``response`` is the JSON received, also of an error. ``retry_after_s`` is the wait that the
    provider asks for, wherever it says so; ``per_day`` says that a limit per day is used up, which
    renews then. ``limited`` is what a refusal is about: "tokens" or "requests". ``remedy`` is what to
    do, if that is not what the cause says. ``params`` are the parameters of the request that the error
    names; ``rejected`` says which of them it rejects. ``failed_generation``: what the model generated fails the provider's own check.
    ``unavailable``: a gateway says that the endpoint behind it is away. ``foreign``: what came is no
    answer of an API, but a page or nothing. ``outcome`` and ``finish_reason`` are of an answer, also of
    one that is disqualified; ``service_tier`` is the one that it names. ``no_capacity``: the provider lacks
    room; ``tier_refused``: it does in the service tier that was asked for, which says nothing of limits."""

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
    per_day: bool = False
    limited: str | None = None
    remedy: Message | None = None
    params: tuple[str, ...] = ()
    failed_generation: bool = False
    outcome: Outcome | None = None
    finish_reason: str | None = None
    unavailable: bool = False
    foreign: bool = False
    service_tier: str | None = None
    no_capacity: bool = False
    tier_refused: bool = False
    rejected: Rejection | None = None


_NONE = msgspec.Raw()  # a union of Raw and None takes null alone
_EMPTY = (b"", b"null", b"{}", b"[]", b'""', b"false", b"0")
_FINE = (0, "0", None)  # of base_resp.status_code
_BOM = b"\xef\xbb\xbf"
# what an answer holds that is no part of an error
_ANSWER_PARTS = frozenset(
    {
        "choices",
        "data",
        "output",
        "results",
        "usage",
        "id",
        "object",
        "model",
        "created",
        "metadata",
    }
    | {"instructions", "input", "tools", "text", "reasoning"}
)


class _Answer(msgspec.Struct):
    """Only what is needed; everything else is skipped by the decoder."""

    choices: list[msgspec.Raw] | None = None
    data: list[msgspec.Raw] | None = None
    output: msgspec.Raw = _NONE
    results: list[msgspec.Raw] | None = None
    usage: msgspec.Raw = _NONE
    model: str | None = None
    error: msgspec.Raw = _NONE
    base_resp: msgspec.Raw = _NONE  # MiniMax
    service_tier: msgspec.Raw = _NONE


class _Lenient(msgspec.Struct):
    """An answer whose model has an unexpected shape still counts as one."""

    choices: list[msgspec.Raw] | None = None
    data: list[msgspec.Raw] | None = None
    output: msgspec.Raw = _NONE
    results: list[msgspec.Raw] | None = None
    usage: msgspec.Raw = _NONE
    error: msgspec.Raw = _NONE
    base_resp: msgspec.Raw = _NONE
    service_tier: msgspec.Raw = _NONE


class _Choice(msgspec.Struct):
    error: msgspec.Raw = _NONE
    message: msgspec.Raw = _NONE


class _Message(msgspec.Struct):
    error: msgspec.Raw = _NONE


class _BaseResponse(msgspec.Struct):
    status_code: int | str | None = None


_decode = msgspec.json.Decoder(_Answer).decode
_decode_lenient = msgspec.json.Decoder(_Lenient).decode
_decode_any = msgspec.json.Decoder().decode
_decode_message = msgspec.json.Decoder(_Message).decode
_decode_choice = msgspec.json.Decoder(_Choice).decode
_decode_base = msgspec.json.Decoder(_BaseResponse).decode

_MAY_REJECT = frozenset(  # causes of an error that may reject a parameter
    {Cause.BAD_REQUEST, Cause.NOT_FOUND, Cause.SERVER_ERROR, Cause.BAD_RESPONSE}
)
# a response that ended before any output: its reasoning has used up the tokens, or a filter intervened
_WITHOUT_OUTPUT = (Outcome.CUT_OFF, Outcome.REFUSED)
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
    rejected = Rejection((failure.parameter,)) if failure.parameter else None
    return Classification(
        failure.cause,
        failure.verdict,
        message=message,
        reached=failure.reached,
        rejected=rejected,
    )


def disqualified(
    finding: Classification,
    cause: Cause,
    message: str,
    verdict: Verdict,
    outcome: Outcome | None = None,
) -> Classification:
    """An answer that came but is not what was asked for. It keeps its ``outcome``, if it has one
    then."""
    return msgspec.structs.replace(
        finding,
        outcome=outcome,
        cause=cause,
        verdict=verdict,
        message=redact(message)[:MESSAGE],
        excerpt=_excerpt(finding.response or b""),
    )


def _judge_success(reply: Reply, url: str) -> Classification:
    limits = rate_limits(reply.headers, time.time())
    plain = plain_answer(reply.body) if url == CHAT else None
    if plain is not None:
        return Classification(
            None,
            None,
            reply.status,
            usage=usage_of(plain.usage, url),
            model=plain.model,
            response=reply.body,
            limits=limits,
            held=reply.held,
            outcome=Outcome.OK,
            finish_reason=STOP,
            service_tier=of_answer(plain.service_tier, plain.usage, reply.headers),
        )
    return _judge_any_success(reply, url, limits)


def _judge_any_success(reply: Reply, url: str, limits: RateLimits | None) -> Classification:
    """The same for an answer of any shape."""
    model = None
    answer: _Answer | _Lenient
    try:
        reply = _readable(reply)
        try:
            answer = whole = _decode(reply.body)
            model = whole.model
        except msgspec.ValidationError:
            answer = _decode_lenient(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _no_answer(reply, limits)
    usage = usage_of(answer.usage, url)
    inside = _error_inside(reply.body, answer)
    if inside is not None:
        return _error(reply, inside, limits, usage)
    expected = _EXPECTED.get(url, "choices")
    found = getattr(answer, expected)
    ended = outcome_of(url, reply.body)
    missing = not found or (found is answer.output and bytes(found) in _EMPTY)
    if missing and not (expected == "output" and ended.outcome in _WITHOUT_OUTPUT):
        error = _read_error_inside(reply.body)
        if error.said or refuses_content(error):
            return _error(reply, error, limits, usage)
        return _bad(reply, PART_MISSING(part=expected), limits, usage)
    if ended.failed:
        return _error(reply, _error_at_end(ended), limits, usage)
    return Classification(
        None,
        None,
        reply.status,
        usage=usage,
        model=model,
        response=reply.body,
        limits=limits,
        held=reply.held,
        outcome=ended.outcome,
        finish_reason=ended.finish_reason,
        service_tier=of_answer(answer.service_tier, answer.usage, reply.headers),
    )


def _error_at_end(ended: AnswerOutcome) -> ErrorBody:
    """The error that a finish reason names."""
    reason = ended.finish_reason or ""
    return ErrorBody(redact(f"finish_reason {reason}"), codes=(reason,), said=True)


def _error_inside(body: bytes, answer: _Answer | _Lenient) -> ErrorBody | None:
    """The error within an answer whose HTTP status says that there is none."""
    if is_error(bytes(answer.error)) or _is_refused(answer.base_resp):
        return _read_error_inside(body)
    if answer.choices and b'"error"' in body:
        for choice in answer.choices:
            error = _error_of(choice)
            if is_error(error):
                return read_error(error)
    return None


def _is_refused(base_resp: msgspec.Raw) -> bool:
    """Whether MiniMax's status is another than 0."""
    try:
        return bytes(base_resp) not in _EMPTY and _decode_base(base_resp).status_code not in _FINE
    except msgspec.DecodeError:
        return False


def _error_of(choice: msgspec.Raw) -> bytes:
    """The error in a choice, or in its message; of a message that is a text, none."""
    try:
        found = _decode_choice(choice)
        if bytes(found.error) not in _EMPTY or not found.message:
            return bytes(found.error)
        return bytes(_decode_message(found.message).error)
    except msgspec.DecodeError:
        return b""


def _read_error_inside(body: bytes, but: frozenset[str] = _ANSWER_PARTS) -> ErrorBody:
    """What a body says besides the parts of an answer."""
    data = _decode_any(body)
    if isinstance(data, dict):
        data = {name: part for name, part in data.items() if name not in but}
    return read_error_value(data)


def _no_answer(reply: Reply, limits: RateLimits | None) -> Classification:
    """A body that is no answer by its shape: an error (Gemini: a list), or nothing that can be read."""
    if len(reply.body) <= KEPT and _json_or_none(reply.body) is not None:
        error = _read_error_inside(reply.body, _ANSWER_PARTS - {"data"})
        if error.said:
            return _error(reply, error, limits)
    foreign = reply.body[:100].lstrip()[:1] not in (b"{", b"[")
    return _bad(reply, _no_json_message(reply), limits, foreign=foreign)


def _readable(reply: Reply) -> Reply:
    """The answer as text that can be kept: half an emoji (a token limit may cut one in two) becomes a
    replacement character, and a byte order mark is left out. Raises UnicodeDecodeError."""
    reply.body.decode()
    if reply.body.startswith(_BOM):
        reply = msgspec.structs.replace(reply, body=reply.body[len(_BOM) :])
    body = mended(reply.body)
    return reply if body is reply.body else msgspec.structs.replace(reply, body=body)


def _bad(
    reply: Reply,
    message: str,
    limits: RateLimits | None,
    usage: Usage | None = None,
    foreign: bool = False,
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
        foreign=foreign,
    )


def _judge_error(reply: Reply) -> Classification:
    error = read_error(reply.body, reply.status)
    return _error(reply, error, rate_limits(reply.headers, time.time()))


def _error(
    reply: Reply, error: ErrorBody, limits: RateLimits | None, usage: Usage | None = None
) -> Classification:
    """What an error means, in whatever way it came."""
    kind = kind_of(reply.status, error, reply.headers, time.time())
    return Classification(
        kind.cause,
        kind.verdict,
        reply.status,
        redact(_error_message(reply.status, error))[:MESSAGE],
        kind.retry_after_s,
        usage=usage,
        excerpt=_excerpt(reply.body),
        response=_json_or_none(reply.body),
        limits=limits,
        per_day=kind.per_day,
        limited=limited(error) if kind.cause is Cause.RATE_LIMIT else None,
        remedy=kind.remedy,
        params=error.params,
        failed_generation=kind.failed_generation,
        unavailable=kind.unavailable,
        no_capacity=kind.no_capacity,
        rejected=rejection_of(reply.status, error) if kind.cause in _MAY_REJECT else None,
    )


def _error_message(status: int, error: ErrorBody) -> str:
    if status < 300:
        return ERROR_INSIDE(status=status, error=error.text)
    if status in (301, 302, 303, 307, 308):
        return REDIRECTED()
    return error.text or f"HTTP {status}"


def _no_json_message(reply: Reply) -> str:
    if not reply.body.strip():
        return EMPTY_ANSWER()
    return HTML_ANSWER() if _is_page(reply) else NO_JSON_ANSWER()


def _is_page(reply: Reply) -> bool:
    kind = str(reply.headers.get("content-type", "")).split(";")[0][:60]
    head = reply.body[:500].lower()
    return b"<html" in head or b"<!doctype html" in head or "html" in kind


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

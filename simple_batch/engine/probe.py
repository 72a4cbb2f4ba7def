"""One small call, to see whether a config works, and the endpoint's own list of models."""

import time
from collections.abc import Callable

import gevent
import msgspec

from ..core.domain import Adjustment, Cause, Endpoint, Request, Usage
from ..core.errors import ConfigurationError
from ..core.messages import Message, translatable
from ..core.settings import Settings
from ..core.stored_messages import recognised
from .adjusted_calls import AdjustedCalls
from .classify import Classification, classify
from .exchange import Exchange
from .structured_output import Structure
from .transport import TransportFailure
from .usage_estimate import with_estimate

_TIMEOUT_S = 30.0


class ProbeResult(msgspec.Struct, frozen=True):
    """Result of a test call. ``message`` is shown to the user. ``adjustments`` were learned on the
    way."""

    ok: bool
    message: str
    latency_ms: int
    model: str | None = None
    http_status: int | None = None
    adjustments: tuple[Adjustment, ...] = ()


class Tried(msgspec.Struct, frozen=True):
    """Result of one request that was sent as a test. ``cause`` is None if it was answered."""

    request: Request
    latency_ms: int
    cause: Cause | None
    http_status: int | None
    message: str
    response: bytes | None
    usage: Usage | None
    service_tier: str | None = None  # as the answer names it


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


def test_connection(endpoint: Endpoint, settings: Settings) -> ProbeResult:
    """Ask the endpoint's model for a word or two. Never raises for what the endpoint does."""
    exchange = Exchange(endpoint, settings, width=1)
    few = msgspec.structs.replace(endpoint.defaults, max_tokens=16)
    request = Request(0, "test", b'{"messages":[{"role":"user","content":"Say OK."}]}')
    began = time.monotonic()
    calls = AdjustedCalls(exchange, few)
    try:
        finding, _body = calls.call(request, min(endpoint.timeout_s, _TIMEOUT_S))
    finally:
        exchange.close()
    latency_ms = round((time.monotonic() - began) * 1000)
    if finding.cause is None:
        model = finding.model or endpoint.defaults.model
        return ProbeResult(
            True,
            translatable("%(model)s answered.", model=model[:300]),
            latency_ms,
            model,
            finding.http_status,
            tuple(calls.learned),
        )
    message = recognised(finding.message, finding.http_status)
    if not isinstance(message, Message):
        status = f"HTTP {finding.http_status}, " if finding.http_status else ""
        message = f"{status}{finding.cause}: {message}"[:500]
    return ProbeResult(False, message, latency_ms, None, finding.http_status)


def send(
    endpoint: Endpoint,
    settings: Settings,
    requests: list[Request],
    structure: Structure | None = None,
    finish: Callable[[bytes], bytes] = lambda body: body,
) -> list[Tried]:
    """Send a few requests side by side, once each, as a job would; ``finish`` has the last word on
    a body. Never raises for what the endpoint does."""
    exchange = Exchange(endpoint, settings, width=max(1, len(requests)))
    calls = AdjustedCalls(exchange, endpoint.defaults, finish)

    def one(request: Request) -> Tried:
        began = time.monotonic()
        level = structure.level if structure is not None else 0
        finding = call(request)
        if structure is not None:
            while structure.falls_back(request, level, finding):
                level = structure.level
                finding = call(request)
            finding = structure.checked(finding)
        return Tried(
            request,
            round((time.monotonic() - began) * 1000),
            finding.cause,
            finding.http_status,
            finding.message,
            finding.response,
            finding.usage,
            finding.service_tier,
        )

    def call(request: Request) -> Classification:
        fields = structure.fields if structure is not None else lambda url: {}
        finding, body = calls.call(request, endpoint.timeout_s, fields)
        if finding.cause is None and finding.usage is None:
            finding = with_estimate(finding, request, body)
        return finding

    try:
        sent = [gevent.spawn(one, request) for request in requests]
        gevent.joinall(sent, raise_error=True)
        return [greenlet.get() for greenlet in sent]
    finally:
        exchange.close()


def list_models(endpoint: Endpoint, settings: Settings) -> list[str]:
    """Names from the endpoint's /models, sorted. Raises ConfigurationError with the reason."""
    exchange = Exchange(endpoint, settings, width=1)
    try:
        reply = exchange.get("/v1/models", min(endpoint.timeout_s, _TIMEOUT_S))
    except TransportFailure as failure:
        raise ConfigurationError(
            translatable(
                "The list of models was not answered: %(failure)s",
                failure=recognised(failure.message),
            )
        ) from None
    finally:
        exchange.close()
    if reply.status != 200:
        finding = classify(reply)
        raise ConfigurationError(
            translatable(
                "The list of models: HTTP %(status)s: %(message)s",
                status=reply.status,
                message=recognised(finding.message, reply.status),
            )
        )
    try:
        models = msgspec.json.decode(reply.body, type=_Models)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ConfigurationError(
            translatable("The list of models is not in OpenAI's form.")
        ) from None
    return sorted({model.id for model in models.data})

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

CHAT = "/v1/chat/completions"
TIMEOUT_S = 30.0
_CHAT_QUESTION = b'{"messages":[{"role":"user","content":"Say OK."}]}'
_QUESTIONS = {
    "/v1/responses": b'{"input":"Say OK."}',
    "/v1/completions": b'{"prompt":"Say OK."}',
    "/v1/embeddings": b'{"input":"OK"}',
}


class ProbeResult(msgspec.Struct, frozen=True):
    """Result of a test call. ``message`` is shown to the user, ``cause`` says why it failed.
    ``adjustments`` were learned on the way. ``suggested_url`` is a base URL that answers where this one
    does not."""

    ok: bool
    message: str
    latency_ms: int
    model: str | None = None
    http_status: int | None = None
    adjustments: tuple[Adjustment, ...] = ()
    cause: Cause | None = None
    suggested_url: str = ""


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


class ListedModel(msgspec.Struct):
    """A model of an endpoint's own list."""

    id: str
    owned_by: str | None = None


class _Models(msgspec.Struct):
    data: list[ListedModel]


def test_connection(endpoint: Endpoint, settings: Settings, path: str = CHAT) -> ProbeResult:
    """Ask the endpoint's model for a word or two, with the settings of the config and no others. Without
    a ``path`` the list of models is asked for. Never raises for what the endpoint does."""
    if not path:
        return _test_list(endpoint, settings)
    exchange = Exchange(endpoint, settings, width=1)
    request = Request(0, "test", _QUESTIONS.get(path, _CHAT_QUESTION), path)
    began = time.monotonic()
    calls = AdjustedCalls(exchange, endpoint.defaults)
    try:
        finding, _body = calls.call(request, min(endpoint.timeout_s, TIMEOUT_S))
    finally:
        exchange.close()
    latency_ms = round((time.monotonic() - began) * 1000)
    if finding.cause is None:
        model = finding.model or endpoint.defaults.model
        message = translatable("%(model)s answered.", model=model[:300])
        learned = tuple(calls.learned)
        return ProbeResult(True, message, latency_ms, model, finding.http_status, learned)
    return ProbeResult(
        False, failure_text(finding), latency_ms, None, finding.http_status, cause=finding.cause
    )


def _test_list(endpoint: Endpoint, settings: Settings) -> ProbeResult:
    began = time.monotonic()
    try:
        models_of(endpoint, settings)
    except ConfigurationError as error:
        return ProbeResult(False, error.text, round((time.monotonic() - began) * 1000))
    message = translatable("It answered with its list of models.")
    return ProbeResult(True, message, round((time.monotonic() - began) * 1000))


def failure_text(finding: Classification) -> str:
    """Why a call failed, in words."""
    message = recognised(finding.message, finding.http_status)
    if isinstance(message, Message):
        return message
    status = f"HTTP {finding.http_status}, " if finding.http_status else ""
    return f"{status}{finding.cause}: {message}"[:500]


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
    return sorted({model.id for model in models_of(endpoint, settings)})


def models_of(endpoint: Endpoint, settings: Settings) -> list[ListedModel]:
    """The endpoint's /models as it lists them. Raises ConfigurationError with the reason."""
    exchange = Exchange(endpoint, settings, width=1)
    try:
        reply = exchange.get("/v1/models", min(endpoint.timeout_s, TIMEOUT_S))
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
        # Together's is an array (https://docs.together.ai/reference/models)
        found = msgspec.json.decode(reply.body, type=_Models | list[ListedModel])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ConfigurationError(
            translatable("The list of models is not in OpenAI's form.")
        ) from None
    return found if isinstance(found, list) else found.data

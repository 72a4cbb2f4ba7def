"""One small call, to see whether a config works, and the endpoint's own list of models."""

import time
from collections.abc import Callable

import gevent
import msgspec

from ..core.call_prices import Usage
from ..core.domain import Adjustment, Cause, Endpoint, Request
from ..core.errors import ConfigurationError
from ..core.messages import Message, translatable
from ..core.settings import Settings
from ..core.stored_messages import recognised
from .adjusted_calls import AdjustedCalls
from .classify import Classification, classify
from .exchange import Exchange
from .governor import REFUSALS, Flow, Governor
from .structured_output import Structure
from .transport import TransportFailure
from .usage_estimate import with_estimate

CHAT = "/v1/chat/completions"
TIMEOUT_S = 30.0
ADMISSIONS = 4  # of one request, while its API refuses it because of a limit
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


class Trial:
    """Sends single requests as a job would, once each, over at most ``width`` connections; ``finish`` has
    the last word on a body. With a ``governor`` every call waits for the limits of its API, and one that
    is refused because of them is made again; ``check`` may raise before each. Never raises for what the
    endpoint does."""

    def __init__(
        self,
        endpoint: Endpoint,
        settings: Settings,
        width: int,
        structure: Structure | None = None,
        finish: Callable[[bytes], bytes] = lambda body: body,
        governor: Governor | None = None,
        check: Callable[[], None] = lambda: None,
    ):
        self._exchange = Exchange(endpoint, settings, width=max(1, width))
        self._calls = AdjustedCalls(self._exchange, endpoint.defaults, finish)
        self._timeout_s = endpoint.timeout_s
        self._structure = structure
        self._governor, self._check = governor, check
        self._flow = Flow(priority=1)  # a user waits for it

    def send(self, request: Request) -> Tried:
        """What a request gets."""
        structure = self._structure
        began = time.monotonic()
        level = structure.level if structure is not None else 0
        finding, began = self._admitted(request, began)
        if structure is not None:
            while structure.falls_back(request, level, finding):
                level = structure.level
                finding, _began = self._admitted(request, began)
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

    def close(self) -> None:
        self._exchange.close()

    def _admitted(self, request: Request, began: float) -> tuple[Classification, float]:
        """A finding, and when its call began."""
        if self._governor is None:
            return self._call(request), began
        for _ in range(ADMISSIONS):
            finding, began = self._through(self._governor, request)
            if finding.cause not in REFUSALS:
                break
        return finding, began

    def _through(self, governor: Governor, request: Request) -> tuple[Classification, float]:
        ticket = governor.admit(self._flow, len(request.body))
        assert ticket is not None  # the flow is never dismissed
        began = time.monotonic()
        try:
            self._check()
            finding = self._call(request)
        except BaseException:
            governor.settle(ticket, None, 0)
            raise
        governor.settle(ticket, finding, round((time.monotonic() - began) * 1000))
        return finding, began

    def _call(self, request: Request) -> Classification:
        structure = self._structure
        fields = structure.fields if structure is not None else lambda url: {}
        finding, body = self._calls.call(request, self._timeout_s, fields)
        if finding.cause is None and finding.usage is None:
            finding = with_estimate(finding, request, body)
        return finding


def send(
    endpoint: Endpoint,
    settings: Settings,
    requests: list[Request],
    structure: Structure | None = None,
    finish: Callable[[bytes], bytes] = lambda body: body,
) -> list[Tried]:
    """Send a few requests side by side, once each, as a job would. Never raises for what the endpoint
    does."""
    trial = Trial(endpoint, settings, len(requests), structure, finish)
    try:
        sent = [gevent.spawn(trial.send, request) for request in requests]
        gevent.joinall(sent, raise_error=True)
        return [greenlet.get() for greenlet in sent]
    finally:
        trial.close()


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

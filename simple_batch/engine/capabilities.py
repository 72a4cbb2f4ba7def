"""What the model of a config accepts, found by a few small calls: parameters, JSON Schema, streams."""

from typing import Any

import msgspec

from ..core.domain import Cause, Defaults, Endpoint, Request, StreamMode
from ..core.settings import Settings
from . import probe
from .classify import Classification, classify, classify_failure
from .encoder import Encoder
from .exchange import Exchange
from .transport import Reply, TransportFailure

# One value of each parameter that many models reject. The last one is tried only where max_tokens is
# rejected.
_PARAMETERS: dict[str, Any] = {"temperature": 0.5, "max_tokens": 64, "max_completion_tokens": 64}
_SCHEMA = {
    "type": "object",
    "properties": {"word": {"type": "string"}},
    "required": ["word"],
    "additionalProperties": False,
}
_FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "answer", "strict": True, "schema": _SCHEMA},
}
_QUESTION = [{"role": "user", "content": 'Answer with the JSON {"word": "OK"}.'}]


class Capability(msgspec.Struct, frozen=True):
    """Whether something is accepted; None where the call failed for another reason. ``message`` is in
    the words of the provider."""

    name: str
    accepted: bool | None
    message: str = ""


class Report(msgspec.Struct, frozen=True):
    """``parameters`` are empty where the first call failed. ``calls`` were made in all."""

    result: probe.ProbeResult
    calls: int
    parameters: tuple[Capability, ...] = ()
    schema: Capability | None = None
    stream: Capability | None = None
    first_token_ms: int | None = None

    @property
    def rejected(self) -> list[Capability]:
        """The parameters that the model rejects."""
        return [found for found in self.parameters if found.accepted is False]


def report(endpoint: Endpoint, settings: Settings, path: str = probe.CHAT) -> Report:
    """Make up to six calls. Never raises for what the endpoint does."""
    result = probe.test_connection(endpoint, settings, path)
    calls = 1 + len(result.adjustments)
    if not result.ok or path != probe.CHAT:
        return Report(result, calls)
    asked = _Calls(endpoint, settings)
    try:
        parameters = _parameters(asked)
        schema = asked.accepts("JSON Schema", response_format=_FORMAT)
    finally:
        asked.close()
    stream, first_token_ms = _stream(endpoint, settings)
    return Report(result, calls + asked.made + 1, parameters, schema, stream, first_token_ms)


def _parameters(asked: "_Calls") -> tuple[Capability, ...]:
    found: list[Capability] = []
    for name, value in _PARAMETERS.items():
        if name != "max_completion_tokens" or found[-1].accepted is False:
            found.append(asked.accepts(name, **{name: value}))
    return tuple(found)


def _stream(endpoint: Endpoint, settings: Settings) -> tuple[Capability, int | None]:
    """Whether an answer comes as a stream, and after how many ms its first token."""
    always = msgspec.structs.replace(endpoint, stream=StreamMode.ALWAYS)
    asked = _Calls(always, settings)
    try:
        found = asked.accepts("streams")
    finally:
        asked.close()
    first = asked.reply.first_token_s if asked.reply is not None else None
    if found.accepted and first is None:
        found = Capability("streams", False)
    return found, None if first is None else round(first * 1000)


class _Calls:
    """Calls with nothing but a question and what is tried: neither the config's parameters nor what was
    learned of them."""

    def __init__(self, endpoint: Endpoint, settings: Settings):
        self._exchange = Exchange(endpoint, settings, width=1)
        self._encoder = Encoder(Defaults(endpoint.defaults.model))
        self._timeout_s = min(endpoint.timeout_s, probe.TIMEOUT_S)
        self.made = 0
        self.reply: Reply | None = None

    def accepts(self, name: str, **fields: Any) -> Capability:
        body = msgspec.json.encode({"messages": _QUESTION, **fields})
        finding = self._call(Request(0, "test", body))
        if finding.cause is None:
            return Capability(name, True)
        refused = finding.cause is Cause.BAD_REQUEST
        return Capability(name, False if refused else None, probe.failure_text(finding))

    def _call(self, request: Request) -> Classification:
        self.made += 1
        try:
            body = self._encoder.encode(request)
            self.reply = self._exchange.post(request.url, body, self._timeout_s)
        except TransportFailure as failure:
            return classify_failure(failure)
        return classify(self.reply, request.url)

    def close(self) -> None:
        self._exchange.close()

"""One call to an endpoint, whatever API it speaks: a request in OpenAI's form goes out, an answer in
OpenAI's form comes back. What differs between endpoints (API format, streams) is done here, so that the
rest of the engine knows one form only."""

import time

from ..core.domain import ApiFormat, Endpoint
from ..core.redaction import redact
from ..core.settings import Settings
from .answer_memory import Answers
from .anthropic import model_list, translation
from .anthropic.stream import MessageReader
from .error_text import ErrorBody, read_error
from .stream.choices import choices_asked
from .stream.completions import CompletionsReader
from .stream.limits import StreamLimits
from .stream.refusals import needs_stream, refuses_options, refuses_stream
from .stream.responses import ResponsesReader
from .stream.stream_reader import Reader
from .stream.use import COMPLETIONS, GATEWAY_TIMEOUTS, RESPONSES, StreamUse
from .transport import Reply, Transport, TransportFailure

_SHORT = 4_096  # bytes of an answer that may be an error


class Exchange:
    """Makes calls to one endpoint, over at most ``width`` connections at a time; see Transport for
    ``answers``. ``streams`` is what is known of its streams; without it, what its config says."""

    def __init__(
        self,
        endpoint: Endpoint,
        settings: Settings,
        width: int,
        answers: Answers | None = None,
        streams: StreamUse | None = None,
    ):
        self.streams = streams or StreamUse(endpoint)
        self._idle_s = settings.STREAM_IDLE_TIMEOUT
        self._longest_s = settings.REQUEST_DEADLINE
        self._translates = endpoint.api_format is ApiFormat.ANTHROPIC
        if self._translates:
            endpoint = translation.opened(endpoint)
        self._transport = Transport(endpoint, settings, width, answers)

    def post(self, path: str, body: bytes, timeout_s: float, total_s: float | None = None) -> Reply:
        """POST a JSON body in OpenAI's form. ``timeout_s`` bounds the wait for the answer, with a stream
        for its beginning; ``total_s`` bounds the whole call (without it: a stream of REQUEST_DEADLINE).

        An endpoint that refuses to answer without a stream, or with one, is asked once more in the
        other way. Raises TransportFailure where no whole answer came in time, or the API has nothing
        like the request (then no call is made)."""
        streams = self.streams
        total_s = self._longest_s if total_s is None else total_s
        if not streams.applies_to(path, body):
            return self._post(path, body, min(timeout_s, total_s))
        if streams.state.on:
            return self._post_stream(path, body, timeout_s, total_s)
        began = time.monotonic()
        try:
            reply = self._post(path, body, min(timeout_s, total_s))
        except TransportFailure as failure:
            if failure.awaited and timeout_s <= total_s:
                streams.timed_out(timeout_s)
            raise
        if reply.status in GATEWAY_TIMEOUTS:
            streams.gateway_timed_out(reply.status)
        elif streams.may_change and self._turns_on(reply):
            left_s = max(0.1, total_s - (time.monotonic() - began))
            return self._post_stream(path, body, timeout_s, left_s)
        return reply

    def get(self, path: str, timeout_s: float) -> Reply:
        if not self._translates or path != model_list.PATH:
            return self._transport.get(path, timeout_s)
        found = model_list.all_models(lambda page: self._transport.get(page, timeout_s))
        return translation.answer(found)

    def close(self) -> None:
        self._transport.close()

    # --- without a stream, and with one ---------------------------------------------------------

    def _post(self, path: str, body: bytes, timeout_s: float) -> Reply:
        if not self._translates:
            translation.check_other(path)
            return self._transport.post(path, body, timeout_s)
        path, body = translation.request(path, body)
        return translation.answer(self._transport.post(path, body, timeout_s))

    def _turns_on(self, reply: Reply) -> bool:
        """Whether the endpoint says that it answers with streams only; calls then ask for them."""
        error = _error_of(reply)
        if error is None or not needs_stream(_status(reply), error):
            return False
        return self.streams.needed(redact(error.text))

    def _post_stream(self, path: str, body: bytes, timeout_s: float, total_s: float) -> Reply:
        streams = self.streams
        limits = StreamLimits(min(timeout_s, total_s), self._idle_s, total_s)
        asks_usage = streams.asks_usage(path)
        reply = self._read_stream(path, body, limits)
        error = _error_of(reply)
        if error is None:
            return reply
        if asks_usage and refuses_options(error):
            streams.without_usage = True
            return self._read_stream(path, body, limits)
        # an error within a stream shows that there is one
        refused = reply.status >= 300 and refuses_stream(reply.status, error)
        if streams.may_change and refused:
            streams.refused(redact(error.text))
            return self._post(path, body, min(timeout_s, total_s))
        return reply

    def _read_stream(self, path: str, body: bytes, limits: StreamLimits) -> Reply:
        if not self._translates:
            asked, reader = self.streams.asked(path, body), _reader(path, body)
            return self._transport.post_stream(path, asked, limits, reader)
        path, body = translation.request(path, body)
        asked = self.streams.asked(path, body)
        return translation.answer(self._transport.post_stream(path, asked, limits, MessageReader()))


def _status(reply: Reply) -> int:
    """The status of an error; 0 where it is inside an answer."""
    return reply.status if reply.status >= 300 else 0


def _error_of(reply: Reply) -> ErrorBody | None:
    """What an answer says that is an error, or may be one."""
    if reply.status >= 300:
        return read_error(reply.body, reply.status)
    body = reply.body
    if len(body) > _SHORT or b'"choices"' in body or b'"output"' in body:
        return None
    return read_error(body)


def _reader(path: str, body: bytes) -> Reader:
    if path == RESPONSES:
        return ResponsesReader()
    return CompletionsReader(path == COMPLETIONS, choices_asked(path == COMPLETIONS, body))

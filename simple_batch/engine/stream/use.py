"""Whether the calls of an API config ask for streams, and what was learned about that."""

from collections.abc import Callable

import msgspec

from ...core.clock import now_ms
from ...core.domain import ApiFormat, Endpoint, StreamMode
from ...core.messages import Message
from ...core.stored_messages import (
    STREAMS_AFTER_GATEWAY,
    STREAMS_AFTER_TIMEOUT,
    STREAMS_NEEDED,
    STREAMS_REFUSED,
)

CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
_MESSAGES = "/v1/messages"  # Anthropic's
_PATHS = frozenset({CHAT, COMPLETIONS, RESPONSES})
_REASON = 300  # characters of a provider's words
GATEWAY_TIMEOUTS = frozenset({504, 524})


class StreamState(msgspec.Struct, frozen=True):
    """``on``: calls ask for streams. ``since`` (epoch ms) and ``reason`` are set where that was found out
    rather than chosen; ``here``: by this process, since the config was last edited."""

    on: bool
    since: int | None = None
    reason: str = ""
    here: bool = False


class StreamUse:
    """Shared by all calls of one config in this process. ``changed`` is called with each state that was
    found out."""

    def __init__(self, endpoint: Endpoint, changed: Callable[[StreamState], None] | None = None):
        self._place = endpoint.base_url, endpoint.defaults.model, endpoint.api_format
        self._in_openai_format = endpoint.api_format is ApiFormat.OPENAI
        self._mode = endpoint.stream
        self._changed = changed
        self._refused = False  # the endpoint has no streams
        self.without_usage = False  # it refuses stream_options
        found = endpoint.stream is StreamMode.AUTO and endpoint.stream_since is not None
        self.state = StreamState(
            found or endpoint.stream is StreamMode.ALWAYS, endpoint.stream_since if found else None
        )

    def renewed(self, endpoint: Endpoint) -> "StreamUse":
        """The same for an edited config; what the endpoint refuses is remembered for the same model."""
        new = StreamUse(endpoint, self._changed)
        if new._place == self._place:
            new._refused, new.without_usage = self._refused, self.without_usage
            if new.state.on and new.state.since == self.state.since:
                new.state = (
                    self.state
                )  # stored meanwhile: the calls that found it out have yet to note why
        return new

    def applies_to(self, path: str, body: bytes) -> bool:
        """Whether calls like this may be streams: embeddings and images have none, and audio would come
        in another format (https://platform.openai.com/docs/guides/audio, read 2026-11-28)."""
        known = path in _PATHS or (path == _MESSAGES and not self._in_openai_format)
        if not known or self._mode is StreamMode.NEVER:
            return False
        return not (b'"modalities"' in body and b'"audio"' in body)

    @property
    def may_change(self) -> bool:
        """Whether streams may be switched on or off as needed."""
        return self._mode is StreamMode.AUTO

    def asks_usage(self, path: str) -> bool:
        """Whether the usage has to be asked for, and may be."""
        return path in (CHAT, COMPLETIONS) and not self.without_usage and self._in_openai_format

    def asked(self, path: str, body: bytes) -> bytes:
        """The body, asking for a stream."""
        fields = b'"stream":true'
        if self.asks_usage(path):
            fields += b',"stream_options":{"include_usage":true}'
        rest = body.lstrip()[1:]
        return b"{" + fields + (b"" if rest.lstrip().startswith(b"}") else b",") + rest

    def timed_out(self, seconds: float) -> None:
        """An answer was awaited for the whole time-out."""
        self._switch_on(STREAMS_AFTER_TIMEOUT(seconds=f"{seconds:g}"))

    def gateway_timed_out(self, status: int) -> None:
        """A gateway gave up waiting for an answer."""
        self._switch_on(STREAMS_AFTER_GATEWAY(status=status))

    def needed(self, words: str) -> bool:
        """The endpoint says that it answers with streams only; returns whether calls now ask for them."""
        self._switch_on(STREAMS_NEEDED(error=words[:_REASON]))
        return self.state.on

    def refused(self, words: str) -> None:
        """The endpoint says that it has no streams."""
        self._refused = True
        if self.state.on:
            self._change(StreamState(False, None, STREAMS_REFUSED(error=words[:_REASON]), True))

    def _switch_on(self, reason: Message) -> None:
        if self.may_change and not self._refused and not self.state.on:
            self._change(StreamState(True, now_ms(), reason, True))

    def _change(self, state: StreamState) -> None:
        self.state = state
        if self._changed is not None:
            self._changed(state)

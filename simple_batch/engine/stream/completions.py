"""Chunks of chat completions and of completions → the answer
(platform.openai.com/docs/api-reference/chat-streaming, read 2026-11-28).

Nearly all chunks add a piece of text and nothing else. Those that are like the one before are not even
decoded (repeated_chunk.py), the others are decoded into small structs. What has another field or a tool
call goes the longer way.
"""

from collections.abc import Iterable
from operator import attrgetter
from typing import Any

import msgspec

from ...core.stored_messages import STREAM_PIECE_UNREADABLE, STREAM_UNENDED
from .error_events import error_of, reports_error
from .errors import StreamBroken, StreamError
from .merging import Texts, merge
from .repeated_chunk import RepeatedChunk, repeated_chunk
from .sse_events import SseEvent
from .tool_calls import ToolCalls, add_function

_DONE = "[DONE]"
_SIGNS_OF_LIFE = frozenset({"ping", "keepalive", "keep-alive", "heartbeat"})
_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")
_CHOICE = 500  # bytes of memory, about
_WITHOUT_SHORT_WAY = 8  # chunks in a row that had to go the longer way: then all do
_WITHOUT_PATTERN = 8  # patterns in a row that no chunk followed: then there are no more
# what a chunk has that the whole answer has not, or that is put together below
_OF_CHUNKS = frozenset({"object", "choices", "usage", "obfuscation", "error"})


class _Delta(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    content: str | None = None
    role: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: None = None
    function_call: None = None


class _Choice(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    index: int = 0
    delta: _Delta | None = None
    text: str | None = None
    logprobs: None = None
    finish_reason: str | None = None
    stop_reason: None = None
    native_finish_reason: None = None


class _Chunk(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A chunk that adds text, an end or the usage; some endpoints repeat the usage so far."""

    choices: list[_Choice] = []
    id: str | None = None
    object: str | None = None
    created: int | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    provider: str | None = None
    usage: msgspec.Raw = msgspec.Raw()
    obfuscation: str | None = None
    error: None = None


# fields of a chunk that are the answer's, of which the last one counts that is not null
_HEAD = ("id", "created", "model", "system_fingerprint", "service_tier", "provider")
_head = attrgetter(*_HEAD)
_TEXT_NAMES = ("text", "content", "reasoning_content", "reasoning", "refusal")  # of _Choice, _Delta
_texts = attrgetter(*_TEXT_NAMES[1:])
_NO_USAGE = frozenset({b"", b"null"})
_NOTHING = _Delta()
_chunk = msgspec.json.Decoder(_Chunk).decode
_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_FAULTS = (msgspec.DecodeError, UnicodeError, RecursionError)


class _ChoiceParts:
    """What there is of one choice."""

    __slots__ = ("arguments", "call", "fields", "finish_reason", "logprobs",
                 "rest", "texts", "tools", "whole")  # fmt: skip

    def __init__(self) -> None:
        self.texts: dict[str, Texts] = {}
        self.tools: ToolCalls | None = None
        self.call: dict[str, Any] | None = None  # the older function_call
        self.arguments: list[str] = []
        self.rest: dict[str, Any] = {}  # other fields of the message
        self.fields: dict[str, Any] = {}  # other fields of the choice
        self.logprobs: dict[str, Any] | None = None
        self.finish_reason: str | None = None
        self.whole: dict[str, Any] | None = None  # a message that was sent at once

    def add_text(self, name: str, piece: Any) -> None:
        texts = self.texts.get(name)
        if texts is None:
            texts = self.texts[name] = Texts()
        texts.add(piece)

    def message(self) -> dict[str, Any]:
        if self.whole is not None:
            return self.whole
        message: dict[str, Any] = {"role": "assistant", "content": None, **self.rest}
        for name, texts in self.texts.items():
            message[name] = texts.value()
        if self.tools is not None:
            message["tool_calls"] = self.tools.value()
        if self.call is not None:
            message["function_call"] = {**self.call, "arguments": "".join(self.arguments)}
        return message


class CompletionsReader:
    """Reads the stream of a chat completion, or of a completion where ``of_text``. ``choices`` is the
    number of choices that were asked for."""

    def __init__(self, of_text: bool = False, choices: int = 1):
        self.started = self.ended = False
        self.kept = 0
        self._of_text = of_text
        self._asked = choices
        self._head: dict[str, Any] = {}
        self._last_head: tuple[Any, ...] = ()
        self._choices: dict[int, _ChoiceParts] = {}
        self._usage: Any = None
        self._chunks = self._long_ways = self._unused_patterns = 0
        self.repeated: RepeatedChunk | None = None

    def feed(self, event: SseEvent) -> None:
        data, known = event.data, self.repeated
        if known is not None:
            self._unused_patterns = 0 if known.used else self._unused_patterns + 1
            self.repeated = None
        if data == _DONE or data.strip() == _DONE:
            self.ended = bool(self._chunks)
        elif event.event == "error":
            raise StreamError(error_of(data))
        elif data and event.event not in _SIGNS_OF_LIFE:
            self._chunks += 1
            if self._chunks == 1 or self._long_ways >= _WITHOUT_SHORT_WAY:
                self._take(data)
            else:
                self._take_text(event)

    def body(self) -> bytes:
        finished = sum(parts.finish_reason is not None for parts in self._choices.values())
        whole = finished and finished >= max(self._asked, len(self._choices))
        if not (whole or self.ended):
            raise StreamBroken(STREAM_UNENDED())
        answer = {"id": "", "object": "chat.completion", **self._head}
        answer["object"] = "text_completion" if self._of_text else "chat.completion"
        answer["choices"] = [self._choice(index) for index in sorted(self._choices)]
        if self._usage is not None:
            answer["usage"] = self._usage
        return _encode(answer)

    def _choice(self, index: int) -> dict[str, Any]:
        parts = self._choices[index]
        choice: dict[str, Any] = {"index": index}
        if self._of_text:
            text = parts.texts.get("text")
            choice["text"] = (text and text.value()) or ""
        else:
            choice["message"] = parts.message()
        choice["logprobs"] = parts.logprobs
        choice["finish_reason"] = parts.finish_reason
        return {**parts.fields, **choice}

    # --- a chunk of text alone ------------------------------------------------------------------

    def _take_text(self, event: SseEvent) -> None:
        try:
            chunk = _chunk(event.data)
        except _FAULTS:
            self._long_ways += 1
            self._take(event.data)
            return
        self._long_ways = 0
        head = _head(chunk)
        if head != self._last_head:  # nearly all chunks of an answer have the same
            self._last_head = head
            self._head.update(
                (name, value) for name, value in zip(_HEAD, head, strict=True) if value is not None
            )
        added = [self._add_all(choice) for choice in chunk.choices]
        usage = bytes(chunk.usage)
        if usage not in _NO_USAGE:
            self._usage = msgspec.Raw(usage)
        elif len(added) == 1 and len(added[0]) == 1 and not chunk.choices[0].finish_reason:
            self._expect_more(event.lines, chunk.choices[0].index, *added[0][0])

    def _add_all(self, choice: _Choice) -> list[tuple[str, str]]:
        """Add the texts of a choice; returns their names and pieces."""
        parts = self._parts(choice.index)
        parts.finish_reason = choice.finish_reason or parts.finish_reason
        texts = (choice.text, *_texts(choice.delta or _NOTHING))
        if not any(texts):
            return []
        added = [(name, piece) for name, piece in zip(_TEXT_NAMES, texts, strict=True) if piece]
        for name, piece in added:
            self._add(parts, name, piece)
        return added

    def _expect_more(self, lines: str, index: int, name: str, piece: str) -> None:
        """Have chunks like this one read together."""
        texts = self._choices[index].texts[name]
        if texts.write is None or self._unused_patterns >= _WITHOUT_PATTERN:
            return

        def add(text: str) -> None:
            texts.add(text)
            self._grow(text)

        self.repeated = repeated_chunk(lines, name, piece, add)

    def _add(self, parts: _ChoiceParts, name: str, piece: str) -> None:
        parts.add_text(name, piece)
        self._grow(piece)
        self.started = True

    def _grow(self, text: str) -> None:
        self.kept += len(text) if text.isascii() else 3 * len(text)

    def _parts(self, index: int) -> _ChoiceParts:
        parts = self._choices.get(index)
        if parts is None:
            parts = self._choices[index] = _ChoiceParts()
            self.kept += _CHOICE
        return parts

    # --- every other chunk ----------------------------------------------------------------------

    def _take(self, data: str) -> None:
        try:
            chunk = _any(data)
        except _FAULTS:
            raise StreamBroken(STREAM_PIECE_UNREADABLE()) from None
        if reports_error(chunk, ("choices", "usage")):
            raise StreamError(data.encode())
        if not isinstance(chunk, dict):
            return
        self.kept += self._size(data)
        self._last_head = ()
        for name, value in chunk.items():
            if name not in _OF_CHUNKS and (value is not None or name not in self._head):
                self._head[name] = value
        usage = chunk.get("usage") or _elsewhere(chunk)
        if usage:
            self._usage = usage
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, dict):
                self._take_choice(choice)

    def _size(self, data: str) -> int:
        """What a chunk adds to what is kept: the first one all, the others without what is alike in
        all of them."""
        return len(data) if self._chunks == 1 else max(16, len(data) - 150)

    def _take_choice(self, choice: dict[str, Any]) -> None:
        index = choice.get("index")
        parts = self._parts(index if isinstance(index, int) else 0)
        for name, value in choice.items():
            if name == "delta":
                if isinstance(value, dict):
                    self._take_delta(parts, value)
            elif name == "text":
                if value:
                    self._add(parts, name, str(value))
            elif name == "finish_reason":
                parts.finish_reason = value or parts.finish_reason
            elif name == "logprobs":
                if isinstance(value, dict):
                    parts.logprobs = parts.logprobs or {}
                    _continue_logprobs(parts.logprobs, value)
            elif name not in ("index", "message", "usage") and value is not None:
                merge(parts.fields, {name: value})
        message = choice.get("message")
        if isinstance(message, dict) and message and not choice.get("delta"):
            parts.whole, self.started = message, True

    def _take_delta(self, parts: _ChoiceParts, delta: dict[str, Any]) -> None:
        for name, value in delta.items():
            if value is None or name == "role":
                continue
            if name in _TEXTS:
                parts.add_text(name, value)
                self.started = self.started or bool(value)
            elif name == "tool_calls":
                if value:
                    parts.tools = parts.tools or ToolCalls()
                    parts.tools.add(value)
                    self.started = True
            elif name == "function_call" and isinstance(value, dict):
                parts.call = parts.call or {}
                add_function(parts.call, value, parts.arguments)
                self.started = self.started or any(value.values())
            else:
                merge(parts.rest, {name: value})


def _continue_logprobs(into: dict[str, Any], piece: dict[str, Any]) -> None:
    """Lists of tokens go on; they are kept as JSON, which is far smaller than its objects."""
    for name, value in piece.items():
        if isinstance(value, list):
            known = into.get(name)
            if not isinstance(known, list):
                known = into[name] = []
            known += [msgspec.Raw(_encode(token)) for token in value]
        else:
            into.setdefault(name, value)


def _elsewhere(chunk: dict[str, Any]) -> Any:
    """The usage where an endpoint puts it elsewhere: in a choice (Moonshot), in x_groq (Groq)."""
    places: Iterable[Any] = chunk.get("choices") or ()
    if not isinstance(places, list):
        places = ()
    for place in (*places, chunk.get("x_groq")):
        if isinstance(place, dict) and place.get("usage"):
            return place["usage"]
    return None

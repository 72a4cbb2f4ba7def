"""An answer of the demo endpoint as a stream of server-sent events, in OpenAI's form
(platform.openai.com/docs/api-reference/chat-streaming and .../responses-streaming, read 2026-11-28)."""

import json
import re
from collections.abc import Callable, Iterator

_DONE = b"data: [DONE]\n\n"
_PIECE = re.compile(r"[\u2e80-\uffff]|\s*[^\s\u2e80-\uffff]+|\s+")  # one word or Chinese character


def check_options(body: dict) -> None:
    """Raise ValueError where ``stream_options`` are not for this call."""
    if body.get("stream_options") is not None and not body.get("stream"):
        raise ValueError("stream_options is only allowed when stream is true.")


def chat_events(answer: dict, body: dict) -> Iterator[bytes]:
    """The chunks of a chat completion; the usage is among them only if the request asks for it."""
    chunks = _Chunks(answer, body, "chat.completion.chunk")
    content = answer["choices"][0]["message"]["content"]
    yield chunks.of({"delta": {"role": "assistant", "content": ""}})
    for piece in _PIECE.findall(content):
        yield chunks.of({"delta": {"content": piece}})
    yield from chunks.end({"delta": {}})


def text_events(answer: dict, body: dict) -> Iterator[bytes]:
    """The chunks of a completion."""
    chunks = _Chunks(answer, body, "text_completion")
    for piece in _PIECE.findall(answer["choices"][0]["text"]):
        yield chunks.of({"text": piece})
    yield from chunks.end({"text": ""})


def response_events(answer: dict, body: dict) -> Iterator[bytes]:
    """The events of a response."""
    (item,) = answer["output"]
    (part,) = item["content"]
    begun = {**answer, "status": "in_progress", "output": [], "usage": None}
    empty = {**part, "text": ""}
    of_item = {"item_id": item["id"], "output_index": 0}
    of_part = {**of_item, "content_index": 0}
    events: list[tuple[str, dict]] = [
        ("response.created", {"response": begun}),
        ("response.in_progress", {"response": begun}),
        (
            "response.output_item.added",
            {"output_index": 0, "item": {**item, "status": "in_progress", "content": []}},
        ),
        ("response.content_part.added", {**of_part, "part": empty}),
        *(
            ("response.output_text.delta", {**of_part, "delta": piece, "logprobs": []})
            for piece in _PIECE.findall(part["text"])
        ),
        ("response.output_text.done", {**of_part, "text": part["text"], "logprobs": []}),
        ("response.content_part.done", {**of_part, "part": part}),
        ("response.output_item.done", {"output_index": 0, "item": item}),
        ("response.completed", {"response": answer}),
    ]
    for number, (kind, fields) in enumerate(events):
        yield f"event: {kind}\n".encode() + _event(
            {"type": kind, "sequence_number": number, **fields}
        )


class _Chunks:
    """Writes chunks of one answer, which has one choice."""

    def __init__(self, answer: dict, body: dict, kind: str):
        self._finish_reason = answer["choices"][0]["finish_reason"]
        self._head = {name: answer[name] for name in ("id", "created", "model")}
        self._head["object"] = kind
        self._usage = answer["usage"]
        options = body.get("stream_options")
        self._with_usage = isinstance(options, dict) and options.get("include_usage") is True

    def of(self, fields: dict, finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, **fields, "logprobs": None, "finish_reason": finish_reason}
        return self._chunk([choice], None)

    def end(self, fields: dict) -> Iterator[bytes]:
        yield self.of(fields, self._finish_reason)
        if self._with_usage:
            yield self._chunk([], self._usage)
        yield _DONE

    def _chunk(self, choices: list, usage: dict | None) -> bytes:
        further = {"usage": usage} if self._with_usage else {}
        return _event({**self._head, "choices": choices, **further})


def _event(data: dict) -> bytes:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


# by path: what a call with "stream": true is answered with; other paths have no streams
EVENTS: dict[str, Callable[[dict, dict], Iterator[bytes]]] = {
    "/v1/chat/completions": chat_events,
    "/v1/completions": text_events,
    "/v1/responses": response_events,
}

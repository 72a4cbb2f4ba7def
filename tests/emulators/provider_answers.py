"""What an emulated provider answers to a request, as a whole and as a stream.

The last text of the user decides: "think" → reasoning before the answer, "call" → two calls of a tool,
"refuse" → the model's own refusal, "no usage" → an answer without one, all else → ``ANSWER``. In a stream,
"fail once" and "break off once" fail the first time, the latter without any word.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .batch_answers import last_text

ANSWER, THOUGHT, REFUSAL = "OK", "Let me think.", "I can't help with that."
OVERLOADED = "The model is overloaded. Please try again later."
ARGUMENTS = ('{"topic": "one"}', '{"topic": "two"}')
SENT, GOT, THINKS = 9, 3, 5  # tokens


def event(data: Any, kind: str = "") -> bytes:
    """One event; ``data`` is JSON, or text as it is."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return (f"event: {kind}\n" if kind else "").encode() + f"data: {text}\n\n".encode()


def error_object(**fields) -> bytes:
    """An error within a stream as OpenAI, vLLM, SGLang send it (block/goose PR #8031)."""
    return event({"error": {"message": OVERLOADED, "type": "server_error", **fields}})


@dataclass(frozen=True)
class StreamManner:
    """How a provider streams.

    ``usage``: where it stands: in a separate "chunk" if asked for, in that of the "finish" reason, in its
    "choice", in "x_groq", or in "each" chunk so far. ``reasoning``: the field that holds it, "tags" in the
    content, or "parts" of it. ``tools``: the calls come in "pieces" by index, each "whole", or each with
    the index 0 ("zero"). ``before``: what comes before the first chunk. ``first``: fields of that chunk
    without choices. ``error``: an error within a stream. ``filtered``: the finish reason of a stream that a
    filter of the content ends. ``done``: whether [DONE] ends it."""

    usage: str = "chunk"
    reasoning: str = "reasoning_content"
    tools: str = "pieces"
    before: bytes = b""
    first: dict | None = None
    error: Callable[[], bytes] = error_object
    filtered: str = "content_filter"
    done: bool = True


def usage_of(body: dict, beside: bool) -> dict | None:
    """The usage of an answer. ``beside``: reasoning is not a part of the output (xAI, Gemini; see
    engine/usage.py)."""
    words = last_text(body)
    if "no usage" in words:
        return None
    if "think" not in words:
        return {"prompt_tokens": SENT, "completion_tokens": GOT, "total_tokens": SENT + GOT}
    details = {"completion_tokens_details": {"reasoning_tokens": THINKS}}
    return {
        "prompt_tokens": SENT,
        "completion_tokens": GOT if beside else GOT + THINKS,
        "total_tokens": SENT + GOT + THINKS,
        **details,
    }


def message_of(body: dict, reasoning: str) -> tuple[dict, str]:
    """The message of an answer, and its finish reason."""
    words = last_text(body)
    message: dict[str, Any] = {"role": "assistant", "content": ANSWER}
    asked = body.get("response_format") or (body.get("text") or {}).get("format") or {}
    if asked.get("type") in ("json_schema", "json_object"):
        return {**message, "content": '{"word": "OK"}'}, "stop"
    if "refuse" in words:
        return {**message, "content": None, "refusal": REFUSAL}, "stop"
    if "call" in words:
        calls = [
            {"id": f"call_{n}", "type": "function", "function": {"name": "look", "arguments": text}}
            for n, text in enumerate(ARGUMENTS)
        ]
        return {**message, "content": None, "tool_calls": calls}, "tool_calls"
    if "think" in words:
        return _thoughtful(message, reasoning), "stop"
    return message, "stop"


def _thoughtful(message: dict, reasoning: str) -> dict:
    if reasoning == "tags":
        return {**message, "content": f"<think>\n{THOUGHT}\n</think>\n\n{ANSWER}"}
    if reasoning == "parts":
        thought = {"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]}
        return {**message, "content": [thought, {"type": "text", "text": ANSWER}]}
    return {**message, reasoning: THOUGHT}


def chat(body: dict, stream: StreamManner, beside: bool) -> dict:
    """A chat completion."""
    message, reason = message_of(body, stream.reasoning)
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": body.get("model"),
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
    }
    usage = usage_of(body, beside)
    return {**answer, "usage": usage} if usage else answer


def chunks(whole: dict, manner: StreamManner, asked: bool, fault: str = "") -> bytes:
    """The same as a stream. ``asked``: usage was asked for. ``fault``: "fail" or "break off" after the
    first pieces."""
    head = {**whole, "object": "chat.completion.chunk"}
    usage = head.pop("usage", None)
    choice = whole["choices"][0]
    pieces = [{"role": "assistant", "content": ""}, *_deltas(choice["message"], manner)]
    if fault:
        pieces = pieces[:2]
    so_far = (
        {"usage": {**usage, "completion_tokens": 1}} if usage and manner.usage == "each" else {}
    )
    made: list[dict[str, Any]] = [
        {**head, "choices": [{"index": 0, "delta": piece, "finish_reason": None}], **so_far}
        for piece in pieces
    ]
    if manner.first is not None:
        made.insert(0, {**head, "choices": [], **manner.first})
    if not fault:
        made += _end(head, choice["finish_reason"], usage, asked, manner)
    sent = manner.before + b"".join(map(event, made))
    if fault:
        return sent + (manner.error() if fault == "fail" else b"")
    return sent + (event("[DONE]") if manner.done else b"")


def _deltas(message: dict, manner: StreamManner) -> Iterator[dict]:
    """The pieces of a message, each text in two."""
    for name, value in message.items():
        if name == "tool_calls":
            yield from ({"tool_calls": [piece]} for piece in _call_pieces(value, manner.tools))
        elif isinstance(value, list):
            yield from ({name: [part]} for part in value)
        elif isinstance(value, str) and name != "role":
            half = len(value) // 2
            yield from ({name: text} for text in (value[:half], value[half:]))


def _call_pieces(calls: list[dict], tools: str) -> Iterator[dict]:
    for index, call in enumerate(calls):
        place = {"index": 0 if tools == "zero" else index}
        if tools != "pieces":
            yield {**place, **call}
            continue
        text = call["function"]["arguments"]
        yield {**place, **call, "function": {**call["function"], "arguments": ""}}
        yield {**place, "function": {"arguments": text[:5]}}
        yield {**place, "function": {"arguments": text[5:]}}


def _end(
    head: dict, reason: str, usage: dict | None, asked: bool, manner: StreamManner
) -> list[dict]:
    choice: dict[str, Any] = {"index": 0, "delta": {}, "finish_reason": reason}
    last = {**head, "choices": [choice]}
    if usage is None:
        return [last]
    if manner.usage == "choice":
        choice["usage"] = usage
    elif manner.usage == "x_groq":
        last["x_groq"] = {"id": "req_1", "usage": usage}
    elif manner.usage in ("finish", "each"):
        last["usage"] = usage
        return [last]
    return [last, {**head, "choices": [], "usage": usage}] if asked else [last]


def response(body: dict) -> dict:
    """An answer of /v1/responses; "forbidden" ends it as a filter of the content does."""
    message, _reason = message_of(body, "reasoning")
    filtered = "forbidden" in last_text(body)
    kind = "refusal" if message.get("refusal") else "output_text"
    said = {"refusal": REFUSAL} if message.get("refusal") else {"text": message["content"]}
    items: list[dict] = []
    if message.get("reasoning"):
        summary = [{"type": "summary_text", "text": THOUGHT}]
        items.append({"id": "rs_1", "type": "reasoning", "summary": summary})
    for call in message.get("tool_calls", []):
        item = {"type": "function_call", "call_id": call["id"], **call["function"]}
        items.append({"id": f"fc_{call['id']}", "status": "completed", **item})
    if not message.get("tool_calls") and not filtered:
        items.append(
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": kind, "annotations": [], **said}],
            }
        )
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_790_000_000,
        "status": "incomplete" if filtered else "completed",
        "incomplete_details": {"reason": "content_filter"} if filtered else None,
        "model": body.get("model"),
        "output": items,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": _of_response(usage_of(body, False)),
    }


def _of_response(usage: dict | None) -> dict | None:
    if usage is None:
        return None
    thought = usage.get("completion_tokens_details", {}).get("reasoning_tokens", 0)
    return {
        "input_tokens": usage["prompt_tokens"],
        "output_tokens": usage["completion_tokens"],
        "total_tokens": usage["total_tokens"],
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": thought},
    }


def response_events(whole: dict, manner: StreamManner, fault: str = "") -> bytes:
    """The events of /v1/responses (platform.openai.com/docs/api-reference/responses-streaming, read
    2026-11-28)."""
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    kinds = [
        ("response.created", {"response": begun}),
        ("response.in_progress", {"response": begun}),
    ]
    for place, item in enumerate(whole["output"]):
        kinds.append(("response.output_item.added", {"output_index": place, "item": item}))
        for part in item.get("content", []):
            delta = {"output_index": place, "delta": part.get("text", "")[:1]}
            kinds.append(("response.output_text.delta", delta))
        kinds.append(("response.output_item.done", {"output_index": place, "item": item}))
    if fault:
        made = kinds[:3]
        ending = manner.error() if fault == "fail" else b""
    else:
        made, ending = [*kinds, (f"response.{whole['status']}", {"response": whole})], b""
    return b"".join(event({"type": kind, **data}, kind) for kind, data in made) + ending

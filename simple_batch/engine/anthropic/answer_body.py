"""An answer of the Messages API as a chat completion.

Sources: types/message.py, usage.py, stop_reason.py and shared/error_response.py of the package anthropic
2.14.0; https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons and
https://platform.claude.com/docs/en/api/errors (read 2026-11-28). ``input_tokens`` excludes what was read from
and written to a prompt cache; OpenAI's prompt_tokens include it.
"""

from typing import Any

import msgspec

from ...core.clock import now_ms
from ..surrogates import mended
from .answer_format import ANSWER_TOOL
from .content_parts import Block

# the others keep their names, which answer_outcome.py reads too
_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_UNDERSTOOD = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})
# numbers stay as they are written
_decode = msgspec.json.Decoder(float_hook=lambda text: msgspec.Raw(text.encode())).decode
_encode = msgspec.json.Encoder().encode


def chat_completion(body: bytes) -> bytes:
    """A message as a chat completion, an error in OpenAI's form; anything else as it is."""
    try:
        answer = _decode(mended(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body
    if not isinstance(answer, dict):
        return body
    if isinstance(answer.get("error"), dict) and answer.get("type") == "error":
        return _encode(_error(answer))
    if answer.get("type") == "message" and isinstance(answer.get("content"), list):
        return _encode(_completion(answer))
    return body


def _completion(answer: dict[str, Any]) -> dict[str, Any]:
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    message = _message(answer)
    made = {
        "id": answer.get("id"),
        "object": "chat.completion",
        "created": now_ms() // 1000,
        "model": answer.get("model"),
        "choices": [_choice(answer, message)],
        "usage": _usage(usage),
    }
    tier = "fast" if usage.get("speed") == "fast" else usage.get("service_tier")
    tier = "default" if tier == "standard" else tier  # OpenAI's name
    return {**made, "service_tier": tier} if tier else made


def _choice(answer: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
    reason = answer.get("stop_reason")
    finished = _FINISH_REASONS.get(reason, reason) if isinstance(reason, str) else reason
    if finished == "tool_calls" and "tool_calls" not in message:
        finished = "stop"  # the tool was only the form of the answer
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finished}
    if answer.get("stop_sequence") is not None:
        choice["stop_reason"] = answer["stop_sequence"]
    return choice


def _message(answer: dict[str, Any]) -> dict[str, Any]:
    blocks = [block for block in answer["content"] if isinstance(block, dict)]
    calls = [block for block in blocks if block.get("type") == "tool_use"]
    given = [block for block in calls if block.get("name") == ANSWER_TOOL]
    texts = [str(block.get("text") or "") for block in blocks if block.get("type") == "text"]
    text = "".join(texts) if not given else _json(given[0].get("input"))
    own = [_tool_call(call) for call in calls if call not in given]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text or (None if own else ""),
        "refusal": _explanation(answer),
    }
    thought = [block for block in blocks if "thinking" in str(block.get("type"))]
    reasoning = [block["thinking"] for block in thought if block.get("thinking")]
    if reasoning:
        message["reasoning_content"] = "\n\n".join(map(str, reasoning))
    if own:
        message["tool_calls"] = own
        if thought:  # has to be sent back with the results of the tools
            message["thinking_blocks"] = thought
    if any(block.get("type") not in _UNDERSTOOD or block.get("citations") for block in blocks):
        message["content_blocks"] = blocks  # what a chat completion has no place for
    return message


def _tool_call(block: Block) -> dict[str, Any]:
    function = {"name": block.get("name"), "arguments": _json(block.get("input") or {})}
    return {"id": block.get("id"), "type": "function", "function": function}


def _json(given: Any) -> str:
    """The input of a tool as JSON; one that a stream has cut off is the beginning of it."""
    return given if isinstance(given, str) else _encode(given).decode()


def _explanation(answer: dict[str, Any]) -> str | None:
    details = answer.get("stop_details")
    if answer.get("stop_reason") != "refusal" or not isinstance(details, dict):
        return None
    told = details.get("explanation") or details.get("category")
    return told if isinstance(told, str) else None


def _usage(usage: dict[str, Any]) -> dict[str, Any] | None:
    """None where a count is missing: then the tokens are estimated."""
    sent, got = _count(usage.get("input_tokens")), _count(usage.get("output_tokens"))
    if sent is None or got is None:
        return None
    read = _count(usage.get("cache_read_input_tokens")) or 0
    written = _count(usage.get("cache_creation_input_tokens")) or 0
    sent += read + written
    by_lifetime = usage.get("cache_creation")
    if not isinstance(by_lifetime, dict):
        by_lifetime = {}
    written_1h = _count(by_lifetime.get("ephemeral_1h_input_tokens")) or 0
    details = usage.get("output_tokens_details")
    thought = _count(details.get("thinking_tokens")) if isinstance(details, dict) else None
    cache = {"cached_tokens": read, "cache_write_tokens": written}
    if written_1h:
        cache["cache_write_1h_tokens"] = written_1h
    return {
        "prompt_tokens": sent,
        "completion_tokens": got,
        "total_tokens": sent + got,
        "prompt_tokens_details": cache,
        "completion_tokens_details": {"reasoning_tokens": thought or 0},
    }


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _error(answer: dict[str, Any]) -> dict[str, Any]:
    """An error; ``details.error_code`` says more than its type where it is there."""
    error = answer["error"]
    details = error.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    made: dict[str, Any] = {"error": {**error, "param": error.get("param"), "code": code}}
    if answer.get("request_id"):
        made["request_id"] = answer["request_id"]
    return made

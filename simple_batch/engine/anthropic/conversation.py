"""The messages of a chat as the Messages API has them: system texts apart, the others as turns of the
user and of the assistant, with tool calls and their results as blocks.

Sources: types/message_param.py, tool_use_block_param.py, tool_result_block_param.py of the package
anthropic 2.14.0; https://platform.claude.com/docs/en/cli-sdks-libraries/libraries/openai-sdk (system and
developer messages go to the beginning), read 2026-11-28. Results of tools stand first in a user's turn:
https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls.
"""

from typing import Any

import msgspec

from ...core.stored_messages import NO_OBJECT_OF_ARGUMENTS, NOT_A_LIST, NOT_ALL_OBJECTS
from .content_parts import Block, blocks_of, text_block
from .no_counterpart import field, invalid

_SYSTEM = frozenset({"system", "developer"})
_ROLES = {"user": "user", "assistant": "assistant", "tool": "user"}
_SENT = frozenset(
    {"role", "content", "tool_calls", "tool_call_id", "refusal", "cache_control", "thinking_blocks"}
    | {"is_error"}
)
# what answers hold besides their text: it is not part of a conversation
_NOT_SENT = frozenset(
    {"reasoning_content", "reasoning", "reasoning_details", "annotations", "content_blocks"}
)
_decode = msgspec.json.Decoder().decode


def converted(messages: Any, system: Any = None) -> tuple[list[Block], list[Block]]:
    """(blocks of the system prompt, turns) of a chat's messages; ``system`` is a system prompt in the
    API's own form, which comes first. Raises NoCounterpart."""
    if not isinstance(messages, list):
        raise invalid("messages", NOT_A_LIST())
    texts = [block for block in blocks_of(system) if block.get("text") != ""]
    turns: list[Block] = []
    for message in messages:
        if not isinstance(message, dict):
            raise invalid("messages", NOT_ALL_OBJECTS())
        role = message.get("role")
        if role in _SYSTEM:
            blocks = _cached(blocks_of(message.get("content")), message)
            texts += [block for block in blocks if block.get("text") != ""]
        elif role in _ROLES:
            _add(turns, _ROLES[str(role)], _turn_of(message))
        else:
            raise field(f"messages: role “{role}”")
    return texts, [{"role": turn["role"], "content": _shortened(turn["content"])} for turn in turns]


def _add(turns: list[Block], role: str, blocks: list[Block]) -> None:
    """Add blocks, to the last turn if it is one of the same role: results of parallel tool calls have to
    stand together."""
    if turns and turns[-1]["role"] == role:
        turns[-1]["content"] += blocks
    else:
        turns.append({"role": role, "content": blocks})


def _turn_of(message: dict[str, Any]) -> list[Block]:
    role = message["role"]
    for name in message.keys() - _SENT - _NOT_SENT:
        if message[name] is not None and (name, role) != ("name", "tool"):
            raise field(f"messages: {name}")
    if role == "tool":
        return _cached([_tool_result(message)], message)
    if role == "assistant":
        return _cached(_said(message), message)
    return _cached(blocks_of(message.get("content")) or [text_block("")], message)


def _said(message: dict[str, Any]) -> list[Block]:
    """The blocks of an assistant's message. Thinking is sent back only where it is signed
    (``thinking_blocks``, as our answers have it beside tool calls)."""
    thought = message.get("thinking_blocks")
    blocks = list(thought) if isinstance(thought, list) else []
    blocks += [block for block in blocks_of(message.get("content")) if block.get("text") != ""]
    if isinstance(message.get("refusal"), str) and message["refusal"]:
        blocks.append(text_block(message["refusal"]))
    calls = message.get("tool_calls") or []
    blocks += [_tool_use(call) for call in calls]
    return blocks or [text_block("")]


def _tool_use(call: Any) -> Block:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise field("messages: tool_calls without “function”")
    return {
        "type": "tool_use",
        "id": call.get("id"),
        "name": function.get("name"),
        "input": _arguments(function.get("arguments")),
    }


def _arguments(given: Any) -> dict[str, Any]:
    """The arguments of a call, which the API takes as an object."""
    value = given
    if isinstance(given, str):
        try:
            value = _decode(given.strip() or "{}")
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            value = None
    if not isinstance(value, dict):
        raise invalid("tool_calls", NO_OBJECT_OF_ARGUMENTS())
    return value


def _tool_result(message: dict[str, Any]) -> Block:
    result: Block = {"type": "tool_result", "tool_use_id": message.get("tool_call_id")}
    content = message.get("content")
    if content is not None:
        result["content"] = content if isinstance(content, str) else blocks_of(content)
    if message.get("is_error") is not None:
        result["is_error"] = message["is_error"]
    return result


def _cached(blocks: list[Block], message: dict[str, Any]) -> list[Block]:
    """With a prompt cache breakpoint after a message that has one itself."""
    if message.get("cache_control") is not None and blocks:
        blocks[-1] = {**blocks[-1], "cache_control": message["cache_control"]}
    return blocks


def _shortened(blocks: list[Block]) -> Any:
    """A single text as such."""
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        return blocks[0]["text"]
    return blocks

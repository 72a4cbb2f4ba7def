"""The messages of a chat as Gemini has them: system texts apart, the others as contents of the user and of
the model, with calls of functions and their results as parts.

Sources, read 2026-11-28: https://ai.google.dev/api/caching#Content;
https://ai.google.dev/gemini-api/docs/function-calling; https://ai.google.dev/gemini-api/docs/openai (where the
signature of a thought stands in OpenAI's form).
"""

from typing import Any

import msgspec

from ...core.stored_messages import NO_OBJECT_OF_ARGUMENTS, NOT_A_LIST, NOT_ALL_OBJECTS
from .content_pieces import Piece, pieces_of
from .untranslatable import invalid, lacks

_SYSTEM = frozenset({"system", "developer"})
_ROLES = {"user": "user", "assistant": "model", "tool": "user", "function": "user"}
_decode = msgspec.json.Decoder().decode


def converted(messages: Any) -> tuple[list[Piece], list[Piece]]:
    """(parts of the system instruction, contents) of a chat's messages. Raises TransportFailure."""
    if not isinstance(messages, list):
        raise invalid("messages", NOT_A_LIST())
    system: list[Piece] = []
    contents: list[Piece] = []
    called: dict[Any, Any] = {}  # names of functions, by the id of the call
    for message in messages:
        if not isinstance(message, dict):
            raise invalid("messages", NOT_ALL_OBJECTS())
        role = message.get("role")
        if role in _SYSTEM:
            system += pieces_of(message.get("content"))
        elif role in _ROLES:
            _add(contents, _ROLES[role], _pieces(message, called))
        else:
            raise lacks(f"messages: role “{role}”")
    return system, contents


def _add(contents: list[Piece], role: str, pieces: list[Piece]) -> None:
    """Results of parallel calls have to stand together."""
    if contents and contents[-1]["role"] == role:
        contents[-1]["parts"] += pieces
    else:
        contents.append({"role": role, "parts": pieces})


def _pieces(message: dict[str, Any], called: dict[Any, Any]) -> list[Piece]:
    role = message["role"]
    if role in ("tool", "function"):
        return [_result(message, called)]
    if message.get("name") is not None:
        raise lacks("messages: name")
    pieces = pieces_of(message.get("content"))
    if role == "assistant":
        if message.get("refusal"):
            pieces.append({"text": message["refusal"]})
        pieces += [_call(call, called) for call in message.get("tool_calls") or []]
    return pieces or [{"text": " "}]  # an empty one is refused


def _call(call: Any, called: dict[Any, Any]) -> Piece:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise lacks("messages: tool_calls without “function”")
    called[call.get("id")] = function.get("name")
    made: Piece = {
        "function_call": {
            "name": function.get("name"),
            "args": _arguments(function.get("arguments")),
        }
    }
    extra = call.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    if isinstance(google, dict) and google.get("thought_signature"):
        made["thought_signature"] = google["thought_signature"]
    return made


def _arguments(given: Any) -> dict[str, Any]:
    value = _parsed(given.strip() or "{}") if isinstance(given, str) else given
    if not isinstance(value, dict):
        raise invalid("tool_calls", NO_OBJECT_OF_ARGUMENTS())
    return value


def _result(message: dict[str, Any], called: dict[Any, Any]) -> Piece:
    """A result has to be an object."""
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(str(piece.get("text", "")) for piece in pieces_of(content))
    value = _parsed(content) if isinstance(content, str) else content
    name = called.get(message.get("tool_call_id")) or message.get("name")
    response = value if isinstance(value, dict) else {"result": content}
    return {"function_response": {"name": name, "response": response}}


def _parsed(text: str) -> Any:
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None

"""What the emulators of OpenAI's batch API answer to a line. A token is a word."""

from typing import Any


def last_text(body: dict) -> str:
    """The last text of the user, or the input of an embedding."""
    given = body.get("messages") or body.get("input") or body.get("prompt") or ""
    if isinstance(given, list) and given:
        given = given[-1]
    if isinstance(given, dict):
        given = given.get("content") or ""
    if isinstance(given, list):
        given = " ".join(part.get("text", "") for part in given if isinstance(part, dict))
    return given if isinstance(given, str) else str(given)


def answer(url: str, body: dict, text: str) -> tuple[dict[str, Any], int, int]:
    """The text repeated, in the form of an endpoint; tokens of input and output."""
    words = text.count(" ") + 1
    if url.endswith("/embeddings"):
        return _embeddings(body, words), words, 0
    if url.endswith("/responses"):
        return _response(body, text, words), words, words + 1
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": f"re: {text}"},
        "finish_reason": "stop",
    }
    usage = {
        "prompt_tokens": words,
        "completion_tokens": words + 1,
        "total_tokens": 2 * words + 1,
    }
    found = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": body.get("model"),
        "choices": [choice],
        "usage": usage,
    }
    return found, words, words + 1


def _embeddings(body: dict, words: int) -> dict[str, Any]:
    given = body["input"] if isinstance(body["input"], list) else [body["input"]]
    data = [
        {"object": "embedding", "index": place, "embedding": [0.5, float(place)]}
        for place in range(len(given))
    ]
    usage = {"prompt_tokens": words, "total_tokens": words}
    return {"object": "list", "data": data, "model": body.get("model"), "usage": usage}


def _response(body: dict, text: str, words: int) -> dict[str, Any]:
    part = {"type": "output_text", "text": f"re: {text}", "annotations": []}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_790_000_000,
        "status": "completed",
        "model": body.get("model"),
        "output": [message],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": words,
            "output_tokens": words + 1,
            "total_tokens": 2 * words + 1,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    }

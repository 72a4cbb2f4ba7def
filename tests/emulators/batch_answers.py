"""What the emulators of batch APIs answer to the lines of a batch.

An answer follows from the last text of a request: “status 429: …” fails with that status, everything else is
repeated. A token is a word.
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

import msgspec

_STATUS = re.compile(r"status ([0-9]{3})")
_encode = msgspec.json.Encoder().encode
_any = msgspec.json.Decoder().decode


@dataclass
class Results:
    """Lines of the output file and of the error file; ``tokens`` of input and output."""

    output: list[bytes] = field(default_factory=list)
    errors: list[bytes] = field(default_factory=list)
    succeeded: int = 0
    tokens: tuple[int, int] = (0, 0)


def digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=12).digest()


def last_text(body: dict) -> str:
    given = body.get("messages") or body.get("input") or body.get("prompt") or ""
    if isinstance(given, list) and given:
        given = given[-1]
    if isinstance(given, dict):
        given = given.get("content") or ""
    if isinstance(given, list):
        given = " ".join(part.get("text", "") for part in given if isinstance(part, dict))
    return given if isinstance(given, str) else str(given)


def ends_with_user(body: bytes) -> bool:
    messages = _any(body).get("messages") or [{}]
    return messages[-1].get("role") == "user"


def input_tokens(body: bytes) -> int:
    """At least 1."""
    return body.count(b" ") + 1


def run(done: list, endpoint: str, left: list, why: str) -> Results:
    """Run some lines; what is ``left`` was not run, and says why."""
    results, tokens = Results(), [0, 0]
    for number, line in enumerate(done):
        body = _any(line.body)
        text = last_text(body)
        failed = _STATUS.match(text)
        answer = _refusal(int(failed[1])) if failed else _answer(endpoint, body, text)
        status = int(failed[1]) if failed else 200
        response = {"status_code": status, "request_id": f"req_{number}", "body": answer}
        row = {"id": f"batch_req_{number}", "custom_id": line.custom_id, "response": response}
        (results.errors if failed else results.output).append(_encode({**row, "error": None}))
        if not failed:
            usage = answer["usage"]
            tokens[0] += usage.get("prompt_tokens", usage.get("input_tokens", 0))
            tokens[1] += usage.get("completion_tokens", usage.get("output_tokens", 0))
            results.succeeded += 1
    for line in left:
        fault = {"code": why, "message": "This request was not run before the batch ended."}
        row = {"id": "batch_req_x", "custom_id": line.custom_id, "response": None, "error": fault}
        results.errors.append(_encode(row))
    results.tokens = tokens[0], tokens[1]
    return results


def _refusal(status: int) -> dict:
    return {
        "error": {
            "message": f"refused with {status}",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }
    }


def _answer(endpoint: str, body: dict, text: str) -> dict[str, Any]:
    words_in, words_out = text.count(" ") + 1, text.count(" ") + 2
    if endpoint.endswith("/embeddings"):
        given = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = [
            {"object": "embedding", "index": place, "embedding": [0.5, float(place)]}
            for place in range(len(given))
        ]
        usage = {"prompt_tokens": words_in, "total_tokens": words_in}
        return {"object": "list", "data": data, "model": body.get("model"), "usage": usage}
    if endpoint.endswith("/responses"):
        part = {"type": "output_text", "text": f"re: {text}", "annotations": []}
        message = {"type": "message", "role": "assistant", "status": "completed", "content": [part]}
        return {
            "id": "resp_1",
            "object": "response",
            "status": "completed",
            "model": body.get("model"),
            "output": [message],
            "usage": {"input_tokens": words_in, "output_tokens": words_out},
        }
    content: dict[str, Any] = {"role": "assistant", "content": f"re: {text}"}
    usage = {
        "prompt_tokens": words_in,
        "completion_tokens": words_out,
        "total_tokens": words_in + words_out,
    }
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": body.get("model"),
        "choices": [{"index": 0, "message": content, "finish_reason": "stop"}],
        "usage": usage,
    }


def _alien(lines: list[bytes]) -> list[bytes]:
    return [
        *lines,
        *(line.replace(b'"custom_id":"', b'"custom_id":"alien-', 1) for line in lines[:2]),
    ]


def _zero(line: bytes) -> bytes:
    row = _any(line)
    row["response"] = {"status_code": 0, "request_id": "", "body": ""}
    return _encode(row)


CHANGES = {  # of an output, by the name of a fault
    "alien_ids": _alien,
    "missing": lambda lines: [line for place, line in enumerate(lines) if place % 10],
    "twice": lambda lines: [*lines, *lines[::10]],
    "status_zero": lambda lines: [
        line if place % 10 else _zero(line) for place, line in enumerate(lines)
    ],
}

"""A provider's batch API of which only the files with results are there, in OpenAI's form."""

from pathlib import Path
from typing import Any

import msgspec

from simple_batch.engine.batch_api.batch_client import LineResult, ResultsCutOff
from simple_batch.engine.transport import Reply


class ResultFiles:
    """Reads files that a test wrote."""

    reads = 0

    def read(self, path: Path):
        self.reads += 1
        with path.open("rb") as file:
            for line in file:
                try:
                    found = msgspec.json.decode(line)
                except msgspec.DecodeError:
                    if line.endswith(b"\n"):
                        yield LineResult("", None, message="no JSON")
                        continue
                    raise ResultsCutOff("cut off") from None
                response, error = found.get("response"), found.get("error") or {}
                reply = None
                if response:
                    body = msgspec.json.encode(response["body"])
                    reply = Reply(response["status_code"], {}, body)
                code, message = error.get("code", ""), error.get("message", "")
                yield LineResult(found["custom_id"], reply, code, message)


def answer(text: str = "4", *, usage: bool = True, finish_reason: str = "stop") -> dict[str, Any]:
    """The body of a chat completion."""
    message = {"role": "assistant", "content": text}
    body: dict[str, Any] = {
        "id": "c",
        "object": "chat.completion",
        "model": "m-2026",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
    }
    if usage:
        body["usage"] = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return body


def line(index: int | str, body: dict[str, Any] | None = None, status: int = 200) -> bytes:
    """A line with an answer, or with an error that has a status."""
    return _line(index, {"status_code": status, "request_id": "x", "body": body or answer()}, None)


def refused(index: int, status: int, message: str, **fields: Any) -> bytes:
    """A line whose request was answered with an error."""
    return line(index, {"error": {"message": message, **fields}}, status)


def not_run(index: int, code: str, message: str = "") -> bytes:
    """A line of the error file that was never sent."""
    return _line(index, None, {"code": code, "message": message})


def _line(index: int | str, response: dict[str, Any] | None, error: dict[str, Any] | None) -> bytes:
    custom_id = f"r{index}" if isinstance(index, int) else index
    found = {"id": "b", "custom_id": custom_id, "response": response, "error": error}
    return msgspec.json.encode(found) + b"\n"

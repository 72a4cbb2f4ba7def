"""Errors among the events of a stream: by the type of the event, or by what its data holds."""

from typing import Any

import msgspec

from ..error_text import is_error, read_error_value

_SUCCESS = (0, "0", None)  # of base_resp.status_code
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_FAULTS = (msgspec.DecodeError, UnicodeError, RecursionError)


def reports_error(data: Any, parts: tuple[str, ...]) -> bool:
    """Whether the data of an event (decoded) is an error. ``parts`` are fields of which an event of the
    answer has at least one; what has none of them and says something is an error too (vLLM:
    {"object": "error", "message": …}, SiliconFlow: {"code": 50508, "message": …}).

    A list with an error is one (Google), and so is a ``base_resp`` with the status of a failure, whatever
    stands beside it (MiniMax)."""
    if isinstance(data, list):
        return any(isinstance(part, dict) and reports_error(part, parts) for part in data)
    if not isinstance(data, dict):
        return False
    if "error" in data and is_error(_encode(data["error"])):
        return True
    status = data.get("base_resp")
    if isinstance(status, dict) and status.get("status_code") not in _SUCCESS:
        return True
    return not any(part in data for part in parts) and read_error_value(data).said


def error_of(data: str) -> bytes:
    """The body of an error event, as an answer with that error would have it."""
    try:
        found = _decode(data)
    except _FAULTS:
        found = data
    if isinstance(found, list) or (isinstance(found, dict) and "error" in found):
        return data.encode()
    return _encode({"error": found or "error"})

"""Reads a batch as providers of OpenAI's form report it.

Seen besides OpenAI's own: statuses in capitals and times in ISO 8601 (Together), the batch within
``{"job": …}`` (Together) or ``{"data": …}`` (SiliconFlow), no counts for one that was refused, an empty
``error_file_id``, errors as a list, an object or a text.
"""

import re
from datetime import UTC, datetime
from typing import Any

from ...core.redaction import redact
from ..error_text import read_error_value
from .batch_client import MARKER_KEY, BatchError, RemoteBatch, RemoteState
from .call_refusals import queue_is_full

MAX_ERRORS = 1_000
MAX_TEXT, MAX_WORD = 2_000, 100  # characters
_STATES = {
    RemoteState.VALIDATING: "validating validate",
    RemoteState.RUNNING: "in_progress inprogress progress running processing process finalizing queued queueing "
    "pending in_queue waiting created submitted scheduled not_started started retrying",
    RemoteState.CANCELLING: "cancelling canceling cancellation_requested cancel_requested",
    RemoteState.COMPLETED: "completed complete succeeded success successful ended done finished finalized "
    "partially_succeeded partially_completed completed_with_errors",
    RemoteState.FAILED: "failed failure error rejected invalid validation_failed",
    RemoteState.EXPIRED: "expired timeout timed_out timeout_exceeded",
    RemoteState.CANCELLED: "cancelled canceled aborted stopped",
}
_STATE_OF = {word: state for state, words in _STATES.items() for word in words.split()}
_LISTS = ("data", "batches", "jobs", "files", "items")
_PREFIX = re.compile(r"^(?:job_state|batch_state|job_status|batch_status|state|status|batch|job)_")
_LINE = re.compile(r"\bline (?:number )?#?([1-9][0-9]{0,8})\b", re.I)
_MS_FROM = 100_000_000_000  # what is larger is no time in seconds (it would be the year 5138)
_FAR = 253_402_300_800_000  # ms: the year 10000


def storable(text: str, most: int = MAX_TEXT) -> str:
    """A provider's text without keys, cut to ``most`` characters, without what no database keeps."""
    return redact(text[: 4 * most])[:most].replace("\x00", "�").encode(errors="replace").decode()


def state_of(status: str) -> RemoteState:
    """The state that a provider's word for it means, in whatever case; UNKNOWN for an unknown one."""
    word = re.sub(r"[\s-]+", "_", status.strip().lower())
    return _STATE_OF.get(word) or _STATE_OF.get(_PREFIX.sub("", word), RemoteState.UNKNOWN)


def unwrapped(data: Any) -> dict[str, Any]:
    """An object with an id, also where it stands within another; {} where there is none."""
    if not isinstance(data, dict):
        return {}
    if data.get("id"):
        return data
    inner = [value for value in data.values() if isinstance(value, dict) and value.get("id")]
    return inner[0] if inner else {}


def listed(data: Any) -> list[dict[str, Any]] | None:
    """The objects of a list, which may be a bare array, or stand within another object; None where there
    is none. A list without entries may be null; it is known by its name only, since another one says
    nothing of what exists."""
    if isinstance(data, dict):
        inner = [data, *(value for value in data.values() if isinstance(value, dict))]
        data = next((found for one in inner if (found := _list_in(one)) is not None), None)
    if not isinstance(data, list):
        return None
    return [one for one in map(unwrapped, data) if one]


def _list_in(data: dict[str, Any]) -> list[Any] | None:
    for name in _LISTS:
        if isinstance(data.get(name), list):
            return list(data[name])
    for value in data.values():
        if isinstance(value, list) and any(map(unwrapped, value)):
            return value
    return [] if data.get("object") == "list" or data.get("data", 0) is None else None


def remote_batch(data: dict[str, Any]) -> RemoteBatch:
    """The batch that an object with an id describes."""
    status = storable(str(data.get("status") or data.get("state") or ""), MAX_WORD)
    state = state_of(status)
    total, succeeded, failed = _counts(data)
    if state is RemoteState.VALIDATING and not total:
        total = succeeded = failed = None  # zeros until the lines are counted
    metadata = data.get("metadata")
    return RemoteBatch(
        id=str(data["id"]),
        state=state,
        status=status,
        total=total,
        succeeded=succeeded,
        failed=failed,
        results=_results(data),
        input_file=_text(data.get("input_file_id")),
        marker=_text(metadata.get(MARKER_KEY)) if isinstance(metadata, dict) else None,
        created_at=epoch_ms(data.get("created_at")),
        expires_at=epoch_ms(data.get("expires_at") or data.get("job_deadline")),
        errors=errors_of(data),
    )


def epoch_ms(value: Any) -> int | None:
    """A time as epoch ms: it is given in seconds, milliseconds or ISO 8601, or not at all."""
    if isinstance(value, str):
        if re.fullmatch(r"[0-9]{9,13}(?:\.[0-9]+)?", value):
            return epoch_ms(float(value))
        try:
            time = datetime.fromisoformat(value)
        except ValueError:
            return None
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
        return int(time.timestamp() * 1_000)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < _FAR:
        return None
    return int(value if value > _MS_FROM else value * 1_000)


def _counts(data: dict[str, Any]) -> tuple[int | None, int | None, int | None]:
    counts = data.get("request_counts")
    counts = counts if isinstance(counts, dict) else data
    found = (count_of(counts.get(name)) for name in ("total", "completed", "failed"))
    total, succeeded, failed = found
    return total, succeeded, failed


def _results(data: dict[str, Any]) -> tuple[str, ...]:
    """File ids or URLs of what can be read, each once."""
    found = (_text(data.get(f"{name}_file_id")) for name in ("output", "error"))
    return tuple(dict.fromkeys(one for one in found if one))


def errors_of(data: dict[str, Any]) -> tuple[BatchError, ...]:
    """Why a batch was refused."""
    given = data.get("errors")
    if isinstance(given, dict) and isinstance(given.get("data"), list):
        given = given["data"]
    if not given:
        given = data.get("error") or data.get("error_message")
    if not given:
        return ()
    items = given if isinstance(given, list) else [given]
    return tuple(_error(item) for item in items[:MAX_ERRORS] if item)


def _error(item: Any) -> BatchError:
    if not isinstance(item, dict):
        message = storable(str(item))
        return BatchError("", message, enqueued=queue_is_full("", message))
    code = str(item.get("code") or item.get("type") or "")
    message = storable(read_error_value(item).words or code)
    line = count_of(item.get("line", item.get("line_number")))
    return BatchError(
        storable(code, MAX_WORD),
        message,
        line if line and line > 0 else None,
        _text(item.get("param")),
        enqueued=line is None and queue_is_full(code, message),
    )


def line_named(error: Any) -> Any:
    """An error whose message alone says which line of the input it is about, with that as ``line``."""
    if not isinstance(error, dict) or "line" in error:
        return error
    named = set(_LINE.findall(str(error.get("message") or "")))
    return {**error, "line": int(named.pop())} if len(named) == 1 else error


def count_of(value: Any) -> int | None:
    """A number, which may be given as a text; None where there is none."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}", value):
        return int(value)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return (
        str(value)
        if isinstance(value, str | int) and not isinstance(value, bool) and value
        else None
    )

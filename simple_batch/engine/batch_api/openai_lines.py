"""Lines of result files in OpenAI's form.

Seen besides OpenAI's own: ``status_code`` 0 (threads of OpenAI's community), a body that is JSON as text,
an error that is a text, an answer without ``response`` around it, an answer as the ``response``
(Cerebras, https://inference-docs.cerebras.ai/capabilities/batch, read 2026-11-29).
"""

from typing import Any, Literal

import msgspec

from ...core.stored_messages import LINE_NOT_RUN, RESULT_LINE_UNREADABLE
from ..error_text import read_error_value
from ..surrogates import mended
from ..transport import Reply
from .batch_client import LineResult
from .batch_object import MAX_WORD, storable

_NONE = msgspec.Raw()
_EMPTY = (b"", b"null", b"{}", b"[]", b'""')
NOT_RUN = "not_run"  # code of a line without a status


class _Response(msgspec.Struct):
    status_code: int | None = None
    request_id: str | None = None
    body: msgspec.Raw = _NONE


class _Line(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: msgspec.Raw = _NONE


class _PlainResponse(msgspec.Struct):
    status_code: Literal[200]
    body: msgspec.Raw


class _PlainLine(msgspec.Struct):
    """Of a request that was answered."""

    custom_id: str
    response: _PlainResponse
    error: None = None


class _LenientResponse(msgspec.Struct):
    status_code: Any = None
    body: msgspec.Raw = _NONE


class _LenientLine(msgspec.Struct):
    custom_id: Any = None
    response: _LenientResponse | None = None
    error: msgspec.Raw = _NONE


class _RawLine(msgspec.Struct):
    response: msgspec.Raw = _NONE


_NO_HEADERS: dict[str, str] = {}
_plain_line = msgspec.json.Decoder(_PlainLine).decode
_line = msgspec.json.Decoder(_Line).decode
_lenient = msgspec.json.Decoder(_LenientLine).decode
_any = msgspec.json.Decoder().decode
_raw = msgspec.json.Decoder(_RawLine).decode


def line_result(line: bytes) -> LineResult:
    """What one line says. A line that is no result has the id ""."""
    try:
        plain = _plain_line(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _other_line(line)
    body = bytes(plain.response.body)
    if body[:1] != b"{" or len(body) == len(b"{}"):
        return _other_line(line)
    return LineResult(plain.custom_id, Reply(200, _NO_HEADERS, body))


def _other_line(line: bytes) -> LineResult:
    found = _decoded(line) or _decoded(mended(line))
    if found is None:
        return LineResult("", None, message=RESULT_LINE_UNREADABLE())
    line_id = found.custom_id if isinstance(found.custom_id, str | int) else ""
    if found.response is None:
        return _without_answer(str(line_id), bytes(found.error))
    if found.response.status_code is None and not bytes(found.response.body):
        answer = _answer_in(line)
        if answer is not None:
            return LineResult(str(line_id), Reply(200, {}, answer))
    return _with_response(str(line_id), found.response, bytes(found.error))


def _answer_in(line: bytes) -> bytes | None:
    """The ``response`` of a line if it is itself the answer."""
    try:
        response = bytes(_raw(line).response)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return response if b'"object"' in response and not _is_error(response) else None


def _decoded(line: bytes) -> _Line | _LenientLine | None:
    try:
        return _line(line)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    try:
        return _lenient(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _with_response(
    line_id: str, response: _Response | _LenientResponse, error: bytes
) -> LineResult:
    body = _plain(bytes(response.body))
    status = _status(response.status_code)
    if not 100 <= status <= 599:
        if body in _EMPTY or _is_error(body):
            return _without_answer(line_id, error if error not in _EMPTY else body)
        status = 200  # an answer, whatever its status says: it is judged by what it holds
    if body in _EMPTY and error not in _EMPTY:
        if status < 300:
            return _without_answer(line_id, error)
        body = b'{"error":%s}' % error
    request_id = getattr(response, "request_id", None)
    headers = {"x-request-id": request_id} if request_id else {}
    return LineResult(line_id, Reply(status, headers, body))


def _without_answer(line_id: str, error: bytes) -> LineResult:
    """A line that was not run, and why."""
    if error in _EMPTY:
        return LineResult(line_id, None, NOT_RUN, LINE_NOT_RUN())
    value = _any(error)
    if isinstance(value, dict) and isinstance(value.get("error"), dict | str):
        value = value["error"]
    if not isinstance(value, dict):
        return LineResult(line_id, None, NOT_RUN, storable(str(value)))
    code = value.get("code") or value.get("type") or NOT_RUN
    words = read_error_value(value).words
    code = storable(str(code), MAX_WORD)
    return LineResult(line_id, None, code, storable(words) or LINE_NOT_RUN())


def _plain(body: bytes) -> bytes:
    """A body that is given as a text is the JSON that the text holds."""
    if body[:1] != b'"':
        return body
    text = _any(body)
    return text.encode(errors="replace") if text.lstrip()[:1] in ("{", "[") else body


def _is_error(body: bytes) -> bool:
    try:
        value = _any(body)
    except (msgspec.DecodeError, RecursionError):
        return True
    return not isinstance(value, dict) or bool(value.get("error"))


def _status(value: Any) -> int:
    if type(value) is int:
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 4:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0

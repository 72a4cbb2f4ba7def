"""Errors in OpenAI's form.

All four fields are always there. The clients send 408, 409, 429 and 5xx again unless
``x-should-retry`` says otherwise (openai-python, ``_should_retry``).
"""

import logging

from flask import Response, jsonify
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from ..core import errors as ours
from ..core.command_names import in_words_of_program
from ..store.database import is_unavailable

log = logging.getLogger(__name__)


class ApiError(Exception):
    """An answer of another status than 200."""

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        kind: str = "invalid_request_error",
    ):
        super().__init__(message)
        self.status = status
        message = in_words_of_program(message)
        self.body = {"message": message, "type": kind, "param": param, "code": code}


def answer(error: Exception) -> Response:
    """The answer to an exception of a view."""
    found = _translated(error)
    response = jsonify(error=found.body)
    response.status_code = found.status
    if found.status < 500:
        response.headers["x-should-retry"] = "false"
    return response


def _translated(error: Exception) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ours.UploadTooLarge | RequestEntityTooLarge):
        return ApiError(413, _too_large(error), "file", "file_too_large")
    if isinstance(error, ours.UploadRejected):
        code = error.faults[0].code if error.faults else None
        return ApiError(error.http_status, str(error), "file", code)
    if isinstance(error, ours.InvalidInput):
        return ApiError(400, str(error), error.field, "invalid_value")
    if isinstance(error, ours.SimpleBatchError):
        kind = "server_error" if error.http_status >= 500 else "invalid_request_error"
        return ApiError(error.http_status, str(error), kind=kind)
    if isinstance(error, HTTPException):
        return ApiError(error.code or 500, error.description or error.name)
    if is_unavailable(error):
        log.error("a call of the Batch API failed, the database is away: %s", error)
        away = "The database cannot be reached at the moment: try again soon."
        return ApiError(503, away, kind="server_error")
    log.exception("a call of the Batch API failed")
    return ApiError(500, "Simple Batch failed here: its log says more.", kind="server_error")


def _too_large(error: Exception) -> str:
    if isinstance(error, ours.UploadTooLarge):
        return str(error)
    return (
        "The file is larger than this server takes: split it, or have the setting raised "
        "(BATCH_MAX_FILE_BYTES)."
    )

"""OpenAI's batch API on a real socket, and that of the providers who copy it (batch_manners.py), as strict
as the real ones. What it shares with the other emulators, faults included, is in batch_base.py.

Sources, read 2026-11-28: https://platform.openai.com/docs/guides/batch, …/api-reference/batch and
…/api-reference/files; the package openai 3.54.0; of lines with the status 0, empty ids of error files and
refused batches without counts, the threads that shared notes of 2026-11-27 name.

    python -m tests.emulators.openai_batches --port 0 --provider openai --polls 2

prints the base URL and serves until it is killed. ``GET /_emulator/state`` says what was created and
billed, ``POST /_emulator/set {"polls": null}`` lets batches end when told; batch_base.py has the rest.
"""

import argparse
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import gevent
import msgspec
from gevent.pywsgi import WSGIServer

from . import batch_answers, batch_base, manners
from .batch_base import (
    ENQUEUED_LIMIT,
    FAIL_LINE,
    UNKNOWN_STATUS,
    Answer,
    Batch,
    BatchProvider,
    ConnectionEnds,
    LineFault,
    Refused,
    Request,
    StoredFile,
)
from .batch_manners import MANNERS

KEY = "sk-batch-emulated-0123456789"
# Faults besides those of batch_base.py
UPLOAD_HALF = "upload_half"  # the connection ends in the middle of an upload; what came is stored
# with the header Retry-After; nothing is stored or created
UPLOAD_LATER_429, UPLOAD_LATER_503 = "upload_later_429", "upload_later_503"
CREATE_LATER_429, CREATE_LATER_503 = "create_later_429", "create_later_503"
CREATE_FULL = "create_full"  # a 429 about too many open batches; no batch is created
LIST_LATE = "list_late"  # a list does not show the newest batch yet
RESULT_410 = "result_410"  # as RESULT_GONE
STATUS_ZERO = "status_zero"  # a line of the output has the status_code 0
EMPTY_ERROR_ID = "empty_error_id"  # error_file_id is "" in place of null
NO_COUNTS = "no_counts"  # a batch has no request_counts
REDIRECTED = "redirected"  # a download is at a storage of another host

_PHASES = {"pending": "validating", "running": "in_progress", "ending": "finalizing"}
_TIMES = ["in_progress", "expired", "finalizing", "completed", "failed", "cancelling", "cancelled"]
_encode = msgspec.json.Encoder().encode


class _Body(msgspec.Struct):
    model: str | None = None
    stream: bool = False
    messages: list[dict] = []
    input: Any = None


class _Line(msgspec.Struct):
    custom_id: str
    body: _Body
    method: str | None = None
    url: str | None = None


_line = msgspec.json.Decoder(_Line).decode
_row = msgspec.json.Decoder().decode


class OpenAIBatches(BatchProvider):
    """``provider`` is one of MANNERS; ``max_lines`` and ``max_bytes`` replace its limits."""

    key = KEY
    errors_apart = True

    def __init__(
        self,
        provider: str = "openai",
        port: int = 0,
        polls_to_finish: int | None = 1,
        max_lines: int | None = None,
        max_bytes: int | None = None,
    ):
        manner = self.manner = MANNERS[provider]
        self.enqueued_tokens_limit: int | None = None
        self.hides = 0  # how many of the next batches are hidden
        self.hidden: set[str] = set()  # ids of batches that no list shows yet
        self.retry_after_s = 1.0
        self.asked_at: dict[str, list[float]] = {"upload": [], "create": []}  # monotonic clock
        self._error = manners.MANNERS[provider].error  # its form, as of other calls
        self.max_lines, self.max_bytes = (
            max_lines or manner.max_lines,
            max_bytes or manner.max_bytes,
        )
        at = re.escape(manner.prefix)
        self.routes = [
            ("POST", at + manner.upload, "post_file"),
            ("GET", f"{at}/files", "get_files"),
            ("GET", f"{at}/files/([^/]+)", "get_file"),
            ("DELETE", f"{at}/files/([^/]+)", "remove_file"),
            ("GET", f"{at}/files/([^/]+)/content", "get_content"),
            ("POST", f"{at}/batches", "post_batch"),
            ("GET", f"{at}/batches", "get_batches"),
            ("GET", f"{at}/batches/([^/]+)", "get_batch"),
            ("DELETE", f"{at}/batches/([^/]+)", "post_cancel")
            if manner.cancel_delete
            else ("POST", f"{at}/batches/([^/]+)/cancel", "post_cancel"),
            ("POST", f"{at}/chat/completions", "post_call"),
        ]
        self.expires_after_s = 86_400.0 if manner.expires else float("inf")
        self.tokens = [0, 0]  # billed: of input, of output
        self.heads: list[dict[str, str]] = []  # of the last calls
        self.storage_heads: list[dict[str, str]] = []
        self.called: list[str] = []  # the words of requests that came as calls
        self._looks: dict[str, int] = {}  # at files
        self._storage: WSGIServer | None = None
        super().__init__(port, polls_to_finish)

    @property
    def base_url(self) -> str:
        return self.url + self.manner.prefix

    def close(self) -> None:
        if self._storage is not None:
            self._storage.stop(timeout=0.1)
        super().close()

    @property
    def polls(self) -> int | None:
        """``polls_to_finish``, as it is set from another process."""
        return self.polls_to_finish

    @polls.setter
    def polls(self, given: int | None) -> None:
        self.polls_to_finish = given

    def counts(self) -> dict[str, Any]:
        tokens = {"input_tokens": self.tokens[0], "output_tokens": self.tokens[1]}
        return {**super().counts(), **tokens}

    def state(self) -> dict[str, Any]:
        """What was created, is stored and was billed. ``billed_twice``: how many lines with the same words
        were run more than once."""
        batches = [
            {
                "id": batch.id,
                "status": self._status(batch),
                "metadata": batch.fields.get("metadata"),
                "input_file_id": batch.file.id,
                "input_name": batch.file.name,
                "lines": batch.total,
            }
            for batch in self.batches.values()
        ]
        files = [{"id": one.id, "name": one.name} for one in self.files.values()]
        counts = {**self.counts(), "lines_billed": self.billed.total(), "files": files}
        return {**counts, "batches": batches, "billed_twice": len(self.billed_twice())}

    def _told(self, what: str, request: Request) -> Any:
        told = super()._told(what, request)
        return self.state() if what == "state" else told

    # --- access and errors -------------------------------------------------------------------------

    def authorize(self, request: Request) -> None:
        self.heads = [*self.heads[-99:], request.headers]
        manner, head = self.manner, request.headers
        if any(request.query.get(name) != value for name, value in manner.query.items()):
            raise self._refused(404, "Resource not found", "404")
        given = {
            "bearer": head.get("authorization", "").removeprefix("Bearer "),
            "api-key": head.get("api-key", ""),
        }
        if not any(given[kind] == self.key for kind in manner.auth):
            raise self._refused(401, "Incorrect API key provided.", "invalid_api_key")

    def error(self, status: int, message: str, code: str | None = None, param: str | None = None):
        return self._error(status, message, code, param)

    def _refused(self, status: int, message: str, code=None, param=None, **head: str) -> Refused:
        return Refused(status, self.error(status, message, code, param), head)

    # --- files -----------------------------------------------------------------------------------------

    def _later(self) -> dict[str, str]:
        return {"Retry-After": f"{self.retry_after_s:g}"}

    def _refuse_for_now(self, on_429: str, on_503: str) -> None:
        if self.faults.take(on_429):
            raise self._refused(429, "Rate limit reached for files.", "rate_limit", **self._later())
        if self.faults.take(on_503):
            raise self._refused(503, "The server is overloaded.", None, None, **self._later())

    def post_file(self, request: Request) -> Answer:
        self.asked_at["upload"].append(time.monotonic())
        self._refuse_for_now(UPLOAD_LATER_429, UPLOAD_LATER_503)
        form = _Form(request)
        fields, name = form.fields, form.name
        if not name:
            raise self._refused(400, "'file' is a required property")
        for needed in ("purpose", *self.manner.upload_fields):
            if needed not in fields:
                raise self._refused(400, f"'{needed}' is a required property")
        if fields["purpose"] != self.manner.purpose:
            raise self._refused(400, f"'{fields['purpose']}' is not one of ['batch'] - 'purpose'")
        more = fields.keys() - {"purpose", "file_type", *self.manner.upload_fields}
        if self.manner.may_expire_files:
            more -= {"expires_after[anchor]", "expires_after[seconds]"}
        if more:
            raise self._refused(
                400, f"Unknown parameter: '{min(more)}'.", "unknown_parameter", min(more)
            )
        if not name.endswith(".jsonl"):
            raise self._refused(400, f"Invalid file format for Batch API. Must be .jsonl: {name}")
        half = self.faults.take(UPLOAD_HALF)
        size = int(request.headers.get("content-length", 0))
        if size > self.max_bytes + 10_000:
            raise self._refused(413, f"File exceeds the maximum of {self.max_bytes} bytes.")
        kept = self.store(form.half(size) if half else form.data(), name, fields["purpose"])
        if half:
            raise ConnectionEnds
        file = self._file(kept)
        return Answer({self.manner.wrapped_file: file} if self.manner.wrapped_file else file)

    def get_files(self, request: Request) -> Answer:
        purpose = request.query.get("purpose")
        files = [file for file in reversed(self.files.values()) if purpose in (None, file.purpose)]
        return Answer(self._page([self._file(file) for file in files], request.query, 10_000))

    def get_file(self, request: Request, file_id: str) -> Answer:
        file = self._known(file_id)
        self._looks[file_id] = self._looks.get(file_id, 0) + 1
        return Answer(self._file(file))

    def remove_file(self, request: Request, file_id: str) -> Answer:
        self._known(file_id)
        self.delete_file(file_id)
        return Answer({"id": file_id, "object": "file", "deleted": True})

    def get_content(self, request: Request, file_id: str) -> Answer:
        file = self._known(file_id)
        if self.faults.take(RESULT_410):
            raise self._refused(410, f"No such File object: {file_id}")
        if self.faults.take(REDIRECTED):
            place = f"{self._storage_url()}/{file_id}?signature=x"
            return Answer(b"", 302, {"Location": place})
        return self.download(file)

    def _known(self, file_id: str) -> StoredFile:
        return self.file(file_id, f"No such File object: {file_id}")

    def _is_processed(self, file: StoredFile) -> bool:
        return self._looks.get(file.id, 0) >= self.manner.pending_looks

    def _file(self, file: StoredFile) -> dict:
        return {
            "id": file.id,
            "object": "file",
            "bytes": file.size,
            "created_at": int(file.created_at),
            "filename": file.name,
            "purpose": file.purpose,
            "status": "processed" if self._is_processed(file) else "pending",
        }

    def _storage_url(self) -> str:
        """Another host that has the files, for which a key is not meant."""
        if self._storage is None:
            self._storage = WSGIServer(("127.0.0.1", 0), self._stored, log=None, error_log=None)
            self._storage.start()
        return f"http://127.0.0.1:{self._storage.server_port}"

    def _stored(self, environ, start_response):
        self.storage_heads.append(batch_base._request(environ).headers)
        data = self.files[environ["PATH_INFO"].strip("/")].path.read_bytes()
        start_response("200 OK", [("Content-Length", str(len(data)))])
        return [data]

    # --- batches ---------------------------------------------------------------------------------------

    def post_batch(self, request: Request) -> Answer:
        self.asked_at["create"].append(time.monotonic())
        try:
            body = request.json()
        except msgspec.DecodeError:
            raise self._refused(400, "We could not parse the JSON body of your request.") from None
        file = self._checked(body)
        if self.faults.take(CREATE_FULL):
            message = "Too many enqueued batches: at most 10 open batches are allowed."
            raise self._refused(429, message, "rate_limit_exceeded", None, **self._later())
        self._refuse_for_now(CREATE_LATER_429, CREATE_LATER_503)
        return Answer(self._wrapped(self.create(file, body, "batch_")))

    def _checked(self, body: Any) -> StoredFile:
        """The input file of a batch that can be created so. Raises Refused."""
        manner = self.manner
        if not isinstance(body, dict):
            raise self._refused(400, "The body is no object.")
        for name in sorted(body.keys() - {*manner.create}):
            raise self._refused(400, f"Unknown parameter: '{name}'.", "unknown_parameter", name)
        for name in manner.required:
            if not body.get(name):
                message = f"Missing required parameter: '{name}'."
                raise self._refused(400, message, "missing_required_parameter", name)
        if body["endpoint"] not in manner.urls:
            raise self._invalid(body, "endpoint")
        if not _in_window(body.get("completion_window"), manner.windows):
            raise self._invalid(body, "completion_window")
        if not _is_metadata(body.get("metadata")):
            raise self._invalid(body, "metadata")
        if not _is_expiry(body.get("output_expires_after"), manner.keeps_output_s):
            raise self._invalid(body, "output_expires_after")
        file = self.files.get(body["input_file_id"])
        if file is None or file.purpose != manner.purpose or not self._is_processed(file):
            message = f"No such File object, or none that can be used: {body['input_file_id']}"
            raise self._refused(400, message, None, "input_file_id")
        return file

    def _invalid(self, body: dict, name: str) -> Refused:
        return self._refused(400, f"Invalid value: '{body[name]}'.", "invalid_value", name)

    def check_batch(self, batch: Batch) -> None:
        if self.hides:
            self.hides -= 1
            self.hidden.add(batch.id)
        faults = self._faults_of(batch)
        if self.faults.take(FAIL_LINE):
            faults = [_fault("invalid_request", "This line is not valid.", 2)]
        limit, enqueued = self.enqueued_lines_limit, self.enqueued_lines() + batch.total
        if self.enqueued_tokens_limit is not None:
            limit = self.enqueued_tokens_limit
            enqueued = sum(map(_tokens_of, self.batches.values()))
            enqueued += 0 if batch.id in self.batches else _tokens_of(batch)
        if self.faults.take(ENQUEUED_LIMIT) or (limit is not None and enqueued > limit):
            # https://github.com/openai/openai-python/issues/2084
            message = (
                f"Enqueued token limit reached for m-1 in organization org-x. Limit: {limit or 90_000:,} "
                "enqueued tokens. Please try again once some in_progress batches have been completed."
            )
            faults = [_fault("token_limit_exceeded", message)]
        if faults:
            batch.phase, batch.ended_at = "failed", self.clock.now()
            batch.failure = {"object": "list", "data": faults[:100]}

    def _faults_of(self, batch: Batch) -> list[dict]:
        if batch.total == 0:
            return [_fault("empty_file", "The batch file is empty.")]
        if batch.total > self.max_lines:
            message = f"The batch file has too many requests. The maximum is {self.max_lines}."
            return [_fault("too_many_tasks", message)]
        faults: list[dict] = []
        seen: set[str] = set()
        model: str | None = None
        inputs = 0
        for number, row in enumerate(batch.file.lines(), 1):
            try:
                line = _line(row)
            except msgspec.DecodeError as wrong:
                faults.append(
                    _fault("invalid_json_line", f"This line is not valid: {wrong}", number)
                )
                continue
            model = line.body.model if number == 1 else model
            fault = self._fault_of(line, batch.fields["endpoint"], seen, model)
            if fault:
                faults.append(_fault(*fault, number))
            seen.add(line.custom_id)
            given = line.body.input
            inputs += len(given) if isinstance(given, list) else 1
        if batch.fields["endpoint"].endswith("/embeddings") and inputs > self.manner.max_inputs:
            message = (
                f"The batch has {inputs} embedding inputs. The maximum is {self.manner.max_inputs}."
            )
            faults.append(_fault("too_many_inputs", message))
        return faults

    def _fault_of(
        self, line: _Line, endpoint: str, seen: set[str], model: str | None
    ) -> tuple[str, str] | None:
        manner, body = self.manner, line.body
        if not 0 < len(line.custom_id) <= 64:
            return "invalid_custom_id", "custom_id has from 1 to 64 characters."
        if line.custom_id in seen:
            return "duplicate_custom_id", f"The custom_id '{line.custom_id}' stands in two lines."
        bare = manner.bare_lines and line.method is None and line.url is None
        if not bare and (line.method != "POST" or line.url != endpoint):
            return "url_mismatch", f"The URL '{line.url}' does not match '{endpoint}'."
        if body.model != model or not model:
            return "model_mismatch", f"The model '{body.model}' does not match '{model}'."
        if manner.models and model not in manner.models:
            return "model_not_found", f"The deployment '{model}' is no batch deployment."
        if body.stream:
            return "invalid_request", "stream: true is not supported by the Batch API."
        if manner.last_is_user and (body.messages or [{}])[-1].get("role") != "user":
            return "invalid_messages", "The last message must be the user's."
        return None

    def recent(self) -> list[Batch]:
        found = super().recent()
        found = [batch for batch in found if batch.id not in self.hidden]
        return found[1:] if found and self.faults.take(LIST_LATE) else found

    def get_batches(self, request: Request) -> Answer:
        return Answer(self._page([self._object(one) for one in self.recent()], request.query, 100))

    def post_call(self, request: Request) -> Answer:
        """A request at the normal price; it is billed as a line of a batch is."""
        body = request.json()
        text = batch_answers.last_text(body)
        fault = self.fault_of(text)
        if fault is not None:
            raise self._refused(fault.status, fault.message)
        found, given, made = batch_answers.answer("/v1/chat/completions", body, text)
        self.tokens[0] += given
        self.tokens[1] += made
        self.billed[text] += 1
        self.called.append(text)
        return Answer(found)

    def get_batch(self, request: Request, batch_id: str) -> Answer:
        return Answer(self._object(self.poll(self._made(batch_id)), polled=True))

    def post_cancel(self, request: Request, batch_id: str) -> Answer:
        batch = self._made(batch_id)
        if batch.ended or (
            not batch.cancel_asked and self._status(batch).lower() not in self._cancellable
        ):
            message = f"Cannot cancel a batch with status '{self._status(batch)}'."
            raise self._refused(400, message)
        return Answer(self._wrapped(self.cancel(batch)))

    @property
    def _cancellable(self) -> tuple[str, ...]:
        return (*self.manner.cancels, self.manner.queued)

    def move_on(self, batch: Batch) -> None:
        before = batch.phase
        super().move_on(batch)
        delete = batch.fields.get("auto_delete_input_file", self.manner.deletes_input)
        if batch.phase != before and batch.ended and delete and batch.file.id in self.files:
            self.delete_file(batch.file.id)

    def _made(self, batch_id: str) -> Batch:
        return self.batch(batch_id, f"No batch found with id '{batch_id}'.")

    def _status(self, batch: Batch) -> str:
        status = _PHASES.get(batch.phase, batch.phase)
        if not batch.ended and batch.cancel_asked:
            status = "cancelling"
        elif batch.phase == "failed" and batch.polls == 0:
            status = "validating"  # lines are checked later than the batch is created
        if status == "validating":
            status = self.manner.queued
        return status.upper() if self.manner.upper else status

    def _wrapped(self, batch: Batch) -> dict:
        found = self._object(batch)
        return {self.manner.wrapped: found} if self.manner.wrapped else found

    def _object(self, batch: Batch, polled: bool = False) -> dict:
        status = self._status(batch)
        if polled and not batch.ended and self.faults.take(UNKNOWN_STATUS):
            status = "reticulating"
        no_error_id = "" if self.faults.armed(EMPTY_ERROR_ID) else None
        found = {
            "id": batch.id,
            "endpoint": batch.fields["endpoint"],
            "input_file_id": batch.file.id,
            "status": status,
            "output_file_id": batch.results.id if batch.results else None,
            "error_file_id": batch.errors.id if batch.errors else no_error_id,
            "created_at": self._time(batch.created_at),
        }
        if self.manner.upper:
            done = (batch.succeeded + batch.failed) / (batch.total or 1)
            failure = batch.failure["data"][0]["message"] if batch.failure else None
            return {**found, "progress": 100 * done, "error": failure}
        return {**found, **self._more(batch, status)}

    def _more(self, batch: Batch, status: str) -> dict:
        times = {f"{name}_at": None for name in _TIMES}
        if batch.ended:
            times[f"{status}_at"] = self._time(batch.ended_at)
        started = batch.phase != "pending" and batch.phase != "failed"
        not_done = batch.failed + batch.cancelled + batch.expired
        counts: dict | None = {
            "total": batch.total if started else 0,
            "completed": batch.succeeded,
            "failed": not_done,
        }
        quiet = self.manner.counts_when and status not in self.manner.counts_when
        if quiet or batch.phase == "failed" or self.faults.armed(NO_COUNTS):
            counts = None
        checked = status not in ("validating", self.manner.queued)
        return {
            **times,
            "object": "batch",
            "in_progress_at": self._time(batch.started_at),
            "expires_at": self._time(batch.created_at + 86_400),
            "errors": batch.failure if checked else None,
            "completion_window": batch.fields.get("completion_window", "24h"),
            "request_counts": counts,
            "metadata": batch.fields.get("metadata"),
        }

    def _time(self, seconds: float | None) -> Any:
        if seconds is None or not self.manner.upper:
            return None if seconds is None else int(seconds)
        return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")

    def _page(self, found: list[dict], query: dict[str, str], most: int) -> Any:
        if self.manner.bare_list:
            return found
        given = query.get("limit", "20")
        if not given.isdigit() or not 1 <= int(given) <= most:
            raise self._refused(400, f"Invalid 'limit': {given}", "invalid_value", "limit")
        after, limit = query.get("after"), int(given)
        if after is not None:
            ids = [one["id"] for one in found]
            if after not in ids:
                raise self._refused(400, f"No object with id '{after}'.", None, "after")
            found = found[ids.index(after) + 1 :]
        page = found[:limit]
        return {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": len(found) > limit,
        }

    # --- lines -------------------------------------------------------------------------------------------

    def answered(self, batch: Batch, line: bytes) -> tuple[str, LineFault | None, bytes]:
        row = _row(line)
        text = batch_answers.last_text(row["body"])
        fault = self.fault_of(text)
        if fault is None:
            body, given, made = batch_answers.answer(batch.fields["endpoint"], row["body"], text)
            self.tokens[0] += given
            self.tokens[1] += made
        else:
            body = self.error(fault.status, fault.message)
        status = fault.status if fault else 200
        if self.manner.bare_answers:
            return text, fault, _bare_result(row["custom_id"], fault is None, body)
        return text, fault, _result(row["custom_id"], status, body)

    def unanswered(self, batch: Batch, line: bytes, phase: str) -> bytes:
        message = f"This request was not executed before the batch was {phase}."
        return (
            _encode(
                {
                    "id": "batch_req_0",
                    "custom_id": _row(line)["custom_id"],
                    "response": None,
                    "error": {"code": f"batch_{phase}", "message": message},
                }
            )
            + b"\n"
        )

    def foreign(self, batch: Batch) -> bytes:
        return _result("foreign", 200, {"choices": []})

    def _damaged(self, batch: Batch, made: bytes) -> bytes:
        if self.faults.take(STATUS_ZERO):
            row = _row(made)
            row["response"] = {"status_code": 0, "request_id": "", "body": ""}
            return _encode(row) + b"\n"
        return super()._damaged(batch, made)


class _Form:
    """A multipart form whose file comes last, read as it arrives."""

    def __init__(self, request: Request):
        kind = request.headers.get("content-type", "")
        found = re.search(r'boundary="?([^";]+)', kind)
        if not kind.startswith("multipart/form-data") or not found:
            message = f"Invalid Content-Type: {kind}"
            raise Refused(
                400, {"error": {"message": message, "type": "x", "param": None, "code": None}}
            )
        self._edge = b"\r\n--" + found[1].encode()
        self._chunks = request.chunks()
        self._read = b"\r\n"
        self.fields: dict[str, str] = {}
        self.name = ""
        while not self.name and self._part():
            pass

    def data(self) -> Iterator[bytes]:
        """What is in the file."""
        data, kept = self._read, len(self._edge)
        while self._edge not in data:
            chunk = next(self._chunks, b"")
            if not chunk:
                return
            yield data[:-kept]
            data = data[-kept:] + chunk
        yield data.partition(self._edge)[0]

    def half(self, size: int) -> Iterator[bytes]:
        left = size // 2
        for chunk in self.data():
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                return

    def _part(self) -> bool:
        """Read a field, or the head of the file."""
        _, found, rest = self._until(self._edge)
        self._read = rest
        head, gap, rest = self._until(b"\r\n\r\n")
        field = re.search(rb'[; ]name="([^"]*)"', head)
        if not found or not gap or not field:
            return False
        self._read = rest
        name = re.search(rb'filename="([^"]*)"', head)
        if name:
            self.name = name[1].decode()
        else:
            value, _, rest = self._until(self._edge)
            self.fields[field[1].decode()] = value.decode()
            self._read = self._edge + rest
        return True

    def _until(self, end: bytes) -> tuple[bytes, bytes, bytes]:
        while end not in self._read:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            self._read += chunk
        return self._read.partition(end)


def _result(custom_id: str, status: int, body: Any) -> bytes:
    response = {"status_code": status, "request_id": "req_1", "body": body}
    row = {"id": "batch_req_1", "custom_id": custom_id, "response": response, "error": None}
    return _encode(row) + b"\n"


def _bare_result(custom_id: str, succeeded: bool, body: Any) -> bytes:
    row = {"custom_id": custom_id, "status": "succeeded" if succeeded else "failed"}
    return _encode({**row, **({"response": body} if succeeded else body)}) + b"\n"


def _tokens_of(batch: Batch) -> int:
    """Tokens that a batch holds of the limit, roughly; a real tokenizer finds fewer than bytes let expect."""
    return 0 if batch.ended else batch.file.size // 8


def _in_window(given: Any, windows: tuple[int, int]) -> bool:
    if given is None:
        return True
    found = re.fullmatch(r"([0-9]{1,4})([hd])", str(given))
    if not found:
        return False
    return windows[0] <= int(found[1]) * (24 if found[2] == "d" else 1) <= windows[1]


def _is_metadata(given: Any) -> bool:
    if given is None:
        return True
    return (
        isinstance(given, dict)
        and len(given) <= 16
        and all(len(name) <= 64 for name in given)
        and all(isinstance(value, str) and len(value) <= 512 for value in given.values())
    )


def _is_expiry(given: Any, bounds: tuple[int, int]) -> bool:
    if given is None:
        return True
    good = isinstance(given, dict) and given.keys() == {"anchor", "seconds"}
    return good and given["anchor"] == "created_at" and bounds[0] <= given["seconds"] <= bounds[1]


def _fault(code: str, message: str, line: int | None = None) -> dict:
    return {"code": code, "message": message, "line": line, "param": None}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--provider", default="openai", choices=sorted(MANNERS))
    parser.add_argument("--polls", type=int, default=2, help="until a batch ends; 0: when told")
    given = parser.parse_args()
    with OpenAIBatches(given.provider, given.port, given.polls or None) as provider:
        print(provider.base_url, flush=True)
        gevent.get_hub().join()


if __name__ == "__main__":
    main()

"""OpenAI's batch API on a real socket, and that of the providers who copy it (batch_manners.py), as strict
as the real ones. It counts every batch that was created and bills every line that was run.

Sources: https://platform.openai.com/docs/guides/batch, …/api-reference/batch, …/api-reference/files (read
2026-11-28); the package openai; what is reported of failures is in ``FAULTS``.

What a line is answered follows from the last text of its user: see ``batch_answers.py``.

    python -m tests.emulators.openai_batches --port 0 --provider openai --polls 2

prints the base URL. ``GET /_emulator/state`` says what happened, ``POST /_emulator/set`` changes the
attributes of ``Behaviour``, ``POST /_emulator/finish`` ends all batches.
"""

import argparse
import json
import re
import secrets
import socket
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import gevent
import msgspec
from gevent.pywsgi import WSGIHandler, WSGIServer

from . import batch_answers, batch_manners
from .batch_manners import MANNERS, BatchManner

KEY = "sk-batch-emulated-0123456789"
_PRIVATE = "/_emulator/"
_ENDED = ("completed", "failed", "expired", "cancelled")
# what goes wrong; Behaviour.faults says how often, -1: always
FAULTS = {
    "upload_cut": "the connection ends in the middle of an upload",
    "upload_half": "the same, and the file is kept as far as it came",
    "upload_lost": "the file is kept whole, the answer is a 500",
    "create_500": "the batch exists, the answer is a 500",
    "create_silent": "the batch exists, no answer comes",
    "create_refused": "a 500 before anything exists",
    "create_429": "too many enqueued batches: a 429, nothing exists",
    "poll_429": "a batch is asked about too often",
    "poll_500": "a batch cannot be asked about",
    "token_limit": "a batch fails with token_limit_exceeded",
    "bad_line": "a batch fails, and names its second line",
    "expired": "a batch expires half done",
    "output_404": "the output file is gone",
    "output_410": "the output file is gone",
    "output_cut": "the output is cut in the middle of a line, its length is of what comes",
    "output_short": "less comes of the output than its length says",
    "alien_ids": "the output has ids that were not sent",
    "missing": "every tenth line is in neither file",
    "twice": "every tenth line is in the output twice",
    "status_zero": "every tenth line has the status_code 0",
    "empty_error_id": "error_file_id is an empty text",
    "no_counts": "a batch has no request_counts",
    "new_status": "an unknown status",
    "cancel_400": "a cancel is refused",
    "redirect": "downloads are at a storage of another host",
}


@dataclass
class Behaviour:
    """``polls``: how often a batch is asked about until it has ended; None: when told. ``hidden``: how many
    lists do not show a new batch. ``enqueued_limit``: tokens of all batches that have not ended.
    ``faults`` maps names of FAULTS to how often they happen."""

    polls: int | None = 0
    hidden: int = 0
    enqueued_limit: int | None = None
    revoked: bool = False
    rate_wait: str = "1"  # Retry-After of a 429
    faults: dict[str, int] = field(default_factory=dict)

    def happens(self, fault: str) -> bool:
        left = self.faults.get(fault, 0)
        if left > 0:
            self.faults[fault] = left - 1
        return left != 0


class Refused(Exception):
    def __init__(
        self, status: int, message: str, code: str | None = None, param: str | None = None
    ):
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.headers: list[tuple[str, str]] = []


class Cut(Exception):
    """The connection is closed without an answer."""


class _Line(msgspec.Struct):
    custom_id: str
    body: msgspec.Raw
    method: str | None = None
    url: str | None = None


class _Model(msgspec.Struct):
    model: str | None = None
    stream: bool = False


_line = msgspec.json.Decoder(_Line).decode
_model = msgspec.json.Decoder(_Model).decode


@dataclass
class File:
    id: str
    name: str
    purpose: str
    data: bytes
    created: int
    looks: int = 0
    size: int | None = None


@dataclass
class Batch:
    id: str
    file: File
    endpoint: str
    window: str | None
    metadata: dict | None
    created: int
    hidden: int
    polls: int = 0
    status: str = "validating"
    errors: list[dict] = field(default_factory=list)
    lines: list[_Line] = field(default_factory=list)
    checked: bool = False
    tokens: int = 0
    counts: tuple[int, int, int] = (0, 0, 0)
    output: str | None = None
    error: str | None = None
    times: dict[str, int] = field(default_factory=dict)
    usage: tuple[int, int] = (0, 0)


class BatchEmulator:
    """A running provider. All that happened is in its attributes, and in ``state()``."""

    def __init__(self, provider: str = "openai", port: int = 0, key: str = KEY, **behaviour: Any):
        self.manner: BatchManner = MANNERS[provider]
        self.behaviour = Behaviour(**behaviour)
        self.key = key
        self.files: dict[str, File] = {}
        self.batches: dict[str, Batch] = {}  # all that were created
        self.billed: Counter[bytes] = Counter()  # how often a line was run, by its body
        self.tokens = [0, 0]  # billed: of input, of output
        self.calls: Counter[str] = Counter()
        self.heads: list[dict[str, str]] = []
        self._server = WSGIServer(
            ("127.0.0.1", port), self._serve, handler_class=_Handler, log=None, error_log=None
        )
        self._storage: WSGIServer | None = None
        self.storage_heads: list[dict[str, str]] = []

    def __enter__(self) -> "BatchEmulator":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(timeout=0.1)
        if self._storage is not None:
            self._storage.stop(timeout=0.1)

    def start(self) -> None:
        self._server.start()

    def serve_forever(self) -> None:
        self._server.serve_forever()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def base_url(self) -> str:
        return self.origin + self.manner.prefix

    def state(self) -> dict:
        """What was created and billed so far. ``billed_twice``: lines with the same body that were run more
        than once."""
        return {
            "batches": [
                {
                    "id": batch.id,
                    "status": batch.status,
                    "metadata": batch.metadata,
                    "input_file_id": batch.file.id,
                    "input_name": batch.file.name,
                    "lines": batch.counts[0],
                    "polls": batch.polls,
                }
                for batch in self.batches.values()
            ],
            "files": [
                {"id": f.id, "name": f.name, "bytes": len(f.data)} for f in self.files.values()
            ],
            "lines_billed": self.billed.total(),
            "bodies_billed": len(self.billed),
            "billed_twice": sum(count > 1 for count in self.billed.values()),
            "input_tokens": self.tokens[0],
            "output_tokens": self.tokens[1],
            "calls": dict(self.calls),
        }

    def finish(self) -> None:
        """End all batches that have not ended."""
        for batch in list(self.batches.values()):
            self._check(batch)
            self._run(batch)

    # --- HTTP ------------------------------------------------------------------------------------------

    def _serve(self, environ, start_response):
        try:
            status, body, headers = self._answer(environ)
        except Refused as refused:
            status, headers = refused.status, refused.headers
            body = self._error(refused)
        except Cut:
            _close(environ)
            return []
        kind = "application/json"
        if isinstance(body, bytes):
            kind, payload = "application/octet-stream", body
        else:
            payload = json.dumps(body).encode()
        length = next((value for name, value in headers if name == "Content-Length"), None)
        more = [] if length else [("Content-Length", str(len(payload)))]
        start_response(f"{status} X", [("Content-Type", kind), *more, *headers])
        return [payload] if not length else _short(payload, environ)

    def _error(self, refused: Refused) -> Any:
        return batch_manners.error(refused.status, refused.message, refused.code, refused.param)

    def _answer(self, environ) -> tuple[int, Any, list]:
        path = environ["PATH_INFO"]
        if path.startswith(_PRIVATE):
            return self._private(path.removeprefix(_PRIVATE), environ)
        head = _headers(environ)
        self.heads.append(head)
        if len(self.heads) > 1_000:
            del self.heads[:500]
        self._check_access(path, head, environ["QUERY_STRING"])
        query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
        parts = path.removeprefix(self.manner.prefix).strip("/").split("/")
        route = (
            environ["REQUEST_METHOD"],
            parts[0],
            len(parts),
            parts[2] if len(parts) > 2 else "",
        )
        self.calls[" ".join(map(str, route))] += 1
        match route:
            case ("POST", "files", 1, _):
                return 200, self._upload(environ), []
            case ("GET", "files", 1, _):
                return (
                    200,
                    self._list(map(self._file, reversed(self.files.values())), query, 10_000),
                    [],
                )
            case ("GET", "files", 2, _):
                return 200, self._looked_at(self._the_file(parts[1])), []
            case ("DELETE", "files", 2, _):
                del self.files[self._the_file(parts[1]).id]
                return 200, {"id": parts[1], "object": "file", "deleted": True}, []
            case ("GET", "files", 3, "content"):
                return self._content(self._the_file(parts[1]))
            case ("POST", "batches", 1, _):
                return 200, self._wrapped(self._create(environ)), []
            case ("GET", "batches", 1, _):
                return 200, self._list(self._visible(), query, 100), []
            case ("GET", "batches", 2, _):
                return 200, self._poll(self._the_batch(parts[1])), []
            case ("POST", "batches", 3, "cancel"):
                return 200, self._wrapped(self._cancel(self._the_batch(parts[1]))), []
        raise Refused(404, f"Invalid URL ({environ['REQUEST_METHOD']} {path})")

    def _check_access(self, path: str, head: dict[str, str], query: str) -> None:
        manner = self.manner
        if not path.startswith(manner.prefix + "/"):
            raise Refused(404, f"Invalid URL (GET {path})")
        given = {name: values[0] for name, values in parse_qs(query).items()}
        if any(given.get(name) != value for name, value in manner.query.items()):
            raise Refused(404, "Resource not found", "404")
        keys = {head.get("authorization", "").removeprefix("Bearer "), head.get("api-key", "")}
        if manner.auth == "bearer":
            keys.discard(head.get("api-key", ""))
        if self.behaviour.revoked or self.key not in keys:
            raise Refused(401, "Incorrect API key provided.", "invalid_api_key")

    def _private(self, name: str, environ) -> tuple[int, Any, list]:
        if environ["REQUEST_METHOD"] == "POST":
            body = environ["wsgi.input"].read()
            if name == "set":
                for attribute, value in json.loads(body).items():
                    assert hasattr(self.behaviour, attribute), attribute
                    setattr(self.behaviour, attribute, value)
            elif name == "finish":
                self.finish()
        if name not in ("state", "set", "finish"):
            raise Refused(404, "state, set or finish")
        return 200, {**self.state(), "behaviour": asdict(self.behaviour)}, []

    # --- files ---------------------------------------------------------------------------------------------

    def _upload(self, environ) -> dict:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if self.behaviour.happens("upload_cut"):
            environ["wsgi.input"].read(length // 2)
            raise Cut
        half = self.behaviour.happens("upload_half")
        body = environ["wsgi.input"].read(length // 2 if half else length)
        fields, name, data = _form(body, environ.get("CONTENT_TYPE", ""))
        if not half and data is None:
            raise Refused(400, "'file' is a required property")
        if fields.get("purpose") != self.manner.purpose:
            given = fields.get("purpose")
            raise Refused(400, f"'{given}' is not one of ['{self.manner.purpose}'] - 'purpose'")
        if not name.endswith(".jsonl"):
            raise Refused(400, f"Invalid file format for Batch API. Must be .jsonl: {name}")
        if len(data or b"") > self.manner.max_bytes:
            raise Refused(
                413, f"File exceeds the maximum of {self.manner.max_bytes} bytes", "too_large"
            )
        file = self._keep(name, fields["purpose"], data or b"")
        if half:
            raise Cut
        if self.behaviour.happens("upload_lost"):
            raise Refused(500, "The server had an error while processing your request.")
        return self._file(file)

    def _keep(self, name: str, purpose: str, data: bytes) -> File:
        file = File(f"file-{secrets.token_hex(12)}", name, purpose, data, int(time.time()))
        self.files[file.id] = file
        return file

    def _the_file(self, file_id: str) -> File:
        if file_id not in self.files:
            raise Refused(404, f"No such File object: {file_id}", None, "id")
        return self.files[file_id]

    def _looked_at(self, file: File) -> dict:
        file.looks += 1
        return self._file(file)

    def _file(self, file: File) -> dict:
        pending = file.purpose == self.manner.purpose and file.looks < self.manner.pending_file
        return {
            "id": file.id,
            "object": "file",
            "bytes": len(file.data),
            "created_at": self._time(file.created),
            "filename": file.name,
            "purpose": file.purpose,
            "status": "pending" if pending else "processed",
        }

    def _content(self, file: File) -> tuple[int, Any, list]:
        if file.purpose == "batch_output":
            for status in (404, 410):
                if self.behaviour.happens(f"output_{status}"):
                    raise Refused(status, f"No such File object: {file.id}")
            if self.behaviour.happens("output_cut"):
                return 200, file.data[: len(file.data) * 2 // 3], []
            if self.behaviour.happens("output_short"):
                half = file.data[: len(file.data) // 2]
                return 200, half, [("Content-Length", str(len(file.data)))]
        if self.behaviour.happens("redirect"):
            return 302, b"", [("Location", f"{self._storage_url()}/{file.id}?signature=x")]
        return 200, file.data, []

    def _storage_url(self) -> str:
        """Another host that has the files, for whom a key is not meant."""
        if self._storage is None:
            self._storage = WSGIServer(("127.0.0.1", 0), self._stored, log=None, error_log=None)
            self._storage.start()
        return f"http://127.0.0.1:{self._storage.server_port}"

    def _stored(self, environ, start_response):
        self.storage_heads.append(_headers(environ))
        data = self.files[environ["PATH_INFO"].strip("/")].data
        start_response("200 OK", [("Content-Length", str(len(data)))])
        return [data]

    # --- batches -------------------------------------------------------------------------------------------

    def _create(self, environ) -> Batch:
        manner, behaviour = self.manner, self.behaviour
        try:
            body = json.loads(environ["wsgi.input"].read())
        except ValueError:
            raise Refused(400, "We could not parse the JSON body of your request.") from None
        self._check_create(body)
        if behaviour.happens("create_refused"):
            raise Refused(500, "The server had an error while processing your request.")
        if behaviour.happens("create_429"):
            raise self._limited("Too many enqueued batches: at most 10 open batches are allowed.")
        file = self.files[body["input_file_id"]]
        batch = Batch(
            f"batch_{secrets.token_hex(12)}",
            file,
            body["endpoint"],
            body.get("completion_window"),
            body.get("metadata"),
            int(time.time()),
            behaviour.hidden,
        )
        self.batches[batch.id] = batch
        if behaviour.happens("create_500"):
            raise Refused(500, "The server had an error while processing your request.")
        if behaviour.happens("create_silent"):
            gevent.sleep(600)
            raise Cut
        assert manner.create
        return batch

    def _check_create(self, body: Any) -> None:
        manner = self.manner
        if not isinstance(body, dict):
            raise Refused(400, "The body is no object.")
        for name in body.keys() - manner.create:
            raise Refused(400, f"Unknown parameter: '{name}'.", "unknown_parameter", name)
        for name in manner.required - body.keys():
            raise Refused(
                400, f"Missing required parameter: '{name}'.", "missing_required_parameter", name
            )
        if body["endpoint"] not in manner.urls:
            raise Refused(400, f"Invalid value: '{body['endpoint']}'.", "invalid_value", "endpoint")
        if manner.windows is not None and body["completion_window"] not in manner.windows:
            raise Refused(
                400,
                f"Invalid value: '{body['completion_window']}'. Supported values are: "
                f"{', '.join(manner.windows)}.",
                "invalid_value",
                "completion_window",
            )
        _check_metadata(body.get("metadata"))
        expiry = body.get("output_expires_after")
        if expiry is not None and not (
            expiry.keys() == {"anchor", "seconds"}
            and expiry["anchor"] == "created_at"
            and 3_600 <= expiry["seconds"] <= 2_592_000
        ):
            raise Refused(400, "Invalid value.", "invalid_value", "output_expires_after")
        file = self.files.get(body["input_file_id"])
        if file is None:
            raise Refused(
                400, f"No such File object: {body['input_file_id']}", None, "input_file_id"
            )
        if file.purpose != manner.purpose or file.looks < manner.pending_file:
            raise Refused(400, f"Invalid input file: {file.purpose}", None, "input_file_id")

    def _limited(self, message: str) -> Refused:
        refused = Refused(429, message, "rate_limit_exceeded")
        refused.headers = [("Retry-After", self.behaviour.rate_wait)]
        return refused

    def _the_batch(self, batch_id: str) -> Batch:
        if batch_id not in self.batches:
            raise Refused(404, f"No batch found with id '{batch_id}'.")
        return self.batches[batch_id]

    def _visible(self):
        for batch in reversed(list(self.batches.values())):
            if batch.hidden > 0:
                batch.hidden -= 1
            else:
                yield self._object(batch)

    def _poll(self, batch: Batch) -> Any:
        if self.behaviour.happens("poll_429"):
            raise self._limited("Rate limit reached")
        if self.behaviour.happens("poll_500"):
            raise Refused(500, "The server had an error while processing your request.")
        batch.polls += 1
        polls = self.behaviour.polls
        if batch.status not in _ENDED:
            self._check(batch)
            if batch.status == "cancelling" or (polls is not None and batch.polls > polls):
                self._run(batch)
        return self._wrapped(batch)

    def _check(self, batch: Batch) -> None:
        """Read and check the lines, once: a batch whose input is wrong fails as a whole."""
        if batch.checked:
            return
        batch.checked = True
        batch.lines, batch.errors = self._lines(batch)
        batch.tokens = sum(batch_answers.input_tokens(bytes(line.body)) for line in batch.lines)
        if self.behaviour.happens("bad_line"):
            batch.errors = [_fault("invalid_request", "This line's request is not valid.", 2)]
        open_tokens = sum(
            other.tokens for other in self.batches.values() if other.status not in _ENDED
        )
        limit = self.behaviour.enqueued_limit
        if self.behaviour.happens("token_limit") or (limit is not None and open_tokens > limit):
            message = (
                f"Enqueued token limit reached for m-1 in organization org-x. Limit: {limit or 90_000:,} "
                "enqueued tokens. Please try again once some in_progress batches have been completed."
            )
            batch.errors = [_fault("token_limit_exceeded", message)]
        batch.status = "failed" if batch.errors else "in_progress"
        batch.times["failed_at" if batch.errors else "in_progress_at"] = int(time.time())
        if not batch.errors:
            batch.counts = (len(batch.lines), 0, 0)

    def _lines(self, batch: Batch) -> tuple[list[_Line], list[dict]]:
        lines, faults = [], []
        seen: set[str] = set()
        models: set[str | None] = set()
        rows = batch.file.data.split(b"\n")
        if rows and not rows[-1]:
            rows.pop()
        if not rows:
            faults.append(_fault("empty_file", "The batch file is empty."))
        if len(rows) > self.manner.max_lines:
            message = (
                f"The batch file contains too many requests. Maximum is {self.manner.max_lines}."
            )
            return [], [_fault("too_many_tasks", message)]
        for number, row in enumerate(rows, 1):
            try:
                line = _line(row)
                of = _model(line.body)
            except msgspec.DecodeError as wrong:
                faults.append(
                    _fault("invalid_json_line", f"This line is not valid: {wrong}", number)
                )
                continue
            fault = self._fault_of(line, of, batch, seen, models)
            if fault:
                faults.append(_fault(*fault, number))
            seen.add(line.custom_id)
            models.add(of.model)
            lines.append(line)
        return lines, faults[:100]

    def _fault_of(self, line: _Line, of: _Model, batch: Batch, seen, models):
        manner = self.manner
        if not line.custom_id or len(line.custom_id) > 64:
            return "invalid_custom_id", "custom_id has from 1 to 64 characters."
        if line.custom_id in seen:
            return (
                "duplicate_custom_id",
                f"The custom_id '{line.custom_id}' is used by another line.",
            )
        if not manner.bare_lines and (line.method != "POST" or line.url != batch.endpoint):
            return "url_mismatch", f"The URL '{line.url}' does not match '{batch.endpoint}'."
        if manner.one_model and models and of.model not in models:
            return "model_mismatch", f"The model '{of.model}' does not match that of other lines."
        if manner.deployments and of.model not in manner.deployments:
            return "model_not_found", f"The deployment '{of.model}' is no batch deployment."
        if of.stream:
            return "invalid_request", "stream: true is not supported by the Batch API."
        if manner.last_is_user and not batch_answers.ends_with_user(bytes(line.body)):
            return "invalid_messages", "The last message must be the user's."
        return None

    def _cancel(self, batch: Batch) -> Batch:
        if batch.status not in self.manner.cancels or self.behaviour.happens("cancel_400"):
            raise Refused(400, f"Cannot cancel a batch with status '{batch.status}'.")
        self._check(batch)
        if batch.status not in _ENDED:
            batch.status = "cancelling"
            batch.times["cancelling_at"] = int(time.time())
        return batch

    def _run(self, batch: Batch) -> None:
        """Run the lines and write the files."""
        if batch.status in _ENDED:
            return
        happens = self.behaviour.happens
        ended = "cancelled" if batch.status == "cancelling" else "completed"
        done = batch.lines
        if ended == "cancelled":
            done = batch.lines[: len(batch.lines) // 2]
        elif happens("expired"):
            ended, done = "expired", batch.lines[: len(batch.lines) // 2]
        results = batch_answers.run(
            done, batch.endpoint, batch.lines[len(done) :], f"batch_{ended}"
        )
        self._bill(done, results)
        out = results.output
        for fault, change in batch_answers.CHANGES.items():
            if happens(fault):
                out = change(out)
        batch.status = ended
        batch.times[f"{ended}_at"] = int(time.time())
        batch.counts = (len(batch.lines), results.succeeded, len(batch.lines) - results.succeeded)
        batch.usage = results.tokens
        if out:
            data = b"\n".join(reversed(out)) + b"\n"  # no order is promised
            batch.output = self._keep(f"{batch.id}_output.jsonl", "batch_output", data).id
        if results.errors:
            data = b"\n".join(results.errors) + b"\n"
            batch.error = self._keep(f"{batch.id}_error.jsonl", "batch_output", data).id

    def _bill(self, done: list[_Line], results: "batch_answers.Results") -> None:
        self.billed.update(batch_answers.digest(bytes(line.body)) for line in done)
        self.tokens[0] += results.tokens[0]
        self.tokens[1] += results.tokens[1]

    def _object(self, batch: Batch) -> dict:
        total, completed, failed = batch.counts
        names = [
            "in_progress",
            "expired",
            "finalizing",
            "completed",
            "failed",
            "cancelling",
            "cancelled",
        ]
        found = {
            "id": batch.id,
            "object": "batch",
            "endpoint": batch.endpoint,
            "errors": {"object": "list", "data": batch.errors} if batch.errors else None,
            "input_file_id": batch.file.id,
            "completion_window": batch.window,
            "status": self._status(batch),
            "output_file_id": batch.output,
            "error_file_id": batch.error,
            "created_at": self._time(batch.created),
            "expires_at": self._time(batch.created + 86_400),
            **{f"{name}_at": self._time(batch.times.get(f"{name}_at")) for name in names},
            "request_counts": {"total": total, "completed": completed, "failed": failed},
            "metadata": batch.metadata,
        }
        if batch.status == "failed" or self.behaviour.faults.get("no_counts"):
            found["request_counts"] = None
        if self.behaviour.faults.get("empty_error_id") and not batch.error:
            found["error_file_id"] = ""
        return found

    def _status(self, batch: Batch) -> str:
        status = batch.status
        if status == "in_progress" and self.behaviour.happens("new_status"):
            status = "reticulating"
        return status.upper() if self.manner.upper else status

    def _time(self, seconds: int | None) -> Any:
        if seconds is None or not self.manner.upper:
            return seconds
        return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")

    def _wrapped(self, batch: Batch) -> Any:
        found = self._object(batch)
        return {self.manner.wrapped: found} if self.manner.wrapped else found

    def _list(self, objects, query: dict[str, str], most: int) -> Any:
        found = list(objects)
        if self.manner.bare_list:
            return found
        limit = int(query.get("limit", min(20, most)))
        if not 1 <= limit <= most:
            raise Refused(400, f"Invalid 'limit': {limit}", "integer_out_of_range", "limit")
        after = query.get("after")
        if after is not None:
            ids = [one["id"] for one in found]
            if after not in ids:
                raise Refused(400, f"No object with id '{after}'.", None, "after")
            found = found[ids.index(after) + 1 :]
        page = found[:limit]
        return {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": len(found) > limit,
        }


class _Handler(WSGIHandler):
    def get_environ(self):
        return {**super().get_environ(), "emulator.socket": self.socket}


def _close(environ) -> None:
    environ["emulator.socket"].shutdown(socket.SHUT_RDWR)


def _short(payload: bytes, environ):
    yield payload
    _close(environ)


def _headers(environ) -> dict[str, str]:
    return {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }


def _form(body: bytes, content_type: str) -> tuple[dict[str, str], str, bytes | None]:
    """The fields of a multipart form, the name of its file and what is in it, which may be cut off."""
    found = re.search(r'boundary="?([^";]+)', content_type)
    if not content_type.startswith("multipart/form-data") or not found:
        raise Refused(400, f"Invalid Content-Type: {content_type}")
    edge = b"--" + found[1].encode()
    fields, name, data, place = {}, "", None, body.find(edge)
    while place >= 0:
        head, gap, _ = body[place : place + 2_000].partition(b"\r\n\r\n")
        start = place + len(head) + 4
        place = body.find(b"\r\n" + edge, start) if gap else -1
        end = place if place >= 0 else len(body)
        place = place + 2 if place >= 0 else -1
        field = re.search(rb'[; ]name="([^"]*)"', head)
        if not gap or not field:
            continue
        file_name = re.search(rb'filename="([^"]*)"', head)
        if file_name:
            name, data = file_name[1].decode(), body[start:end]
        else:
            fields[field[1].decode()] = body[start:end].decode()
    return fields, name, data


def _check_metadata(metadata: Any) -> None:
    if metadata is None:
        return
    good = isinstance(metadata, dict) and len(metadata) <= 16
    if not good or any(
        not isinstance(value, str) or len(name) > 64 or len(value) > 512
        for name, value in metadata.items()
    ):
        raise Refused(400, "Invalid metadata.", "invalid_value", "metadata")


def _fault(code: str, message: str, line: int | None = None) -> dict:
    return {"code": code, "message": message, "line": line, "param": None}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--provider", default="openai", choices=sorted(MANNERS))
    parser.add_argument("--polls", type=int, default=0, help="-1: when told")
    given = parser.parse_args()
    polls = given.polls if given.polls >= 0 else None
    emulator = BatchEmulator(given.provider, given.port, polls=polls)
    emulator.start()
    print(emulator.base_url, flush=True)
    emulator.serve_forever()


if __name__ == "__main__":
    sys.exit(main())

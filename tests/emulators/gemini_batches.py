"""Gemini's batch API on a real socket: resumable uploads, files, batches; strict, counting, billing.

Sources, read 2026-11-28:
[B] https://ai.google.dev/api/batch-api (batch, states, batchStats, list, cancel, delete; displayName and
    inputConfig are required)
[D] https://ai.google.dev/gemini-api/docs/batch-api (inline requests below 20 MB, else a file of lines
    {"key", "request"}; results in responsesFile; target 24 h, expired after 48 h; download path)
[F] https://ai.google.dev/api/files, …/gemini-api/docs/files (resumable upload; 2 GB; uploaded files can't be
    downloaded and are deleted after 48 h)
[P] the package google-genai 3.6.1: batches.py, files.py, _api_client.py (_upload_fd), _extra_utils.py
    (headers of the upload), types.JobState
[E] https://developers.googleblog.com/gemini-batch-api-now-supports-embeddings-and-openai-compatibility (lines of
    embeddings)
[I] inspect_ai's changelog: flat generation parameters are not taken; PARTIALLY_SUCCEEDED and EXPIRED
Not found in a source: whether an expired or cancelled batch has a result file. Here it has one with what was
done, if ``keeps_partial`` is set; else it has none, as providers.md says of no other API.

A result line is {"key", "response"} or {"key", "error"}; a batch with failed lines beside good ones ends as
BATCH_STATE_SUCCEEDED, or as BATCH_STATE_PARTIALLY_SUCCEEDED if ``partly`` is set.
"""

import hashlib
import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from . import gemini
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

INLINE_MOST = 20 << 20  # bytes [D]
FILE_MOST = 2 << 30  # bytes [F]
CHUNK_UNIT = 256 << 10  # an upload that does not finish sends a multiple of it [F]
STATES = {
    "pending": "PENDING",
    "running": "RUNNING",
    "ending": "RUNNING",
    "completed": "SUCCEEDED",
    "failed": "FAILED",
    "cancelled": "CANCELLED",
    "expired": "EXPIRED",
}
_VERSION = "/v1(?:beta)?"


class GeminiBatches(BatchProvider):
    """``prefix`` of the states: BATCH_STATE_ as the REST API has it, or JOB_STATE_ [P]."""

    routes = [
        ("POST", f"/upload{_VERSION}/files", "start_upload"),
        ("POST", "/upload/session/([^/]+)", "upload"),
        ("GET", f"{_VERSION}/files", "list_files"),
        ("GET", f"{_VERSION}/files/([^/:]+)", "get_file"),
        ("DELETE", f"{_VERSION}/files/([^/:]+)", "remove_file"),
        ("GET", f"(?:/download)?{_VERSION}/files/([^/:]+):download", "download_file"),
        ("POST", f"{_VERSION}/models/([^/:]+):batchGenerateContent", "create_batch"),
        ("POST", f"{_VERSION}/models/([^/:]+):asyncBatchEmbedContent", "create_embeddings"),
        ("GET", f"{_VERSION}/batches", "list_batches"),
        ("GET", f"{_VERSION}/batches/([^/:]+)", "get_batch"),
        ("POST", f"{_VERSION}/batches/([^/:]+):cancel", "cancel_batch"),
        ("DELETE", f"{_VERSION}/batches/([^/:]+)", "delete_batch"),
    ]
    expires_after_s = 48 * 3600.0
    key = gemini.KEY

    def __init__(self, **options: Any):
        super().__init__(**options)
        self.prefix, self.partly, self.keeps_partial = "BATCH_STATE_", False, True
        self._sessions: dict[str, dict[str, Any]] = {}

    def authorize(self, request: Request) -> None:
        if re.fullmatch("/upload/session/.+", request.path):
            return  # the address is the permission
        try:
            gemini.check_key(request.headers, request.query, compatible=False)
        except gemini.Refused as refused:
            raise Refused(refused.status, refused.body) from None

    def error(self, status: int, message: str) -> dict:
        if status == 429:
            return gemini.over_limit().body
        return gemini.Refused(status, message).body

    # --- files ---------------------------------------------------------------------------------

    def start_upload(self, request: Request) -> Answer:
        head = request.headers
        if head.get("x-goog-upload-protocol") != "resumable":
            raise Refused(400, self.error(400, "Only resumable uploads are emulated."))
        if head.get("x-goog-upload-command") != "start":
            raise Refused(400, self.error(400, "Upload command must be start."))
        size = int(head.get("x-goog-upload-header-content-length", 0))
        if size > FILE_MOST:
            raise Refused(400, self.error(400, "File size must be at most 2 GiB."))
        said = (request.json() or {}).get("file") or {}
        session = self.new_id("upload")
        name = said.get("name", "").removeprefix("files/")
        if name and (
            name in self.files or not re.fullmatch("[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", name)
        ):
            raise Refused(
                409 if name in self.files else 400, self.error(400, f"Invalid name {name}.")
            )
        display = said.get("displayName") or said.get("display_name") or ""
        mime = head.get("x-goog-upload-header-content-type", "application/octet-stream")
        self._sessions[session] = {
            "size": size,
            "name": name,
            "display": display,
            "mime": mime,
            "got": [],
        }
        url = f"{self.url}/upload/session/{session}"
        return Answer({}, headers={"X-Goog-Upload-URL": url, "X-Goog-Upload-Status": "active"})

    def upload(self, request: Request, session_id: str) -> Answer:
        """upload at an offset, "upload, finalize", or query: what has arrived [F]."""
        if session_id not in self._sessions:
            raise Refused(404, self.error(404, "Upload session not found."))
        session = self._sessions[session_id]
        commands = [
            word.strip() for word in request.headers.get("x-goog-upload-command", "").split(",")
        ]
        got = sum(map(len, session["got"]))
        if commands == ["query"]:
            head = {"X-Goog-Upload-Status": "active", "X-Goog-Upload-Size-Received": str(got)}
            return Answer(None, headers=head)
        if int(request.headers.get("x-goog-upload-offset", -1)) != got:
            raise Refused(400, self.error(400, f"Upload offset must be {got}."))
        session["got"].append(request.body())
        if "finalize" not in commands:
            if len(session["got"][-1]) % CHUNK_UNIT:
                raise Refused(400, self.error(400, "The chunk is no multiple of 256 KiB."))
            return Answer(None, headers={"X-Goog-Upload-Status": "active"})
        if got + len(session["got"][-1]) != session["size"]:
            raise Refused(400, self.error(400, "The upload is shorter than announced."))
        return self._finalized(session_id, session)

    def _finalized(self, session_id: str, session: dict[str, Any]) -> Answer:
        try:
            file = self.store(session["got"], session["display"], "upload", prefix="file")
        except ConnectionEnds:
            session["got"].clear()
            raise
        del self._sessions[session_id]
        file.mime, file.expires_at = session["mime"], self.clock.now() + 48 * 3600
        if session["name"]:
            del self.files[file.id]
            file.id = session["name"]
            self.files[file.id] = file
        return Answer({"file": self._file(file)}, headers={"X-Goog-Upload-Status": "final"})

    def _file(self, file: StoredFile) -> dict[str, Any]:
        uploaded = file.purpose == "upload"
        uri = f"{self.url}/v1beta/files/{file.id}"
        seen: dict[str, Any] = {
            "name": f"files/{file.id}",
            "displayName": file.name,
            "mimeType": file.mime,
            "sizeBytes": str(file.size),
            "createTime": stamp(file.created_at),
            "updateTime": stamp(file.created_at),
            "sha256Hash": hashlib.sha256(file.path.read_bytes()).hexdigest(),
            "uri": uri,
            "state": "ACTIVE",
            "source": "UPLOADED" if uploaded else "GENERATED",
        }
        if file.expires_at:
            seen["expirationTime"] = stamp(file.expires_at)
        if not uploaded:
            seen["downloadUri"] = f"{uri}:download?alt=media"
        return seen

    def list_files(self, request: Request) -> Answer:
        found, following = page(list(self.files.values()), request.query, 10, 100)
        seen: dict[str, Any] = {"files": [self._file(file) for file in found]}
        return Answer({**seen, **following})

    def _known(self, file_id: str) -> StoredFile:
        """403 also where there is none [F]."""
        file = self.files.get(file_id)
        if file is None or (file.expires_at or self.clock.now() + 1) <= self.clock.now():
            message = (
                f"You do not have permission to access the File {file_id} or it may not exist."
            )
            raise Refused(403, self.error(403, message))
        return file

    def get_file(self, request: Request, file_id: str) -> Answer:
        return Answer(self._file(self._known(file_id)))

    def remove_file(self, request: Request, file_id: str) -> Answer:
        self._known(file_id)
        self.delete_file(file_id)
        return Answer({})

    def download_file(self, request: Request, file_id: str) -> Answer:
        file = self._known(file_id)
        if request.query.get("alt") != "media" or file.purpose == "upload":
            raise Refused(
                400, self.error(400, "Only generated files can be downloaded, with alt=media.")
            )
        return self.download(file)

    # --- batches -------------------------------------------------------------------------------

    def create_embeddings(self, request: Request, model: str) -> Answer:
        return self.create_batch(request, model, "asyncBatchEmbedContent")

    def create_batch(
        self, request: Request, model: str, method: str = "batchGenerateContent"
    ) -> Answer:
        raw = request.body()
        said = msgspec.json.decode(raw)
        if model not in gemini.MODELS or method not in gemini.MODELS[model][2]:
            gemini_refusal(lambda: gemini.unknown_model(model, method))
        gemini_refusal(lambda: gemini.check_fields(said, _CREATE))
        batch = snaked(said.get("batch") or {})
        if not batch.get("display_name") or not batch.get("input_config"):
            missing = "display_name" if not batch.get("display_name") else "input_config"
            message = f"* BatchGenerateContentRequest.batch.{missing}: {missing} is required\n"
            raise Refused(400, self.error(400, message))
        if self.faults.take(ENQUEUED_LIMIT) or self._over_limit():
            raise Refused(429, self.error(429, "enqueued tokens"))
        config = snaked(batch["input_config"])
        inline = (config.get("requests") or {}).get("requests")
        if inline is not None and len(raw) > INLINE_MOST:
            message = "Request payload size exceeds the limit: 20971520 bytes."
            raise Refused(400, self.error(400, message))
        file = self._inline_file(inline) if inline is not None else self._input(config)
        fields = {"model": f"models/{model}", "display_name": batch["display_name"]}
        made = self.create(file, fields, prefix="batch", inline=inline is not None)
        return Answer(self._seen(made))

    def _over_limit(self) -> bool:
        limit = self.enqueued_lines_limit
        return limit is not None and self.enqueued_lines() >= limit

    def _input(self, config: dict) -> StoredFile:
        name = str(config.get("file_name", ""))
        file = self._known(name.removeprefix("files/"))
        if file.size == 0:
            raise Refused(400, self.error(400, "The input file is empty."))
        return file

    def _inline_file(self, requests: list[dict]) -> StoredFile:
        lines = []
        for place, asked in enumerate(requests):
            gemini_refusal(lambda asked=asked: gemini.check_fields(asked, _INLINE))
            key = (asked.get("metadata") or {}).get("key", str(place))
            lines.append(msgspec.json.encode({"key": key, "request": asked["request"]}) + b"\n")
        file_id = self.new_id("inline")
        file = StoredFile(file_id, "inline", "inline", self._folder / file_id, self.clock.now())
        file.path.write_bytes(b"".join(lines))
        return file

    def check_batch(self, batch: Batch) -> None:
        """A line that is no JSON object fails the batch; what is wrong within a request fails the line."""
        if self.faults.take(FAIL_LINE):
            self._fail(batch, 1)
        for number, line in enumerate(batch.file.lines(), 1):
            try:
                msgspec.json.decode(line, type=_Line)
            except msgspec.MsgspecError:
                self._fail(batch, number)
                return

    def _fail(self, batch: Batch, number: int) -> None:
        message = f"Failed to parse line {number} of the input file."
        batch.phase, batch.ended_at = "failed", self.clock.now()
        batch.failure = {"code": 3, "message": message}

    def get_batch(self, request: Request, batch_id: str) -> Answer:
        seen = self._seen(self.poll(self._batch(batch_id)))
        if self.faults.take(UNKNOWN_STATUS):
            seen["metadata"]["state"] = f"{self.prefix}REBALANCING"
        return Answer(seen)

    def _batch(self, batch_id: str) -> Batch:
        return self.batch(batch_id, f"Requested entity was not found: batches/{batch_id}")

    def list_batches(self, request: Request) -> Answer:
        found, following = page(self.recent(), request.query, 10, 100)
        return Answer({"operations": [self._seen(batch) for batch in found], **following})

    def cancel_batch(self, request: Request, batch_id: str) -> Answer:
        batch = self._batch(batch_id)
        if batch.ended:
            raise Refused(400, self.error(400, "The batch has ended and can't be cancelled."))
        self.cancel(batch)
        return Answer({})

    def delete_batch(self, request: Request, batch_id: str) -> Answer:
        self.deleted.append(self._batch(batch_id).id)
        del self.batches[batch_id]
        return Answer({})

    def _seen(self, batch: Batch) -> dict[str, Any]:
        """The operation [B]; counters are int64, that is text, and 0 is left out."""
        state = STATES[batch.phase]
        if batch.phase == "completed" and self.partly and batch.failed:
            state = "PARTIALLY_SUCCEEDED"
        name = f"batches/{batch.id}"
        stats = {
            "requestCount": batch.total,
            "successfulRequestCount": batch.succeeded,
            "failedRequestCount": batch.failed,
            "pendingRequestCount": batch.total - batch.succeeded - batch.failed,
        }
        metadata: dict[str, Any] = {
            "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
            "name": name,
            "model": batch.fields["model"],
            "displayName": batch.fields["display_name"],
            "createTime": stamp(batch.created_at),
            "updateTime": stamp(batch.ended_at or batch.started_at or batch.created_at),
            "batchStats": {name: str(count) for name, count in stats.items() if count},
            "state": self.prefix + state,
        }
        if not batch.inline:
            metadata["inputConfig"] = {"fileName": f"files/{batch.file.id}"}
        seen: dict[str, Any] = {"name": name, "metadata": metadata}
        if batch.ended:
            metadata["endTime"] = stamp(batch.ended_at or 0)
            seen["done"] = True
            self._finished(batch, seen)
        return seen

    def _finished(self, batch: Batch, seen: dict[str, Any]) -> None:
        if batch.failure:
            seen["error"] = batch.failure
        if not batch.results or (batch.phase != "completed" and not self.keeps_partial):
            return
        output = self._output(batch)
        seen["metadata"]["output"] = output
        seen["response"] = {
            "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatchOutput",
            **output,
        }

    def _output(self, batch: Batch) -> dict[str, Any]:
        assert batch.results
        if not batch.inline:
            return {"responsesFile": f"files/{batch.results.id}"}
        lines = [msgspec.json.decode(line) for line in batch.results.lines()]
        made = [{"metadata": {"key": line.pop("key")}, **line} for line in lines]
        return {"inlinedResponses": {"inlinedResponses": made}}

    # --- lines ---------------------------------------------------------------------------------

    def answered(self, batch: Batch, line: bytes) -> tuple[str, LineFault | None, bytes]:
        asked = msgspec.json.decode(line, type=_Line)
        model = batch.fields["model"].removeprefix("models/")
        if "embedContent" in gemini.MODELS[model][2]:
            return self._embedded(asked, model)
        try:
            gemini.check_request(asked.request, model)
        except gemini.Refused as refused:
            fault = LineFault(refused.status, refused.message)
            return "", fault, failed_line(asked.key, fault, refused.details)
        words = gemini.last_text(asked.request)
        if fault := self.fault_of(words):
            return words, fault, failed_line(asked.key, fault, [])
        response = gemini.said(asked.request, model)
        return words, None, _encode({"key": asked.key, "response": response}) + b"\n"

    def _embedded(self, asked: "_Line", model: str) -> tuple[str, LineFault | None, bytes]:
        try:
            made = gemini.embedded(model, asked.request, many=False)
        except gemini.Refused as refused:
            fault = LineFault(refused.status, refused.message)
            return "", fault, failed_line(asked.key, fault, refused.details)
        words = " ".join(part["text"] for part in asked.request["content"]["parts"])
        made["usageMetadata"] = {"promptTokenCount": len(words.split())}
        return words, None, _encode({"key": asked.key, "response": made}) + b"\n"

    def foreign(self, batch: Batch) -> bytes:
        fault = LineFault(500, "Internal error")
        return failed_line("foreign", fault, [])


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    request: dict[str, Any]
    key: str = ""


_BATCH = {
    **dict.fromkeys(["name", "display_name", "priority", "model", "webhook_config"]),
    "input_config": {"file_name": None, "requests": {"requests": None}},
}
_CREATE = {"batch": _BATCH}
_INLINE = {"request": None, "metadata": None}
_encode = msgspec.json.Encoder().encode
# google.rpc.Code by HTTP status: https://github.com/googleapis/googleapis, google/rpc/code.proto
_CODES = {400: 3, 403: 7, 404: 5, 429: 8, 500: 13, 503: 14}


def failed_line(key: str, fault: LineFault, details: list[dict]) -> bytes:
    """google.rpc.Status: its code is no HTTP status."""
    error: dict[str, Any] = {"code": _CODES.get(fault.status, 2), "message": fault.message}
    return (
        _encode({"key": key, "error": {**error, **({"details": details} if details else {})}})
        + b"\n"
    )


def gemini_refusal(check) -> None:
    try:
        check()
    except gemini.Refused as refused:
        raise Refused(refused.status, refused.body) from None


def snaked(message: dict[str, Any]) -> dict[str, Any]:
    return {gemini.snake(name): value for name, value in message.items()}


def stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def page(items: list, query: dict[str, str], usual: int, most: int) -> tuple[list, dict[str, str]]:
    """One page by pageSize and pageToken, and {"nextPageToken"} if more follow."""
    start = int(query.get("pageToken", 0))
    stop = start + min(int(query.get("pageSize", usual)), most)
    return items[start:stop], {"nextPageToken": str(stop)} if stop < len(items) else {}

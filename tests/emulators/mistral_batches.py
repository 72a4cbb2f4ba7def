"""Mistral's batch API on a real socket: files and jobs; strict, counting, billing.

Sources, read 2026-11-28:
[P] the package mistralai 3.7.0: client/models/createbatchjobrequest.py, batchjob.py, batchjobstatus.py,
    apiendpoint.py, createfileresponse.py, chatcompletionrequest.py, errors/; client/jobs.py, files.py (512 MB a
    file; pages from 0, 100 a page; the newest first; ?inline=true gives the results as ``outputs``)
[D] https://docs.mistral.ai/inference/batch-processing.md and …/capabilities/batch (lines {"custom_id", "body"}; the
    model in a body may be left out; up to 1 M requests)
[L] https://github.com/BerriAI/litellm/pull/40484 (total_requests is 0 until the input has been validated)
[J] https://docs.langchain4j.dev/apidocs/dev/langchain4j/model/mistralai/internal/api/
    MistralAiBatchResultEntry.html (result lines have custom_id and response.body or error; in any order; the
    error file has the same form)
Not found in a source: the fields of ``error`` in a failed line and the words of refusals; whether a job that
timed out or was cancelled has an output file (here it has one).
"""

from typing import Any

import msgspec

from .batch_base import (
    ENQUEUED_LIMIT,
    FAIL_LINE,
    UNKNOWN_STATUS,
    Answer,
    Batch,
    BatchProvider,
    LineFault,
    Refused,
    Request,
    StoredFile,
)
from .manners import mistral_error

KEY = "mistral-batches-0123456789"
FILE_MOST, LINES_MOST = 512 << 20, 1_000_000
MODELS = ("mistral-small-latest", "mistral-large-latest", "mistral-embed")
ENDPOINTS = frozenset(
    f"/v1/{name}"
    for name in [
        "chat/completions",
        "embeddings",
        "fim/completions",
        "moderations",
        "chat/moderations",
        "ocr",
        "classifications",
        "chat/classifications",
        "conversations",
        "audio/transcriptions",
    ]
)
JOB_FIELDS = frozenset(
    ["endpoint", "input_files", "requests", "model", "agent_id", "metadata", "timeout_hours"]
)
CHAT_FIELDS = frozenset(
    [
        "model",
        "messages",
        "temperature",
        "top_p",
        "max_tokens",
        "stream",
        "stop",
        "random_seed",
        "metadata",
        "response_format",
        "tools",
        "tool_choice",
        "presence_penalty",
        "frequency_penalty",
        "min_tokens",
        "repetition_penalty",
        "top_k",
        "logprobs",
        "top_logprobs",
        "prompt_logprobs",
        "top_prompt_logprobs",
        "n",
        "prediction",
        "parallel_tool_calls",
        "reasoning_effort",
        "prompt_mode",
        "guardrails",
        "prompt_cache_key",
        "service_tier",
        "safe_prompt",
    ]
)
EMBEDDING_FIELDS = frozenset(
    ["model", "input", "metadata", "output_dimension", "output_dtype", "encoding_format"]
)
STATUSES = {
    "pending": "QUEUED",
    "running": "RUNNING",
    "ending": "RUNNING",
    "completed": "SUCCESS",
    "failed": "FAILED",
    "cancelled": "CANCELLED",
    "expired": "TIMEOUT_EXCEEDED",
}
_encode = msgspec.json.Encoder().encode


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    body: dict[str, Any]
    custom_id: str | None = None


class MistralBatches(BatchProvider):
    routes = [
        ("POST", "/v1/files", "upload"),
        ("GET", "/v1/files", "list_files"),
        ("GET", "/v1/files/([^/]+)", "get_file"),
        ("DELETE", "/v1/files/([^/]+)", "remove_file"),
        ("GET", "/v1/files/([^/]+)/content", "content"),
        ("POST", "/v1/batch/jobs", "create_job"),
        ("GET", "/v1/batch/jobs", "list_jobs"),
        ("GET", "/v1/batch/jobs/([^/]+)", "get_job"),
        ("POST", "/v1/batch/jobs/([^/]+)/cancel", "cancel_job"),
        ("DELETE", "/v1/batch/jobs/([^/]+)", "delete_job"),
    ]
    key = KEY
    errors_apart = True
    any_order = True

    def authorize(self, request: Request) -> None:
        if request.headers.get("authorization") != f"Bearer {self.key}":
            raise Refused(401, self.error(401, "Unauthorized"))

    def error(self, status: int, message: str) -> Any:
        return mistral_error(status, message, "1300" if status == 429 else None, None)

    def _invalid(self, place: str, message: str) -> Refused:
        return Refused(422, mistral_error(422, message, None, place))

    # --- files ---------------------------------------------------------------------------------

    def upload(self, request: Request) -> Answer:
        fields, name, content = request.form()
        if content is None:
            raise self._invalid("file", "Field required")
        if fields.get("purpose") != "batch":
            raise self._invalid("purpose", "Only purpose=batch is emulated")
        file = self.store(iter(lambda: content.read(1 << 16), b""), name, "batch")
        if file.size > FILE_MOST:
            self.delete_file(file.id)
            raise Refused(413, self.error(413, "File too large"))
        return Answer(self._file(file))

    def _file(self, file: StoredFile) -> dict[str, Any]:
        kinds = {"results": "batch_result", "errors": "batch_error"}
        made = file.purpose == "batch_output"
        kind = (
            kinds[file.name.removesuffix(".jsonl").rsplit("_", 1)[1]] if made else "batch_request"
        )
        return {
            "id": file.id,
            "object": "file",
            "bytes": file.size,
            "created_at": int(file.created_at),
            "filename": file.name,
            "purpose": "batch",
            "sample_type": kind,
            "source": "mistral" if made else "upload",
            "num_lines": None,
            "mimetype": "application/jsonl",
            "signature": None,
            "deleted": False,
        }

    def list_files(self, request: Request) -> Answer:
        found, start = list(reversed(self.files.values())), int(request.query.get("page", 0))
        size = int(request.query.get("page_size", 100))
        page = [self._file(file) for file in found[start * size :][:size]]
        return Answer({"data": page, "object": "list", "total": len(found)})

    def get_file(self, request: Request, file_id: str) -> Answer:
        return Answer(self._file(self.file(file_id)))

    def remove_file(self, request: Request, file_id: str) -> Answer:
        self.delete_file(file_id)
        return Answer({"id": file_id, "object": "file", "deleted": True})

    def content(self, request: Request, file_id: str) -> Answer:
        answer = self.download(self.file(file_id))
        return Answer(answer.body, headers={"Content-Type": "application/octet-stream"})

    # --- jobs ----------------------------------------------------------------------------------

    def create_job(self, request: Request) -> Answer:
        said = request.json()
        for name in said.keys() - JOB_FIELDS:
            raise self._invalid(name, "Extra inputs are not permitted")
        if said.get("endpoint") not in ENDPOINTS:
            raise self._invalid("endpoint", "Input should be one of the batch endpoints")
        if bool(said.get("input_files")) == bool(said.get("requests")):
            raise self._invalid("input_files", "Either input_files or requests is required")
        if said.get("model") is not None and said["model"] not in MODELS:
            raise Refused(400, self.error(400, f"Invalid model: {said['model']}"))
        if not all(isinstance(value, str) for value in (said.get("metadata") or {}).values()):
            raise self._invalid("metadata", "Input should be a valid string")
        if self.faults.take(ENQUEUED_LIMIT) or self._over_limit():
            raise Refused(429, self.error(429, "Requests rate limit exceeded"))
        inline = bool(said.get("requests"))
        file = self._inline(said["requests"]) if inline else self._joined(said["input_files"])
        hours = said.get("timeout_hours") or 24
        batch = self.create(
            file, said, prefix="job-", inline=inline, expires_after_s=hours * 3600.0
        )
        return Answer(self._seen(batch))

    def _over_limit(self) -> bool:
        limit = self.enqueued_lines_limit
        return limit is not None and self.enqueued_lines() >= limit

    def _new(self, chunks) -> StoredFile:
        file_id = self.new_id("input-")
        file = StoredFile(file_id, "input", "input", self._folder / file_id, self.clock.now())
        with file.path.open("wb") as target:
            target.writelines(chunks)
        return file

    def _inline(self, requests: list[dict]) -> StoredFile:
        return self._new(_encode(asked) + b"\n" for asked in requests)

    def _joined(self, ids: list[str]) -> StoredFile:
        files = [self.file(file_id, f"File {file_id} not found") for file_id in ids]
        return files[0] if len(files) == 1 else self._new(line for f in files for line in f.lines())

    def check_batch(self, batch: Batch) -> None:
        """An input that is no list of lines fails the job as a whole."""
        wrong = 1 if self.faults.take(FAIL_LINE) else 0
        seen: set[str] = set()
        for number, line in enumerate(batch.file.lines(), 1):
            try:
                asked = msgspec.json.decode(line, type=_Line)
            except msgspec.MsgspecError:
                wrong = wrong or number
                continue
            if asked.custom_id in seen:
                wrong = wrong or number
            seen.add(asked.custom_id or str(number))
        if wrong or batch.total > LINES_MOST or not batch.total:
            batch.phase, batch.ended_at = "failed", self.clock.now()
            batch.failure = {"message": f"Invalid request in line {wrong}.", "count": 1}

    def get_job(self, request: Request, job_id: str) -> Answer:
        batch = self.poll(self.batch(job_id, f"Job {job_id} not found"))
        seen = self._seen(batch)
        if request.query.get("inline", "").lower() == "true" and batch.results:
            seen["outputs"] = [msgspec.json.decode(line) for line in batch.results.lines()]
        if self.faults.take(UNKNOWN_STATUS):
            seen["status"] = "REBALANCING"
        return Answer(seen)

    def list_jobs(self, request: Request) -> Answer:
        query = request.query
        found = [
            batch
            for batch in self.recent()
            if query.get("model") in (None, batch.fields.get("model"))
        ]
        start, size = int(query.get("page", 0)), int(query.get("page_size", 100))
        page = [self._seen(batch) for batch in found[start * size :][:size]]
        return Answer({"data": page, "object": "list", "total": len(found)})

    def cancel_job(self, request: Request, job_id: str) -> Answer:
        batch = self.batch(job_id, f"Job {job_id} not found")
        if not batch.ended:
            self.cancel(batch)
        return Answer(self._seen(batch))

    def delete_job(self, request: Request, job_id: str) -> Answer:
        self.deleted.append(self.batch(job_id, f"Job {job_id} not found").id)
        del self.batches[job_id]
        return Answer({"id": job_id, "object": "batch", "deleted": True})

    def _seen(self, batch: Batch) -> dict[str, Any]:
        said = batch.fields
        asked = batch.cancel_asked and not batch.ended
        return {
            "id": batch.id,
            "object": "batch",
            "input_files": [] if batch.inline else said["input_files"],
            "metadata": said.get("metadata"),
            "endpoint": said["endpoint"],
            "model": said.get("model"),
            "agent_id": said.get("agent_id"),
            "output_file": batch.results and batch.results.id,
            "error_file": batch.errors and batch.errors.id,
            "errors": [batch.failure] if batch.failure else [],
            "outputs": None,
            "status": "CANCELLATION_REQUESTED" if asked else STATUSES[batch.phase],
            "created_at": int(batch.created_at),
            "started_at": batch.started_at and int(batch.started_at),
            "completed_at": batch.ended_at and int(batch.ended_at),
            "total_requests": 0 if batch.phase == "pending" else batch.total,  # [L]
            "completed_requests": batch.succeeded + batch.failed,
            "succeeded_requests": batch.succeeded,
            "failed_requests": batch.failed,
        }

    # --- lines ---------------------------------------------------------------------------------

    def answered(self, batch: Batch, line: bytes) -> tuple[str, LineFault | None, bytes]:
        asked = msgspec.json.decode(line, type=_Line)
        chat = batch.fields["endpoint"] == "/v1/chat/completions"
        unknown = sorted(asked.body.keys() - (CHAT_FIELDS if chat else EMBEDDING_FIELDS))
        if unknown:
            fault = LineFault(422, f"Extra inputs are not permitted: {unknown[0]}")
            return "", fault, self._failed(batch, asked, fault, unknown[0])
        words = _words(asked.body, chat)
        if fault := self.fault_of(words):
            return words, fault, self._failed(batch, asked, fault)
        model = batch.fields.get("model") or asked.body.get("model")
        body = _chat(words, model) if chat else _embeddings(asked.body, model)
        return words, None, self._result(batch, asked.custom_id, 200, body)

    def _failed(
        self, batch: Batch, asked: _Line, fault: LineFault, place: str | None = None
    ) -> bytes:
        body = mistral_error(fault.status, fault.message, None, place)
        return self._result(batch, asked.custom_id, fault.status, body, fault.message)

    def _result(
        self, batch: Batch, custom_id: str | None, status: int, body: Any, error: str | None = None
    ) -> bytes:
        line = {
            "id": f"{batch.id}-{custom_id}",
            "custom_id": custom_id,
            "response": {"status_code": status, "body": body},
            "error": error and {"message": error},
        }
        return _encode(line) + b"\n"

    def foreign(self, batch: Batch) -> bytes:
        return self._result(batch, "foreign", 200, _chat("foreign", "mistral-small-latest"))


def _words(body: dict[str, Any], chat: bool) -> str:
    if not chat:
        given = body.get("input", "")
        return given if isinstance(given, str) else " ".join(map(str, given))
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part.get("type") == "text")


def _chat(words: str, model: str | None) -> dict[str, Any]:
    message = {"role": "assistant", "content": f"You said: {words}", "tool_calls": None}
    return {
        "id": "chat-emulated",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
    }


def _embeddings(body: dict[str, Any], model: str | None) -> dict[str, Any]:
    given = body["input"] if isinstance(body["input"], list) else [body["input"]]
    data = [
        {"object": "embedding", "index": place, "embedding": [0.5, 0.25]}
        for place in range(len(given))
    ]
    usage = {"prompt_tokens": 4, "completion_tokens": 0, "total_tokens": 4}
    return {"id": "embd-1", "object": "list", "data": data, "model": model, "usage": usage}

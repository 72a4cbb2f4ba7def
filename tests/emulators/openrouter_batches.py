"""OpenRouter's batch API on a real socket: requests inline, results by cursor; strict, counting, billing.

Sources, read 2026-11-28:
[D] https://openrouter.ai/docs/batch-quickstart (endpoint and model before requests, else 400; 202 with the status
    validating; a request's model must be that of the batch; window of 24 h; images by their address only; no
    cancellation)
[A] https://openrouter.ai/docs/api/api-reference/batch/get-batch-results.md (data, has_more, next_cursor),
    …/get-a-batch.md, …/delete-a-batch.md (409 for one in progress)
[P] https://openrouter.ai/docs/client-sdks/python/components/batchobject (fields of a batch)
[J] https://docs.rs/crate/openrouter-batch/0.1.2 (a line has exactly one of response and error)
[L] openrouter4j, OpenRouterBatchListRequest.java (limit 1 to 100, after, the newest first, no results in lists)
Not found in a source: the words of refusals, and how many results a page has (here three).
"""

from typing import Any

import msgspec

from . import batch_answers
from .batch_base import (
    ENQUEUED_LIMIT,
    UNKNOWN_STATUS,
    Answer,
    Batch,
    BatchProvider,
    LineFault,
    Refused,
    Request,
    StoredFile,
)

REQUESTS_MOST, BYTES_MOST = 5_000, 200_000_000
ENDPOINTS = ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/embeddings")
FIELDS = ("endpoint", "model", "requests", "completion_window", "callback_url", "provider")
PAGE = 3  # results
_STATUS = {"pending": "validating", "running": "in_progress", "ending": "finalizing"}
_encode = msgspec.json.Encoder().encode


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    custom_id: str
    body: dict[str, Any]


class OpenRouterBatches(BatchProvider):
    routes = [
        ("POST", "/api/v1/batches", "create_batch"),
        ("GET", "/api/v1/batches", "list_batches"),
        ("GET", "/api/v1/batches/([^/]+)", "get_batch"),
        ("DELETE", "/api/v1/batches/([^/]+)", "delete_batch"),
        ("GET", "/api/v1/batches/([^/]+)/results", "get_results"),
    ]
    key = "sk-or-v1-emulated-0123456789"
    any_order = True

    def authorize(self, request: Request) -> None:
        if request.headers.get("authorization") != f"Bearer {self.key}":
            raise Refused(401, self.error(401, "No auth credentials found"))

    def error(self, status: int, message: str) -> Any:
        return {"error": {"code": status, "message": message}}

    def _invalid(self, message: str) -> Refused:
        return Refused(400, self.error(400, message))

    def create_batch(self, request: Request) -> Answer:
        raw = request.body()
        said = msgspec.json.decode(raw)
        self._check(said, len(raw))
        if self.faults.take(ENQUEUED_LIMIT):
            raise Refused(429, self.error(429, "Too many batches in progress"))
        file_id = self.new_id("requests-")
        file = StoredFile(file_id, "requests", "batch", self._folder / file_id, self.clock.now())
        with file.path.open("wb") as target:
            target.writelines(_encode(each) + b"\n" for each in said.pop("requests"))
        batch = self.create(file, said, prefix="batch-", inline=True)
        return Answer(self._seen(batch), status=202)

    def _check(self, said: dict[str, Any], size: int) -> None:
        order = list(said)
        if size > BYTES_MOST or len(said.get("requests", ())) > REQUESTS_MOST:
            raise Refused(413, self.error(413, "The batch is too large"))
        if [*order, "requests"].index("requests") < max(
            order.index(name) if name in order else len(order) for name in ("endpoint", "model")
        ):
            raise self._invalid("endpoint and model must come before requests")
        if unknown := [name for name in order if name not in FIELDS]:
            raise self._invalid(f"Unrecognized key: {unknown[0]}")
        if said["endpoint"] not in ENDPOINTS or said.get("completion_window", "24h") != "24h":
            raise self._invalid("Invalid endpoint or completion_window")
        try:
            lines = msgspec.convert(said["requests"], list[_Line])
        except msgspec.ValidationError as error:
            raise self._invalid(f"requests: {error}") from None
        if not lines or len({line.custom_id for line in lines}) < len(lines):
            raise self._invalid("requests: custom_id must be unique")
        for line in lines:
            if line.body.get("model", said["model"]) != said["model"]:
                raise self._invalid("A request has another model than the batch")
            if b";base64," in _encode(line.body):
                raise self._invalid("Base64 images are not supported in batches")

    def _known(self, batch_id: str) -> Batch:
        return self.batch(batch_id, f"Batch {batch_id} not found")

    def get_batch(self, request: Request, batch_id: str) -> Answer:
        batch = self.poll(self._known(batch_id))
        seen = self._seen(batch)
        if batch.ended and batch.results:
            seen["results"] = [msgspec.json.decode(line) for line in batch.results.lines()]
        if self.faults.take(UNKNOWN_STATUS):
            seen["status"] = "rebalancing"
        return Answer(seen)

    def list_batches(self, request: Request) -> Answer:
        found, query = self.recent(), request.query
        ids = [batch.id for batch in found]
        start = ids.index(query["after"]) + 1 if "after" in query else 0
        stop = start + min(int(query.get("limit", 20)), 100)
        page = [self._seen(batch) for batch in found[start:stop]]
        ends = (page[0]["id"], page[-1]["id"]) if page else (None, None)
        more = stop < len(found)
        made = {"object": "list", "data": page, "first_id": ends[0], "last_id": ends[1]}
        return Answer({**made, "has_more": more})

    def get_results(self, request: Request, batch_id: str) -> Answer:
        batch = self._known(batch_id)
        if not batch.ended:
            raise Refused(409, self.error(409, "The batch has not finished"))
        if batch.results is None:
            return Answer({"object": "list", "data": [], "has_more": False, "next_cursor": None})
        self.download(batch.results)
        lines = list(batch.results.lines())
        start = int(request.query.get("cursor", 0))
        more = start + PAGE < len(lines)
        page = b",".join(line.strip() for line in lines[start:][:PAGE])
        tail = _encode({"has_more": more, "next_cursor": str(start + PAGE) if more else None})
        return Answer(b'{"object":"list","data":[' + page + b"]," + tail[1:])

    def delete_batch(self, request: Request, batch_id: str) -> Answer:
        batch = self._known(batch_id)
        if not batch.ended:
            raise Refused(409, self.error(409, "The batch is still in progress"))
        self.deleted.append(batch_id)
        del self.batches[batch_id]
        return Answer({"id": batch_id, "deletion": {}})

    def _seen(self, batch: Batch) -> dict[str, Any]:
        counts = {"total": batch.total, "completed": batch.succeeded, "failed": batch.failed}
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": batch.fields["endpoint"],
            "model": batch.fields["model"],
            "completion_window": "24h",
            "status": _STATUS.get(batch.phase, batch.phase),
            "created_at": int(batch.created_at),
            "expires_at": int(batch.created_at + self.expires_after_s),
            "finalized_at": batch.ended_at and int(batch.ended_at),
            "request_counts": counts,
            "provider": "OpenAI",
            "error": batch.failure,
            "results": None,
            "usage": None,
        }

    # --- lines ---------------------------------------------------------------------------------

    def answered(self, batch: Batch, line: bytes) -> tuple[str, LineFault | None, bytes]:
        asked = msgspec.json.decode(line, type=_Line)
        words = batch_answers.last_text(asked.body)
        if fault := self.fault_of(words):
            error = {"code": str(fault.status), "message": fault.message}
            return words, fault, _result(asked.custom_id, None, error)
        body = {"model": batch.fields["model"], **asked.body}
        made, _, _ = batch_answers.answer(batch.fields["endpoint"], body, words)
        return words, None, _result(asked.custom_id, made, None)

    def unanswered(self, batch: Batch, line: bytes, phase: str) -> bytes:
        asked = msgspec.json.decode(line, type=_Line)
        error = {"code": f"batch_{phase}", "message": "not run"}
        return _result(asked.custom_id, None, error)

    def foreign(self, batch: Batch) -> bytes:
        return _result("foreign", None, {"code": "500", "message": "Internal error"})


def _result(custom_id: str, body: Any, error: Any) -> bytes:
    response = body and {"status_code": 200, "request_id": "gen-1", "body": body}
    return _encode({"custom_id": custom_id, "response": response, "error": error}) + b"\n"

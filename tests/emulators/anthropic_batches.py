"""Anthropic's Message Batches on a real socket: strict, counting, billing.

Sources, read 2026-11-28:
[P] the package anthropic 2.14.0: types/messages/message_batch*.py, batch_*_params.py,
    resources/messages/batches.py (counts change only at the end; 24 h; results in any order; an ended batch
    alone has results_url; the newest first; pages by after_id and before_id, 20 unless asked otherwise)
[D] https://platform.claude.com/docs/en/build-with-claude/batch-processing (100,000 requests or 256 MB; results
    for 29 days; params are checked while the batch runs; errored, canceled and expired requests are free)
[L] https://github.com/anthropics/anthropic-sdk-python/issues/984 (custom_id: at most 64 characters)
Not found in a source: the words for a duplicate custom_id, for an empty list and for the deletion of a batch
that runs. [D] says that a few parameters (stream, max_tokens: 0, …) "return a validation error" in a batch, and not
when: here the line fails, with ``refuses_at_once`` set the creation does.
"""

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from . import anthropic
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

REQUESTS_MOST, BYTES_MOST = 100_000, 256 << 20  # [D]
RESULTS_LAST_S = 29 * 86_400.0
KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}
_ID = re.compile("[a-zA-Z0-9_-]{1,64}")
_encode = msgspec.json.Encoder().encode


class _Asked(msgspec.Struct):
    custom_id: str
    params: msgspec.Raw


class _Create(msgspec.Struct, forbid_unknown_fields=True):
    requests: list[_Asked]


class _Line(msgspec.Struct):
    custom_id: str
    params: dict[str, Any]


class AnthropicBatches(BatchProvider):
    routes = [
        ("POST", "/v1/messages/batches", "create_batch"),
        ("GET", "/v1/messages/batches", "list_batches"),
        ("GET", "/v1/messages/batches/([^/]+)", "get_batch"),
        ("POST", "/v1/messages/batches/([^/]+)/cancel", "cancel_batch"),
        ("DELETE", "/v1/messages/batches/([^/]+)", "delete_batch"),
        ("GET", "/v1/messages/batches/([^/]+)/results", "get_results"),
    ]
    expires_after_s = 24 * 3600.0
    key = anthropic.KEY
    any_order = True
    refuses_at_once = False

    def authorize(self, request: Request) -> None:
        try:
            anthropic.check_headers(request.headers)
        except anthropic.Refused as refused:
            raise Refused(refused.status, refused.body) from None

    def error(self, status: int, message: str) -> dict:
        kind = KINDS.get(status, "api_error")
        return anthropic.Refused(status, kind, message).body

    def create_batch(self, request: Request) -> Answer:
        raw = request.body()
        if len(raw) > BYTES_MOST:
            message = "Request exceeds the maximum allowed number of bytes."
            raise Refused(413, self.error(413, message))
        if self.faults.take(ENQUEUED_LIMIT) or self._over_limit():
            message = "This request would exceed your organization's limit of batch requests in processing."
            raise Refused(429, self.error(429, message), {"retry-after": "60"})
        try:
            asked = msgspec.json.decode(raw, type=_Create).requests
        except msgspec.MsgspecError as error:
            raise Refused(400, self.error(400, f"requests: {error}")) from None
        self._check(asked)
        file_id = self.new_id("requests_")
        file = StoredFile(file_id, "requests", "batch", self._folder / file_id, self.clock.now())
        with file.path.open("wb") as target:
            target.writelines(_encode(each) + b"\n" for each in asked)
        batch = self.create(file, {}, prefix="msgbatch_", inline=True)
        return Answer(self._seen(batch))

    def _over_limit(self) -> bool:
        limit = self.enqueued_lines_limit
        return limit is not None and self.enqueued_lines() >= limit

    def _check(self, asked: list[_Asked]) -> None:
        if not asked:
            raise Refused(400, self.error(400, "requests: List should have at least 1 item"))
        if len(asked) > REQUESTS_MOST:
            message = f"requests: List should have at most {REQUESTS_MOST} items"
            raise Refused(400, self.error(400, message))
        seen: set[str] = set()
        for number, each in enumerate(asked):
            words = ""
            if len(each.custom_id) > 64:
                words = "String should have at most 64 characters"  # [L]
            elif not _ID.fullmatch(each.custom_id):
                words = "String should match pattern '^[a-zA-Z0-9_-]{1,64}$'"
            elif each.custom_id in seen:
                words = "must be unique within the batch"
            if words:
                raise Refused(400, self.error(400, f"requests.{number}.custom_id: {words}"))
            seen.add(each.custom_id)
            if self.refuses_at_once:
                self._check_params(number, each)

    def _check_params(self, number: int, asked: _Asked) -> None:
        params = msgspec.json.decode(asked.params)
        if params.get("stream") or params.get("max_tokens") == 0:
            name = "stream" if params.get("stream") else "max_tokens"
            message = f"requests.{number}.params.{name}: not supported in a batch"
            raise Refused(400, self.error(400, message))

    def _batch(self, batch_id: str) -> Batch:
        return self.batch(batch_id, f"Message batch {batch_id} not found.")

    def get_batch(self, request: Request, batch_id: str) -> Answer:
        seen = self._seen(self.poll(self._batch(batch_id)))
        if self.faults.take(UNKNOWN_STATUS):
            seen["processing_status"] = "rebalancing"
        return Answer(seen)

    def list_batches(self, request: Request) -> Answer:
        """A cursor names the batch before or behind which the page lies [P]."""
        found, query = self.recent(), request.query
        ids = [batch.id for batch in found]
        most = min(int(query.get("limit", 20)), 1_000)
        if "before_id" in query:
            end = ids.index(query["before_id"])
            start = max(0, end - most)
            more = start > 0
        else:
            start = ids.index(query["after_id"]) + 1 if "after_id" in query else 0
            end = start + most
            more = end < len(found)
        page = [self._seen(batch) for batch in found[start:end]]
        ends = (page[0]["id"], page[-1]["id"]) if page else (None, None)
        return Answer({"data": page, "has_more": more, "first_id": ends[0], "last_id": ends[1]})

    def cancel_batch(self, request: Request, batch_id: str) -> Answer:
        batch = self._batch(batch_id)
        if not batch.ended:
            self.cancel(batch)
            batch.fields["cancel_initiated_at"] = stamp(self.clock.now())
        return Answer(self._seen(batch))

    def delete_batch(self, request: Request, batch_id: str) -> Answer:
        batch = self._batch(batch_id)
        if not batch.ended:
            message = f"Message batch {batch_id} must have ended before it can be deleted."
            raise Refused(400, self.error(400, message))
        self.deleted.append(batch_id)
        del self.batches[batch_id]
        return Answer({"id": batch_id, "type": "message_batch_deleted"})

    def get_results(self, request: Request, batch_id: str) -> Answer:
        batch = self._batch(batch_id)
        if batch.results is None or self._archived(batch):
            message = f"Results of message batch {batch_id} are not available."
            raise Refused(404, self.error(404, message))
        return self.download(batch.results)

    def _archived(self, batch: Batch) -> bool:
        return self.clock.now() >= batch.created_at + RESULTS_LAST_S

    def _seen(self, batch: Batch) -> dict[str, Any]:
        archived = batch.ended and self._archived(batch)
        url = f"{self.url}/v1/messages/batches/{batch.id}/results"
        running = "canceling" if batch.cancel_asked else "in_progress"
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": "ended" if batch.ended else running,
            "request_counts": self._counts(batch),
            "created_at": stamp(batch.created_at),
            "expires_at": stamp(batch.created_at + self.expires_after_s),
            "ended_at": stamp(batch.ended_at) if batch.ended_at else None,
            "cancel_initiated_at": batch.fields.get("cancel_initiated_at"),
            "archived_at": stamp(batch.created_at + RESULTS_LAST_S) if archived else None,
            "results_url": url if batch.ended and batch.results and not archived else None,
        }

    def _counts(self, batch: Batch) -> dict[str, int]:
        done = batch.ended
        return {
            "processing": 0 if done else batch.total,
            "succeeded": batch.succeeded if done else 0,
            "errored": batch.failed if done else 0,
            "canceled": batch.cancelled if done else 0,
            "expired": batch.expired if done else 0,
        }

    # --- lines ---------------------------------------------------------------------------------

    def answered(self, batch: Batch, line: bytes) -> tuple[str, LineFault | None, bytes]:
        asked = msgspec.json.decode(line, type=_Line)
        try:
            check_params(asked.params)
        except anthropic.Refused as refused:
            fault = LineFault(refused.status, refused.message)
            return "", fault, _errored(asked.custom_id, refused)
        words = anthropic.last_text(asked.params["messages"])
        if fault := self.fault_of(words):
            kind = KINDS.get(fault.status, "api_error")
            refused = anthropic.Refused(fault.status, kind, fault.message)
            return words, fault, _errored(asked.custom_id, refused)
        message = anthropic.said(asked.params)
        message["usage"]["service_tier"] = "batch"
        return words, None, _result(asked.custom_id, {"type": "succeeded", "message": message})

    def unanswered(self, batch: Batch, line: bytes, phase: str) -> bytes:
        asked = msgspec.json.decode(line, type=_Asked)
        return _result(asked.custom_id, {"type": "expired" if phase == "expired" else "canceled"})

    def foreign(self, batch: Batch) -> bytes:
        return _result("foreign", {"type": "expired"})


def check_params(params: dict[str, Any]) -> None:
    if params.get("stream"):
        raise anthropic.invalid("stream: Extra inputs are not permitted")
    anthropic.check_body(params, "2023-06-01")
    if params["max_tokens"] < 1:
        raise anthropic.invalid("max_tokens: Input should be greater than or equal to 1")


def _errored(custom_id: str, refused: anthropic.Refused) -> bytes:
    return _result(custom_id, {"type": "errored", "error": refused.body})


def _result(custom_id: str, result: dict[str, Any]) -> bytes:
    return _encode({"custom_id": custom_id, "result": result}) + b"\n"


def stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")

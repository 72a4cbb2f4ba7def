"""Anthropic's Message Batches: requests go with the call that creates the batch, results are read by their ids.

A batch holds no mark of ours (the call takes nothing but requests), so that the marker of a part is put
before the id of each request, and taken off when results are read. One that has ended is recognised by
the ids of its results; of one that has not, only the number of requests is known: it is returned as one
that may be the part's (``RemoteBatch.certain``).

Sources, read 2026-11-28: the package anthropic 2.14.0 (types/messages/message_batch*.py,
resources/messages/batches.py: counts change only at the end, the newest first, results_url of ended batches
alone); https://platform.claude.com/docs/en/build-with-claude/batch-processing (100,000 requests or 256 MB,
results for 29 days, params are checked while the batch runs). Not tried on the real service.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from ...core.domain import ApiFormat, Auth, Cause, Endpoint
from ...core.settings import Settings
from ...core.stored_messages import LINE_NOT_RUN, NO_BATCH_ANSWER, RESULT_LINE_UNREADABLE
from ..anthropic import translation
from ..surrogates import mended
from ..transport import Reply, TransportFailure
from .batch_calls import BatchCalls
from .batch_client import LineResult, PartInput, RemoteBatch, RemoteState
from .batch_object import epoch_ms, listed, state_of, storable
from .client_calls import (
    cancel_unless_ended,
    delete_if_allowed,
    download_all,
    is_older,
    results_in,
    single_line,
)
from .marked_ids import MARK_ROOM, marked, unmarked
from .profiles import BatchProfile
from .streamed_body import InlineRequests

PATH = "/messages/batches"
PAGE = 1_000  # the most batches that the API gives at once
MAX_PAGES = 1_000
_ID = b'{"custom_id":"'
_HEAD = b'{"requests":['
# https://platform.claude.com/docs/en/api/errors
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class _Result(msgspec.Struct):
    type: str
    message: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


class _Line(msgspec.Struct):
    custom_id: str
    result: _Result


_line = msgspec.json.Decoder(_Line).decode


class AnthropicBatches:
    """A BatchClient."""

    inline = True
    counts_at_end = True
    cancels = True

    def __init__(self, endpoint: Endpoint, settings: Settings, profile: BatchProfile):
        self._calls = BatchCalls(_opened(endpoint), settings)
        self.limits = profile.inline_limits(len(_HEAD) + len(b"]}"), MARK_ROOM)

    def line(self, line_id: str, url: str, body: bytes) -> bytes:
        _path, params = translation.request(url, body)
        params = single_line(params, _NOT_IN_BATCHES)
        return b"".join((_ID, line_id.encode(), b'","params":', params, b"}"))

    def upload(self, part: PartInput) -> None:
        return None

    def find_upload(self, part: PartInput) -> None:
        return None

    def create(self, part: PartInput, file_id: str | None) -> RemoteBatch:
        mark = marked(part.marker, "").encode()
        body = InlineRequests(_HEAD, part.path, part.requests, _ID, mark)
        batch = _batch(self._calls.decoded(self._calls.send(PATH, body)))
        return msgspec.structs.replace(batch, marker=part.marker)

    def find(self, part: PartInput, file_id: str | None) -> list[RemoteBatch]:
        found = []
        for batch in self._batches(part.since):
            if batch.total != part.requests or is_older(batch.created_at, part.since):
                continue
            if not batch.state.ended:
                found.append(msgspec.structs.replace(batch, certain=False))
            elif self._marker_of(batch) == part.marker:
                found.append(msgspec.structs.replace(batch, marker=part.marker))
        return sorted(found, key=lambda batch: (batch.created_at or 0, batch.id))

    def retrieve(self, batch_id: str) -> RemoteBatch:
        return _batch(self._calls.get(f"{PATH}/{quote(batch_id, safe='')}"))

    def cancel(self, batch_id: str) -> None:
        path = f"{PATH}/{quote(batch_id, safe='')}/cancel"
        cancel_unless_ended(self, batch_id, lambda: self._calls.post(path))

    def download(self, batch: RemoteBatch, folder: Path) -> list[Path]:
        return download_all(batch, folder, self._calls.download)

    def read(self, path: Path) -> Iterator[LineResult]:
        return results_in(path, self._calls, line_result)

    def delete(self, batch: RemoteBatch) -> None:
        if batch.id:
            delete_if_allowed(self._calls, f"{PATH}/{quote(batch.id, safe='')}")

    def close(self) -> None:
        self._calls.close()

    def _batches(self, since: int | None) -> Iterator[RemoteBatch]:
        """All batches, the newest first, until a page holds nothing but older ones."""
        after = ""
        for _ in range(MAX_PAGES):
            answer = self._calls.get(f"{PATH}?limit={PAGE}{after}")
            page = listed(answer)
            if page is None:
                raise TransportFailure(Cause.BAD_RESPONSE, NO_BATCH_ANSWER(part="data"))
            batches = [_batch(one) for one in page]
            yield from batches
            more = isinstance(answer, dict) and answer.get("has_more")
            if not more or not batches or all(is_older(b.created_at, since) for b in batches):
                return
            after = f"&after_id={quote(batches[-1].id, safe='')}"

    def _marker_of(self, batch: RemoteBatch) -> str | None:
        """The marker before the ids of a batch that has ended; None where there is none."""
        for place in batch.results:
            first = self._calls.first_line(place)
            found = _decoded(first)
            if found is not None:
                return unmarked(found.custom_id)[0]
        return None


_NOT_IN_BATCHES = ("stream", "stream_options")


def line_result(line: bytes) -> LineResult:
    """What one line says, in OpenAI's form. A line that is no result has the id ""."""
    found = _decoded(line)
    if found is None:
        return LineResult("", None, message=RESULT_LINE_UNREADABLE())
    line_id, result = unmarked(found.custom_id)[1], found.result
    if result.type == "succeeded" and bytes(result.message):
        return LineResult(line_id, translation.answer(Reply(200, {}, bytes(result.message))))
    if bytes(result.error):
        return LineResult(line_id, translation.answer(_error_reply(bytes(result.error))))
    return LineResult(line_id, None, storable(result.type, 100), LINE_NOT_RUN())


def _error_reply(error: bytes) -> Reply:
    """The answer that a call with this error would have had. The error stands within another object, as
    answers have it, or for itself."""
    value: Any = msgspec.json.decode(error)
    if not isinstance(value, dict) or not isinstance(value.get("error"), dict):
        value = {"type": "error", "error": value if isinstance(value, dict) else {"message": value}}
    status = _STATUSES.get(value["error"].get("type"), 500)
    return Reply(status, {}, msgspec.json.encode(value))


def _decoded(line: bytes) -> _Line | None:
    for text in (line, mended(line)):
        try:
            return _line(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
    return None


def _opened(endpoint: Endpoint) -> Endpoint:
    endpoint = translation.opened(endpoint)
    if endpoint.api_format is not ApiFormat.ANTHROPIC and endpoint.auth is Auth.BEARER:
        # written for the API's OpenAI compatibility, which has other headers
        endpoint = msgspec.structs.replace(endpoint, auth=Auth.X_API_KEY)
    return endpoint


def _batch(data: Any) -> RemoteBatch:
    if not isinstance(data, dict) or not data.get("id"):
        raise TransportFailure(Cause.BAD_RESPONSE, NO_BATCH_ANSWER(part="id"))
    given = data.get("request_counts")
    counts: dict[str, int] = {
        name: count
        for name, count in (given.items() if isinstance(given, dict) else ())
        if isinstance(count, int)
    }
    status = storable(str(data.get("processing_status") or ""), 100)
    state = _ended(counts) if status.lower() == "ended" else state_of(status)
    done = state.ended
    return RemoteBatch(
        id=str(data["id"]),
        state=state,
        status=status,
        total=sum(counts.values()) if counts else None,
        succeeded=counts.get("succeeded") if done else None,
        failed=counts.get("errored") if done else None,
        results=(f"{PATH}/{quote(str(data['id']), safe='')}/results",)
        if data.get("results_url")
        else (),
        created_at=epoch_ms(data.get("created_at")),
        expires_at=epoch_ms(data.get("expires_at")),
    )


def _ended(counts: dict[str, int]) -> RemoteState:
    """How a batch has ended, by what became of its requests."""
    if counts.get("canceled"):
        return RemoteState.CANCELLED
    return RemoteState.EXPIRED if counts.get("expired") else RemoteState.COMPLETED

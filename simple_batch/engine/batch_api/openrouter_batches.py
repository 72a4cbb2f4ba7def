"""OpenRouter's batches: requests go with the call that creates the batch, results come in pages.

A batch holds no mark of ours, so that the ids of its requests do, as with Anthropic (anthropic_batches.py).
There is no cancellation: a batch that is not wanted any more goes on to its end, and what it has
finished is read.

Sources, read 2026-11-28: https://openrouter.ai/docs/batch-quickstart (endpoint and model stand before requests,
images by their address only, 24h); https://openrouter.ai/docs/api/api-reference/batch/get-batch-results.md (cursor;
results are kept for 30 days), …/delete-a-batch.md (409 for one in progress). Not tried on the real service.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import msgspec

from ...core.domain import Cause, Endpoint, Verdict
from ...core.settings import Settings
from ...core.stored_messages import NO_BATCH_ANSWER, ONLY_ADDRESSES
from ..transport import Reply, TransportFailure
from .batch_client import LineResult, PartInput, RemoteBatch, RemoteState
from .client_calls import delete_if_allowed, download_all, is_older, results_in, single_line
from .marked_ids import MARK_ROOM, marked, unmarked
from .openai_batches import MAX_PAGES, PAGE, OpenAIBatches, batch_of
from .openai_lines import line_result
from .profiles import BatchProfile
from .result_file import unfinished
from .streamed_body import InlineRequests

_ID = b'{"custom_id":"'
_STATUS = re.compile(r"[45][0-9][0-9]")
_AROUND = 1_000  # bytes of a body besides its requests, at most
_INLINE_DATA = re.compile(rb'"data:[\w.+-]+/[\w.+-]+;[^",]*base64,', re.IGNORECASE)


class OpenRouterBatches(OpenAIBatches):
    """A BatchClient."""

    inline = True

    def __init__(self, endpoint: Endpoint, settings: Settings, profile: BatchProfile):
        super().__init__(endpoint, settings, profile)
        self.limits = profile.inline_limits(_AROUND, MARK_ROOM)
        self.cancels = False

    def line(self, line_id: str, url: str, body: bytes) -> bytes:
        if _INLINE_DATA.search(body):
            raise TransportFailure(Cause.BAD_REQUEST, ONLY_ADDRESSES(), Verdict.FINAL)
        body = single_line(body, ("stream", "stream_options"))
        return b"".join((_ID, line_id.encode(), b'","body":', body, b"}"))

    def upload(self, part: PartInput) -> str | None:  # type: ignore[override]
        return None

    def find_upload(self, part: PartInput) -> str | None:
        return None

    def create(self, part: PartInput, file_id: str | None) -> RemoteBatch:
        fields = {"endpoint": part.url, "model": part.model, "completion_window": "24h"}
        head = msgspec.json.encode(fields)[:-1] + b',"requests":['
        mark = marked(part.marker, "").encode()
        body = InlineRequests(head, part.path, part.requests, _ID, mark)
        batch = batch_of(self._calls.decoded(self._calls.send("/batches", body)))
        return msgspec.structs.replace(batch, marker=part.marker)

    def find(self, part: PartInput, file_id: str | None) -> list[RemoteBatch]:
        found = []
        for data in self._listed("/batches", f"limit={PAGE}", part.since):
            batch = batch_of(data)
            same = data.get("endpoint") == part.url and data.get("model") == part.model
            sized = batch.total in (None, 0, part.requests)
            if not same or not sized or is_older(batch.created_at, part.since):
                continue
            if not batch.state.ended:
                found.append(msgspec.structs.replace(batch, certain=False))
            elif self._marker_of(batch) == part.marker:
                found.append(msgspec.structs.replace(batch, marker=part.marker))
        return sorted(found, key=lambda batch: (batch.created_at or 0, batch.id))

    def retrieve(self, batch_id: str) -> RemoteBatch:
        batch = super().retrieve(batch_id)
        refused = batch.state is RemoteState.FAILED and not (batch.succeeded or batch.failed)
        if refused or not batch.state.ended:
            return batch
        return msgspec.structs.replace(batch, results=(batch_id,))

    def cancel(self, batch_id: str) -> None:
        """There is nothing to ask for it by."""

    def download(self, batch: RemoteBatch, folder: Path) -> list[Path]:
        return download_all(batch, folder, self._fetch)

    def read(self, path: Path) -> Iterator[LineResult]:
        return results_in(path, self._calls, _result)

    def delete(self, batch: RemoteBatch) -> None:
        if batch.id:
            delete_if_allowed(self._calls, f"/batches/{quote(batch.id, safe='')}")

    def _fetch(self, batch_id: str, path: Path) -> None:
        part = unfinished(path)
        with part.open("wb") as file:
            for page in self._pages(batch_id):
                file.writelines(bytes(line) + b"\n" for line in page)
        part.replace(path)

    def _pages(self, batch_id: str) -> Iterator[list[bytes]]:
        """The results, each as JSON."""
        cursor = ""
        for _ in range(MAX_PAGES):
            answer = self._calls.get(f"/batches/{quote(batch_id, safe='')}/results{cursor}")
            if not isinstance(answer, dict) or not isinstance(answer.get("data"), list):
                raise TransportFailure(Cause.BAD_RESPONSE, NO_BATCH_ANSWER(part="data"))
            yield [msgspec.json.encode(line) for line in answer["data"]]
            following = answer.get("next_cursor")
            if not following:
                return
            cursor = f"?cursor={quote(str(following), safe='')}"

    def _marker_of(self, batch: RemoteBatch) -> str | None:
        for page in self._pages(batch.id):
            for line in page:
                return unmarked(line_result(line).line_id)[0]
        return None


def _result(line: bytes) -> LineResult:
    """A line may hold an error alone, whose code is an HTTP status
    (https://openrouter.ai/docs/api-reference/errors)."""
    result = line_result(line)
    line_id, reply = unmarked(result.line_id)[1], result.reply
    if reply is None and _STATUS.fullmatch(result.code):
        error = {"error": {"code": int(result.code), "message": result.message}}
        reply = Reply(int(result.code), {}, msgspec.json.encode(error))
    return msgspec.structs.replace(result, line_id=line_id, reply=reply)

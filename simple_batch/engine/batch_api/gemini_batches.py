"""Gemini's batches: a file of requests, uploaded in Google's resumable way, and a long-running operation.

Sources, read 2026-11-28: https://ai.google.dev/api/batch-api (batch, states, batchStats; displayName);
https://ai.google.dev/gemini-api/docs/batch-api (lines of key and request, responsesFile, expired after 48 h);
https://ai.google.dev/gemini-api/docs/files (upload; 2 GB; files are kept for 48 h); the package google-genai
3.6.1 (batches.py, files.py, types.JobState). States begin with BATCH_STATE_ or JOB_STATE_. Not found in a source:
whether a batch that expired or was cancelled has a file of results; it is read where there is one. Not
tried on the real service.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from ...core.domain import EMBEDDINGS, Auth, Cause, Endpoint
from ...core.settings import Settings
from ...core.stored_messages import NO_BATCH_ANSWER, RESULT_LINE_UNREADABLE
from ..gemini.content_answer import chat_completion
from ..gemini.content_request import content_request
from ..gemini.embedding import embed_request, embedding_list
from ..surrogates import mended
from ..transport import Reply, TransportFailure
from .batch_calls import BatchCalls
from .batch_client import LineResult, PartInput, RemoteBatch, RemoteState
from .batch_object import count_of, epoch_ms, errors_of, line_named, state_of, storable
from .client_calls import (
    all_older,
    cancel_unless_ended,
    delete_if_allowed,
    download_all,
    results_in,
)
from .openai_lines import NOT_RUN
from .profiles import BatchProfile
from .streamed_body import FileBody

PAGE = 100
MAX_PAGES = 1_000
KEY_HEADER = "x-goog-api-key"
# HTTP statuses of google.rpc.Code: https://github.com/googleapis/googleapis, google/rpc/code.proto
_STATUSES = {
    **{2: 500, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400},
    **{10: 409, 11: 400, 12: 501, 13: 500, 14: 503, 15: 500, 16: 401},
}
_CANCELLED = 1
_NONE = msgspec.Raw()


class _Line(msgspec.Struct):
    key: str = ""
    response: msgspec.Raw = _NONE
    error: msgspec.Raw = _NONE


class _Embedded(msgspec.Struct):
    embedding: msgspec.Raw = _NONE


_line = msgspec.json.Decoder(_Line).decode
_embedded = msgspec.json.Decoder(_Embedded).decode


class GeminiBatches:
    """A BatchClient. ``RemoteBatch.id`` is the name of the operation: batches/…, and files are files/…"""

    inline = False
    counts_at_end = False
    cancels = True

    def __init__(self, endpoint: Endpoint, settings: Settings, profile: BatchProfile):
        endpoint = _opened(endpoint)
        self._calls = BatchCalls(endpoint, settings)
        root, _, version = endpoint.base_url.rpartition("/")
        self._uploads = f"{root}/upload/{version}/files"
        self._downloads = f"{root}/download/{version}"
        self.limits = profile.limits

    def line(self, line_id: str, url: str, body: bytes) -> bytes:
        request = embed_request(body) if url == EMBEDDINGS else content_request(body)
        return b"".join((b'{"key":"', line_id.encode(), b'","request":', request, b"}"))

    def upload(self, part: PartInput) -> str:
        body = FileBody(part.path)
        headers = {
            "X-Goog-Upload-Protocol": "resumable",
            "X-Goog-Upload-Command": "start",
            "X-Goog-Upload-Header-Content-Length": str(len(body)),
            "X-Goog-Upload-Header-Content-Type": body.content_type,
        }
        file = {"file": {"display_name": _file_name(part)}}
        place = self._calls.send(self._uploads, file, headers).headers.get("x-goog-upload-url")
        if not place:
            raise TransportFailure(Cause.BAD_RESPONSE, NO_BATCH_ANSWER(part="X-Goog-Upload-URL"))
        headers = {"X-Goog-Upload-Offset": "0", "X-Goog-Upload-Command": "upload, finalize"}
        made = self._calls.decoded(self._calls.send(place, body, headers))
        made = made.get("file") if isinstance(made, dict) else None
        if not isinstance(made, dict) or not made.get("name"):
            raise TransportFailure(Cause.BAD_RESPONSE, NO_BATCH_ANSWER(part="file.name"))
        return str(made["name"])

    def find_upload(self, part: PartInput) -> str | None:
        size, found = part.path.stat().st_size, None
        for file in self._listed("/files", "files", None):
            if file.get("displayName") != _file_name(part):
                continue
            whole = count_of(file.get("sizeBytes")) == size and file.get("state") != "FAILED"
            if whole and found is None:
                found = str(file["name"])
            elif not whole:
                delete_if_allowed(self._calls, _path(file["name"]))
        return found

    def create(self, part: PartInput, file_id: str | None) -> RemoteBatch:
        model = quote(part.model.removeprefix("models/"), safe="")
        batch = {"display_name": part.marker, "input_config": {"file_name": file_id}}
        call = "asyncBatchEmbedContent" if part.url == EMBEDDINGS else "batchGenerateContent"
        return _batch(self._calls.post(f"/models/{model}:{call}", {"batch": batch}))

    def find(self, part: PartInput, file_id: str | None) -> list[RemoteBatch]:
        found = map(_batch, self._listed("/batches", "operations", part.since))
        mine = [batch for batch in found if batch.marker == part.marker]
        return sorted(mine, key=lambda batch: (batch.created_at or 0, batch.id))

    def retrieve(self, batch_id: str) -> RemoteBatch:
        return _batch(self._calls.get(_path(batch_id)))

    def cancel(self, batch_id: str) -> None:
        path = f"{_path(batch_id)}:cancel"
        cancel_unless_ended(self, batch_id, lambda: self._calls.post(path, {}))

    def download(self, batch: RemoteBatch, folder: Path) -> list[Path]:
        def fetch(place: str, path: Path) -> None:
            self._calls.download(f"{self._downloads}{_path(place)}:download?alt=media", path)

        return download_all(batch, folder, fetch)

    def read(self, path: Path) -> Iterator[LineResult]:
        return results_in(path, self._calls, line_result)

    def delete(self, batch: RemoteBatch) -> None:
        for name in (batch.input_file, *batch.results, batch.id):
            if name:
                delete_if_allowed(self._calls, _path(name))

    def close(self) -> None:
        self._calls.close()

    def _listed(self, path: str, name: str, since: int | None) -> Iterator[dict[str, Any]]:
        next_page = ""
        for _ in range(MAX_PAGES):
            answer = self._calls.get(f"{path}?pageSize={PAGE}{next_page}")
            answer = answer if isinstance(answer, dict) else {}
            page = [one for one in answer.get(name) or [] if isinstance(one, dict)]
            page = [one for one in page if one.get("name")]
            yield from page
            times = [{"created_at": _metadata(one).get("createTime")} for one in page]
            following = answer.get("nextPageToken")
            if not following or (times and all_older(times, since)):
                return
            next_page = f"&pageToken={quote(str(following), safe='')}"


def line_result(line: bytes) -> LineResult:
    """What one line says, in OpenAI's form. A line that is no result has the id ""."""
    found = _decoded(line)
    if found is None:
        return LineResult("", None, message=RESULT_LINE_UNREADABLE())
    if bytes(found.response) not in (b"", b"null", b"{}"):
        return LineResult(found.key, Reply(200, {}, _translated(bytes(found.response))))
    error: Any = msgspec.json.decode(found.error) if bytes(found.error) else None
    error = error if isinstance(error, dict) else {"message": str(error or "")}
    code, message = error.get("code"), storable(str(error.get("message") or ""))
    if not bytes(found.error) or code == _CANCELLED:
        return LineResult(found.key, None, "cancelled" if code else NOT_RUN, message)
    status = _STATUSES.get(code, code if isinstance(code, int) and 400 <= code < 600 else 500)
    body = msgspec.json.encode({"error": {**error, "code": status}})
    return LineResult(found.key, Reply(status, {}, body))


def _translated(answer: bytes) -> bytes:
    try:
        is_embedding = bool(bytes(_embedded(answer).embedding))
    except msgspec.ValidationError:
        is_embedding = False
    return embedding_list(answer) if is_embedding else chat_completion(answer)


def _decoded(line: bytes) -> _Line | None:
    for text in (line, mended(line)):
        try:
            return _line(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
    return None


def _opened(endpoint: Endpoint) -> Endpoint:
    """The endpoint of the API itself, whose key has another header than that of the door for clients of
    OpenAI under …/openai."""
    base = endpoint.base_url.rstrip("/").removesuffix("/openai")
    headers = endpoint.headers
    named = any(name.lower() == KEY_HEADER for name, _value in headers)
    if endpoint.key and not named:
        headers = (*headers, (KEY_HEADER, endpoint.key))
    return msgspec.structs.replace(endpoint, base_url=base, auth=Auth.NONE, headers=headers)


def _file_name(part: PartInput) -> str:
    return f"{part.marker}.jsonl"


def _path(name: Any) -> str:
    return f"/{quote(str(name), safe='/')}"


def _metadata(operation: dict[str, Any]) -> dict[str, Any]:
    found = operation.get("metadata")
    return found if isinstance(found, dict) else operation


def _batch(operation: Any) -> RemoteBatch:
    if not isinstance(operation, dict) or not operation.get("name"):
        raise TransportFailure(Cause.BAD_RESPONSE, NO_BATCH_ANSWER(part="name"))
    data = _metadata(operation)
    status = storable(str(data.get("state") or ""), 100)
    state = state_of(status)
    results = _results(operation, data)
    if state is RemoteState.FAILED and results:
        state = RemoteState.COMPLETED  # what was finished can be read
    stats = data.get("batchStats")
    stats = stats if isinstance(stats, dict) else {}
    source = data.get("inputConfig")
    return RemoteBatch(
        id=str(operation["name"]),
        state=state,
        status=status,
        total=count_of(stats.get("requestCount")),
        succeeded=count_of(stats.get("successfulRequestCount", 0 if stats else None)),
        failed=count_of(stats.get("failedRequestCount", 0 if stats else None)),
        results=results,
        input_file=source.get("fileName") if isinstance(source, dict) else None,
        marker=data.get("displayName"),
        created_at=epoch_ms(data.get("createTime")),
        errors=errors_of({"error": line_named(operation.get("error"))}),
    )


def _results(operation: dict[str, Any], data: dict[str, Any]) -> tuple[str, ...]:
    """The file of results; it is named in several places."""
    places = (data.get("output"), operation.get("response"), data.get("dest"))
    names = [
        place.get("responsesFile") or place.get("fileName")
        for place in places
        if isinstance(place, dict)
    ]
    return tuple(dict.fromkeys(str(name) for name in names if name))

"""OpenAI's batch API, and that of the providers who copy it. How they differ is data (profiles.py).

Source: https://platform.openai.com/docs/api-reference/batch (read 2026-11-28); for each provider, see
data/providers.toml.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gevent
import msgspec

from ...core.domain import Cause, Endpoint, Verdict
from ...core.settings import Settings
from ...core.stored_messages import NO_BATCH_ANSWER
from ..transport import TransportFailure
from .batch_calls import BatchCalls
from .batch_client import (
    MARKER_KEY,
    BatchCallFailed,
    LineResult,
    PartInput,
    RemoteBatch,
)
from .batch_object import listed, remote_batch, unwrapped
from .client_calls import (
    all_older,
    cancel_unless_ended,
    delete_if_allowed,
    download_all,
    has_line_break,
    results_in,
)
from .openai_lines import line_result
from .profiles import BatchProfile

_CHAT = "/v1/chat/completions"
PAGE = 100  # the most batches that OpenAI gives at once
MAX_PAGES = 1_000
_OPTIONAL = {"metadata", "output_expires_after", "completion_window"}
PROCESSING_S, PROCESSING_LOOKS = 1.0, 30
_PROCESSING = ("pending", "running", "notrunning", "processing")  # statuses of a file, of Azure
_BROKEN = ("error", "failed", "cancelled", "deleted")  # statuses of a file that was not taken


class _Model(msgspec.Struct):
    model: Any = ""


class OpenAIBatches:
    """A BatchClient."""

    inline = False

    def __init__(self, endpoint: Endpoint, settings: Settings, profile: BatchProfile):
        self._profile = profile
        self._calls = BatchCalls(endpoint, settings)
        self.limits = profile.limits
        self.counts_at_end = profile.counts_at_end
        self.cancels = profile.cancel != "none"
        self._test = b'"%s"' % profile.test_model.encode() if profile.test_model else None
        self._lines: dict[str, bytes] = {}  # by url: what stands between an id and a body
        self._left_out: set[str] = set()  # fields that the endpoint rejects

    def line(self, line_id: str, url: str, body: bytes) -> bytes:
        if self._test is not None and self._test in body:
            url = self._url(url, _model_of(body))
        between = self._lines.get(url)
        if between is None:
            between = self._lines[url] = self._between(url)
        if has_line_break(body):
            body = msgspec.json.format(body, indent=-1)
        return b"".join((b'{"custom_id":"', line_id.encode(), between, body, b"}"))

    def upload(self, part: PartInput) -> str:
        profile, name = self._profile, _file_name(part)
        fields = {"purpose": profile.purpose}
        if profile.send_file_name:
            fields["file_name"] = name
        if profile.input_expires_s is not None:
            fields["expires_after[anchor]"] = "created_at"
            fields["expires_after[seconds]"] = str(profile.input_expires_s)
        file = _object(self._calls.upload(profile.upload_path, fields, name, part.path))
        self._wait_until_processed(file)
        return str(file["id"])

    def find_upload(self, part: PartInput) -> str | None:
        size, found = part.path.stat().st_size, None
        for file in self._uploads(part):
            given = file.get("bytes", file.get("size"))
            whole = str(file.get("status", "")).lower() not in _BROKEN and given in (None, size)
            if not whole:
                self._delete_file(str(file["id"]))
            elif found is None:
                self._wait_until_processed(file)
                found = str(file["id"])
        return found

    def create(self, part: PartInput, file_id: str | None) -> RemoteBatch:
        while True:
            body = self._creation(part, file_id)
            try:
                return batch_of(self._calls.post("/batches", body))
            except BatchCallFailed as refused:
                # nothing was created, and the field is not needed
                rejected = refused.finding.rejected
                unknown = _OPTIONAL & body.keys() & {*(rejected.names if rejected else ())}
                if not unknown:
                    raise
                self._left_out |= unknown

    def find(self, part: PartInput, file_id: str | None) -> list[RemoteBatch]:
        inputs = {file_id} if file_id else set()
        if not inputs and not self._has_metadata:
            inputs = {str(file["id"]) for file in self._uploads(part)}
        found = {}
        for data in self._listed("/batches", f"limit={PAGE}", part.since):
            batch = remote_batch(data)
            if batch.marker == part.marker or batch.input_file in inputs:
                found[batch.id] = batch
        return sorted(found.values(), key=lambda batch: (batch.created_at or 0, batch.id))

    def retrieve(self, batch_id: str) -> RemoteBatch:
        return batch_of(self._calls.get(f"/batches/{_quoted(batch_id)}"))

    def cancel(self, batch_id: str) -> None:
        path = f"/batches/{_quoted(batch_id)}"
        if self._profile.cancel == "post":
            cancel_unless_ended(self, batch_id, lambda: self._calls.post(f"{path}/cancel"))
        elif self._profile.cancel == "delete":
            cancel_unless_ended(self, batch_id, lambda: self._calls.delete(path))

    def download(self, batch: RemoteBatch, folder: Path) -> list[Path]:
        return download_all(batch, folder, self._download)

    def _download(self, place: str, path: Path) -> None:
        whole_url = place.startswith(("https://", "http://"))
        self._calls.download(place if whole_url else f"/files/{_quoted(place)}/content", path)

    def read(self, path: Path) -> Iterator[LineResult]:
        return results_in(path, self._calls, line_result)

    def delete(self, batch: RemoteBatch) -> None:
        for place in (batch.input_file, *batch.results):
            if place and "://" not in place:
                self._delete_file(place)

    def close(self) -> None:
        self._calls.close()

    @property
    def _has_metadata(self) -> bool:
        return self._profile.metadata and "metadata" not in self._left_out

    def _creation(self, part: PartInput, file_id: str | None) -> dict[str, Any]:
        """The body of the call that creates a batch."""
        profile = self._profile
        url = profile.url(self._url(part.url, part.model))
        body: dict[str, Any] = {"input_file_id": file_id, "endpoint": url}
        window = profile.window(part.within_h)
        if window is not None:
            body["completion_window"] = window
        if self._has_metadata:
            body["metadata"] = {MARKER_KEY: part.marker}
        if profile.output_expires_s is not None:
            kept = {"anchor": "created_at", "seconds": profile.output_expires_s}
            body["output_expires_after"] = kept
        body.update(profile.create)
        return {name: value for name, value in body.items() if name not in self._left_out}

    def _url(self, url: str, model: str) -> str:
        """The url of a request, which is another one for the provider's model for tests."""
        profile = self._profile
        return profile.test_url if url == _CHAT and model == profile.test_model else url

    def _between(self, url: str) -> bytes:
        """What stands between the id and the body of a line."""
        if self._profile.bare_lines:
            return b'","body":'
        return b'","method":"POST","url":%s,"body":' % msgspec.json.encode(self._profile.url(url))

    def _uploads(self, part: PartInput) -> Iterator[dict[str, Any]]:
        """The files that were uploaded under the part's name."""
        purpose = self._profile.purpose
        named = re.compile(rf"(?<![a-z0-9-]){re.escape(part.marker)}(?![a-z0-9-])")
        for file in self._listed("/files", f"purpose={quote(purpose)}&limit={PAGE}", part.since):
            name = str(file.get("filename") or file.get("name") or "")
            if file.get("purpose", purpose) == purpose and named.search(name):
                yield file

    def _wait_until_processed(self, file: dict[str, Any]) -> None:
        """Azure refuses to create a batch of a file that it has not looked at; that takes seconds."""
        for number in range(PROCESSING_LOOKS):
            if str(file.get("status", "")).lower() not in _PROCESSING:
                return
            if number:
                gevent.sleep(PROCESSING_S)
            try:
                file = _object(self._calls.get(f"/files/{_quoted(str(file['id']))}"))
            except BatchCallFailed as refused:
                if refused.finding.verdict not in (Verdict.RETRY, Verdict.WAIT):
                    return  # the call that creates the batch will show what the file is worth

    def _delete_file(self, file_id: str) -> None:
        delete_if_allowed(self._calls, f"/files/{_quoted(file_id)}")

    def _listed(self, path: str, query: str, since: int | None) -> Iterator[dict[str, Any]]:
        """The objects of a list, page by page, until all of a page are older than ``since``."""
        seen: set[str] = set()
        after = ""
        for _ in range(MAX_PAGES):
            answer = self._calls.get(f"{path}?{query}{after}")
            found = listed(answer)
            if found is None:
                raise TransportFailure(Cause.BAD_RESPONSE, NO_BATCH_ANSWER(part="data"))
            page = [one for one in found if str(one["id"]) not in seen]
            yield from page
            seen.update(str(one["id"]) for one in page)
            if not page or not _has_more(answer) or all_older(page, since):
                return
            after = f"&after={_quoted(str(page[-1]['id']))}"


def _has_more(answer: Any) -> bool:
    """Whether there may be another page. A bare array is everything."""
    return isinstance(answer, dict) and answer.get("has_more") is not False


def _model_of(body: bytes) -> str:
    return str(msgspec.json.decode(body, type=_Model).model)


def _file_name(part: PartInput) -> str:
    return f"{part.marker}.jsonl"


def _quoted(name: str) -> str:
    return quote(name, safe="")


def batch_of(answer: Any) -> RemoteBatch:
    """The batch of an answer. Raises TransportFailure where it has none."""
    return remote_batch(_object(answer))


def _object(answer: Any) -> dict[str, Any]:
    found = unwrapped(answer)
    if not found:
        raise TransportFailure(Cause.BAD_RESPONSE, NO_BATCH_ANSWER(part="id"))
    return found

"""What is known of each provider's batch API: the tables [provider.batch] of data/providers.toml."""

import tomllib
from functools import cache
from typing import Any, Literal

import msgspec

from ...core.data_files import data_file
from .batch_client import BatchLimits


class BatchProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider's batch API. ``kind`` is the protocol; limits that are not known are None.
    ``discount`` is the share of the normal price that is charged. ``window_h``: hours of the
    completion window, within which a batch has to end; it can be chosen from ``min_window_h`` to
    ``max_window_h`` where these are given. ``date`` is the day on which ``source`` was read; ``tried``
    is False where no call was made to the real service.

    Of OpenAI's form: ``endpoints`` are paths as they stand on the wire, which begin with ``url_prefix`` where
    OpenAI's begin with /v1. ``upload_path`` is where files are uploaded, with ``purpose`` and, if
    ``send_file_name``, their name. ``bare_lines``: a line has no method and no url. ``send_window`` is False
    where a batch is created without a window, ``metadata`` where it can have none; ``create`` are further
    fields of the call that creates it. ``cancel``: the method of the call that cancels one, none where there is
    no such call. Chat requests to ``test_model`` have ``test_url`` in place of theirs. ``input_expires_s`` and ``output_expires_s``: seconds that files are
    kept, where this can be asked for."""

    kind: str
    max_requests: int | None = None
    max_bytes: int | None = None
    max_line_bytes: int | None = None
    max_tokens: int | None = None
    max_inputs: int | None = None
    window_h: int | None = None
    min_window_h: int | None = None
    max_window_h: int | None = None
    discount: float | None = None
    endpoints: tuple[str, ...] = ()
    url_prefix: str = "/v1"
    upload_path: str = "/files"
    purpose: str = "batch"
    send_file_name: bool = False
    bare_lines: bool = False
    send_window: bool = True
    metadata: bool = True
    create: dict[str, Any] = {}
    cancel: Literal["post", "delete", "none"] = "post"
    test_model: str = ""
    test_url: str = ""
    input_expires_s: int | None = None
    output_expires_s: int | None = None
    counts_at_end: bool = False
    source: str = ""
    further_sources: tuple[str, ...] = ()
    date: str = ""
    note: str = ""
    tried: bool = False

    @property
    def limits(self) -> BatchLimits:
        """The limits of one batch; its urls in OpenAI's form."""
        return BatchLimits(
            requests=self.max_requests,
            bytes=self.max_bytes,
            tokens=self.max_tokens,
            inputs=self.max_inputs,
            line_bytes=self.max_line_bytes,
            urls=tuple(f"/v1{path.removeprefix(self.url_prefix)}" for path in self.endpoints),
        )

    def inline_limits(self, around: int, more: int = 0) -> BatchLimits:
        """The same for requests that go with the call that creates a batch, whose body has ``around`` bytes
        besides lines, and ``more`` in each line."""
        limits, number = self.limits, self.max_requests or 0
        if limits.bytes is None:
            return limits
        return msgspec.structs.replace(limits, bytes=limits.bytes - around - number * more)

    def url(self, url: str) -> str:
        """A url of OpenAI's API as this provider has it."""
        return self.url_prefix + url.removeprefix("/v1")

    def window(self, within_h: float | None) -> str | None:
        """The completion window of a batch whose results are needed within this time; None: the
        provider has none to be sent."""
        if not self.send_window:
            return None
        return f"{self.hours(within_h)}h"

    def hours(self, within_h: float | None) -> int:
        """The same in hours."""
        usual = self.window_h or 24
        if within_h is None or not (self.min_window_h or self.max_window_h):
            return usual
        least, most = self.min_window_h or usual, self.max_window_h or usual
        return max(least, min(most, int(within_h)))


class _Entry(msgspec.Struct):
    id: str
    batch: BatchProfile | None = None


class _Table(msgspec.Struct):
    provider: list[_Entry]


def profile_of(provider: str) -> BatchProfile | None:
    """Of the provider with this id in the gallery; None where it has no batch API."""
    return _profiles().get(provider)


@cache
def _profiles() -> dict[str, BatchProfile]:
    text = data_file("providers.toml").read_text("utf-8")
    table = msgspec.convert(tomllib.loads(text), _Table)
    return {entry.id: entry.batch for entry in table.provider if entry.batch is not None}

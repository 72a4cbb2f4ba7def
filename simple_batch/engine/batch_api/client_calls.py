"""What the clients of several providers do alike."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from ...core.domain import Verdict
from ...core.stored_messages import ANSWER_TOO_LARGE
from .batch_calls import BatchCalls
from .batch_client import (
    BatchCallFailed,
    BatchClient,
    LineResult,
    RemoteBatch,
    RemoteState,
    ResultsCutOff,
)
from .batch_object import epoch_ms
from .line_reader import lines_of
from .result_file import unfinished

CLOCKS_MS = 3_600_000  # a provider's clock and ours may differ by this
_LF, _CR = b"\n\r"


def cancel_unless_ended(client: BatchClient, batch_id: str, cancel: Callable[[], Any]) -> None:
    """Ask for an end. Providers refuse it in their own words where there is nothing left to cancel."""
    try:
        cancel()
    except BatchCallFailed as refused:
        if refused.finding.http_status not in (400, 409, 422):
            raise
        state = client.retrieve(batch_id).state
        if not state.ended and state is not RemoteState.CANCELLING:
            raise


def delete_if_allowed(calls: BatchCalls, path: str) -> None:
    """Delete what may be gone already, or what the provider does not let us delete."""
    try:
        calls.delete(path)
    except BatchCallFailed as refused:
        allowed = refused.gone or refused.finding.verdict is Verdict.FINAL
        if not allowed and refused.finding.http_status not in (403, 405, 409, 501):
            raise


def has_line_break(body: bytes) -> bool:
    """Whether the body has more than one line."""
    return _LF in body or _CR in body  # numbers are found faster than bytes


def single_line(body: bytes, without: tuple[str, ...] = ()) -> bytes:
    """A JSON object on one line, less some of its fields."""
    if any(b'"%s"' % name.encode() in body for name in without):
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        if not fields.keys().isdisjoint(without):
            kept = {name: value for name, value in fields.items() if name not in without}
            body = msgspec.json.encode(kept)
    if has_line_break(body):
        body = msgspec.json.format(body, indent=-1)
    return body


def is_older(time: int | None, since: int | None) -> bool:
    """Whether something was surely created before ``since`` (epoch ms)."""
    return time is not None and since is not None and time < since - CLOCKS_MS


def all_older(page: list[dict[str, Any]], since: int | None) -> bool:
    """Whether further pages hold nothing of interest: lists begin with the newest, unless a page shows that
    this one does not."""
    times = [epoch_ms(one.get("created_at")) for one in page]
    known = [time for time in times if time is not None]
    if len(known) < len(times) or known[0] < known[-1]:
        return False
    return is_older(max(known), since)


def download_all(
    batch: RemoteBatch, folder: Path, fetch: Callable[[str, Path], None]
) -> list[Path]:
    """BatchClient.download: ``fetch(place, path)`` writes what one of the batch's results names."""
    files = [
        (place, folder / f"results-{number}.jsonl") for number, place in enumerate(batch.results)
    ]
    cut: ResultsCutOff | None = None
    gone: BatchCallFailed | None = None
    for place, path in files:
        try:
            if not path.exists():  # whole, since an earlier try
                fetch(place, path)
        except ResultsCutOff as error:
            cut = error
        except BatchCallFailed as failed:
            if not failed.gone:
                raise
            gone = failed
    paths = [path for _, path in files if path.exists()]
    if cut is not None:
        parts = [part for _, path in files if (part := unfinished(path)).exists()]
        raise ResultsCutOff(str(cut), (*paths, *parts))
    if gone is not None and not paths:
        raise gone
    return paths


def results_in(
    path: Path, calls: BatchCalls, result_of: Callable[[bytes], LineResult]
) -> Iterator[LineResult]:
    """BatchClient.read: the lines of a file, as ``result_of`` understands them."""
    most, without_secrets = calls.max_line, calls.without_secrets
    for line in lines_of(path, most):
        if line is None:
            yield LineResult("", None, message=ANSWER_TOO_LARGE(bytes=f"{most:,}"))
        else:
            yield result_of(without_secrets(line))

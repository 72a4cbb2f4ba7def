"""Events of /v1/responses → the answer
(platform.openai.com/docs/api-reference/responses-streaming, read 2026-11-28).

The last event carries the whole response. Some gateways leave its ``output`` empty: then the items count
that were sent when they were done.
"""

import msgspec

from ...core.stored_messages import STREAM_PIECE_UNREADABLE, STREAM_UNENDED
from .error_events import error_of, reports_error
from .errors import StreamBroken, StreamError
from .repeated_chunk import RepeatedChunk
from .sse_events import SseEvent

_LAST = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.cancelled"}
    | {"response.done"}
)
_ITEM = "response.output_item.done"
_EMPTY = (b"", b"null", b"[]")
_PARTS = ("response", "item", "delta")
_DONE = "[DONE]"


class _Kind(msgspec.Struct, gc=False):
    type: str = ""


class _Last(msgspec.Struct, gc=False):
    response: dict[str, msgspec.Raw]


class _Item(msgspec.Struct, gc=False):
    item: msgspec.Raw
    output_index: int = 0


_kind = msgspec.json.Decoder(_Kind).decode
_last = msgspec.json.Decoder(_Last).decode
_item = msgspec.json.Decoder(_Item).decode
_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_FAULTS = (msgspec.DecodeError, UnicodeError, RecursionError)


class ResponsesReader:
    """Reads the stream of a response."""

    def __init__(self) -> None:
        self.started = self.ended = False
        self.kept = 0
        self.repeated: RepeatedChunk | None = None
        self._items: dict[int, bytes] = {}
        self._whole: bytes | None = None

    def feed(self, event: SseEvent) -> None:
        if not event.data or event.data == _DONE:
            return
        try:
            kind = event.event if event.event != "message" else _type_of(event.data)
            if kind in ("error", "response.error"):
                raise StreamError(error_of(event.data))
            if not kind and reports_error(_any(event.data), _PARTS):
                raise StreamError(event.data.encode())
            if kind == _ITEM:
                self._keep(_item(event.data))
            elif kind in _LAST:
                self._end(_last(event.data).response)
        except _FAULTS:
            raise StreamBroken(STREAM_PIECE_UNREADABLE()) from None
        self.started = self.started or kind.endswith(".delta") or kind == _ITEM

    def body(self) -> bytes:
        if self._whole is None:
            raise StreamBroken(STREAM_UNENDED())
        return self._whole

    def _keep(self, found: _Item) -> None:
        self._items[found.output_index] = item = bytes(found.item)
        self.kept += len(item)

    def _end(self, response: dict[str, msgspec.Raw]) -> None:
        if bytes(response.get("output", msgspec.Raw())) in _EMPTY and self._items:
            items = b",".join(self._items[place] for place in sorted(self._items))
            response["output"] = msgspec.Raw(b"[" + items + b"]")
        self._items.clear()
        self._whole = _encode(response)
        self.kept = len(self._whole)
        self.ended = True


def _type_of(data: str) -> str:
    """The type that an event names in its data; empty for what is no event of a response. Raises
    msgspec.DecodeError."""
    return "" if data.startswith("[") else _kind(data).type

"""Bytes → server-sent events.

The rules are those of the HTML standard (html.spec.whatwg.org/multipage/server-sent-events.html,
section 9.2.6, read 2026-11-28): lines end with LF, CR or CR LF, an empty line ends an event, a line
that begins with a colon is a comment, several data lines are joined by LF. ``id`` and ``retry`` are of
no use here: a POST is never repeated by the reader.
"""

import msgspec

_BOM = b"\xef\xbb\xbf"
_END = b"\n\n"


class SseEvent(msgspec.Struct, gc=False):
    """One event. ``event`` is its type, "message" where it names none; ``data`` is its data lines joined
    by LF."""

    event: str
    data: str


class EventParser:
    """Takes bytes as they come, cut anywhere. ``size`` is the number of bytes of the event that is not
    complete yet."""

    __slots__ = ("_after_cr", "_at_start", "_buffer", "_searched")

    def __init__(self) -> None:
        self._buffer = bytearray()  # with LF as the only end of a line
        self._searched = 0  # no event ends before this index
        self._after_cr = False  # the last byte was CR: an LF that follows belongs to it
        self._at_start = True

    @property
    def size(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that are complete with these bytes."""
        buffer = self._buffer
        buffer += self._with_lf(data)
        if self._at_start and not self._skip_start():
            return []
        end = buffer.rfind(_END, self._searched)
        if end < 0:
            self._searched = max(0, len(buffer) - 1)
            return []
        blocks = bytes(buffer[:end]).split(_END)
        del buffer[: end + 2]
        self._searched = max(0, len(buffer) - 1)
        return [event for block in blocks if (event := _event(block)) is not None]

    def rest(self) -> SseEvent | None:
        """The event that the last bytes hold without the empty line that would end it. The standard
        drops it; the caller decides."""
        return _event(bytes(self._buffer))

    def _with_lf(self, data: bytes) -> bytes:
        if self._after_cr and data:
            self._after_cr = False
            if data.startswith(b"\n"):
                data = data[1:]
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _skip_start(self) -> bool:
        """Drop a byte order mark and empty lines at the start. False while more bytes have to tell."""
        buffer = self._buffer
        if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
            return False
        if buffer.startswith(_BOM):
            del buffer[: len(_BOM)]
        self._at_start = False
        return True


def _event(block: bytes) -> SseEvent | None:
    """The event of a block of lines; None where it has no data."""
    if block.startswith(b"data:") and b"\n" not in block:  # nearly all are such
        return SseEvent(
            "message", block[6 if block[5:6] == b" " else 5 :].decode("utf-8", "replace")
        )
    kind, data = "message", []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if name == b"data":
            data.append(value)
        elif name == b"event":
            kind = value.decode("utf-8", "replace") or "message"
    return SseEvent(kind, b"\n".join(data).decode("utf-8", "replace")) if data else None

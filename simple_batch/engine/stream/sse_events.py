"""Bytes → server-sent events.

The rules are those of the HTML standard (html.spec.whatwg.org/multipage/server-sent-events.html,
section 9.2.6, read 2026-11-28): lines end with LF, CR or CR LF, an empty line ends an event, a line
that begins with a colon is a comment, several data lines are joined by LF. ``id`` and ``retry`` are of
no use here: a POST is never repeated by the reader.

Two kinds of errors break these rules, and a reader that drops what it does not know would take the text
before them for a whole answer: a field ``error`` (llama.cpp until September 2025,
github.com/ggml-org/llama.cpp/pull/16109) and JSON without a field (Gemini, github.com/vercel/ai/issues/5217;
both read 2026-11-29). Both are read as an event of the type "error".
"""

from collections.abc import Iterator

import msgspec

_BOM = b"\xef\xbb\xbf"
_END = b"\n\n"
_decode = msgspec.json.Decoder().decode


class SseEvent(msgspec.Struct, gc=False):
    """One event. ``event`` is its type, "message" where it names none; ``data`` is its data lines joined
    by LF; ``lines`` are all its lines as they came, without the empty one."""

    event: str
    data: str
    lines: str


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

    def feed(self, data: bytes) -> str:
        """The lines of the events that are complete with these bytes, each with the empty line that ends
        it."""
        data, buffer = self._with_lf(data), self._buffer
        if not (buffer or self._at_start) and data.endswith(_END):
            return data.decode("utf-8", "replace")  # nearly always: cut between events
        buffer += data
        if self._at_start and not self._skip_start():
            return ""
        end = buffer.rfind(_END, self._searched)
        if end < 0:
            self._searched = max(0, len(buffer) - 1)
            return ""
        # cut between events, so decoding all at once is decoding each
        lines = buffer[: end + 2].decode("utf-8", "replace")
        del buffer[: end + 2]
        self._searched = max(0, len(buffer) - 1)
        return lines

    def rest(self) -> SseEvent | None:
        """The event that the last bytes hold without the empty line that would end it. The standard
        drops it; the caller decides."""
        return event_of(self._buffer.decode("utf-8", "replace"))

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


def events_of(lines: str) -> Iterator[SseEvent]:
    """The events of the lines that ``EventParser.feed`` returned."""
    for block in lines.split("\n\n"):
        if (event := event_of(block)) is not None:
            yield event


def event_of(lines: str) -> SseEvent | None:
    """The event of these lines; None where it has no data and is no error."""
    if lines.startswith("data: ") and "\n" not in lines:  # nearly all are such
        return SseEvent("message", lines[6:], lines)
    kind, data = "message", []
    for line in lines.split("\n"):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "event":
            kind = value or "message"
        elif name == "error" and value.lstrip().startswith("{"):
            return SseEvent("error", value, lines)
    if not data and _is_bare_error(lines):
        return SseEvent("error", lines, lines)
    return SseEvent(kind, "\n".join(data), lines) if data else None


def _is_bare_error(lines: str) -> bool:
    """Whether lines without a field are the JSON of an error, or of a list of errors."""
    if lines.lstrip()[:1] not in ("{", "["):
        return False
    try:
        return _reports(_decode(lines))
    except (msgspec.DecodeError, RecursionError):
        return False


def _reports(found: object) -> bool:
    if isinstance(found, list):
        return any(isinstance(part, dict) and _reports(part) for part in found)
    return isinstance(found, dict) and bool(found.get("error"))

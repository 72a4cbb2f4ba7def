"""What every reader of a stream does."""

from typing import Protocol

from .repeated_chunk import RepeatedChunk
from .sse_events import SseEvent, event_of


class Reader(Protocol):
    """Puts the events of one answer together. A reader is used for one call.

    ``started``: the first piece of the answer has come (text, reasoning or a tool call: the first
    token). ``ended``: the answer is complete, and what may still follow is of no interest. ``kept``:
    bytes that the reader holds, about. ``repeated``: the pattern of the last event, where those that
    are like it need not be fed one by one."""

    started: bool
    ended: bool
    kept: int
    repeated: RepeatedChunk | None

    def feed(self, event: SseEvent) -> None:
        """Take up the next event. Raises StreamError where it reports an error, StreamBroken where it
        cannot be read."""
        ...

    def body(self) -> bytes:
        """The whole answer in OpenAI's form, as if it had not been a stream. Raises StreamBroken where
        the stream had no proper end."""
        ...


def read_events(reader: Reader, lines: str) -> None:
    """Feed events to their reader until it has ended. ``lines`` are as ``EventParser.feed`` returns them.
    Raises what the reader raises."""
    at, end = 0, len(lines)
    while at < end and not reader.ended:
        if reader.repeated is not None and (after := reader.repeated.read(lines, at)) > at:
            at = after
            continue
        stop = lines.find("\n\n", at)
        if stop < 0:
            return  # a further empty line
        event = event_of(lines[at:stop])
        at = stop + 2
        if event is not None:
            reader.feed(event)

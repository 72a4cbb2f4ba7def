"""What every reader of a stream does."""

from typing import Protocol

from .sse_events import SseEvent


class Reader(Protocol):
    """Puts the events of one answer together. A reader is used for one call.

    ``started``: the first piece of the answer has come (text, reasoning or a tool call: the first
    token). ``ended``: the answer is complete, and what may still follow is of no interest. ``kept``:
    bytes that the reader holds, about."""

    started: bool
    ended: bool
    kept: int

    def feed(self, event: SseEvent) -> None:
        """Take up the next event. Raises StreamError where it reports an error, StreamBroken where it
        cannot be read."""
        ...

    def body(self) -> bytes:
        """The whole answer in OpenAI's form, as if it had not been a stream. Raises StreamBroken where
        the stream had no proper end."""
        ...

"""How a stream fails."""

from ...core.messages import Message


class StreamBroken(Exception):
    """The answer is not whole: the stream has no proper end, or a piece cannot be read. The attempt
    has failed and may be repeated."""

    def __init__(self, message: Message):
        super().__init__(message)
        self.message = message


class StreamError(Exception):
    """The endpoint reports an error within the stream. ``body`` is that error as JSON, as an answer
    with an HTTP error would carry it; ``status`` is the HTTP status that it stands for, None where
    classify.py reads it from the body."""

    def __init__(self, body: bytes, status: int | None = None):
        super().__init__(status)
        self.body = body
        self.status = status

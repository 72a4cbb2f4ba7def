"""Bodies of calls that are read from disk while they are sent."""

from collections.abc import Iterator
from pathlib import Path

from ..adapter import BLOCK

_NEXT = b","


class StreamedBody:
    """An iterable of bytes with a length, as requests takes a body."""

    content_type = "application/json"

    def __len__(self) -> int:
        raise NotImplementedError

    def __iter__(self) -> Iterator[bytes]:
        raise NotImplementedError


class FileBody(StreamedBody):
    """A file as it is."""

    content_type = "application/jsonl"

    def __init__(self, path: Path):
        self._path = path

    def __len__(self) -> int:
        return self._path.stat().st_size

    def __iter__(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            while block := file.read(BLOCK):
                yield block


class InlineRequests(StreamedBody):
    """A JSON object that ends in a list of requests. ``head`` is what stands before the first of them,
    ``requests`` the number of lines in the file. A line begins with ``begins``, and ``inserted`` is put
    behind that."""

    def __init__(
        self, head: bytes, path: Path, requests: int, begins: bytes = b"", inserted: bytes = b""
    ):
        self._head = head
        self._path = path
        self._requests = requests
        self._begins = begins
        self._inserted = inserted

    def __len__(self) -> int:
        # each line gives up its line break and gets a comma, but for the last
        lines = self._path.stat().st_size + self._requests * len(self._inserted) - 1
        return len(self._head) + lines + len(b"]}")

    def __iter__(self) -> Iterator[bytes]:
        piece, skipped = [self._head], len(self._begins)
        size = separator = 0
        with self._path.open("rb") as file:
            for line in file:
                piece += [_NEXT[:separator], self._begins, self._inserted]
                piece.append(line[skipped:].rstrip(b"\n"))
                size, separator = size + len(line), 1
                if size > BLOCK:
                    yield b"".join(piece)
                    piece, size = [], 0
        yield b"".join([*piece, b"]}"])
